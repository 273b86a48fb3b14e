"""What a rule makes of a run, and when it is looked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.config import QcRules
from depositd.destinations.base import RunAction
from depositd.engine.results import FIRST_LOOK_S, LONGEST_LOOK_S, Decision, Judgement, judge, look_after_s

FLAG, REJECT = RunAction.FLAG, RunAction.REJECT
RULES = QcRules(columns="N", flag_if="M < 30", reject_if="N < 500", notify_if="K > 5")


@pytest.mark.parametrize(
    ("columns", "waited", "judgement"),
    [
        ({"N": 900, "M": 40, "K": 1}, False, Judgement(whole=True)),
        ({"N": 412, "M": 40, "K": 1}, False, Judgement(Decision(REJECT, "N < 500 (412)"), whole=True)),
        ({"N": 900, "M": 28.5, "K": 1}, False, Judgement(Decision(FLAG, "M < 30 (28.5)"), whole=True)),
        # a rejection comes before a flag, and a message beside either
        ({"N": 412, "M": 28.5, "K": 6}, False, Judgement(Decision(REJECT, "N < 500 (412)"), "K > 5 (6)", whole=True)),
        # what is known is acted on at once …
        ({"N": 412}, False, Judgement(Decision(REJECT, "N < 500 (412)"))),
        ({"N": 900, "M": 28.5}, False, Judgement(Decision(FLAG, "M < 30 (28.5)"))),
        ({"K": 6}, False, Judgement(notice="K > 5 (6)")),
        # … save a flag, while it may become a rejection
        ({"M": 28.5, "K": 1}, False, Judgement()),
        ({"M": 28.5, "K": 1}, True, Judgement(Decision(FLAG, "M < 30 (28.5)"), whole=True)),
        ({}, False, Judgement()),
        ({}, True, Judgement(whole=True)),
        # all is there, and one of it can be compared with nothing
        ({"N": "many", "M": 28.5, "K": 1}, False, Judgement(Decision(FLAG, "M < 30 (28.5)"), whole=True)),
    ],
)
def test_what_a_rule_makes_of_a_run(columns, waited, judgement):
    assert judge(RULES, columns, waited=waited) == judgement


def test_a_rule_without_questions_waits_for_its_columns_alone():
    assert judge(QcRules(columns=["a", "b"]), {"a": 1, "b": None}, waited=False) == Judgement()
    assert judge(QcRules(columns=["a", "b"]), {"a": 1, "b": 0}, waited=False) == Judgement(whole=True)


@given(st.floats(0, 1e9))
def test_looks_become_rarer_and_never_rare(elapsed_s):
    wait_s = look_after_s(elapsed_s)
    assert FIRST_LOOK_S <= wait_s <= LONGEST_LOOK_S
    assert wait_s <= look_after_s(elapsed_s + 1)


def test_the_first_looks():
    looks, elapsed_s = [], FIRST_LOOK_S
    while elapsed_s < 3600:
        looks.append(elapsed_s)
        elapsed_s += look_after_s(elapsed_s)
    assert looks[:3] == [60, 120, 180]
    assert 8 <= len(looks) <= 12
