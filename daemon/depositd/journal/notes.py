"""What the journal knows of itself: that it was lost, and how its backups stand."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta

from depositd.journal.database import Database
from depositd.journal.forgetting import LOST, note
from depositd.journal.records import time_of
from depositd.units import utc_text

BACKUP = "backup"
BACKUP_FAILED = "backup failed"
SAID_FOR = timedelta(days=7)
"""How long status says that the journal was lost."""


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence about the journal, with what can be done, and since when it is so."""

    name: str
    text: str
    hint: str | None
    at: datetime


class Notes:
    """The notes of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> Note | None:
        """Return a note, None where there is none of that name."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM notes WHERE name = ?", (name,)).fetchone()
        return None if row is None else _note_of(row)

    def backed_up(self, path: str, now: datetime) -> None:
        """Record that there is a new backup, and that nothing is wrong with them."""
        with self._database.transaction() as connection:
            note(connection, BACKUP, path, None, now)
            connection.execute("DELETE FROM notes WHERE name = ?", (BACKUP_FAILED,))

    def backup_failed(self, why: str, hint: str, now: datetime) -> None:
        """Record that a backup could not be made."""
        with self._database.transaction() as connection:
            note(connection, BACKUP_FAILED, why, hint, now)

    def troubles(self, now: datetime) -> list[Note]:
        """Return what somebody should know of the journal itself."""
        found = [self.get(LOST), self.get(BACKUP_FAILED)]
        return [one for one in found if one is not None and (one.name != LOST or abs(now - one.at) < SAID_FOR)]

    def json(self, now: datetime) -> dict[str, object]:
        """Return how the journal stands as ``status --json`` shows it."""
        backup = self.get(BACKUP)
        return {
            "backup_at": None if backup is None else utc_text(backup.at),
            "problems": [
                {"reason": one.text, "hint": one.hint, "since": utc_text(one.at)} for one in self.troubles(now)
            ],
        }


def _note_of(row: sqlite3.Row) -> Note:
    at = time_of(row["at"])
    assert at is not None
    return Note(row["name"], row["text"], row["hint"], at)
