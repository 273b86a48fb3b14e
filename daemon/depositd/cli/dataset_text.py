"""Datasets and deliveries in words; pure functions of the contract's JSON and the time."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from depositd.cli.output import Line, line
from depositd.model import lasting
from depositd.units import parse_utc, printable, show_count, show_duration, show_size

Json = Mapping[str, Any]

STYLES = {
    "growing": "cyan",
    "complete": "cyan",
    "incomplete": "yellow",
    "archived": "cyan",
    "gone": "red",
    "held": "yellow",
    "waiting": "cyan",
    "unconfirmed": "yellow",
    "uploaded": "cyan",
    "submitted": "cyan",
    "delivered": "green",
    "failed": "red",
    "skipped": "bright_black",
}
MOVING = frozenset({"waiting", "unconfirmed", "uploaded", "submitted"})
"""Delivery states that go on by themselves."""


def what(dataset: Json) -> str:
    """Return what a dataset is: ``frames, 1,800 files, 11.2 GB``."""
    return f"{dataset['format']}, {show_count(dataset['files'], 'file')}, {show_size(dataset['bytes'])}"


def standing(dataset: Json) -> str:
    """Return state and verdict in one word or two: ``complete``, ``incomplete (gapped)``."""
    state, verdict = str(dataset["state"]), str(dataset["verdict"])
    return state if verdict in (state, "complete", "growing") else f"{state} ({verdict})"


def evidence(dataset: Json) -> str:
    """Return the verdict's evidence in one line, of what has ended without the age of the last write."""
    clauses = dataset["evidence"]
    return printable("; ".join(clauses if dataset["state"] == "growing" else lasting(clauses)))


def ago(text: str | None, now: datetime) -> str:
    """Return ``41 s ago``, or ``in 4 min`` for what is to come; ``never`` for None."""
    if text is None:
        return "never"
    seconds = (now - parse_utc(text)).total_seconds()
    # stored times have whole seconds: what is less than one is now
    if abs(seconds) < 1:
        return "now"
    return f"{show_duration(round(seconds))} ago" if seconds > 0 else f"in {show_duration(round(-seconds))}"


def delivery_lines(
    delivery: Json,
    now: datetime,
    *,
    indent: int = 0,
    width: int = 0,
    transfer: Json | None = None,
    stopped: str = "",
) -> list[Line]:
    """Return how a delivery stands, and where something is to be said why and what can be done.

    ``width`` is that of the column with the destinations' names.  ``stopped`` says that the destination is paused or
    away, and leaves out the reason: it is that of the destination, which is told once for all of its deliveries.
    """
    state = str(delivery["state"])
    if stopped and state in MOVING:
        name = f"to {printable(delivery['destination']):<{width}}  "
        told = [line(name, (state, STYLES[state]), ", the destination is ", (stopped, "yellow"), indent=indent)]
        return told if transfer is None else [*told, transfer_line(transfer, indent + 4)]
    pieces: list[str | tuple[str, str]] = [
        f"to {printable(delivery['destination']):<{width}}  ",
        (state, STYLES.get(state, "")),
    ]
    if delivery["remote_status"]:
        pieces.append(f" ({printable(delivery['remote_status'], 60)})")
    if state in MOVING and transfer is None:
        pieces += [f", {clause}" for clause in _what_comes(delivery, now)]
    lines = [line(*pieces, indent=indent)]
    if transfer is not None:
        lines.append(transfer_line(transfer, indent + 4))
    if delivery["error"]:
        lines.append(line(printable(delivery["error"]), indent=indent + 4))
    if delivery["hint"]:
        lines.append(line((f"→ {printable(delivery['hint'])}", "bold"), indent=indent + 4))
    return lines + run_lines(delivery.get("run"), indent + 4)


def run_lines(run: Json | None, indent: int) -> list[Line]:
    """Return what was made of a run that the destination measured, where there is something to be said of it."""
    if not run or not run["reason"]:
        return []
    lines = [line((f"run {run_clause(run)}", "yellow"), indent=indent)]
    if run["hint"]:
        lines.append(line((f"→ {printable(run['hint'])}", "bold"), indent=indent))
    return lines


def run_clause(run: Json) -> str:
    """Return ``rf12 rejected by the rule: N_peptides < 500 (412)``."""
    key = f"{printable(run['key'], 60)} " if run["key"] else ""
    return key + printable(run["reason"])


def transfer_line(transfer: Json, indent: int) -> Line:
    """Return a transfer on a line of its own, with its bar."""
    return line((transfer_clause(transfer), "cyan"), indent=indent, share=_share(transfer))


def transfer_clause(transfer: Json) -> str:
    """Return ``sending to irrmc: 5.04 GB of 11.2 GB (45 %)``, and the pace where :mod:`depositd.cli.paces` knows it."""
    done, total = transfer["done_bytes"], transfer["total_bytes"]
    activity = printable(transfer["activity"])
    if not total:
        return activity
    # rounded down: 100 % is all of it
    how_much = f"{show_size(done)} of {show_size(total)} ({min(100 * done // total, 100)} %)"
    return ", ".join([f"{activity}: {how_much}", *_pace(transfer)])


def _pace(transfer: Json) -> list[str]:
    if transfer["done_bytes"] >= transfer["total_bytes"]:
        return ["finishing"]
    if transfer.get("still_s") is not None:
        return [f"no progress for {show_duration(round(transfer['still_s']))}"]
    rate, left_s = transfer.get("rate_bytes_per_s"), transfer.get("left_s")
    paces = [f"{show_size(rate)}/s"] if rate else []
    return [*paces, f"{show_duration(math.ceil(left_s))} left"] if left_s is not None else paces


def _what_comes(delivery: Json, now: datetime) -> list[str]:
    found = []
    if delivery["state"] == "waiting" and delivery.get("sent_at"):
        found.append(f"sending began {ago(delivery['sent_at'], now)} and its answer is not known yet")
    if delivery["attempts"] and delivery["state"] == "waiting":
        found.append(f"tried {show_count(delivery['attempts'], 'time')}")
    due = delivery["next_attempt_at"]
    if due is not None:
        asks = "next attempt" if delivery["state"] == "waiting" else "asked again"
        when = ago(due, now)
        found.append(f"{asks} {'now' if when.endswith('ago') else when}")
    return found


def _share(transfer: Json) -> float:
    total = transfer["total_bytes"]
    return min(transfer["done_bytes"] / total, 1.0) if total else 0.0
