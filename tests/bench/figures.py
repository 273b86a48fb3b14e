"""One number that was promised: what was measured, beside what it should be."""

from __future__ import annotations

from dataclasses import dataclass

from bench.measuring import Contest
from depositd.units import show_size


@dataclass(frozen=True, slots=True)
class Figure:
    """A measured value in ``unit`` (``B`` is shown as a size) and the most, or the least, that it should be.

    ``details`` say what it rests on.
    """

    title: str
    value: float
    unit: str
    most: float | None = None
    least: float | None = None
    details: str = ""

    @property
    def is_reached(self) -> bool | None:
        """Say whether the value is what it should be; None where nothing is promised."""
        if self.most is None and self.least is None:
            return None
        return (self.most is None or self.value <= self.most) and (self.least is None or self.value >= self.least)

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return _shown(self.value, self.unit)

    @property
    def target(self) -> str:
        """What it should be, empty where nothing is promised."""
        most = "" if self.most is None else f"≤ {_shown(self.most, self.unit)}"
        least = "" if self.least is None else f"≥ {_shown(self.least, self.unit)}"
        return most or least

    @property
    def outcome(self) -> str:
        """``reached`` or ``missed``, empty where nothing is promised."""
        return {None: "", True: "reached", False: "missed"}[self.is_reached]


def speed_beside(contest: Contest, least: float) -> Figure:
    """Return how many times as fast depositd was as its first rival, beside what was promised."""
    rival = contest.standings[1]
    return Figure(
        f"{contest.title} ({show_size(contest.amount)}), beside {rival.name}",
        contest.ratio(rival),
        "x as fast",
        least=least,
        details=_medians(contest),
    )


def time_beside(contest: Contest, what: str, beside: str, most: float) -> Figure:
    """Return what share of its first rival's time depositd took, beside what was promised."""
    ours, rival = contest.standings[:2]
    return Figure(
        f"{what} ({show_size(contest.amount)}), beside {beside}",
        ours.wall_s / rival.wall_s,
        "x the time",
        most=most,
        details=_medians(contest),
    )


def _medians(contest: Contest) -> str:
    ours, rival = contest.standings[:2]
    return f"medians: {ours.wall_s:.2f} s, {rival.wall_s:.2f} s"


def _shown(value: float, unit: str) -> str:
    if unit == "B":
        return show_size(value)
    digits = 0 if value == int(value) or value >= 100 else 1 if value >= 10 else 2 if value >= 0.095 else 3
    return f"{value:,.{digits}f} {unit}"
