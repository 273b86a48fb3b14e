"""The care that the journal is given while the daemon runs: backups on a schedule, and old histories pruned."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from depositd.config import Config
from depositd.engine.interrupt import Interrupted
from depositd.errors import DepositdError
from depositd.journal import Journal
from depositd.journal.files import backups_in, keep_newest, make_backup
from depositd.service.clock import utc_now
from depositd.service.steady_clock import SteadyClock
from depositd.systemd import get_logger
from depositd.units import printable, show_count, show_duration, show_size

AGAIN_S = 3600.0
"""After a backup that failed the next one is tried this soon, where it would not come sooner."""
PRUNE_EVERY_S = 86_400.0
PRUNE_PAUSE_S = 0.05
SLOW_S = 7200.0
"""A backup that has not ended by then stands before a file server that is gone, which nobody else would say."""

log = get_logger("depositd")


def first_backup_in_s(newest: datetime | None, every_s: float, now: datetime) -> float:
    """Return in how many seconds the first backup after a start is due; one of the future says nothing."""
    age_s = -1.0 if newest is None else (now - newest).total_seconds()
    return every_s - age_s if 0.0 <= age_s < every_s else 0.0


class JournalCare:
    """Backs the journal up and prunes it, each in its own time and in one thread that nobody waits for."""

    def __init__(
        self,
        journal: Journal,
        stopping: threading.Event,
        *,
        clock: Callable[[], datetime] = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._stopping = stopping
        self._clock = clock
        # what is pruned does not come back, and somebody may set the clock a year ahead for an hour
        self._steady_clock = SteadyClock(clock, monotonic)
        self._monotonic = monotonic
        self._backup_due_s: float | None = None
        self._slow_s = float("inf")
        self._prune_due_s = float("-inf")
        self._thread: threading.Thread | None = None

    def look(self, config: Config) -> None:
        """Begin what is due, where nothing is under way."""
        now_s = self._monotonic()
        if self._thread is not None and self._thread.is_alive():
            if now_s >= self._slow_s:
                self._slow_s = float("inf")
                self._say_slow(config)
            return
        work: list[Callable[[Config], None]] = []
        self._slow_s = float("inf")
        if self._is_backup_due(config, now_s):
            self._slow_s = now_s + SLOW_S
            work.append(self._back_up_if_due)
        if config.journal.keep_history_s is not None and now_s >= self._prune_due_s:
            self._prune_due_s = now_s + PRUNE_EVERY_S
            work.append(self.prune)
        if work:
            self._thread = threading.Thread(target=self._work, args=(work, config), name="journal care", daemon=True)
            self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Wait for what is under way, which ends soon once ``stopping`` is set."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def back_up(self, config: Config) -> None:
        """Make a backup now, and remove those that are too many; what fails is noted, said, and tried again."""
        care = config.journal
        every_s = care.backup_every_s or 0.0
        self._backup_due_s = self._monotonic() + min(AGAIN_S, every_s)
        began_s = self._monotonic()
        try:
            made = make_backup(
                self._journal.database.path, config.backup_directory, self._clock(), progress=self._go_on
            )
            for removed in keep_newest(config.backup_directory, care.keep_backups):
                log.info("an old backup of the journal is removed", path=printable(str(removed)))
        except (DepositdError, OSError) as error:
            why, hint = _said(error)
            sentence = f"the journal cannot be backed up: {why}"
            self._journal.notes.backup_failed(sentence, hint, self._clock())
            log.error(sentence, hint=hint)
            return
        self._backup_due_s = began_s + every_s
        size = show_size(made.path.stat().st_size)
        took = show_duration(self._monotonic() - began_s)
        self._journal.notes.backed_up(str(made.path), self._clock())
        log.info("the journal is backed up", path=printable(str(made.path)), size=size, took=took)

    def prune(self, config: Config) -> None:
        """Prune the histories of what ended long ago, a few at a time."""
        kept_s = config.journal.keep_history_s
        if kept_s is None:
            return
        before = self._steady_clock.now() - timedelta(seconds=kept_s)
        datasets = lines = 0
        after: int | None = 0
        while after is not None:
            self._go_on()
            pruned = self._journal.pruning.prune(before, after, self._clock())
            datasets, lines, after = datasets + pruned.datasets, lines + pruned.lines, pruned.next_after
            self._stopping.wait(PRUNE_PAUSE_S)
        if lines:
            log.info(
                f"{show_count(lines, 'line')} of history removed: the deliveries of"
                f" {show_count(datasets, 'dataset')} ended more than {show_duration(kept_s)} ago",
                hint="keep_history",
            )

    def _work(self, work: list[Callable[[Config], None]], config: Config) -> None:
        for one in work:
            try:
                one(config)
            except Interrupted:
                return
            except DepositdError as error:
                log.error("the journal cannot be cared for", reason=str(error), hint=error.hint)

    def _is_backup_due(self, config: Config, now_s: float) -> bool:
        every_s = config.journal.backup_every_s
        if every_s is None:
            return False
        return self._backup_due_s is None or now_s >= min(self._backup_due_s, now_s + every_s)

    def _back_up_if_due(self, config: Config) -> None:
        """Make a backup, save where a start finds one that is young enough: who looks may wait for a file server."""
        every_s = config.journal.backup_every_s or 0.0
        if self._backup_due_s is None:
            try:
                newest = max((one.made_at for one in backups_in(config.backup_directory)[-1:]), default=None)
            except OSError:
                newest = None  # the backup says better what is wrong there
            now_s = self._monotonic()
            self._backup_due_s = now_s + first_backup_in_s(newest, every_s, self._clock())
            if now_s < self._backup_due_s:
                return
        self.back_up(config)

    def _say_slow(self, config: Config) -> None:
        sentence = f"a backup of the journal has not ended for {show_duration(SLOW_S)}, and none is made meanwhile"
        hint = f"look at the disk or file server of {printable(str(config.backup_directory))}; it goes on by itself"
        self._journal.notes.backup_failed(sentence, hint, self._clock())
        log.error(sentence, hint=hint)

    def _go_on(self) -> None:
        if self._stopping.is_set():
            raise Interrupted


def _said(error: Exception) -> tuple[str, str]:
    if isinstance(error, DepositdError):
        return printable(str(error), 300), error.hint
    assert isinstance(error, OSError)
    where = f"{printable(str(error.filename))}: " if error.filename else ""
    return (
        f"{where}{error.strerror or error}",
        "look at the space and the permissions there; it is tried again by itself",
    )
