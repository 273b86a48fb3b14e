"""A journal as years leave it: very many datasets that ended long ago, and some hundred that have not.

Written by SQL, for the daemon's own way of recording them, one fact after the other, would take minutes.
"""

from __future__ import annotations

import itertools
import json
import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from depositd.journal import Journal
from depositd.journal.records import time_text

DESTINATIONS = ("irrmc", "vault")
OPEN_STATES = ("growing", "complete", "waiting", "held", "failed", "unconfirmed", "submitted")
"""What the datasets that have not ended stand for, in turn: their own state, or that of their first delivery."""
ROOTS = 10
_BATCH = 1000
_NEVER = None


def build(path: Path, datasets: int, unsettled: int, now: datetime, *, blob_bytes: int = 2_000) -> None:
    """Write a journal of ``datasets``, the last ``unsettled`` of which have not ended.

    ``blob_bytes`` is what the list of a dataset's files takes, and again that of its archive's members.
    """
    Journal(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        numbers = iter(range(1, datasets + 1))
        while batch := list(itertools.islice(numbers, _BATCH)):
            connection.execute("BEGIN")
            _write(connection, batch, datasets, unsettled, now, blob_bytes)
            connection.execute("COMMIT")
        for root in range(ROOTS):
            connection.execute(
                "INSERT INTO sources VALUES (?, 'watched', 'by events', NULL, ?, 1000, 0.5)",
                (_root(root), time_text(now)),
            )
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(
    connection: sqlite3.Connection, numbers: list[int], datasets: int, unsettled: int, now: datetime, blob_bytes: int
) -> None:
    rows = [_Rows(number, _what(number, datasets, unsettled), datasets, now, blob_bytes) for number in numbers]
    for table, found in (
        ("datasets", [one.dataset() for one in rows]),
        ("archives", [one.archive() for one in rows if one.is_archived]),
        ("deliveries", [delivery for one in rows for delivery in one.deliveries()]),
        ("history", [line for one in rows for line in one.history()]),
    ):
        if found:
            columns = ", ".join(found[0])
            values = ", ".join(f":{column}" for column in found[0])
            connection.executemany(f"INSERT INTO {table} ({columns}) VALUES ({values})", found)


def _what(number: int, datasets: int, unsettled: int) -> str | None:
    """Return what an unsettled dataset stands for, None for one that has ended."""
    position = number - (datasets - unsettled) - 1
    return None if position < 0 else OPEN_STATES[position % len(OPEN_STATES)]


def _root(number: int) -> bytes:
    return f"/data/beamline_{number % ROOTS}".encode()


class _Rows:
    """The rows of one dataset."""

    def __init__(self, number: int, what: str | None, datasets: int, now: datetime, blob_bytes: int) -> None:
        self._number = number
        self._what = what
        # the last ended a quarter of an hour ago, each one before it ten minutes earlier
        self._at = time_text(now - timedelta(minutes=15 + 10 * (datasets - number)))
        self._blob = random.Random(number).randbytes(blob_bytes)
        self._name = f"lyso_{number:06d}"

    @property
    def is_archived(self) -> bool:
        return self._what not in ("growing", "complete")

    def dataset(self) -> dict[str, Any]:
        directory = f"mx{self._number // 100}/{self._name}".encode()
        root = _root(self._number)
        is_growing = self._what == "growing"
        return {
            "id": self._number,
            "rule": "pilatus",
            "format": "frames",
            "root": root,
            "directory": directory,
            "key": self._name.encode(),
            "location": root + b"/" + directory,
            "name": self._name.encode(),
            "path": root + b"/" + directory,
            "relative_path": directory + b"/" + self._name.encode() + b"_00001.cbf",
            "state": self._what if self._what in ("growing", "complete") else "archived",
            "verdict": "growing" if is_growing else "complete",
            "evidence": json.dumps(["1,800 of 1,800 frames", "the last frame is whole", "last write 41 s ago"]),
            "files": 1800,
            "bytes": 11_209_876_543,
            "frames": json.dumps({"present": 1800, "expected": 1800, "missing": []}),
            "fingerprint": f"{self._number:064x}",
            "manifest": None if is_growing else self._blob,
            "header": json.dumps({"detector": "PILATUS3 6M, S/N 60-0123", "wavelength": "0.9763"}),
            "metadata": json.dumps({"project_title": f"{self._name}, raw diffraction data", "sample": "lyso"}),
            "first_seen": self._at,
            "completed_at": _NEVER if is_growing else self._at,
            "archived_at": self._at if self.is_archived else _NEVER,
        }

    def archive(self) -> dict[str, Any]:
        sha256 = f"{self._number:064x}"
        name = f"{self._name}.tar.zst"
        return {
            "dataset_id": self._number,
            "packing": "archive",
            "path": None if self._what is None else f"/scratch/{self._number}/{name}".encode(),
            "name": name.encode(),
            "bytes": 5_000_000_000,
            "md5": sha256[:32],
            "inner_md5": sha256[32:],
            "sha256": sha256,
            "members": self._blob,
            "level": 3,
            "why": "the level that 4 cores reach at 60 MB/s",
            "made_at": self._at,
        }

    def deliveries(self) -> Iterator[dict[str, Any]]:
        for position, destination in enumerate(DESTINATIONS):
            state = self._state() if position == 0 else "waiting" if not self.is_archived else "delivered"
            ended = state in ("delivered", "failed")
            yield {
                "id": 2 * self._number - 1 + position,
                "dataset_id": self._number,
                "destination": destination,
                "state": state,
                "approve": "auto",
                "ready": int(self.is_archived),
                "attempts": int(ended),
                "remote_id": f"token-{self._number}" if state in ("delivered", "submitted") else None,
                "remote_status": "published" if state == "delivered" else None,
                "next_attempt_at": self._at if state in ("submitted", "unconfirmed") else None,
                "sent_at": self._at if state == "unconfirmed" else None,
                "hold": "metadata" if state == "held" else None,
                "error": {"held": "pdb_code is missing", "failed": "it is refused"}.get(state),
                "hint": "depositd release --set pdb_code=…" if state == "held" else None,
                "ended_at": self._at if ended else None,
            }

    def _state(self) -> str:
        return {None: "delivered", "growing": "waiting", "complete": "waiting"}.get(self._what, str(self._what))

    def history(self) -> Iterator[dict[str, Any]]:
        events = ["seen", "completed", "archived"]
        if self._what is None:
            events += ["sending", "delivered"] * len(DESTINATIONS)
        for event in events:
            yield {
                "dataset_id": self._number,
                "at": self._at,
                "event": event,
                "detail": f"{self._name}: what is told of it takes a line of some eighty characters",
            }
