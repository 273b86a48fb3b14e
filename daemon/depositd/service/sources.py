"""The watchers, each in a thread of its own: a source that hangs holds no other up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from depositd import io_priority
from depositd.engine.interrupt import Interrupted
from depositd.engine.planning import Plan
from depositd.engine.watching import SHORTEST_TURN_S, Hands, SourceWatcher, sources
from depositd.errors import JournalError
from depositd.journal import Journal, Recorded
from depositd.model import FileStat
from depositd.service.clock import utc_now
from depositd.service.complaints import Complaints
from depositd.service.heartbeats import WATCH_BUDGET_S, Heartbeats
from depositd.service.lookout import Gauge
from depositd.service.workers import say_failed
from depositd.systemd import get_logger
from depositd.units import printable
from depositd.watch.events import ChangedDirectories

AFTER_TROUBLE_S = 5.0
START_PATIENCE_S = 60.0
"""A source that gives no sign of life for so long holds the start of the others up no more: its server may be gone."""

log = get_logger("depositd")


def start_sources(
    plan: Plan,
    journal: Journal,
    heartbeats: Heartbeats,
    recorded: Callable[[Recorded], None],
    closed: Callable[[int, tuple[FileStat, ...]], None],
) -> list[SourceThread]:
    """Watch every directory that a rule names.

    ``recorded`` hears of each dataset that changed its state, ``closed`` of the files of a growing one that can be
    archived already.
    """
    watched = sources(plan.config.rules)
    journal.surroundings.forget_sources(set(watched))
    threads = []
    for root, rules in watched.items():
        pulse = _Pulse(f"watcher of {printable(root)}", heartbeats)
        hands = Hands(
            clock=utc_now,
            monotonic=time.monotonic,
            moved=pulse.moved,
            recorded=recorded,
            said=log.warning,
            closed=closed,
        )
        watcher = SourceWatcher(root, rules, plan, journal, ChangedDirectories(pulse.wake), hands)
        threads.append(SourceThread(watcher, pulse, Gauge(journal, root)))
    return threads


class _Pulse:
    """What a watcher and its thread share: its name, signs of life, and how it is woken and stopped."""

    def __init__(self, name: str, heartbeats: Heartbeats) -> None:
        self.name = name
        self.wake = threading.Event()
        self.stop_asked = threading.Event()
        self.moved_s = time.monotonic()
        self._heartbeats = heartbeats

    def moved(self) -> None:
        """Give a sign of life; raises Interrupted where the watcher is to stop: a gentle sweep can take very long."""
        if self.stop_asked.is_set():
            raise Interrupted
        self.moved_s = time.monotonic()
        self._heartbeats.beat(self.name, WATCH_BUDGET_S)

    def begins(self) -> None:
        """Expect a sign of life from now on: the first thing that a turn asks may be a file server that is gone."""
        self._heartbeats.beat(self.name, WATCH_BUDGET_S)

    def waits(self, wait_s: float) -> None:
        """Wait until woken or stopped, and no longer than so many seconds."""
        self._heartbeats.beat(self.name, wait_s + WATCH_BUDGET_S)
        # events come by the thousand: they shorten the wait, and never take it away
        if not self.stop_asked.wait(SHORTEST_TURN_S):
            self.wake.wait(wait_s - SHORTEST_TURN_S)

    def rests(self) -> None:
        """Expect no more signs of life."""
        self._heartbeats.rest(self.name)


class SourceThread:
    """A watcher with its thread."""

    def __init__(self, watcher: SourceWatcher, pulse: _Pulse, gauge: Gauge) -> None:
        self.watcher = watcher
        self._pulse = pulse
        self._gauge = gauge
        self._complaints = Complaints(log.error)
        self._thread = threading.Thread(target=self._run, name=pulse.name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        with io_priority.idle(self.watcher.is_gentle) as is_idle:
            if self.watcher.is_gentle and not is_idle:
                log.warning("idle I/O priority is not possible here; the read rate is kept all the same")
            while not self._pulse.stop_asked.is_set():
                self._pulse.wake.clear()
                self._pulse.begins()
                self._pulse.waits(self._turn())
        self.watcher.close()
        self._pulse.rests()

    def holds_up_start(self, now_s: float) -> bool:
        """Say whether the first sweep is under way, and moves."""
        return not self.watcher.swept_once and now_s - self._pulse.moved_s < START_PATIENCE_S

    def _turn(self) -> float:
        """Let the watcher do what is due; return the seconds until its next turn."""
        try:
            rest_s = self.watcher.turn()
            if self.watcher.is_available:  # what is not mounted shows the disk below its mount point
                self._gauge.read()
        except Interrupted:
            return 0.0
        except JournalError as error:
            self._complaints.make("the journal cannot be written", reason=str(error), hint=error.hint)
        except Exception as error:  # noqa: BLE001 - one source's trouble must not end the others' watch
            say_failed(self._pulse.name, error)
        else:
            return rest_s
        return AFTER_TROUBLE_S

    def stop(self) -> None:
        """Ask the thread to end; it does at its next step."""
        self._pulse.stop_asked.set()
        self._pulse.wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout_s)
