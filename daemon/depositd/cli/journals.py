"""The journal and the state directory as commands need them: to read, to write, or to work in."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from depositd import portable
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.journal import Journal


@contextmanager
def reading(config: Config) -> Iterator[Journal | None]:
    """Open the journal to read it; None where there is none yet.  Raises DepositdError."""
    from depositd.journal import FILE_NAME, Journal, refuse_gone

    path = config.state_dir / FILE_NAME
    if not _is_there(path, os.R_OK):
        refuse_gone(path)
        yield None
        return
    journal = Journal(path, read_only=True)
    try:
        yield None if journal.database.is_empty else journal
    finally:
        journal.close()


@contextmanager
def writing(config: Config) -> Iterator[Journal | None]:
    """Open the journal for an operator's word; None where there is none yet.  Raises DepositdError."""
    from depositd.journal import FILE_NAME, Journal, refuse_gone

    path = config.state_dir / FILE_NAME
    if not _is_there(path, os.R_OK | os.W_OK):
        refuse_gone(path)
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
    from depositd.engine.recovering import refuse_anew
    from depositd.journal import FILE_NAME, Journal

    make_state_dir(config)
    refuse_anew(config)
    journal = Journal(config.state_dir / FILE_NAME)
    try:
        yield journal
    finally:
        journal.close()


def disk_problem(config: Config) -> str | None:
    """Return why a daemon that runs cannot write its journal, None where the directory shows no reason."""
    from depositd.journal import Ballast

    if not os.access(config.state_dir, os.W_OK):
        return f"the state directory {printable(str(config.state_dir))} cannot be written: nothing is archived or sent"
    return Ballast(config.state_dir).shortage()


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
    name = portable.user_name(owner)
    raise DepositdError(
        f"the journal {printable(str(path))} is not open to this user",
        hint=f"it belongs to {name}: sudo -u {name} depositd …",
    )


def require_owner(state_dir: Path) -> None:
    """Raise DepositdError for anyone but the owner of the state: what root makes there, no daemon can open."""
    owner = state_dir.stat().st_uid
    if portable.user_id() in (None, owner):
        return
    name = portable.user_name(owner)
    raise DepositdError(
        f"{printable(str(state_dir))} belongs to {name}, and this is {portable.current_user()}",
        hint=f"sudo -u {name} depositd journal …",
    )


def _owner_of_nearest(path: Path) -> int:
    """Return who owns the nearest directory above ``path`` that can be looked at."""
    for parent in path.parents:
        try:
            return parent.stat().st_uid
        except OSError:
            continue
    return 0
