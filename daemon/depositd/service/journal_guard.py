"""Keeps an eye on the journal's disk: says once what is wrong with it, and finds out when work can go on."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from depositd.errors import JournalError
from depositd.journal import Journal
from depositd.model import Problem
from depositd.systemd import get_logger

LOOK_EVERY_S = 2.0
AGAIN_AFTER_S = 3600.0
"""How often it is said once more that the journal still cannot be written."""

log = get_logger("depositd")


class JournalGuard:
    """What is wrong with the journal's disk; *look* is called often and does little."""

    def __init__(self, journal: Journal, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._journal = journal
        self._monotonic = monotonic
        self._next_look_s = float("-inf")
        self._said: str | None = None
        self._said_s = float("-inf")
        self.problem: Problem | None = None

    def look(self) -> bool:
        """Make the ballast again where there is room, try whether the journal can be written, and say what is new.

        Returns whether there was any.
        """
        now_s = self._monotonic()
        if now_s < self._next_look_s:
            return False
        self._next_look_s = now_s + LOOK_EVERY_S
        with suppress(JournalError):
            self._journal.database.recover()
        self.problem = self._journal.problem()
        return self._say(now_s)

    def _say(self, now_s: float) -> bool:
        # the figures change all the time, the problem does not
        kind = None if self.problem is None else self.problem.where
        if kind is None and self._said is not None:
            log.info("the journal can be written again, and work goes on")
        elif self.problem is not None and (kind != self._said or now_s >= self._said_s + AGAIN_AFTER_S):
            self._said_s = now_s
            log.error(self.problem.what, hint=self.problem.hint)
        is_news, self._said = kind != self._said, kind
        return is_news
