"""Small parts that keep a night of trouble bounded: complaints, the steady clock, and the guard of the journal."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from depositd.errors import JournalError
from depositd.model import Problem
from depositd.service.complaints import MOST, Complaints
from depositd.service.journal_guard import AGAIN_AFTER_S, LOOK_EVERY_S, JournalGuard
from depositd.service.steady_clock import SteadyClock

NOW = datetime(2026, 11, 21, 2, 0, tzinfo=UTC)


class Hand:
    """Clocks that are set by hand."""

    def __init__(self) -> None:
        self.monotonic_s = 1000.0
        self.ahead = timedelta()

    def monotonic(self) -> float:
        return self.monotonic_s

    def wall(self) -> datetime:
        return NOW + timedelta(seconds=self.monotonic_s) + self.ahead


def test_the_same_complaint_is_made_once_in_a_while_and_another_one_at_once():
    hand, said = Hand(), []
    complaints = Complaints(lambda event, **facts: said.append(facts["reason"]), every_s=600, monotonic=hand.monotonic)
    for _ in range(100):
        complaints.make("it cannot be", reason="full", hint="make space")
        complaints.make("it cannot be", reason="read-only")
        hand.monotonic_s += 1
    assert said == ["full", "read-only"]
    hand.monotonic_s += 600
    complaints.make("it cannot be", reason="full")
    assert said == ["full", "read-only", "full"]


def test_complaints_that_always_differ_are_not_remembered_without_end():
    complaints = Complaints(lambda *_args, **_facts: None)
    for number in range(10 * MOST):
        complaints.make("it cannot be", reason=str(number))
    assert len(complaints._made_s) <= MOST


@pytest.fixture
def hand():
    return Hand()


@pytest.fixture
def clock(hand):
    return SteadyClock(hand.wall, hand.monotonic, believed_after_s=3600)


def test_drift_is_followed(hand, clock):
    for _ in range(100):
        hand.ahead += timedelta(minutes=1)
        hand.monotonic_s += 60
        assert clock.now() == hand.wall()


def test_a_clock_that_is_set_ahead_and_back_was_never_believed(hand, clock):
    right = hand.wall()
    hand.ahead = timedelta(days=365)
    hand.monotonic_s += 60
    assert clock.now() == right + timedelta(seconds=60)
    hand.ahead = timedelta()
    assert clock.now() == hand.wall()


def test_a_clock_that_stays_ahead_is_believed_in_the_end(hand, clock):
    hand.ahead = timedelta(days=365)
    assert clock.now() < hand.wall()
    hand.monotonic_s += 3600
    assert clock.now() == hand.wall()


def test_a_clock_that_is_set_back_is_believed_at_once(hand, clock):
    hand.ahead = -timedelta(days=365)
    assert clock.now() == hand.wall()


class FakeJournal:
    """A journal whose disk does what the test says."""

    def __init__(self) -> None:
        self.database = self
        self.found: Problem | None = None
        self.asked = 0

    def recover(self) -> None:
        self.asked += 1
        if self.found is not None:
            raise JournalError(self.found.what)

    def problem(self) -> Problem | None:
        return self.found


def test_the_guard_says_what_is_new_and_looks_only_every_few_seconds(hand):
    journal = FakeJournal()
    guard = JournalGuard(journal, monotonic=hand.monotonic)
    assert (guard.look(), guard.problem, journal.asked) == (False, None, 1)
    journal.found = Problem("no room", "1 MB is free", "make space")
    assert (guard.look(), guard.problem, journal.asked) == (False, None, 1)
    hand.monotonic_s += LOOK_EVERY_S
    assert guard.look()
    assert guard.problem == journal.found
    journal.found = Problem("no room", "0.9 MB is free", "make space")
    hand.monotonic_s += LOOK_EVERY_S
    assert not guard.look()
    assert guard.problem == journal.found
    hand.monotonic_s += AGAIN_AFTER_S
    assert not guard.look()
    journal.found = None
    hand.monotonic_s += LOOK_EVERY_S
    assert guard.look()
    assert guard.problem is None
