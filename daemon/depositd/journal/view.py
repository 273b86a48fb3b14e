"""The journal as the JSON of the contract: what ``status``, ``show`` and the web page say, in one place."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from depositd.journal.database import Database
from depositd.journal.manifests import ARCHIVE_COLUMNS, archive_json, manifest_json
from depositd.journal.records import json_text
from depositd.model import HoldKind

Json = dict[str, Any]

AT_ONCE = 500
"""Datasets that are read in one transaction where all are wanted: whoever writes never waits for more than these."""
LATELY = 100
"""Deliveries that ended last, among whose datasets those are that :meth:`View.overview` shows as done."""
_MOST_GONE = 10
"""Datasets that vanished last and are looked at likewise: they may have no delivery."""

_decoder = json.JSONDecoder()

_COLUMNS = (
    "id, name, rule, format, path, generation, current, state, verdict, evidence, files, bytes, frames, first_seen,"
    " completed_at, archived_at, metadata, pack_error, pack_hint, next_pack_at"
)
"""What :func:`_dataset` reads: all but the list of files, which may be 100,000."""
_UNSETTLED = """
    SELECT dataset_id AS id FROM deliveries
    WHERE state IN ('waiting', 'held', 'unconfirmed', 'uploaded', 'submitted', 'failed')
    UNION SELECT id FROM datasets WHERE state = 'growing'
    UNION SELECT id FROM datasets WHERE pack_error IS NOT NULL
"""
"""Datasets that need somebody, or go on by themselves; each part is found by an index."""
_LATELY_ENDED = """
    SELECT dataset_id AS id FROM deliveries
    WHERE ended_at IS NOT NULL AND dataset_id NOT IN (SELECT value FROM json_each(?))
    ORDER BY ended_at DESC, id DESC LIMIT ?
"""
_LATELY_GONE = """
    SELECT id FROM datasets WHERE state = 'gone' AND id NOT IN (SELECT value FROM json_each(?))
    ORDER BY completed_at DESC, id DESC LIMIT ?
"""
# in the order of an index, so that no row is looked up: a dataset's deliveries are all ready or none is
_DELIVERED = "SELECT count(*) FROM (SELECT DISTINCT ready, dataset_id FROM deliveries WHERE state = 'delivered')"

_NEXT_DATASET = "SELECT id FROM datasets WHERE id > ? ORDER BY id LIMIT 1"
# 'archive' sorts before 'file': where a dataset has both, the archive proper comes first
_MANIFESTS = "SELECT * FROM archives WHERE dataset_id = ? ORDER BY packing"

_STOPPED = (
    "SELECT s.*, (SELECT count(*) FROM deliveries AS v WHERE v.destination = s.name AND (v.state IN"
    " ('unconfirmed', 'uploaded', 'submitted') OR (v.state = 'waiting' AND v.ready = 1))) AS behind"
    " FROM destinations AS s WHERE s.state <> 'doubted' ORDER BY s.name"
)
"""Destinations that take nothing, each with the deliveries that would go on there."""


@dataclass(frozen=True, slots=True)
class Happening:
    """A line of history, and how its dataset's archive, its delivery and its run stand now."""

    number: int
    dataset_id: int
    dataset_name: str
    event: str
    detail: str
    pack_hint: str | None
    destination: str | None
    state: str | None
    hold: HoldKind | None
    error: str | None
    hint: str | None
    run_key: str | None
    run_hint: str | None


