"""What follows from the loss of a journal: of what was there before, nobody knows what was sent.

Such a delivery is one whose answer was lost: it has a ``sent_at``, and a baseline that says when the journal was lost
(:attr:`depositd.model.Delivery.is_forgotten`).  So its destination is asked before anything is sent.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from datetime import datetime

from depositd.journal.database import Database
from depositd.journal.records import json_text, time_of, time_text
from depositd.model import FORGOTTEN, FileStat

LOST = "lost"
"""The note that the journal was lost, when, and what took its place."""


def forget(database: Database, how: str, hint: str, now: datetime) -> int:
    """Record that facts were lost; return how many deliveries' destinations have to be asked for that.

    What is under way or unconfirmed is asked about anyway, and what was delivered stays so.  What was uploaded is
    looked for again, for its next step makes it public; and a yes is none any more, since a no may have followed it.
    """
    at = time_text(now)
    with database.transaction() as connection:
        note(connection, LOST, how, hint, now)
        connection.execute("UPDATE datasets SET forgotten_at = ?", (at,))
        connection.execute("DELETE FROM swept_roots")
        connection.execute("UPDATE sources SET swept_at = NULL")
        connection.execute(
            "UPDATE deliveries SET consents = (SELECT json_group_array(value) FROM json_each(consents)"
            " WHERE value NOT IN ('approval', 'unconfirmed')) WHERE state <> 'delivered' AND consents <> '[]'"
        )
        return connection.execute(
            "UPDATE deliveries SET sent_at = ?, baseline = ?, next_attempt_at = NULL,"
            " state = CASE state WHEN 'uploaded' THEN 'unconfirmed' ELSE state END"
            " WHERE state IN ('waiting', 'held', 'failed', 'skipped', 'uploaded') AND sent_at IS NULL",
            (at, baseline_text(at)),
        ).rowcount


def forgotten_at(connection: sqlite3.Connection, root: str, files: Sequence[FileStat], *, by_hand: bool) -> str | None:
    """Return when the journal was lost, where a dataset that it finds now may have been there before; else None.

    What the first sweep finds was there, whatever a clock says.  Of the rest, that is new whose newest file was both
    written and changed after the loss.
    """
    row = connection.execute("SELECT at FROM notes WHERE name = ?", (LOST,)).fetchone()
    if row is None:
        return None
    lost_at = time_of(row["at"])
    assert lost_at is not None
    swept = connection.execute("SELECT 1 FROM swept_roots WHERE root = ?", (os.fsencode(root),)).fetchone()
    newest_ns = max((min(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    is_new = newest_ns > lost_at.timestamp() * 1e9 and (by_hand or swept is not None)
    return None if is_new else str(row["at"])


def baseline_text(forgotten: str | None) -> str:
    """Return the stored baseline of a delivery that nothing is known of, or of one that was never sent."""
    return json_text({FORGOTTEN: forgotten} if forgotten else {})


def note(connection: sqlite3.Connection, name: str, text: str, hint: str | None, now: datetime) -> None:
    """Keep what the journal should know of itself, in place of what it knew under that name."""
    connection.execute("INSERT OR REPLACE INTO notes VALUES (?, ?, ?, ?)", (name, text, hint, time_text(now)))
