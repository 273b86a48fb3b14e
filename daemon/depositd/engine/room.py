"""Whether the spool has room for one more archive: asked before it is begun, so that what is begun comes to its end.

How large an archive becomes is an estimate, and on the safe side.  Where it was wrong all the same, or somebody else
fills the disk meanwhile, the archive's own look at the floor ends it (SpoolFull).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from depositd.archive import spooled_datasets, written_bytes
from depositd.engine.planning import Plan
from depositd.journal import DatasetRecord, Journal, Shrinkage
from depositd.units import printable, show_size

_NO_ROOM = "no room in the spool"
_TOO_LARGE = "too large for the spool"

ROOM_WAIT_S = 10.0
"""How long what does not fit waits until it is looked at again; the look costs next to nothing."""
TOO_LARGE_WAIT_S = 60.0
"""How long what can never fit waits until it is looked at again: somebody must change the config, or the disk."""

_RECENT = 20
_FEWEST = 3
"""Datasets of a rule that say how large the next one's archive becomes: the last so many, and at least some."""
_MARGIN = 1.1
"""The next one may compress a little worse than those before."""
_HEADERS_BYTES = 1024
"""What a file costs in a tar beside its content: a header, and blanks up to the next half kilobyte."""
_END_BYTES = 64 << 10


@dataclass(frozen=True, slots=True)
class Room:
    """The spool at one moment, all in bytes.

    ``capacity_bytes`` is the size of its file system and ``free_bytes`` what is free there; ``own_bytes`` is what
    depositd's own files take, and ``promised_bytes`` what the archives under way will still take.
    """

    path: str
    capacity_bytes: int
    free_bytes: int
    floor_bytes: int
    quota_bytes: int | None = None
    own_bytes: int = 0
    promised_bytes: int = 0

    @property
    def left_bytes(self) -> int:
        """What one more archive may take now; 0 where there is none."""
        return max(min(self._left_above_floor, self._left_of_quota) - self.promised_bytes, 0)

    @property
    def most_bytes(self) -> int:
        """What an archive may take in a spool that holds nothing else."""
        above_floor = max(self.capacity_bytes - self.floor_bytes, 0)
        return above_floor if self.quota_bytes is None else min(above_floor, self.quota_bytes)

    @property
    def _left_above_floor(self) -> int:
        return max(self.free_bytes - self.floor_bytes, 0)

    @property
    def _left_of_quota(self) -> int:
        # without a quota the disk alone counts
        return self.free_bytes if self.quota_bytes is None else max(self.quota_bytes - self.own_bytes, 0)

    def lacking_bytes(self, needed: int) -> int:
        """Return how many bytes must go so that one more archive fits; below zero where it fits as it is."""
        left = self.free_bytes - self.floor_bytes
        if self.quota_bytes is not None:
            left = min(left, self.quota_bytes - self.own_bytes)
        return needed + self.promised_bytes - left

    @property
    def is_bound_by_quota(self) -> bool:
        """True where the quota, not the disk, is what leaves no more room now."""
        return self.quota_bytes is not None and self._left_of_quota < self._left_above_floor

    def with_promised(self, size_bytes: int) -> Room:
        """Return the room that is left once one more archive is under way."""
        return replace(self, promised_bytes=self.promised_bytes + size_bytes)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an archive is not begun; ``forever`` where no waiting helps."""

    reason: str
    hint: str
    forever: bool = False


def measure(
    plan: Plan,
    journal: Journal,
    under_way: Mapping[int, int],
    usage: Callable[[str], tuple[int, int, int]] = shutil.disk_usage,
) -> Room:
    """Return how much room there is beside the archives ``under_way`` (datasets, and the bytes that each needs).

    Raises OSError where the spool's disk cannot be asked.
    """
    spool = plan.config.spool
    path = str(spool.path)
    capacity_bytes, _used, free_bytes = usage(_nearest(path))
    promised_bytes = sum(max(need - written_bytes(path, dataset_id), 0) for dataset_id, need in under_way.items())
    own_bytes = 0
    if spool.quota_bytes is not None:  # without one nobody needs to know, and it takes a while with 10,000 archives
        whole = journal.spooled.sizes()
        others = (one for one in spooled_datasets(path) if one not in whole)
        own_bytes = sum(whole.values()) + sum(written_bytes(path, one) for one in others)
    return Room(path, capacity_bytes, free_bytes, spool.min_free_bytes, spool.quota_bytes, own_bytes, promised_bytes)


def _nearest(path: str) -> str:
    """Return the path, or the nearest directory above that exists: a new spool is made with its first archive."""
    while not os.path.isdir(path) and path != "/":
        path = os.path.dirname(path)
    return path


def needed_bytes(plan: Plan, journal: Journal, record: DatasetRecord) -> int:
    """Return about how much a dataset's archives will take in the spool, in all the packings that are wanted."""
    destinations = {standing.delivery.destination for standing in journal.deliveries.of_dataset(record.id)}
    packings = {plan.packing(record, destination) for destination in destinations} - {None}
    # what came by hand has no fellows that it could be like
    like_it = journal.spooled.shrinkage(record.rule, _RECENT) if record.rule else Shrinkage(0, 0, 0)
    return estimate_bytes(record.size_bytes, record.file_count, max(len(packings), 1), like_it)


