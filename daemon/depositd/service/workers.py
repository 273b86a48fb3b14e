"""Threads that take work; a failing piece of work ends neither its thread nor its neighbours."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Hashable
from contextlib import AbstractContextManager, nullcontext

from depositd.engine.scheduling import Job
from depositd.errors import DepositdError
from depositd.systemd import get_logger

log = get_logger("depositd")

COOL_DOWN_S = 5.0
"""How long a worker rests after an error that nobody foresaw, so that a bug fills neither the log nor a core."""


def say_failed(worker: str, error: BaseException) -> None:
    """Say that a piece of work failed in a way that nobody foresaw; the worker goes on."""
    if isinstance(error, DepositdError):  # the journal's disk is full, say: a sentence tells more than a traceback
        log.error(str(error), hint=error.hint, worker=worker)
    else:
        log.error("unforeseen error; the work is taken up again", worker=worker, exc_info=error)


class Pool:
    """A fixed number of daemon threads; each job has a key and runs at most once at a time.

    ``failed`` hears of work that raised, ``ended`` that a job is no longer under way, however it went.  ``at_work``
    gives the context in which a job is done: that of a worker who is watched.

    Daemon threads, because a stop must not wait for a server that does not answer: what is under way is in the
    journal, and the next start asks.
    """

    def __init__(
        self,
        name: str,
        workers: int,
        failed: Callable[[str, BaseException], None],
        ended: Callable[[], None] = lambda: None,
        at_work: Callable[[Job], AbstractContextManager[None]] = lambda _job: nullcontext(),
    ) -> None:
        self.workers = workers
        self._name = name
        self._failed = failed
        self._ended = ended
        self._at_work = at_work
        self._stopping = threading.Event()
        self._left_alone = threading.Event()
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._jobs: dict[Hashable, Job] = {}
        self._threads: list[threading.Thread] = []
        self._start(workers)

    def _start(self, workers: int) -> None:
        for _ in range(workers):
            name = f"{self._name}-{len(self._threads)}"
            self._threads.append(threading.Thread(target=self._run, name=name, daemon=True))
            self._threads[-1].start()

    def resize(self, workers: int) -> None:
        """Take more or less work at once from now on; what is under way is not disturbed."""
        with self._lock:
            more, self.workers = workers - self.workers, workers
        self._start(more)
        for _ in range(-more):
            self._queue.put(None)

    def submit(self, job: Job) -> bool:
        """Start a job; False where one of its key is under way already, or every worker is busy."""
        with self._lock:
            if job.key in self._jobs or len(self._jobs) >= self.workers:
                return False
            self._jobs[job.key] = job
        self._queue.put(job)
        return True

    @property
    def under_way(self) -> list[Job]:
        """The jobs that were started and have not ended."""
        with self._lock:
            return list(self._jobs.values())

    @property
    def is_free(self) -> bool:
        """True where one more job can be started."""
        with self._lock:
            return len(self._jobs) < self.workers

    def stop(self, timeout_s: float) -> bool:
        """Take no more work and wait for what is under way; False where some of it did not end in time."""
        self._stopping.set()
        for _ in self._threads:
            self._queue.put(None)
        # the time is shared: what one thread does not need is another's
        deadline_s = time.monotonic() + timeout_s
        for thread in self._threads:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
        all_ended = not any(thread.is_alive() for thread in self._threads)
        if not all_ended:
            self._left_alone.set()
        return all_ended

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            try:
                with self._at_work(job):
                    job.work()
            except Exception as error:  # noqa: BLE001 - a worker outlives whatever its work does
                if not self._left_alone.is_set():  # else it was not waited for, and the journal is closed by now
                    self._failed(self._name, error)
                self._stopping.wait(COOL_DOWN_S)
            finally:
                with self._lock:
                    del self._jobs[job.key]
                self._ended()
