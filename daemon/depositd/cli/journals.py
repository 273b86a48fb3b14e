"""The journal and the state directory as commands need them: to read, to write, or to work in."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.journal import Journal


@contextmanager
def reading(config: Config) -> Iterator[Journal | None]:
    """Open the journal to read it; None where there is none yet.  Raises DepositdError."""
    from depositd.journal import FILE_NAME, Journal

    path = config.state_dir / FILE_NAME
    if not _is_there(path, os.R_OK):
        yield None
        return
    journal = Journal(path, read_only=True)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def writing(config: Config) -> Iterator[Journal | None]:
    """Open the journal for an operator's word; None where there is none yet.  Raises DepositdError."""
    from depositd.journal import FILE_NAME, Journal

    path = config.state_dir / FILE_NAME
    if not _is_there(path, os.R_OK | os.W_OK):
        yield None
        return
    journal = Journal(path)
    try:
        yield journal
    finally:
        journal.close()


@contextmanager
def working(config: Config) -> Iterator[Journal]:
    """Open the journal where work is to be recorded; the state directory is made where it is missing."""
    from depositd.journal import FILE_NAME, Journal

    make_state_dir(config)
    journal = Journal(config.state_dir / FILE_NAME)
    try:
        yield journal
    finally:
        journal.close()


def make_state_dir(config: Config) -> None:
    """Make the state directory and the spool where they are missing; raises DepositdError where that cannot be."""
    from depositd.journal import refuse_network_file_system
    from depositd.watch.mounts import file_system_of

    refuse_network_file_system(config.state_dir, file_system_of(str(config.state_dir)))
    for directory in (config.state_dir, config.spool.path):
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise DepositdError(
                f"the directory {printable(str(directory))} cannot be made: {error.strerror}",
                hint="make it and give it to the user who runs depositd, or name another one in the config",
            ) from None


def _is_there(path: Path, wanted: int) -> bool:
    """Say whether the journal exists; raises DepositdError where this user may not use it."""
    try:
        owner = path.stat().st_uid
    except (FileNotFoundError, NotADirectoryError):
        return False
    except PermissionError:
        owner = _owner_of_nearest(path)
    else:
        if os.access(path, wanted):
            return True
    name = _user_name(owner)
    raise DepositdError(
        f"the journal {printable(str(path))} is not open to this user",
        hint=f"it belongs to {name}: sudo -u {name} depositd …",
    )


def _owner_of_nearest(path: Path) -> int:
    """Return who owns the nearest directory above ``path`` that can be looked at."""
    for parent in path.parents:
        try:
            return parent.stat().st_uid
        except OSError:
            continue
    return 0


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
