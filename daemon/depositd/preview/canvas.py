"""Pillow, as the pictures need it: text, smooth lines, and the PNG."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from depositd.errors import NoPicture
from depositd.preview.caption import plain
from depositd.preview.reading import EXTRA_HINT

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

Colour = tuple[int, int, int]
WHITE: Colour = (255, 255, 255)
INK: Colour = (33, 37, 41)
GREY: Colour = (108, 117, 125)
LINE: Colour = (222, 226, 230)

SMOOTH = 4
"""Lines are drawn this much larger and made smaller again: Pillow's own have steps."""
MARGIN_PX = 12
_TITLE_PX = 20
_TEXT_PX = 15
_LEADING = 1.4
_SEPARATOR = "  ·  "


def require_pillow() -> None:
    """Raise NoPicture where Pillow is not installed."""
    try:
        import PIL.Image
        import PIL.ImageDraw
        import PIL.ImageFont  # noqa: F401 - they are used below
    except ImportError:
        raise NoPicture("the Python package pillow, which draws pictures, is not here", hint=EXTRA_HINT) from None


def blank(width: int, height: int) -> Image:
    """Return an image that is white all over."""
    import PIL.Image

    return PIL.Image.new("RGB", (width, height), WHITE)


def image_of(colours: npt.NDArray[np.uint8]) -> Image:
    """Return an array of red, green and blue as an image."""
    import PIL.Image

    return PIL.Image.fromarray(colours)


def drawing(image: Image) -> ImageDraw:
    """Return what draws on an image."""
    import PIL.ImageDraw

    return PIL.ImageDraw.Draw(image)


@contextmanager
def smooth(image: Image, colour: Colour) -> Iterator[ImageDraw]:
    """Draw smoothly in one colour: what is drawn, :data:`SMOOTH` times as large, is opacity from 0 to 255."""
    import PIL.Image

    mask = PIL.Image.new("L", (image.width * SMOOTH, image.height * SMOOTH), 0)
    yield drawing(mask)
    image.paste(colour, (0, 0, image.width, image.height), mask.resize(image.size, PIL.Image.Resampling.BOX))


def font(size_px: int = _TEXT_PX) -> FreeTypeFont | ImageFont:
    """Return Pillow's own font, so that a picture is the same on every machine."""
    import PIL.ImageFont

    return PIL.ImageFont.load_default(size=size_px)


def text_width_px(text: str, size_px: int = _TEXT_PX) -> float:
    """Return how wide a text is."""
    return font(size_px).getlength(plain(text))


def write(
    image: Image,
    at: tuple[float, float],
    text: str,
    colour: Colour = INK,
    *,
    size_px: int = _TEXT_PX,
    anchor: str = "ls",
) -> None:
    """Write a text; ``anchor`` is Pillow's (``ls``: left, on the baseline; ``mm``: in the middle)."""
    drawing(image).text(at, plain(text), font=font(size_px), fill=colour, anchor=anchor)


def with_caption(image: Image, title: str, pieces: Sequence[str]) -> Image:
    """Return an image with a title and, in as many lines as it takes, the pieces below it."""
    widest = image.width - 2 * MARGIN_PX
    lines = folded(pieces, widest)
    step = round(_TEXT_PX * _LEADING)
    height = 2 * MARGIN_PX + _TITLE_PX + step * len(lines)
    whole = blank(image.width, image.height + height)
    whole.paste(image, (0, 0))
    baseline = image.height + MARGIN_PX + _TITLE_PX - 4
    write(whole, (MARGIN_PX, baseline), _fitting(title, widest, _TITLE_PX), size_px=_TITLE_PX)
    for number, line in enumerate(lines, 1):
        write(whole, (MARGIN_PX, baseline + step * number + 2), line, GREY)
    return whole


def folded(pieces: Sequence[str], widest_px: float) -> list[str]:
    """Return the pieces in lines that are no wider than ``widest_px``; no piece is broken, a long one is cut."""
    lines: list[str] = []
    for piece in (_fitting(piece, widest_px, _TEXT_PX) for piece in pieces):
        longer = f"{lines[-1]}{_SEPARATOR}{piece}" if lines else piece
        if lines and text_width_px(longer) <= widest_px:
            lines[-1] = longer
        else:
            lines.append(piece)
    return lines


def _fitting(text: str, widest_px: float, size_px: int) -> str:
    shown = plain(text)
    while len(shown) > 1 and text_width_px(shown, size_px) > widest_px:
        shown = shown[: -max(len(shown) // 20, 2)] + "…"
    return shown


def png(image: Image) -> bytes:
    """Return an image as PNG."""
    stream = io.BytesIO()
    image.save(stream, "PNG", optimize=True)
    return stream.getvalue()