def estimate_bytes(size_bytes: int, files: int, packings: int, like_it: Shrinkage) -> int:
    """Return about how large a dataset's archives become: as it is where too few like it tell, and never more."""
    ratio = float(packings)
    if like_it.datasets >= _FEWEST and like_it.source_bytes > 0:
        ratio = min(_MARGIN * like_it.packed_bytes / like_it.source_bytes, ratio)
    return round(size_bytes * ratio) + packings * (files * _HEADERS_BYTES + _END_BYTES)


def refusal(
    room: Room, needed: int, there: int, kept: Callable[[], Sequence[tuple[datetime, int]]], skip: str
) -> Refusal | None:
    """Return why an archive is not begun, None where it fits.

    ``needed`` are its bytes, ``there`` those that an earlier beginning of it has written already.  ``kept`` tells
    when archives are removed because their time is over, and their bytes, and is asked only where it does not fit.
    ``skip`` is the command that leaves the dataset.
    """
    if needed > room.most_bytes:
        return _never(room, needed, skip)
    missing = needed - there - room.left_bytes
    if missing <= 0:
        return None
    beside = f" beside the {show_size(room.promised_bytes)} for what is being archived" if room.promised_bytes else ""
    if room.is_bound_by_quota:
        assert room.quota_bytes is not None
        left = f"{show_size(room.left_bytes)} are left of the quota of {show_size(room.quota_bytes)}"
        sooner = "raise spool.quota"
    else:
        left = f"{show_size(room.left_bytes)} are free above the floor of {show_size(room.floor_bytes)}"
        sooner = f"free space on the disk of {printable(room.path)}, lower spool.min_free"
    return Refusal(
        f"{_NO_ROOM}: about {show_size(needed - there)} are needed, and {left}{beside}",
        f"what is archived goes on being sent; {_when(missing, kept())}; sooner: {sooner} or shorten keep_archive",
    )


def fewest(sizes: Mapping[int, int], lacking: int) -> list[int]:
    """Return whose sizes together are what is lacking: the smallest that is enough alone, else the largest ones.

    None where nothing is lacking, or all of them are not enough.
    """
    if lacking <= 0:
        return []
    ascending = sorted(sizes, key=lambda one: (sizes[one], one))
    alone = [one for one in ascending if sizes[one] >= lacking]
    if alone:
        return alone[:1]
    chosen: list[int] = []
    while ascending and lacking > 0:
        chosen.append(ascending.pop())
        lacking -= sizes[chosen[-1]]
    return chosen if lacking <= 0 else []


def is_about_room(why: str | None) -> bool:
    """Say whether a sentence on why archiving waits is one of a refusal."""
    return why is not None and why.startswith((_NO_ROOM, _TOO_LARGE))


def _never(room: Room, needed: int, skip: str) -> Refusal:
    above_floor = room.capacity_bytes - room.floor_bytes
    if room.quota_bytes is not None and room.quota_bytes < above_floor:
        most, mend = f"the quota is {show_size(room.quota_bytes)}", "raise spool.quota"
    else:
        disk = f"its disk of {show_size(room.capacity_bytes)} less the floor of {show_size(room.floor_bytes)}"
        most, mend = f"{disk} can never hold that", "move spool.path to a larger disk, or lower spool.min_free"
    return Refusal(
        f"{_TOO_LARGE}: about {show_size(needed)} are needed, and {most}",
        f"{mend}; {skip} leaves this dataset",
        forever=True,
    )


def _when(missing: int, kept: Sequence[tuple[datetime, int]]) -> str:
    """Return when there will be room by itself, as far as that is known."""
    if not kept:
        return "room comes when deliveries have ended and their keep_archive is over"
    total = f"{show_size(sum(size for _at, size in kept))} of delivered archives are kept by keep_archive"
    freed = 0
    for at, size in kept:
        freed += size
        if freed >= missing:
            return f"{total}, and enough of them go until {_utc(at)}"
    return f"{total} until {_utc(kept[-1][0])}, and the rest waits for deliveries that have not ended"


def _utc(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M} UTC"
