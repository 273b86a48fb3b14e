"""Which results are wanted of what was delivered, when they are looked for, and what a rule makes of them.

The look itself is in :mod:`depositd.engine.measuring`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from depositd.config import QcRules
from depositd.destinations.base import RunAction
from depositd.engine.planning import Plan
from depositd.journal import Journal

FIRST_LOOK_S = 60.0
LONGEST_LOOK_S = 900.0
"""The waits between looks: a run is processed within minutes to hours."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done with a run, and the question that says so, with the values that it was asked of."""

    action: RunAction
    why: str


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a rule makes of a run at one look.

    ``notice`` is the question that asks for a message, with its values.  ``whole`` is true where nothing more will be
    measured, or waited for.
    """

    decision: Decision | None = None
    notice: str | None = None
    whole: bool = False


def rules_of(plan: Plan, rule_name: str) -> QcRules | None:
    """Return what a rule says of results, None where it wants none; the defaults for what was submitted by hand."""
    rule = plan.rule(rule_name)
    return rule.qc if rule else QcRules()


def want(plan: Plan, journal: Journal, delivery_id: int, destination: str, rule_name: str, now: datetime) -> None:
    """Look for the results of what was just delivered, where its destination measures and its rule wants them."""
    known = plan.destinations.get(destination)
    if known is not None and known.measures is not None and rules_of(plan, rule_name) is not None:
        journal.results.want(delivery_id, now, now + timedelta(seconds=FIRST_LOOK_S))


def want_delivered(plan: Plan, journal: Journal, now: datetime) -> int:
    """Look for the results of what was delivered before the config asked for them, as far back as each rule waits."""
    wanted = 0
    names = [name for name, destination in plan.destinations.items() if destination.measures is not None]
    for rule_name in ("", *(rule.name for rule in plan.config.rules)):
        rules = rules_of(plan, rule_name)
        for name in names if rules else ():
            assert rules is not None
            since = now - timedelta(seconds=rules.wait_s)
            wanted += journal.results.want_delivered(name, rule_name, since, now)
    return wanted


def judge(rules: QcRules, columns: Mapping[str, Any], *, waited: bool) -> Judgement:
    """Return what a rule makes of the columns measured so far; a rejection comes before a flag.

    Where it cannot be told yet whether a run is rejected, it is not flagged either, until the rule has ``waited``.
    """
    rejected = rules.reject_if.evaluate(columns) if rules.reject_if else False
    flagged = rules.flag_if.evaluate(columns) if rules.flag_if else False
    noticed = rules.notify_if.evaluate(columns) if rules.notify_if else False
    whole = waited or all(columns.get(name) is not None for name in rules.wanted_columns)
    notice = rules.notify_if.with_values(columns) if rules.notify_if and noticed else None
    decision = None
    if rules.reject_if and rejected:
        decision = Decision(RunAction.REJECT, rules.reject_if.with_values(columns))
    elif rules.flag_if and flagged and (rejected is False or whole):
        decision = Decision(RunAction.FLAG, rules.flag_if.with_values(columns))
    return Judgement(decision, notice, whole)


def look_after_s(elapsed_s: float) -> float:
    """Return the seconds until the next look at a run that was delivered so long ago: a minute at first, then 15."""
    return min(max(elapsed_s / 2, FIRST_LOOK_S), LONGEST_LOOK_S)
