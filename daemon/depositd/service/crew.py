"""The crew: archivers and deliverers, who take whatever the journal says is due."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress
from datetime import datetime
from functools import partial

from depositd.archive import Followed, Workshop
from depositd.destinations.base import Destination
from depositd.engine import availability
from depositd.engine.circuit import is_due, is_long
from depositd.engine.delivering import deliver
from depositd.engine.following import follow_dataset
from depositd.engine.interrupt import Interrupted
from depositd.engine.measuring import look
from depositd.engine.packing import pack_dataset
from depositd.engine.planning import Plan
from depositd.engine.scheduling import HUGE_BYTES, Job, largest_startable, startable
from depositd.engine.tools import Tools
from depositd.errors import JournalError
from depositd.journal import DatasetRecord, Journal, Pause, PauseKind, Progress, Standing
from depositd.model import Delivery, DeliveryState, FileStat
from depositd.service.clock import utc_now
from depositd.service.following_line import FollowingLine
from depositd.service.heartbeats import DELIVER_BUDGET_S, PACK_BUDGET_S, Heartbeats
from depositd.service.packing_line import PackingLine
from depositd.service.workers import Pool, say_failed
from depositd.states import NEEDS_OPERATOR
from depositd.systemd import get_logger
from depositd.units import printable, show_duration, show_size

PACKERS = 2
"""Datasets packed at once, so that a small one does not wait behind a huge one."""
ASKERS = 1
"""Workers of each destination beside those that send: a question never waits for an upload."""
MOST_DUE = 1000
PROGRESS_EVERY_S = 1.0

log = get_logger("depositd")


class Crew:
    """The pools of workers around one journal.

    ``stopping`` ends transfers that are under way, ``wake`` tells the loop that something became true, ``only``
    restricts the work to some deliveries, ``huge_bytes`` is from where on a dataset is huge.
    """

    def __init__(
        self,
        plan: Plan,
        journal: Journal,
        heartbeats: Heartbeats,
        *,
        stopping: threading.Event,
        wake: Callable[[], None],
        only: frozenset[int] | None = None,
        huge_bytes: int = HUGE_BYTES,
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._heartbeats = heartbeats
        self._stopping = stopping
        self._wake = wake
        self._only = only
        self._huge_bytes = huge_bytes
        self._random = random.Random()  # noqa: S311 - jitter
        self.last_delivered: datetime | None = None
        self._workshop = Workshop(plan.config.worker_count, still_wanted=self._still_wanted)
        self._packers = self._pool("archiver", PACKERS, PACK_BUDGET_S)
        self._followers = self._pool("follower", 1, PACK_BUDGET_S)
        self._following = FollowingLine(self._followers, self._follow, self._may_follow)
        self._line = PackingLine(
            journal,
            self._packers,
            self._pack,
            most=self._most_due(PACKERS),
            left_out=lambda dataset_id: self._following.is_at(dataset_id) or self._is_left_out(dataset_id),
            discarded=self._following.forget,
            huge_bytes=huge_bytes,
        )
        self._deliverers: dict[str, Pool] = {}
        self._said_away: dict[str, datetime] = {}
        self.adopt(plan)

    def adopt(self, plan: Plan) -> None:
        """Work for another config from now on; what is under way ends as it began."""
        self._plan = plan
        if plan.config.worker_count != self._workshop.workers:
            # the threads of the one before end with the last archive that is made there
            self._workshop = Workshop(plan.config.worker_count, still_wanted=self._still_wanted)
        for name, settings in plan.config.destinations.items():
            pool = self._deliverers.get(name)
            workers = settings.parallel + ASKERS
            if pool is None:
                self._deliverers[name] = self._pool(f"deliverer to {name}", workers, DELIVER_BUDGET_S)
            else:
                # the same pool goes on: another one would not know what is under way, and send it twice
                pool.resize(workers)

    def _pool(self, name: str, workers: int, budget_s: float) -> Pool:
        def at_work(job: Job) -> AbstractContextManager[None]:
            what = " ".join(map(str, job.key)) if isinstance(job.key, tuple) else f"dataset {job.key}"
            return self._heartbeats.working(f"{name}, at {what}", budget_s)

        return Pool(name, workers, say_failed, self._wake, at_work)

    def _still_wanted(self) -> None:
        if self._stopping.is_set():
            raise Interrupted

    @property
    def archiving(self) -> int:
        """How many datasets are being archived, after their end."""
        return len(self._packers.under_way)

    @property
    def sending(self) -> int:
        """How many archives are being sent."""
        return sum(not job.asks for pool in self._deliverers.values() for job in pool.under_way)

    @property
    def busy(self) -> bool:
        """True while any work is under way."""
        return any(pool.under_way for pool in self._pools)

    @property
    def _pools(self) -> tuple[Pool, ...]:
        return (self._followers, self._packers, *self._deliverers.values())

    def closed(self, dataset_id: int, files: tuple[FileStat, ...]) -> None:
        """Take note of the files of a growing dataset that can be archived already; safe from other threads."""
        self._following.closed(dataset_id, files)

    @property
    def too_large(self) -> frozenset[int]:
        """The datasets that the spool can never hold as it is."""
        return self._line.too_large

    def stop(self, deadline_s: float) -> None:
        """Wait for what is under way until a time on the monotonic clock."""
        for pool in self._pools:
            pool.stop(max(deadline_s - time.monotonic(), 0.1))
        self._workshop.close(wait=False)

    def dispatch(self, now: datetime) -> None:
        """Hand out what is due to workers who are free; what is due but has no worker costs nothing."""
        if self._journal.may_archive:
            self._line.dispatch(self._plan, now)
            self._following.dispatch()
        if not self._journal.may_send:
            return
        paused = self._journal.surroundings.pauses()
        for name in self._plan.config.destinations:
            if name not in paused and self._deliverers[name].is_free:
                self._dispatch_to(name, self._deliverers[name], now)
        for pause in paused.values():
            is_known = pause.destination in self._plan.config.destinations
            if not is_known or is_due(pause, now, self._plan.config.retry_for(pause.destination)):
                self.probe(pause)

    def _dispatch_to(self, name: str, pool: Pool, now: datetime) -> None:
        """Hand out questions and archives: first one question, then what can be sent, and more questions where none is.

        One pool for both, because a delivery that was sent is asked about next: its key is under way only once.
        """
        asks = self._asks(name, now)
        if not any(job.asks for job in pool.under_way):
            any(map(pool.submit, asks))  # the first that is not under way as something else
        while sends := self._sends(name, pool, now):
            begun = [pool.submit(job) for job in sends]
            if not all(begun):
                break  # questions have the other places, or one of these is still being answered
        for job in asks:
            pool.submit(job)

    def _asks(self, name: str, now: datetime) -> list[Job]:
        """Return the questions that are due: first the one about results, for all that are awaited there."""
        jobs = []
        known = self._plan.destinations.get(name)
        if self._only is None and known is not None and known.measures and self._journal.results.is_due(name, now):
            jobs.append(Job(("results", name), partial(self._look_at_results, known), asks=True))
        due = self._journal.deliveries.asks_due(now, name, self._most_due(self._deliverers[name].workers))
        return jobs + self._steps(due, asks=True)

    def _sends(self, name: str, pool: Pool, now: datetime) -> list[Job]:
        """Return what is sent now beside what is under way; none where every place is taken."""
        places = self._plan.config.destinations[name].parallel
        under_way = [job for job in pool.under_way if not job.asks]
        largest = largest_startable(under_way, places, self._huge_bytes)
        if largest is None:
            return []
        due = self._journal.deliveries.sends_due(
            now,
            name,
            self._most_due(pool.workers),
            newest_first=self._plan.config.newest_first,
            at_most_bytes=largest,
        )
        return startable(self._steps(due), under_way, places, self._huge_bytes)

    def _steps(self, due: Sequence[Standing], *, asks: bool = False) -> list[Job]:
        """Return the next steps of those deliveries that are ours."""
        return [
            Job(("delivery", one.delivery.id), partial(self._deliver, one), one.dataset_bytes, asks)
            for one in due
            if not self._is_left_out(one.delivery.dataset_id)
        ]

    def _most_due(self, places: int) -> int:
        """Return how many of those that wait are looked at: some are under way, or left out."""
        return MOST_DUE if self._only is not None else 2 * places

    def dispatch_strays(self, now: datetime) -> None:
        """Let those say so whose destination the config has no more; nothing is sent."""
        for standing in self._journal.deliveries.due_elsewhere(now, self._plan.config.destinations):
            # what was begun before the destination left the config is known to its pool
            pool = self._deliverers.get(standing.delivery.destination, self._packers)
            pool.submit(Job(("delivery", standing.delivery.id), partial(self._deliver, standing), asks=True))

    def probe(self, pause: Pause) -> None:
        """Let a worker ask a destination that takes nothing whether it is there and knows us again."""
        pool = self._deliverers.get(pause.destination, self._packers)
        pool.submit(Job(("probe", pause.destination), partial(self._probe, pause), asks=True))

    def _probe(self, pause: Pause) -> None:
        name, now = pause.destination, utc_now()
        if availability.probe(self._plan, self._journal, pause, now, self._random.random()):
            self._said_away.pop(name, None)
            took_nothing_for = show_duration(max((utc_now() - pause.since).total_seconds(), 0.0))
            log.info("destination takes deliveries again", to=name, took_nothing_for=took_nothing_for)
            return
        current = self._journal.surroundings.pauses().get(name)
        if current is None:
            return
        if current.kind is not pause.kind:
            self._paused(current)
        elif is_long(current, self._said_away.setdefault(name, now), now):
            self._said_away[name] = now
            away_for = show_duration(max((now - current.since).total_seconds(), 0.0))
            log.warning(current.reason, hint=current.hint, away_for=away_for, asked_in_vain=current.failures)

    def _is_left_out(self, dataset_id: int) -> bool:
        only = self._only
        if only is None:
            return False
        return all(standing.delivery.id not in only for standing in self._journal.deliveries.of_dataset(dataset_id))

    def _pack(self, record: DatasetRecord) -> None:
        subject = f"dataset {record.id}"
        try:
            packed = pack_dataset(
                self._plan,
                self._journal,
                record,
                progress=self._progress(subject, f"archiving {printable(record.name)}"),
                clock=utc_now,
                chance=self._random.random(),
                workshop=self._workshop,
                say=partial(log.info, dataset=record.id, name=printable(record.name)),
                unforeseen=partial(say_failed, "archiver"),
            )
        finally:
            self._transfer_ended(subject)
        name = printable(record.name)
        if packed.archives:
            sizes = ", ".join(f"{printable(one.name)}: {show_size(one.size_bytes)}" for one in packed.archives)
            log.info("archived", dataset=record.id, name=name, archive=sizes)
        if packed.why and packed.why != record.pack_error:  # each reason is said once
            hint = {"hint": packed.hint} if packed.hint else {}
            log.warning("not archived", dataset=record.id, name=name, reason=packed.why, **hint)

    def _may_follow(self, dataset_id: int, size_bytes: int) -> bool:
        """Say whether nobody packs a dataset now, and the spool has twice the room that it would take."""
        if any(job.key == ("dataset", dataset_id) for job in self._packers.under_way):
            return False
        return self._line.left_bytes(self._plan) >= 2 * size_bytes

    def _follow(self, dataset_id: int, files: tuple[FileStat, ...]) -> Followed | None:
        subject = f"dataset {dataset_id}"
        progress = self._progress(subject, "archiving while it grows")
        try:
            return follow_dataset(
                self._plan,
                self._journal,
                dataset_id,
                files,
                progress=progress,
                now=utc_now(),
                workshop=self._workshop,
                say=partial(log.info, dataset=dataset_id),
            )
        finally:
            self._transfer_ended(subject)

    def _deliver(self, standing: Standing) -> None:
        before = standing.delivery
        subject = f"delivery {before.id}"
        current = self._journal.deliveries.get(before.id)
        if current is None or current.delivery != before:
            return  # something became true between the list and this worker
        progress = self._progress(subject, f"sending to {before.destination}")
        unforeseen = partial(say_failed, f"deliverer to {before.destination}")
        tools = Tools(progress, utc_now, self._random.random(), unforeseen, self._paused)
        try:
            after = deliver(self._plan, self._journal, current, tools)
        finally:
            self._transfer_ended(subject)
        if after is not None:
            self._say(before, after)

    def _look_at_results(self, destination: Destination) -> None:
        subject = f"results of {destination.name}"

        def moved(_done: int, _total: int) -> None:
            if self._stopping.is_set():
                raise Interrupted
            self._heartbeats.moved()

        tools = Tools(moved, utc_now, self._random.random(), partial(say_failed, subject), self._paused)
        try:
            noted = look(self._plan, self._journal, destination, tools)
        except Interrupted:
            noted = []
        for one in noted:
            log.warning(
                f"run {one.event}", dataset=one.dataset_id, to=destination.name, reason=one.sentence, hint=one.hint
            )

    def _say(self, before: Delivery, after: Delivery) -> None:
        if after.state is DeliveryState.DELIVERED:
            self.last_delivered = utc_now()
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
        self._said_away[pause.destination] = utc_now()
        say = log.warning if pause.kind is PauseKind.AWAY else log.error
        say(pause.reason, hint=pause.hint)

    def _progress(self, subject: str, activity: str) -> Callable[[int, int], None]:
        """Return a callback that gives a sign of life, records progress now and then, and ends the work at a stop."""
        last_s, last_bytes = float("-inf"), -1

        def tell(done_bytes: int, total_bytes: int) -> None:
            nonlocal last_s, last_bytes
            if self._stopping.is_set():
                raise Interrupted
            now_s = time.monotonic()
            all_done = done_bytes == total_bytes != last_bytes
            if now_s - last_s < PROGRESS_EVERY_S and not all_done:
                return
            last_s, last_bytes = now_s, done_bytes
            self._heartbeats.moved()
            with suppress(JournalError):  # a picture of the transfer is no reason to end it
                self._journal.surroundings.progress(Progress(subject, activity, done_bytes, total_bytes, utc_now()))

        return tell

    def _transfer_ended(self, subject: str) -> None:
        self._journal.surroundings.progress_ended(subject)
