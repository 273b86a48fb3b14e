"""Growing datasets whose closed files are archived already: whose turn it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from depositd.archive import Followed
from depositd.engine.following import is_worth_a_step
from depositd.engine.scheduling import Job
from depositd.model import FileStat
from depositd.service.workers import Pool

MOST_LOSSES = 3
"""A dataset whose files come in another order than they are archived, or of which a file is corrupt, costs more than it
saves, and is left alone."""
FORGOTTEN_AFTER_S = 900.0
"""What grows is told of far more often; of what has ended, nothing is kept."""

Files = tuple[FileStat, ...]
Follow = Callable[[int, Files], Followed | None]
"""Archive the closed files of a dataset; None where it is not to be followed any more."""


@dataclass(slots=True)
class _Growing:
    """What is closed of a dataset and when that was told, since when some is not packed, and how much is."""

    files: Files
    closed_bytes: int
    since_s: float
    told_s: float
    packed_bytes: int = 0
    losses: int = 0

    @property
    def new_bytes(self) -> int:
        return self.closed_bytes - self.packed_bytes


class FollowingLine:
    """Hands growing datasets to the one thread of ``pool``, that with the most to do first.

    ``may_begin`` says whether a dataset is free and the spool can take so many bytes more without anybody missing them.
    """

    def __init__(
        self,
        pool: Pool,
        follow: Follow,
        may_begin: Callable[[int, int], bool],
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._pool = pool
        self._follow = follow
        self._may_begin = may_begin
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._growing: dict[int, _Growing] = {}

    def closed(self, dataset_id: int, files: Files) -> None:
        """Take note of the files of a growing dataset that are closed now; safe from other threads."""
        closed_bytes = sum(file.size_bytes for file in files)
        now_s = self._monotonic()
        with self._lock:
            known = self._growing.get(dataset_id)
            if known is None:
                self._growing[dataset_id] = _Growing(files, closed_bytes, now_s, now_s)
                return
            if known.new_bytes <= 0 < closed_bytes - known.packed_bytes:
                known.since_s = now_s
            known.files, known.closed_bytes, known.told_s = files, closed_bytes, now_s

    @property
    def known(self) -> frozenset[int]:
        """The datasets of which something is remembered."""
        return frozenset(self._growing)

    def forget(self, dataset_id: int) -> None:
        """Begin anew with a dataset of which what was packed is no more: all of it needs room again."""
        with self._lock:
            self._growing.pop(dataset_id, None)

    def is_at(self, dataset_id: int) -> bool:
        """Say whether a dataset is being followed at this moment: it cannot be packed as well."""
        return any(job.key == dataset_id for job in self._pool.under_way)

    def dispatch(self) -> None:
        """Begin the next step that is worth it; where nothing grows it costs nothing."""
        if not self._growing or not self._pool.is_free:
            return
        now_s = self._monotonic()
        with self._lock:
            # no thread is at any of them: that is the only one, and free
            self._growing = {
                dataset_id: growing
                for dataset_id, growing in self._growing.items()
                if now_s - growing.told_s < FORGOTTEN_AFTER_S
            }
            worth = [
                (growing.new_bytes, dataset_id)
                for dataset_id, growing in self._growing.items()
                if growing.losses < MOST_LOSSES
                and is_worth_a_step(growing.new_bytes, now_s - growing.since_s, growing.packed_bytes)
            ]
        for new_bytes, dataset_id in sorted(worth, reverse=True):
            if self._may_begin(dataset_id, new_bytes):
                self._pool.submit(Job(dataset_id, partial(self._step, dataset_id), new_bytes))
                return

    def _step(self, dataset_id: int) -> None:
        with self._lock:
            growing = self._growing[dataset_id]
            files, closed_bytes = growing.files, growing.closed_bytes
        followed = self._follow(dataset_id, files)
        with self._lock:
            if followed is None:
                del self._growing[dataset_id]
                return
            # what did not fill a frame is no reason to try again at once
            growing.packed_bytes = closed_bytes
            growing.since_s = self._monotonic()
            growing.losses += followed.lost_bytes > 0
