"""Which server a command by hand speaks to: ``--to`` or ``--server``, its credentials, and errors in words that fit.

A password or token is never an argument, for arguments are seen in ``ps`` and kept in a shell's history.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypedDict
from urllib.parse import urlsplit

import typer

from depositd.cli.failing import SECRETS
from depositd.cli.options import load
from depositd.cli.output import tell
from depositd.errors import AuthError, ConfigError, Conflict, NotFound, RemoteError, Unavailable, Unconfirmed
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import ProteinDiffractionSettings, ProteomicsQCSettings
    from depositd.destinations import Reached, proteindiffraction, proteomicsqc
    from depositd.destinations.credentials import Credentials, Given

    Settings = ProteinDiffractionSettings | ProteomicsQCSettings

Kind = Literal["proteindiffraction", "proteomicsqc"]

TOKEN, USERNAME, PASSWORD = "DEPOSITD_TOKEN", "DEPOSITD_USERNAME", "DEPOSITD_PASSWORD"
VARIABLES = f"{TOKEN}, or {USERNAME} and {PASSWORD}"

AtOption = Annotated[
    str | None,
    typer.Option(
        "--to",
        metavar="NAME",
        show_default=False,
        help="A destination of the config; not needed where there is one alone.",
    ),
]
ServerOption = Annotated[
    str | None,
    typer.Option(
        "--server",
        metavar="URL",
        show_default=False,
        help=f"A server without a config; credentials from {VARIABLES} in the environment.",
    ),
]


class KeepsSecrets(TypedDict):
    """How a server of which only the URL is known is reached: what it is sent is not shown."""

    on_secret: Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Place:
    """One server: ``settings`` are those of the destination called ``name``, None where only the URL was given."""

    url: str
    credentials: Credentials
    name: str | None = None
    settings: Settings | None = None

    @property
    def host(self) -> str:
        """The server's name and port as a URL has them."""
        return urlsplit(self.url).netloc

    @property
    def poll_s(self) -> float:
        """The longest time between two looks at a submission."""
        return self.settings.poll_every_s if self.settings else 60.0

    @property
    def reached(self) -> Reached | KeepsSecrets:
        """How a configured server is reached; the clients' own ways where only the URL was given."""
        from depositd.destinations import Surroundings, reached

        if self.settings is None:
            return {"on_secret": SECRETS.add}
        return reached(self.settings, Surroundings(on_secret=SECRETS.add))

    @property
    def again(self) -> str:
        """The words that lead another command to the same server."""
        return f"--to {self.name}" if self.name else f"--server {self.url}"


def find_place(kind: Kind, to: str | None, server: str | None, config: Path | None) -> Place:
    """Return the server that ``--to`` or ``--server`` name, or the only one of its kind in the config.

    Raises ConfigError or a usage error that says what would be right.
    """
    if to is not None and server is not None:
        raise typer.BadParameter("give one of --to and --server", param_hint="--to")
    if server is not None:
        return _place_of_url(kind, server, os.environ)
    try:
        settings = load(config)
    except ConfigError as error:
        if to is None and config is None and len(error.problems) == 1 and error.problems[0].startswith("no config"):
            error.hint = f"or, without a config: --server URL, and {VARIABLES} in the environment"
        raise
    known = {name: one for name, one in settings.destinations.items() if one.type == kind}
    others = [name for name in settings.destinations if name not in known]
    name = chosen(kind, to, list(known), others)
    found = known[name]
    if to is None:
        tell(f"server: {printable(name)} ({printable(found.url)})")
    return Place(found.url, found.credentials, name, found)


def chosen(kind: Kind, to: str | None, known: list[str], others: list[str]) -> str:
    """Return the name of the destination that is meant; a usage error names those that would be right."""
    listed = ", ".join(printable(name) for name in known) or "none"
    if to is not None and to not in known:
        what = f"is no {kind} server" if to in others else "is not in the config"
        raise typer.BadParameter(f"{printable(to)} {what} (destinations of that type: {listed})", param_hint="--to")
    if to is None and not known:
        raise typer.BadParameter(
            f"the config has no destination of the type {kind}; give --server URL", param_hint="--to"
        )
    if to is None and len(known) > 1:
        raise typer.BadParameter(f"the config has several {kind} servers; which of {listed}?", param_hint="--to")
    return to if to is not None else known[0]


def _place_of_url(kind: Kind, server: str, environ: Mapping[str, str]) -> Place:
    from depositd.destinations.http import checked_url
    from depositd.urls import has_login as holds_login

    try:
        url = checked_url(server)
    except ConfigError as error:
        if holds_login(server):
            error.hint = f"name the server without them, and put them into the environment: {VARIABLES}"
        elif _is_refused_as_http(server):
            error.hint = "a network that is trusted is named in the config: a destination with insecure_http: true"
        raise
    if kind == "proteindiffraction":
        url = api_url(url)
    given = given_by(environ)
    if given.token() is None and (given.username is None or given.password() is None):
        raise typer.BadParameter(f"needs credentials in the environment: {VARIABLES}", param_hint="--server")
    return Place(url, given)


