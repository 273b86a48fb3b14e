"""Limits on bytes a second, by a clock that the test moves."""

from __future__ import annotations

import itertools

import pytest

from depositd.rate_limit import LONGEST_SLEEP_S, RateLimit


class FakeClock:
    def __init__(self) -> None:
        self.now_s = 100.0
        self.sleeps = []

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now_s += seconds


@pytest.fixture
def clock():
    return FakeClock()


def limit(rate_bytes_per_s, clock):
    return RateLimit(rate_bytes_per_s, clock=clock, sleep=clock.sleep)


def test_so_many_bytes_take_so_long(clock):
    one = limit(1_000_000, clock)
    for _ in range(11):
        one.take(500_000)
    assert clock.now_s == pytest.approx(105.0)


def test_the_first_bytes_move_at_once(clock):
    limit(1, clock).take(1_000_000)
    assert clock.sleeps == []


def test_idle_time_is_not_saved_up(clock):
    one = limit(1000, clock)
    clock.now_s += 3600
    before_s = clock.now_s
    for _ in range(5):
        one.take(1000)
    assert clock.now_s - before_s == pytest.approx(4.0)


def test_a_long_wait_gives_signs_of_life_all_along(clock):
    one = limit(1000, clock)
    one.take(60_000)
    at_s = []
    one.take(1, lambda: at_s.append(clock.now_s))
    assert clock.now_s == pytest.approx(160.0)
    assert max(later - earlier for earlier, later in itertools.pairwise(at_s)) <= LONGEST_SLEEP_S


def test_a_wait_that_is_not_wanted_any_more_ends_soon(clock):
    one = limit(1, clock)
    one.take(1_000_000)

    def waiting():
        if clock.now_s > 103.0:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        one.take(1, waiting)
    assert clock.now_s <= 103.0 + 2 * LONGEST_SLEEP_S


@pytest.mark.parametrize(("rate", "block"), [(1, 1 << 14), (1_000_000, 250_000), (10**12, 1 << 20)])
def test_blocks_are_a_quarter_of_a_second_within_bounds(clock, rate, block):
    assert limit(rate, clock).block_bytes == block
