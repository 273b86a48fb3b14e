"""The tables of transitions."""

import itertools
from pathlib import Path

import pytest

from depositd.errors import IllegalTransition
from depositd.model import DatasetState, DeliveryState
from depositd.states import (
    DATASET_TRANSITIONS,
    DELIVERY_TRANSITIONS,
    ENDED,
    NEEDS_OPERATOR,
    DatasetEvent,
    DeliveryEvent,
    diagram,
    next_dataset_state,
    next_delivery_state,
)

WORDS = (DeliveryEvent.WORD_HOLD, DeliveryEvent.WORD_RELEASE, DeliveryEvent.WORD_RETRY, DeliveryEvent.WORD_SKIP)
STEPS = (DeliveryState.WAITING, DeliveryState.UNCONFIRMED, DeliveryState.UPLOADED, DeliveryState.SUBMITTED)
OF_THE_ENGINE = (*WORDS, DeliveryEvent.SENDING, DeliveryEvent.CLEAR, DeliveryEvent.SET_ASIDE)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DatasetState, DatasetEvent)))
def test_every_pair_of_a_dataset_is_in_the_table_or_refused(state: DatasetState, event: DatasetEvent):
    if (state, event) in DATASET_TRANSITIONS:
        assert next_dataset_state(state, event) is DATASET_TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"a dataset that is {state} cannot be {event}"):
            next_dataset_state(state, event)


@pytest.mark.parametrize(("state", "event"), list(itertools.product(DeliveryState, DeliveryEvent)))
def test_every_pair_of_a_delivery_is_in_the_table_or_refused(state: DeliveryState, event: DeliveryEvent):
    if (state, event) in DELIVERY_TRANSITIONS:
        assert next_delivery_state(state, event) is DELIVERY_TRANSITIONS[state, event]
    else:
        with pytest.raises(IllegalTransition, match=f"a delivery that is {state} does not know"):
            next_delivery_state(state, event)


def test_every_state_is_used_and_can_be_reached():
    for table, states, first in (
        (DATASET_TRANSITIONS, DatasetState, DatasetState.GROWING),
        (DELIVERY_TRANSITIONS, DeliveryState, DeliveryState.WAITING),
    ):
        assert set(table.values()) | {first} == set(states)


def test_nothing_but_a_word_or_a_returning_dataset_leaves_an_end():
    leaving = {
        (state, event)
        for (state, event), target in DELIVERY_TRANSITIONS.items()
        if state in ENDED and target is not state and event not in WORDS
    }
    late_answers = {DeliveryEvent.SUBMITTED, DeliveryEvent.DELIVERED}
    assert {event for _state, event in leaving} <= {DeliveryEvent.CLEAR, DeliveryEvent.SET_ASIDE} | late_answers
    assert not [state for state, _event in leaving if state is DeliveryState.DELIVERED]


def test_delivered_is_for_good():
    assert not [event for state, event in DELIVERY_TRANSITIONS if state is DeliveryState.DELIVERED]


def test_what_needs_an_operator_is_what_does_not_go_on_by_itself_and_what_is_in_doubt():
    assert {DeliveryState.HELD, DeliveryState.FAILED, DeliveryState.UNCONFIRMED} == NEEDS_OPERATOR
    assert not NEEDS_OPERATOR & {DeliveryState.DELIVERED, DeliveryState.SKIPPED, DeliveryState.WAITING}


@pytest.mark.parametrize("before", STEPS)
def test_whatever_a_step_makes_true_can_be_recorded_after_any_words_that_came_meanwhile(before: DeliveryState):
    reached = {before}
    for _ in DeliveryState:
        reached |= {DELIVERY_TRANSITIONS[s, w] for s in reached for w in WORDS if (s, w) in DELIVERY_TRANSITIONS}
    outcomes = [
        event for event in DeliveryEvent if event not in OF_THE_ENGINE and (before, event) in DELIVERY_TRANSITIONS
    ]
    lost = [(state, event) for state in reached for event in outcomes if (state, event) not in DELIVERY_TRANSITIONS]
    assert lost == []


def test_a_delivery_in_doubt_is_sent_again_by_no_word():
    targets = {
        word: DELIVERY_TRANSITIONS[DeliveryState.UNCONFIRMED, word]
        for word in WORDS
        if (DeliveryState.UNCONFIRMED, word) in DELIVERY_TRANSITIONS
    }
    assert DeliveryState.WAITING not in targets.values()


def test_the_diagram_has_each_arrow_once_with_all_its_events():
    lines = diagram(DELIVERY_TRANSITIONS).splitlines()
    assert lines[0] == "stateDiagram-v2"
    arrows = [line.partition(":")[0] for line in lines[1:]]
    assert len(arrows) == len(set(arrows))
    shown = {
        (arrow.split("-->")[0].strip(), event, arrow.split("-->")[1].strip())
        for arrow, _, events in (line.partition(": ") for line in lines[1:])
        for event in events.split(", ")
    }
    assert shown == {
        (state.value, event.value, target.value) for (state, event), target in DELIVERY_TRANSITIONS.items()
    }


def test_the_developers_guide_shows_the_tables_as_they_are():
    guide = (Path(__file__).parents[2] / "daemon" / "README.md").read_text(encoding="utf-8")
    assert diagram(DATASET_TRANSITIONS) in guide
    assert diagram(DELIVERY_TRANSITIONS) in guide
