"""Tables: drawn on a terminal, aligned in a pipe, as CSV in a file; what a server says is shown harmless everywhere."""

from __future__ import annotations

import contextlib
import csv
import difflib
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TextIO

from depositd import portable
from depositd.cli.output import say
from depositd.errors import DepositdError
from depositd.units import printable

GAP, NARROWEST = 2, 6
STDOUT = "-"
LONGEST_CELL = 200


@dataclass(frozen=True, slots=True)
class Column:
    """One column: ``whole`` is never shortened on a terminal, since it is copied; ``style`` is rich's."""

    title: str
    whole: bool = False
    right: bool = False
    style: str = ""


def say_table(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> None:
    """Write a table to stdout: fitted to a terminal, and with every value whole in a pipe."""
    cells = [[cell(value) for value in row] for row in rows]
    widths = natural_widths(columns, cells)
    if not sys.stdout.isatty():
        for texts in laid_out(columns, cells, widths):
            say("".join(texts).rstrip())
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(highlight=False)
    for number, texts in enumerate(laid_out(columns, cells, fitted(columns, widths, console.width))):
        text = Text(no_wrap=False, overflow="fold")
        for piece, column in zip(texts, columns, strict=True):
            text.append(piece, column.style if number else "bold")
        text.rstrip()
        console.print(text, soft_wrap=True)


def how_many_fit(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> int:
    """Return how many of the columns a terminal shows whole, at least two; in a pipe all of them."""
    if not sys.stdout.isatty():
        return len(columns)
    from rich.console import Console

    widths = natural_widths(columns, [[cell(value) for value in row] for row in rows])
    return max(first_that_fit(widths, Console().width), min(len(columns), 2))


def first_that_fit(widths: Sequence[int], total: int) -> int:
    """Return how many columns of some widths stand beside each other in ``total`` cells."""
    needed = accumulate(widths, lambda before, width: before + GAP + width)
    return sum(1 for width in needed if width <= total)


def natural_widths(columns: Sequence[Column], cells: Sequence[Sequence[str]]) -> list[int]:
    """Return how many cells of a terminal each column needs for all that is in it."""
    from rich.cells import cell_len

    titles = [column.title for column in columns]
    return [max(map(cell_len, texts)) for texts in zip(titles, *cells, strict=True)]


def fitted(columns: Sequence[Column], widths: Sequence[int], total: int) -> list[int]:
    """Return widths that fit into ``total`` cells, taken from the widest that may be shortened, as far as that goes."""
    found = list(widths)
    excess = sum(found) + GAP * (len(found) - 1) - total
    while excess > 0:
        widest = max(
            (index for index, column in enumerate(columns) if not column.whole), key=found.__getitem__, default=None
        )
        if widest is None or found[widest] <= NARROWEST:
            break
        found[widest] -= 1
        excess -= 1
    return found


def laid_out(columns: Sequence[Column], cells: Sequence[Sequence[str]], widths: Sequence[int]) -> list[list[str]]:
    """Return the title's and the rows' pieces, padded or shortened to their widths, with the gaps between them."""
    lines = []
    for row in ([column.title for column in columns], *cells):
        pieces = [_sized(text, width, column.right) for text, width, column in zip(row, widths, columns, strict=True)]
        lines.append([piece + " " * GAP for piece in pieces[:-1]] + pieces[-1:])
    return lines


def _sized(text: str, width: int, right: bool) -> str:
    from rich.cells import cell_len, set_cell_size

    length = cell_len(text)
    if length > width:
        return set_cell_size(text, width - 1) + "…"
    padding = " " * (width - length)
    return padding + text if right else text + padding


def cell(value: Any) -> str:
    """Return a value of JSON as one harmless line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.0f}" if 1e5 <= abs(value) < 1e15 else f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return printable(text, LONGEST_CELL)


def nearest(word: str, known: Sequence[str], most: int = 5) -> list[str]:
    """Return the known words that are most like one that is unknown, or the first ones where none is."""
    folded = {one.casefold(): one for one in reversed(known)}
    found = difflib.get_close_matches(word.casefold(), list(folded), n=most, cutoff=0.4)
    return [folded[one] for one in found] or list(known[:most])


# --- tables as ProteomicsQC sends them: a column's name to its list of values -----------------------------------------


def rows_of(table: Mapping[str, Any], names: Sequence[str]) -> list[list[Any]]:
    """Return the rows of some columns; one that is shorter than another ends in None."""
    columns = [table[name] if isinstance(table[name], list) else [table[name]] for name in names]
    count = max(map(len, columns), default=0)
    return [[column[index] if index < len(column) else None for column in columns] for index in range(count)]


def write_csv(table: Mapping[str, Any], names: Sequence[str], target: str) -> int:
    """Write columns as CSV to a file, or to stdout for ``-``; return the number of rows.  Raises DepositdError."""
    rows = rows_of(table, names)
    if target == STDOUT:
        _write_rows(sys.stdout, names, rows, harmless=sys.stdout.isatty())
        return len(rows)
    part = f"{target}.{os.getpid()}.part"
    try:
        with open(part, "x", encoding="utf-8", errors="backslashreplace", newline="") as file:
            _write_rows(file, names, rows, harmless=False)
        portable.replace(part, target)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise DepositdError(f"{printable(target)} cannot be written: {error.strerror}", hint="--csv FILE") from None
    return len(rows)


def _write_rows(file: TextIO, names: Sequence[str], rows: Iterable[Sequence[Any]], *, harmless: bool) -> None:
    writer = csv.writer(file, lineterminator="\n")
    for row in (names, *rows):
        values = [csv_value(value) for value in row]
        writer.writerow([printable(value) if harmless and isinstance(value, str) else value for value in values])


def csv_value(value: Any) -> str | int | float:
    """Return a value of JSON for CSV; a text that a spreadsheet would run as a formula gets an apostrophe in front."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else json.dumps(value)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
