"""Feeds systemd's watchdog while every worker moves, and says who does not, and where it stands.

A thread of its own, so that a slow disk below the main loop does not starve it; and it feeds nobody by habit: each time
it asks every worker, the main loop among them (:mod:`depositd.service.heartbeats`).

A worker that is silent for longer than its budget hangs, and the watchdog starves, unless the kernel has it: a disk
that crawls or a file server that is gone is said and waited for, since a restart would wait for the same.  Others may
stand behind such a thread with nothing but a lock to show for it.  So a worker is excused as well while

- some thread has the journal, which all share, and waits for its disk;
- a thread that works for its kind (who reads ahead, who writes frames) waits for the spool's disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from depositd.service.heartbeats import Heartbeats, Silent
from depositd.service.threads import is_in, stack_of, waits_for_files
from depositd.systemd import Supervisor, get_logger

LOOK_EVERY_S = 60.0
"""How often workers are looked at where no supervisor asks."""
HELPERS = {
    "archive-": ("archiver", "follower"),
    "verify-": ("archiver", "follower"),
    "upload-": ("deliverer",),
}
"""How the names of threads begin that work for others, and of whom: while much is archived, one is always at a disk."""

log = get_logger("depositd")


def has_journal(thread: threading.Thread) -> bool:
    """Say whether a thread is at the journal, for which others then wait; a backup has a connection of its own."""
    return is_in(thread, "depositd.journal") and not is_in(thread, "depositd.journal.files")


@dataclass(frozen=True, slots=True)
class Looks:
    """What is asked of threads; tests ask something simpler."""

    waits_for_files: Callable[[threading.Thread], bool] = waits_for_files
    has_journal: Callable[[threading.Thread], bool] = has_journal
    stack: Callable[[threading.Thread], str] = stack_of
    all_threads: Callable[[], Iterable[threading.Thread]] = threading.enumerate


def hanging(silent: Sequence[Silent], workers: Iterable[threading.Thread], looks: Looks) -> list[Silent]:
    """Return those of the silent workers whom a restart could help; ``workers`` are the threads of all of them."""
    if not silent:
        return []
    at_work = set(workers)
    kept_waiting: tuple[str, ...] = ()
    for thread in looks.all_threads():
        has_journal = looks.has_journal(thread)
        works_for = () if thread in at_work else _works_for(thread)
        if (works_for or has_journal) and looks.waits_for_files(thread):
            if has_journal:
                return []
            kept_waiting += works_for
    return [one for one in silent if not (one.worker.startswith(kept_waiting) or looks.waits_for_files(one.thread))]


def _works_for(thread: threading.Thread) -> tuple[str, ...]:
    return next((workers for name, workers in HELPERS.items() if thread.name.startswith(name)), ())


class Watchdog:
    """Looks at all workers every ``interval_s`` (None: nobody asks), from a thread of its own once it is started."""

    def __init__(
        self,
        heartbeats: Heartbeats,
        supervisor: Supervisor,
        *,
        interval_s: float | None,
        looks: Looks | None = None,
    ) -> None:
        self._heartbeats = heartbeats
        self._supervisor = supervisor
        self._interval_s = interval_s
        self._looks = looks or Looks()
        self._told: set[tuple[str, bool]] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """End; nobody is fed any more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)

    def look(self) -> bool:
        """Look once: feed the watchdog, or say who hangs and return False."""
        silent = self._heartbeats.silent()
        hung = hanging(silent, self._heartbeats.threads(), self._looks)
        now = {(one.worker, one in hung): one for one in silent}
        for (worker, hangs), one in now.items():
            if (worker, hangs) not in self._told:
                self._say(one, hangs=hangs)
        self._told = set(now)
        if not hung:
            self._supervisor.notify(watchdog=self._interval_s is not None)
        return not hung

    def _say(self, one: Silent, *, hangs: bool) -> None:
        where = self._looks.stack(one.thread)
        if hangs:
            asked = self._interval_s is not None
            hint = "systemd starts depositd again, which goes on where it was" if asked else "restart depositd"
            log.error(f"{one}: it hangs, and the watchdog is not fed", hint=hint, stack=where)
        else:
            hint = "look at the disk or the file server that it uses; it goes on by itself when that answers"
            log.warning(f"{one}: it waits for a disk or a file server", hint=hint, stack=where)

    def _run(self) -> None:
        every_s = self._interval_s or LOOK_EVERY_S
        while True:
            self.look()
            if self._ended.wait(every_s):
                return
