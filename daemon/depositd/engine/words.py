"""The operator's word: hold, release, retry and skip, on datasets by their numbers; it works on the journal alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.errors import DepositdError, IllegalTransition
from depositd.journal import Journal
from depositd.model import Delivery, Metadata
from depositd.states import DeliveryEvent

WORDS = {
    "hold": DeliveryEvent.WORD_HOLD,
    "release": DeliveryEvent.WORD_RELEASE,
    "retry": DeliveryEvent.WORD_RETRY,
    "skip": DeliveryEvent.WORD_SKIP,
}


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
    standings = journal.deliveries.of_dataset(dataset_id)
    if journal.datasets.get(dataset_id) is None:
        raise NoSuchDelivery(f"there is no dataset {dataset_id}", hint="depositd status lists them with their numbers")
    chosen: Sequence[Delivery] = [s.delivery for s in standings if to is None or s.delivery.destination == to]
    if not chosen:
        names = ", ".join(s.delivery.destination for s in standings) or "nowhere"
        raise NoSuchDelivery(f"dataset {dataset_id} does not go to {to}", hint=f"it goes to {names}")
    followed: list[Delivery] = []
    refused: list[IllegalTransition] = []
    for delivery in chosen:
        if word == "retry":
            # whoever says retry has mended what was wrong; a paused destination is asked at once
            journal.surroundings.resume(delivery.destination)
        try:
            followed.append(journal.deliveries.word(delivery.id, WORDS[word], values, now))
        except IllegalTransition as error:
            refused.append(error)
    return Spoken(tuple(followed), tuple(refused))
