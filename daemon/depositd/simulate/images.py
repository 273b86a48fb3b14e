"""Diffraction images that look and compress like real ones, made fast enough for a detector's pace.

One background per shape and seed is drawn from a Poisson distribution around the scattering of air and water.  A
frame takes the same counts in another order, each moved to a pixel of nearly the same radius, and adds the
spots that are in reflection at its angle: the statistics stay right, no two frames share a run of bytes,
and a frame costs one gather instead of a Poisson draw.

The background's mean, 5 photons a pixel, is what fine-sliced rotation gives: of 5e12 photons/s at 12.7 keV, 0.1 mm of
a protein crystal scatter 0.33 %, and a fifth of those hits a detector at 150 to 200 mm; the 4.5 million pixels of an
Eiger 4M then see 7 each in an image at 100 Hz, fewer at 500 Hz or in an attenuated beam, and more behind a thicker
sample.  ``exposure`` multiplies it.
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

_FRAMES_IN_REFLECTION = 3
_FRAMES_BETWEEN_REFLECTIONS = 24
_ROCKING_CURVE = np.array([0.25, 0.5, 0.25])
_SPOT_SHAPE = np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])
_SHIFTS = 1009
"""How many different orders the background's counts are shown in."""
_MOST_KEPT_BYTES = 64 << 20


@dataclass(frozen=True, slots=True)
class Tiling:
    """The modules of a detector, in rows and columns: their size, and how far the next one is."""

    module_px: tuple[int, int]
    pitch_px: tuple[int, int]


PILATUS = Tiling((195, 487), (212, 494))
EIGER = Tiling((512, 1028), (550, 1040))
"""That of an EIGER2: 4 by 2 modules are the 2162 x 2068 pixels of a 4M."""


@dataclass(frozen=True, slots=True, eq=False)
class _Scene:
    """What all frames of a series have in common; arrays are flat indices or values."""

    rank: Indices  # of each pixel, counted from the beam outwards
    counts: Image  # background in that order, and as many more as there are shifts
    spot_pixels: Indices  # one row for each spot
    spot_means: npt.NDArray[np.float64]  # photons, in the same order
    spot_phase: npt.NDArray[np.int64]
    gaps: Indices
    dead: Indices


def frame(
    number: int, *, shape: tuple[int, int], seed: int = 0, tiling: Tiling = PILATUS, exposure: float = 1.0
) -> Image:
    """Return frame ``number`` as counts per pixel (rows, columns), gaps -1 and dead pixels -2."""
    scene = _scene(shape, seed, tiling, exposure)
    shift = number * 7919 % _SHIFTS
    image = np.take(scene.counts[shift : shift + scene.rank.size], scene.rank)
    phase = (scene.spot_phase + number) % _FRAMES_BETWEEN_REFLECTIONS
    lit = phase < _FRAMES_IN_REFLECTION
    photons = scene.spot_means[lit] * _ROCKING_CURVE[phase[lit], np.newaxis]
    # spots may overlap: what is added to a pixel twice must count twice
    np.add.at(image, scene.spot_pixels[lit], np.random.default_rng((seed, number)).poisson(photons).astype(np.int32))
    image[scene.gaps] = GAP
    image[scene.dead] = DEAD
    return image.reshape(shape)


def positive(image: Image, *, offset: int = 0, longest: int = 65_535) -> npt.NDArray[np.uint16]:
    """Return an image as integrating detectors write it: 16 bits, no negative counts, on a pedestal."""
    return np.clip(image + offset, 0, longest).astype("<u2")


@functools.lru_cache(maxsize=8)
def _scene(shape: tuple[int, int], seed: int, tiling: Tiling, exposure: float) -> _Scene:
    random = np.random.default_rng(seed)
    pixels = shape[0] * shape[1]
    rows, columns = np.indices(shape)
    radius = np.hypot(rows - shape[0] / 2, columns - shape[1] / 2).ravel()
    order = np.argsort(radius, kind="stable")
    rank = np.empty_like(order)
    rank[order] = np.arange(pixels)
    outwards = np.append(radius[order], np.full(_SHIFTS, radius.max()))
    spots = random.choice(pixels, size=max(pixels // 800, 1), replace=False)
    in_gap = (rows % tiling.pitch_px[0] >= tiling.module_px[0]) | (columns % tiling.pitch_px[1] >= tiling.module_px[1])
    return _Scene(
        rank=rank,
        counts=random.poisson(exposure * _background(outwards / max(shape))).astype(np.int32),
        spot_pixels=_around(spots, shape),
        spot_means=np.outer(exposure * _intensities(radius[spots] / max(shape), random), _SPOT_SHAPE),
        spot_phase=random.integers(_FRAMES_BETWEEN_REFLECTIONS, size=spots.size),
        gaps=np.flatnonzero(in_gap),
        dead=random.choice(pixels, size=min(10, pixels // 1000), replace=False),
    )


def _background(relative: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean counts at a radius: air scatter that falls off, the ring of water, and the beamstop's shadow."""
    air = 0.5 + 40.0 * np.exp(-relative / 0.12)
    water = 6.0 * np.exp(-(((relative - 0.3) / 0.05) ** 2))
    seen: npt.NDArray[np.float64] = np.where(relative < 0.012, 0.02, 1.0) * (air + water)
    return seen


def _intensities(relative: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the photons of whole reflections: Wilson's distribution, weaker towards high resolution."""
    return random.exponential(8000.0 * np.exp(-((relative / 0.3) ** 2)))


def _around(spots: Indices, shape: tuple[int, int]) -> Indices:
    """Return the 3 x 3 pixels of each spot; those outside the image are the ones at its edge."""
    rows, columns = np.unravel_index(spots, shape)
    near = np.array([-1, 0, 1])
    near_rows = np.clip(rows[:, np.newaxis] + np.repeat(near, 3), 0, shape[0] - 1)
    near_columns = np.clip(columns[:, np.newaxis] + np.tile(near, 3), 0, shape[1] - 1)
    pixels: Indices = near_rows * shape[1] + near_columns
    return pixels


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
