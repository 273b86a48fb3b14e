"""CIF text as columns: what a full CBF has before its image.

A name and its value, or ``loop_``, names, and rows of values; a value is a word, a text in quotes that end before a
blank, or lines between two semicolons that begin a line.  Names know no case.  Source: the CIF 1.1 syntax.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

Columns = Mapping[str, Sequence[str]]
"""Values by their names in lower case, one for each row of the table that they stand in; "" where nothing is known."""

_MOST_WORDS = 20_000
_WORDS = re.compile(
    r"^;(?P<lines>(?s:.*?))(?:^;|\Z)"
    r"|'(?:(?P<single>[^\r\n]*?)'(?=\s|\Z)|[^\r\n]*)"
    r'|"(?:(?P<double>[^\r\n]*?)"(?=\s|\Z)|[^\r\n]*)'
    r"|#[^\r\n]*"
    r"|(?P<bare>\S+)",
    re.MULTILINE,
)
_UNKNOWN = frozenset({".", "?"})
_KEYWORDS = ("data_", "save_", "global_", "stop_")


def read(text: str) -> Columns:
    """Return what stands in a CIF text, as far as it can be understood: the first of values of the same name."""
    columns: dict[str, Sequence[str]] = {}
    names: list[str] = []
    values: list[str] = []
    in_loop = False
    for word, is_bare in itertools.chain(itertools.islice(_words(text), _MOST_WORDS), (("stop_", True),)):
        kind = word[:7].lower() if is_bare else ""
        if kind.startswith(("_", "loop_", *_KEYWORDS)):
            if values or not in_loop or not kind.startswith("_"):
                _keep(columns, names, values)
                names, values, in_loop = [], [], kind == "loop_"
            if kind.startswith("_"):
                names.append(word.lower())
        elif names:
            values.append("" if is_bare and word in _UNKNOWN else word)
    return columns


def _words(text: str) -> Iterator[tuple[str, bool]]:
    """Return values and whether each stands without quotes; comments, and quotes that nothing closes, are left out."""
    for match in _WORDS.finditer(text):
        if (kind := match.lastgroup) is not None:
            yield match[kind], kind == "bare"


def _keep(columns: dict[str, Sequence[str]], names: Sequence[str], values: Sequence[str]) -> None:
    """Add the columns of a table, of an incomplete last row what there is."""
    for number, name in enumerate(names):
        columns.setdefault(name, values[number :: len(names)])


def rows(columns: Columns, category: str, names: Iterable[str]) -> list[dict[str, str]]:
    """Return the rows of a category by the names of its items, "" for what a row does not say."""
    wanted = {name: columns.get(f"_{category}.{name}", ()) for name in names}
    count = max(map(len, wanted.values()), default=0)
    return [
        {name: values[number] if number < len(values) else "" for name, values in wanted.items()}
        for number in range(count)
    ]
