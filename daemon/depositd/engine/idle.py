"""Whether anything can still happen by itself: the end of ``run --until-idle``."""

from __future__ import annotations

from dataclasses import dataclass

from depositd.journal import Journal
from depositd.model import DatasetState, DeliveryState
from depositd.states import NEEDS_OPERATOR

_CANNOT_GO_ON = (DatasetState.GROWING, DatasetState.GONE)
"""A waiting delivery follows its dataset: one that grows is counted itself, one that is gone is nothing to wait for."""


@dataclass(frozen=True, slots=True)
class Rest:
    """What is left: ``moving`` names what can still make progress, ``needs_operator`` counts what cannot."""

    moving: tuple[str, ...]
    needs_operator: int

    @property
    def idle(self) -> bool:
        """True when nothing more happens without a new file or an operator's word."""
        return not self.moving


def rest(journal: Journal, only: frozenset[int] | None = None) -> Rest:
    """Return what a journal still has to do; ``only`` restricts it to some deliveries.

    Deliveries to a paused destination (credentials refused) cannot make progress and need the operator.
    """
    moving: list[str] = []
    stuck = 0
    growing = journal.datasets.growing() if only is None else 0
    if growing:
        moving.append(f"{growing} growing")
    paused = journal.surroundings.pauses()
    for standing in journal.deliveries.unfinished():
        delivery = standing.delivery
        if only is not None and delivery.id not in only:
            continue
        if delivery.destination in paused:
            stuck += 1
        elif delivery.state is not DeliveryState.WAITING or standing.dataset_state not in _CANNOT_GO_ON:
            moving.append(f"{delivery.state} for {delivery.destination}")
    if only is None:
        counts = journal.deliveries.counts()
        return Rest(tuple(moving), stuck + sum(counts.get(state, 0) for state in NEEDS_OPERATOR))
    chosen = [journal.deliveries.get(delivery_id) for delivery_id in only]
    ended_badly = sum(1 for one in chosen if one is not None and one.delivery.state in NEEDS_OPERATOR)
    return Rest(tuple(moving), stuck + ended_badly)
