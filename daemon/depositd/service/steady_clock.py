"""The time for what must not come too early: a clock that jumps ahead is believed only after a while.

What was delivered is kept for a time by the clock on the wall, which somebody may set a year ahead for an hour.  While
the daemon runs, its monotonic clock shows that; a clock that was wrong at the start cannot be told from a right one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta

JUMP = timedelta(minutes=5)
"""Less than this is drift, or the correction of it."""
BELIEVED_AFTER_S = 86_400.0
"""A clock that was wrong before, not after, the jump has so long to prove it."""


class SteadyClock:
    """The wall's time, which does not follow a jump ahead before ``believed_after_s`` seconds have passed."""

    def __init__(
        self,
        wall: Callable[[], datetime],
        monotonic: Callable[[], float],
        *,
        believed_after_s: float = BELIEVED_AFTER_S,
    ) -> None:
        self._wall = wall
        self._monotonic = monotonic
        self._believed_after_s = believed_after_s
        self._started = wall() - timedelta(seconds=monotonic())
        self._ahead_since_s: float | None = None

    def now(self) -> datetime:
        """Return the time."""
        wall, monotonic_s = self._wall(), self._monotonic()
        steady = self._started + timedelta(seconds=monotonic_s)
        if wall - steady > JUMP:
            if self._ahead_since_s is None:
                self._ahead_since_s = monotonic_s
            if monotonic_s - self._ahead_since_s < self._believed_after_s:
                return steady
        self._ahead_since_s = None
        self._started = wall - timedelta(seconds=monotonic_s)
        return wall
