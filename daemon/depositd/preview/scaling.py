"""From counts to grey: pooled so that spots survive, stretched so that they are seen; pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

LONGEST_PX = 1200
_BAND_PIXELS = 1 << 22
_BACKGROUND = 5.0
_BRIGHT = 99.97
"""Percentiles of the measured pixels that become white and black."""

_NOISE = 20.0
"""Black is at least this many times as far from white as the median is: noise without spots stays grey."""

_EMPHASIS = 1.5
"""Above 1, what is weak stays light: the background is seen, and the spots stand out from it."""


@dataclass(frozen=True, slots=True, eq=False)
class Pooled:
    """An image made smaller: each pixel is the largest measured one of a square of ``factor`` by ``factor``.

    ``counts`` is NaN where none of them was measured, infinite where one is overloaded.
    """

    counts: npt.NDArray[np.float32]
    factor: int


def pooling_factor(shape: tuple[int, ...], longest_px: int = LONGEST_PX) -> int:
    """Return the size of the squares that bring an image down to ``longest_px``."""
    return max(-(-max(shape) // longest_px), 1)


def enlargement(shape: tuple[int, ...], longest_px: int = LONGEST_PX) -> int:
    """Return by how much a small image can be enlarged within ``longest_px``, in whole pixels."""
    return max(longest_px // max(shape), 1)


def pool(
    pixels: npt.NDArray[Any], factor: int, *, unmeasured: int | None = None, overloaded: int | None = None
) -> Pooled:
    """Return the image with each square's largest measured pixel, band by band in bounded memory."""
    rows, columns = pixels.shape
    pooled = np.empty((-(-rows // factor), -(-columns // factor)), dtype=np.float32)
    edges = np.arange(0, columns, factor)
    band = max(_BAND_PIXELS // max(columns, 1), 1) * factor
    for start in range(0, rows, band):
        counts = _counts(pixels[start : start + band], unmeasured, overloaded)
        across = np.maximum.reduceat(counts, edges, axis=1)
        down = np.maximum.reduceat(across, np.arange(0, len(counts), factor), axis=0)
        pooled[start // factor : start // factor + len(down)] = down
    pooled[pooled < 0] = np.nan
    return Pooled(pooled, factor)


def _counts(pixels: npt.NDArray[Any], unmeasured: int | None, overloaded: int | None) -> npt.NDArray[np.float32]:
    """Return counts with -1 where nothing was measured and infinity where too much was."""
    counts = pixels.astype(np.float32)
    lacking = ~np.isfinite(counts) | (counts < 0)
    if unmeasured is not None:
        lacking |= pixels == unmeasured
    if overloaded is not None:
        counts[pixels >= overloaded] = np.inf
    counts[lacking] = -1
    return counts


def shades(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return dark spots on light ground: 255 for the background, 0 for the brightest, on a logarithmic scale."""
    told = counts[np.isfinite(counts)]
    if told.size == 0:
        return np.full(counts.shape, 255, dtype=np.uint8)
    low, middle, bright = (float(value) for value in np.percentile(told, (_BACKGROUND, 50, _BRIGHT)))
    high = max(bright, low + _NOISE * (middle - low))
    if high - low < 1:
        high = max(float(told.max()), low + 1)
    above = np.clip(np.nan_to_num(counts, nan=low, posinf=high) - low, 0, high - low)
    share = (np.log1p(above) / np.log1p(high - low)) ** _EMPHASIS
    return np.asarray(np.rint(255 * (1 - share)), dtype=np.uint8)
