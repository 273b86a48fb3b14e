"""Another journal in the place of one that is lost: made of a backup, of what is left of it, or of nothing.

Whatever it is made of, it knows that facts are missing (:mod:`depositd.journal.forgetting`), so that destinations are
asked before anything is sent.  A crash at any point leaves either the old file or the new one, or none; then the mark
says that there was one, and the same is done again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from depositd.errors import JournalError
from depositd.journal.database import Database, last_line
from depositd.journal.files import COMPANIONS, copy_journal, publish, set_aside, set_aside_before, unsound
from depositd.journal.forgetting import forget
from depositd.journal.mark import Mark, mark_path
from depositd.units import printable, utc_text

MOST_SET_ASIDE = 5
"""A journal that is lost again and again lies on a disk that should not be written to."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was done: one sentence, what to do now, where the old file is, and what the new one was made of."""

    sentence: str
    hint: str
    set_aside: Path | None
    made_of: Path | None
    asked: int


def refuse_endless(journal: Path) -> None:
    """Raise JournalError where so many journals were moved out of the way already that somebody must look first."""
    before = set_aside_before(journal)
    if len(before) >= MOST_SET_ASIDE:
        raise JournalError(
            f"the journal {printable(str(journal))} was lost {len(before)} times, and it is lost again",
            hint=f"check the disk below it; then move {printable(str(journal))}.set-aside-* away and start depositd",
        )


def put_in_place(
    journal: Path, made_of: Path | None, why: str, now: datetime, before: Callable[[Database], None]
) -> Recovered:
    """Put a journal made of another file (None: of nothing) in place, and move what is there out of the way.

    ``why`` is the sentence that says what is wrong with that.  ``before`` is what must have been done before the new
    one counts, with what that knows.  The caller holds the lock of the state directory.  Raises JournalError or OSError
    (what ``before`` raises as well), and then what was there is still there, or moved away whole.
    """
    new = journal.with_name(f"{journal.name}.new")
    _remove(new)
    if made_of is not None:
        copy_journal(made_of, new, sleep=lambda _seconds: None)
        damage = unsound(new)
        if damage is not None:
            _remove(new)
            raise JournalError(
                f"{printable(str(made_of))} is no sound journal: {damage}", hint="name another backup, or rebuild"
            )
    database = Database(new)
    try:
        asked = forget(database, f"{why}; {_origin(made_of, journal, now)}", HINT, now)
        with database.reading() as connection:
            number = last_line(connection)
        before(database)
    finally:
        database.close()
    kept = set_aside(journal, now)
    publish(new, journal)
    mark = Mark(journal)
    mark.note(number)
    mark.close()
    mark_path(new).unlink(missing_ok=True)
    return Recovered(f"{why}; {_origin(made_of, journal, now)}", _hint(kept), kept, made_of, asked)


HINT = (
    "words given since (hold, release, skip) are lost; what may have been sent is asked for first, and what only a"
    " person can know is held: depositd status"
)


def _hint(kept: Path | None) -> str:
    return f"{HINT}; the old file is {printable(str(kept))}" if kept is not None else HINT


def _origin(made_of: Path | None, journal: Path, now: datetime) -> str:
    at = f"since {utc_text(now)} "
    if made_of is None:
        return at + "there is a new one, which is made of what the sources hold and the destinations say"
    if made_of == journal:
        return at + "what it knows is gone on with, and what it may have forgotten is asked for"
    return at + f"the backup {printable(made_of.name)} stands in its place"


def _remove(new: Path) -> None:
    for end in ("", *COMPANIONS, "-journal"):
        Path(f"{new}{end}").unlink(missing_ok=True)
    mark_path(new).unlink(missing_ok=True)
