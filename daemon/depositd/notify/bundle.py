"""What happened, made into one message; pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from depositd.config import NewsKind
from depositd.units import printable, show_count

MOST_LINES = 20
"""Things told in one message; the rest is a number, and ``depositd status`` shows it."""
LONGEST_LINE = 600


@dataclass(frozen=True, slots=True)
class Notice:
    """One thing that somebody should know: ``about`` what, the sentence that ``status`` shows, and what can be done."""

    kind: NewsKind
    about: str
    sentence: str
    hint: str = ""

    @property
    def text(self) -> str:
        """The notice in one line."""
        hint = f" → {self.hint}" if self.hint else ""
        about = f"{self.about}: " if self.about else ""
        return printable(f"{about}{self.sentence}{hint}", LONGEST_LINE)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent."""

    title: str
    body: str


_TITLES: Mapping[NewsKind, tuple[str, str]] = {
    "needs_you": ("needs you", "need you"),
    "paused": ("destination paused", "destinations paused"),
    "source": ("source unavailable", "sources unavailable"),
    "qc": ("run to look at", "runs to look at"),
    "release": ("waits for your release", "wait for your release"),
}
"""How many of a kind there are is said in this order."""


def message_of(notices: Sequence[Notice], host: str, left_out: int = 0) -> Message:
    """Return one message for all notices; the same one is told once, with how often it happened.

    ``left_out`` are those that did not even find room to wait.
    """
    times = Counter(notices)
    counts = Counter(notice.kind for notice in times)
    title = ", ".join(
        f"{counts[kind]:,} {one if counts[kind] == 1 else many}"
        for kind, (one, many) in _TITLES.items()
        if counts[kind]
    )
    lines = [f"{notice.text}{f' ({count:,} times)' if count > 1 else ''}" for notice, count in times.items()]
    more = max(len(lines) - MOST_LINES, 0) + left_out
    if more:
        lines = [*lines[:MOST_LINES], f"and {show_count(more, 'other thing')}: depositd status"]
    return Message(printable(f"depositd on {host}: {title or 'news'}", 200), "\n".join(lines))
