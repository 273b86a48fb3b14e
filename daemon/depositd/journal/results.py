"""What servers measured of what they were sent: whose results are looked for, what was found, and what followed."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from depositd.journal import history
from depositd.journal.database import Database
from depositd.journal.records import harmless, json_text, time_of, time_text
from depositd.units import printable


@dataclass(frozen=True, slots=True)
class ResultRecord:
    """A delivery whose results are looked for, with what is known of its run.

    ``rule`` is that of its dataset.  ``columns`` are those that were measured so far.  ``action`` is what is to be done
    with the run, ``marked_at`` when the server had done it.  ``failures`` in a row are those of asking or marking.
    """

    delivery_id: int
    dataset_id: int
    rule: str
    baseline: Mapping[str, Any]
    run_key: str | None
    raw_file: str | None
    columns: Mapping[str, Any]
    action: str | None
    reason: str | None
    hint: str | None
    wanted_since: datetime
    found_at: datetime | None
    marked_at: datetime | None
    ended_at: datetime | None
    next_look_at: datetime | None
    failures: int


@dataclass(frozen=True, slots=True)
class Unexplained:
    """A delivery that was sent, or may have been, and of which nobody knows the run.

    ``at`` is when it arrived, or when the send began whose answer was lost.
    """

    delivery_id: int
    archive_name: str
    baseline: Mapping[str, Any]
    at: datetime


class ResultFacts:
    """The results of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def want(self, delivery_id: int, now: datetime, look_at: datetime) -> None:
        """Record that a delivery's results are looked for from ``look_at`` on; nothing where they are already."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO results (delivery_id, destination, wanted_since, next_look_at)"
                " SELECT id, destination, ?, ? FROM deliveries WHERE id = ?",
                (time_text(now), time_text(look_at), delivery_id),
            )

    def want_delivered(self, destination: str, rule: str, since: datetime, now: datetime) -> int:
        """Look for the results of what was delivered since then and is not looked for yet; return how many."""
        with self._database.transaction() as connection:
            cursor = connection.execute(
                "INSERT INTO results (delivery_id, destination, wanted_since, next_look_at)"
                " SELECT v.id, v.destination, v.ended_at, :now FROM deliveries AS v"
                " JOIN datasets AS d ON d.id = v.dataset_id"
                " WHERE v.destination = :destination AND v.state = 'delivered' AND v.ended_at > :since"
                " AND d.rule = :rule AND v.id NOT IN (SELECT delivery_id FROM results)",
                {"destination": destination, "rule": rule, "since": time_text(since), "now": time_text(now)},
            )
            return cursor.rowcount

    def is_due(self, destination: str, now: datetime) -> bool:
        """Say whether a look is due at a destination; cheap, for it is asked at every tick."""
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM results WHERE destination = ? AND ended_at IS NULL AND next_look_at <= ? LIMIT 1",
                (destination, time_text(now)),
            ).fetchone()
        return found is not None

    def awaited(self, destination: str, most: int) -> list[ResultRecord]:
        """Return those looked for at a destination, in the order of sending; of too many those that are due first."""
        found = self._select(
            "r.destination = ? AND r.ended_at IS NULL ORDER BY r.next_look_at, r.delivery_id LIMIT ?",
            (destination, most),
        )
        return sorted(found, key=lambda record: (record.wanted_since, record.delivery_id))

    def get(self, delivery_id: int) -> ResultRecord | None:
        """Return what is known of one delivery's results, None where they are not looked for."""
        found = self._select("r.delivery_id = ?", (delivery_id,))
        return found[0] if found else None

    def run_keys(self, destinations: Collection[str], besides: Collection[int]) -> frozenset[str]:
        """Return the keys of runs that are known to be those of deliveries to some destinations, ``besides`` some."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT run_key FROM results WHERE run_key IS NOT NULL"
                " AND destination IN (SELECT value FROM json_each(?))"
                " AND delivery_id NOT IN (SELECT value FROM json_each(?))",
                (json_text(sorted(destinations)), json_text(sorted(besides))),
            ).fetchall()
        return frozenset(row["run_key"] for row in rows)

    def unexplained(
        self, destinations: Collection[str], since: datetime, besides: Collection[int]
    ) -> list[Unexplained]:
        """Return deliveries to some destinations, ``besides`` some, whose runs may be there and are not known.

        Those in doubt whenever they were sent, and those delivered after ``since``.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT v.id, v.baseline, a.name, coalesce(v.sent_at, v.ended_at) AS at FROM deliveries AS v"
                " CROSS JOIN archives AS a ON a.dataset_id = v.dataset_id"
                " LEFT JOIN results AS r ON r.delivery_id = v.id"
                # found by the times, of which few are so late, not by all that ever went there
                " WHERE +v.destination IN (SELECT value FROM json_each(:destinations)) AND r.run_key IS NULL"
                " AND v.id NOT IN (SELECT value FROM json_each(:besides))"
                " AND (v.sent_at > '' OR (+v.state = 'delivered' AND v.ended_at > :since))"
                # 'archive' sorts before 'file': where a dataset has both, the file is what such a server takes
                " ORDER BY a.packing",
                {
                    "destinations": json_text(sorted(destinations)),
                    "besides": json_text(sorted(besides)),
                    "since": time_text(since),
                },
            ).fetchall()
        found = {}
        for row in rows:
            at = time_of(row["at"])
            assert at is not None
            found[row["id"]] = Unexplained(row["id"], os.fsdecode(row["name"]), json.loads(row["baseline"]), at)
        return list(found.values())

    def found(
        self, delivery_id: int, raw_file: str, run_key: str | None, columns: Mapping[str, Any], now: datetime
    ) -> None:
        """Record a run and what was measured of it so far; a line of history where that is more than before."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            harmless_columns = {printable(name): _plain(value) for name, value in columns.items()}
            stored = json_text(harmless_columns)
            connection.execute(
                "UPDATE results SET raw_file = ?, run_key = coalesce(?, run_key), columns = ?,"
                " hint = CASE WHEN reason IS NULL THEN NULL ELSE hint END,"
                " found_at = coalesce(found_at, ?) WHERE delivery_id = ?",
                (harmless(raw_file), harmless(run_key), stored, time_text(now), delivery_id),
            )
            if row["found_at"] is None or row["columns"] != stored:
                told = ", ".join(f"{name} {value}" for name, value in harmless_columns.items() if value is not None)
                run = printable(run_key or raw_file, 120)
                detail = f"{row['destination']}, run {run}: {told or 'none of the columns yet'}"
                history.append(connection, row["dataset_id"], delivery_id, "measured", detail, now)

    def decided(self, delivery_id: int, action: str, reason: str, now: datetime) -> None:
        """Record, before a server is asked to mark a run, what is to be done with it and why."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            connection.execute(
                "UPDATE results SET action = ?, reason = ? WHERE delivery_id = ?",
                (action, harmless(reason), delivery_id),
            )
            if (row["action"], row["reason"]) != (action, harmless(reason)):
                history.append(connection, row["dataset_id"], delivery_id, "decided", reason, now)

    def dropped(self, delivery_id: int) -> None:
        """Record that what was decided and not done yet is not to be done any more."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE results SET action = NULL WHERE delivery_id = ? AND marked_at IS NULL", (delivery_id,)
            )

    def marked(self, delivery_id: int, event: str, reason: str, now: datetime) -> None:
        """Record that the server has marked a run as was decided."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            connection.execute(
                "UPDATE results SET marked_at = ?, reason = ?, hint = NULL, failures = 0 WHERE delivery_id = ?",
                (time_text(now), harmless(reason), delivery_id),
            )
            history.append(connection, row["dataset_id"], delivery_id, event, reason, now)

    def noted(self, delivery_id: int, event: str, reason: str, hint: str | None, now: datetime) -> None:
        """Record a sentence about a run that somebody should read; said before, it is not said again."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            connection.execute(
                "UPDATE results SET reason = ?, hint = ? WHERE delivery_id = ?",
                (harmless(reason), harmless(hint), delivery_id),
            )
            if row["reason"] != harmless(reason):
                history.append(connection, row["dataset_id"], delivery_id, event, reason, now)

    def look_again(self, delivery_id: int, look_at: datetime, *, failed: str | None = None) -> None:
        """Record when the next look is due; ``failed`` says why asking or marking did not work."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE results SET next_look_at = :look_at, failures = CASE WHEN :failed IS NULL THEN 0"
                " ELSE failures + 1 END, hint = CASE WHEN :failed IS NULL THEN hint ELSE :hint END"
                " WHERE delivery_id = :id",
                {
                    "look_at": time_text(look_at),
                    "failed": failed,
                    "hint": harmless(f"it is tried again by itself: {failed}"),
                    "id": delivery_id,
                },
            )

    def ended(self, delivery_id: int, now: datetime) -> None:
        """Record that nothing more is looked for."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE results SET ended_at = ?, next_look_at = NULL WHERE delivery_id = ?",
                (time_text(now), delivery_id),
            )

    def clamp_waits(self, now: datetime, longest_s: float) -> None:
        """Shorten waits that a jump of the clock made longer than any can be."""
        latest = time_text(now + timedelta(seconds=longest_s))
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM results WHERE ended_at IS NULL AND next_look_at > ? LIMIT 1", (latest,)
            ).fetchone()
        if found is not None:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE results SET next_look_at = :latest WHERE ended_at IS NULL AND next_look_at > :latest",
                    {"latest": latest},
                )

    def _select(self, where: str, values: tuple[Any, ...]) -> list[ResultRecord]:
        query = (
            "SELECT r.*, v.dataset_id, v.baseline, d.rule FROM results AS r"  # noqa: S608 - clauses of this module
            " JOIN deliveries AS v ON v.id = r.delivery_id JOIN datasets AS d ON d.id = v.dataset_id"
            f" WHERE {where}"
        )
        with self._database.reading() as connection:
            return [_record(row) for row in connection.execute(query, values).fetchall()]


def _row(connection: sqlite3.Connection, delivery_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute(
        "SELECT r.*, v.dataset_id FROM results AS r JOIN deliveries AS v ON v.id = r.delivery_id"
        " WHERE r.delivery_id = ?",
        (delivery_id,),
    ).fetchone()
    return row


def _record(row: sqlite3.Row) -> ResultRecord:
    wanted_since = time_of(row["wanted_since"])
    assert wanted_since is not None
    return ResultRecord(
        delivery_id=row["delivery_id"],
        dataset_id=row["dataset_id"],
        rule=row["rule"],
        baseline=json.loads(row["baseline"]),
        run_key=row["run_key"],
        raw_file=row["raw_file"],
        columns=json.loads(row["columns"]),
        action=row["action"],
        reason=row["reason"],
        hint=row["hint"],
        wanted_since=wanted_since,
        found_at=time_of(row["found_at"]),
        marked_at=time_of(row["marked_at"]),
        ended_at=time_of(row["ended_at"]),
        next_look_at=time_of(row["next_look_at"]),
        failures=row["failures"],
    )


def _plain(value: Any) -> Any:
    """Return a server's value as JSON knows it: a number, a switch, a short text or nothing."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        # JSON has neither of these
        return value if value - value == 0 else None
    return harmless(str(value))
