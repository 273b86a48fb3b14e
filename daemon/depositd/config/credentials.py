"""Secrets: the config names where they are, and they are read when they are used.

So a secret is never in the config, in a message or in a repr, and a rotated one is taken up without a restart.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from depositd import portable
from depositd.errors import ConfigError
from depositd.units import printable

_LONGEST_BYTES = 64 * 1024

SecretKind = Literal["file", "env", "credential"]


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is: a file, an environment variable, or a credential of systemd's ``LoadCredential=``."""

    kind: SecretKind
    name: str

    def read(self, environ: Mapping[str, str]) -> str:
        """Return the secret without its final newline; raises ConfigError with a sentence that does not repeat it."""
        if self.kind == "env":
            return _checked(self._from_environment(environ), f"the environment variable {printable(self.name)}")
        if self.kind == "credential":
            return _checked(self._from_systemd(environ), f"the systemd credential {printable(self.name)}")
        return _checked(_read_file(self.name, private=True), printable(self.name))

    def _from_environment(self, environ: Mapping[str, str]) -> str:
        if self.name not in environ:
            raise _error(
                f"the environment variable {printable(self.name)} is not set",
                "set it for the service (EnvironmentFile= in its unit), or use {file: …} or {credential: …}",
            )
        return environ[self.name]

    def _from_systemd(self, environ: Mapping[str, str]) -> str:
        directory = environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise _error(
                f"the systemd credential {printable(self.name)} is asked for, but systemd gave none",
                f"add LoadCredential={printable(self.name)}:/path/of/the/file to the unit, or use {{file: …}}",
            )
        # systemd guards the directory itself, and its files may carry an ACL that shows as group bits
        return _read_file(os.path.join(directory, self.name), private=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Who we are at a destination: a token, or a username with a password."""

    token_source: SecretSource | None = None
    username: str | None = None
    password_source: SecretSource | None = None
    environ: Mapping[str, str] = field(default_factory=lambda: os.environ, repr=False, compare=False)

    def token(self) -> str | None:
        """Read the token now, None where there is none; raises ConfigError."""
        return self.token_source.read(self.environ) if self.token_source else None

    def password(self) -> str | None:
        """Read the password now, None where there is none; raises ConfigError."""
        return self.password_source.read(self.environ) if self.password_source else None


def _read_file(path: str, *, private: bool) -> str:
    shown = printable(path)
    try:
        descriptor = portable.open_to_read(path, follow=True)
    except OSError as error:
        raise _error(f"the secret in {shown} cannot be read: {error.strerror}", f"ls -l {shown}") from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise _error(f"the secret in {shown} is not a regular file", "give the path of a file")
        if private:
            _check_privacy(shown, status)
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(_LONGEST_BYTES + 1)
    except OSError as error:
        raise _error(f"the secret in {shown} cannot be read: {error.strerror}", f"ls -l {shown}") from None
    finally:
        os.close(descriptor)
    if len(content) > _LONGEST_BYTES:
        raise _error(f"the secret in {shown} is longer than {_LONGEST_BYTES:,} bytes", "give the path of the secret")
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        raise _error(f"the secret in {shown} is not UTF-8 text", "write it again with a text editor") from None


def _check_privacy(shown: str, status: os.stat_result) -> None:
    us = portable.user_id()
    if us is None:
        return  # access lists decide here, of which a stat says nothing
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise _error(f"the secret in {shown} can be used by others (mode {mode:04o})", f"chmod 600 {shown}")
    if status.st_uid not in (0, us):
        raise _error(
            f"the secret in {shown} belongs to user {status.st_uid}, who could change it",
            f"chown {us} {shown}",
        )


def _checked(secret: str, place: str) -> str:
    stripped = secret.removesuffix("\n").removesuffix("\r")
    if not stripped.strip():
        raise _error(f"the secret in {place} is empty", "write the token or password into it")
    if re.search(r"[\x00-\x1f\x7f]", stripped):
        raise _error(f"the secret in {place} has more than one line or a control character", "one line, nothing else")
    return stripped


def _error(sentence: str, hint: str) -> ConfigError:
    return ConfigError([sentence], hint=hint)
