"""TIFF images, plain and BigTIFF, of either byte order: PILATUS, and cameras that write nothing else.

A file is whole where its directories can be read and every strip or tile lies inside it.  A PILATUS puts its mini
header into ImageDescription and ``PILATUS 2M, S/N 24-0107`` into Model.
"""

from __future__ import annotations

from typing import Any

from depositd.formats import facts, mini_header
from depositd.formats.base import About
from depositd.formats.image import GROUPING, ImageHeader, Kind, opens_with, sized
from depositd.formats.reading import Malformed, ReadAt
from depositd.formats.tiff_directory import MAGICS, MOST_PIECES, Entry, Reader

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _SAMPLES = 256, 257, 258, 259, 277
_DESCRIPTION, _MAKE, _MODEL, _DATE = 270, 271, 272, 306
_NOT_COMPRESSED = 1


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the directories of a TIFF say; raises Malformed."""
    tiff = Reader(head, read_at)
    said: dict[str, Any] = {}
    whole_bytes, left = 0, MOST_PIECES
    try:
        for tags in tiff.directories():
            said = said or _facts(tiff, tags)
            pieces = tiff.pieces(tags, left)
            left -= len(pieces)
            _check_room(tiff, tags, sum(size for _offset, size in pieces))
            whole_bytes = max(whole_bytes, max((offset + size for offset, size in pieces), default=0))
    except Malformed as error:
        raise Malformed(str(error), retry=error.retry, facts=said) from None
    if not whole_bytes:
        raise Malformed("has no image data yet", retry=True, facts=said)
    return ImageHeader(said, max(whole_bytes, tiff.end))


def _check_room(tiff: Reader, tags: dict[int, Entry], held_bytes: int) -> None:
    """Refuse an uncompressed grey image whose strips are too small for its pixels."""
    if _one(tiff, tags, _COMPRESSION, _NOT_COMPRESSED) != _NOT_COMPRESSED or _one(tiff, tags, _SAMPLES, 1) != 1:
        return
    width, height, bits = (_one(tiff, tags, tag, 1) for tag in (_WIDTH, _HEIGHT, _BITS))
    needed_bytes = (width * bits + 7) // 8 * height
    if held_bytes < needed_bytes:
        raise Malformed(
            f"has room for {held_bytes:,} bytes of image data, but its {width:,} x {height:,} pixels"
            f" take {needed_bytes:,}",
            retry=True,
        )


def _one(tiff: Reader, tags: dict[int, Entry], tag: int, otherwise: int) -> int:
    return next(iter(tiff.integers(tags.get(tag))), otherwise)


def _facts(tiff: Reader, tags: dict[int, Entry]) -> dict[str, Any]:
    size = sized(_one(tiff, tags, _WIDTH, 0), _one(tiff, tags, _HEIGHT, 0))
    make, model, date = (tiff.text(tags.get(tag)) for tag in (_MAKE, _MODEL, _DATE))
    mini = {
        b"Detector": model if make.strip() in model else make + b" " + model,
        mini_header.DATE: date.replace(b":", b"-", 2),  # 2026:11:21 02:14:07
        **mini_header.read(b"\n" + tiff.text(tags.get(_DESCRIPTION))),
    }
    return facts.clean(mini_header.facts_of(mini) | size | {"kind": "TIFF", "pixel_bits": _one(tiff, tags, _BITS, 1)})


KIND = Kind(
    "TIFF",
    opens_with(*MAGICS),
    parse,
    About(
        "TIFF, BigTIFF",
        GROUPING,
        "every frame's strips and tiles lie inside the file; pixels left at zero are not noticed",
        (*mini_header.METADATA, "width_px", "height_px"),
    ),
)
