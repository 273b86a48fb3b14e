"""Whether every worker moves: each says how long it may be silent; the watchdog is fed while all keep to it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class _Beat:
    at_s: float
    budget_s: float


class Heartbeats:
    """The last sign of life of each worker; safe between threads."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._beats: dict[str, _Beat] = {}

    def beat(self, worker: str, budget_s: float) -> None:
        """Say that a worker moves and will again within ``budget_s`` seconds."""
        with self._lock:
            self._beats[worker] = _Beat(self._monotonic(), budget_s)

    def rest(self, worker: str) -> None:
        """Say that a worker has nothing to do."""
        with self._lock:
            self._beats.pop(worker, None)

    def silent(self) -> list[str]:
        """Return a sentence for each worker that has been silent for longer than it said."""
        now_s = self._monotonic()
        with self._lock:
            return [
                f"{worker} has not moved for {now_s - beat.at_s:.0f} s (allowed {beat.budget_s:.0f} s)"
                for worker, beat in sorted(self._beats.items())
                if now_s - beat.at_s > beat.budget_s
            ]
