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


def duration(seconds: float) -> str:
    """Return a duration as a config would say it: ``2h``, ``90s``, ``0.5s``."""
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds and seconds % unit_s == 0:
            return f"{seconds / unit_s:.0f}{unit}"
    return f"{seconds:.3f}".rstrip("0").rstrip(".") + "s"


def nearest(text: str, known: Iterable[str]) -> str:
    """Return what would be right: the nearest known word, or all of them where none is near."""
    words = list(known)
    near = nearest_word(text, words)
    return f"did you mean {near}?" if near else "known: " + ", ".join(words)


def nearest_word(text: str, known: Iterable[str], *, least_ratio: float = 0.6) -> str | None:
    """Return the known word that is nearest, None where none is near."""
    return next(iter(difflib.get_close_matches(text, known, n=1, cutoff=least_ratio)), None)
