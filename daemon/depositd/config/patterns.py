"""Regular expressions of the config: Python's syntax, searched within a time that nobody can stretch.

One such as ``(a+)+$`` takes longer than the age of the world on a path of sixty characters, and anybody who may write
below a watched directory names paths.  :mod:`re` cannot be interrupted; :mod:`regex` gives up when it is told to.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from depositd.config.wording import quoted
from depositd.units import printable, show_duration

if TYPE_CHECKING:
    import regex

SEARCH_WITHIN_S = 0.2
"""Processor time of one search, of which an honest one takes some microseconds."""
LONGEST_PATTERN_CHARACTERS = 2_000
MOST_ATOMS = 20_000
"""What an expression may be made of once its repetitions are written out, as :mod:`regex` does: {9} of {9} are 81."""
_REMEMBERED = 4_096
_EXAMPLE = "(such as '(?P<sample>[^/]+)/')"

_PIECE = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|(?P<opens>\()|(?P<closes>\))|\{(?P<times>\d+)(?:,\d*)?\}|.", re.DOTALL
)


class TooSlowError(Exception):
    """A search was given up; its text is a clause that names the expression and the time."""


@dataclass(frozen=True, slots=True)
class PathPattern:
    """A compiled regular expression with named groups."""

    text: str
    _compiled: regex.Pattern[str] = field(repr=False, compare=False)

    @classmethod
    def parse(cls, text: str) -> PathPattern:
        """Compile an expression; raises ValueError with ``what is wrong (what would be right)``."""
        if len(text) > LONGEST_PATTERN_CHARACTERS:
            raise ValueError(f"is longer than {LONGEST_PATTERN_CHARACTERS:,} characters {_EXAMPLE}")
        import regex  # 35 ms, for the few configs that have one

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                # what Python documents is what can be written; regex knows more, which nobody is to get by accident
                groups = re.compile(text).groupindex
                _refuse_large(text)
                compiled = regex.compile(text, regex.VERSION0)
        except regex.error:
            raise ValueError(f"{quoted(text)} is a regular expression that cannot be searched {_EXAMPLE}") from None
        except re.error as error:
            where = "" if error.pos is None else f" at character {error.pos + 1}"
            message = f"{quoted(text)} is not a regular expression: {printable(error.msg)}{where}"
            raise ValueError(f"{message} {_EXAMPLE}") from None
        except (RecursionError, OverflowError):
            raise ValueError(f"is too large a regular expression {_EXAMPLE}") from None
        if not groups:
            raise ValueError(f"{quoted(text)} names no group, so it gives no metadata {_EXAMPLE}")
        return cls(text, compiled)

    @property
    def groups(self) -> tuple[str, ...]:
        """The names of its groups."""
        return tuple(self._compiled.groupindex)

    def search(self, text: str) -> Mapping[str, str | None] | None:
        """Return what the named groups took at the first place that matches, None where nothing does.

        Raises TooSlowError after a fifth of a second of processor time.
        """
        found = _search(self._compiled, text)
        if isinstance(found, TooSlowError):
            took = f"took more than {show_duration(SEARCH_WITHIN_S)}"
            where = f"on a path of {len(text):,} characters"
            raise TooSlowError(f"{quoted(self.text)} {took} {where} and was given up, so the path gave nothing")
        return found


@lru_cache(_REMEMBERED)
def _search(compiled: regex.Pattern[str], text: str) -> Mapping[str, str | None] | TooSlowError | None:
    # remembered, because a dataset that grows is looked at again and again
    try:
        match = compiled.search(text, timeout=SEARCH_WITHIN_S, concurrent=True)
    except TimeoutError:
        return TooSlowError()
    return match.groupdict() if match else None


def _refuse_large(text: str) -> None:
    """Raise OverflowError for an expression whose repetitions would fill the memory before anything is searched."""
    sizes, last = [0], 0
    for piece in _PIECE.finditer(text):
        if piece["opens"]:
            sizes.append(0)
            last = 0
        elif piece["closes"] and len(sizes) > 1:  # a comment of (?x) may close what nothing opened
            last = sizes.pop() + 1
            sizes[-1] += last
        elif piece["times"]:
            more = last * (max(int(piece["times"][:9]), 1) - 1)
            sizes[-1] += more
            last += more
        else:
            last = 1
            sizes[-1] += 1
        if sizes[-1] > MOST_ATOMS:
            raise OverflowError
