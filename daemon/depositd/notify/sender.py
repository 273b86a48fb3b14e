"""Hands messages to Apprise, which is loaded when the first one is sent (extra ``notify``).

An Apprise URL is a secret as a whole: it holds passwords and tokens in its user, its host, its path and its query.
Apprise writes such URLs into its log, so its logger is silent here, and of its errors only our own sentences remain.
"""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from depositd.errors import ConfigError, Unavailable
from depositd.notify.bundle import Message

if TYPE_CHECKING:
    from apprise import NotifyBase

INSTALL = "pip install 'depositd[notify]'"
_SHORTEST_PART = 8
"""Characters below which a part of a URL's path is a word rather than a token."""


def is_installed() -> bool:
    """Say whether Apprise is there; it is not loaded for that."""
    return importlib.util.find_spec("apprise") is not None


def require_installed(file: str) -> None:
    """Raise ConfigError where Apprise is not installed although the config names somebody to be told."""
    if not is_installed():
        raise ConfigError([f"{file}: notify: needs Apprise, which is not installed ({INSTALL})"], hint=INSTALL)


def send(url: str, message: Message) -> None:
    """Send one message; raises ConfigError for a URL that is none, Unavailable where the service did not take it."""
    from apprise import Apprise

    service = _service(url)
    if service is None:
        raise ConfigError(
            [f"the URL is none that Apprise knows{_scheme(url)}"], hint="see https://appriseit.com/services/"
        )
    apprise = Apprise()
    apprise.add(service)
    if not apprise.notify(body=message.body, title=message.title, body_format="text", notify_type="warning"):
        raise Unavailable(
            f"the service{_scheme(url)} did not take it",
            hint="check the URL: Apprise's own command, apprise --config FILE, says why",
        )


def wrong_with(url: str) -> str | None:
    """Return what is wrong with a URL, without repeating it; None where Apprise can read it.  Nothing is sent."""
    return None if _service(url) is not None else f"the URL is none that Apprise knows{_scheme(url)}"


def secrets_in(url: str) -> list[str]:
    """Return what of a URL must never be shown: the whole, and each part that can be a password or a token."""
    found = {url}
    try:
        parts = urlsplit(url)
        # a name before a password says who, not what; one without a password is a token
        found |= {part for part in (parts.password or parts.username,) if part}
    except ValueError:
        return [url]
    names = {parts.hostname, parts.username if parts.password else None}
    pieces = re.split(r"[/?&=@:]", f"{parts.netloc}/{parts.path}/{parts.query}")
    found |= {piece for piece in pieces if _may_be_a_token(piece) and piece not in names}
    return sorted(found | {unquote(piece) for piece in found})


def _may_be_a_token(piece: str) -> bool:
    """Say whether a piece of a URL may be one: a plain word or a host is none, and blackening it would hide our own."""
    return len(piece) >= _SHORTEST_PART and "." not in piece and not (piece.isalpha() and piece.islower())


def _service(url: str) -> NotifyBase | None:
    logging.getLogger("apprise").disabled = True
    with warnings.catch_warnings():
        # its many services are loaded here, and some of them use what Python is about to drop
        warnings.simplefilter("ignore")
        from apprise import Apprise

        return Apprise.instantiate(url, suppress_exceptions=True)


def _scheme(url: str) -> str:
    match = re.match(r"([a-z][a-z0-9]{0,19})://", url)
    return f" ({match[1]}://…)" if match else ""
