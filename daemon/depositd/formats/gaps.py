"""Whose the missing numbers are where several datasets share one series."""

from __future__ import annotations

import bisect
import itertools
from collections import Counter
from collections.abc import Sequence

from depositd.formats.series import MOST_MISSING


def shared_out(parts: Sequence[Sequence[int]]) -> list[tuple[tuple[int, ...], int]]:
    """Return for each part the numbers absent from the whole series that it misses (at most 1,000), and how many.

    ``parts`` are numbers in ascending order, no number in two parts.  Each absent number is given to one part alone:
    to the one whose rhythm it breaks (datasets that take turns), else to the one before the hole.
    """
    series = sorted((number, rank) for rank, numbers in enumerate(parts) for number in numbers)
    rhythms = [_Rhythm(numbers) for numbers in parts]
    missing: list[list[int]] = [[] for _ in parts]
    totals = [0] * len(parts)
    for (before, rank), (after, _rank) in itertools.pairwise(series):
        absent = range(before + 1, after)
        if len(absent) > MOST_MISSING:
            missing[rank].extend(absent[: MOST_MISSING - len(missing[rank])])
            totals[rank] += len(absent)
            continue
        for number in absent:
            owner = _owner(number, rhythms, rank)
            totals[owner] += 1
            if len(missing[owner]) < MOST_MISSING:
                missing[owner].append(number)
    return [(tuple(numbers), total) for numbers, total in zip(missing, totals, strict=True)]


def _owner(number: int, rhythms: Sequence[_Rhythm], before: int) -> int:
    """Return the part that misses a number most surely; ``before`` where none does more than another."""
    claims = [rhythm.claim(number) for rhythm in rhythms]
    strongest = max(claims)
    return before if claims[before] == strongest else claims.index(strongest)


class _Rhythm:
    """A part's numbers, and the step that is usual between them."""

    def __init__(self, numbers: Sequence[int]) -> None:
        self._numbers = numbers
        steps = Counter(after - before for before, after in itertools.pairwise(numbers))
        self._step = max(1, min(steps, key=lambda step: (-steps[step], step))) if steps else 1

    def claim(self, number: int) -> int:
        """Return 2 where a number is missed between two others, 1 where it would come next, else 0."""
        at = bisect.bisect(self._numbers, number)
        first, last = self._numbers[0], self._numbers[-1]
        if 0 < at < len(self._numbers):
            return 2 if (number - self._numbers[at - 1]) % self._step == 0 else 0
        beside = number - last if at else first - number
        return int(beside == self._step > 1)
