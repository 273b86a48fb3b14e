"""``status --held``: what is held and what it misses, to be read or to be filled in; pure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from datetime import datetime

from depositd.cli.dataset_text import Json, ago
from depositd.cli.output import Line, line
from depositd.units import printable, show_count

KEYS = ("pdb_code", "project_title", "project_authors", "synchrotron", "beamline", "equipment_other")
"""The columns to be filled in: what the diffraction server may ask for."""
FREED_BY_TABLE = ("metadata", "approval")
"""Holds that ``release --from`` can free."""

MANY_AT_ONCE = (
    "many at once: depositd status --held --csv > deposits.csv, fill it in, depositd release --from deposits.csv"
)


def held_lines(view: Json, now: datetime) -> list[Line]:
    """Return each held delivery with its reason and what frees it."""
    found = [(dataset, delivery) for dataset in view["datasets"] for delivery in _held(dataset)]
    if not found:
        return [line(("nothing is held", "green"))]
    lines = [line((f"{show_count(len(found), 'delivery', 'deliveries')} held", "bold"))]
    number = max(len(str(dataset["id"])) for dataset, _delivery in found)
    for dataset, delivery in found:
        since = f"  complete since {ago(dataset['completed_at'], now)}" if dataset["completed_at"] else ""
        lines.append(
            line(
                (f"{dataset['id']:>{number}}", "bright_black"),
                "  ",
                (printable(dataset["name"]), "bold"),
                f"  to {printable(delivery['destination'])}",
                (since.replace(" ago", ""), "bright_black"),
                indent=2,
            )
        )
        lines.append(line((printable(delivery["error"] or "held"), "yellow"), indent=number + 4))
        if delivery["hint"]:
            lines.append(line((f"→ {printable(delivery['hint'])}", "bold"), indent=number + 8))
    if any(delivery["hold"] in FREED_BY_TABLE for _dataset, delivery in found):
        lines += [line(), line((MANY_AT_ONCE, "bright_black"))]
    return lines


def held_table(view: Json) -> str:
    """Return the CSV that ``release --from`` takes, a row for each delivery that it can free, its cells empty."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(("dataset", "name", "destination", "waits_for", *KEYS))
    for dataset in view["datasets"]:
        for delivery in _held(dataset):
            if delivery["hold"] in FREED_BY_TABLE:
                name, why = printable(dataset["name"]), printable(delivery["error"] or "")
                writer.writerow((dataset["id"], name, delivery["destination"], why, *("" for _key in KEYS)))
    return out.getvalue()


def _held(dataset: Json) -> Iterator[Json]:
    return (delivery for delivery in dataset["deliveries"] if delivery["state"] == "held")
