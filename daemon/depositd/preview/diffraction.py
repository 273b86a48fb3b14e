"""A detector image as crystallographers look at it: dark spots on light ground, the beam and its rings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from depositd.preview import canvas
from depositd.preview.caption import frame_caption
from depositd.preview.geometry import Ring, beam_centre, rings
from depositd.preview.reading import Frame
from depositd.preview.scaling import enlargement, pool, pooling_factor, shades

if TYPE_CHECKING:
    from PIL.Image import Image

UNMEASURED: canvas.Colour = (219, 228, 238)
OVERLOADED: canvas.Colour = (214, 40, 40)
BEAM: canvas.Colour = (214, 40, 40)
RING: canvas.Colour = (25, 113, 194)

_NARROWEST_PX = 520
_CROSS_PX = 11
_CROSS_HOLE_PX = 4
_RING_OPACITY = 150
_LABEL_PX = 13
_LABEL_DEG = (-45, -90, 0, 90, 180, -135, 45, 135, *range(-80, 280, 10))
"""Where on a ring its label may stand, best first: up and to the right."""


def draw(frame: Frame, name: str, said: Mapping[str, Any]) -> bytes:
    """Return the picture of a frame as PNG; ``said`` is what headers say, by the keys of the formats' facts."""
    canvas.require_pillow()
    shape = frame.pixels.shape
    factor = pooling_factor(shape)
    pooled = pool(frame.pixels, factor, unmeasured=frame.unmeasured, overloaded=frame.overloaded)
    larger = enlargement(pooled.counts.shape)
    image = canvas.image_of(_enlarged(coloured(pooled.counts), larger))
    scale = larger / factor
    shown = [Ring(ring.radius_px * scale, ring.d_A) for ring in rings(said, shape)] if frame.is_flat_on else []
    centre = beam_centre(said)
    if centre is not None:
        _mark(image, (centre[0] * scale, centre[1] * scale), shown)
    caption = frame_caption(name, said, frame.number)
    return canvas.png(canvas.with_caption(_widened(image), name, caption))


def coloured(counts: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return pooled counts as red, green and blue: grey, with what was not measured and what is overloaded marked."""
    colours = np.repeat(shades(counts)[:, :, np.newaxis], 3, axis=2)
    colours[np.isnan(counts)] = UNMEASURED
    colours[np.isposinf(counts)] = OVERLOADED
    return colours


def _enlarged(colours: npt.NDArray[np.uint8], larger: int) -> npt.NDArray[np.uint8]:
    return np.repeat(np.repeat(colours, larger, axis=0), larger, axis=1)


def _widened(image: Image) -> Image:
    """Return the image on white, wide enough for a caption."""
    if image.width >= _NARROWEST_PX:
        return image
    wide = canvas.blank(_NARROWEST_PX, image.height)
    wide.paste(image, ((_NARROWEST_PX - image.width) // 2, 0))
    return wide


def _mark(image: Image, centre: tuple[float, float], shown: Sequence[Ring]) -> None:
    """Draw the rings, their labels and the beam, as far as they lie in the image."""
    x, y = (coordinate * canvas.SMOOTH for coordinate in centre)
    with canvas.smooth(image, RING) as lines:
        for ring in shown:
            radius = ring.radius_px * canvas.SMOOTH
            lines.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_RING_OPACITY, width=canvas.SMOOTH)
    near, far = _CROSS_HOLE_PX * canvas.SMOOTH, _CROSS_PX * canvas.SMOOTH
    with canvas.smooth(image, BEAM) as lines:
        for across, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            ends = (x + across * near, y + down * near, x + across * far, y + down * far)
            lines.line(ends, fill=255, width=2 * canvas.SMOOTH)
    for ring in shown:
        _label(image, centre, ring)


def _label(image: Image, centre: tuple[float, float], ring: Ring) -> None:
    """Write a ring's resolution on it, where there is room for it."""
    text = f"{ring.d_A:g} A"
    half_width, half_height = canvas.text_width_px(text, _LABEL_PX) / 2 + 4, _LABEL_PX / 2 + 2
    place = label_place(image.size, centre, ring.radius_px, (half_width, half_height))
    if place is None:
        return
    x, y = place
    box = (x - half_width, y - half_height, x + half_width, y + half_height)
    canvas.drawing(image).rounded_rectangle(box, radius=3, fill=canvas.WHITE)
    canvas.write(image, place, text, RING, size_px=_LABEL_PX, anchor="mm")


def label_place(
    size: tuple[int, int], centre: tuple[float, float], radius: float, half: tuple[float, float]
) -> tuple[float, float] | None:
    """Return a point of a circle around which a label lies in the image, None where there is none."""
    for degrees in _LABEL_DEG:
        x = centre[0] + radius * math.cos(math.radians(degrees))
        y = centre[1] + radius * math.sin(math.radians(degrees))
        if half[0] <= x <= size[0] - half[0] and half[1] <= y <= size[1] - half[1]:
            return x, y
    return None
