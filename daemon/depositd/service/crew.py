"""The crew: archivers and deliverers, who take whatever the journal says is due."""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from depositd.destinations.base import Destination
from depositd.engine.delivering import LONGEST_PAUSE_S, Tools, deliver, probe_paused
from depositd.engine.interrupt import Interrupted
from depositd.engine.measuring import look
from depositd.engine.packing import pack_dataset
from depositd.engine.planning import Plan
from depositd.errors import JournalError
from depositd.journal import DatasetRecord, Journal, Pause, Progress, Standing
from depositd.model import Delivery
from depositd.service.clock import utc_now
from depositd.service.heartbeats import Heartbeats
from depositd.service.workers import Pool, say_failed
from depositd.states import NEEDS_OPERATOR
from depositd.systemd import get_logger
from depositd.units import printable, show_size

PACKERS = 2
"""Datasets packed at once, so that a small one does not wait behind a huge one."""
WORKERS = max((os.cpu_count() or 1) // PACKERS, 1)
"""Compressing threads for each dataset: all archivers together use every core, and memory stays within bounds."""
MOST_DUE = 1000
LONGEST_PAUSE = timedelta(seconds=2 * LONGEST_PAUSE_S)
PROGRESS_EVERY_S = 1.0
PACK_BUDGET_S = 1800.0
DELIVER_BUDGET_S = 7200.0
"""A server may take long to answer after the last byte; its own time limits end the wait before this."""

log = get_logger("depositd")


class Crew:
    """The pools of workers around one journal.

    ``stopping`` ends transfers that are under way, ``wake`` tells the loop that something became true, ``only``
    restricts the work to some deliveries.
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
    ) -> None:
        self._plan = plan
        self._journal = journal
        self._heartbeats = heartbeats
        self._stopping = stopping
        self._wake = wake
        self._only = only
        self._random = random.Random()  # noqa: S311 - jitter
        self._packers = Pool("archiver", PACKERS, say_failed)
        self._deliverers: dict[str, Pool] = {}
        self.follow(plan)

    def follow(self, plan: Plan) -> None:
        """Work for another config from now on; what is under way ends as it began."""
        self._plan = plan
        for name, settings in plan.config.destinations.items():
            pool = self._deliverers.get(name)
            if pool is None:
                self._deliverers[name] = Pool(f"deliverer {name}", settings.parallel, say_failed)
            else:
                # the same pool goes on: another one would not know what is under way, and send it twice
                pool.resize(settings.parallel)

    @property
    def busy(self) -> bool:
        """True while any work is under way."""
        return any(pool.busy for pool in (self._packers, *self._deliverers.values()))

    def stop(self, deadline_s: float) -> None:
        """Wait for what is under way until a time on the monotonic clock."""
        for pool in (self._packers, *self._deliverers.values()):
            pool.stop(max(deadline_s - time.monotonic(), 0.1))

    def dispatch(self, now: datetime) -> None:
        """Hand out what is due to workers who are free; what is due but has no worker costs nothing."""
        journal = self._journal
        most = MOST_DUE if self._only is not None else 2 * self._packers.workers
        if self._packers.is_free:
            for record in journal.datasets.packable(now, most):
                if not self._is_left_out(record.id):
                    self._packers.submit(record.id, partial(self._pack, record))
        paused = journal.surroundings.pauses()
        for name in self._plan.config.destinations:
            if name not in paused and self._deliverers[name].is_free:
                self._dispatch_to(name, self._deliverers[name], now)
        for pause in paused.values():
            # a clock that jumped back must not make a pause last
            if not now < pause.next_probe_at < now + LONGEST_PAUSE:
                self.probe(pause)

    def _dispatch_to(self, name: str, pool: Pool, now: datetime) -> None:
        known = self._plan.destinations.get(name)
        if self._only is None and known is not None and known.measures and self._journal.results.is_due(name, now):
            # first, and one look at a time: a line of uploads must not keep it waiting, nor it the line
            pool.submit(("results", name), partial(self._look_at_results, known))
        most = MOST_DUE if self._only is not None else 2 * pool.workers
        for standing in self._journal.deliveries.due(now, name, most):
            if not self._is_left_out(standing.delivery.dataset_id):
                pool.submit(("delivery", standing.delivery.id), partial(self._deliver, standing))

    def dispatch_strays(self, now: datetime) -> None:
        """Let those say so whose destination the config has no more; nothing is sent."""
        for standing in self._journal.deliveries.due_elsewhere(now, self._plan.config.destinations):
            self._packers.submit(("delivery", standing.delivery.id), partial(self._deliver, standing))

    def probe(self, pause: Pause) -> None:
        """Let a worker ask a paused destination whether it knows us again."""
        pool = self._deliverers.get(pause.destination, self._packers)
        pool.submit(("probe", pause.destination), partial(self._probe, pause))

    def _probe(self, pause: Pause) -> None:
        if probe_paused(self._plan, self._journal, pause, utc_now(), self._random.random()):
            log.info("destination takes deliveries again", to=pause.destination)
            self._wake()

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
                progress=self._progress(subject, f"archiving {printable(record.name)}", PACK_BUDGET_S),
                clock=utc_now,
                chance=self._random.random(),
                workers=WORKERS,
                unforeseen=partial(say_failed, "archiver"),
            )
        finally:
            self._transfer_ended(subject)
        name = printable(record.name)
        if packed.archives:
            sizes = ", ".join(f"{printable(one.name)}: {show_size(one.size_bytes)}" for one in packed.archives)
            log.info("archived", dataset=record.id, name=name, archive=sizes)
        if packed.why and packed.why != record.pack_error:  # each reason is said once
            log.warning("not archived", dataset=record.id, name=name, reason=packed.why, hint=packed.hint)
        self._wake()

    def _deliver(self, standing: Standing) -> None:
        before = standing.delivery
        subject = f"delivery {before.id}"
        current = self._journal.deliveries.get(before.id)
        if current is None or current.delivery != before:
            return  # something became true between the list and this worker
        progress = self._progress(subject, f"sending to {before.destination}", DELIVER_BUDGET_S)
        unforeseen = partial(say_failed, f"deliverer to {before.destination}")
        tools = Tools(progress, utc_now, self._random.random(), unforeseen, self._paused)
        try:
            after = deliver(self._plan, self._journal, current, tools)
        finally:
            self._transfer_ended(subject)
        if after is not None:
            self._say(before, after)
        self._wake()

    def _look_at_results(self, destination: Destination) -> None:
        subject = f"results of {destination.name}"

        def moved(_done: int, _total: int) -> None:
            if self._stopping.is_set():
                raise Interrupted
            self._heartbeats.beat(subject, DELIVER_BUDGET_S)

        tools = Tools(moved, utc_now, self._random.random(), partial(say_failed, subject), self._paused)
        self._heartbeats.beat(subject, DELIVER_BUDGET_S)
        try:
            noted = look(self._plan, self._journal, destination, tools)
        except Interrupted:
            noted = []
        finally:
            self._heartbeats.rest(subject)
        for one in noted:
            log.warning(
                f"run {one.event}", dataset=one.dataset_id, to=destination.name, reason=one.sentence, hint=one.hint
            )
        self._wake()

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
            if self._stopping.is_set():
                raise Interrupted
            now_s = time.monotonic()
            if now_s - last_s < PROGRESS_EVERY_S:
                return
            last_s = now_s
            self._heartbeats.beat(subject, budget_s)
            with suppress(JournalError):  # a picture of the transfer is no reason to end it
                self._journal.surroundings.progress(Progress(subject, activity, done_bytes, total_bytes, utc_now()))

        self._heartbeats.beat(subject, budget_s)
        return tell

    def _transfer_ended(self, subject: str) -> None:
        # a worker that has ended is not silent, whatever the journal says
        self._heartbeats.rest(subject)
        self._journal.surroundings.progress_ended(subject)
