"""The journal as the JSON of the contract: what ``status``, ``show`` and the web page say, in one place."""

from __future__ import annotations

import json
import os
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from depositd.journal.database import Database
from depositd.journal.manifests import ARCHIVE_COLUMNS, archive_json, manifest_json
from depositd.journal.records import time_of
from depositd.model import HoldKind
from depositd.units import utc_text

Json = dict[str, Any]

_NEXT_DATASET = "SELECT id FROM datasets WHERE id > ? ORDER BY id LIMIT 1"
# 'archive' sorts before 'file': where a dataset has both, the archive proper comes first
_MANIFESTS = "SELECT * FROM archives WHERE dataset_id = ? ORDER BY packing"


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
        """Return ``status --json``: every generation of every dataset, sources, paused destinations, transfers."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM datasets ORDER BY id").fetchall()
            return {
                "datasets": _datasets(connection, rows, "1 = 1", ()),
                "sources": [_source(row) for row in connection.execute("SELECT * FROM sources ORDER BY root")],
                "destinations": [
                    {
                        "name": row["name"],
                        "state": "paused",
                        "reason": row["reason"],
                        "hint": row["hint"],
                        "since": _utc(row["since"]),
                        "next_probe_at": _utc(row["next_probe_at"]),
                    }
                    for row in connection.execute("SELECT * FROM destinations WHERE paused = 1 ORDER BY name")
                ],
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

    def show(self, dataset_id: int) -> Json | None:
        """Return ``show --json``: one dataset with its whole history; None where there is none."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT * FROM datasets WHERE id = ?", (dataset_id,)).fetchall()
            if not rows:
                return None
            shown = _datasets(connection, rows, "dataset_id = ?", (dataset_id,))[0]
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
        row["name"]: row for row in connection.execute("SELECT name, reason, hint FROM destinations WHERE paused = 1")
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
        shown = _delivery(row, paused.get(row["destination"]))
        deliveries[row["dataset_id"]].append({**shown, "run": _run(runs.get(row["id"]))})
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
        "evidence": json.loads(row["evidence"]),
        "files": row["files"],
        "bytes": row["bytes"],
        "frames": json.loads(row["frames"]) if row["frames"] else None,
        "first_seen": _utc(row["first_seen"]),
        "completed_at": _utc(row["completed_at"]),
        "archived_at": _utc(row["archived_at"]),
        "metadata": json.loads(row["metadata"]),
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


def _delivery(row: sqlite3.Row, pause: sqlite3.Row | None) -> Json:
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


def _utc(text: str | None) -> str | None:
    moment = time_of(text)
    return utc_text(moment) if moment else None
