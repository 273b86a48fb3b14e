"""The table of faults says what was proven, and what was not."""

from __future__ import annotations

from faults_support import ROWS, Proof, table, unproven

ALL = [Proof(row, "tests/unit/test_it.py::test_it", "passed") for row in ROWS]


def test_a_row_without_a_test_is_said():
    assert unproven(ALL) == []
    assert unproven(ALL[1:]) == ["row 1 is proven by no test: inotify's queue overflows and events are dropped"]
    assert "| 1 | inotify's queue overflows and events are dropped |  | **no test** |" in table(ALL[1:])


def test_what_failed_once_or_was_left_out_proves_nothing():
    failed = [*ALL, Proof(11, "tests/unit/test_it.py::test_it", "failed")]
    assert "| 11 |" in table(failed)
    assert next(line for line in table(failed).splitlines() if "failed" in line).startswith("| 11 |")
    left_out = [Proof(11, "tests/unit/test_it.py::test_it", "left out"), *(one for one in ALL if one.row != 11)]
    assert [sentence[:6] for sentence in unproven(left_out)] == ["row 11"]


def test_each_test_is_named_once_however_many_cases_it_has():
    page = table([*ALL, *ALL])
    assert page.count("`unit/test_it.py::test_it`") == len(ROWS)
