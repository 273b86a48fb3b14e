"""When events come so fast that sweeps are cheaper: 1,000 new files a second cost watchdog an eighth of a core."""

from __future__ import annotations

import enum
from dataclasses import dataclass

MOST_PER_S = 200.0
"""More events a second than this are not worth hearing."""
BUSY_FOR_S = 3.0
"""For how long they have to come so fast, before the first pause."""
MEASURE_S = 1.0
"""The shortest time over which a rate is measured, and how long is listened after a pause."""
SHORTEST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 60.0
PAUSE_PER_DIRECTORY_S = 0.0025
"""To listen again costs about 50 µs a directory; it may take a fiftieth of the time."""


class Tempo(enum.Enum):
    """How fast events come."""

    UNKNOWN = "not measured yet"
    CALM = "calm"
    BUSY = "busy"


@dataclass(slots=True)
class Pace:
    """Measures how fast events come; everything by the caller's monotonic clock."""

    rate_per_s: float = 0.0
    is_paused: bool = False
    _pause_s: float = 0.0
    _probing: bool = False
    _since_s: float | None = None
    _events: int = 0
    _busy_since_s: float | None = None

    def restart(self, *, after_pause: bool) -> None:
        """Begin to measure a new listener, whose events are counted from 0."""
        self._since_s = self._busy_since_s = None
        self._probing, self.is_paused = after_pause, False
        if not after_pause:
            self._pause_s = 0.0

    def look(self, events: int, now_s: float) -> Tempo:
        """Take the number of events so far; BUSY means that it is time to pause."""
        if self._since_s is None:
            self._since_s, self._events = now_s, events
            return Tempo.UNKNOWN
        elapsed_s = now_s - self._since_s
        if elapsed_s < MEASURE_S:
            return Tempo.UNKNOWN
        since_s, self._since_s = self._since_s, now_s
        self.rate_per_s = (events - self._events) / elapsed_s
        self._events = events
        if self.rate_per_s <= MOST_PER_S:
            self._busy_since_s, self._probing = None, False
            return Tempo.CALM
        if self._busy_since_s is None:
            self._busy_since_s = since_s
        if self._probing or now_s - self._busy_since_s >= BUSY_FOR_S:
            return Tempo.BUSY
        return Tempo.UNKNOWN

    def pause(self, directories: int) -> float:
        """Begin to pause; return for how many seconds: twice the last one where it was busy right after that."""
        doubled_s = 2 * self._pause_s if self._probing else SHORTEST_PAUSE_S
        self._pause_s = max(min(doubled_s, LONGEST_PAUSE_S), directories * PAUSE_PER_DIRECTORY_S)
        self.is_paused = True
        return self._pause_s
