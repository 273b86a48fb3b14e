"""What stands below a picture; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Any

from depositd.units import printable

LONGEST = 160


def frame_caption(name: str, said: Mapping[str, Any], number: int) -> list[str]:
    """Return what was measured with and how, in pieces that belong together."""
    pieces = [str(said[key]) for key in ("detector", "sample") if said.get(key) not in (None, "", name)]
    for key, unit in (("wavelength_A", "A"), ("distance_mm", "mm")):
        if (value := said.get(key)) is not None:
            pieces.append(f"{_short(value)} {unit}")
    if (exposure_s := said.get("exposure_s")) is not None:
        pieces.append(f"{_short(exposure_s)} s")
    if (increment_deg := said.get("increment_deg")) is not None:
        pieces.append(f"{_short(increment_deg)}° per frame")
    frames = said.get("frames")
    pieces.append(f"frame {number:,} of {frames:,}" if isinstance(frames, int) and frames >= number else "first frame")
    return pieces


def run_caption(said: Mapping[str, Any]) -> list[str]:
    """Return what was measured with and for how long, in pieces that belong together."""
    pieces = [str(said[key]) for key in ("instrument", "sample", "date") if said.get(key)]
    if isinstance(minutes := said.get("run_time_min"), int | float) and minutes > 0:
        pieces.append(f"{_short(minutes)} min")
    return pieces


def plain(text: str, longest: int = LONGEST) -> str:
    """Return a text in the letters that the picture's font has: printable ASCII, ``°``, ``·`` and ``…``."""
    letters = (_letters(character) for character in printable(text, longest))
    return "".join(letters)


def _letters(character: str) -> str:
    if character.isascii() or character in "°·…":
        return character
    bare = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode("ascii")
    return bare or "?"


def _short(value: float) -> str:
    """Return a number in at most five digits, without the zeros that say nothing: 0.9763, 200, 0.00999."""
    return f"{float(value):.5g}"
