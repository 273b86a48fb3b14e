"""Where a client gets its token or password from, at the moment it needs it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Protocol

from depositd.errors import AuthError, ConfigError

_HEADER_SAFE = re.compile(r"[\x21-\x7e]+")


class Credentials(Protocol):
    """What the config knows of an account; read at each use, so that a renewed token needs no restart.

    ``token`` and ``password`` may raise ConfigError where a file or variable cannot be read.
    """

    @property
    def username(self) -> str | None:
        """The account's name, None where a token is all there is."""

    def token(self) -> str | None:
        """Return the API token, None where there is none."""

    def password(self) -> str | None:
        """Return the account's password, None where there is none."""


@dataclass(frozen=True, slots=True)
class Given:
    """Credentials given as values, by a script; never shown."""

    username: str | None = None
    token_text: str | None = field(default=None, repr=False)
    password_text: str | None = field(default=None, repr=False)

    def token(self) -> str | None:
        """Return the token that was given."""
        return self.token_text

    def password(self) -> str | None:
        """Return the password that was given."""
        return self.password_text


def token_of(credentials: Credentials) -> str | None:
    """Return the configured token, fit for a header; raises AuthError where it cannot be read or sent."""
    try:
        token = credentials.token()
    except ConfigError as error:
        raise AuthError(f"the token cannot be read: {error}", hint=error.hint) from error
    return None if token is None else header_safe(token)


def header_safe(token: str) -> str:
    """Return a token that can stand in a header; raises AuthError, without showing it, where it cannot."""
    if _HEADER_SAFE.fullmatch(token) is None:
        raise AuthError(
            "the token is empty or has characters that cannot be sent in a header",
            hint="look for spaces, line breaks or quotes around the token",
        )
    return token


def login_of(credentials: Credentials) -> tuple[str, str] | None:
    """Return username and password, None where one of them is missing; raises AuthError where one cannot be read."""
    try:
        password = credentials.password()
    except ConfigError as error:
        raise AuthError(f"the password cannot be read: {error}", hint=error.hint) from error
    if credentials.username is None or password is None:
        return None
    return credentials.username, password


def required_login(credentials: Credentials, host: str) -> tuple[str, str]:
    """Return username and password; raises AuthError where one of them is missing or cannot be read."""
    login = login_of(credentials)
    if login is None:
        raise AuthError(
            f"there is neither a token nor a username with a password for {host}",
            hint="set token, or username and password, in the config",
        )
    return login
