"""The daemon: watchers, archivers and deliverers around one journal, until told to stop."""

from __future__ import annotations

import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from types import FrameType

from depositd import destinations
from depositd.archive import sweep_orphans
from depositd.config import Config
from depositd.engine.idle import Rest
from depositd.engine.outlook import beside_datasets
from depositd.engine.planning import Plan
from depositd.engine.results import LONGEST_LOOK_S, want_delivered
from depositd.engine.retention import remove_abandoned, remove_expired
from depositd.errors import ConfigError, JournalError, JournalLost
from depositd.journal import Journal, Recorded
from depositd.journal.document import document
from depositd.portable import RELOAD_SIGNALS, STOP_SIGNALS
from depositd.service.clock import utc_now
from depositd.service.complaints import Complaints
from depositd.service.crew import Crew
from depositd.service.heartbeats import LOOP_BUDGET_S, Heartbeats
from depositd.service.journal_care import JournalCare
from depositd.service.journal_guard import JournalGuard
from depositd.service.lookout import Lookout
from depositd.service.news import Teller
from depositd.service.sources import SourceThread, start_sources
from depositd.service.status_line import Away, Standing, StatusLine, status_line, stopping_line, sweeping_line
from depositd.service.steady_clock import SteadyClock
from depositd.service.watchdog import Watchdog
from depositd.systemd import Supervisor, get_logger, register_secret, watchdog_interval_s
from depositd.units import printable

