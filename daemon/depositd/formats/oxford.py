"""Oxford Diffraction and Rigaku frames (CrysAlis): ``.img`` and ``.rodhypix``, ``OD SAPPHIRE  3.0`` and ``4.0``.

256 bytes of text, then binary sections (general, special, goniometer …) whose sizes the text gives, then at
``NHEADER`` the pixels, packed as ``COMPRESSION`` says:

* TY1: a byte for each pixel, then ``OI`` overflows of 2 bytes and ``OL`` of 4: the size is known;
* TY6: u32 size of the packed lines, the lines, then where each line begins, 4 bytes each: the size is known;
* any other: at least ``NHEADER``; only decoding would prove more, and the facts say so (``whole_unproven``).

Sources: fabio (TY1), dxtbx (TY6).
"""

from __future__ import annotations

import math
import re
import struct
from typing import Any

from depositd.formats import facts
from depositd.formats.base import About
from depositd.formats.image import (
    GROUPING,
    NEVER_WRITTEN_BYTES,
    Fields,
    ImageHeader,
    Kind,
    at_least,
    opens_with,
    sized,
)
from depositd.formats.reading import Malformed, ReadAt

_TEXT_BYTES = 256
_LEAST_HEADER_BYTES = 2560  # text, general, special and goniometer section
_MOST_HEADER_BYTES = 1 << 18
_ITEM = re.compile(rb"\b([A-Z]{2,11})= *(\d{1,9})")
_PACKING = re.compile(rb"COMPRESSION= ?([A-Z0-9]{2,4})")
_TIME = re.compile(rb"TIME=([ -~]{10,40})")
_OMEGA, _PHI = 0, 3
_DETECTORS = {
    0: "Sapphire/KM4CCD",
    1: "Sapphire2-Kodak",
    2: "Sapphire3-Kodak",
    3: "Onyx-Kodak",
    7: "Pilatus 300K-Dectris",
}


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of an Oxford frame says; raises Malformed."""
    items = _ITEM.findall(at_least(head, _TEXT_BYTES, read_at)[:_TEXT_BYTES])
    said = {key.decode("ascii"): int(value) for key, value in reversed(items)}  # NS stands twice: the first is meant
    header_bytes = said.get("NHEADER", 0)
    if not _LEAST_HEADER_BYTES <= header_bytes <= _MOST_HEADER_BYTES:
        raise Malformed(f"has an impossible NHEADER of {header_bytes:,}")
    head = at_least(head, header_bytes, read_at)[:header_bytes]
    size = sized(said.get("NX", 0), said.get("NY", 0))
    packing = _PACKING.search(head[:_TEXT_BYTES])
    packed_as = packing[1].decode("ascii") if packing else "unnamed"
    clean = facts.clean(_facts(head, said, items) | size)
    if packed_as == "TY1":
        return ImageHeader(clean, _ty1_end(header_bytes, said, clean, read_at))
    if packed_as == "TY6":
        return ImageHeader(clean, _ty6_end(header_bytes, said["NY"], clean, read_at))
    clean["whole_unproven"] = f"the size of {packed_as} compressed pixels is not known"
    return ImageHeader(clean, header_bytes)


def _ty1_end(start: int, said: dict[str, int], clean: dict[str, Any], read_at: ReadAt) -> int:
    """Return where TY1 data end; refuse a page of zeros: each would be a step down by 127, 4,096 times in a row."""
    bytes_end = start + said["NX"] * said["NY"]
    last = read_at(bytes_end - NEVER_WRITTEN_BYTES, NEVER_WRITTEN_BYTES) if bytes_end - start > len(_ZEROS) else b""
    if last == _ZEROS:
        raise Malformed("ends in pixels that were never written", retry=True, facts=clean)
    return bytes_end + 2 * said.get("OI", 0) + 4 * said.get("OL", 0)


def _ty6_end(start: int, lines: int, clean: dict[str, Any], read_at: ReadAt) -> int:
    """Return where TY6 data end; refuse a last line that does not begin inside them."""
    counted = read_at(start, 4)
    if len(counted) < 4:
        raise Malformed("ends before its pixels begin", retry=True, facts=clean)
    packed_bytes: int = struct.unpack("<I", counted)[0]
    end = start + 4 + packed_bytes + 4 * lines
    last = read_at(end - 4, 4)
    if len(last) == 4 and not (0 < struct.unpack("<I", last)[0] < packed_bytes or lines == 1):
        raise Malformed("has an index of lines that was never written", retry=True, facts=clean)
    return end


_ZEROS = bytes(NEVER_WRITTEN_BYTES)


def _facts(head: bytes, said: dict[str, int], items: list[tuple[bytes, bytes]]) -> dict[str, Any]:
    sections = [int(value) for key, value in items if key in (b"NG", b"NS", b"NK", b"NH")]
    version_3 = head[12:17].strip().startswith(b"3")
    text_bytes = said["NHEADER"] - sum(sections) if version_3 and len(sections) == 5 else _TEXT_BYTES
    special = text_bytes + said.get("NG", 512)
    goniometer = special + said.get("NS", 768)
    if text_bytes < 0 or goniometer + 720 > len(head):
        raise Malformed("has sections that do not fit its header")
    fields = Fields(head, "<")
    time = _TIME.search(head[:_TEXT_BYTES])
    start, increment = _scan(fields, goniometer)
    return {
        "kind": "Oxford",
        "detector": _DETECTORS.get(fields.i32(special + 548)),
        "date": facts.iso_date(time[1].decode("ascii")) if time else None,
        "wavelength_A": _told(fields, goniometer + 584) or _told(fields, goniometer + 568),
        "distance_mm": _told(fields, goniometer + 712),
        "exposure_s": _told(fields, special + 480),
        "start_angle_deg": start,
        "increment_deg": increment,
        "beam_x_px": _told(fields, goniometer + 664),
        "beam_y_px": _told(fields, goniometer + 672),
        "pixel_x_um": facts.scaled(_told(fields, special + 568), 1e3),
    }


def _told(fields: Fields, offset: int) -> float | None:
    """Return a number of double precision where it is one that a detector could have: finite and above zero."""
    value = fields.double(offset)
    return float(f"{value:.10g}") if 1e-9 < value < 1e9 else None


def _scan(fields: Fields, goniometer: int) -> tuple[float | None, float | None]:
    """Return start and increment in degrees of the axis that turns, omega or phi; the header counts motor steps."""
    for axis in (_OMEGA, _PHI):
        start, end = fields.i32(goniometer + 284 + 4 * axis), fields.i32(goniometer + 324 + 4 * axis)
        step_deg = math.degrees(fields.double(goniometer + 368 + 8 * axis))
        if start != end and math.isfinite(step_deg):
            return float(f"{start * step_deg:.7g}"), float(f"{(end - start) * step_deg:.7g}")
    return None, None


KIND = Kind(
    "Oxford",
    opens_with(b"OD SAPPHIRE"),
    parse,
    About(
        "Oxford Diffraction .img, Rigaku .rodhypix",
        GROUPING,
        "TY1, TY6: every frame has all bytes that its header counts; other packings: the header only",
        (
            "detector",
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
