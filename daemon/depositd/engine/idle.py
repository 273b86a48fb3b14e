"""Whether anything can still happen by itself: the end of ``run --until-idle``."""

from __future__ import annotations

from dataclasses import dataclass

from depositd.journal import Journal
from depositd.model import Delivery, DeliveryState
from depositd.states import NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Rest:
    """What a journal still has to do, ``only`` for some deliveries; each question is asked when it is put.

    Deliveries to a paused destination (credentials refused), and those of ``stuck`` datasets (too large for the spool),
    cannot make progress and need the operator.  Those to one that is away are waited for, as any retry is.
    """

    _journal: Journal
    _only: frozenset[int] | None = None
    _stuck: frozenset[int] = frozenset()

    @property
    def idle(self) -> bool:
        """True when nothing more happens without a new file or an operator's word.

        Asked at every tick: it costs nothing for what is held or has ended.
        """
        if self._only is None and self._journal.datasets.growing():
            return False
        return not self._journal.deliveries.can_progress(self._journal.surroundings.refusing(), self._only, self._stuck)

    @property
    def needs_operator(self) -> int:
        """How many deliveries go on with an operator's help alone."""
        journal, only = self._journal, self._only
        paused = journal.surroundings.refusing()
        unfinished = [
            one.delivery
            for one in journal.deliveries.unfinished()
            if one.delivery.destination in paused or self._is_stuck(one.delivery)
        ]
        if only is None:
            counts = journal.deliveries.counts()
            return len(unfinished) + sum(counts.get(state, 0) for state in NEEDS_OPERATOR)
        chosen = [journal.deliveries.get(delivery_id) for delivery_id in only]
        ended_badly = sum(1 for one in chosen if one is not None and one.delivery.state in NEEDS_OPERATOR)
        return sum(1 for one in unfinished if one.id in only) + ended_badly

    def _is_stuck(self, delivery: Delivery) -> bool:
        return delivery.state is DeliveryState.WAITING and delivery.dataset_id in self._stuck
