"""How fast a disk fills up, from samples of its free space; pure.

A slope is the median of the slopes between all pairs of samples (Theil-Sen), so that neither an archive that comes nor
one that goes moves it much.  A clean-up begins a new trend.  Where there are several of them, they are how this disk
lives, and the trend is that of what was free after each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations, pairwise
from statistics import median

from depositd.journal import SpaceSample

LONGEST_S = 3 * 3600.0
SHORT_S = 20 * 60.0
"""Beside the last hours, the last minutes are looked at: what begins now must not drown in a calm evening."""
LEAST_S = 10 * 60.0
FEWEST = 4
STALE_S = 15 * 60.0
"""Samples that end longer ago than this say nothing of now: nobody has looked."""
MOST_POINTS = 60
CLEAN_UP = 0.25
"""A rise of this share of all that happened is a clean-up."""
REAL = 3.0
"""A fall must be so many times the usual distance of the samples from it."""


@dataclass(frozen=True, slots=True)
class Trend:
    """A disk that loses ``falls_bytes_per_s``, seen for ``over_s`` seconds."""

    falls_bytes_per_s: float
    over_s: float


def latest(samples: Sequence[SpaceSample], now: datetime) -> SpaceSample | None:
    """Return the newest sample, None where it is too old to tell how things are."""
    known = [sample for sample in samples if sample.at <= now]
    return known[-1] if known and _ago_s(known[-1], now) <= STALE_S else None


def trends(samples: Sequence[SpaceSample], now: datetime) -> list[Trend]:
    """Return how fast the free space falls, by the last hours and by the last minutes; empty where it does not."""
    newest = latest(samples, now)
    if newest is None:
        return []
    same = [sample for sample in samples if sample.device == newest.device]
    found = []
    for longest_s in (LONGEST_S, SHORT_S):
        points = [(-_ago_s(one, now), float(one.free_bytes)) for one in same if 0 <= _ago_s(one, now) <= longest_s]
        trend = _trend(_telling(points))
        if trend is not None and trend not in found:
            found.append(trend)
    return found


Point = tuple[float, float]
"""A moment in seconds, and the bytes that were free then."""


def _telling(points: Sequence[Point]) -> Sequence[Point]:
    """Return all points, those since the one clean-up, or those after each of several."""
    rises = _rises(points)
    if not rises:
        return points
    values = [free for _moment, free in points]
    large = CLEAN_UP * (max(values) - min(values))
    ends = [end for end, height in rises if height > large] or [0]
    return points[ends[0] :] if len(ends) == 1 else [points[end] for end in ends]


def _rises(points: Sequence[Point]) -> list[tuple[int, float]]:
    """Return where each unbroken rise ends, and its height: deleting much takes several samples."""
    found: list[tuple[int, float]] = []
    for end, ((_, before), (_, after)) in enumerate(pairwise(points), start=1):
        if after <= before:
            continue
        if found and found[-1][0] == end - 1:
            found[-1] = (end, found[-1][1] + after - before)
        else:
            found.append((end, after - before))
    return found


def _trend(points: Sequence[Point]) -> Trend | None:
    if len(points) < FEWEST:
        return None
    over_s = points[-1][0] - points[0][0]
    if over_s < LEAST_S:
        return None
    few = _thinned(points)
    slope = median((late - early) / (after - before) for (before, early), (after, late) in combinations(few, 2))
    if slope >= 0:
        return None
    level = median(free - slope * moment for moment, free in few)
    spread = median(abs(free - slope * moment - level) for moment, free in few)
    return Trend(-slope, over_s) if -slope * over_s > REAL * spread else None


def _thinned(points: Sequence[Point]) -> Sequence[Point]:
    """Return at most :data:`MOST_POINTS` points, evenly, the first and the last among them."""
    count = min(len(points), MOST_POINTS)
    return [points[round(number * (len(points) - 1) / (count - 1))] for number in range(count)]


def _ago_s(sample: SpaceSample, now: datetime) -> float:
    return (now - sample.at).total_seconds()
