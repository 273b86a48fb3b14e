"""What came of the runs that were delivered: asked for in one go, kept, and flagged or rejected as the rule says.

Nothing of this touches a delivery's state: what was delivered stays delivered, whatever became of it there.

A look is bounded: one question for all runs that are awaited, then one mark for each that needs it.  What a rule
decides is recorded before the server is asked to mark the run, so a mark whose answer was lost is known to be ours
afterwards, and each run is marked once.  What somebody has decided on the server before is not overwritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from depositd.config import QcRules
from depositd.destinations.base import AwaitedRun, Destination, MeasuredRun, Measures, RunAction
from depositd.engine import availability
from depositd.engine.circuit import looks_away
from depositd.engine.delivering import VISIBLE_AFTER
from depositd.engine.planning import Plan
from depositd.engine.results import Decision, judge, look_after_s, rules_of
from depositd.engine.tools import Tools, unforeseen_sentence
from depositd.errors import AuthError, ConfigError, DepositdError, RemoteError, Unavailable, Unconfirmed
from depositd.journal import Journal, ResultRecord
from depositd.retry import wait_s
from depositd.units import printable, show_duration

MOST = 500
"""Runs in one question."""
PATIENCE = timedelta(days=30)
"""How long a server that does not answer is asked at most, whatever the rule's ``wait``."""

MOST_IN_VAIN = 3
"""Marks in a row that fail before the server is taken to be away; one run that it cannot bear must not stop others."""
_AWAY = (Unavailable, Unconfirmed)

DONE: Mapping[RunAction, str] = {RunAction.FLAG: "flagged", RunAction.REJECT: "rejected"}
"""What a run is after an action; also the history's word for it."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Something that became known of a run: the history's word for it and the sentence that is shown everywhere."""

    dataset_id: int
    delivery_id: int
    event: str
    sentence: str
    hint: str = ""


def look(plan: Plan, journal: Journal, destination: Destination, tools: Tools) -> list[Noted]:
    """Take one look at the results that are awaited from a destination, if one is due; return what became known.

    Everything that goes wrong is a fact in the journal; credentials that are refused pause the destination.  Raises
    Interrupted, through ``tools.progress``, between two marks.
    """
    measures = destination.measures
    if measures is None or not journal.results.is_due(destination.name, tools.clock()):
        return []
    # all of them, not the due ones alone: it is one request, and of two runs of a name each is known by the other
    awaited = journal.results.awaited(destination.name, MOST)
    one_look = _Look(plan, journal, destination, tools)
    question = one_look.question(awaited)
    try:
        runs = measures.measured(*question)
    except (AuthError, ConfigError) as error:
        one_look.paused(error)
        return []
    except Exception as error:  # noqa: BLE001 - a bug must cost these runs a wait, not the night
        return one_look.unanswered(awaited, error)
    journal.surroundings.trust(destination.name)
    found = {run.delivery_id: run for run in runs}
    with journal.together():  # one transaction for all: each is made durable, and that takes its time
        for record in awaited:
            one_look.take(record, found.get(record.delivery_id))
    one_look.mark_all(measures)
    return one_look.noted


@dataclass(frozen=True, slots=True)
class _Mark:
    """A run that the server is to mark; ``whole`` says that nothing more is looked for afterwards."""

    record: ResultRecord
    run: MeasuredRun
    decision: Decision
    whole: bool


