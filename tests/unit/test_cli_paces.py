"""Rate and time left of a transfer, as several looks at its progress tell."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from depositd.cli.paces import STILL_AFTER_S, WINDOW_S, Paces
from depositd.journal import Progress

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
MB = 1_000_000


def at(seconds):
    return NOW + timedelta(seconds=seconds)


def transfer(seconds, done, subject="delivery 1", total=1000 * MB):
    return Progress(subject, "x", done, total, at(seconds))


def looks(*points, paces=None):
    """Return what the last look says of a transfer that was seen at (seconds, bytes), each at once."""
    paces = paces or Paces()
    for seconds, done in points:
        (found,) = paces.look([transfer(seconds, done)], at(seconds))
    return found


def test_one_look_tells_no_pace():
    assert looks((0, 5 * MB)) == {
        "subject": "delivery 1",
        "activity": "x",
        "done_bytes": 5 * MB,
        "total_bytes": 1000 * MB,
    }


def test_two_looks_tell_the_rate_and_the_time_that_is_left():
    found = looks((0, 100 * MB), (0.5, 150 * MB))
    assert found["rate_bytes_per_s"] == pytest.approx(100 * MB)
    assert found["left_s"] == pytest.approx(8.5)
    assert "still_s" not in found


def test_a_look_at_the_same_progress_changes_nothing():
    paces = Paces()
    before = looks((0, 0), (1, 50 * MB), paces=paces)
    (again,) = paces.look([transfer(1, 50 * MB)], at(1.9))
    assert again == before


def test_the_rate_is_that_of_the_last_seconds():
    fast = [(second, 100 * MB * second) for second in range(4)]
    slow = [(3 + second, 300 * MB + 10 * MB * second) for second in range(1, int(WINDOW_S) + 1)]
    assert 10 * MB < looks(*fast, *slow[:-1])["rate_bytes_per_s"] < 40 * MB
    assert looks(*fast, *slow)["rate_bytes_per_s"] == pytest.approx(10 * MB)


def test_what_comes_more_seldom_than_the_window_is_long_has_a_rate_too():
    found = looks((0, 0), (15, 30 * MB), (30, 60 * MB))
    assert found["rate_bytes_per_s"] == pytest.approx(2 * MB)


def test_what_stands_still_is_said_and_its_rate_is_not():
    paces = Paces()
    looks((0, 0), (1, 50 * MB), paces=paces)
    # the daemon beats, but nothing moves
    (soon,) = paces.look([transfer(STILL_AFTER_S, 50 * MB)], at(STILL_AFTER_S))
    assert soon["rate_bytes_per_s"] == pytest.approx(50 * MB)
    (late,) = paces.look([transfer(41, 50 * MB)], at(42))
    assert late["still_s"] == pytest.approx(41)
    assert "rate_bytes_per_s" not in late
    assert "left_s" not in late
    (again,) = paces.look([transfer(43, 100 * MB)], at(43))
    assert again["rate_bytes_per_s"] == pytest.approx(50 * MB / 42)


def test_what_is_begun_again_is_paced_anew():
    paces = Paces()
    looks((0, 0), (1, 900 * MB), paces=paces)
    assert "rate_bytes_per_s" not in looks((2, 0), paces=paces)
    assert looks((3, 10 * MB), paces=paces)["rate_bytes_per_s"] == pytest.approx(10 * MB)


def test_what_has_ended_is_forgotten_and_the_others_go_on():
    paces = Paces()
    for second in range(2):
        paces.look([transfer(second, second * MB), transfer(second, second * 2 * MB, "dataset 2")], at(second))
    (other,) = paces.look([transfer(2, 4 * MB, "dataset 2")], at(2))
    assert other["rate_bytes_per_s"] == pytest.approx(2 * MB)
    # the delivery's number comes back with another attempt, further on than the one before was
    assert "rate_bytes_per_s" not in paces.look([transfer(3, 500 * MB)], at(3))[0]


def test_a_clock_that_is_set_back_gives_no_pace_and_no_error():
    found = looks((100, 0), (0, 50 * MB))
    assert "rate_bytes_per_s" not in found
    assert looks((0, 0), (1, 2000 * MB))["left_s"] == 0.0
