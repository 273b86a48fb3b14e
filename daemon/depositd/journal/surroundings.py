"""How things stand outside the datasets: sources, destinations, and transfers under way."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from depositd.journal.database import Database
from depositd.journal.records import time_of, time_text


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is watched, and when it was last swept.

    ``means`` and ``problem`` are sentences; ``duration_s`` is that of the last sweep.
    """

    root: str
    state: str
    means: str
    problem: str | None = None
    swept_at: datetime | None = None
    files: int | None = None
    duration_s: float | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a destination takes nothing at the moment, and when it is asked again."""

    destination: str
    reason: str
    hint: str
    since: datetime
    failures: int
    next_probe_at: datetime


@dataclass(frozen=True, slots=True)
class Progress:
    """A transfer under way: ``subject`` is ``dataset 3`` or ``delivery 7``, ``activity`` what is being done."""

    subject: str
    activity: str
    done_bytes: int
    total_bytes: int
    at: datetime


class Surroundings:
    """Sources, destinations and progress of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def source(self, status: SourceStatus) -> None:
        """Record how a source stands."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO sources VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    os.fsencode(status.root),
                    status.state,
                    status.means,
                    status.problem,
                    time_text(status.swept_at) if status.swept_at else None,
                    status.files,
                    status.duration_s,
                ),
            )

    def source_means(self, root: str, means: str, problem: str | None) -> None:
        """Record by which means a source is watched from now on; when it was swept stays as it is."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE sources SET means = ?, problem = ? WHERE root = ?", (means, problem, os.fsencode(root))
            )

    def forget_sources(self, keep: set[str]) -> None:
        """Drop sources that no rule watches any more."""
        with self._database.transaction() as connection:
            known = [row["root"] for row in connection.execute("SELECT root FROM sources")]
            for root in known:
                if os.fsdecode(root) not in keep:
                    connection.execute("DELETE FROM sources WHERE root = ?", (root,))

    def sources(self) -> list[SourceStatus]:
        """Return all sources in the order of their paths."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM sources ORDER BY root").fetchall()
        return [
            SourceStatus(
                os.fsdecode(row["root"]),
                row["state"],
                row["means"],
                row["problem"],
                time_of(row["swept_at"]),
                row["files"],
                row["duration_s"],
            )
            for row in rows
        ]

    def pause(self, pause: Pause) -> bool:
        """Record that a destination is paused; True where it was not before (so that it is said once)."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT paused, since FROM destinations WHERE name = ?", (pause.destination,)
            ).fetchone()
            was_paused = row is not None and bool(row["paused"])
            since = row["since"] if was_paused else time_text(pause.since)
            connection.execute(
                "INSERT OR REPLACE INTO destinations VALUES (?, 1, ?, ?, ?, ?, ?)",
                (
                    pause.destination,
                    pause.reason,
                    pause.hint,
                    since,
                    pause.failures,
                    time_text(pause.next_probe_at),
                ),
            )
            return not was_paused

    def resume(self, destination: str) -> bool:
        """Record that a destination takes deliveries again; True where it was paused."""
        with self._database.transaction() as connection:
            cursor = connection.execute("DELETE FROM destinations WHERE name = ? AND paused = 1", (destination,))
            return cursor.rowcount > 0

    def pauses(self) -> dict[str, Pause]:
        """Return the paused destinations by name."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM destinations WHERE paused = 1 ORDER BY name").fetchall()
        return {row["name"]: _pause_of(row) for row in rows}

    def progress(self, progress: Progress) -> None:
        """Record how far a transfer is."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO progress VALUES (?, ?, ?, ?, ?)",
                (
                    progress.subject,
                    progress.activity,
                    progress.done_bytes,
                    progress.total_bytes,
                    time_text(progress.at),
                ),
            )

    def progress_ended(self, subject: str | None = None) -> None:
        """Forget a transfer, or at start-up all of them."""
        with self._database.transaction() as connection:
            if subject is None:
                connection.execute("DELETE FROM progress")
            else:
                connection.execute("DELETE FROM progress WHERE subject = ?", (subject,))

    def transfers(self) -> list[Progress]:
        """Return the transfers under way."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM progress ORDER BY at").fetchall()
        found = []
        for row in rows:
            at = time_of(row["at"])
            assert at is not None
            found.append(Progress(row["subject"], row["activity"], row["done_bytes"], row["total_bytes"], at))
        return found


def _pause_of(row: sqlite3.Row) -> Pause:
    since, probe = time_of(row["since"]), time_of(row["next_probe_at"])
    assert since is not None
    assert probe is not None
    return Pause(row["name"], row["reason"] or "", row["hint"] or "", since, row["failures"], probe)
