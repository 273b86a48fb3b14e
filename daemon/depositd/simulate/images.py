"""Diffraction images that look and compress like real ones, made fast enough for a detector's pace.

One background per shape and seed is drawn from a Poisson distribution that falls off with the radius.  A
frame takes the same counts in another order, each moved to a pixel of nearly the same radius, and adds the
spots that are in reflection at its angle: the statistics stay right, no two frames share a run of bytes,
and a frame costs one scatter instead of a Poisson draw.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

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
_MOST_KEPT_BYTES = 64 << 20


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


@dataclass(frozen=True, slots=True, eq=False)
class Encoded:
    """A picture as a format stores it.

    ``before`` and ``after`` stand around the pixels and depend on them (a CBF's binary section); ``counts`` are numbers
    that the file's header gives of them (overflows …).
    """

    pixels: bytes
    before: bytes = b""
    after: bytes = b""
    counts: tuple[int, ...] = ()

    @property
    def blank(self) -> Encoded:
        """The same with zeros for pixels, as a failing disk returns them."""
        return replace(self, pixels=bytes(len(self.pixels)))

    @property
    def size_bytes(self) -> int:
        """All of its bytes."""
        return len(self.before) + len(self.pixels) + len(self.after)


class Album:
    """The pictures of one series, each encoded once and shown again and again.

    Making and packing a picture takes longer than a fast detector has for a frame.  There are 24 different ones, fewer
    where they are large: at most about 64 MiB are kept.
    """

    def __init__(self, encode: Callable[[Image], Encoded], *, shape: tuple[int, int], seed: int = 0) -> None:
        self._encode = encode
        self._shape = shape
        self._seed = seed
        self._pictures: list[Encoded] = []
        self._full = False

    def picture(self, number: int) -> Encoded:
        """Return the picture that frame ``number``, counted from 1, shows."""
        while not self._full and len(self._pictures) < number:
            self._add()
        return self._pictures[(number - 1) % len(self._pictures)]

    def _add(self) -> None:
        self._pictures.append(self._encode(frame(len(self._pictures) + 1, shape=self._shape, seed=self._seed)))
        kept = len(self._pictures)
        self._full = kept == _FRAMES_BETWEEN_REFLECTIONS or kept * self._pictures[0].size_bytes >= _MOST_KEPT_BYTES
