"""The line of datasets that wait to be archived: who is next, and whether the spool has room for it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from depositd.archive import discard_unfinished, spooled_datasets, written_bytes
from depositd.engine.planning import Plan
from depositd.engine.retention import kept_until
from depositd.engine.room import (
    ROOM_WAIT_S,
    TOO_LARGE_WAIT_S,
    Refusal,
    Room,
    fewest,
    is_about_room,
    measure,
    needed_bytes,
    refusal,
)
from depositd.engine.scheduling import HUGE_BYTES, Job, largest_startable, startable
from depositd.journal import DatasetRecord, Journal, PackWait
from depositd.service.workers import Pool
from depositd.systemd import get_logger
from depositd.units import printable

log = get_logger("depositd")

Refused = list[tuple[DatasetRecord, Refusal]]


@dataclass(frozen=True, slots=True)
class PackJob(Job):
    """The archiving of a dataset; ``needed_bytes`` is what it will have written to the spool at its end."""

    dataset_id: int = 0
    needed_bytes: int = 0


class PackingLine:
    """Hands datasets to the archivers of ``pool``, each to be packed by ``pack``.

    ``left_out`` says which datasets are not ours to archive, ``discarded`` hears of those whose beginning had to make
    room for another, and ``most`` bounds those that are looked at.  Where the next in line does not fit into the spool,
    it waits for some seconds with the sentence that says why; meanwhile only what is small enough passes it.  A large
    one can so wait for long: better that than a spool that stands half empty.
    """

    def __init__(
        self,
        journal: Journal,
        pool: Pool,
        pack: Callable[[DatasetRecord], None],
        *,
        most: int,
        left_out: Callable[[int], bool] = lambda _dataset_id: False,
        discarded: Callable[[int], None] = lambda _dataset_id: None,
        huge_bytes: int = HUGE_BYTES,
        monotonic: Callable[[], float] = time.monotonic,
        usage: Callable[[str], tuple[int, int, int]] = shutil.disk_usage,
    ) -> None:
        self._journal = journal
        self._pool = pool
        self._pack = pack
        self._most = most
        self._left_out = left_out
        self._discarded = discarded
        self._huge_bytes = huge_bytes
        self._monotonic = monotonic
        self._usage = usage
        self._waits_until_s = float("-inf")
        self._smallest_refused = 0
        self._too_large: set[int] = set()

    @property
    def too_large(self) -> frozenset[int]:
        """The datasets that the spool can never hold as it is: they wait for somebody, not for time."""
        return frozenset(self._too_large)

    def dispatch(self, plan: Plan, now: datetime) -> None:
        """Begin what archivers and the spool have room for; where nothing waits it is one question to the journal."""
        goes_on = True
        while goes_on:
            under_way = self._pool.under_way
            largest = largest_startable(under_way, self._pool.workers, self._huge_bytes)
            if largest is None:
                return
            if self._monotonic() < self._waits_until_s:
                room = self._room(plan, under_way)
                # of those that are as large, the next in line has the first right to room that comes
                left = largest if room is None else room.left_bytes
                largest = min(largest, left, self._smallest_refused - 1)
            due = self._due(plan, now, largest)
            jobs = [Job(("dataset", record.id), size_bytes=record.size_bytes) for record in due]
            chosen = {job.key for job in startable(jobs, under_way, self._pool.workers, self._huge_bytes)}
            next_ones = [record for record, job in zip(due, jobs, strict=True) if job.key in chosen]
            goes_on = bool(next_ones) and self._begin(plan, next_ones, now)

    def left_bytes(self, plan: Plan) -> int:
        """Return what one more archive may take of the spool now; 0 where its disk cannot be asked."""
        room = self._room(plan, self._pool.under_way)
        return 0 if room is None else room.left_bytes

    def _due(self, plan: Plan, now: datetime, largest: int) -> list[DatasetRecord]:
        if largest <= 0:
            return []
        found = self._journal.datasets.packable(
            now, self._most, newest_first=plan.config.newest_first, at_most_bytes=largest
        )
        return [record for record in found if not self._left_out(record.id)]

    def _room(self, plan: Plan, under_way: Sequence[Job]) -> Room | None:
        needs = {job.dataset_id: job.needed_bytes for job in under_way if isinstance(job, PackJob)}
        try:
            return measure(plan, self._journal, needs, self._usage)
        except OSError:
            return None  # archiving says better than this what is wrong with the spool

    def _begun_bytes(self, plan: Plan, dataset_id: int) -> int:
        try:
            return written_bytes(str(plan.config.spool.path), dataset_id, unfinished=True)
        except OSError:
            return 0  # for the same reason, and because what is archived must go on being sent

    def _begin(self, plan: Plan, records: Sequence[DatasetRecord], now: datetime) -> bool:
        """Begin the next in line; False where one of them was refused, and the line is looked at again later."""
        room = self._room(plan, self._pool.under_way)
        refused: Refused = []
        for record in records:
            needed = needed_bytes(plan, self._journal, record)
            there = self._begun_bytes(plan, record.id)
            if room is not None:
                refused_for = self._refusal(plan, room, record, needed, there)
                if refused_for is not None and not refused:
                    with suppress(OSError):  # what cannot be removed makes no room
                        if self._makes_room(plan, room, record, needed - there):
                            room = self._room(plan, self._pool.under_way) or room
                            refused_for = self._refusal(plan, room, record, needed, there)
                if refused_for is not None:
                    refused.append((record, refused_for))
                    continue
                room = room.with_promised(max(needed - there, 0))
            self._submit(record, needed)
        self._wait(plan, refused, now)
        return not refused

    def _makes_room(self, plan: Plan, room: Room, record: DatasetRecord, missing: int) -> bool:
        """Throw away what was begun of other archives where the next in line then fits; say whether it was.

        Two halves of archives in a full spool would wait for each other for ever.
        """
        spool = str(plan.config.spool.path)
        busy = {job.dataset_id for job in self._pool.under_way if isinstance(job, PackJob)}
        whole = self._journal.spooled.sizes()
        begun = {
            one: written_bytes(spool, one, unfinished=True)
            for one in spooled_datasets(spool)
            if one != record.id and one not in busy and one not in whole and not self._left_out(one)
        }
        doomed = fewest(begun, room.lacking_bytes(missing))
        for one in doomed:
            discard_unfinished(spool, one)
            self._discarded(one)
            log.info("what was packed of a dataset makes room for another", dataset=one, by=record.id)
        return bool(doomed)

    def _refusal(self, plan: Plan, room: Room, record: DatasetRecord, needed: int, there: int) -> Refusal | None:
        def kept() -> list[tuple[datetime, int]]:
            return kept_until(plan, self._journal)

        return refusal(room, needed, there, kept, f"depositd skip {record.id}")

    def _submit(self, record: DatasetRecord, needed: int) -> None:
        self._too_large.discard(record.id)
        if is_about_room(record.pack_error):
            self._journal.datasets.pack_begins(record.id)
        work = partial(self._pack, record)
        key = ("dataset", record.id)
        self._pool.submit(PackJob(key, work, record.size_bytes, dataset_id=record.id, needed_bytes=needed))

    def _wait(self, plan: Plan, refused: Refused, now: datetime) -> None:
        for forever in {why.forever for _one, why in refused}:
            waits = [PackWait(one.id, why.reason, why.hint) for one, why in refused if why.forever is forever]
            wait_s = min(TOO_LARGE_WAIT_S if forever else ROOM_WAIT_S, plan.config.retry.longest_s)
            if forever:
                self._too_large.update(wait.dataset_id for wait in waits)
            elif self._monotonic() >= self._waits_until_s:
                # what only tried to pass does not keep the next in line from being looked at again
                self._waits_until_s = self._monotonic() + wait_s
                self._smallest_refused = min(one.size_bytes for one, why in refused if not why.forever)
            names = {one.id: one.name for one, _why in refused}
            for new in self._journal.datasets.pack_waits(waits, now + timedelta(seconds=wait_s), now):
                name = printable(names[new.dataset_id])
                log.warning("not archived", dataset=new.dataset_id, name=name, reason=new.why, hint=new.hint)
