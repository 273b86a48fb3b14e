"""What happens when, drawn from the seed before the run begins: the same seed gives the same night."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from depositd.sandbox import FAULTS

EDGE = 1 / 6
"""The share of the run at its begin, and at its end, in which the daemon is killed and stopped.  Between them one
process lives, so that it can be seen whether it grows."""


class Kind(enum.StrEnum):
    """What can go wrong."""

    SERVER_FAULT = "server faults"
    SERVER_AWAY = "servers away"
    VAULT_AWAY = "vault away"
    SOURCE_AWAY = "source away"
    NO_ROOM = "spool full"
    RELOAD = "reloads"
    WORD = "operator's words"
    KILL = "kills"
    TERMINATE = "restarts"


@dataclass(frozen=True, slots=True)
class Frequency:
    """How often something happens: every ``every_s`` on average, but ``least`` times; at the edges alone, or not."""

    every_s: float
    least: int = 1
    at_edges: bool = False


FREQUENCIES: Mapping[Kind, Frequency] = {
    Kind.SERVER_FAULT: Frequency(3.0, least=3),
    Kind.SERVER_AWAY: Frequency(60.0),
    Kind.VAULT_AWAY: Frequency(90.0),
    Kind.SOURCE_AWAY: Frequency(90.0),
    Kind.NO_ROOM: Frequency(120.0),
    Kind.RELOAD: Frequency(45.0),
    Kind.WORD: Frequency(10.0, least=2),
    Kind.KILL: Frequency(30.0, least=2, at_edges=True),
    Kind.TERMINATE: Frequency(45.0, least=2, at_edges=True),
}

UPLOADS = ("/api/v1/upload/", "/api/upload/raw")
QUESTIONS = ("/api/v1/submissions/", "/api/v1/submit/", "/api/v1/equipment/", "/api/qc-data", "/api/projects")
_REFUSES_ALL_OF_THEM = frozenset({"401", "portal", "502", "503"})
"""Faults that meet every request for a while, and not one alone."""

_SELDOM = {"drip": 0.1}
"""An answer that drips takes a worker for two minutes."""


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that goes wrong, ``at_s`` after the begin, for ``lasts_s`` where it lasts.

    On a busy machine it may come later, but after ``latest_s`` it is left out: what belongs to the begin must not end
    the process that is to live.
    ``path`` and ``fault`` are those of the sandbox; ``chance`` in [0, 1) chooses what is only known then.
    """

    at_s: float
    kind: Kind
    latest_s: float
    lasts_s: float = 0.0
    path: str = ""
    fault: str = ""
    times: int = 1
    chance: float = 0.0


def events(seed: int, duration_s: float, pace: float = 1.0) -> list[Event]:
    """Return everything that goes wrong in ``duration_s``, in its order; ``pace`` times as much in the same time."""
    random = Random(f"{seed}/plan")
    found = [event for kind, how in FREQUENCIES.items() for event in _of_kind(kind, how, random, duration_s, pace)]
    return sorted(found, key=lambda event: event.at_s)


def _of_kind(kind: Kind, how: Frequency, random: Random, duration_s: float, pace: float) -> Iterator[Event]:
    share = 2 * EDGE if how.at_edges else 1.0
    number = max(round(duration_s * share * pace / how.every_s), how.least)
    for index in range(number):
        # one in each piece of the time, so that it happens all along; of what happens at the edges, half at each
        place = (index + random.random()) / number
        if how.at_edges:
            place = place * 2 * EDGE if place < 0.5 else 1 - (1 - place) * 2 * EDGE
        lasts_s = random.uniform(1.0, 6.0)
        if kind is Kind.SERVER_FAULT:
            yield _server_fault(random, place * duration_s, duration_s)
        else:
            latest_s = EDGE * duration_s if how.at_edges and place < EDGE else duration_s
            yield Event(place * duration_s, kind, latest_s, lasts_s, chance=random.random())


def _server_fault(random: Random, at_s: float, latest_s: float) -> Event:
    fault = random.choices(list(FAULTS), [_SELDOM.get(kind, 1.0) for kind in FAULTS])[0]
    path = random.choice(UPLOADS if random.random() < 0.6 else QUESTIONS)
    times = random.randint(2, 12) if fault in _REFUSES_ALL_OF_THEM else 1
    return Event(at_s, Kind.SERVER_FAULT, latest_s, random.uniform(0.5, 4.0), path, fault, times, random.random())
