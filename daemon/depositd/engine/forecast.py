"""What is ahead: when a disk will be full, and when what waits will be done; pure.

A forecast is made of what was seen, and looks ahead no further than that bears: nothing is said where nothing is known,
and nothing of what is days away.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from depositd.config import Window
from depositd.engine.trend import latest, trends
from depositd.journal import SpaceSample, Transfer, Waiting
from depositd.units import printable, show_count, show_duration, show_size, utc_text

WARN_S = 24 * 3600.0
URGENT_S = 2 * 3600.0
BEARS = 12.0
"""A trend is believed for so many times as long as it was seen: what has begun 10 minutes ago, for 2 hours."""
FULL_BYTES = 100_000_000
"""A source's disk that has less than this left is full: no dataset fits."""
BRIEF_S = 300.0
"""What is done sooner than this needs no forecast."""


class Level(enum.StrEnum):
    """How near a full disk is, from far to near."""

    CALM = "calm"
    WARNING = "warning"
    URGENT = "urgent"
    FULL = "full"

    @property
    def rank(self) -> int:
        """0 for calm, and one more for each step nearer."""
        return list(Level).index(self)


class DiskKind(enum.StrEnum):
    """What fills up."""

    SPOOL = "spool"
    QUOTA = "quota"
    SOURCE = "source"


@dataclass(frozen=True, slots=True)
class Disk:
    """What is asked about: a file system, or the spool's quota, and the samples of what was free.

    ``floor_bytes`` is what is to stay free, ``quota_bytes`` what archives may take.  ``directories`` has more than one
    where sources share the file system.
    """

    kind: DiskKind
    directories: tuple[str, ...]
    samples: Sequence[SpaceSample]
    floor_bytes: int = 0
    quota_bytes: int = 0

    @property
    def name(self) -> str:
        """How a sentence calls it."""
        if self.kind is not DiskKind.SOURCE:
            return "the spool"
        more = len(self.directories) - 1
        others = f" and {show_count(more, 'other source')}" if more else ""
        return f"the disk of {printable(self.directories[0])}{others}"

    @property
    def limit(self) -> str:
        """The limit that is reached, empty where it is the disk's own end."""
        if self.kind is DiskKind.QUOTA:
            return f"its quota of {show_size(self.quota_bytes)}"
        return f"its floor of {show_size(self.floor_bytes)}" if self.floor_bytes else ""

    @property
    def hint(self) -> str:
        """What can be done."""
        if self.kind is DiskKind.SOURCE:
            return "make space there: depositd deletes nothing in a source, and what writes there will fail"
        key = "raise spool.quota" if self.kind is DiskKind.QUOTA else "make space there"
        floor = ", or lower spool.min_free" if self.kind is DiskKind.SPOOL and self.floor_bytes else ""
        return f"{key}{floor}, or shorten keep_archive: until there is room, archiving waits and the rest goes on"

    def left(self, free_bytes: int) -> str:
        """Return what is left, as a clause."""
        what = "left of it" if self.kind is DiskKind.QUOTA else "free"
        return f"{show_size(max(free_bytes, 0))} {what}"


@dataclass(frozen=True, slots=True)
class DiskForecast:
    """How a disk stands and when it will be at its limit; ``sentence`` and ``hint`` are empty while all is calm.

    ``falls_bytes_per_s`` and ``full_at`` are None where it is full already, or nothing says that it will be.
    """

    disk: Disk
    level: Level
    free_bytes: int
    falls_bytes_per_s: float | None = None
    full_at: datetime | None = None
    sentence: str = ""
    hint: str = ""

    def json(self) -> dict[str, Any]:
        """Return it as ``status --json`` has it."""
        return {
            "what": self.disk.kind,
            "paths": list(self.disk.directories),
            "level": self.level,
            "free_bytes": self.free_bytes,
            "floor_bytes": self.disk.floor_bytes,
            "quota_bytes": self.disk.quota_bytes or None,
            "falls_bytes_per_s": None if self.falls_bytes_per_s is None else round(self.falls_bytes_per_s),
            "full_at": utc_text(self.full_at) if self.full_at else None,
            "sentence": self.sentence or None,
            "hint": self.hint or None,
        }


@dataclass(frozen=True, slots=True)
class BacklogForecast:
    """What waits to be archived (``destination`` is None) or sent, and when that will be done.

    ``rate_bytes_per_s`` is of all transfers side by side; it and ``done_at`` are None where nothing is known.
    ``notable`` says that somebody who looks should read it.
    """

    destination: str | None
    datasets: int
    size_bytes: int
    rate_bytes_per_s: float | None
    done_at: datetime | None
    sentence: str
    notable: bool

    def json(self) -> dict[str, Any]:
        """Return it as ``status --json`` has it."""
        return {
            "what": "archiving" if self.destination is None else "sending",
            "destination": self.destination,
            "datasets": self.datasets,
            "bytes": self.size_bytes,
            "rate_bytes_per_s": None if self.rate_bytes_per_s is None else round(self.rate_bytes_per_s),
            "done_at": utc_text(self.done_at) if self.done_at else None,
            "sentence": self.sentence,
        }


