"""Diffraction images that look and compress like real ones, made fast enough for a detector's pace.

One background per shape and seed is drawn from a Poisson distribution that falls off with the radius.  A
frame takes the same counts in another order, each moved to a pixel of nearly the same radius, and adds the
spots that are in reflection at its angle: the statistics stay right, no two frames share a run of bytes,
and a frame costs one scatter instead of a Poisson draw.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Image = npt.NDArray[np.int32]
Indices = npt.NDArray[np.intp]

GAP = -1
"""Pixels between modules, as Pilatus detectors mark them."""
DEAD = -2
"""Pixels that the detector knows to be broken."""

_MODULE_PX = (195, 487)
_PITCH_PX = (212, 494)
_FRAMES_IN_REFLECTION = 3
_FRAMES_BETWEEN_REFLECTIONS = 24


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What all frames of a series have in common; arrays are flat indices or values."""

    order: Indices  # pixels from the beam outwards
    counts: Image  # background in that order
    spot_pixels: Indices
    spot_counts: Image
    spot_phase: Image
    gaps: Indices
    dead: Indices


def frame(number: int, *, shape: tuple[int, int], seed: int = 0) -> Image:
    """Return frame ``number`` as counts per pixel (rows, columns), gaps -1 and dead pixels -2."""
    scene = _scene(shape, seed)
    image = np.empty(scene.counts.size, dtype=np.int32)
    image[scene.order] = np.roll(scene.counts, number * 7919 % 1009)
    in_reflection = (scene.spot_phase + number) % _FRAMES_BETWEEN_REFLECTIONS < _FRAMES_IN_REFLECTION
    image[scene.spot_pixels[in_reflection]] += scene.spot_counts[in_reflection]
    image[scene.gaps] = GAP
    image[scene.dead] = DEAD
    return image.reshape(shape)


def positive(image: Image, *, offset: int = 0, longest: int = 65_535) -> npt.NDArray[np.uint16]:
    """Return an image as integrating detectors write it: 16 bits, no negative counts, on a pedestal."""
    return np.clip(image + offset, 0, longest).astype("<u2")


@functools.lru_cache(maxsize=8)
def _scene(shape: tuple[int, int], seed: int) -> _Scene:
    random = np.random.default_rng(seed)
    rows, columns = np.indices(shape)
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2).ravel()
    order = np.argsort(radius, kind="stable")
    relative = radius[order] / max(shape)
    mean = 0.5 + 40.0 * np.exp(-relative / 0.12) + 6.0 * np.exp(-(((relative - 0.3) / 0.05) ** 2))
    pixels = radius.size
    spots = random.choice(pixels, size=max(pixels // 400, 1), replace=False)
    return _Scene(
        order=order,
        counts=random.poisson(mean).astype(np.int32),
        spot_pixels=spots,
        spot_counts=random.geometric(0.002, size=spots.size).astype(np.int32),
        spot_phase=random.integers(_FRAMES_BETWEEN_REFLECTIONS, size=spots.size, dtype=np.int32),
        gaps=np.flatnonzero(
            (rows.ravel() % _PITCH_PX[0] >= _MODULE_PX[0]) | (columns.ravel() % _PITCH_PX[1] >= _MODULE_PX[1])
        ),
        dead=random.choice(pixels, size=min(10, pixels // 1000), replace=False),
    )
