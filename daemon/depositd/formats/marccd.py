"""marCCD frames (Rayonix): a TIFF directory, a header of 3,072 bytes at 1,024, then the pixels at 4,096.

Offsets from the start of the file: ``MMX`` @1028, u32 byte order @1052 (1234 or 4321), width @1104, height @1108,
bytes per pixel @1112; i32 distance @1664 (µm, where 0 @1720), beam @1668 and @1672 (1e-3 px), exposure @1680 (ms),
phi start @1708, end @1740 and range @1760 (1e-3 degree), pixel @1796 (nm), wavelength @1932 (1e-5 Å);
timestamp @2368, ``MMDDhhmmYYYY.ss``.  Source: mar's ``frame_header_type``.

Any TIFF holds *some* numbers at these places, and small counts in an image look like a small image.  So a TIFF is
marCCD only where the header names itself, or where its size is the one of the TIFF directory.
"""

from __future__ import annotations

import struct

from depositd.formats import facts
from depositd.formats.base import About
from depositd.formats.image import GROUPING, MOST_PIXELS, Fields, ImageHeader, Kind, at_least, sized
from depositd.formats.reading import ReadAt

HEADER_BYTES = 4096
_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}
_BYTE_ORDERS = (1234, 4321)


def matches(head: bytes) -> bool:
    """Say whether these first bytes are a TIFF with a marCCD header."""
    order = _ORDERS.get(head[:4])
    if order is None or len(head) < 1116:
        return False
    width, height, depth = struct.unpack_from(f"{order}3I", head, 1104)
    if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS and depth in (1, 2, 4)):
        return False
    named = head[1028:1031] == b"MMX" or struct.unpack_from(f"{order}I", head, 1052)[0] in _BYTE_ORDERS
    return named or _directory_size(head, order) == (width, height)


def _directory_size(head: bytes, order: str) -> tuple[int, int] | None:
    """Return the size that a TIFF directory near the start of the file gives; real ones stand at byte 8."""
    start = struct.unpack_from(f"{order}I", head, 4)[0]
    if not 8 <= start <= 1024 - 2:
        return None
    count = struct.unpack_from(f"{order}H", head, start)[0]
    said: dict[int, int] = {}
    for offset in range(start + 2, min(start + 2 + 12 * count, 1024), 12):
        tag, kind = struct.unpack_from(f"{order}2H", head, offset)
        said[tag] = struct.unpack_from(f"{order}{'H' if kind == 3 else 'I'}", head, offset + 8)[0]
    return (said.get(256, 0), said.get(257, 0))


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of a marCCD file says; raises Malformed."""
    head = at_least(head, HEADER_BYTES, read_at)
    order = _ORDERS.get(head[:4], "<")
    width, height, depth = struct.unpack_from(f"{order}3I", head, 1104)
    fields = Fields(head, order)
    start, end, increment = (fields.i32(offset) for offset in (1708, 1740, 1760))
    said = {
        "kind": "marCCD",
        "pixel_bits": 8 * depth,
        "date": _date(fields.text(2368, 32)),
        "wavelength_A": fields.whole(1932, 1e-5),
        "distance_mm": fields.whole(1664, 1e-3) or fields.whole(1720, 1e-3),
        "exposure_s": fields.whole(1680, 1e-3),
        "start_angle_deg": facts.scaled(float(start), 1e-3),
        "increment_deg": facts.scaled(float(increment or end - start), 1e-3),
        "beam_x_px": fields.whole(1668, 1e-3),
        "beam_y_px": fields.whole(1672, 1e-3),
        "pixel_x_um": fields.whole(1796, 1e-3),
    } | sized(width, height)
    return ImageHeader(facts.clean(said), HEADER_BYTES + width * height * depth)


KIND = Kind(
    "marCCD",
    matches,
    parse,
    About(
        "marCCD, Rayonix",
        GROUPING,
        "every frame has its header of 4,096 bytes and all its pixels; pixels left at zero are not noticed",
        (
            "date",
            "wavelength_A",
            "distance_mm",
            "exposure_s",
            "start_angle_deg",
            "increment_deg",
            "beam_x_px",
            "beam_y_px",
            "pixel_x_um",
            "width_px",
            "height_px",
        ),
    ),
)


def _date(text: str) -> str | None:
    if not (len(text) >= 12 and text[:12].isascii() and text[:12].isdigit()):
        return None
    seconds = text[13:15] if text[12:13] == "." and text[13:15].isdigit() else "00"
    return facts.iso_date(f"{text[8:12]}-{text[:2]}-{text[2:4]}T{text[4:6]}:{text[6:8]}:{seconds}")
