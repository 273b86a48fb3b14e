"""Whether every worker moves: each says how long it may be silent, and the watchdog is fed while all keep to it.

A budget is no guess at how long the work takes (that may be a night) but the longest time between two signs of life.
It follows from limits that stand elsewhere:

=============  =====  ==================================================================================================
worker         s      what is the longest between two signs of life
=============  =====  ==================================================================================================
main loop        300  some transactions of the journal, each of which waits 30 s for another process at most
watcher          600  the reader of HDF5 files, given up after 20 s, while other watchers stand before this one; a look
                      at one directory says so every 10,000 entries
archiver         300  8 MiB through the slowest compression, behind as much of every other frame; every MiB says so
deliverer        300  some transactions of the journal, a question answered; every MiB sent says so.  What it waits for
                      the server comes on top, see :meth:`Heartbeats.waits`: each request has limits of its own
=============  =====  ==================================================================================================

What has no limit is a call that the kernel does not come back from: a disk that crawls, a file server that is gone.
It is told apart by asking the kernel, see :mod:`depositd.service.threads`.  Not watched are the threads of the status
page, of notifications and of watchdog's observers: no data waits for the first two, and for the last the watcher asks
its sentinel at each turn, listens anew and sweeps, which is all that a restart could do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from depositd.units import show_duration

LOOP_BUDGET_S: Final = 300.0
WATCH_BUDGET_S: Final = 600.0
PACK_BUDGET_S: Final = 300.0
DELIVER_BUDGET_S: Final = 300.0


@dataclass(frozen=True, slots=True)
class Silent:
    """A worker that has been silent for longer than it said; ``thread`` is the one that works for it."""

    worker: str
    silent_s: float
    budget_s: float
    thread: threading.Thread

    def __str__(self) -> str:
        allowed = show_duration(self.budget_s)
        return f"{self.worker} has not moved for {show_duration(self.silent_s)} (allowed {allowed})"


@dataclass(frozen=True, slots=True)
class _Beat:
    at_s: float
    own_s: float
    waits_s: float
    thread: threading.Thread


class Heartbeats:
    """The last sign of life of each worker; safe between threads.  A worker is a name, and the thread that beats."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._beats: dict[str, _Beat] = {}
        self._at_work = threading.local()

    def beat(self, worker: str, budget_s: float) -> None:
        """Say that a worker moves, and will again within ``budget_s`` seconds."""
        with self._lock:
            self._beats[worker] = _Beat(self._monotonic(), budget_s, 0.0, threading.current_thread())

    def rest(self, worker: str) -> None:
        """Say that a worker has nothing to do; unheard where another thread has become that worker."""
        with self._lock:
            beat = self._beats.get(worker)
            if beat is not None and beat.thread is threading.current_thread():
                del self._beats[worker]

    @contextmanager
    def working(self, worker: str, budget_s: float) -> Iterator[None]:
        """Let this thread be a worker for a while, which :meth:`moved` and :meth:`waits` then speak of."""
        self.beat(worker, budget_s)
        self._at_work.name = worker
        try:
            yield
        finally:
            self._at_work.name = None
            self.rest(worker)

    def moved(self) -> None:
        """Give a sign of life for the worker that this thread is; nothing where it is none."""
        self.waits(0.0)

    def waits(self, longest_s: float) -> None:
        """Say that this thread's worker now waits for something that ends by itself within ``longest_s`` seconds."""
        worker = getattr(self._at_work, "name", None)
        with self._lock:
            beat = self._beats.get(worker) if worker is not None else None
            if worker is not None and beat is not None:
                self._beats[worker] = _Beat(self._monotonic(), beat.own_s, longest_s, beat.thread)

    def threads(self) -> list[threading.Thread]:
        """Return the threads that are workers now."""
        with self._lock:
            return [beat.thread for beat in self._beats.values()]

    def silent(self) -> list[Silent]:
        """Return each worker that has been silent for longer than it said."""
        now_s = self._monotonic()
        with self._lock:
            return [
                Silent(worker, now_s - beat.at_s, beat.own_s + beat.waits_s, beat.thread)
                for worker, beat in sorted(self._beats.items())
                if now_s - beat.at_s > beat.own_s + beat.waits_s
            ]
