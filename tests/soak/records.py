"""What the journal says, read beside the daemon, by our own questions and not by the code that is on trial."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

BUSY_TIMEOUT_S = 10.0
_DATASETS = """
    SELECT d.id, d.name, d.path, d.state, d.verdict, d.generation, d.current,
        (SELECT inner_md5 FROM archives AS a WHERE a.dataset_id = d.id AND a.packing = 'archive') AS inner_md5
    FROM datasets AS d WHERE d.id >= ? ORDER BY d.id
"""
_DELIVERIES = """
    SELECT id, dataset_id, destination, state, hold, error, remote_id FROM deliveries WHERE dataset_id >= ? ORDER BY id
"""
ENDED = frozenset({"delivered", "skipped"})


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """One delivery."""

    id: int
    dataset_id: int
    destination: str
    state: str
    hold: str | None
    error: str | None
    remote_id: str | None


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """One generation of a dataset, with its deliveries; ``inner_md5`` is of its tar, None before there is one."""

    id: int
    name: str
    path: str
    state: str
    verdict: str
    generation: int
    current: bool
    inner_md5: str | None
    deliveries: tuple[DeliveryRow, ...]

    @property
    def has_ended(self) -> bool:
        """Whether nothing more happens to it by itself, and nobody has to say anything."""
        if self.state == "gone":
            return all(one.state in ENDED or one.hold == "gone" for one in self.deliveries)
        return self.state != "growing" and all(one.state in ENDED for one in self.deliveries)


def read(journal: Path, first: int) -> list[DatasetRow]:
    """Return every dataset from number ``first`` on; raises sqlite3.Error where it cannot be read just now."""
    uri = f"{journal.as_uri()}?mode=ro"
    with closing(sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)) as connection:
        connection.row_factory = sqlite3.Row
        connection.execute("BEGIN")
        datasets = connection.execute(_DATASETS, (first,)).fetchall()
        deliveries: dict[int, list[DeliveryRow]] = {row["id"]: [] for row in datasets}
        for row in connection.execute(_DELIVERIES, (first,)):
            deliveries[row["dataset_id"]].append(DeliveryRow(**dict(row)))
    return [
        DatasetRow(
            id=row["id"],
            name=os.fsdecode(row["name"]),
            path=os.fsdecode(row["path"]),
            state=row["state"],
            verdict=row["verdict"],
            generation=row["generation"],
            current=bool(row["current"]),
            inner_md5=row["inner_md5"],
            deliveries=tuple(deliveries[row["id"]]),
        )
        for row in datasets
    ]
