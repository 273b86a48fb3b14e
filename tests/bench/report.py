"""The results as text, markdown and JSON."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from bench.figures import Figure
from bench.measuring import Contest, Standing
from bench.memory import Peak
from depositd.units import show_size

MOST_MEMORY_BYTES = 200_000_000


@dataclass(frozen=True, slots=True)
class Results:
    """All that one run of the benchmark found."""

    contests: tuple[Contest, ...] = ()
    peaks: tuple[Peak, ...] = ()
    figures: tuple[Figure, ...] = ()

    def __add__(self, other: Results) -> Results:
        """Return what both found."""
        contests, peaks = self.contests + other.contests, self.peaks + other.peaks
        return Results(contests, peaks, self.figures + other.figures)

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures that are not what they should be."""
        return tuple(figure for figure in self.figures if figure.is_reached is False)

    @property
    def memory_is_kept(self) -> bool:
        """True where no peak is above what is promised."""
        return all(peak.peak_bytes <= MOST_MEMORY_BYTES for peak in self.peaks)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def as_json(results: Results) -> dict[str, Any]:
    """Return everything, each run included."""
    contests = []
    for contest in results.contests:
        found = asdict(contest)
        for shown, standing in zip(found["standings"], contest.standings, strict=True):
            shown["depositd_times_as_fast"] = contest.ratio(standing)
        contests.append(found)
    figures = [{**asdict(figure), "is_reached": figure.is_reached} for figure in results.figures]
    peaks = [asdict(peak) for peak in results.peaks]
    return {"machine": machine(), "contests": contests, "memory": peaks, "figures": figures}


def as_text(results: Results) -> str:
    """Return tables for a terminal."""
    about = machine()
    load = about["load_average"][0]
    lines = [f"{about['system']}, {about['processors']} processors, Python {about['python']}, load average {load}"]
    for contest in results.contests:
        loads = " to ".join(f"{load:.1f}" for load in contest.load_average)
        lines += ["", f"{contest.title}: {_amount(contest)}, load average {loads}"]
        lines += _columns([_HEAD, *(_row(contest, standing) for standing in contest.standings)])
        lines += [f"  {note}" for note in contest.notes]
    if results.peaks:
        lines += ["", f"peak memory (at most {show_size(MOST_MEMORY_BYTES)})"]
        lines += _columns([_PEAK_HEAD, *(_peak_row(peak) for peak in results.peaks)])
    if results.figures:
        lines += ["", "what was promised"]
        lines += _columns([_FIGURE_HEAD, *map(_figure_row, results.figures)])
        lines += [f"  {figure.title}: {figure.details}" for figure in results.figures if figure.details]
    return "\n".join(lines) + "\n"


def as_markdown(results: Results) -> str:
    """Return tables for a README: one of contests and memory, one of what was promised, as far as there is any."""
    tables = []
    if results.contests or results.peaks:
        tables.append(_contests_table(results))
    if results.figures:
        head = ["| what | measured | target | |", "|---|---:|---:|---|"]
        tables.append([*head, *(f"| {' | '.join(_figure_row(figure))} |" for figure in results.figures)])
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def _contests_table(results: Results) -> list[str]:
    lines = ["| what | with | speed | depositd is | result |", "|---|---|---:|---:|---:|"]
    for contest in results.contests:
        for standing in contest.standings:
            name, speed, ratio, *_, size = _row(contest, standing)
            shown = name if name in ("depositd", "the same by hand") else f"`{name}`"
            lines.append(f"| {contest.title}, {_amount(contest)} | {shown} | {speed} | {ratio} | {size} |")
    lines += [
        f"| peak memory, {peak.title} of {show_size(peak.amount_bytes)} | depositd | {show_size(peak.peak_bytes)} | | |"
        for peak in results.peaks
    ]
    return lines


_HEAD = ("", "speed", "depositd is", "median", "fastest", "slowest", "processors", "result")
_PEAK_HEAD = ("", "amount", "peak", "before", "time")
_FIGURE_HEAD = ("", "measured", "target", "")


def _row(contest: Contest, standing: Standing) -> tuple[str, ...]:
    speed = f"{show_size(standing.per_s)}/s" if contest.unit == "B" else f"{standing.per_s:,.0f} {contest.unit}/s"
    result = "" if standing.result_bytes is None else f"{standing.result_bytes / contest.amount:.1%}"
    return (
        standing.name,
        speed,
        "" if standing is contest.standings[0] else f"{contest.ratio(standing):.2f} x as fast",
        f"{standing.wall_s:.3f} s",
        f"{standing.fastest_s:.3f} s",
        f"{standing.slowest_s:.3f} s",
        f"{standing.cpu_s / standing.wall_s:.1f}",
        result,
    )


def _peak_row(peak: Peak) -> tuple[str, ...]:
    sizes = (peak.amount_bytes, peak.peak_bytes, peak.before_bytes)
    return (peak.title, *(show_size(size) for size in sizes), f"{peak.wall_s:.1f} s")


def _figure_row(figure: Figure) -> tuple[str, ...]:
    return (figure.title, figure.shown, figure.target, figure.outcome)


def _amount(contest: Contest) -> str:
    return show_size(contest.amount) if contest.unit == "B" else f"{contest.amount:,} {contest.unit}"


def _columns(rows: Iterable[tuple[str, ...]]) -> list[str]:
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]
