"""Every transition of a dataset and of a delivery, in one place.

Theory of operation
-------------------
States name facts, events name what made the fact change.  The journal changes a state only through
:func:`next_dataset_state` and :func:`next_delivery_state`, inside the transaction that records why, so
after any crash the state is the last true fact and the step that follows from it can be taken again.

A move that is not in the table raises :class:`~depositd.errors.IllegalTransition`: either a bug, or an
operator's word that comes too late ("skip" of what is delivered).  ``python -m depositd.states`` prints the
tables as Mermaid diagrams; ``daemon/README.md`` holds that output and a test keeps it fresh.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Mapping
from typing import TypeVar

from depositd.errors import IllegalTransition
from depositd.model import DatasetState, DeliveryState


class DatasetEvent(enum.StrEnum):
    """What can happen to a dataset."""

    CHANGED = "changed"
    COMPLETED = "completed"
    ENDED_INCOMPLETE = "ended incomplete"
    FOUND_CORRUPT = "found corrupt"
    ARCHIVED = "archived"
    ARCHIVE_LOST = "archive lost"
    VANISHED = "vanished"


class DeliveryEvent(enum.StrEnum):
    """What can happen to a delivery."""

    # the daemon's own
    HOLD = "held"
    CLEAR = "cleared"
    POSTPONE = "postponed"
    SENDING = "sending"
    LOST = "answer lost"
    ABSENT = "not there"
    REMOVED = "removed there"
    UPLOADED = "uploaded"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    FAILED = "failed"
    SET_ASIDE = "set aside"
    # the operator's word
    WORD_HOLD = "hold"
    WORD_RELEASE = "release"
    WORD_RETRY = "retry"
    WORD_SKIP = "skip"


D = DatasetState
DE = DatasetEvent

DATASET_TRANSITIONS: Mapping[tuple[DatasetState, DatasetEvent], DatasetState] = {
    (D.GROWING, DE.CHANGED): D.GROWING,
    (D.GROWING, DE.COMPLETED): D.COMPLETE,
    (D.GROWING, DE.ENDED_INCOMPLETE): D.INCOMPLETE,
    (D.GROWING, DE.VANISHED): D.GONE,
    (D.INCOMPLETE, DE.CHANGED): D.GROWING,
    (D.INCOMPLETE, DE.COMPLETED): D.COMPLETE,
    (D.INCOMPLETE, DE.ENDED_INCOMPLETE): D.INCOMPLETE,
    (D.INCOMPLETE, DE.FOUND_CORRUPT): D.INCOMPLETE,
    (D.INCOMPLETE, DE.ARCHIVED): D.ARCHIVED,
    (D.INCOMPLETE, DE.VANISHED): D.GONE,
    (D.COMPLETE, DE.CHANGED): D.GROWING,
    (D.COMPLETE, DE.ENDED_INCOMPLETE): D.INCOMPLETE,
    (D.COMPLETE, DE.FOUND_CORRUPT): D.INCOMPLETE,
    (D.COMPLETE, DE.ARCHIVED): D.ARCHIVED,
    (D.COMPLETE, DE.VANISHED): D.GONE,
    (D.ARCHIVED, DE.ARCHIVE_LOST): D.COMPLETE,
    (D.GONE, DE.CHANGED): D.GROWING,
}

S = DeliveryState
E = DeliveryEvent

DELIVERY_TRANSITIONS: Mapping[tuple[DeliveryState, DeliveryEvent], DeliveryState] = {
    (S.WAITING, E.HOLD): S.HELD,
    (S.WAITING, E.POSTPONE): S.WAITING,
    (S.WAITING, E.SENDING): S.WAITING,
    (S.WAITING, E.LOST): S.UNCONFIRMED,
    (S.WAITING, E.ABSENT): S.WAITING,
    (S.WAITING, E.REMOVED): S.WAITING,
    (S.WAITING, E.UPLOADED): S.UPLOADED,
    (S.WAITING, E.SUBMITTED): S.SUBMITTED,
    (S.WAITING, E.DELIVERED): S.DELIVERED,
    (S.WAITING, E.FAILED): S.FAILED,
    (S.WAITING, E.SET_ASIDE): S.SKIPPED,
    (S.WAITING, E.WORD_HOLD): S.HELD,
    (S.WAITING, E.WORD_RELEASE): S.WAITING,
    (S.WAITING, E.WORD_RETRY): S.WAITING,
    (S.WAITING, E.WORD_SKIP): S.SKIPPED,
    (S.HELD, E.HOLD): S.HELD,
    (S.HELD, E.CLEAR): S.WAITING,
    (S.HELD, E.SET_ASIDE): S.SKIPPED,
    # a hold that came while a step was under way: what the step made true is a fact all the same
    (S.HELD, E.POSTPONE): S.HELD,
    (S.HELD, E.LOST): S.HELD,
    (S.HELD, E.ABSENT): S.HELD,
    (S.HELD, E.REMOVED): S.HELD,
    (S.HELD, E.UPLOADED): S.HELD,
    (S.HELD, E.SUBMITTED): S.SUBMITTED,
    (S.HELD, E.DELIVERED): S.DELIVERED,
    (S.HELD, E.FAILED): S.FAILED,
    (S.HELD, E.WORD_HOLD): S.HELD,
    (S.HELD, E.WORD_RELEASE): S.WAITING,
    (S.HELD, E.WORD_RETRY): S.WAITING,
    (S.HELD, E.WORD_SKIP): S.SKIPPED,
    (S.UNCONFIRMED, E.HOLD): S.HELD,
    (S.UNCONFIRMED, E.POSTPONE): S.UNCONFIRMED,
    (S.UNCONFIRMED, E.ABSENT): S.WAITING,
    (S.UNCONFIRMED, E.UPLOADED): S.UPLOADED,
    (S.UNCONFIRMED, E.SUBMITTED): S.SUBMITTED,
    (S.UNCONFIRMED, E.DELIVERED): S.DELIVERED,
    (S.UNCONFIRMED, E.FAILED): S.FAILED,
    (S.UNCONFIRMED, E.WORD_HOLD): S.HELD,
    # asked at once, not sent: whoever says retry to everything after a bad night means no second copy
    (S.UNCONFIRMED, E.WORD_RETRY): S.UNCONFIRMED,
    (S.UNCONFIRMED, E.WORD_SKIP): S.SKIPPED,
    (S.UPLOADED, E.HOLD): S.HELD,
    (S.UPLOADED, E.POSTPONE): S.UPLOADED,
    (S.UPLOADED, E.ABSENT): S.WAITING,
    (S.UPLOADED, E.UPLOADED): S.UPLOADED,
    (S.UPLOADED, E.SUBMITTED): S.SUBMITTED,
    (S.UPLOADED, E.DELIVERED): S.DELIVERED,
    (S.UPLOADED, E.FAILED): S.FAILED,
    (S.UPLOADED, E.WORD_HOLD): S.HELD,
    (S.UPLOADED, E.WORD_RETRY): S.UPLOADED,
    (S.UPLOADED, E.WORD_SKIP): S.SKIPPED,
    (S.SUBMITTED, E.POSTPONE): S.SUBMITTED,
    (S.SUBMITTED, E.SUBMITTED): S.SUBMITTED,
    (S.SUBMITTED, E.DELIVERED): S.DELIVERED,
    (S.SUBMITTED, E.FAILED): S.FAILED,
    (S.SUBMITTED, E.WORD_RETRY): S.SUBMITTED,
    (S.FAILED, E.SET_ASIDE): S.SKIPPED,
    (S.FAILED, E.CLEAR): S.WAITING,
    (S.FAILED, E.WORD_HOLD): S.HELD,
    (S.FAILED, E.WORD_RELEASE): S.WAITING,
    (S.FAILED, E.WORD_RETRY): S.WAITING,
    (S.FAILED, E.WORD_SKIP): S.SKIPPED,
    (S.SKIPPED, E.CLEAR): S.WAITING,
    (S.SKIPPED, E.POSTPONE): S.SKIPPED,
    (S.SKIPPED, E.LOST): S.SKIPPED,
    (S.SKIPPED, E.ABSENT): S.SKIPPED,
    (S.SKIPPED, E.REMOVED): S.SKIPPED,
    (S.SKIPPED, E.HOLD): S.SKIPPED,
    (S.SKIPPED, E.UPLOADED): S.SKIPPED,
    (S.SKIPPED, E.SUBMITTED): S.SUBMITTED,
    (S.SKIPPED, E.DELIVERED): S.DELIVERED,
    (S.SKIPPED, E.FAILED): S.SKIPPED,
    (S.SKIPPED, E.WORD_RELEASE): S.WAITING,
    (S.SKIPPED, E.WORD_SKIP): S.SKIPPED,
}

ENDED = frozenset({S.DELIVERED, S.FAILED, S.SKIPPED})
"""Delivery states that only an operator's word can leave."""

