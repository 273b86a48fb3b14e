"""The daemon: watchers, archivers and deliverers around one journal, until told to stop."""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import FrameType

from depositd import destinations
from depositd.archive import sweep_orphans
from depositd.config import Config
from depositd.engine.delivering import Tools, deliver, probe_paused
from depositd.engine.idle import rest
from depositd.engine.interrupt import Interrupted
from depositd.engine.packing import pack_dataset
from depositd.engine.planning import Plan
from depositd.engine.retention import remove_expired
from depositd.engine.watching import Hands, SourceWatcher, sources
from depositd.errors import ConfigError, DepositdError, JournalError
from depositd.journal import DatasetRecord, Journal, Pause, Progress, Recorded, Standing
from depositd.model import Delivery, DeliveryState
from depositd.service.heartbeats import Heartbeats
from depositd.service.workers import Pool
from depositd.states import NEEDS_OPERATOR
from depositd.systemd import Supervisor, get_logger, watchdog_interval_s
from depositd.units import printable, show_size
from depositd.watch.events import ChangedDirectories

TICK_S = 0.5
"""How soon an operator's word is heard."""
HOUSEKEEPING_S = 30.0
PROGRESS_EVERY_S = 1.0
STOP_WITHIN_S = 8.0
PACKERS = 2
"""Datasets packed at once, so that a small one does not wait behind a huge one."""
WATCH_BUDGET_S = 600.0
PACK_BUDGET_S = 1800.0
DELIVER_BUDGET_S = 7200.0
"""A server may take long to answer after the last byte; its own time limits end the wait before this."""

log = get_logger("depositd")


@dataclass(frozen=True, slots=True)
class Options:
    """How the daemon is run.

    ``reload`` reads the config again (SIGHUP), None where it cannot be.  ``only`` restricts it to some deliveries, and
    then no source is watched (``submit --wait`` without a daemon).
    """

    until_idle: bool = False
    reload: Callable[[], Config] | None = None
    only: frozenset[int] | None = None


def utc_now() -> datetime:
    """Return the time."""
    return datetime.now(UTC)


