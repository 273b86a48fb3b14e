"""The operator's word: hold, release, retry and skip, on datasets by their numbers; it works on the journal alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from depositd.engine.gates import may_be_judged
from depositd.engine.planning import Plan, gate
from depositd.engine.values import sentence, wrong_values
from depositd.errors import DepositdError, IllegalTransition
from depositd.journal import Fact, Journal, Standing
from depositd.model import Delivery, DeliveryState, HoldKind, Metadata
from depositd.states import DeliveryEvent

WORDS = {
    "hold": DeliveryEvent.WORD_HOLD,
    "release": DeliveryEvent.WORD_RELEASE,
    "retry": DeliveryEvent.WORD_RETRY,
    "skip": DeliveryEvent.WORD_SKIP,
}


_REPLACEABLE = frozenset({DeliveryState.FAILED, DeliveryState.HELD})
"""States in which what a server holds waits for somebody; whether it is deleted, the server has the last word."""

_NOT_SENT = frozenset({DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.FAILED})


class WrongValues(DepositdError):
    """A destination would refuse metadata that the operator gives."""


class NoSuchDelivery(DepositdError):
    """The journal has no such dataset, or no such delivery of it."""


@dataclass(frozen=True, slots=True)
class Spoken:
    """What a word did: the deliveries that followed it, and a sentence for each that could not."""

    followed: tuple[Delivery, ...]
    refused: tuple[IllegalTransition, ...]


def speak(journal: Journal, word: str, dataset_id: int, to: str | None, values: Metadata, now: datetime) -> Spoken:
    """Record a word on a dataset's deliveries, or on the one to destination ``to``.

    Raises NoSuchDelivery; a delivery whose state does not know the word is refused by itself.
    """
    chosen = _chosen(journal, dataset_id, to)
    followed: list[Delivery] = []
    refused: list[IllegalTransition] = []
    for delivery in chosen:
        if word == "retry":
            # whoever says retry has mended what was wrong
            journal.surroundings.ask_at_once(delivery.destination, now)
        try:
            followed.append(journal.deliveries.word(delivery.id, WORDS[word], values, now))
        except IllegalTransition as error:
            refused.append(error)
    return Spoken(tuple(followed), tuple(refused))


def release(plan: Plan, journal: Journal, dataset_id: int, to: str | None, values: Metadata, now: datetime) -> Spoken:
    """Record a release with its metadata.

    It counts only where it frees: what still misses something is held again at once, and nothing was approved.  Raises
    NoSuchDelivery, and WrongValues where a destination would refuse a value; nothing is recorded then.
    """
    chosen = _chosen(journal, dataset_id, to)
    for delivery in chosen:
        problems = wrong_values(plan, delivery, values)
        if problems:
            raise WrongValues(sentence(problems), hint="nothing was changed: correct the value and release it again")
    followed: list[Delivery] = []
    refused: list[IllegalTransition] = []
    for delivery in chosen:
        try:
            followed.append(release_one(plan, journal, delivery.id, values, now))
        except IllegalTransition as error:
            refused.append(error)
    return Spoken(tuple(followed), tuple(refused))


def release_one(plan: Plan, journal: Journal, delivery_id: int, values: Metadata, now: datetime) -> Delivery:
    """Record the release of one delivery, whose values are right; raises IllegalTransition."""
    with journal.together():
        standing = journal.deliveries.get(delivery_id)
        record = journal.datasets.get(standing.delivery.dataset_id) if standing else None
        if standing is None or record is None:
            raise NoSuchDelivery(f"there is no delivery {delivery_id}")
        hold = gate(plan, journal, record, _released(standing, values)) if may_be_judged(record) else None
        event = DeliveryEvent.WORD_RELEASE
        delivery = journal.deliveries.word(delivery_id, event, values, now, approves=hold is None)
        if hold is None:
            return delivery
        fact = Fact(DeliveryEvent.HOLD, hold.reason, hold.hint, hold=hold.kind, in_doubt=delivery.sent_at is not None)
        return journal.deliveries.apply(delivery_id, fact, now)


def _released(standing: Standing, values: Metadata) -> Standing:
    """Return how a delivery would stand if its release were followed."""
    delivery = standing.delivery
    yes = {HoldKind.APPROVAL, *({delivery.hold} if delivery.hold else ())}
    merged = replace(delivery, values={**delivery.values, **values})
    return replace(standing, delivery=merged, consents=standing.consents | yes)


def replace_refused(journal: Journal, dataset_id: int, to: str | None, now: datetime) -> Spoken:
    """Let what a destination holds of a dataset be deleted there, and the corrected archive be sent in its place.

    The correction is the dataset's current generation, where the files changed since; otherwise its archive is sent
    once more.  Deleting is the daemon's, right before it sends.  Raises NoSuchDelivery.
    """
    followed: list[Delivery] = []
    refused: list[IllegalTransition] = []
    for delivery in _chosen(journal, dataset_id, to):
        journal.surroundings.ask_at_once(delivery.destination, now)
        try:
            with journal.together():
                followed.append(_replace(journal, delivery, now))
        except IllegalTransition as error:
            refused.append(error)
    return Spoken(tuple(followed), tuple(refused))


def _replace(journal: Journal, delivery: Delivery, now: datetime) -> Delivery:
    number, destination = delivery.dataset_id, delivery.destination
    if delivery.state in _NOT_SENT and delivery.remote_id is None:
        refused = journal.deliveries.refused_generation(delivery)
        if refused is not None:
            return _replaced_by(journal, refused, number, now)
    if delivery.state not in _REPLACEABLE or delivery.remote_id is None:
        raise IllegalTransition(
            f"the delivery to {destination} is {delivery.state}"
            + ("" if delivery.remote_id else f", and nothing of it is known to be at {destination}")
            + ": there is nothing to replace",
            hint=f"depositd retry {number}",
        )
    current = journal.datasets.current_of(number)
    if current is None or current.id == number:
        why = f"replaces {delivery.remote_id}"
        return journal.deliveries.word(
            delivery.id, DeliveryEvent.WORD_RETRY, {}, now, why=why, replaces=delivery.remote_id
        )
    return _replaced_by(journal, delivery, current.id, now)


def _replaced_by(journal: Journal, old: Delivery, newer: int, now: datetime) -> Delivery:
    """Send a newer generation in the place of an older one, which is set aside."""
    standings = journal.deliveries.of_dataset(newer)
    new = next((one.delivery for one in standings if one.delivery.destination == old.destination), None)
    if new is None or new.state not in _NOT_SENT or new.remote_id is not None or new.sent_at is not None:
        state = "does not go there" if new is None else f"is {new.state} there already"
        raise IllegalTransition(
            f"dataset {newer}, the newer generation, {state}",
            hint=f"delete {old.remote_id} at {old.destination} by hand, then depositd skip {old.dataset_id}",
        )
    # the metadata that the operator gave for the one hold for its correction, too
    values = {**old.values, **new.values}
    why = f"replaces {old.remote_id} of dataset {old.dataset_id}"
    event = DeliveryEvent.WORD_RELEASE
    sent = journal.deliveries.word(new.id, event, values, now, why=why, replaces=old.remote_id)
    journal.deliveries.word(old.id, DeliveryEvent.WORD_SKIP, {}, now, why=f"replaced by dataset {newer}")
    return sent


def _chosen(journal: Journal, dataset_id: int, to: str | None) -> Sequence[Delivery]:
    standings = journal.deliveries.of_dataset(dataset_id)
    if journal.datasets.get(dataset_id) is None:
        raise NoSuchDelivery(f"there is no dataset {dataset_id}", hint="depositd status lists them with their numbers")
    chosen = [s.delivery for s in standings if to is None or s.delivery.destination == to]
    if not chosen:
        names = ", ".join(s.delivery.destination for s in standings) or "nowhere"
        raise NoSuchDelivery(f"dataset {dataset_id} does not go to {to}", hint=f"it goes to {names}")
    return chosen
