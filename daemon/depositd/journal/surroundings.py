"""How things stand outside the datasets: sources, destinations, and transfers under way."""

from __future__ import annotations

import enum
import json
import os
import sqlite3
from dataclasses import dataclass
from datetime import datetime

from depositd.journal.database import Database
from depositd.journal.records import json_text, time_of, time_text


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


class PauseKind(enum.StrEnum):
    """Why nothing goes to a destination: it refuses our credentials, or it is away."""

    PAUSED = "paused"
    AWAY = "away"


@dataclass(frozen=True, slots=True)
class Pause:
    """Why a destination takes nothing at the moment, and when it is asked again; ``failures`` is how often in vain."""

    destination: str
    reason: str
    hint: str
    since: datetime
    failures: int
    next_probe_at: datetime
    kind: PauseKind = PauseKind.PAUSED


@dataclass(frozen=True, slots=True)
class Doubts:
    """What speaks for it that a destination is away: ``steps`` that failed in a row, the first of them at ``since``.

    ``noted_at`` is when something was noted last.  With ``steps`` 0 it has just answered again after it was away, and
    ``asked_in_vain`` is how often it had not before.
    """

    steps: int
    since: datetime
    noted_at: datetime
    asked_in_vain: int = 0


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
            if status.swept_at is not None:
                connection.execute("INSERT OR IGNORE INTO swept_roots VALUES (?)", (os.fsencode(status.root),))

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
        """Record that a destination takes nothing; True where that is new, or for another kind of reason.

        It begins when it began: ``since`` counts only where the destination took deliveries until now.
        """
        with self._database.transaction() as connection:
            row = connection.execute("SELECT state FROM destinations WHERE name = ?", (pause.destination,)).fetchone()
            connection.execute(
                "INSERT INTO destinations (name, state, reason, hint, since, failures, next_probe_at, noted_at)"
                " VALUES (:name, :state, :reason, :hint, :since, :failures, :probe, :since)"
                " ON CONFLICT (name) DO UPDATE SET since = CASE WHEN state = 'doubted' THEN :since ELSE since END,"
                " state = :state, reason = :reason, hint = :hint, failures = :failures, next_probe_at = :probe",
                {
                    "name": pause.destination,
                    "state": pause.kind,
                    "reason": pause.reason,
                    "hint": pause.hint,
                    "since": time_text(pause.since),
                    "failures": pause.failures,
                    "probe": time_text(pause.next_probe_at),
                },
            )
            return row is None or row["state"] != pause.kind

    def resume(self, destination: str) -> bool:
        """Record that a destination takes deliveries again, and forget the rest; True where it took none."""
        with self._database.transaction() as connection:
            query = "DELETE FROM destinations WHERE name = ? AND state <> 'doubted'"
            return connection.execute(query, (destination,)).rowcount > 0

    def pauses(self) -> dict[str, Pause]:
        """Return the destinations that take nothing, by name: those that are paused, and those that are away."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM destinations WHERE state <> 'doubted' ORDER BY name").fetchall()
        return {row["name"]: _pause_of(row) for row in rows}

    def refusing(self) -> set[str]:
        """Return the names of those that refuse our credentials: what goes there needs the operator."""
        return {name for name, pause in self.pauses().items() if pause.kind is PauseKind.PAUSED}

    def ask_at_once(self, destination: str, now: datetime) -> None:
        """Let a destination show whether it takes deliveries again.

        Where it refused our credentials, whoever says so has mended them: a delivery is tried.  One that is away is
        asked first, for it may be away still.
        """
        with self._database.transaction() as connection:
            connection.execute("DELETE FROM destinations WHERE name = ? AND state = 'paused'", (destination,))
            query = "UPDATE destinations SET next_probe_at = ? WHERE name = ? AND state = 'away'"
            connection.execute(query, (time_text(now), destination))

    def doubts(self, destination: str) -> Doubts | None:
        """Return what speaks for it that a destination is away, None where nothing does, or where it is known to be."""
        with self._database.reading() as connection:
            query = "SELECT * FROM destinations WHERE name = ? AND state = 'doubted'"
            row = connection.execute(query, (destination,)).fetchone()
        return None if row is None else _doubts_of(row)

    def doubt(self, destination: str, doubts: Doubts) -> None:
        """Record what speaks for it that a destination is away, where that is not known yet."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO destinations (name, state, steps, since, noted_at, failures)"
                " VALUES (:name, 'doubted', :steps, :since, :noted, :failures)"
                " ON CONFLICT (name) DO UPDATE SET steps = :steps, since = :since, noted_at = :noted,"
                " failures = :failures WHERE state = 'doubted'",
                {
                    "name": destination,
                    "steps": doubts.steps,
                    "since": time_text(doubts.since),
                    "noted": time_text(doubts.noted_at),
                    "failures": doubts.asked_in_vain,
                },
            )

    def put_off(self, destination: str, delivery_id: int, *, first: bool) -> None:
        """Record that a destination that may be away put off a delivery; ``first`` forgets those before it."""
        with self._database.transaction() as connection:
            row = connection.execute("SELECT waiting FROM destinations WHERE name = ?", (destination,)).fetchone()
            if row is not None:
                waiting = {delivery_id} if first else {delivery_id, *json.loads(row["waiting"])}
                query = "UPDATE destinations SET waiting = ? WHERE name = ?"
                connection.execute(query, (json_text(sorted(waiting)), destination))

    def trust(self, destination: str) -> None:
        """Forget what spoke for it that a destination is away, where it was not known to be; costs nothing else."""
        if self.doubts(destination) is not None:
            with self._database.transaction() as connection:
                query = "DELETE FROM destinations WHERE name = ? AND state = 'doubted'"
                connection.execute(query, (destination,))

    def answers(self, destination: str, now: datetime) -> frozenset[int] | None:
        """Record that a destination answers again; return the deliveries that it put off, None where it took them all.

        Until a step there succeeds it is remembered that it was away.
        """
        with self._database.transaction() as connection:
            query = "SELECT waiting FROM destinations WHERE name = ? AND state <> 'doubted'"
            row = connection.execute(query, (destination,)).fetchone()
            if row is None:
                return None
            connection.execute("DELETE FROM destinations WHERE name = ? AND state = 'paused'", (destination,))
            connection.execute(
                "UPDATE destinations SET state = 'doubted', steps = 0, waiting = '[]', noted_at = ? WHERE name = ?",
                (time_text(now), destination),
            )
            return frozenset(json.loads(row["waiting"]))

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
    kind = PauseKind(row["state"])
    return Pause(row["name"], row["reason"] or "", row["hint"] or "", since, row["failures"], probe, kind)


def _doubts_of(row: sqlite3.Row) -> Doubts:
    since, noted_at = time_of(row["since"]), time_of(row["noted_at"])
    assert since is not None
    assert noted_at is not None
    return Doubts(row["steps"], since, noted_at, row["failures"])