class _Source:
    """A watcher with its thread."""

    def __init__(self, daemon: Daemon, watcher: SourceWatcher, wake: threading.Event) -> None:
        self.watcher = watcher
        self._daemon = daemon
        self._wake = wake
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"watch {watcher.root}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        name = f"watcher of {printable(self.watcher.root)}"
        while not self._stopping:
            self._wake.clear()
            try:
                wait_s = self.watcher.turn()
            except JournalError as error:
                log.error("the journal cannot be written", reason=str(error), hint=error.hint)
                wait_s = 5.0
            except Exception as error:  # noqa: BLE001 - one source's trouble must not end the others' watch
                self._daemon.worker_failed(name, error)
                wait_s = 5.0
            self._daemon.heartbeats.beat(name, wait_s + WATCH_BUDGET_S)
            self._wake.wait(wait_s)
        self.watcher.close()
        self._daemon.heartbeats.rest(name)

    def stop(self) -> None:
        """Ask the thread to end; it does at its next turn."""
        self._stopping = True
        self._wake.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the thread."""
        self._thread.join(timeout_s)


class Daemon:
    """Everything that runs for one config and one journal."""

    def __init__(
        self, config: Config, journal: Journal, supervisor: Supervisor, options: Options | None = None
    ) -> None:
        self.journal = journal
        self.heartbeats = Heartbeats(time.monotonic)
        self._supervisor = supervisor
        self._options = options or Options()
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._reload_asked = False
        self._signal: signal.Signals | None = None
        self._last_status = ""
        self._random = random.Random()  # noqa: S311 - jitter
        self._packers = Pool("archiver", PACKERS, self.worker_failed)
        self._deliverers: dict[str, Pool] = {}
        self._sources: list[_Source] = []
        self._plan = self._plan_of(config)
        self._size_pools()

    # --- life ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop, or until idle; return the exit status (contract, "Commands")."""
        self._recover()
        if self._options.only is None:
            self._start_sources()
        self._loop()
        self._shut_down()
        if self._options.until_idle and rest(self.journal, self._options.only).needs_operator:
            return 3
        return 0

    def stop(self) -> None:
        """Ask the daemon to end; safe from other threads."""
        self._stop.set()
        self._wake.set()

    def ask_reload(self) -> None:
        """Ask the daemon to read its config again; safe from other threads."""
        self._reload_asked = True
        self._wake.set()

    def handle_signals(self) -> None:
        """Let SIGTERM and SIGINT stop the daemon, and SIGHUP reload its config.

        A handler runs in the middle of whatever the main thread does, which may hold the lock of the log or of an
        event: so it takes none and sets a plain attribute, which the loop sees within a tick.
        """

        def on_stop(number: int, _frame: FrameType | None) -> None:
            self._signal = signal.Signals(number)

        def on_hangup(_number: int, _frame: FrameType | None) -> None:
            self._reload_asked = True

        signal.signal(signal.SIGTERM, on_stop)
        signal.signal(signal.SIGINT, on_stop)
        if hasattr(signal, "SIGHUP"):
            signal.signal(signal.SIGHUP, on_hangup)

    def _is_told_to_stop(self) -> bool:
        if self._signal is not None and not self._stop.is_set():
            log.info("stopping", signal=self._signal.name)
            self.stop()
        return self._stop.is_set()

    @property
    def healthy(self) -> list[str]:
        """Return a sentence for each worker that does not move; empty while all is well."""
        return self.heartbeats.silent()

    def worker_failed(self, worker: str, error: BaseException) -> None:
        """Say that a piece of work failed in a way that nobody foresaw; the worker goes on."""
        if isinstance(error, DepositdError):  # the journal's disk is full, say: a sentence tells more than a traceback
            log.error(str(error), hint=error.hint, worker=worker)
            return
        log.error("unforeseen error; the work is taken up again", worker=worker, exc_info=error)

    # --- wiring -------------------------------------------------------------------------------------------------

    def _plan_of(self, config: Config) -> Plan:
        reached = {
            name: destinations.build(name, settings, now=utc_now) for name, settings in config.destinations.items()
        }
        return Plan(config, reached)

    def _size_pools(self) -> None:
        for name, settings in self._plan.config.destinations.items():
            pool = self._deliverers.get(name)
            if pool is None:
                self._deliverers[name] = Pool(f"deliverer {name}", settings.parallel, self.worker_failed)
            else:
                # the same pool goes on: another one would not know what is under way, and send it twice
                pool.resize(settings.parallel)

    def _recover(self) -> None:
        now = utc_now()
        self.journal.surroundings.progress_ended()
        for delivery in self.journal.deliveries.recover(now):
            log.warning("a send was cut off; the destination is asked first", delivery=delivery.id)
        removed = sweep_orphans(str(self._plan.config.spool.path), self.journal.datasets.spool_paths())
        if removed:
            log.info("leftovers removed from the spool", files=len(removed))

    def _start_sources(self) -> None:
        plan = self._plan
        watched = sources(plan.config.rules)
        self.journal.surroundings.forget_sources(set(watched))
        for root, rules in watched.items():
            wake = threading.Event()
            changed = ChangedDirectories(wake)
            name = f"watcher of {printable(root)}"
            hands = Hands(
                clock=utc_now,
                monotonic=time.monotonic,
                moved=partial(self.heartbeats.beat, name, WATCH_BUDGET_S),
                recorded=self._recorded,
                said=log.warning,
            )
            watcher = SourceWatcher(root, rules, plan, self.journal, changed, hands)
            self._sources.append(_Source(self, watcher, wake))

    def _loop(self) -> None:
        ready = False
        ping_s = watchdog_interval_s()
        next_ping_s = next_housekeeping_s = 0.0
        while not self._is_told_to_stop():
            self._wake.clear()
            now_s = time.monotonic()
            if not ready and all(source.watcher.swept_once for source in self._sources):
                ready = True
                log.info("ready", sources=len(self._sources), destinations=len(self._plan.destinations))
                self._supervisor.notify(ready=True)
            elif not ready:
                self._supervisor.notify(extend_timeout_s=30.0)
            if self._reload_asked:
                self._reload_asked = False
                self._reload()
            self._try(self._dispatch)
            if now_s >= next_housekeeping_s:
                next_housekeeping_s = now_s + HOUSEKEEPING_S
                self._try(self._keep_house)
            if ping_s is not None and now_s >= next_ping_s:
                next_ping_s = now_s + ping_s
                self._ping()
            if ready and self._options.until_idle and self._is_idle():
                return
            self._wake.wait(TICK_S)

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except JournalError as error:
            log.error("the journal cannot be used", reason=str(error), hint=error.hint)

    def _shut_down(self) -> None:
        self._stop.set()
        self._supervisor.notify(stopping=True, status="stopping", extend_timeout_s=STOP_WITHIN_S + 2)
        for source in self._sources:
            source.stop()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        for pool in (self._packers, *self._deliverers.values()):
            pool.stop(max(deadline_s - time.monotonic(), 0.1))
        for source in self._sources:
            source.join(max(deadline_s - time.monotonic(), 0.1))
        log.info("stopped")

    def _reload(self) -> None:
        if self._options.reload is None:
            return
        self._supervisor.notify(reloading=True)
        try:
            config = self._checked(self._options.reload())
            plan = self._plan_of(config)
        except ConfigError as error:
            for problem in error.problems:
                log.error("the new config is refused, the old one stays", problem=problem)
        else:
            for source in self._sources:
                source.stop()
            for source in self._sources:
                source.join(5.0)
            self._sources.clear()
            self._plan = plan
            self._size_pools()
            for name in self.journal.surroundings.pauses():
                self.journal.surroundings.resume(name)
            self._start_sources()
            log.info("config reloaded", rules=len(config.rules), destinations=len(config.destinations))
        self._supervisor.notify(ready=True)

    def _checked(self, config: Config) -> Config:
        old = self._plan.config
        if (config.state_dir, config.spool.path) != (old.state_dir, old.spool.path):
            raise ConfigError(["state_dir and spool.path cannot change while depositd runs (restart it)"])
        return config

    # --- work ---------------------------------------------------------------------------------------------------

    def _recorded(self, recorded: Recorded) -> None:
        record = recorded.record
        name = printable(record.name)
        if recorded.is_new:
            log.info("dataset found", dataset=record.id, name=name, rule=record.rule, path=printable(record.path))
        if recorded.event is not None:
            log.info(f"dataset {record.verdict}", dataset=record.id, name=name, evidence=record.sentence)
        self._wake.set()

    def _dispatch(self) -> None:
        now = utc_now()
        for record in self.journal.datasets.packable(now):
            if self._is_left_out(record.id):
                continue
            self._packers.submit(record.id, partial(self._pack, record))
        paused = self.journal.surroundings.pauses()
        for standing in self.journal.deliveries.due(now):
            delivery = standing.delivery
            if delivery.destination in paused or self._is_left_out(delivery.dataset_id):
                continue
            # where the config has no such destination, the step says so and nothing is sent
            pool = self._deliverers.get(delivery.destination, self._packers)
            pool.submit(("delivery", delivery.id), partial(self._deliver, standing))

    def _is_left_out(self, dataset_id: int) -> bool:
        only = self._options.only
        if only is None:
            return False
        return all(standing.delivery.id not in only for standing in self.journal.deliveries.of_dataset(dataset_id))

    def _pack(self, record: DatasetRecord) -> None:
        subject = f"dataset {record.id}"
        try:
            packed = pack_dataset(
                self._plan,
                self.journal,
                record,
                progress=self._progress(subject, f"archiving {printable(record.name)}", PACK_BUDGET_S),
                clock=utc_now,
                chance=self._random.random(),
                workers=max(os.cpu_count() or 1, 1),
                unforeseen=partial(self.worker_failed, "archiver"),
            )
        finally:
            self._transfer_ended(subject)
        name = printable(record.name)
        for archive in packed.archives:
            log.info("archived", dataset=record.id, name=name, size=show_size(archive.size_bytes))
        if packed.why:
            log.warning("not archived", dataset=record.id, name=name, reason=packed.why, hint=packed.hint)
        self._wake.set()

    def _deliver(self, standing: Standing) -> None:
        before = standing.delivery
        subject = f"delivery {before.id}"
        current = self.journal.deliveries.get(before.id)
        if current is None or current.delivery.state is not before.state:
            return  # an operator's word came between the list and this worker
        progress = self._progress(subject, f"sending to {before.destination}", DELIVER_BUDGET_S)
        unforeseen = partial(self.worker_failed, f"deliverer to {before.destination}")
        tools = Tools(progress, utc_now, self._random.random(), unforeseen, self._paused)
        try:
            after = deliver(self._plan, self.journal, current, tools)
        finally:
            self._transfer_ended(subject)
        if after is not None:
            self._say(before, after)
        self._wake.set()

    def _say(self, before: Delivery, after: Delivery) -> None:
        facts = {
            "dataset": after.dataset_id,
            "to": after.destination,
            "status": after.remote_status,
            "reason": after.error,
            "hint": after.hint,
        }
        told = {key: value for key, value in facts.items() if value}
        if after.state is not before.state:
            say = log.warning if after.state in NEEDS_OPERATOR else log.info
            say(f"delivery {after.state}", **told)
        elif after.failures > before.failures:
            log.warning("delivery waits", **told)

    def _paused(self, pause: Pause) -> None:
        log.error(pause.reason, hint=pause.hint)

    def _progress(self, subject: str, activity: str, budget_s: float) -> Callable[[int, int], None]:
        """Return a callback that beats, records progress now and then, and stops the work when the daemon stops."""
        last_s = float("-inf")

        def tell(done_bytes: int, total_bytes: int) -> None:
            nonlocal last_s
            if self._stop.is_set():
                raise Interrupted
            now_s = time.monotonic()
            if now_s - last_s < PROGRESS_EVERY_S:
                return
            last_s = now_s
            self.heartbeats.beat(subject, budget_s)
            with suppress(JournalError):  # a picture of the transfer is no reason to end it
                self.journal.surroundings.progress(Progress(subject, activity, done_bytes, total_bytes, utc_now()))

        self.heartbeats.beat(subject, budget_s)
        return tell

    def _transfer_ended(self, subject: str) -> None:
        # a worker that has ended is not silent, whatever the journal says
        self.heartbeats.rest(subject)
        self.journal.surroundings.progress_ended(subject)

    # --- care ---------------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        now = utc_now()
        config = self._plan.config
        policies = [config.retry_for(name) for name in config.destinations]
        polls = [getattr(settings, "poll_every_s", 0.0) for settings in config.destinations.values()]
        longest_s = max([config.retry.longest_s, *(policy.longest_s for policy in policies), *polls])
        self.journal.deliveries.clamp_waits(now, 1.5 * longest_s)
        for pause in self.journal.surroundings.pauses().values():
            if pause.next_probe_at <= now or pause.next_probe_at > now + timedelta(seconds=1.5 * longest_s):
                work = partial(self._probe, pause.destination)
                pool = self._deliverers.get(pause.destination)
                if pool is None:
                    self.journal.surroundings.resume(pause.destination)
                else:
                    pool.submit(("probe", pause.destination), work)
        for path in remove_expired(self._plan, self.journal, now):
            log.info("archive removed from the spool: its time is over", path=printable(path))
        status = self._status_sentence()
        if status != self._last_status:
            self._last_status = status
            self._supervisor.notify(status=status)

    def _probe(self, destination: str) -> None:
        pause = self.journal.surroundings.pauses().get(destination)
        if pause is not None and probe_paused(self._plan, self.journal, pause, utc_now(), self._random.random()):
            log.info("destination takes deliveries again", to=destination)
            self._wake.set()

    def _ping(self) -> None:
        silent = self.heartbeats.silent()
        if silent:
            log.error("a worker does not move; the watchdog is not fed", workers=silent)
        else:
            self._supervisor.notify(watchdog=True)

    def _status_sentence(self) -> str:
        counts = self.journal.deliveries.counts()
        parts = [f"{counts[state]:,} {state}" for state in DeliveryState if counts.get(state)]
        growing = self.journal.datasets.growing()
        return ", ".join([f"{growing:,} growing", *parts]) or "nothing to do"

    def _is_idle(self) -> bool:
        left = rest(self.journal, self._options.only)
        busy = self._packers.busy + sum(pool.busy for pool in self._deliverers.values())
        return left.idle and not busy
