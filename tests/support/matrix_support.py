"""The fault matrix as a table, from what each of its tests recorded (also in the processes of pytest-xdist)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pytest

LEGEND = (
    "what became of one dataset where a request (column) met a fault (row); each is there once, or somebody is told",
    "?: its answer was lost, so that it was unconfirmed, and the server was asked before anything was sent again",
    "asked again: the request was, after a wait; retry: an operator looked, and said so",
)


def recorded(report: pytest.TestReport, name: str) -> Iterator[Any]:
    """Yield what a test recorded under a name."""
    if report.when == "call":
        yield from (value for key, value in report.user_properties if key == name)


def fault_matrix(cells: Iterable[tuple[int, str, str, str, str]]) -> Iterator[str]:
    """Yield the lines of one table for each server, of cells (number, server, fault, request, what became of it)."""
    servers: dict[str, dict[str, dict[str, str]]] = {}
    for _number, server, fault, request, became in sorted(cells):
        servers.setdefault(server, {}).setdefault(fault, {})[request] = became
    if servers:
        yield from ("", "FAULT MATRIX", *LEGEND)
    for server, rows in servers.items():
        yield from ("", server, *_table(rows))


def _table(rows: dict[str, dict[str, str]]) -> Iterator[str]:
    columns = list(dict.fromkeys(request for row in rows.values() for request in row))
    table = [["", *columns], *([fault, *(row.get(request, "") for request in columns)] for fault, row in rows.items())]
    widths = [max(len(line[number]) for line in table) for number in range(len(columns) + 1)]
    for line in table:
        yield "  ".join(word.ljust(width) for word, width in zip(line, widths, strict=True)).rstrip()
