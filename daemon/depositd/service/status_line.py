"""The sentence of ``systemctl status``: how things stand, who is away, and whether somebody is needed.

Times of the day instead of ages, since a line that stands still must not lie: it is sent when it changes, and no more
often than every few seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from depositd.model import DeliveryState
from depositd.states import NEEDS_OPERATOR
from depositd.units import printable, show_count, show_duration

SAID_EVERY_S = 2.0
"""A line is sent no more often than this; the first one, and words about start and stop, at once."""
MOST_NAMED = 3
MOST_NAME = 80
_NEEDS_YOU = NEEDS_OPERATOR - {DeliveryState.UNCONFIRMED}
"""What is unconfirmed is asked about: it may yet need somebody, and is held then."""
_SENT = (DeliveryState.UPLOADED, DeliveryState.SUBMITTED)


@dataclass(frozen=True, slots=True)
class Away:
    """A destination that takes nothing at the moment; ``how`` is a word for it (away, paused)."""

    name: str
    how: str
    since: datetime


@dataclass(frozen=True, slots=True)
class Standing:
    """What the line is made of; all times are local.

    ``counts`` are the deliveries in each state, ``archiving`` and ``sending`` what is under way now, ``missing`` the
    sources that are not there, ``silent`` the workers that do not move.
    """

    growing: int = 0
    counts: Mapping[DeliveryState, int] = field(default_factory=dict)
    archiving: int = 0
    sending: int = 0
    away: Sequence[Away] = ()
    missing: Sequence[str] = ()
    silent: Sequence[str] = ()
    last_delivered: datetime | None = None


def status_line(standing: Standing, now: datetime) -> str:
    """Return how things stand in one line; what somebody has to see comes first, for the line may be cut off."""
    counts = standing.counts
    needs_you = sum(counts.get(state, 0) for state in _NEEDS_YOU)
    waiting = counts.get(DeliveryState.WAITING, 0) + counts.get(DeliveryState.UNCONFIRMED, 0) - standing.sending
    there = sum(counts.get(state, 0) for state in _SENT)
    alarms = [*standing.silent]
    if standing.missing:
        alarms.append(f"{_named(standing.missing)} {'is' if len(standing.missing) == 1 else 'are'} not there")
    if needs_you:
        alarms.append(f"{needs_you:,} {'needs' if needs_you == 1 else 'need'} you")
    work = [
        f"{count:,} {what}"
        for count, what in (
            (standing.growing, "growing"),
            (standing.archiving, "being archived"),
            (standing.sending, "being sent"),
            (max(waiting, 0), "waiting"),
            (there, "in the server's hands"),
            (counts.get(DeliveryState.DELIVERED, 0), "delivered"),
        )
        if count
    ]
    if standing.away:
        work.append(
            _named([f"{printable(one.name)} {one.how} since {_clock(one.since, now)}" for one in standing.away])
        )
    parts = [*alarms, ", ".join(work) or "nothing to do"]
    if standing.last_delivered is not None:
        parts.append(f"last delivered {_clock(standing.last_delivered, now)}")
    return "; ".join(parts)


def sweeping_line(files: Mapping[str, int]) -> str:
    """Return what a start is at: the sources that are swept for the first time, with the files seen so far."""
    found = [f"{printable(root, MOST_NAME)} ({show_count(count, 'file')} so far)" for root, count in files.items()]
    return f"starting: sweeping {_named(found)}" if found else "starting"


def stopping_line(uploads: int, archives: int, left_s: float) -> str:
    """Return what a stop waits for, and for how long at most."""
    under_way = [
        show_count(count, one, many)
        for count, one, many in ((uploads, "delivery", "deliveries"), (archives, "archive", "archives"))
        if count
    ]
    if not under_way:
        return "stopping"
    return f"stopping: {' and '.join(under_way)} under way, at most {show_duration(left_s)} left"


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(names[:MOST_NAMED])
    return shown if len(names) <= MOST_NAMED else f"{shown} and {len(names) - MOST_NAMED} more"


def _clock(at: datetime, now: datetime) -> str:
    """Return a time of the day, with its date where that is not today."""
    return f"{at:%H:%M}" if at.date() == now.date() else f"{at:%Y-%m-%d %H:%M}"


class StatusLine:
    """Sends a line where it has changed, no more often than :data:`SAID_EVERY_S`; ``say`` hears each one."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._last = ""
        self._next_s = float("-inf")

    def is_due(self, now_s: float) -> bool:
        """Say whether a line could be sent now: to make one costs some questions to the journal."""
        return now_s >= self._next_s

    def tell(self, line: str, now_s: float) -> None:
        """Send a line unless it was the last one; ``now_s`` is monotonic."""
        self._next_s = now_s + SAID_EVERY_S
        if line != self._last:
            self._last = line
            self._say(line)
