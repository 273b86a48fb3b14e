"""Tables on a terminal, in a pipe and as CSV."""

from __future__ import annotations

import pytest

from depositd.cli.tables import (
    Column,
    cell,
    csv_value,
    first_that_fit,
    fitted,
    laid_out,
    natural_widths,
    nearest,
    rows_of,
)

COLUMNS = (Column("TOKEN", whole=True), Column("N", right=True), Column("TITLE"))


def plain(columns, cells, total=None):
    widths = natural_widths(columns, cells)
    widths = widths if total is None else fitted(columns, widths, total)
    return ["".join(pieces).rstrip() for pieces in laid_out(columns, cells, widths)]


def test_columns_are_aligned_and_numbers_stand_right():
    assert plain(COLUMNS, [["abcdef", "1", "x"], ["a", "1234", "yy"]]) == [
        "TOKEN      N  TITLE",
        "abcdef     1  x",
        "a       1234  yy",
    ]


def test_a_table_without_rows_is_its_titles():
    assert plain(COLUMNS, []) == ["TOKEN  N  TITLE"]


def test_a_terminal_shortens_the_widest_and_never_what_is_copied():
    rows = plain(COLUMNS, [["t" * 40, "1", "a long title of a dataset"]], total=60)
    assert rows[1] == f"{'t' * 40}  1  a long title o…"
    assert max(map(len, rows)) <= 60


def test_what_does_not_fit_at_all_keeps_a_few_letters():
    rows = plain(COLUMNS, [["t" * 40, "1", "a long title of a dataset"]], total=20)
    assert rows[1] == f"{'t' * 40}  1  a lon…"


def test_wide_characters_take_two_cells():
    rows = plain((Column("A"), Column("B")), [["測定", "x"], ["abcd", "y"]])
    assert rows == ["A     B", "測定  x", "abcd  y"]


@pytest.mark.parametrize(("widths", "total", "count"), [([5, 5, 5], 19, 3), ([5, 5, 5], 18, 2), ([5], 4, 0)])
def test_as_many_columns_as_fit(widths, total, count):
    assert first_that_fit(widths, total) == count


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        (True, "yes"),
        (False, "no"),
        (7, "7"),
        (0.123456789, "0.123457"),
        (5008832123.4, "5008832123"),
        (1e300, "1e+300"),
        (float("nan"), "nan"),
        ("two\nlines \x1b[31m", "two\\nlines \\x1b[31m"),
        (["a"], '["a"]'),
        ("x" * 300, "x" * 199 + "…"),
    ],
)
def test_a_cell_is_one_harmless_line(value, shown):
    assert cell(value) == shown


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1"])
def test_a_text_that_a_spreadsheet_would_run_is_defused(text):
    assert csv_value(text) == f"'{text}"


@pytest.mark.parametrize(
    ("value", "written"), [(-1, -1), (-0.5, -0.5), (None, ""), (True, "true"), ("a=b", "a=b"), ({"a": 1}, '{"a": 1}')]
)
def test_other_values_are_written_as_they_are(value, written):
    assert csv_value(value) == written


def test_columns_of_different_lengths_end_in_nothing():
    assert rows_of({"a": [1, 2], "b": [3], "c": 4}, ["b", "a", "c"]) == [[3, 1, 4], [None, 2, None]]
    assert rows_of({}, []) == []


def test_the_nearest_words_come_without_regard_to_case():
    assert nearest("n_peptide", ["N_peptides", "RawFile"]) == ["N_peptides"]
    assert nearest("zzz", ["a", "b", "c"], most=2) == ["a", "b"]
    assert nearest("x", []) == []
