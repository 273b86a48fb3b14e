"""Which of the things that wait are begun next."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.engine.scheduling import ANY_BYTES, HUGE_BYTES, Job, largest_startable, startable

SMALL, HUGE = 10, HUGE_BYTES


def jobs(*sizes: int, first: int = 1) -> list[Job]:
    return [Job(number, size_bytes=size) for number, size in enumerate(sizes, first)]


def begun(waiting: list[Job], under_way: list[Job], places: int) -> list[object]:
    return [job.key for job in startable(waiting, under_way, places)]


@pytest.mark.parametrize(
    ("under_way", "places", "largest"),
    [
        ([], 1, ANY_BYTES),
        ([], 2, ANY_BYTES),
        ([SMALL], 2, ANY_BYTES),
        ([HUGE], 2, HUGE_BYTES - 1),
        ([HUGE], 3, ANY_BYTES),
        ([HUGE, HUGE], 3, HUGE_BYTES - 1),
        ([HUGE], 1, None),
        ([SMALL, HUGE], 2, None),
        ([SMALL, SMALL, SMALL], 2, None),  # the places became fewer meanwhile
    ],
)
def test_one_place_of_several_is_kept_for_what_is_small(under_way: list[int], places: int, largest: int | None):
    assert largest_startable(jobs(*under_way), places) == largest


def test_they_are_begun_in_the_order_in_which_they_wait():
    assert begun(jobs(SMALL, SMALL, SMALL), [], 2) == [1, 2]


def test_a_small_one_passes_huge_ones():
    assert begun(jobs(HUGE, HUGE, HUGE, SMALL, SMALL), [], 2) == [1, 4]


def test_a_second_huge_one_waits_also_where_nothing_small_does():
    assert begun(jobs(HUGE, HUGE), [], 2) == [1]
    assert begun(jobs(HUGE), jobs(HUGE, first=7), 2) == []


def test_with_one_place_there_is_nothing_to_keep_free():
    assert begun(jobs(HUGE, SMALL), [], 1) == [1]


def test_what_is_under_way_is_not_begun_again():
    assert begun(jobs(SMALL, SMALL), jobs(SMALL), 3) == [2]
    assert begun([*jobs(SMALL), *jobs(SMALL)], [], 3) == [1]


def test_what_huge_means_can_be_said():
    assert [job.key for job in startable(jobs(5, 5, 1), [], 2, huge_bytes=5)] == [1, 3]


SIZES = st.lists(st.sampled_from([0, SMALL, HUGE - 1, HUGE, 5 * HUGE]), max_size=8)


@given(waiting=SIZES, under_way=SIZES, places=st.integers(1, 5))
def test_places_are_never_exceeded_and_a_small_one_never_waits_for_a_huge_one(
    waiting: list[int], under_way: list[int], places: int
):
    before, lined_up = jobs(*under_way, first=100), jobs(*waiting)
    after = [*before, *startable(lined_up, before, places)]
    assert len(after) <= max(places, len(before))
    huge = sum(1 for job in after if job.size_bytes >= HUGE_BYTES)
    huge_before = sum(1 for job in before if job.size_bytes >= HUGE_BYTES)
    assert huge <= max(places - 1, 1, huge_before)
    small_left = [job for job in lined_up if job.size_bytes < HUGE_BYTES and job not in after]
    assert not small_left or len(after) >= places
    assert after[len(before) :] == sorted(after[len(before) :], key=lined_up.index)
