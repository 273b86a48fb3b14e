"""Which sources are read gently, and how fast: what the ``gentle`` of the rules comes to."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from depositd.config import Rule
from depositd.rate_limit import RateLimit

HEADER_BYTES = 16 << 10
"""What reading one file's header counts for: a rough mean, since most formats read less and an index may be larger."""


class Gentleness:
    """The read limits of all sources that a gentle rule watches.

    A limit belongs to the directory, not to the rule: it is the disk below that is spared.  Whoever reads there shares
    it, also for a rule that is not gentle itself; of several gentle rules the slowest counts.
    """

    def __init__(
        self,
        rules: Iterable[Rule],
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        rates: dict[str, int] = {}
        for rule in rules:
            if rule.gentle is not None:
                for directory in map(Path.as_posix, rule.watch):
                    rate = rule.gentle.read_rate_bytes_per_s
                    rates[directory] = min(rate, rates.get(directory, rate))
        self._limits = {directory: RateLimit(rate, clock=clock, sleep=sleep) for directory, rate in rates.items()}

    def limit_of(self, root: str) -> RateLimit | None:
        """Return the limit that a directory is read within, the slowest where gentle sources lie in each other."""
        above = (limit for directory, limit in self._limits.items() if _holds(directory, root))
        return min(above, key=lambda limit: limit.rate_bytes_per_s, default=None)


def _holds(directory: str, root: str) -> bool:
    return root == directory or root.startswith(directory.rstrip("/") + "/")
