"""What must hold between the rows of a sound journal, asked cheaply: for ``journal check``."""

from __future__ import annotations

import os
import sqlite3

from depositd.journal.database import Database
from depositd.model import DatasetState, DeliveryState, HoldKind
from depositd.units import printable

MOST = 20
"""Broken rows of one kind that are named; more of them say nothing more."""


def _listed(values: type[DatasetState | DeliveryState | HoldKind]) -> str:
    return ", ".join(f"'{value}'" for value in values)


_BROKEN = (
    (
        f"SELECT id, state FROM datasets WHERE state NOT IN ({_listed(DatasetState)})",  # noqa: S608 - words of ours
        "dataset {0} is {1!r}, a state that there is not",
    ),
    (
        f"SELECT id, dataset_id, state FROM deliveries WHERE state NOT IN ({_listed(DeliveryState)})",  # noqa: S608 - words of ours
        "delivery {0} of dataset {1} is {2!r}, a state that there is not",
    ),
    (
        f"SELECT id, dataset_id, hold FROM deliveries WHERE hold NOT IN ({_listed(HoldKind)})",  # noqa: S608 - words of ours
        "delivery {0} of dataset {1} is held for {2!r}, a reason that there is not",
    ),
    (
        (
            "SELECT id FROM datasets AS d WHERE state = 'archived'"
            " AND NOT EXISTS (SELECT 1 FROM archives WHERE dataset_id = d.id)"
        ),
        "dataset {0} is archived, and no archive of it is known",
    ),
    (
        (
            "SELECT format, location, key, count(*) FROM datasets WHERE current = 1"
            " GROUP BY format, location, key HAVING count(*) > 1"
        ),
        "{3} datasets of format {0} at {1} are the current generation of {2}",
    ),
    (
        (
            "SELECT id, dataset_id, state FROM deliveries WHERE state IN ('delivered', 'skipped', 'failed')"
            " AND ended_at IS NULL"
        ),
        "delivery {0} of dataset {1} is {2}, and nothing says since when",
    ),
    (
        (
            "SELECT id, dataset_id, state, ended_at FROM deliveries WHERE ended_at IS NOT NULL"
            " AND state NOT IN ('delivered', 'skipped', 'failed')"
        ),
        "delivery {0} of dataset {1} is {2}, and has ended on {3}",
    ),
    (
        "SELECT id, dataset_id FROM deliveries WHERE state = 'unconfirmed' AND sent_at IS NULL",
        "delivery {0} of dataset {1} is unconfirmed, and nothing says since when",
    ),
    (
        (
            "SELECT v.id, v.dataset_id, d.state FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
            " WHERE v.ready <> (d.state = 'archived')"
        ),
        "delivery {0} is wrong about whether dataset {1}, which is {2}, is archived",
    ),
    (
        "SELECT dataset_id FROM results JOIN deliveries ON deliveries.id = delivery_id WHERE state <> 'delivered'",
        "a result of dataset {0} is looked for, and it is not delivered",
    ),
    (
        "SELECT id FROM datasets AS d WHERE NOT EXISTS (SELECT 1 FROM history WHERE dataset_id = d.id)",
        "dataset {0} has no history",
    ),
)
_SPOOLED = "SELECT a.dataset_id, a.path, a.bytes FROM archives AS a WHERE a.path IS NOT NULL ORDER BY a.dataset_id"


def contradictions(database: Database) -> list[str]:
    """Return a sentence for each row that contradicts another, and for each archive that the spool does not hold.

    Raises JournalError where the journal cannot be read.
    """
    found: list[str] = []
    with database.reading() as connection:
        for question, sentence in _BROKEN:
            rows = connection.execute(f"{question} LIMIT {MOST}").fetchall()
            found += [sentence.format(*map(_shown, row)) for row in rows]
        spooled = connection.execute(_SPOOLED).fetchall()
    missing = [told for row in spooled if (told := _not_spooled(row)) is not None]
    return found + missing[:MOST]


def _not_spooled(row: sqlite3.Row) -> str | None:
    path = os.fsdecode(row["path"])
    about = f"the archive of dataset {row['dataset_id']}, {printable(path)},"
    try:
        size_bytes = os.stat(path).st_size
    except FileNotFoundError:
        return f"{about} is not in the spool (it is built again when it is needed)"
    except OSError as error:
        return f"{about} cannot be looked at: {error.strerror}"
    if size_bytes != row["bytes"]:
        return f"{about} has {size_bytes:,} bytes instead of {row['bytes']:,} (it is built again when it is needed)"
    return None


def _shown(value: object) -> object:
    return printable(os.fsdecode(value), 200) if isinstance(value, bytes) else value
