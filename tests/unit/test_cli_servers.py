"""Which server a command speaks to, and what it says when that goes wrong."""

from __future__ import annotations

import pytest
import typer

from depositd.cli import pdi, pqc
from depositd.cli.servers import Place, api_url, chosen, find_place, given_by, has_login, hint_by_hand, login_place
from depositd.destinations.classify import HINTS
from depositd.destinations.credentials import Given
from depositd.errors import AuthError, ConfigError, Conflict, NotFound, Rejected, Unavailable, Unconfirmed

BY_NAME = Place("https://x.org/api/v1", Given(), name="irrmc")
BY_URL = Place("https://x.org/api/v1", Given())
LOGIN = {"DEPOSITD_USERNAME": "you@lab.edu", "DEPOSITD_PASSWORD": "secret"}


def test_the_only_one_of_its_kind_is_taken():
    assert chosen("proteindiffraction", None, ["irrmc"], ["vault"]) == "irrmc"
    assert chosen("proteindiffraction", "b", ["a", "b"], []) == "b"


@pytest.mark.parametrize(
    ("to", "known", "others", "says"),
    [
        ("vault", ["irrmc"], ["vault"], r"vault is no proteindiffraction server .*: irrmc\)"),
        ("x", ["irrmc"], ["vault"], r"x is not in the config .*: irrmc\)"),
        ("x", [], ["vault"], r"none\)"),
        (None, [], ["vault"], "has no destination of the type proteindiffraction"),
        (None, ["a", "b"], [], "which of a, b"),
    ],
)
def test_any_other_choice_names_what_would_be_right(to, known, others, says):
    with pytest.raises(typer.BadParameter, match=says):
        chosen("proteindiffraction", to, known, others)


@pytest.mark.parametrize("path", ["", "/ap", "/api", "/api/v1"])
def test_the_servers_of_the_document_are_understood(path):
    assert api_url(f"https://x.org{path}") == "https://x.org/api/v1"


def test_another_path_is_left_alone():
    assert api_url("https://x.org/mirror/api/v1") == "https://x.org/mirror/api/v1"


def test_a_token_is_made_from_username_and_password_wherever_they_are():
    configured = Place("https://x.org", Given("me@lab.edu", None, "theirs"))
    assert has_login(configured, {})
    assert login_place(configured, LOGIN).credentials.username == "me@lab.edu"
    place = login_place(Place("https://x.org", Given(token_text="t")), LOGIN)
    assert (place.credentials.username, place.credentials.token()) == ("you@lab.edu", None)
    assert not has_login(BY_URL, {})
    with pytest.raises(typer.BadParameter, match="DEPOSITD_USERNAME and DEPOSITD_PASSWORD"):
        login_place(BY_URL, {})


def test_what_clings_to_secrets_in_the_environment_is_left_out():
    found = given_by({"DEPOSITD_TOKEN": " \tabc\r\n", "DEPOSITD_PASSWORD": " blanks \r\n"})
    assert (found.token(), found.password()) == ("abc", " blanks ")
    empty = given_by({"DEPOSITD_TOKEN": " \n", "DEPOSITD_PASSWORD": "\n", "DEPOSITD_USERNAME": ""})
    assert (empty.token(), empty.password(), empty.username) == (None, None, None)


@pytest.mark.parametrize(
    ("url", "hint"),
    [
        ("http://qc.example.org/", "insecure_http: true"),
        ("HTTP://qc.example.org/", "insecure_http: true"),
        ("http://user:canary@qc.example.org/", "name the server without them"),
        ("https://user:canary@qc.example.org/", "name the server without them"),
        ("http://qc.example.org/?page=2", ""),
        ("http://[qc/", ""),
        ("qc.example.org", ""),
    ],
)
def test_a_url_that_is_refused_has_the_hint_that_fits_its_fault(url, hint):
    with pytest.raises(ConfigError) as raised:
        find_place("proteomicsqc", None, url, None)
    assert hint in raised.value.hint
    assert bool(raised.value.hint) is bool(hint)
    assert "canary" not in f"{raised.value}{raised.value.hint}"


def test_a_place_never_shows_its_secrets():
    shown = repr(Place("https://x.org", Given("me", "token-canary", "password-canary")))
    assert "canary" not in shown


@pytest.mark.parametrize(
    ("error", "place", "hint"),
    [
        (AuthError("x", hint=HINTS[AuthError]), BY_NAME, "of irrmc in the config"),
        (AuthError("x", hint=HINTS[AuthError]), BY_URL, "DEPOSITD_TOKEN"),
        (AuthError("x", body="You do not have permission"), BY_URL, "project's owner"),
        (AuthError("x", hint="…; an older server knows no tokens"), BY_URL, "knows no tokens"),
        (Unavailable("x", hint=HINTS[Unavailable]), BY_URL, "try again later"),
        (Unavailable("x", status=302), BY_URL, "is this the server's URL"),
        (Unavailable("x", status=500), BY_URL, "older ProteomicsQC"),
        (Unavailable("is a name that cannot be resolved"), BY_URL, "DNS"),
        (
            Unavailable("a TLS certificate that is not trusted", hint="set ca_file to the CA"),
            BY_URL,
            "of a destination",
        ),
        (NotFound("x", hint=HINTS[NotFound]), BY_URL, "is this the server?"),
        (NotFound("x", hint="an older one"), BY_URL, "an older one"),
        (Conflict("x", hint=HINTS[Conflict]), BY_URL, "pdi status"),
        (Rejected("x", hint=HINTS[Rejected]), BY_URL, "mend what the server names"),
        (Unconfirmed("x", hint=HINTS[Unconfirmed]), BY_URL, "before anything is sent again"),
    ],
)
def test_no_hint_promises_what_only_the_daemon_does(error, place, hint):
    told = hint_by_hand(error, place)
    assert hint in told
    assert "by itself" not in told
    assert "pauses" not in told
    assert "then retry" not in told


def test_a_secret_that_cannot_be_read_keeps_its_own_hint():
    error = AuthError("the token cannot be read", hint="chmod 600 /x")
    error.__cause__ = ConfigError(["mode 0644"])
    assert hint_by_hand(error, BY_NAME) == "chmod 600 /x"


@pytest.mark.parametrize(("name", "group"), [("pdi", pdi.commands), ("pqc", pqc.commands)])
def test_the_help_of_each_verb_has_an_example_and_each_takes_a_server(name, group):
    for command in typer.main.get_command(group).commands.values():
        assert f"Example: depositd {name} {command.name}" in command.help
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--to", "--server", "--config", "-c", "--json"} <= options
        assert not options & {"--token", "--password"}
