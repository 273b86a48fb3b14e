"""Somebody who answers what needs somebody: decided here, said by the command line."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from soak.records import DatasetRow, DeliveryRow

PATIENCE = 3
"""How often the same delivery is retried or released before it is left alone."""
_SKIPS = 0.5
"""The share of what is incomplete that is not wanted."""

_VERBS = {"operator": "release", "approval": "release", "changed": "release", "server": "retry", "gone": "skip"}
"""What is said to a delivery that is held; of anything else, whether it is wanted is a matter of chance."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word on one delivery."""

    verb: str
    dataset_id: int
    destination: str


def answers(
    datasets: Iterable[DatasetRow],
    said: Mapping[int, int],
    chance: Callable[[], float],
    is_there: Callable[[DatasetRow, DeliveryRow], bool],
) -> list[tuple[DeliveryRow, Word]]:
    """Return a word for each delivery that needs one; ``said`` counts those on each before.

    ``is_there`` looks at the server's own page, as somebody does before a dataset is sent again.
    """
    found = []
    for dataset in datasets:
        for delivery in dataset.deliveries:
            verb = _verb(delivery, said.get(delivery.id, 0), chance, partial(is_there, dataset, delivery))
            if verb is not None:
                found.append((delivery, Word(verb, dataset.id, delivery.destination)))
    return found


def _verb(
    delivery: DeliveryRow, times_said: int, chance: Callable[[], float], is_there: Callable[[], bool]
) -> str | None:
    if delivery.state == "failed":
        return "retry" if times_said < PATIENCE and delivery.hold != "gone" else "skip"
    if delivery.state != "held" or delivery.hold == "namesake":
        return None
    if times_said >= PATIENCE:
        return "skip"
    if delivery.hold == "unconfirmed":
        return "skip" if is_there() else "retry"
    return _VERBS.get(delivery.hold or "") or ("skip" if chance() < _SKIPS else "release")


def grouped(words: Iterable[Word]) -> dict[tuple[str, str], list[int]]:
    """Return the numbers of datasets by verb and destination, for one command each."""
    groups: dict[tuple[str, str], list[int]] = {}
    for word in words:
        groups.setdefault((word.verb, word.destination), []).append(word.dataset_id)
    return groups
