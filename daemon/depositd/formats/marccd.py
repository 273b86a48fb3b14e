"""marCCD frames (Rayonix): a little-endian TIFF of 1,024 bytes, a header of 3,072 bytes, then the pixels.

Offsets from the start of the file: u32 width @1104, height @1108, bytes per pixel @1112; i32 distance @1664 (µm,
where 0 @1720), beam @1668 and @1672 (1e-3 px), exposure @1680 (ms), phi start @1708, end @1740 and range @1760
(1e-3 degree), pixel @1796 (nm), wavelength @1932 (1e-5 Å); timestamp @2368, ``MMDDhhmmYYYY.ss``.
"""

from __future__ import annotations

import struct
from typing import Any

from depositd.formats import facts
from depositd.formats.image import ImageHeader, NeedsMore
from depositd.formats.reading import Malformed

MAGIC = b"II*\0"
HEADER_BYTES = 4096
_MOST_PIXELS = 65_536


def parse(head: bytes) -> ImageHeader:
    """Return what the first bytes of a marCCD file say; raises NeedsMore or Malformed."""
    if len(head) < HEADER_BYTES:
        raise NeedsMore
    width, height, depth = struct.unpack_from("<3I", head, 1104)
    if not (0 < width <= _MOST_PIXELS and 0 < height <= _MOST_PIXELS and depth in (1, 2, 4)):
        raise Malformed("is a TIFF image without a marCCD header, which this release does not support")
    return ImageHeader(
        facts.clean(_facts(head) | {"width_px": width, "height_px": height}), HEADER_BYTES + width * height * depth
    )


def _facts(head: bytes) -> dict[str, Any]:
    def i32(offset: int) -> int:
        value: int = struct.unpack_from("<i", head, offset)[0]
        return value

    def scaled(offset: int, scale: float) -> float | None:
        value = i32(offset)
        return facts.scaled(float(value), scale) if value else None

    start, end, width = (i32(offset) for offset in (1708, 1740, 1760))
    return {
        "kind": "marCCD",
        "date": _date(head[2368:2400]),
        "wavelength_A": scaled(1932, 1e-5),
        "distance_mm": scaled(1664, 1e-3) or scaled(1720, 1e-3),
        "exposure_s": scaled(1680, 1e-3),
        "start_angle_deg": facts.scaled(float(start), 1e-3),
        "increment_deg": facts.scaled(float(width or end - start), 1e-3),
        "beam_x_px": scaled(1668, 1e-3),
        "beam_y_px": scaled(1672, 1e-3),
        "pixel_x_um": scaled(1796, 1e-3),
    }


def _date(raw: bytes) -> str | None:
    text = raw.split(b"\0")[0].decode("latin-1").strip()
    if not (len(text) >= 12 and text[:12].isascii() and text[:12].isdigit()):
        return None
    seconds = text[13:15] if text[12:13] == "." and text[13:15].isdigit() else "00"
    return facts.iso_date(f"{text[8:12]}-{text[:2]}-{text[2:4]}T{text[4:6]}:{text[6:8]}:{seconds}")
