"""The operator's word on datasets by their numbers."""

from datetime import timedelta

import pytest
from engine_support import NOW, archived, frames, record

from depositd.engine.planning import after_vanishing
from depositd.engine.words import NoSuchDelivery, speak
from depositd.journal import Fact, Journal, Pause, PauseKind
from depositd.model import DeliveryState, HoldKind, VerdictKind
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


def test_retry_lets_a_destination_that_is_away_be_asked_at_once(journal):
    later = NOW + timedelta(hours=1)
    journal.surroundings.pause(Pause("one", "503", "wait", NOW, 7, later, PauseKind.AWAY))
    speak(journal, "hold", 1, None, {}, NOW)
    assert journal.surroundings.pauses()["one"].next_probe_at == later
    speak(journal, "release", 1, None, {}, NOW)
    speak(journal, "retry", 1, None, {}, NOW)
    pause = journal.surroundings.pauses()["one"]
    assert (pause.next_probe_at, pause.failures) == (NOW, 7)


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


@pytest.mark.parametrize("kind", [VerdictKind.COMPLETE, VerdictKind.GROWING])
def test_of_files_that_vanished_nothing_is_sent_whatever_the_word(journal, kind):
    lost = record(journal, frames(name="gone_1"), kind, "one", "two")
    (vanished,) = journal.datasets.vanish([lost.id], NOW)
    after_vanishing(journal, vanished, NOW)
    words = ("release",) if kind is VerdictKind.GROWING else ("retry", "release")  # skipped is not retried
    for word in words:
        spoken = speak(journal, word, lost.id, None, {}, NOW)
        assert not spoken.followed
        assert "vanished before they were archived" in str(spoken.refused[0])
        assert "bring them back" in spoken.refused[0].hint
    assert all(one.delivery.hold is HoldKind.GONE for one in journal.deliveries.of_dataset(lost.id))
