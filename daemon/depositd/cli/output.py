"""How results are written: JSON, plain text in a pipe, colours and wrapped lines on a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from rich.console import RenderableType

BAR_CELLS = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of text: (text, style) pieces, how far it is indented, and for a transfer how much of it is done.

    ``share`` is between 0 and 1; it becomes a bar in front of the text, on a terminal only.
    """

    pieces: tuple[tuple[str, str], ...] = ()
    indent: int = 0
    share: float | None = None

    @property
    def plain(self) -> str:
        """The line as it is in a pipe."""
        text = "".join(text for text, _style in self.pieces)
        return (" " * self.indent + text).rstrip()


def line(*pieces: str | tuple[str, str], indent: int = 0, share: float | None = None) -> Line:
    """Return a line of texts and (text, style) pairs."""
    return Line(tuple((piece, "") if isinstance(piece, str) else piece for piece in pieces), indent, share)


def say(text: str = "") -> None:
    """Write one line of the result."""
    sys.stdout.write(f"{text}\n")


def tell(text: str) -> None:
    """Write one line beside the result."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def say_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Write one JSON document; ASCII alone, so that names that are not UTF-8 survive as escapes."""
    say(json.dumps(document, indent=2, ensure_ascii=True))


def say_pieces(pieces: Iterable[str]) -> None:
    """Write the pieces of one result as they come."""
    for piece in pieces:
        sys.stdout.write(piece)


def say_lines(lines: Iterable[Line]) -> None:
    """Write lines as stdout wants them."""
    if not sys.stdout.isatty():
        for each in lines:
            say(each.plain)
        return
    from rich.console import Console

    console = Console(highlight=False)
    for each in lines:
        console.print(renderable(each))


def renderable(each: Line) -> RenderableType:
    """Return a line for a terminal: styled, folded with its indent kept."""
    from rich.padding import Padding
    from rich.text import Text

    text = Text(overflow="fold")
    if each.share is not None:
        done = round(min(max(each.share, 0.0), 1.0) * BAR_CELLS)
        text.append("━" * done, "green").append("━" * (BAR_CELLS - done), "bright_black").append("  ")
    for piece, style in each.pieces:
        text.append(piece, style)
    return Padding(text, (0, 0, 0, each.indent))


class Advance(Protocol):
    """Takes how far something is."""

    def __call__(self, done: int, total: int) -> None:
        """Show ``done`` of ``total``."""


@contextmanager
def progress(activity: str, *, in_bytes: bool = False) -> Iterator[Advance]:
    """Show a progress bar on stderr while a block runs; nothing where stderr is no terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None  # noqa: ARG005 - the names are the protocol's
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    count = DownloadColumn() if in_bytes else MofNCompleteColumn()
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), count, TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bars:
        task = bars.add_task(activity, total=None)
        yield lambda done, total: bars.update(task, completed=done, total=total or None)
