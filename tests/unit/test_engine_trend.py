"""How fast a disk fills up, from samples."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from random import Random

import pytest

from depositd.engine.trend import LONGEST_S, SHORT_S, latest, trends
from depositd.journal import SpaceSample

NOW = datetime(2026, 11, 21, 2, 30, tzinfo=UTC)
GB = 10**9
MB = 10**6


def samples(free, *, minutes=180, every_s=60, device=1, ends=NOW):
    """Return samples until ``ends``; ``free`` tells the free bytes at so many seconds from the first."""
    count = minutes * 60 // every_s
    first = ends - timedelta(seconds=count * every_s)
    return [
        SpaceSample(first + timedelta(seconds=step * every_s), round(free(step * every_s)), device)
        for step in range(count + 1)
    ]


def falling(rate, start=1000 * GB):
    return lambda second: start - rate * second


def long_trend(taken):
    return next(one for one in trends(taken, NOW) if one.over_s > SHORT_S)


def test_a_disk_that_fills_evenly():
    found = trends(samples(falling(34 * MB)), NOW)
    assert [round(one.over_s) for one in found] == [LONGEST_S, SHORT_S]
    assert [one.falls_bytes_per_s for one in found] == pytest.approx([34 * MB, 34 * MB])


@pytest.mark.parametrize("rate", [0, -5 * MB])
def test_a_disk_that_does_not_fill_has_no_trend(rate):
    assert trends(samples(falling(rate)), NOW) == []


def test_too_few_or_too_short_or_too_old_samples_tell_nothing():
    assert trends([], NOW) == []
    assert trends(samples(falling(MB), minutes=9), NOW) == []
    assert trends(samples(falling(MB), minutes=12, every_s=360), NOW) == []
    assert trends(samples(falling(MB), minutes=12), NOW) != []
    assert trends(samples(falling(MB), ends=NOW - timedelta(minutes=16)), NOW) == []
    assert latest(samples(falling(MB), ends=NOW - timedelta(minutes=16)), NOW) is None


def test_what_comes_and_goes_is_no_trend():
    chance = Random(1)
    assert trends(samples(lambda _second: 500 * GB + chance.uniform(-GB, GB)), NOW) == []
    # archives of 20 GB that are made in ten minutes, and removed
    assert trends(samples(lambda second: 500 * GB - second % 600 / 600 * 20 * GB, minutes=179), NOW) == []


def test_noise_and_single_archives_move_the_trend_little():
    chance = Random(2)

    def free(second):
        removed = 3 * GB if second > 4000 else 0
        return 1000 * GB - 10 * MB * second + removed + chance.uniform(-0.2, 0.2) * GB

    assert long_trend(samples(free)).falls_bytes_per_s == pytest.approx(10 * MB, rel=0.1)


def test_a_clean_up_begins_a_new_trend():
    cleaned_s = 2 * 3600

    def free(second):
        return 500 * GB - 20 * MB * second + (400 * GB if second >= cleaned_s else 0)

    found = long_trend(samples(free))
    assert found.falls_bytes_per_s == pytest.approx(20 * MB)
    assert found.over_s == 3600
    # one that took several minutes is one all the same
    slowly = samples(
        lambda second: free(second) if second >= cleaned_s + 600 or second < cleaned_s else 10 * GB + second
    )
    assert long_trend(slowly).over_s == 3600 - 600
    # and just after it nothing is known yet
    assert trends(samples(free, minutes=125), NOW) == []


def test_several_clean_ups_are_how_a_disk_lives_and_the_trend_is_what_is_free_after_each():
    def free(second):
        return 900 * GB - 20 * MB * second + second // 1800 * 27 * GB

    assert long_trend(samples(free, minutes=175)).falls_bytes_per_s == pytest.approx(5 * MB, rel=0.2)


def test_what_begins_after_a_calm_evening_is_seen_by_the_last_minutes():
    begins_s = 165 * 60

    def free(second):
        return 500 * GB - max(second - begins_s, 0) * 100 * MB

    found = trends(samples(free), NOW)
    assert [one.over_s for one in found] == [SHORT_S]
    assert found[0].falls_bytes_per_s > 50 * MB


def test_another_file_system_at_the_same_place_begins_anew():
    before = samples(falling(50 * MB), minutes=60, ends=NOW - timedelta(minutes=6))
    after = samples(falling(50 * MB), minutes=5, device=2)
    assert trends([*before, *after], NOW) == []
    assert latest([*before, *after], NOW) == after[-1]


def test_what_lies_in_the_future_is_not_looked_at():
    later = SpaceSample(NOW + timedelta(minutes=5), 0, 1)
    taken = samples(falling(MB))
    assert trends([*taken, later], NOW) == trends(taken, NOW)
    assert latest([*taken, later], NOW) == taken[-1]
