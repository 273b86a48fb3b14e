"""The files of a journal and of its backups: made whole, proven, and put aside instead of deleted."""

from __future__ import annotations

import os
import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from depositd.errors import JournalError
from depositd.journal.database import last_line, migrations
from depositd.portable import fsync, fsync_directory, replace
from depositd.units import printable

PAGES_AT_ONCE = 1024
PAUSE_S = 0.01
"""After each 4 MiB: the disk is also the daemon's."""
COMPANIONS = ("-wal", "-shm")
SET_ASIDE = "set-aside"
_BACKUP = re.compile(r"journal-(\d{6,})-(\d{8}T\d{6}Z)\.db")
_PART = ".part"


@dataclass(frozen=True, slots=True, order=True)
class Backup:
    """A backup: they are numbered in their order, because a clock can be set."""

    number: int
    path: Path
    made_at: datetime


def backups_in(directory: Path) -> list[Backup]:
    """Return the whole backups of a directory, oldest first; none where there is no directory.  Raises OSError."""
    try:
        names = os.listdir(directory)
    except FileNotFoundError:
        return []
    found = []
    for name in names:
        match = _BACKUP.fullmatch(name)
        if match is not None:
            with suppress(ValueError):
                made_at = datetime.strptime(match[2], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
                found.append(Backup(int(match[1]), directory / name, made_at))
    return sorted(found)


def make_backup(
    journal: Path,
    directory: Path,
    now: datetime,
    *,
    progress: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Backup:
    """Copy a journal that is in use to a new backup, and prove it; nobody who writes waits for that.

    ``progress`` is called all along and may raise to stop.  Raises JournalError or OSError; what is not whole then has
    no backup's name, and the next try removes it.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_parts(directory)
    number = max((one.number for one in backups_in(directory)), default=0) + 1
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    path = directory / f"journal-{number:06}-{stamp}.db"
    part = directory / f".{path.name}{_PART}"
    try:
        copy_journal(journal, part, progress=progress, sleep=sleep)
        _require_sound(part)
        publish(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return Backup(number, path, now)


def keep_newest(directory: Path, count: int) -> list[Path]:
    """Remove all but the newest backups; return those removed.  Raises OSError."""
    doomed = [one.path for one in backups_in(directory)[:-count]]
    for path in doomed:
        path.unlink()
    return doomed


def copy_journal(
    journal: Path,
    target: Path,
    *,
    progress: Callable[[], None] = lambda: None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Copy a journal, with what its write-ahead log holds, to a single new file; raises JournalError."""

    def step(_status: int, _remaining: int, _total: int) -> None:
        progress()
        sleep(PAUSE_S)

    target.touch(mode=0o600, exist_ok=False)
    try:
        with (
            closing(sqlite3.connect(_uri(journal, "mode=ro"), uri=True, isolation_level=None)) as source,
            closing(sqlite3.connect(target, isolation_level=None)) as copy,
        ):
            # one state of the journal, whatever is written meanwhile: else each write would begin it anew
            source.execute("BEGIN")
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(copy, pages=PAGES_AT_ONCE, progress=step, sleep=0.0)
            copy.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        raise JournalError(
            f"{printable(str(journal))} cannot be copied to {printable(str(target.parent))}: {error}",
            hint=f"look at the space and the permissions of {printable(str(target.parent))}",
        ) from error


def unsound(path: Path) -> str | None:
    """Return why a file that nobody writes to is no sound journal of ours, None for one that is."""
    try:
        with closing(sqlite3.connect(_uri(path, "mode=ro&immutable=1"), uri=True)) as connection:
            found = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            if found != "ok":
                return found
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if not 1 <= version <= migrations()[-1][0]:
                return f"its schema is {version}, and this depositd knows 1 to {migrations()[-1][0]}"
            last_line(connection)
    except sqlite3.DatabaseError as error:
        return str(error)
    return None


def _require_sound(part: Path) -> None:
    why = unsound(part)
    if why is not None:
        raise JournalError(
            f"the backup of the journal is not sound: {why}",
            hint="depositd journal check says whether the journal is; check the disk",
        )


def newest_sound(directory: Path) -> tuple[Backup | None, list[str]]:
    """Return the newest sound backup, and a sentence for each newer one that is not.  Raises OSError."""
    passed_over: list[str] = []
    for one in reversed(backups_in(directory)):
        why = unsound(one.path)
        if why is None:
            return one, passed_over
        passed_over.append(f"{printable(str(one.path))} is not sound: {why}")
    return None, passed_over


def set_aside(journal: Path, now: datetime) -> Path | None:
    """Move a journal out of the way with what belongs to it, and return its new path; None where nothing was there.

    Nothing is deleted.  Taken twice it does the rest.  Raises OSError.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        target = journal.with_name(f"{journal.name}.{SET_ASIDE}-{stamp}" + (f"-{number}" if number > 1 else ""))
        if not any(os.path.lexists(f"{target}{end}") for end in ("", *COMPANIONS)):
            break
        number += 1
    moved = False
    for end in ("", *COMPANIONS):
        with suppress(FileNotFoundError):
            replace(f"{journal}{end}", f"{target}{end}")
            moved = True
    fsync_directory(str(journal.parent))
    return target if moved else None


def set_aside_before(journal: Path) -> list[Path]:
    """Return the journals that were moved out of the way and still lie there."""
    return sorted(
        path for path in journal.parent.glob(f"{journal.name}.{SET_ASIDE}-*") if not path.name.endswith(COMPANIONS)
    )


def publish(part: Path, path: Path) -> None:
    """Give a whole file its name: forced to the disk before, and its name after.  Raises OSError."""
    with part.open("r+b") as file:
        fsync(file.fileno())
    replace(part, path)
    fsync_directory(str(path.parent))


def _remove_parts(directory: Path) -> None:
    for part in directory.glob(f".journal-*{_PART}*"):
        part.unlink(missing_ok=True)


def _uri(path: Path, how: str) -> str:
    return f"{path.absolute().as_uri()}?{how}"
