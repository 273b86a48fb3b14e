"""What becomes of histories in the course of years: of what ended long ago, the last facts stay.

Datasets, archives with their members, and deliveries are never removed: what was delivered, when, and with which hash
is what keeps it from being delivered twice.  Of the history, the last line of the dataset and of each delivery
stay; the hashes of an archive's blocks go once it left the spool, since they served the upload alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from sqlite3 import Connection

from depositd.journal import history
from depositd.journal.database import Database
from depositd.journal.forgetting import note
from depositd.journal.records import time_text
from depositd.units import show_count

AT_ONCE = 500
"""Datasets of which one look decides: it holds the journal for some milliseconds."""
_PRUNING = "pruning"

_ENDED = """
    SELECT d.id FROM datasets AS d WHERE d.id > :after AND d.id <= :last AND d.pruned_at IS NULL
    AND EXISTS (SELECT 1 FROM deliveries AS v WHERE v.dataset_id = d.id)
    AND NOT EXISTS (SELECT 1 FROM deliveries AS v WHERE v.dataset_id = d.id
                    AND (v.state NOT IN ('delivered', 'skipped') OR v.ended_at IS NULL OR v.ended_at > :before))
    AND NOT EXISTS (SELECT 1 FROM results AS r JOIN deliveries AS v ON v.id = r.delivery_id
                    WHERE v.dataset_id = d.id AND r.ended_at IS NULL)
"""
_OLD_LINES = """
    DELETE FROM history WHERE dataset_id = :id
    AND id NOT IN (SELECT max(id) FROM history WHERE dataset_id = :id GROUP BY delivery_id)
"""


@dataclass(frozen=True, slots=True)
class Pruned:
    """What one look did: ``next_after`` is the last dataset that it looked at, None where there are no more."""

    datasets: int
    lines: int
    next_after: int | None


class Pruning:
    """The histories of a journal that may go."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def prune(self, ended_before: datetime, after: int, now: datetime) -> Pruned:
        """Prune those of the next datasets behind number ``after`` whose deliveries all ended before a time.

        Raises JournalError.
        """
        with self._database.transaction() as connection:
            last = connection.execute(
                "SELECT max(id) FROM (SELECT id FROM datasets WHERE id > ? ORDER BY id LIMIT ?)", (after, AT_ONCE)
            ).fetchone()[0]
            if last is None:
                return Pruned(0, 0, None)
            values = {"after": after, "last": last, "before": time_text(ended_before)}
            ended = [row["id"] for row in connection.execute(_ENDED, values)]
            lines = 0
            if ended:
                # the trigger lets lines go only while this stands, and nobody else ever sees it
                note(connection, _PRUNING, "histories are pruned", None, now)
                lines = sum(self._prune_one(connection, one, now) for one in ended)
                connection.execute("DELETE FROM notes WHERE name = ?", (_PRUNING,))
            return Pruned(len(ended), lines, last)

    def _prune_one(self, connection: Connection, dataset_id: int, now: datetime) -> int:
        removed = connection.execute(_OLD_LINES, {"id": dataset_id}).rowcount
        connection.execute("UPDATE datasets SET pruned_at = ? WHERE id = ?", (time_text(now), dataset_id))
        connection.execute("UPDATE archives SET blocks = x'' WHERE dataset_id = ? AND path IS NULL", (dataset_id,))
        if removed:
            detail = f"{show_count(removed, 'line')} of this history: all deliveries ended long ago (keep_history)"
            history.append(connection, dataset_id, None, "pruned", detail, now)
        return removed
