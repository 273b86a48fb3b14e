"""How fast things went and how much space there was during the last day: what forecasts are made of.

Nothing here is needed for recovery, and all of it is bounded: a day, and so many rows.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from depositd.journal.database import Database
from depositd.journal.records import time_text

Kind = Literal["archived", "sent"]

KEPT = timedelta(hours=24)
RECENT = timedelta(hours=6)
"""How long ago a transfer may have ended to tell the rate of now; where there is none, the day's are asked."""
MOST_TRANSFERS = 200
"""Transfers that are kept of each kind, destination and class of size."""
TELLING_BYTES = 1 << 20
"""Below this, a transfer's time is that of its questions and answers, and tells no rate."""
SAMPLE_EVERY = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Something that was archived or sent: its bytes, the seconds that took, and when it ended."""

    size_bytes: int
    seconds: float
    at: datetime


@dataclass(frozen=True, slots=True)
class SpaceSample:
    """How many bytes were free at a moment, on which file system (``st_dev``)."""

    at: datetime
    free_bytes: int
    device: int = 0


class Rates:
    """The rates and the free space of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, kind: Kind, destination: str, size_bytes: int, seconds: float, now: datetime) -> None:
        """Record what was archived (``destination`` is then empty) or sent within ``seconds``, until ``now``.

        What took no time, or was empty, tells nothing and is left out.
        """
        if size_bytes <= 0 or seconds <= 0:
            return
        telling = int(size_bytes >= TELLING_BYTES)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO rates (kind, destination, telling, bytes, seconds, at) VALUES (?, ?, ?, ?, ?, ?)",
                (kind, destination, telling, size_bytes, seconds, time_text(now)),
            )
            connection.execute("DELETE FROM rates WHERE at < ?", (time_text(now - KEPT),))
            connection.execute(
                "DELETE FROM rates WHERE id IN (SELECT id FROM rates"
                " WHERE kind = ? AND destination = ? AND telling = ? ORDER BY at DESC, id DESC LIMIT -1 OFFSET ?)",
                (kind, destination, telling, MOST_TRANSFERS),
            )

    def transfers(self, kind: Kind, destination: str, now: datetime) -> list[Transfer]:
        """Return the transfers that tell the rate of now, oldest first: the telling ones of the last hours.

        Where there are none, those of the day; where those are all small, small ones.
        """
        for telling in (1, 0):
            for since in (now - RECENT, now - KEPT):
                found = self._transfers(kind, destination, telling, since)
                if found:
                    return found
        return []

    def recent(self, kind: Kind, destination: str, now: datetime) -> float | None:
        """Return the bytes per second that one transfer of the last hours had, None where nothing is known.

        All bytes by all seconds, so that a large transfer counts for more than a small one.  Of transfers side by side,
        it is what each of them had: what a dataset can expect.
        """
        found = self.transfers(kind, destination, now)
        return sum(one.size_bytes for one in found) / sum(one.seconds for one in found) if found else None

    def sample(self, what: str, free_bytes: int, at: datetime, *, device: int = 0) -> None:
        """Record how much is free of ``what``, a directory's file system or a quota; at most once a minute, for a day.

        ``device`` tells the file system from another one at the same place.
        """
        name = os.fsencode(what)
        with self._database.transaction() as connection:
            # a clock that was set back has left samples of a time that is yet to come
            connection.execute("DELETE FROM space WHERE what = ? AND at > ?", (name, time_text(at)))
            newest = connection.execute("SELECT max(at) FROM space WHERE what = ?", (name,)).fetchone()[0]
            if newest is not None and newest > time_text(at - SAMPLE_EVERY):
                return
            connection.execute("DELETE FROM space WHERE at < ?", (time_text(at - KEPT),))
            connection.execute("INSERT INTO space VALUES (?, ?, ?, ?)", (name, time_text(at), free_bytes, device))

    def samples(self, what: str, since: datetime) -> list[SpaceSample]:
        """Return the samples of ``what`` from a moment on, oldest first."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT at, free_bytes, device FROM space WHERE what = ? AND at >= ? ORDER BY at",
                (os.fsencode(what), time_text(since)),
            ).fetchall()
        return [SpaceSample(datetime.fromisoformat(row["at"]), row["free_bytes"], row["device"]) for row in rows]

    def _transfers(self, kind: Kind, destination: str, telling: int, since: datetime) -> list[Transfer]:
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT bytes, seconds, at FROM rates"
                " WHERE kind = ? AND destination = ? AND telling = ? AND at >= ? ORDER BY at, id",
                (kind, destination, telling, time_text(since)),
            ).fetchall()
        return [Transfer(row["bytes"], row["seconds"], datetime.fromisoformat(row["at"])) for row in rows]
