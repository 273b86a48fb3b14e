"""The append-only history: what happened to a dataset and its deliveries, in the order in which it happened."""

from __future__ import annotations

import sqlite3
from datetime import datetime

from depositd.journal.records import LONGEST_TEXT, time_text
from depositd.moments import Moment, reached
from depositd.units import printable


def append(
    connection: sqlite3.Connection,
    dataset_id: int,
    delivery_id: int | None,
    event: str,
    detail: str,
    now: datetime,
) -> None:
    """Append one line inside the transaction that makes it true; ``detail`` may come from disk or a server."""
    connection.execute(
        "INSERT INTO history (dataset_id, delivery_id, at, event, detail) VALUES (?, ?, ?, ?, ?)",
        (dataset_id, delivery_id, time_text(now), str(event), printable(detail, LONGEST_TEXT)),
    )
    reached(Moment.RECORDING, str(event))