NEEDS_OPERATOR = frozenset({S.HELD, S.FAILED, S.UNCONFIRMED})
"""Delivery states that make ``run --until-idle`` and ``submit --wait`` end with exit status 3."""


def next_dataset_state(state: DatasetState, event: DatasetEvent) -> DatasetState:
    """Return the state after ``event``; raises IllegalTransition where the table has no such move."""
    try:
        return DATASET_TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a dataset that is {state} cannot be {event}") from None


def next_delivery_state(state: DeliveryState, event: DeliveryEvent) -> DeliveryState:
    """Return the state after ``event``; raises IllegalTransition where the table has no such move."""
    try:
        return DELIVERY_TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"a delivery that is {state} does not know {event!r}") from None


StateT = TypeVar("StateT", bound=enum.StrEnum)
EventT = TypeVar("EventT", bound=enum.StrEnum)


def diagram(transitions: Mapping[tuple[StateT, EventT], StateT]) -> str:
    """Return a transition table as a Mermaid state diagram, with the events of each arrow joined."""
    arrows: dict[tuple[str, str], list[str]] = {}
    for (state, event), target in transitions.items():
        arrows.setdefault((state.value, target.value), []).append(event.value)
    lines = ["stateDiagram-v2"]
    lines += [f"    {source} --> {target}: {', '.join(events)}" for (source, target), events in arrows.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.stdout.write(f"{diagram(DATASET_TRANSITIONS)}\n\n{diagram(DELIVERY_TRANSITIONS)}\n")