def disk_forecast(disk: Disk, now: datetime) -> DiskForecast | None:
    """Return how a disk stands, None where nothing is known of it (any more)."""
    newest = latest(disk.samples, now)
    if newest is None:
        return None
    free = newest.free_bytes
    headroom = free - disk.floor_bytes
    if headroom <= (FULL_BYTES if disk.kind is DiskKind.SOURCE else 0):
        sentence = f"{disk.name} is {f'at {disk.limit}' if disk.limit else 'full'}: {disk.left(free)}"
        return DiskForecast(disk, Level.FULL, free, sentence=sentence, hint=disk.hint)
    reached = [
        (headroom / trend.falls_bytes_per_s, trend)
        for trend in trends(disk.samples, now)
        if headroom / trend.falls_bytes_per_s < min(WARN_S, BEARS * trend.over_s)
    ]
    if not reached:
        return DiskForecast(disk, Level.CALM, free)
    seconds, trend = min(reached, key=lambda pair: pair[0])
    full_at = now + timedelta(seconds=seconds)
    ends = f"reach {disk.limit}" if disk.limit else "be full"
    sentence = (
        f"{disk.name} will {ends} in {_roughly(seconds)} (about {full_at.astimezone():%H:%M}): {disk.left(free)},"
        f" falling by {show_size(trend.falls_bytes_per_s)}/s over the last {_roughly(trend.over_s)}"
    )
    level = Level.URGENT if seconds < URGENT_S else Level.WARNING
    return DiskForecast(disk, level, free, trend.falls_bytes_per_s, full_at, sentence, disk.hint)


def throughput(transfers: Sequence[Transfer]) -> float | None:
    """Return the bytes per second of all transfers together while there were any, None where there were none.

    Transfers side by side share the wire: the time in which at least one was under way is counted once.
    """
    busy_s, until = 0.0, None
    for began, ended in sorted((one.at - timedelta(seconds=one.seconds), one.at) for one in transfers):
        if until is None or began > until:
            busy_s += (ended - began).total_seconds()
        elif ended > until:
            busy_s += (ended - until).total_seconds()
        until = ended if until is None else max(until, ended)
    return sum(one.size_bytes for one in transfers) / busy_s if busy_s > 0 else None


def archiving_forecast(
    waiting: Waiting, transfers: Sequence[Transfer], now: datetime, *, waits_for_room: bool = False
) -> BacklogForecast | None:
    """Return when all that has ended will be archived, None where nothing waits.

    ``waits_for_room`` says that the next in line does not fit into the spool.
    """
    if not waiting.datasets:
        return None
    rate = throughput(transfers)
    what = f"{show_count(waiting.datasets, 'dataset')}, {show_size(waiting.size_bytes)}"
    if waits_for_room and not waiting.under_way:
        sentence = f"archiving waits for room in the spool: {what}; what is archived goes on"
        return BacklogForecast(None, waiting.datasets, waiting.size_bytes, rate, None, sentence, notable=True)
    seconds = waiting.size_bytes / rate if rate else None
    return _backlog(None, "archiving", waiting, rate, seconds, now)


def sending_forecast(
    destination: str,
    waiting: Waiting,
    transfers: Sequence[Transfer],
    window: Window | None,
    archived_at: datetime | None,
    now: datetime,
) -> BacklogForecast:
    """Return when all that waits for a destination will be there, if only its ``window`` is used.

    ``archived_at`` is when all that is to be archived first will be, None where that is not known.
    """
    rate = throughput(transfers)
    seconds = None
    if rate:
        work_s = waiting.size_bytes / rate
        seconds = work_s if window is None else window.after_s(now.astimezone(), work_s)
        if waiting.unarchived_bytes and archived_at is not None:
            seconds = max(seconds, (archived_at - now).total_seconds())
    hours = f", within {window}" if window is not None else ""
    return _backlog(destination, printable(destination), waiting, rate, seconds, now, hours)


def _backlog(
    destination: str | None,
    name: str,
    waiting: Waiting,
    rate: float | None,
    seconds: float | None,
    now: datetime,
    hours: str = "",
) -> BacklogForecast:
    waits = "waits" if waiting.datasets == 1 else "wait"
    sentence = f"{name}: {show_count(waiting.datasets, 'dataset')}, {show_size(waiting.size_bytes)} {waits}"
    done_at = None
    if rate is not None and seconds is not None:
        sentence += f", done in about {_roughly(seconds)} at {show_size(rate)}/s{hours}"
        done_at = now + timedelta(seconds=seconds)
    notable = seconds is not None and seconds >= BRIEF_S
    return BacklogForecast(destination, waiting.datasets, waiting.size_bytes, rate, done_at, sentence, notable)


def _roughly(seconds: float) -> str:
    """Return a duration no more exact than a forecast can be: ``8 min``, ``3 h 10 min``, ``14 h``, ``3 d 2 h``."""
    for below_s, step_s in ((3600, 60), (6 * 3600, 600)):
        if seconds < below_s:
            return show_duration(max(math.floor(seconds / step_s + 0.5), 1) * step_s)
    return show_duration(round(seconds / 3600) * 3600)
