"""A token in a file that nobody else ever reads: not through its mode, not for a moment, not by a link."""

from __future__ import annotations

import contextlib
import json
import os
import stat
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from depositd import portable
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.cli.servers import Place


def default_path(host: str, environ: Mapping[str, str]) -> str:
    """Return where a server's token is kept: ``<user config dir>/depositd/<host>.token``; raises DepositdError."""
    directory = portable.config_home(environ)
    if directory is None:
        raise DepositdError("there is no home directory to keep the token in", hint="name a file: --file FILE")
    name = "".join(character if character.isalnum() or character in ".-" else "_" for character in host)
    return os.path.join(directory, "depositd", f"{name.lstrip('.')}.token")


def path_of(place: Place, file: str | None, environ: Mapping[str, str]) -> str:
    """Return where the token of a server is kept: as asked, where the config reads it, or at the default place."""
    if file is not None:
        return os.path.abspath(file)
    source = place.settings.token if place.settings else None
    if source is not None and source.kind == "file":
        return source.name
    return default_path(place.host, environ)


def keep_token(path: str, token: str, say: Callable[[str], None]) -> None:
    """Keep a token and say where, with the line that the config needs; raises DepositdError."""
    write_token(path, token)
    say(f"the token is in {printable(path)}")
    say(f"for the config:  token: {{file: {json.dumps(path)}}}")


def write_token(path: str, token: str) -> None:
    """Write a token into a file of mode 0600 that appears whole; directories are made with 0700.

    A file that is there is replaced only where it is a regular file of ours.  Raises DepositdError.
    """
    _check_replaceable(path)
    directory = os.path.dirname(path)
    try:
        _make_directories(directory)
        part = os.path.join(directory, f".{os.path.basename(path)[:200]}.{os.getpid()}.part")
        descriptor = portable.open_to_write(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w", encoding="utf-8") as file:
            try:
                portable.keep_private(file.fileno())
                file.write(f"{token}\n")
                file.flush()
                portable.fsync(file.fileno())
                file.close()  # Windows renames no file that is open
                portable.replace(part, path)
            except BaseException:
                with contextlib.suppress(OSError):
                    os.unlink(part)
                raise
        portable.fsync_directory(directory)
    except OSError as error:
        raise DepositdError(
            f"the token cannot be kept in {printable(path)}: {error.strerror}",
            hint="name a file that this user may write: --file FILE",
        ) from None


def remove_token(path: str) -> bool:
    """Delete a token's file and say whether there was one; raises DepositdError where it is not a file of ours."""
    if not _check_replaceable(path):
        return False
    try:
        os.unlink(path)
    except OSError as error:
        raise DepositdError(
            f"{printable(path)} cannot be deleted: {error.strerror}", hint="delete it by hand"
        ) from None
    return True


def _check_replaceable(path: str) -> bool:
    """Say whether something is there; raises DepositdError where that is not a regular file of ours."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise DepositdError(f"{printable(path)} cannot be looked at: {error.strerror}", hint="--file FILE") from None
    if not stat.S_ISREG(status.st_mode):
        raise DepositdError(
            f"{printable(path)} is there and is no regular file, so it is left as it is", hint="--file FILE"
        )
    if portable.user_id() not in (None, status.st_uid):
        raise DepositdError(f"{printable(path)} belongs to user {status.st_uid}, not to this one", hint="--file FILE")
    return True


def _make_directories(directory: str) -> None:
    """Make a directory and those above it that are missing, each for this user alone."""
    if os.path.isdir(directory):
        return
    _make_directories(os.path.dirname(directory))
    with contextlib.suppress(FileExistsError):
        os.mkdir(directory, 0o700)
