"""Help that lists things."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping

HELP_COLUMNS = 78


def listed(title: str, entries: Mapping[str, str]) -> str:
    """Return a list that fits a terminal of 80 columns, names on the left."""
    width = max(len(name) for name in entries)
    # \b keeps the lines as they are in --help
    lines = [f"{title}\n\n\b"]
    for name, sentence in entries.items():
        lead, rest = f"  {name:<{width}}  ", " " * (width + 4)
        lines.append(textwrap.fill(sentence, HELP_COLUMNS, initial_indent=lead, subsequent_indent=rest))
    return "\n".join(lines)
