"""``pqc trend``: a control chart of one column, a line for each run, so that a run out of line can be named.

Plotting libraries draw points whose runs one cannot read off; here each point stands beside its run's name and value.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

from depositd.cli.output import Line, line
from depositd.cli.tables import cell
from depositd.units import printable, show_count

COLUMNS = ("RunKey", "RawFile", "DateAcquired", "Date", "Flagged", "Use Downstream")
"""What is asked for beside the column itself; an older server lacks some."""
NARROWEST, WIDEST = 11, 61


@dataclass(frozen=True, slots=True)
class Point:
    """One run in the chart; ``value`` is None where it is not known."""

    when: str
    run: str
    value: float | None
    flagged: bool = False
    rejected: bool = False


def points_of(table: Mapping[str, Any], column: str) -> list[Point]:
    """Return the runs of ``qc-data``, in the server's order; raises ValueError where a value is no number."""
    from depositd.destinations.proteomicsqc.records import qc_runs, switch_at, value_at

    found = []
    for run in qc_runs(table):
        value = value_at(table, column, run.row)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise ValueError(f"{column} holds {cell(value)!r}, which is no number")
        when = value_at(table, "DateAcquired", run.row) or value_at(table, "Date", run.row) or ""
        found.append(
            Point(
                when=printable(str(when).replace("T", " ")[:16]),
                run=printable(run.stem, 40) + (f" ({printable(run.key, 20)})" if run.key else ""),
                value=None if value is None else float(value),
                flagged=switch_at(table, "Flagged", run.row) is True,
                rejected=switch_at(table, "Use Downstream", run.row) is False,
            )
        )
    return found


def trend_lines(points: Sequence[Point], column: str, width: int) -> list[Line]:
    """Return the chart, at most ``width`` cells wide: date, run, value, and where that lies in the range of all.

    ``│`` is the median of those that are not rejected, ``●`` a run, ``○`` a flagged and ``x`` a rejected one.
    """
    known = [point.value for point in points if point.value is not None]
    if not known:
        return [line(f"{printable(column)} is not known of any of {show_count(len(points), 'run')}")]
    kept = [point.value for point in points if point.value is not None and not point.rejected]
    median = statistics.median(kept or known)
    low, high = min(known), max(known)
    whens, runs, values = [
        [point.when for point in points],
        [point.run for point in points],
        [cell(point.value) for point in points],
    ]
    columns = [max(map(len, texts)) for texts in (whens, runs, values)]
    scale = Scale(low, high, min(max(width - sum(columns) - 3 * 2 - len("  rejected"), NARROWEST), WIDEST))
    lines = [
        line(
            f"{point.when:<{columns[0]}}  ",
            (f"{point.run:<{columns[1]}}", "bold"),
            f"  {value:>{columns[2]}}  ",
            *scale.strip(point, median),
            (_mark(point), "yellow"),
        )
        for point, value in zip(points, values, strict=True)
    ]
    told = f"{printable(column)}: median {cell(median)}, {cell(low)} to {cell(high)}, {show_count(len(known), 'run')}"
    return [*lines, line(), line((told, "bold"))]


@dataclass(frozen=True, slots=True)
class Scale:
    """Where values lie on a strip of some cells."""

    low: float
    high: float
    cells: int

    def at(self, value: float) -> int:
        """Return a value's cell, from 0; the middle where all values are the same."""
        if not math.isfinite(self.high - self.low) or self.high <= self.low:
            return self.cells // 2
        return round((value - self.low) / (self.high - self.low) * (self.cells - 1))

    def strip(self, point: Point, median: float) -> list[tuple[str, str]]:
        """Return the strip of one run, in pieces with their styles."""
        middle, here = self.at(median), None if point.value is None else self.at(point.value)
        marks = {middle: ("│", "cyan")}
        if here is not None:
            marks[here] = ("x", "red") if point.rejected else ("○", "yellow") if point.flagged else ("●", "green")
        pieces = (marks.get(index, ("·", "bright_black")) for index in range(self.cells))
        return [("".join(text for text, _style in group), style) for style, group in groupby(pieces, itemgetter(1))]


def _mark(point: Point) -> str:
    return "  rejected" if point.rejected else "  flagged" if point.flagged else ""