class View:
    """Read-only pictures of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def status(self) -> Json:
        """Return ``status --json``: every generation of every dataset, sources, stopped destinations, transfers."""
        with self._database.reading() as connection:
            rows = connection.execute(f"SELECT {_COLUMNS} FROM datasets ORDER BY id").fetchall()  # noqa: S608 - ours
            return {"datasets": _datasets(connection, rows, "1 = 1", ()), **_surroundings(connection)}

    def surroundings(self) -> Json:
        """Return what :meth:`status` has beside the datasets."""
        with self._database.reading() as connection:
            return _surroundings(connection)

    def pages(self) -> Iterator[list[Json]]:
        """Give every dataset in the order of its number, so many at once that nobody waits long for the journal.

        Each page is of one moment.  Nothing is kept from being written while somebody takes his time over one.
        """
        query = f"SELECT {_COLUMNS} FROM datasets WHERE id > ? ORDER BY id LIMIT {AT_ONCE}"  # noqa: S608 - ours
        last = 0
        while True:
            with self._database.reading() as connection:
                rows = connection.execute(query, (last,)).fetchall()
                if not rows:
                    return
                first, last = rows[0]["id"], rows[-1]["id"]
                page = _datasets(connection, rows, "dataset_id BETWEEN ? AND ?", (first, last))
            yield page

    def overview(self) -> Json:
        """Return what :meth:`status` says, with those datasets alone that have not ended, or did so last.

        First come the former by their numbers, then the latter, what ended last at the end.  ``totals`` count all:
        ``datasets``, and of them ``delivered`` and ``set aside``.
        """
        with self._database.reading() as connection:
            found = _chosen(connection, _UNSETTLED, ())
            unsettled = {one["id"] for one in found}
            total = int(connection.execute("SELECT count(*) FROM datasets").fetchone()[0])
            delivered = int(connection.execute(_DELIVERED).fetchone()[0])
            delivered -= sum(any(to["state"] == "delivered" for to in one["deliveries"]) for one in found)
            return {
                "datasets": found + _lately(connection, unsettled),
                "totals": {
                    "datasets": total,
                    "delivered": delivered,
                    "set aside": total - len(unsettled) - delivered,
                },
                **_surroundings(connection),
            }

    def held(self) -> Json:
        """Return what :meth:`status` says, with those datasets alone of which a delivery is held."""
        with self._database.reading() as connection:
            held = _chosen(connection, "SELECT dataset_id AS id FROM deliveries WHERE state = 'held'", ())
            return {"datasets": held, **_surroundings(connection)}

    def count(self) -> int:
        """Return how many datasets there are, with every generation."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT count(*) FROM datasets").fetchone()[0])

    def show(self, dataset_id: int) -> Json | None:
        """Return ``show --json``: one dataset with its whole history; None where there is none."""
        with self._database.reading() as connection:
            found = _chosen(connection, "SELECT ? AS id", (dataset_id,))
            if not found:
                return None
            (shown,) = found
            shown["history"] = [
                {"at": _utc(row["at"]), "event": row["event"], "detail": row["detail"]}
                for row in connection.execute(
                    "SELECT at, event, detail FROM history WHERE dataset_id = ? ORDER BY id", (dataset_id,)
                )
            ]
            return shown

    def last_happening(self) -> int:
        """Return the number of the history's last line, 0 where there is none."""
        with self._database.reading() as connection:
            return int(connection.execute("SELECT coalesce(max(id), 0) FROM history").fetchone()[0])

    def happenings(self, after: int, most: int) -> list[Happening]:
        """Return the lines of history after one of them, in their order, with how things stand now."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT h.id, h.dataset_id, h.event, h.detail, d.name, d.pack_hint, v.destination, v.state, v.hold,"
                " v.error, v.hint, r.run_key, r.hint AS run_hint"
                " FROM history AS h JOIN datasets AS d ON d.id = h.dataset_id"
                " LEFT JOIN deliveries AS v ON v.id = h.delivery_id LEFT JOIN results AS r ON r.delivery_id = v.id"
                " WHERE h.id > ? ORDER BY h.id LIMIT ?",
                (after, most),
            ).fetchall()
        return [_happening(row) for row in rows]

    def manifest(self, dataset_id: int) -> Json | None:
        """Return a dataset's archive with its members, also where it left the spool; None where there is none.

        Of a dataset that was packed in two ways it is the archive proper.
        """
        with self._database.reading() as connection:
            row = connection.execute(_MANIFESTS + " LIMIT 1", (dataset_id,)).fetchone()
        return None if row is None else manifest_json(row)

    def everything(self) -> Iterator[Json]:
        """Give every dataset of every generation, with its history and each of its archives, for ``journal export``.

        One dataset is in memory at a time, and each is read by itself: whoever takes his time over the lines does not
        keep the daemon from folding its write-ahead log into the journal.
        """
        last = 0
        while True:
            with self._database.reading() as connection:
                row = connection.execute(_NEXT_DATASET, (last,)).fetchone()
                if row is None:
                    return
                last = row["id"]
                shown = self.show(last)
                archives = [manifest_json(one) for one in connection.execute(_MANIFESTS, (last,))]
            assert shown is not None, "it is read in the same state of the journal"
            yield {**shown, "archives": archives}


def _surroundings(connection: sqlite3.Connection) -> Json:
    return {
        "sources": [_source(row) for row in connection.execute("SELECT * FROM sources ORDER BY root")],
        "destinations": [_destination(row) for row in connection.execute(_STOPPED)],
        "transfers": [
            {
                "subject": row["subject"],
                "activity": row["activity"],
                "done_bytes": row["done_bytes"],
                "total_bytes": row["total_bytes"],
                "at": _utc(row["at"]),
            }
            for row in connection.execute("SELECT * FROM progress ORDER BY at")
        ],
    }


def _chosen(connection: sqlite3.Connection, chosen: str, values: tuple[Any, ...]) -> list[Json]:
    """Return the datasets that a query of this module chooses, by their numbers."""
    numbers = json_text([row["id"] for row in connection.execute(chosen, values)])
    rows = connection.execute(
        f"SELECT {_COLUMNS} FROM datasets WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",  # noqa: S608 - ours
        (numbers,),
    ).fetchall()
    return _datasets(connection, rows, "dataset_id IN (SELECT value FROM json_each(?))", (numbers,))


def _lately(connection: sqlite3.Connection, unsettled: Collection[int]) -> list[Json]:
    """Return the datasets that ended last and are not among others, what ended last at the end."""
    others = json_text(sorted(unsettled))
    ended = [row["id"] for row in connection.execute(_LATELY_ENDED, (others, LATELY))]
    gone = [row["id"] for row in connection.execute(_LATELY_GONE, (others, _MOST_GONE))]
    newest_first = list(dict.fromkeys([*ended, *gone]))
    place = {number: position for position, number in enumerate(newest_first)}
    found = _chosen(connection, "SELECT value AS id FROM json_each(?)", (json_text(newest_first),))
    return sorted(found, key=lambda one: place[one["id"]], reverse=True)


def _datasets(
    connection: sqlite3.Connection, rows: list[sqlite3.Row], where: str, values: tuple[Any, ...]
) -> list[Json]:
    archives: dict[int, sqlite3.Row] = {}
    # 'archive' sorts before 'file': where a dataset has both, the archive proper is the one that is shown
    for row in connection.execute(
        f"SELECT {ARCHIVE_COLUMNS} FROM archives WHERE {where} ORDER BY packing DESC",  # noqa: S608 - constants of ours
        values,
    ):
        archives[row["dataset_id"]] = row
    deliveries: dict[int, list[Json]] = defaultdict(list)
    paused = {
        row["name"]: row
        for row in connection.execute("SELECT name, reason, hint FROM destinations WHERE state <> 'doubted'")
    }
    runs = {
        row["delivery_id"]: row
        for row in connection.execute(
            f"SELECT r.* FROM results AS r JOIN deliveries ON id = delivery_id WHERE {where}",  # noqa: S608 - as above
            values,
        )
    }
    for row in connection.execute(
        f"SELECT * FROM deliveries WHERE {where} ORDER BY id",  # noqa: S608 - constants of this module
        values,
    ):
        run = runs.get(row["id"])
        deliveries[row["dataset_id"]].append(_delivery(row, paused.get(row["destination"]), run))
    return [_dataset(row, archives.get(row["id"]), deliveries[row["id"]]) for row in rows]


def _dataset(row: sqlite3.Row, archive: sqlite3.Row | None, deliveries: list[Json]) -> Json:
    return {
        "id": row["id"],
        "name": os.fsdecode(row["name"]),
        "rule": row["rule"] or None,
        "format": row["format"],
        "path": os.fsdecode(row["path"]),
        "generation": row["generation"],
        "current": bool(row["current"]),
        "state": row["state"],
        "verdict": row["verdict"],
        "evidence": _value(row["evidence"]),
        "files": row["files"],
        "bytes": row["bytes"],
        "frames": _value(row["frames"]) if row["frames"] else None,
        "first_seen": _utc(row["first_seen"]),
        "completed_at": _utc(row["completed_at"]),
        "archived_at": _utc(row["archived_at"]),
        "metadata": _value(row["metadata"]),
        "waits_for": {
            "reason": row["pack_error"],
            "hint": row["pack_hint"],
            "next_attempt_at": _utc(row["next_pack_at"]),
        }
        if row["pack_error"]
        else None,
        "archive": None if archive is None else archive_json(archive),
        "deliveries": deliveries,
    }


def _delivery(row: sqlite3.Row, pause: sqlite3.Row | None, run: sqlite3.Row | None) -> Json:
    stopped = pause is not None and row["state"] in ("waiting", "unconfirmed", "uploaded", "submitted")
    return {
        "id": row["id"],
        "destination": row["destination"],
        "state": row["state"],
        "hold": row["hold"],
        "attempts": row["attempts"],
        "next_attempt_at": _utc(row["next_attempt_at"]),
        "sent_at": _utc(row["sent_at"]),
        "remote_id": row["remote_id"],
        "remote_status": row["remote_status"],
        "error": pause["reason"] if stopped and pause is not None else row["error"],
        "hint": pause["hint"] if stopped and pause is not None else row["hint"],
        "run": _run(run),
    }


def _run(row: sqlite3.Row | None) -> Json | None:
    """Return what a server measured of what it was sent; None where nothing is known of that, or will be."""
    if row is None or (row["found_at"] is None and row["reason"] is None):
        return None
    return {
        "key": row["run_key"],
        "raw_file": row["raw_file"],
        "columns": json.loads(row["columns"]),
        "action": row["action"],
        "reason": row["reason"],
        "hint": row["hint"],
        "found_at": _utc(row["found_at"]),
        "marked_at": _utc(row["marked_at"]) if row["action"] else None,
    }


def _happening(row: sqlite3.Row) -> Happening:
    return Happening(
        number=row["id"],
        dataset_id=row["dataset_id"],
        dataset_name=os.fsdecode(row["name"]),
        event=row["event"],
        detail=row["detail"],
        pack_hint=row["pack_hint"],
        destination=row["destination"],
        state=row["state"],
        hold=HoldKind(row["hold"]) if row["hold"] else None,
        error=row["error"],
        hint=row["hint"],
        run_key=row["run_key"],
        run_hint=row["run_hint"],
    )


def _destination(row: sqlite3.Row) -> Json:
    return {
        "name": row["name"],
        "state": row["state"],
        "reason": row["reason"],
        "hint": row["hint"],
        "since": _utc(row["since"]),
        "next_probe_at": _utc(row["next_probe_at"]),
        "failures": row["failures"],
        "waiting": row["behind"],
    }


def _source(row: sqlite3.Row) -> Json:
    return {
        "path": os.fsdecode(row["root"]),
        "state": row["state"],
        "means": row["means"],
        "problem": row["problem"],
        "swept_at": _utc(row["swept_at"]),
        "files": row["files"],
        "duration_s": row["duration_s"],
    }


def _value(text: str) -> Any:
    """Return the value of stored JSON, which json.loads would first look over for what it never has."""
    return _decoder.raw_decode(text)[0]


def _utc(text: str | None) -> str | None:
    """Return a stored time, which is UTC already, without its microseconds."""
    return f"{text[:19]}Z" if text else None
