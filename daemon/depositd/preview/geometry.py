"""Where the beam meets the detector, and the rings of equal resolution around it; pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_RINGS_A = (50, 40, 30, 25, 20, 15, 12, 10, 8, 7, 6, 5, 4, 3.5, 3, 2.5, 2.2, 2, 1.8, 1.6, 1.5, 1.4, 1.3, 1.2, 1.1)
_FINE_RINGS_A = (1, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4, 0.35, 0.3)
_MOST_RINGS = 4
_APART = 0.13
"""Rings are this share of the image's longer side apart, or more."""


@dataclass(frozen=True, slots=True)
class Ring:
    """A circle around the beam: its radius in pixels of the detector, and its resolution in ångström."""

    radius_px: float
    d_A: float  # noqa: N815 - the unit's own spelling


def beam_centre(said: Mapping[str, Any]) -> tuple[float, float] | None:
    """Return where the beam meets the detector as (x, y) in pixels, None where the header does not say."""
    x, y = _number(said, "beam_x_px"), _number(said, "beam_y_px")
    if x is None or y is None or (x, y) == (0, 0):  # zeros stand in headers that nobody filled in
        return None
    return x, y


def radius_px(d_A: float, said: Mapping[str, Any]) -> float | None:  # noqa: N803 - the unit's own spelling
    """Return the radius of a resolution on a flat detector square to the beam; None where it cannot be known.

    Bragg's law: wavelength = 2 d sin(theta); radius = distance tan(2 theta).
    """
    wavelength_A = _number(said, "wavelength_A")  # noqa: N806 - the unit's own spelling
    distance_mm, pixel_um = _number(said, "distance_mm"), _number(said, "pixel_x_um")
    if not (wavelength_A and distance_mm and pixel_um) or min(wavelength_A, distance_mm, pixel_um) <= 0:
        return None
    sine = wavelength_A / (2 * d_A)
    if sine >= math.sin(math.pi / 4):  # beyond 90 degrees there is no detector
        return None
    return distance_mm * math.tan(2 * math.asin(sine)) * 1000 / pixel_um


def rings(said: Mapping[str, Any], shape: tuple[int, ...]) -> list[Ring]:
    """Return at most four rings of round resolutions, well apart, of which something lies in the image."""
    centre = beam_centre(said)
    if centre is None:
        return []
    farthest = _farthest_edge_px(centre, shape)
    chosen: list[Ring] = []
    for d_A in reversed((*_RINGS_A, *_FINE_RINGS_A)):  # noqa: N806 - the unit's own spelling
        radius = radius_px(d_A, said)
        outermost = chosen[-1].radius_px - _APART * max(shape) if chosen else farthest
        if radius is not None and 0 < radius <= outermost and len(chosen) < _MOST_RINGS:
            chosen.append(Ring(radius, d_A))
    return [ring for ring in chosen if ring.radius_px > _APART / 3 * max(shape)]


def _farthest_edge_px(centre: tuple[float, float], shape: tuple[int, ...]) -> float:
    """Return the distance from the beam to the farthest edge (not corner), so that most of a ring is seen."""
    (x, y), (rows, columns) = centre, shape
    return 0.97 * max(x, columns - x, y, rows - y)


def _number(said: Mapping[str, Any], key: str) -> float | None:
    value = said.get(key)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
