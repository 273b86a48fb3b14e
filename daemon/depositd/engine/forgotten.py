"""What the answer of a destination means for a delivery of which nobody knows any more whether it was sent; pure.

The journal was lost, and with it the operator's words since its last backup.  Who asked the destination knows what is
there, but not whether somebody had held or skipped what is not.  A copy or a measurement too many can be removed; what
was published cannot.  So what would become public waits for a word, and all else goes its way.
"""

from __future__ import annotations

from dataclasses import replace

from depositd.destinations.base import Destination
from depositd.engine.gates import Hold
from depositd.journal import DatasetRecord, Fact, Journal, Standing
from depositd.model import FORGOTTEN, Delivery, DeliveryState, HoldKind
from depositd.states import DeliveryEvent
from depositd.units import utc_text

NAMESAKES = "namesakes"
"""The key of a baseline: how many other datasets of the same name go to the destination."""

_ASKED_BEFORE = frozenset({HoldKind.METADATA, HoldKind.APPROVAL})


def is_asked_before(delivery: Delivery, hold: Hold) -> bool:
    """Say whether a destination is asked before a hold counts: what it has needs neither metadata nor approval."""
    return delivery.is_forgotten and hold.kind in _ASKED_BEFORE


def why_asked(delivery: Delivery) -> str:
    """Return the sentence for a delivery that is forgotten."""
    day = str(delivery.baseline[FORGOTTEN])[:10]
    return f"the journal was lost on {day}; {delivery.destination} is asked before anything is sent"


def with_namesakes(
    journal: Journal, delivery: Delivery, destination: Destination, archive_name: str, names: frozenset[str]
) -> Delivery:
    """Return a forgotten delivery with what its destination must know of others, to which it may confuse it."""
    known_as = destination.known_as(archive_name)
    if not delivery.is_forgotten or known_as is None:
        return delivery

    def is_one(name: str) -> bool:
        return destination.known_as(name) == known_as

    count = journal.deliveries.namesakes_of_forgotten(delivery, is_one, names)
    return replace(delivery, baseline={**delivery.baseline, NAMESAKES: count})


def after_asking(fact: Fact, standing: Standing, record: DatasetRecord, destination: Destination) -> Fact:
    """Return what an answer makes true: what is to be published, and is not yet, waits for a word."""
    delivery = standing.delivery
    lost_at = record.forgotten_at
    said_yes = standing.consents & {HoldKind.APPROVAL, HoldKind.UNCONFIRMED}
    if lost_at is None or delivery.state is not DeliveryState.UNCONFIRMED or not destination.publishes or said_yes:
        return fact
    found = {
        DeliveryEvent.ABSENT: "does not have it",
        DeliveryEvent.UPLOADED: "has it, and it is not submitted yet",
    }.get(fact.event)
    if found is None:
        return fact
    return Fact(
        DeliveryEvent.HOLD,
        f"{destination.name} {found}; the journal was lost on {utc_text(lost_at)[:10]}, and with it"
        " whether somebody had held or skipped this (what is sent there becomes public)",
        f"depositd release {record.id} sends it, depositd skip {record.id} leaves it",
        remote_id=fact.remote_id,
        remote_status=fact.remote_status,
        hold=HoldKind.APPROVAL,
    )
