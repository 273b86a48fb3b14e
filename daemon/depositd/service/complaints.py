"""The same complaint is not made every second: a night of trouble must not fill the disk of the log."""

from __future__ import annotations

import time
from collections.abc import Callable

EVERY_S = 600.0
MOST = 100
"""Different complaints that are remembered; with more than that, all of them are made once more."""


class Complaints:
    """Passes on each complaint at most every ``every_s`` seconds."""

    def __init__(
        self,
        say: Callable[..., object],
        *,
        every_s: float = EVERY_S,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._say = say
        self._every_s = every_s
        self._monotonic = monotonic
        self._made_s: dict[tuple[str, str], float] = {}

    def make(self, event: str, *, reason: str, hint: str = "") -> None:
        """Complain, unless the same was said lately."""
        now_s = self._monotonic()
        if now_s < self._made_s.get((event, reason), float("-inf")) + self._every_s:
            return
        if len(self._made_s) >= MOST:
            self._made_s.clear()
        self._made_s[event, reason] = now_s
        self._say(event, reason=reason, **({"hint": hint} if hint else {}))
