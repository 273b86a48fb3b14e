"""How fast bytes may move: uploads to a destination, and reads from a source that is treated gently."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LARGEST_BLOCK_BYTES = 1 << 20
SMALLEST_BLOCK_BYTES = 1 << 14
LONGEST_SLEEP_S = 0.25
"""A wait is asked this often whether it is still wanted."""


def _nothing() -> None:
    """Want nothing of a wait."""


class RateLimit:
    """So many bytes a second, shared by all who move them; safe to use from many threads.

    Time that went unused is not saved up, so a limit is never exceeded by a burst.
    """

    def __init__(
        self,
        rate_bytes_per_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.rate_bytes_per_s = rate_bytes_per_s
        self._clock = clock
        self._sleep = sleep
        self._lock = threading.Lock()
        self._free_at_s = clock()

    @property
    def block_bytes(self) -> int:
        """A quarter of a second's worth, so that a slow limit still moves evenly."""
        return max(SMALLEST_BLOCK_BYTES, min(LARGEST_BLOCK_BYTES, int(self.rate_bytes_per_s / 4)))

    def take(self, size_bytes: int, waiting: Callable[[], None] = _nothing) -> None:
        """Wait until ``size_bytes`` may move.

        ``waiting`` is called at least four times a second meanwhile; what it raises ends the wait, so that a slow limit
        holds up neither a stop nor a sign of life.
        """
        with self._lock:
            start_s = max(self._free_at_s, self._clock())
            self._free_at_s = start_s + size_bytes / self.rate_bytes_per_s
        while (left_s := start_s - self._clock()) > 0:
            waiting()
            self._sleep(min(left_s, LONGEST_SLEEP_S))