def _is_refused_as_http(server: str) -> bool:
    """Say whether a URL that was refused is right but for being http to another machine."""
    from depositd.destinations.http import checked_url

    try:
        checked_url(server, insecure_http=True)
    except ConfigError:
        return False
    return True


def given_by(environ: Mapping[str, str]) -> Given:
    """Return the credentials in the environment, without the final newline that comes from a file or a heredoc.

    No token has blanks around it; a password may.
    """
    from depositd.destinations.credentials import Given

    token, password = environ.get(TOKEN, "").strip(), environ.get(PASSWORD, "")
    return Given(environ.get(USERNAME) or None, token or None, password.removesuffix("\n").removesuffix("\r") or None)


def api_url(url: str) -> str:
    """Return the API's URL of a diffraction server that was named without it, as the server's document does."""
    return (
        url[: -len(path)] + "/api/v1"
        if (path := urlsplit(url).path) in ("/ap", "/api")
        else url + ("" if path else "/api/v1")
    )


def has_login(place: Place, environ: Mapping[str, str]) -> bool:
    """Say whether the config or the environment has a username with a password."""
    given = given_by(environ)
    return place.credentials.username is not None or (given.username is not None and given.password() is not None)


def login_place(place: Place, environ: Mapping[str, str]) -> Place:
    """Return the place with username and password alone: the config's, else the environment's.

    They are what a token is made from.  A usage error says where they would have to be.
    """
    configured = place.credentials
    if configured.username is not None:
        return Place(place.url, _WithoutToken(configured), place.name, place.settings)
    given = given_by(environ)
    if given.username is None or given.password() is None:
        raise typer.BadParameter(
            f"a token is made from a username and a password: set {USERNAME} and {PASSWORD} in the environment",
            param_hint="token",
        )
    return Place(place.url, _WithoutToken(given), place.name, place.settings)


@dataclass(frozen=True, slots=True)
class _WithoutToken:
    """Credentials of which only username and password are used."""

    whole: Credentials

    @property
    def username(self) -> str | None:
        return self.whole.username

    def token(self) -> str | None:
        return None

    def password(self) -> str | None:
        return self.whole.password()


@contextmanager
def diffraction(place: Place) -> Iterator[proteindiffraction.Client]:
    """Speak to a Protein Diffraction Image Server; errors come with hints for whoever sits there."""
    from depositd.destinations.proteindiffraction import Client

    with hints_by_hand(place), Client(place.url, credentials=place.credentials, **place.reached) as client:
        yield client


@contextmanager
def quality_control(place: Place) -> Iterator[proteomicsqc.Client]:
    """Speak to a ProteomicsQC server; errors come with hints for whoever sits there."""
    from depositd.destinations.proteomicsqc import Client

    with (
        hints_by_hand(place),
        closing(Client(place.url, credentials=place.credentials, **place.reached)) as client,
    ):
        yield client


@contextmanager
def hints_by_hand(place: Place) -> Iterator[None]:
    """Give errors the hint that fits a command by hand: nothing is tried again by itself here."""
    try:
        yield
    except RemoteError as error:
        error.hint = hint_by_hand(error, place)
        raise


def hint_by_hand(error: RemoteError, place: Place) -> str:
    """Return what can be done about an error now; what the daemon would do by itself is left out."""
    if isinstance(error, AuthError):
        if isinstance(error.__cause__, ConfigError):
            return error.hint  # a file or variable that cannot be read says itself what to do
        return _hint_when_refused(error, place)
    if isinstance(error, Unavailable):
        return _hint_when_away(error, place)
    if isinstance(error, NotFound) and "url in the config" in error.hint:
        return f"is it spelt right, and is this the server? {printable(place.url)}"
    hints: Mapping[type[RemoteError], str] = {
        Unconfirmed: "ask the server before anything is sent again",
        Conflict: "depositd pdi status TOKEN shows what the server has",
    }
    return hints.get(type(error), error.hint.replace(", then retry", ""))


def _hint_when_refused(error: AuthError, place: Place) -> str:
    if "permission" in error.body.lower():
        return "the server knows us, and does not let us do this: ask the project's owner to add our account"
    where = f"of {place.name} in the config" if place.name else f"in the environment ({VARIABLES})"
    older = "; an older server knows no tokens, only username and password" if "older server" in error.hint else ""
    return f"check the token, or username and password, {where}{older}"


def _hint_when_away(error: Unavailable, place: Place) -> str:
    if error.status is not None and (300 <= error.status < 400 or error.status in (404, 405)):
        return f"is this the server's URL? {printable(place.url)}"
    if error.status == 500:
        return "ask whoever runs the server; an older ProteomicsQC answers so where no run has been processed yet"
    if "certificate" in str(error):
        return error.hint.replace("set ca_file", "set ca_file of a destination in the config")
    if "resolved" in str(error):
        return f"check the URL ({printable(place.url)}) and DNS"
    return "try again later; is the server up, and reachable from here?"
