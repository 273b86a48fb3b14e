"""``depositd show`` as lines; pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from depositd.cli.dataset_text import STYLES, Json, ago, delivery_lines, evidence, standing, what
from depositd.cli.output import Line, line
from depositd.expression import show_value
from depositd.model import DatasetState, Packing
from depositd.units import printable, show_numbers, show_size


def show_lines(dataset: Json, now: datetime) -> list[Line]:
    """Return one dataset of ``show --json`` as lines."""
    lines = [line((f"dataset {dataset['id']}", "bold"), f"  {printable(dataset['name'])}")]
    lines += _pairs(_facts(dataset, now))
    if dataset["metadata"]:
        lines += [line(), line(("METADATA", "bold"))]
        lines += _pairs(dataset["metadata"].items())
    if dataset["archive"]:
        lines += [line(), line(("ARCHIVE", "bold"))]
        lines += _pairs(_archive_facts(dataset["archive"], dataset))
    lines += [line(), line(("DELIVERIES", "bold"))]
    width = max((len(printable(delivery["destination"])) for delivery in dataset["deliveries"]), default=0)
    for delivery in dataset["deliveries"]:
        lines += delivery_lines(delivery, now, indent=2, width=width)
        if delivery["remote_id"]:
            lines.append(line(f"known there as {printable(delivery['remote_id'])}", indent=6))
        if delivery.get("run"):
            lines += _run_lines(delivery["run"], now)
    if not dataset["deliveries"]:
        lines.append(line("none", indent=2))
    lines += [line(), line(("HISTORY", "bold"))]
    return lines + _history(dataset["history"])


def _run_lines(run: Json, now: datetime) -> list[Line]:
    """Return what the destination measured of what it was sent."""
    if run["found_at"] is None:
        return []
    key = f" {printable(run['key'], 60)}" if run["key"] else ""
    found = f"run{key} of {printable(run['raw_file'] or '')}, found {ago(run['found_at'], now)}"
    rows = [(printable(name), show_value(value)) for name, value in run["columns"].items()]
    width = max((len(name) for name, _value in rows), default=0)
    return [
        line(found, indent=6),
        *(line((f"{name:<{width}}", "bright_black"), f"  {value}", indent=8) for name, value in rows),
    ]


def _facts(dataset: Json, now: datetime) -> list[tuple[str, Any]]:
    facts: list[tuple[str, Any]] = [
        ("path", dataset["path"]),
        ("rule", dataset["rule"] or "none (by hand)"),
        ("what", what(dataset)),
        ("state", f"{standing(dataset)}: {evidence(dataset)}"),
    ]
    if dataset["generation"] > 1:
        facts.append(("generation", f"{dataset['generation']} (it changed after it was archived)"))
    frames = dataset["frames"]
    if frames:
        expected = f" of {frames['expected']:,}" if frames["expected"] is not None else ""
        missing = f", missing {show_numbers(frames['missing'])}" if frames["missing"] else ""
        facts.append(("frames", f"{frames['present']:,}{expected}{missing}"))
    facts.append(("first seen", f"{dataset['first_seen']} ({ago(dataset['first_seen'], now)})"))
    facts += [
        (label, f"{dataset[key]} ({ago(dataset[key], now)})")
        for label, key in (("completed", "completed_at"), ("archived", "archived_at"))
        if dataset[key]
    ]
    waits = dataset["waits_for"]
    if waits:
        facts.append(("archiving waits", f"{waits['reason']} ({waits['hint']})"))
    return facts


def _archive_facts(archive: Json, dataset: Json) -> list[tuple[str, Any]]:
    packing = _packing(archive)
    return [
        ("name", archive["name"]),
        ("path", archive["path"] or _why_not_in_spool(dataset)),
        *([("packing", packing)] if packing else []),
        ("size", f"{archive['bytes']:,} bytes ({show_size(archive['bytes'])}){_ratio(archive, dataset)}"),
        ("md5", archive["md5"]),
        ("inner md5", archive["inner_md5"]),
        ("sha256", archive["sha256"]),
    ]


def _why_not_in_spool(dataset: Json) -> str:
    if dataset["state"] == DatasetState.ARCHIVED:
        return "removed from the spool, its time is over"
    if dataset["state"] == DatasetState.GONE:
        return "no longer in the spool, and the files have vanished too"
    return "no longer in the spool; it is made again from the files"


def _packing(archive: Json) -> str:
    """Return how it was packed, and why so in the words that were recorded when it was made."""
    if archive["packing"] == Packing.FILE:
        return "none: sent as the file that it is"
    return archive["why"] or (f"level {archive['level']}" if archive["level"] is not None else "")


def _ratio(archive: Json, dataset: Json) -> str:
    if archive["packing"] == Packing.FILE or not dataset["bytes"]:
        return ""
    return f", {100 * archive['bytes'] / dataset['bytes']:.1f} % of the files' {show_size(dataset['bytes'])}"


def _pairs(pairs: Iterable[tuple[str, Any]]) -> list[Line]:
    rows = [(printable(str(key)), printable(str(value))) for key, value in pairs]
    width = max((len(key) for key, _value in rows), default=0)
    return [line((f"{key:<{width}}", "bright_black"), f"  {value}", indent=2) for key, value in rows]


def _history(history: Iterable[Mapping[str, str]]) -> list[Line]:
    rows = list(history)
    width = max((len(row["event"]) for row in rows), default=0)
    return [
        line(
            (row["at"], "bright_black"),
            "  ",
            (f"{printable(row['event']):<{width}}", STYLES.get(row["event"], "")),
            f"  {printable(row['detail'])}",
            indent=2,
        )
        for row in rows
    ]
