"""What the spool holds, as the journal knows it: how much, for how long, and how large archives become."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from depositd.journal.database import Database
from depositd.journal.records import time_of

_KEPT = """
    SELECT d.rule, s.bytes, max(v.ended_at) AS ended_at
    FROM (SELECT dataset_id, sum(bytes) AS bytes FROM archives WHERE path IS NOT NULL GROUP BY dataset_id) AS s
    JOIN datasets AS d ON d.id = s.dataset_id JOIN deliveries AS v ON v.dataset_id = s.dataset_id
    WHERE d.state = 'archived' GROUP BY d.id HAVING min(v.state IN ('delivered', 'skipped')) = 1
"""
_RECENT = """
    SELECT count(*) AS datasets, sum(bytes) AS bytes, sum(packed) AS packed FROM (
        SELECT d.bytes, (SELECT sum(a.bytes) FROM archives AS a WHERE a.dataset_id = d.id) AS packed
        FROM datasets AS d WHERE d.rule = ? AND d.archived_at IS NOT NULL ORDER BY d.archived_at DESC LIMIT ?
    )
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """A dataset's archives, whose deliveries have all ended well: they stay for its rule's time after that."""

    rule: str
    size_bytes: int
    ended_at: datetime


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """What the last datasets of a rule became when they were packed."""

    datasets: int
    source_bytes: int
    packed_bytes: int


class Spooled:
    """The archives in the spool."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def unpacked(self) -> set[int]:
        """Return the datasets that may still be archived: they grow, or have ended and are wanted somewhere."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id FROM datasets AS d WHERE current = 1 AND state IN ('growing', 'incomplete', 'complete')"
                " AND EXISTS (SELECT 1 FROM deliveries WHERE dataset_id = d.id AND state <> 'skipped')"
            ).fetchall()
        return {row["id"] for row in rows}

    def sizes(self) -> dict[int, int]:
        """Return the bytes in the spool of each dataset that has an archive there."""
        query = "SELECT dataset_id, sum(bytes) AS bytes FROM archives WHERE path IS NOT NULL GROUP BY dataset_id"
        with self._database.reading() as connection:
            return {row["dataset_id"]: row["bytes"] for row in connection.execute(query)}

    def kept(self) -> list[Kept]:
        """Return what is in the spool for no other reason than that it is kept for a time."""
        with self._database.reading() as connection:
            rows = connection.execute(_KEPT).fetchall()
        return [
            Kept(row["rule"], row["bytes"], ended_at)
            for row in rows
            if (ended_at := time_of(row["ended_at"])) is not None
        ]

    def shrinkage(self, rule: str, most: int) -> Shrinkage:
        """Return what the last ``most`` datasets of a rule became when they were packed."""
        with self._database.reading() as connection:
            row = connection.execute(_RECENT, (rule, most)).fetchone()
        return Shrinkage(row["datasets"], row["bytes"] or 0, row["packed"] or 0)
