"""Keeps an eye on the disks: notes their free space, and says in time which of them fills up."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from depositd.config import Config
from depositd.engine.forecast import Level
from depositd.engine.outlook import Told, note_quota, outlook
from depositd.journal import Journal
from depositd.notify import Notice
from depositd.service.clock import utc_now
from depositd.systemd import get_logger

SAMPLE_EVERY_S = 60.0

log = get_logger("depositd")


class Gauge:
    """Notes the free space of one directory's file system, at most once a minute.

    Asking a file server that is gone can hang: so a source's gauge is read by the source's own thread.
    """

    def __init__(self, journal: Journal, directory: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._directory = directory
        self._monotonic = monotonic
        self._read_s = float("-inf")

    def read(self) -> None:
        """Note the free space; a directory that is not there has none to be noted.  Raises JournalError."""
        now_s = self._monotonic()
        if now_s < self._read_s + SAMPLE_EVERY_S:
            return
        self._read_s = now_s
        with suppress(OSError):
            free_bytes = shutil.disk_usage(self._directory).free
            device = os.stat(self._directory).st_dev
            self._journal.rates.sample(self._directory, free_bytes, utc_now(), device=device)


class Lookout:
    """Says once of each disk that it fills up, and once more when that is urgent."""

    def __init__(self, journal: Journal, spool: str) -> None:
        self._journal = journal
        self._spool = Gauge(journal, spool)
        self._told = Told()

    def look(self, config: Config, now: datetime) -> list[Notice]:
        """Note the spool's free space, log what is new of the disks, and return it for those who are to be told."""
        self._spool.read()
        note_quota(config, self._journal, now)
        news = self._told.news(outlook(config, self._journal, now).disks, now)
        for one in news:
            say = log.warning if one.level is Level.WARNING else log.error
            say(one.sentence, hint=one.hint)
        return [Notice("needs_you", "", one.sentence, one.hint) for one in news]
