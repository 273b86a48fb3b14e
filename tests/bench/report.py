"""The results as text, markdown and JSON, and the README's tables, which are made of the JSON that is committed."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from functools import reduce
from operator import add
from typing import Any

from bench.figures import Figure
from bench.measuring import Contest, Run, Standing
from depositd.units import show_size

README_BEGINS, README_ENDS = "<!-- bench -->\n", "<!-- end -->"


@dataclass(frozen=True, slots=True)
class Results:
    """What one part of the benchmark found, or several."""

    contests: tuple[Contest, ...] = ()
    figures: tuple[Figure, ...] = ()

    def __add__(self, other: Results) -> Results:
        """Return what both found."""
        return Results(self.contests + other.contests, self.figures + other.figures)

    @property
    def missed(self) -> tuple[Figure, ...]:
        """The figures that are not what they should be."""
        return tuple(figure for figure in self.figures if figure.is_reached is False)


def machine() -> dict[str, Any]:
    """Return what the numbers depend on."""
    return {
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "processors": os.cpu_count(),
        "python": sys.version.split()[0],
        "load_average": [round(load, 2) for load in os.getloadavg()],
    }


def as_json(parts: Mapping[str, Results]) -> dict[str, Any]:
    """Return all that each part found, each run included, with the machine that it ran on."""
    return {name: {"machine": machine(), **_part_as_json(results)} for name, results in parts.items()}


def _part_as_json(results: Results) -> dict[str, Any]:
    contests = []
    for contest in results.contests:
        found = asdict(contest)
        for shown, standing in zip(found["standings"], contest.standings, strict=True):
            shown["depositd_times_as_fast"] = contest.ratio(standing)
        contests.append(found)
    figures = [{**asdict(figure), "is_reached": figure.is_reached} for figure in results.figures]
    return {"contests": contests, "figures": figures}


def from_json(found: Mapping[str, Any]) -> dict[str, Results]:
    """Return what *as_json* was given."""
    return {
        name: Results(
            tuple(map(_contest, part["contests"])), tuple(Figure(**_known(Figure, one)) for one in part["figures"])
        )
        for name, part in found.items()
    }


def _contest(found: Mapping[str, Any]) -> Contest:
    standings = tuple(
        Standing(**{**_known(Standing, one), "runs": tuple(Run(**run) for run in one["runs"])})
        for one in found["standings"]
    )
    rest = {"notes": tuple(found["notes"]), "load_average": tuple(found["load_average"])}
    return Contest(**{**_known(Contest, found), "standings": standings, **rest})


def _known(kind: type[Any], found: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was only worked out for the reader."""
    return {field.name: found[field.name] for field in fields(kind)}


def as_text(parts: Mapping[str, Results]) -> str:
    """Return tables for a terminal."""
    results = _together(parts)
    about = machine()
    load = about["load_average"][0]
    lines = [f"{about['system']}, {about['processors']} processors, Python {about['python']}, load average {load}"]
    for contest in results.contests:
        loads = " to ".join(f"{load:.1f}" for load in contest.load_average)
        lines += ["", f"{contest.title}: {_amount(contest)}, load average {loads}"]
        lines += _columns([_HEAD, *(_row(contest, standing) for standing in contest.standings)])
        lines += [f"  {note}" for note in contest.notes]
    if results.figures:
        lines += ["", "what was promised"]
        lines += _columns([_FIGURE_HEAD, *map(_figure_row, results.figures)])
        lines += [f"  {figure.title}: {figure.details}" for figure in results.figures if figure.details]
    return "\n".join(lines) + "\n"


def as_markdown(parts: Mapping[str, Results]) -> str:
    """Return tables for a README: one of what was promised, one of the contests, as far as there is any."""
    results = _together(parts)
    tables = []
    if results.figures:
        head = ["| what | measured | target | |", "|---|---:|---:|---|"]
        tables.append([*head, *(f"| {' | '.join(_figure_row(figure))} |" for figure in results.figures)])
    if results.contests:
        tables.append(_contests_table(results))
    return "\n\n".join("\n".join(lines) for lines in tables) + "\n"


def in_readme(readme: str, parts: Mapping[str, Results]) -> str:
    """Return a README with its tables made anew; raises ValueError where it has no place for them."""
    before, begins, rest = readme.partition(README_BEGINS)
    _, ends, after = rest.partition(README_ENDS)
    if not ends:
        raise ValueError(f"the README has no {README_BEGINS.strip()} and {README_ENDS} around its tables")
    return before + begins + as_markdown(parts) + ends + after


def _together(parts: Mapping[str, Results]) -> Results:
    return reduce(add, parts.values(), Results())


def _contests_table(results: Results) -> list[str]:
    lines = ["| what | with | speed | depositd is | result |", "|---|---|---:|---:|---:|"]
    for contest in results.contests:
        for standing in contest.standings:
            name, speed, ratio, *_, size = _row(contest, standing)
            lines.append(f"| {contest.title}, {_amount(contest)} | {name} | {speed} | {ratio} | {size} |")
    return lines


_HEAD = ("", "speed", "depositd is", "median", "fastest", "slowest", "processors", "result")
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
