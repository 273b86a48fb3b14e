"""What waits to be archived and to be sent, in numbers; asked now and then, never at every tick."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from depositd.journal.database import Database
from depositd.journal.records import time_text


@dataclass(frozen=True, slots=True)
class Waiting:
    """Datasets that wait for the same thing, and the bytes of them that are still to move.

    ``unarchived_bytes`` are those of the bytes to be sent that are to be archived first; ``under_way`` is how many of
    the datasets have begun to move.
    """

    datasets: int = 0
    size_bytes: int = 0
    unarchived_bytes: int = 0
    under_way: int = 0


_MOVED = "CASE WHEN p.total_bytes > 0 THEN min(1.0 * p.done_bytes / p.total_bytes, 1.0) ELSE 0.0 END"
"""The share of a transfer under way that is behind it."""

_SUMS = """
    count(*) AS datasets, coalesce(sum(size * (1 - moved)), 0) AS bytes,
    coalesce(sum(iif(ready, 0, size)), 0) AS unarchived, count(subject) AS under_way
"""

_TO_ARCHIVE = f"""
    SELECT {_SUMS} FROM (
        SELECT d.bytes AS size, 0 AS ready, p.subject, {_MOVED} AS moved
        FROM datasets AS d LEFT JOIN progress AS p ON p.subject = 'dataset ' || d.id
        WHERE d.state = 'complete' AND d.current = 1
          AND EXISTS (SELECT 1 FROM deliveries WHERE dataset_id = d.id AND state IN ('waiting', 'held'))
        UNION ALL
        SELECT d.bytes, 0, p.subject, {_MOVED}
        FROM datasets AS d LEFT JOIN progress AS p ON p.subject = 'dataset ' || d.id
        WHERE +d.state = 'incomplete' AND d.current = 1
          AND d.id IN (SELECT dataset_id FROM deliveries WHERE state = 'waiting' AND ready = 0)
    )
"""  # noqa: S608 - constants of this module

_TO_SEND = f"""
    SELECT destination, {_SUMS} FROM (
        SELECT v.destination, v.ready, p.subject, {_MOVED} AS moved, coalesce(
            (SELECT max(a.bytes) FROM archives AS a WHERE a.dataset_id = d.id AND a.path IS NOT NULL), d.bytes
        ) AS size
        FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id
        LEFT JOIN progress AS p ON p.subject = 'delivery ' || v.id
        WHERE v.state = 'waiting' AND v.hold IS NULL AND d.state IN ('complete', 'incomplete', 'archived')
    ) GROUP BY destination
"""  # noqa: S608 - constants of this module


class Backlog:
    """What a journal's datasets wait for."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def to_archive(self) -> Waiting:
        """Return what has ended and is to be archived (the same datasets as ``DatasetFacts.packable`` gives)."""
        with self._database.reading() as connection:
            return _waiting(connection.execute(_TO_ARCHIVE).fetchone())

    def put_off(self, since: datetime) -> list[str]:
        """Return why archiving is put off until some time after ``since``, each sentence once."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT pack_error FROM datasets"
                " WHERE next_pack_at >= ? AND current = 1 AND pack_error IS NOT NULL ORDER BY pack_error",
                (time_text(since),),
            ).fetchall()
        return [row["pack_error"] for row in rows]

    def to_send(self) -> dict[str, Waiting]:
        """Return by destination what waits to be sent and is not held, archived already or not."""
        with self._database.reading() as connection:
            return {row["destination"]: _waiting(row) for row in connection.execute(_TO_SEND)}


def _waiting(row: sqlite3.Row) -> Waiting:
    return Waiting(row["datasets"], round(row["bytes"]), row["unarchived"], row["under_way"])
