"""One list of our submissions for all deliveries that wait for theirs: a thousand of them cost one request a poll.

A look at the list holds for one poll.  Whoever wants to know meanwhile gets what it brought; whoever comes first
afterwards asks, and all others wait for that answer instead of asking beside it.  A look that failed is shared as well,
for a short while, so that a server in trouble hears of it once and not a thousand times.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.destinations.http import OnWait, in_turn, wait_unheard
from depositd.destinations.proteindiffraction.records import Submission
from depositd.errors import Unavailable

SHARED_FAILURE_S = 10.0
"""Less than the first wait of a retry, so that each round of retries begins with a question of its own."""

ROUNDING_S = 0.1
"""Who comes this much too early is on time: a rounded time must not cost a step that learns nothing."""


@dataclass(frozen=True, slots=True)
class _Look:
    """What a look at the list brought, and for how long that holds."""

    at: datetime
    lasts_s: float
    by_token: Mapping[str, Submission]
    error: Unavailable | None = None

    def left_s(self, now: datetime) -> float:
        """Return for how long this still holds; nothing holds that a clock set back puts into the future."""
        age_s = (now - self.at).total_seconds()
        return self.lasts_s - age_s if age_s >= 0 else 0.0


class Listing:
    """The list of our submissions, shared by all deliveries to one server; safe to use from any thread.

    ``ask`` fetches the list, ``now`` is the time, ``poll_every_s`` how long one look holds.
    ``on_wait`` hears from those who wait for the answer to another.
    """

    def __init__(
        self,
        ask: Callable[[], Sequence[Submission]],
        now: Callable[[], datetime],
        poll_every_s: float,
        on_wait: OnWait = wait_unheard,
    ) -> None:
        self._ask = ask
        self._now = now
        self._poll_every_s = poll_every_s
        self._on_wait = on_wait
        self._in_flight = threading.Lock()
        # each is replaced whole and never changed, so that readers need no lock
        self._good: _Look | None = None
        self._bad: _Look | None = None

    def fresh(self) -> Sequence[Submission]:
        """Ask now, whatever is known, and keep the answer for the others; raises RemoteError."""
        asked_at = self._now()
        try:
            submissions = self._ask()
        except Unavailable as error:
            lasts_s = min(max(SHARED_FAILURE_S, error.retry_after_s or 0.0), self._poll_every_s)
            # it may have taken a minute to fail: the while begins now
            self._bad = _Look(self._now(), lasts_s, {}, error)
            raise
        self._good = _Look(asked_at, self._poll_every_s, {one.token: one for one in submissions})
        self._bad = None
        return submissions

    def recent(self, token: str) -> Submission | None:
        """Return a submission as the list showed it less than one poll ago; asks where nobody has, raises RemoteError.

        None says that the list does not show it, which proves nothing.
        """
        with in_turn(self._in_flight, self._on_wait):
            good = self._held(self._good)
            if good is None:
                self._raise_shared()
                self.fresh()
                good = self._good
        return None if good is None else good.by_token.get(token)

    def due_in_s(self) -> float:
        """Return the seconds until the list is asked again: all who wait that long come together."""
        good = self._held(self._good)
        return self._poll_every_s if good is None else good.left_s(self._now())

    def _held(self, look: _Look | None) -> _Look | None:
        return look if look is not None and look.left_s(self._now()) > ROUNDING_S else None

    def _raise_shared(self) -> None:
        """Raise what the last look failed with, where that was a moment ago."""
        bad = self._held(self._bad)
        if bad is not None and (error := bad.error) is not None:
            # a new error each time, for a traceback grows with each raise
            raise Unavailable(
                str(error), hint=error.hint, status=error.status, body=error.body, retry_after_s=error.retry_after_s
            )
