"""When a destination is away, and when it is asked again."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest
from engine_support import NOW

from depositd.engine.circuit import (
    LONGEST_PAUSE_S,
    RELAPSE_S,
    asks_for_time,
    is_answer,
    is_doubtful,
    is_due,
    is_long,
    looks_away,
    pause_for,
    still,
    with_failure,
)
from depositd.errors import AuthError, ConfigError, Conflict, NotFound, Rejected, Unavailable, Unconfirmed
from depositd.journal import Doubts, Pause, PauseKind
from depositd.model import Delivery, DeliveryState
from depositd.retry import RetryPolicy

POLICY = RetryPolicy(15.0, 3600.0)


def after(seconds):
    return NOW + timedelta(seconds=seconds)


def wait_of(pause, now=NOW):
    return (pause.next_probe_at - now).total_seconds()


@pytest.mark.parametrize(
    ("error", "away", "answers"),
    [
        (Unavailable("503"), True, False),
        (Unconfirmed("the answer was lost"), True, False),
        (Rejected("422"), False, True),
        (Conflict("409"), False, True),
        (NotFound("404"), False, True),
        (AuthError("401"), False, False),
        (ConfigError(["no token file"]), False, False),
    ],
)
def test_what_an_error_says_of_a_destination(error, away, answers):
    assert (looks_away(error), is_answer(error)) == (away, answers)


def test_three_failures_in_a_row_are_a_reason_to_ask_and_begin_when_the_first_did():
    doubts, asked = None, []
    for number in range(1, 7):
        doubts = with_failure(doubts, after(number), POLICY)
        if is_doubtful(doubts):
            asked.append(number)
    assert asked == [3, 6]
    assert (doubts.since, doubts.steps) == (after(1), 6)


@pytest.mark.parametrize("later_s", [2 * 3600.0 + 2, -60.0], ids=["long ago", "the clock was set back"])
def test_failures_that_lie_far_apart_do_not_add_up(later_s):
    doubts = with_failure(with_failure(None, NOW, POLICY), after(1), POLICY)
    assert with_failure(doubts, after(later_s), POLICY) == Doubts(1, after(later_s), after(later_s))


def test_a_relapse_is_asked_at_its_first_failure_and_goes_on_with_the_backoff_where_it_was():
    back = Doubts(0, since=NOW, noted_at=after(1000), asked_in_vain=7)
    relapse = with_failure(back, after(1000 + RELAPSE_S), POLICY)
    assert is_doubtful(relapse)
    pause = pause_for("irrmc", Unavailable("503"), POLICY, after(1600), 0.5, relapse)
    assert (pause.failures, pause.since, wait_of(pause, after(1600))) == (8, NOW, LONGEST_PAUSE_S)
    anew = with_failure(back, after(1001 + RELAPSE_S), POLICY)
    assert not is_doubtful(anew)
    assert (anew.since, anew.asked_in_vain) == (after(1001 + RELAPSE_S), 0)


def test_the_wait_doubles_up_to_five_minutes_whatever_the_policy_lets_a_delivery_wait():
    pause = pause_for("irrmc", Unavailable("503"), POLICY, NOW, 0.5)
    waits = []
    for _ in range(8):
        waits.append(wait_of(pause))
        pause = pause_for("irrmc", Unavailable("503"), POLICY, NOW, 0.5, still(pause))
    assert waits == [15, 30, 60, 120, 240, 300, 300, 300]
    short = RetryPolicy(1.0, 10.0)
    assert wait_of(pause_for("irrmc", Unavailable("503"), short, NOW, 0.5, Doubts(3, NOW, NOW, 20))) == 10.0


@pytest.mark.parametrize(("asked_s", "waits_s"), [(600.0, 600.0), (30.0, 30.0), (5.0, 15.0), (1e9, 3600.0)])
def test_the_time_that_a_server_asks_for_is_kept_to_the_second_within_bounds(asked_s, waits_s):
    for chance in (0.5, 0.99) if asked_s >= 30 else (0.5,):
        pause = pause_for("irrmc", Unavailable("429", retry_after_s=asked_s), POLICY, NOW, chance)
        assert wait_of(pause) == waits_s


def _delivery(failures):
    return Delivery(1, 1, "irrmc", DeliveryState.WAITING, failures=failures)


@pytest.mark.parametrize(
    ("error", "delivery", "asks"),
    [
        (Unavailable("429", retry_after_s=600.0), _delivery(0), True),
        (Unavailable("429", retry_after_s=600.0), None, True),
        (Unavailable("503", retry_after_s=600.0), _delivery(2), False),
        (Unavailable("503", retry_after_s=1.0), _delivery(0), False),
        (Unavailable("503"), _delivery(0), False),
        (Unconfirmed("500"), _delivery(0), False),
    ],
)
def test_who_is_asked_for_time_waits_unless_it_is_one_delivery_that_is_refused_each_time(error, delivery, asks):
    assert asks_for_time(error, delivery, POLICY) == asks


def test_refused_credentials_pause_and_all_else_is_away_each_in_one_sentence():
    paused = pause_for("irrmc", AuthError("401", hint="give a new token"), POLICY, NOW, 0.5)
    assert (paused.kind, paused.reason) == (PauseKind.PAUSED, "irrmc is paused: 401")
    assert paused.hint.startswith("give a new token; it is asked again by itself")
    plain = Unavailable("example.org refused the connection", hint="it is tried again by itself")
    away = pause_for("irrmc", plain, POLICY, NOW, 0.5)
    assert (away.kind, away.reason) == (PauseKind.AWAY, "irrmc is away: example.org refused the connection")
    told = "nothing is sent there until it answers: it is asked again by itself, and at once by depositd retry"
    assert away.hint == told
    dns = Unavailable("no name", hint="check the url and DNS; it is tried again by itself")
    assert pause_for("irrmc", dns, POLICY, NOW, 0.5).hint == f"check the url and DNS; {told}"
    hostile = pause_for("irrmc", Unavailable("\x1b[2J" + "x" * 1000), POLICY, NOW, 0.5)
    assert "\x1b" not in hostile.reason
    assert len(hostile.reason) < 400


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("kind", "next_s", "due"),
    [
        (PauseKind.AWAY, 0, True),
        (PauseKind.AWAY, 1, False),
        (PauseKind.AWAY, 3600, False),
        (PauseKind.AWAY, 365 * 86_400, True),
        (PauseKind.PAUSED, 300, False),
        (PauseKind.PAUSED, 3600, True),
    ],
)
def test_a_clock_that_jumps_does_not_make_a_pause_last(kind, next_s, due):
    assert is_due(Pause("irrmc", "", "", NOW, 1, after(next_s), kind), NOW, POLICY) == due


def test_that_it_lasts_is_said_once_an_hour_of_what_is_away():
    away = Pause("irrmc", "", "", NOW, 1, NOW, PauseKind.AWAY)
    assert not is_long(away, NOW, after(3599))
    assert is_long(away, NOW, after(3600))
    assert is_long(away, after(10), NOW), "the clock was set back"
    assert not is_long(Pause("irrmc", "", "", NOW, 1, NOW), NOW, after(7200))


@pytest.mark.parametrize(("later_s", "steps"), [(0, 3), (7200, 3), (7201, 1)])
def test_failures_add_up_for_as_long_as_a_lone_delivery_may_wait_twice(later_s, steps):
    assert with_failure(Doubts(2, NOW, NOW), after(later_s), POLICY).steps == steps


@pytest.mark.parametrize(("asked_s", "asks"), [(0.0, False), (15.0, False), (15.5, True)])
def test_a_wish_no_longer_than_the_first_wait_asks_for_nothing(asked_s, asks):
    assert asks_for_time(Unavailable("429", retry_after_s=asked_s), None, POLICY) is asks


def test_an_error_that_knows_no_hint_is_given_one():
    again = "it is asked again by itself, and at once by depositd retry"
    for error in (AuthError("401"), ConfigError(["no token file"])):
        pause = pause_for("irrmc", error, POLICY, NOW, 0.5)
        assert pause.kind is PauseKind.PAUSED
    assert pause_for("irrmc", AuthError("401"), POLICY, NOW, 0.5).hint == f"mend the credentials; {again}"
    told = f"nothing is sent there until it answers: {again}"
    assert pause_for("irrmc", Unavailable("503"), POLICY, NOW, 0.5).hint == told
    assert pause_for("irrmc", OSError("no more descriptors"), POLICY, NOW, 0.5).hint == told


def test_a_long_error_is_cut_to_one_line():
    pause = pause_for("irrmc", Unavailable("x" * 1000), POLICY, NOW, 0.5)
    assert len(pause.reason) == len("irrmc is away: ") + 300


def test_a_pause_is_of_its_destination_and_what_is_asked_once_more_knows_since_when():
    pause = pause_for("irrmc", Unavailable("503"), POLICY, NOW, 0.5, Doubts(4, after(-50), after(-20), 2))
    assert pause == replace(pause, destination="irrmc", since=after(-50), failures=3, next_probe_at=after(60))
    assert still(pause) == Doubts(0, since=after(-50), noted_at=after(-50), asked_in_vain=3)


@pytest.mark.fault(30)
@pytest.mark.parametrize(
    ("kind", "longest_s", "bound_s"),
    [(PauseKind.PAUSED, 3600.0, 360), (PauseKind.AWAY, 3600.0, 4320), (PauseKind.AWAY, 10.0, 360)],
)
def test_a_pause_lasts_no_longer_than_it_can_have_been_meant_to(kind, longest_s, bound_s):
    policy = RetryPolicy(1.0, longest_s)
    pauses = [Pause("irrmc", "", "", NOW, 1, after(next_s), kind) for next_s in (bound_s, bound_s + 1)]
    assert [is_due(pause, NOW, policy) for pause in pauses] == [False, True]


def test_what_was_said_just_now_is_not_said_again():
    assert not is_long(Pause("irrmc", "", "", NOW, 1, NOW, PauseKind.AWAY), NOW, NOW)


def test_a_failure_more_is_noted_with_its_time_and_of_one_that_was_asked_in_vain_each_is_doubtful():
    assert with_failure(Doubts(2, NOW, NOW), after(60), POLICY) == Doubts(3, since=NOW, noted_at=after(60))
    assert is_doubtful(Doubts(1, NOW, NOW, asked_in_vain=1))
    assert not is_doubtful(Doubts(1, NOW, NOW))


def test_of_an_errors_own_hint_nothing_is_cut_but_what_the_pause_says_itself():
    error = Unavailable("no route", hint="check gateway X; it is tried again by itself")
    assert pause_for("irrmc", error, POLICY, NOW, 0.5).hint.startswith("check gateway X; nothing is sent there")
