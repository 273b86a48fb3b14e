"""Whose the missing numbers are."""

import pytest

from depositd.formats.gaps import shared_out


@pytest.mark.parametrize(
    ("parts", "missed"),
    [
        pytest.param([[1, 2, 5]], [(3, 4)], id="one part misses all"),
        pytest.param([[1, 2], [5, 6]], [(3, 4), ()], id="a hole between two belongs to the one before"),
        pytest.param([[5, 6], [1, 2]], [(), (3, 4)], id="whichever is named first"),
        pytest.param([[1, 3, 7], [2, 4, 8]], [(5,), (6,)], id="two that take turns miss their own"),
        pytest.param([[1, 4, 10], [2, 5, 11], [3, 6, 12]], [(7,), (8,), (9,)], id="and so do three"),
        pytest.param([[1, 3], [2, 4, 8]], [(5,), (6, 7)], id="what would come next is missed"),
        pytest.param([[1, 2], [6, 8]], [(3, 5), (4, 7)], id="what would have come before is missed"),
        pytest.param([[1, 7, 10], [2, 3]], [(4, 8, 9), (5, 6)], id="right after the first number too"),
        pytest.param([[1], [3], [6]], [(2,), (4, 5), ()], id="single numbers have no rhythm"),
        pytest.param(
            [[1, 4, 7], [2, 6, 14]], [(5, 8, 9, 11, 12, 13), (3, 10)], id="between two is surer than after the last"
        ),
        pytest.param(
            [[1, 3, 5, 8, 11], [2, 4, 6, 7, 9, 13]], [(10, 12), ()], id="of two steps as usual the smaller one counts"
        ),
    ],
)
def test_a_number_is_missed_by_the_part_whose_rhythm_it_breaks(parts, missed):
    assert shared_out(parts) == [(numbers, len(numbers)) for numbers in missed]


@pytest.mark.parametrize(
    ("numbers", "listed", "total"),
    [
        ([1, 1002], range(2, 1002), 1000),
        ([1, 1003], range(2, 1002), 1001),
        ([1, 1003, 2005], range(2, 1002), 2002),
        ([1, 1003, 1005], range(2, 1002), 1002),
        ([1, 1001, 1004], [*range(2, 1001), 1002], 1001),
        ([1, 4, 2000], [2, 3, *range(5, 1003)], 1997),
    ],
)
def test_a_thousand_are_listed_and_all_are_counted(numbers, listed, total):
    assert shared_out([numbers]) == [(tuple(listed), total)]


def test_a_thousand_numbers_are_still_shared_out_by_rhythm():
    assert shared_out([[1, 3, 1005], [2, 4, 1006]]) == [
        (tuple(range(5, 1005, 2)), 500),
        (tuple(range(6, 1005, 2)), 500),
    ]


def test_a_great_hole_belongs_to_the_part_before_it():
    assert shared_out([[9000], [1, 3, 5]]) == [((), 0), ((2, 4, *range(6, 1004)), 2 + 8994)]
