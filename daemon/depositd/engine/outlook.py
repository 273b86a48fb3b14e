"""What is ahead, by what the journal knows: the questions of :mod:`depositd.engine.forecast`, asked and answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from depositd.config import Config
from depositd.engine.forecast import (
    BacklogForecast,
    Disk,
    DiskForecast,
    DiskKind,
    Level,
    archiving_forecast,
    disk_forecast,
    sending_forecast,
)
from depositd.engine.trend import LONGEST_S, STALE_S, latest
from depositd.journal import Journal, SpaceSample

QUOTA = "quota"
"""Under which name the room in the spool's quota is noted; no directory is called so, for those are absolute."""
STILL_WANTED = timedelta(seconds=30)
"""What has not been put off anew for so long is wanted no more: a worker would have looked at it."""
TOLD_FOR = timedelta(hours=1)
"""A disk that was well for so long is told of again when it fills up."""


def note_quota(config: Config, journal: Journal, now: datetime) -> None:
    """Note what is left of the spool's quota, where there is one; another quota begins another trend."""
    quota = config.spool.quota_bytes
    if quota is not None:
        left = quota - sum(journal.spooled.sizes().values())
        journal.rates.sample(QUOTA, left, now, device=quota)


@dataclass(frozen=True, slots=True)
class Outlook:
    """Every disk of which something is known, the spool's first, and everything that waits."""

    disks: tuple[DiskForecast, ...] = ()
    backlog: tuple[BacklogForecast, ...] = ()

    def json(self) -> dict[str, Any]:
        """Return the keys that ``status --json`` has for it."""
        return {
            "disks": [one.json() for one in self.disks],
            "backlog": [{**one.json(), "notable": one.notable} for one in self.backlog],
        }


def outlook(config: Config, journal: Journal, now: datetime) -> Outlook:
    """Return what is ahead; reads the journal alone, so that no disk that hangs is waited for."""
    disks = [forecast for disk in _disks(config, journal, now) if (forecast := disk_forecast(disk, now)) is not None]
    return Outlook(tuple(disks), tuple(_backlog(config, journal, now)))


def beside_datasets(config: Config, journal: Journal, now: datetime) -> dict[str, Any]:
    """Return all that ``status --json`` has beside the datasets."""
    ahead = outlook(config, journal, now).json()
    return {**journal.view.surroundings(), **ahead, "journal": journal.notes.json(now)}


def _disks(config: Config, journal: Journal, now: datetime) -> list[Disk]:
    """Return the spool's file system, its quota, and the file systems of the sources, each once."""
    since = now - timedelta(seconds=LONGEST_S + STALE_S)
    spool = str(config.spool.path)
    samples = journal.rates.samples(spool, since)
    found = [Disk(DiskKind.SPOOL, (spool,), samples, floor_bytes=config.spool.min_free_bytes)]
    on = {_device(samples, now): 0}
    quota = config.spool.quota_bytes
    if quota is not None:
        found.append(Disk(DiskKind.QUOTA, (spool,), journal.rates.samples(QUOTA, since), quota_bytes=quota))
    for root in dict.fromkeys(directory.as_posix() for rule in config.rules for directory in rule.watch):
        samples = journal.rates.samples(root, since)
        device = _device(samples, now)
        if device is None:
            continue
        if device not in on:
            on[device] = len(found)
            found.append(Disk(DiskKind.SOURCE, (root,), samples))
        elif (same := found[on[device]]).kind is DiskKind.SOURCE:  # else the spool's floor is met first
            found[on[device]] = replace(same, directories=(*same.directories, root))
    return found


def _device(samples: Sequence[SpaceSample], now: datetime) -> int | None:
    newest = latest(samples, now)
    return None if newest is None else newest.device


def _backlog(config: Config, journal: Journal, now: datetime) -> list[BacklogForecast]:
    rates, found = journal.rates, []
    waits_for_room = _is_about_room(journal.backlog.put_off(now - STILL_WANTED))
    archived = rates.transfers("archived", "", now)
    archiving = archiving_forecast(journal.backlog.to_archive(), archived, now, waits_for_room=waits_for_room)
    if archiving is not None:
        found.append(archiving)
    paused = journal.surroundings.pauses()
    for name, waiting in sorted(journal.backlog.to_send().items()):
        settings = config.destinations.get(name)
        if settings is None or name in paused:
            continue  # each has a sentence of its own, and no end that could be foreseen
        archived_at = archiving.done_at if archiving is not None else None
        sent = rates.transfers("sent", name, now)
        found.append(sending_forecast(name, waiting, sent, settings.window, archived_at, now))
    return found


def _is_about_room(reasons: Sequence[str]) -> bool:
    if not reasons:  # as a rule: then status need not load what packs and sends
        return False
    from depositd.engine.room import is_about_room

    return any(is_about_room(why) for why in reasons)


@dataclass(slots=True)
class Told:
    """What was said of each disk, so that each crossing is said once: when it comes near, and when it is urgent."""

    _levels: dict[tuple[DiskKind, str], tuple[Level, datetime]] = field(default_factory=dict)

    def news(self, disks: Sequence[DiskForecast], now: datetime) -> list[DiskForecast]:
        """Return those disks that stand worse than was said of them in the last hour."""
        worse = []
        for one in disks:
            key = (one.disk.kind, one.disk.directories[0])
            told, since = self._levels.get(key, (Level.CALM, now))
            if one.level.rank > told.rank:
                worse.append(one)
            if one.level.rank >= told.rank or now - since >= TOLD_FOR:
                self._levels[key] = (one.level, now)
        return worse
