from __future__ import annotations

from types import SimpleNamespace

import pytest
from http_support import CANARY, texts_of

from depositd.destinations import DESTINATIONS, build
from depositd.destinations.credentials import Given, login_of, token_of
from depositd.errors import AuthError, ConfigError
from depositd.model import Packing

SERVER = {
    "credentials": Given(token_text=CANARY),
    "rate_limit_bytes_per_s": 1e6,
    "ca_file": None,
    "insecure_http": False,
    "proxy": None,
}
SETTINGS = [
    SimpleNamespace(
        type="proteindiffraction", url="https://pdi.example/api/v1/", poll_every_s=60.0, existing="hold", **SERVER
    ),
    SimpleNamespace(
        type="proteomicsqc",
        url="https://qc.example/",
        project=None,
        pipeline=None,
        pid="0a1b2c3d-0000-4000-8000-000000000001",
        confirm_within_s=1800.0,
        accept_archives=False,
        **SERVER,
    ),
    SimpleNamespace(type="directory", path="/mnt/vault", rate_limit_bytes_per_s=None),
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.type)
def test_each_type_is_built_without_touching_anything(settings):
    destination = build("here", settings)
    assert destination.name == "here"
    assert destination.packing(single_file=True) in Packing
    assert CANARY not in repr(vars(destination))
    destination.close()


def test_every_type_is_tested_here():
    assert {settings.type for settings in SETTINGS} == set(DESTINATIONS)


def test_a_url_that_sends_credentials_in_the_clear_is_refused():
    settings = SimpleNamespace(**{**vars(SETTINGS[0]), "url": "http://pdi.example/"})
    with pytest.raises(ConfigError, match="in the clear"):
        build("here", settings)


class Unreadable:
    username = "you"

    def token(self) -> str | None:
        raise ConfigError(["/etc/t is readable by others (chmod 600)"], hint="chmod 600")

    def password(self) -> str | None:
        return self.token()


@pytest.mark.parametrize("read", [token_of, login_of])
def test_credentials_that_cannot_be_read_pause_the_destination(read):
    with pytest.raises(AuthError, match="chmod 600") as caught:
        read(Unreadable())
    assert caught.value.hint == "chmod 600"


def test_given_credentials_are_not_shown():
    given = Given("you", CANARY, CANARY)
    assert CANARY not in repr(given)
    with pytest.raises(AuthError) as caught:
        token_of(Given(token_text=f"{CANARY} "))
    assert CANARY not in texts_of(caught.value)
