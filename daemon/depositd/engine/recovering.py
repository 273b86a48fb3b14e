"""A journal that is lost, and what takes its place: at a start of the daemon, or at an operator's word.

Deciding is here, doing in :mod:`depositd.journal.recovery`.  The caller holds the lock of the state directory.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from depositd.archive import Survivors, set_survivors_aside
from depositd.config import Config
from depositd.errors import JournalError, JournalLost
from depositd.journal import FILE_NAME, Ballast, Journal
from depositd.journal.database import Database
from depositd.journal.datasets import DatasetFacts
from depositd.journal.files import Backup, backups_in, newest_sound
from depositd.journal.recovery import Recovered, put_in_place, refuse_endless
from depositd.units import printable, show_count, show_size


@dataclass(frozen=True, slots=True)
class Recovery:
    """What was done: the journal's part, backups that were no good, and what was found in the spool."""

    journal: Recovered
    passed_over: tuple[str, ...]
    survivors: Survivors | None

    @property
    def sentences(self) -> list[str]:
        """What somebody should know of it, each for itself."""
        asked, survivors = self.journal.asked, self.survivors
        told = [self.journal.sentence, *self.passed_over]
        if asked:
            told.append(
                f"of {show_count(asked, 'delivery', 'deliveries')} the destination is asked before anything is sent"
            )
        if survivors is not None:
            told.append(
                f"what lies in the spool and is not known any more was put into {printable(survivors.directory)}"
                f" ({show_count(survivors.files, 'archive')}, {show_size(survivors.size_bytes)}): delete it once its"
                " datasets are delivered"
            )
        return told


def open_or_recover(config: Config, now: datetime, ballast: Ballast | None = None) -> tuple[Journal, Recovery | None]:
    """Open the journal for the daemon; where it is lost, put the best that there is in its place.

    Nothing is deleted, and nothing is sent before its destination was asked.  Raises JournalError where the journal
    cannot be used for another reason, or was lost too often; OSError where files cannot be moved.
    """
    path = config.state_dir / FILE_NAME
    try:
        return _opened(config, path, ballast), None
    except JournalLost as lost:
        refuse_endless(path)
        recovery = recover(config, str(lost), now, made_of=path if lost.is_sound else None)
    return _opened(config, path, ballast), recovery


def recover(config: Config, why: str, now: datetime, *, made_of: Path | None = None, anew: bool = False) -> Recovery:
    """Put another journal in place: made of a file, of the newest sound backup, or ``anew`` of nothing.

    The spool comes first: a start that finds the new journal removes from the spool what that does not know.
    """
    path = config.state_dir / FILE_NAME
    passed_over: list[str] = []
    if made_of is None and not anew:
        backup, passed_over = newest_sound(config.backup_directory)
        made_of = backup.path if backup is not None else None
    survivors: Survivors | None = None

    def sort_spool(database: Database) -> None:
        nonlocal survivors
        survivors = set_survivors_aside(str(config.spool.path), DatasetFacts(database).spool_paths(), now)

    recovered = put_in_place(path, made_of, why, now, sort_spool)
    return Recovery(recovered, tuple(passed_over), survivors)


def newest_backup(config: Config) -> Backup:
    """Return the newest sound backup; raises JournalError where there is none."""
    backup, passed_over = newest_sound(config.backup_directory)
    if backup is None:
        none = "; ".join(passed_over) or f"there is no backup in {printable(str(config.backup_directory))}"
        raise JournalError(none, hint="name a backup: depositd journal restore FILE; or: depositd journal rebuild")
    return backup


def refuse_anew(config: Config) -> None:
    """Raise JournalLost where there is no journal, and backups say that there was one: another would send all again."""
    path = config.state_dir / FILE_NAME
    if not path.exists() and backups_in(config.backup_directory):
        raise JournalLost(
            f"the journal {printable(str(path))} is gone, and there are backups of it",
            hint="depositd run takes the newest",
        )


def _opened(config: Config, path: Path, ballast: Ballast | None) -> Journal:
    refuse_anew(config)
    journal = Journal(path, ballast=ballast)
    try:
        journal.database.require_sound()
    except BaseException:
        journal.close()
        raise
    return journal