class _Look:
    """One look at one destination: what it records, and what it has to tell."""

    def __init__(self, plan: Plan, journal: Journal, destination: Destination, tools: Tools) -> None:
        self._plan = plan
        self._journal = journal
        self._results = journal.results
        self._destination = destination
        self._name = destination.name
        self._policy = plan.config.retry_for(destination.name)
        self._tools = tools
        self.noted: list[Noted] = []
        self._to_mark: list[_Mark] = []

    def question(self, records: Sequence[ResultRecord]) -> tuple[list[AwaitedRun], list[str], frozenset[str]]:
        """Return what is asked: the runs, all columns that their rules want, and the keys that are not theirs.

        Others that may have a run which nobody knows are asked for as well, or theirs could be taken for one of these;
        what is answered of them is of no use here.
        """
        columns = dict.fromkeys(name for record in records for name in self._rules(record).wanted_columns)
        ours = [record.delivery_id for record in records]
        names = self._plan.names_of(self._destination)
        since = min(record.wanted_since for record in records) - VISIBLE_AFTER
        sent = [
            (one.at, AwaitedRun(one.delivery_id, one.archive_name, one.baseline))
            for one in self._results.unexplained(names, since, ours)
        ]
        sent += [
            (
                record.wanted_since,
                AwaitedRun(record.delivery_id, self._archive_name(record), record.baseline, record.run_key),
            )
            for record in records
        ]
        sent.sort(key=lambda one: (one[0], one[1].delivery_id))
        return [one for _at, one in sent], list(columns), self._results.run_keys(names, ours)

    def paused(self, error: Exception) -> None:
        """Pause the destination, as a delivery does."""
        availability.refused(self._plan, self._journal, self._name, error, self._tools)

    def unanswered(self, records: Sequence[ResultRecord], error: Exception) -> list[Noted]:
        """Ask again later, and not without end."""
        classified = self._classified(error)
        sentence = f"{self._name} could not be asked for its results: {printable(str(classified), 300)}"
        with self._journal.together():
            for record in records:
                if self._is_out_of_patience(record, classified):
                    self._end_with(record, "not measured", sentence, classified.hint)
                else:
                    self._later(record, classified)
        if looks_away(classified):
            availability.failed(self._plan, self._journal, self._name, classified, self._tools)
        return self.noted

    def take(self, record: ResultRecord, run: MeasuredRun | None) -> None:
        """Record what a look found of one delivery, and what its rule makes of it."""
        now = self._tools.clock()
        rules = self._rules(record)
        waited = self._elapsed(record) >= timedelta(seconds=rules.wait_s)
        if run is None:
            self._not_there(record, rules, waited=waited)
            return
        columns = {name: run.columns.get(name) for name in rules.wanted_columns}
        self._results.found(record.delivery_id, run.raw_file, run.run_key, columns, now)
        judged = judge(rules, columns, waited=waited)
        if judged.decision is not None and record.marked_at is None:
            self._decide(_Mark(record, run, judged.decision, judged.whole))
            return
        if record.action is not None and record.marked_at is None:
            self._results.dropped(record.delivery_id)
            done = DONE[RunAction(record.action)]
            self._note(
                record, "not marked", f"not {done} after all: its figures have changed, and the rule does not ask it"
            )
        elif judged.notice is not None and record.reason is None:
            self._note(record, "noticed", f"noticed by the rule: {judged.notice}")
        elif judged.whole and record.reason is None:
            self._say_what_is_open(record, rules, columns)
        self._go_on(record, whole=judged.whole)

    def mark_all(self, measures: Measures) -> None:
        """Let the server mark the runs; where it is away, or knows us no more, the rest are marked later."""
        in_vain = 0
        for index, mark in enumerate(self._to_mark):
            self._tools.progress(index, len(self._to_mark))
            if in_vain == MOST_IN_VAIN:
                self._results.look_again(mark.record.delivery_id, self._retry_at(1))
                continue
            try:
                measures.mark(mark.run, mark.decision.action)
            except Exception as error:  # noqa: BLE001 - as above
                if isinstance(error, ConfigError) or (isinstance(error, AuthError) and error.status != 403):
                    self.paused(error)
                    return
                classified = self._classified(error)
                if self._is_out_of_patience(mark.record, classified) or not isinstance(classified, _AWAY):
                    # it has just shown us the run: a refusal is about marking it, and must not pause the destination
                    self._refused(mark, classified)
                else:
                    in_vain += 1
                    self._later(mark.record, classified)
            else:
                in_vain = 0
                self._marked(mark)

    # what becomes of one of them

    def _not_there(self, record: ResultRecord, rules: QcRules, *, waited: bool) -> None:
        if not waited:
            self._look_again(record)
            return
        name, wait = printable(self._archive_name(record), 120), show_duration(rules.wait_s)
        sentence = f"{self._name} shows no results of {name} {wait} after it was delivered"
        hint = "look at the pipeline's page: its processing may have failed there"
        self._end_with(record, "not measured", sentence, hint)

    def _decide(self, mark: _Mark) -> None:
        record, decision = mark.record, mark.decision
        there = "rejected" if mark.run.rejected else "flagged" if mark.run.flagged else None
        ours = DONE[RunAction(record.action)] if record.action else None
        if there is not None and there != ours:
            sentence = f"left as it is, for it was {there} at {self._name} before: {decision.why}"
            self._results.marked(record.delivery_id, "left as it is", sentence, self._tools.clock())
            self._go_on(record, whole=mark.whole)
            self._tell(record, "left as it is", sentence)
        elif there == DONE[decision.action]:
            # our own mark, whose answer was lost
            self._marked(mark)
        else:
            sentence = f"to be {DONE[decision.action]} by the rule: {decision.why}"
            self._results.decided(record.delivery_id, decision.action, sentence, self._tools.clock())
            self._to_mark.append(mark)

    def _marked(self, mark: _Mark) -> None:
        event = DONE[mark.decision.action]
        sentence = f"{event} by the rule: {mark.decision.why}"
        with self._journal.together():
            self._results.marked(mark.record.delivery_id, event, sentence, self._tools.clock())
            self._go_on(mark.record, whole=mark.whole)
        self._tell(mark.record, event, sentence)

    def _refused(self, mark: _Mark, error: RemoteError) -> None:
        action, why = mark.decision.action, mark.decision.why
        by_hand = f"do it by hand: depositd pqc {action} {printable(mark.run.run_key or 'RUN_KEY', 60)}"
        sentence = f"could not be {DONE[action]} ({why}): {printable(str(error), 300)}"
        self._end_with(mark.record, "not marked", sentence, error.hint or by_hand)

    def _say_what_is_open(self, record: ResultRecord, rules: QcRules, columns: Mapping[str, Any]) -> None:
        """Say which questions nobody can answer; a column that none of them asks for is missed by nobody."""
        asked = {"reject_if": rules.reject_if, "flag_if": rules.flag_if, "notify_if": rules.notify_if}
        unanswered = [
            f"{key} {one.with_values(columns)}" for key, one in asked.items() if one and one.evaluate(columns) is None
        ]
        if unanswered:
            sentence = f"could not be judged: {'; '.join(unanswered)}"
            self._note(record, "not judged", sentence, "compare with the columns of depositd pqc qc-data")

    def _go_on(self, record: ResultRecord, *, whole: bool) -> None:
        if whole:
            self._results.ended(record.delivery_id, self._tools.clock())
        else:
            self._look_again(record)

    def _end_with(self, record: ResultRecord, event: str, sentence: str, hint: str) -> None:
        with self._journal.together():
            self._note(record, event, sentence, hint)
            self._results.ended(record.delivery_id, self._tools.clock())

    def _note(self, record: ResultRecord, event: str, sentence: str, hint: str = "") -> None:
        self._results.noted(record.delivery_id, event, sentence, hint or None, self._tools.clock())
        self._tell(record, event, sentence, hint)

    def _tell(self, record: ResultRecord, event: str, sentence: str, hint: str = "") -> None:
        self.noted.append(Noted(record.dataset_id, record.delivery_id, event, sentence, hint))

    # when the next look is

    def _look_again(self, record: ResultRecord) -> None:
        wait = look_after_s(self._elapsed(record).total_seconds())
        self._results.look_again(record.delivery_id, self._tools.clock() + timedelta(seconds=wait))

    def _later(self, record: ResultRecord, error: RemoteError) -> None:
        asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
        look_at = self._retry_at(record.failures + 1, asked_s)
        self._results.look_again(record.delivery_id, look_at, failed=printable(str(error), 300))

    def _retry_at(self, failures: int, asked_s: float | None = None) -> datetime:
        wait = wait_s(self._policy, failures, self._tools.chance, asked_s)
        return self._tools.clock() + timedelta(seconds=wait)

    def _elapsed(self, record: ResultRecord) -> timedelta:
        # a clock that was set back makes no time negative
        return max(self._tools.clock() - record.wanted_since, timedelta())

    def _is_out_of_patience(self, record: ResultRecord, error: RemoteError) -> bool:
        wait = timedelta(seconds=self._rules(record).wait_s)
        return self._elapsed(record) >= (max(wait, PATIENCE) if isinstance(error, _AWAY) else wait)

    # what is known

    def _rules(self, record: ResultRecord) -> QcRules:
        # what is looked for already is looked for to its end
        return rules_of(self._plan, record.rule) or QcRules()

    def _archive_name(self, record: ResultRecord) -> str:
        dataset = self._journal.datasets.get(record.dataset_id)
        assert dataset is not None
        archive = self._journal.datasets.archive(dataset.id, self._plan.packing(dataset, self._name))
        return archive.name if archive else dataset.name

    def _classified(self, error: Exception) -> RemoteError:
        if isinstance(error, RemoteError):
            return error
        if not isinstance(error, (OSError, DepositdError)):
            self._tools.unforeseen(error)
            return Unavailable(unforeseen_sentence(error), hint="please report it")
        return Unavailable(str(error))
