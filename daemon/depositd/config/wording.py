"""How messages show what was written, and what would have been right."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any

from depositd.units import printable


def quoted(text: str) -> str:
    """Return a value as messages show it: printable, in quotes, and not longer than a line can bear."""
    return f"'{printable(text, longest=80)}'"


def shape(value: Any) -> str:
    """Name what stands where something else should."""
    return "a mapping" if isinstance(value, dict) else "a list" if isinstance(value, list | tuple) else "not text"


def nearest(text: str, known: Iterable[str]) -> str:
    """Return what would be right: the nearest known word, or all of them where none is near."""
    words = list(known)
    near = difflib.get_close_matches(text, words, n=1)
    return f"did you mean {near[0]}?" if near else "known: " + ", ".join(words)
