"""The operator's word on datasets by their numbers."""

import pytest
from engine_support import NOW, archived, frames

from depositd.engine.words import NoSuchDelivery, speak
from depositd.journal import Fact, Journal, Pause
from depositd.model import DeliveryState, HoldKind
from depositd.states import DeliveryEvent


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.db")
    archived(opened, frames(), "one", "two")
    yield opened
    opened.close()


def test_a_word_goes_to_all_deliveries_or_to_the_one_that_is_named(journal):
    assert [one.destination for one in speak(journal, "hold", 1, None, {}, NOW).followed] == ["one", "two"]
    spoken = speak(journal, "release", 1, "two", {"title": "x"}, NOW)
    assert [(one.destination, one.state, one.values) for one in spoken.followed] == [
        ("two", DeliveryState.WAITING, {"title": "x"})
    ]


def test_what_cannot_follow_is_refused_by_itself(journal):
    journal.deliveries.apply(1, Fact(DeliveryEvent.DELIVERED), NOW)
    spoken = speak(journal, "skip", 1, None, {}, NOW)
    assert [one.destination for one in spoken.followed] == ["two"]
    assert [str(one) for one in spoken.refused] == ["the delivery to one is delivered: skip changes nothing"]


def test_what_does_not_exist_is_said_with_what_does(journal):
    with pytest.raises(NoSuchDelivery, match="there is no dataset 9"):
        speak(journal, "hold", 9, None, {}, NOW)
    with pytest.raises(NoSuchDelivery, match="dataset 1 does not go to three") as refused:
        speak(journal, "hold", 1, "three", {}, NOW)
    assert refused.value.hint == "it goes to one, two"


def test_retry_wakes_a_paused_destination_and_hold_does_not(journal):
    journal.surroundings.pause(Pause("one", "401", "mend it", NOW, 1, NOW))
    speak(journal, "hold", 1, "two", {}, NOW)
    assert "one" in journal.surroundings.pauses()
    speak(journal, "retry", 1, "one", {}, NOW)
    assert journal.surroundings.pauses() == {}


def test_retry_of_what_waits_for_approval_says_that_it_needs_a_release(journal):
    journal.deliveries.apply(1, Fact(DeliveryEvent.HOLD, "waits for your approval", hold=HoldKind.APPROVAL), NOW)
    (refused,) = speak(journal, "retry", 1, "one", {}, NOW).refused
    assert refused.hint == "depositd release 1"
