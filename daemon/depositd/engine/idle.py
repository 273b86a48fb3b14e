"""Whether anything can still happen by itself: the end of ``run --until-idle``."""

from __future__ import annotations

from dataclasses import dataclass

from depositd.journal import Journal
from depositd.states import NEEDS_OPERATOR


@dataclass(frozen=True, slots=True)
class Rest:
    """What a journal still has to do, ``only`` for some deliveries; each question is asked when it is put.

    Deliveries to a paused destination (credentials refused) cannot make progress and need the operator.
    """

    _journal: Journal
    _only: frozenset[int] | None = None

    @property
    def idle(self) -> bool:
        """True when nothing more happens without a new file or an operator's word.

        Asked at every tick: it costs nothing for what is held or has ended.
        """
        if self._only is None and self._journal.datasets.growing():
            return False
        return not self._journal.deliveries.can_progress(self._journal.surroundings.pauses(), self._only)

    @property
    def needs_operator(self) -> int:
        """How many deliveries go on with an operator's help alone."""
        journal, only = self._journal, self._only
        paused = journal.surroundings.pauses()
        unfinished = [one.delivery for one in journal.deliveries.unfinished() if one.delivery.destination in paused]
        if only is None:
            counts = journal.deliveries.counts()
            return len(unfinished) + sum(counts.get(state, 0) for state in NEEDS_OPERATOR)
        chosen = [journal.deliveries.get(delivery_id) for delivery_id in only]
        ended_badly = sum(1 for one in chosen if one is not None and one.delivery.state in NEEDS_OPERATOR)
        return sum(1 for one in unfinished if one.id in only) + ended_badly
