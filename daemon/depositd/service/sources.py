"""The watchers, each in a thread of its own: a source that hangs holds no other up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from functools import partial

from depositd.engine.planning import Plan
from depositd.engine.watching import SHORTEST_TURN_S, Hands, SourceWatcher, sources
from depositd.errors import JournalError
from depositd.journal import Journal, Recorded
from depositd.service.clock import utc_now
from depositd.service.heartbeats import Heartbeats
from depositd.service.workers import say_failed
from depositd.systemd import get_logger
from depositd.units import printable
from depositd.watch.events import ChangedDirectories

WATCH_BUDGET_S = 600.0
AFTER_TROUBLE_S = 5.0

log = get_logger("depositd")


def start_sources(
    plan: Plan, journal: Journal, heartbeats: Heartbeats, recorded: Callable[[Recorded], None]
) -> list[SourceThread]:
    """Watch every directory that a rule names; ``recorded`` hears of each dataset that changed its state."""
    watched = sources(plan.config.rules)
    journal.surroundings.forget_sources(set(watched))
    threads = []
    for root, rules in watched.items():
        wake = threading.Event()
        name = f"watcher of {printable(root)}"
        hands = Hands(
            clock=utc_now,
            monotonic=time.monotonic,
            moved=partial(heartbeats.beat, name, WATCH_BUDGET_S),
            recorded=recorded,
            said=log.warning,
        )
        watcher = SourceWatcher(root, rules, plan, journal, ChangedDirectories(wake), hands)
        threads.append(SourceThread(name, watcher, wake, heartbeats))
    return threads


class SourceThread:
    """A watcher with its thread."""

    def __init__(self, name: str, watcher: SourceWatcher, wake: threading.Event, heartbeats: Heartbeats) -> None:
        self.watcher = watcher
        self._name = name
        self._wake = wake
        self._heartbeats = heartbeats
        self._stop_asked = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop_asked.is_set():
            self._wake.clear()
            try:
                wait_s = self.watcher.turn()
            except JournalError as error:
                log.error("the journal cannot be written", reason=str(error), hint=error.hint)
                wait_s = AFTER_TROUBLE_S
            except Exception as error:  # noqa: BLE001 - one source's trouble must not end the others' watch
                say_failed(self._name, error)
                wait_s = AFTER_TROUBLE_S
            self._heartbeats.beat(self._name, wait_s + WATCH_BUDGET_S)
            # events come by the thousand: they shorten the wait, and never take it away
            if not self._stop_asked.wait(SHORTEST_TURN_S):
                self._wake.wait(wait_s - SHORTEST_TURN_S)
        self.watcher.close()
        self._heartbeats.rest(self._name)

    def stop(self) -> None:
        """Ask the thread to end; it does at its next turn."""
        self._stop_asked.set()
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout_s)
