"""Lines as they are in a pipe and on a terminal."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from depositd.cli.output import BAR_CELLS, line, renderable


def on_terminal(each, width=40):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None, highlight=False)
    console.print(renderable(each))
    return [row.rstrip() for row in console.file.getvalue().splitlines()]


def test_a_pipe_gets_text_alone():
    assert line("a ", ("b", "bold red"), "  ", indent=3, share=0.5).plain == "   a b"


def test_a_terminal_folds_a_long_line_and_keeps_its_indent():
    rows = on_terminal(line("word " * 20, indent=4))
    assert len(rows) > 2
    assert all(row.startswith("    ") and len(row) <= 40 for row in rows)


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0), (0.5, BAR_CELLS // 2), (1.0, BAR_CELLS), (7.0, BAR_CELLS)])
def test_a_bar_is_as_long_as_what_is_done(share, expected):
    pieces = renderable(line("x", share=share)).renderable.spans
    done = next((span.end - span.start for span in pieces if str(span.style) == "green"), 0)
    assert done == expected


def test_a_bar_stands_in_front_so_that_it_stays_where_it_is_while_the_figures_change():
    (row,) = on_terminal(line("45 %", indent=2, share=0.5))
    assert row == "  " + "━" * BAR_CELLS + "  45 %"


def test_square_brackets_in_a_name_are_no_markup():
    assert on_terminal(line("[red]x[/red]")) == ["[red]x[/red]"]
