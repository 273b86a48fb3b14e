"""What a step tells of its destination, recorded; and the question that ends the time in which it takes nothing."""

from __future__ import annotations

from datetime import datetime

from depositd.destinations.base import Destination
from depositd.engine.circuit import asks_for_time, is_doubtful, pause_for, still, with_failure
from depositd.engine.planning import Plan
from depositd.engine.tools import Tools
from depositd.errors import ConfigError, Rejected, RemoteError
from depositd.journal import Doubts, Journal, Pause
from depositd.model import Delivery


def refused(plan: Plan, journal: Journal, name: str, error: Exception, tools: Tools) -> None:
    """Pause a destination that refuses our credentials, and say so once."""
    _pause(journal, pause_for(name, error, plan.config.retry_for(name), tools.clock(), tools.chance), tools)


def failed(
    plan: Plan, journal: Journal, name: str, error: Exception, tools: Tools, delivery: Delivery | None = None
) -> None:
    """Note that a step failed as if its destination were away; where enough speaks for that, ask whether it is.

    ``delivery`` goes on at once when the destination is back.
    """
    policy = plan.config.retry_for(name)
    with journal.together():
        doubts = _doubted(journal, name, with_failure(journal.surroundings.doubts(name), tools.clock(), policy))
        if delivery is not None:
            journal.surroundings.put_off(name, delivery.id, first=doubts is not None and doubts.steps == 1)
    if doubts is None:
        return
    if asks_for_time(error, delivery, policy):
        _pause(journal, pause_for(name, error, policy, tools.clock(), tools.chance, doubts), tools)
    elif is_doubtful(doubts):
        why = _why_away(plan.destinations[name])
        if why is None:
            journal.surroundings.trust(name)
        else:
            _pause(journal, pause_for(name, why, policy, tools.clock(), tools.chance, doubts), tools)


def _doubted(journal: Journal, name: str, doubts: Doubts) -> Doubts | None:
    """Record what speaks against a destination, None where it is known already that it takes nothing."""
    if name in journal.surroundings.pauses():
        return None
    journal.surroundings.doubt(name, doubts)
    return doubts


def probe(plan: Plan, journal: Journal, pause: Pause, now: datetime, chance: float) -> bool:
    """Ask a destination that takes nothing who we are; True where it takes deliveries again.

    Those that it put off are due at once then; one that fails by itself keeps its own wait.
    """
    name = pause.destination
    destination = plan.destinations.get(name)
    if destination is None:
        return journal.surroundings.resume(name)
    why = _why_away(destination)
    if why is not None:
        policy = plan.config.retry_for(name)
        journal.surroundings.pause(pause_for(name, why, policy, now, chance, still(pause)))
        return False
    with journal.together():
        put_off = journal.surroundings.answers(name, now)
        journal.deliveries.go_on(put_off or ())
    return put_off is not None


def _why_away(destination: Destination) -> Exception | None:
    """Return why a destination takes nothing, None where it answers and knows us."""
    try:
        destination.whoami()
    except Rejected:
        return None  # it knows us; what else is wrong, it says of each delivery
    except (RemoteError, ConfigError, OSError) as error:
        return error
    return None


def _pause(journal: Journal, pause: Pause, tools: Tools) -> None:
    if journal.surroundings.pause(pause):
        tools.paused(pause)
