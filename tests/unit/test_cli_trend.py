"""A column over the most recent runs, as lines."""

from __future__ import annotations

import pytest

from depositd.cli.trend import Point, Scale, points_of, trend_lines

TABLE = {
    "RunKey": ["rf1", "rf2", "rf3", "rf4"],
    "RawFile": ["a", "b", "c", "d\x1b[2J"],
    "DateAcquired": ["2026-11-21 02:00:00", "2026-11-21T03:00:00", None, ""],
    "Date": ["x", "x", "2026-11-20", None],
    "Flagged": [False, True, False, 0],
    "Use Downstream": [True, True, False, 1],
    "N_peptides": [100, 200.0, 900, float("nan")],
}


def strips(points, width=60):
    lines = trend_lines(points, "N", width)
    return [text.plain for text in lines]


def test_points_are_the_runs_in_the_servers_order():
    assert points_of(TABLE, "N_peptides") == [
        Point("2026-11-21 02:00", "a (rf1)", 100.0),
        Point("2026-11-21 03:00", "b (rf2)", 200.0, flagged=True),
        Point("2026-11-20", "c (rf3)", 900.0, rejected=True),
        Point("", "d\\x1b[2J (rf4)", None),
    ]


def test_an_older_server_has_fewer_columns():
    assert points_of({"RawFile": ["a"], "N": [1]}, "N") == [Point("", "a", 1.0)]


@pytest.mark.parametrize("value", ["text", True, [1]])
def test_a_column_of_no_numbers_is_refused(value):
    with pytest.raises(ValueError, match="which is no number"):
        points_of({"RawFile": ["a"], "N": [value]}, "N")


def test_the_chart_shows_each_run_and_the_median_of_those_that_count():
    lines = strips(points_of(TABLE, "N_peptides"), width=70)
    assert "●" in lines[0]
    assert "○" in lines[1]
    assert lines[1].endswith("  flagged")
    assert "x" in lines[2]
    assert lines[2].endswith("  rejected")
    assert "●" not in lines[3]
    columns = {text.index("│") for text in (*lines[:3], lines[3])}
    assert len(columns) == 1  # the median is one line down the chart
    assert lines[-1] == "N: median 150, 100 to 900, 3 runs"


def test_it_fits_the_terminal_and_is_never_too_narrow_to_read():
    points = [Point("2026-11-21 02:00", f"run_{number:04}", float(number)) for number in range(30)]
    assert max(map(len, strips(points, 80))) <= 80
    assert "●" in strips(points, 10)[0]


def test_runs_that_are_all_the_same_lie_in_the_middle():
    assert Scale(5.0, 5.0, 11).at(5.0) == 5
    assert strips([Point("", "a", 5.0)])[-1] == "N: median 5, 5 to 5, 1 run"


def test_the_ends_of_the_strip_are_the_least_and_the_most():
    scale = Scale(-1.0, 3.0, 41)
    assert [scale.at(value) for value in (-1.0, 1.0, 3.0)] == [0, 20, 40]
    assert Scale(-1e308, 1e308, 41).at(0.0) == 20


def test_without_any_value_it_says_so():
    assert strips([Point("", "a", None)]) == ["N is not known of any of 1 run"]
