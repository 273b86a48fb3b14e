"""Whether something stays the same: decided on medians of the run's thirds, so that a busy machine does not decide.

The first third is warm-up: caches fill, threads start.  A *level* (memory, descriptors, threads) may be a little higher
in the last third than in the second.  A *rate* (bytes of the journal or the log for each dataset) may be a little
larger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeVar

T = TypeVar("T")

LEAST_SAMPLES = 60
"""In each third, a second apart or more; with fewer a median says nothing."""


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that the last third may have, given what the second has: ``growth`` times that, and ``slack`` more."""

    title: str
    unit: str
    growth: float
    slack: float

    def most(self, before: float) -> float:
        """Return the most that is flat."""
        return before * self.growth + self.slack


@dataclass(frozen=True, slots=True)
class Trend:
    """What the second and the last third of a run had; ``is_flat`` is None where the run was too short to tell."""

    bound: Bound
    before: float
    after: float
    samples: int

    @property
    def is_flat(self) -> bool | None:
        """Say whether it stayed the same."""
        if self.samples < 3 * LEAST_SAMPLES:
            return None
        return self.after <= self.bound.most(self.before)


def level(bound: Bound, values: Sequence[float]) -> Trend:
    """Judge a value that should not rise, sampled at even times."""
    _, second, last = _thirds(values)
    return Trend(bound, _median(second), _median(last), len(values))


def rate(bound: Bound, counts: Sequence[float], totals: Sequence[float]) -> Trend:
    """Judge what each of ``counts`` adds to ``totals``; both only rise, and were sampled together."""
    _, second, last = _thirds(tuple(zip(counts, totals, strict=True)))
    return Trend(bound, _slope(second), _slope(last), len(counts))


def _thirds(values: Sequence[T]) -> tuple[Sequence[T], Sequence[T], Sequence[T]]:
    first, second = len(values) // 3, 2 * len(values) // 3
    return values[:first], values[first:second], values[second:]


def _median(values: Sequence[float]) -> float:
    return median(values) if values else 0.0


def _slope(points: Sequence[tuple[float, float]]) -> float:
    if not points or points[-1][0] <= points[0][0]:
        return 0.0
    return (points[-1][1] - points[0][1]) / (points[-1][0] - points[0][0])
