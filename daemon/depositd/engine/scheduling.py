"""Which of the things that wait are begun next: a pure decision on sizes, places and what is under way.

Of the places of a pool (archivers; uploads to one destination) all but one may hold something huge.  So a small dataset
waits for another small one at most, never for the night's longest run.  The place stays free also where nothing small
waits: it would be of no use if it had to be won back from something huge first, and two huge archives at once keep the
disk's head between them and finish no sooner than one after the other, for they share the compressing threads.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass, field

HUGE_BYTES = 8 << 30
"""From here on a dataset is huge: about half a minute of an archiver, and minutes of most networks."""

ANY_BYTES = 2**63 - 1
"""More than any dataset has."""


@dataclass(frozen=True, slots=True)
class Job:
    """A piece of work: what tells it from others, what it does, and the size of its dataset.

    ``asks`` is true of what moves no dataset: a question, or a few words.
    """

    key: Hashable
    work: Callable[[], None] = field(default=lambda: None, compare=False)
    size_bytes: int = 0
    asks: bool = False


def largest_startable(under_way: Collection[Job], places: int, huge_bytes: int = HUGE_BYTES) -> int | None:
    """Return how many bytes the next job may have, None where no place is free for any."""
    if len(under_way) >= places:
        return None
    huge = sum(1 for job in under_way if job.size_bytes >= huge_bytes)
    return ANY_BYTES if huge < max(places - 1, 1) else huge_bytes - 1


def startable(
    waiting: Sequence[Job], under_way: Collection[Job], places: int, huge_bytes: int = HUGE_BYTES
) -> list[Job]:
    """Return the jobs that are begun now, in the order in which they wait; none that is under way already."""
    begun: list[Job] = []
    for job in waiting:
        busy = [*under_way, *begun]
        largest = largest_startable(busy, places, huge_bytes)
        if largest is None:
            break
        if job.size_bytes <= largest and all(job.key != other.key for other in busy):
            begun.append(job)
    return begun