TICK_S = 0.5
"""How soon an operator's word is heard."""
COLLECT_SELDOM = (50_000, 20, 50)
YOUNG = 1
"""The generation below that of all that lives long."""
HOUSEKEEPING_S = 30.0
STOP_WITHIN_S = 8.0
SOURCES_END_WITHIN_S = 5.0
START_EXTENDED_S = 30.0
"""How much more time is asked for, every few seconds, while the first sweeps are under way."""

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
        self._lost: JournalLost | None = None
        self._status_line = StatusLine(lambda line: supervisor.notify(status=line))
        self._watchdog = Watchdog(self.heartbeats, supervisor, interval_s=watchdog_interval_s())
        self._sources: list[SourceThread] = []
        self._plan = self._plan_of(config)
        self._teller = Teller(journal)
        self._guard = JournalGuard(journal)
        self._steady_clock = SteadyClock(utc_now, time.monotonic)
        self._complaints = Complaints(log.error)
        self._lookout = Lookout(journal, str(config.spool.path))
        self._care = JournalCare(journal, self._stop)
        if self._options.only is None:  # somebody who waits for one dataset is told by the command
            self._teller.follow(config)
        self._crew = Crew(
            self._plan,
            journal,
            self.heartbeats,
            stopping=self._stop,
            wake=self._wake.set,
            only=self._options.only,
        )

    # --- life ---------------------------------------------------------------------------------------------------

    def run(self) -> int:
        """Work until told to stop, or until idle; return the exit status (contract, "Commands").

        Raises JournalLost where the journal was damaged meanwhile: the next start puts a sound one in its place.
        """
        # what is remembered of files is many small values that live long: to search them for cycles so often, as
        # Python does by itself, takes a fifth of a sweep
        gc.set_threshold(*COLLECT_SELDOM)
        self._watchdog.start()
        try:
            with self.heartbeats.working("main loop", LOOP_BUDGET_S):
                self._recover()
                if self._options.only is None:
                    self._start_sources()
                self._loop()
                self._shut_down()
        finally:
            self._watchdog.stop()
        if self._lost is not None:
            raise self._lost
        if self._options.until_idle and Rest(self.journal, self._options.only, self._crew.too_large).needs_operator:
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

        for number in STOP_SIGNALS:
            signal.signal(number, on_stop)
        for number in RELOAD_SIGNALS:
            signal.signal(number, on_hangup)

    def _is_told_to_stop(self) -> bool:
        if self._signal is not None and not self._stop.is_set():
            log.info("stopping", signal=self._signal.name)
            self.stop()
        return self._stop.is_set()

    @property
    def healthy(self) -> list[str]:
        """Return what is wrong with the journal's disk, and a sentence for each worker that does not move.

        Empty while all is well.
        """
        problem = self._guard.problem
        return [*([problem.what] if problem else []), *(str(one) for one in self.heartbeats.silent())]

    def status(self) -> Iterator[str]:
        """Give what ``status --json`` says, as pieces of its text; safe from other threads.

        It is read through a connection of its own: whoever takes his time over it keeps no worker from the journal.
        """
        with closing(Journal(self.journal.database.path, read_only=True)) as journal:
            yield from document(journal.view.pages(), beside_datasets(self._plan.config, journal, utc_now()))

    # --- wiring -------------------------------------------------------------------------------------------------

    def _plan_of(self, config: Config) -> Plan:
        reached = {
            name: destinations.build(
                name, settings, now=utc_now, on_secret=register_secret, on_wait=self.heartbeats.waits
            )
            for name, settings in config.destinations.items()
        }
        return Plan(config, reached)

    def _recover(self) -> None:
        now = utc_now()
        self.journal.surroundings.progress_ended()
        for delivery in self.journal.deliveries.recover(now):
            log.warning("a send was cut off; the destination is asked first", dataset=delivery.dataset_id)
        for name in self.journal.surroundings.pauses():
            # credentials may have been mended meanwhile; if not, it is said once more
            self.journal.surroundings.ask_at_once(name, now)
        if self._options.only is None:
            want_delivered(self._plan, self.journal, now)
        spool = str(self._plan.config.spool.path)
        removed = sweep_orphans(spool, self.journal.datasets.spool_paths(), self.journal.spooled.unpacked())
        if removed:
            log.info("leftovers removed from the spool", files=len(removed))

    def _start_sources(self) -> None:
        self._sources = start_sources(self._plan, self.journal, self.heartbeats, self._recorded, self._crew.closed)

    def _loop(self) -> None:
        ready, is_news = False, True
        next_housekeeping_s = 0.0
        while not self._is_told_to_stop():
            self._wake.clear()
            self.heartbeats.moved()
            now_s = time.monotonic()
            ready = ready or self._is_ready(now_s)
            if self._reload_asked:
                self._reload_asked = False
                self._reload()
            is_news = self._guard.look() or is_news
            self._try(lambda: self._crew.dispatch(utc_now()))
            self._try(self._teller.tell)
            if now_s >= next_housekeeping_s:
                next_housekeeping_s = now_s + HOUSEKEEPING_S
                is_news = True
                self._try(self._keep_house)
            if ready and is_news and self._status_line.is_due(now_s):
                is_news = False
                self._try(self._tell_status)
            if ready and self._options.until_idle and self._is_idle():
                return
            is_news = self._wake.wait(TICK_S) or is_news or bool(self.healthy)

    def _is_ready(self, now_s: float) -> bool:
        """Say so to the supervisor once every source was swept that is there; until then ask for more time."""
        swept = [source for source in self._sources if source.watcher.swept_once]
        sweeping = {
            source.watcher.root: source.watcher.files_swept for source in self._sources if source.holds_up_start(now_s)
        }
        if sweeping:
            if self._status_line.is_due(now_s):
                self._supervisor.notify(extend_timeout_s=START_EXTENDED_S)
                self._status_line.tell(sweeping_line(sweeping), now_s)
            return False
        log.info("ready", sources=len(swept), destinations=len(self._plan.destinations))
        for source in self._sources:
            if source not in swept:
                log.warning(
                    "a source does not answer; it is swept when it does, and all others are looked after meanwhile",
                    source=printable(source.watcher.root),
                )
        self._supervisor.notify(ready=True)
        self._try(self._tell_status)
        return True

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except JournalError as error:
            self._complaints.make("the journal cannot be used", reason=str(error), hint=error.hint)
            if isinstance(error, JournalLost) and self._lost is None:
                self._end_if_damaged()
        except OSError as error:  # a spool that cannot be read must not end the daemon: uploads may go on
            self._complaints.make("a directory cannot be looked after", reason=printable(str(error)))

    def _end_if_damaged(self) -> None:
        """End where a look at the whole journal says so as well: nothing may be decided on it any more."""
        try:
            self.journal.database.require_sound()
        except JournalLost as lost:
            self._lost = lost
            self.stop()
        except JournalError as error:
            self._complaints.make("the journal cannot be checked", reason=str(error), hint=error.hint)

    def _shut_down(self) -> None:
        self._stop.set()
        status = stopping_line(self._crew.sending, self._crew.archiving, STOP_WITHIN_S)
        self._supervisor.notify(stopping=True, status=status, extend_timeout_s=STOP_WITHIN_S + 2)
        for source in self._sources:
            source.stop()
        deadline_s = time.monotonic() + STOP_WITHIN_S
        self.heartbeats.waits(STOP_WITHIN_S)
        self._crew.stop(deadline_s)
        # what was sent and not answered when the time was over is unconfirmed from now on, not from the next start on
        self._try(self._say_unconfirmed)
        self._try(self._teller.tell)
        self._teller.stop(max(deadline_s - time.monotonic(), 1.0))
        for source in self._sources:
            source.join(max(deadline_s - time.monotonic(), 0.1))
        log.info("stopped")

    def _say_unconfirmed(self) -> None:
        for delivery in self.journal.deliveries.recover(utc_now()):
            log.warning(
                "stopped before the answer came; the destination is asked after the next start",
                dataset=delivery.dataset_id,
            )

    def _reload(self) -> None:
        if self._options.reload is None:
            return
        self._supervisor.notify(reloading=True)
        try:
            config = self._checked(self._options.reload())
            plan = self._plan_of(config)
            self._teller.follow(config)
        except ConfigError as error:
            for problem in error.problems:
                log.error("the new config is refused, the old one stays", problem=problem)
        else:
            for source in self._sources:
                source.stop()
            # together: some may stand before a file server that is gone, and are left behind
            deadline_s = time.monotonic() + SOURCES_END_WITHIN_S
            for source in self._sources:
                source.join(max(deadline_s - time.monotonic(), 0.0))
            before, self._plan = self._plan, plan
            self._crew.adopt(plan)
            for destination in before.destinations.values():
                destination.close()  # what is under way there goes on, and its connection ends with it
            for name in self.journal.surroundings.pauses():
                self.journal.surroundings.ask_at_once(name, utc_now())
            want_delivered(plan, self.journal, utc_now())
            self._start_sources()
            # watchers and connection pools are old and stand in cycles: by themselves they would be found in days
            del before
            gc.collect()
            log.info("config reloaded", rules=len(config.rules), destinations=len(config.destinations))
        self._supervisor.notify(ready=True)

    def _checked(self, config: Config) -> Config:
        old = self._plan.config
        if (config.state_dir, config.spool.path) != (old.state_dir, old.spool.path):
            raise ConfigError(["state_dir and spool.path cannot change while depositd runs (restart it)"])
        return config

    def _recorded(self, recorded: Recorded) -> None:
        record = recorded.record
        name = printable(record.name)
        if recorded.is_new:
            log.info("dataset found", dataset=record.id, name=name, rule=record.rule, path=printable(record.path))
        if recorded.event is not None:
            log.info(f"dataset {record.verdict}", dataset=record.id, name=name, evidence=record.sentence)
        self._wake.set()

    # --- care ---------------------------------------------------------------------------------------------------

    def _keep_house(self) -> None:
        now = utc_now()
        config = self._plan.config
        policies = [config.retry_for(name) for name in config.destinations]
        polls = [getattr(settings, "poll_every_s", 0.0) for settings in config.destinations.values()]
        longest_s = max([config.retry.longest_s, *(policy.longest_s for policy in policies), *polls])
        self.journal.deliveries.clamp_waits(now, 1.5 * longest_s)
        self.journal.results.clamp_waits(now, 1.5 * max(longest_s, LONGEST_LOOK_S))
        if self._options.only is None:
            self._crew.dispatch_strays(now)
        if self._options.only is None:
            remove_abandoned(self._plan, self.journal)
        for path in remove_expired(self._plan, self.journal, self._steady_clock.now()):
            log.info("archive removed from the spool: its time is over", path=printable(path))
        if self._options.only is None:
            self._teller.pass_on(self._lookout.look(config, now))
            self._care.look(config)
        # what broke off can hold its socket in a cycle of its error's frames; what is young costs little to search
        gc.collect(YOUNG)

    def _tell_status(self) -> None:
        self._status_line.tell(self._status_sentence(), time.monotonic())

    def _status_sentence(self) -> str:
        delivered = self._crew.last_delivered
        standing = Standing(
            growing=self.journal.datasets.growing(),
            counts=self.journal.deliveries.counts(),
            archiving=self._crew.archiving,
            sending=self._crew.sending,
            away=[
                Away(pause.destination, pause.kind, pause.since.astimezone())
                for pause in self.journal.surroundings.pauses().values()
            ],
            missing=[
                printable(source.watcher.root)
                for source in self._sources
                if source.watcher.swept_once and not source.watcher.is_available
            ],
            silent=self.healthy,
            last_delivered=None if delivered is None else delivered.astimezone(),
        )
        return status_line(standing, utc_now().astimezone())

    def _is_idle(self) -> bool:
        if self._crew.busy or any(source.watcher.in_doubt for source in self._sources):
            return False
        return Rest(self.journal, self._options.only, self._crew.too_large).idle
