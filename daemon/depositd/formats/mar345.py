"""MAR345 image plates: a header of 4,096 bytes, records of pixels above 65,535, then a packed image.

The header has sixteen i32 (@0 is 1234 and tells the byte order) and lines of text from @64 on (``mar research``).
The records take 64 bytes for every 8 of the pixels counted @8.  The image opens with a line such as
``CCP4 packed image, X: 2300, Y: 2300``; its length is written nowhere.

What is proven: the packed image is walked from chunk to chunk (each says how many pixels of how many bits follow; no
pixel is decoded) until all X·Y pixels have been counted.  A file that ends before that is not whole.  The walk gives up
after 1,500,000 chunks or 32 MiB, about a second; such a frame, and one in the ``SPIRAL`` format, which nobody has
documented, is ``whole_unproven``.  A damaged pixel is not noticed; a page of zeros, which no packer writes, is.
Sources: mar345 formats (marresearch); the CCP4 packer of J. P. Abrahams.
"""

from __future__ import annotations

import re
from typing import Any

from depositd.formats import facts, mar345_packed
from depositd.formats.base import About
from depositd.formats.image import GROUPING, Fields, ImageHeader, Kind, at_least, sized
from depositd.formats.reading import Malformed, ReadAt

_HEADER_BYTES = 4096
_ORDERS = {b"\xd2\x04\0\0": "<", b"\0\0\x04\xd2": ">"}
_MOST_HIGH_PIXELS = 1 << 24
_SPIRAL = 2
_OPENING = re.compile(rb"CCP4 packed image( V2)?, X: *(\d{1,5}), Y: *(\d{1,5})\n")
_LINE = re.compile(rb"^(DATE|SCANNER|CENTER|TIME|REMARK)[ \t]+([ -~]{1,64})", re.MULTILINE)
_CENTRE = re.compile(r"X\s+(\S+)\s+Y\s+(\S+)")


def matches(head: bytes) -> bool:
    """Say whether these first bytes are a MAR345 header."""
    return head[:4] in _ORDERS and b"mar research" in head[:140]


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of a MAR345 frame says, and walk its packed image; raises Malformed."""
    head = at_least(head, _HEADER_BYTES, read_at)[:_HEADER_BYTES]
    fields = Fields(head, _ORDERS[head[:4]])
    width, high_pixels, layout, pixels = (fields.i32(offset) for offset in (4, 8, 12, 20))
    said = facts.clean(_facts(fields, head) | sized(width, pixels // width if width > 0 else 0))
    if not 0 <= high_pixels <= _MOST_HIGH_PIXELS:
        raise Malformed(f"has an impossible number of {high_pixels:,} high pixels", facts=said)
    start = _HEADER_BYTES + (high_pixels + 7) // 8 * 64
    if layout == _SPIRAL:
        said["whole_unproven"] = "the SPIRAL format is not documented"
        return ImageHeader(said, start)
    opening_bytes = read_at(start, 128)
    opening = _OPENING.search(opening_bytes)
    if opening is None:
        short = len(opening_bytes) < 128
        raise Malformed("has no packed image behind its header", retry=short or not any(opening_bytes), facts=said)
    stated = (int(opening[2]), int(opening[3]))
    if stated != (said["width_px"], said["height_px"]):
        sizes = f"{stated[0]:,} x {stated[1]:,} pixels, but its header of {width:,} x {said['height_px']:,}"
        raise Malformed(f"has a packed image of {sizes}", facts=said)
    return _walked(
        said, start + opening.end(), stated[0] * stated[1], mar345_packed.VERSIONS[bool(opening[1])], read_at
    )


def _walked(
    said: dict[str, Any], start: int, pixels: int, version: mar345_packed.Version, read_at: ReadAt
) -> ImageHeader:
    walk = mar345_packed.walk(version, pixels, lambda offset, count: read_at(start + offset, count))
    if walk.problem:
        raise Malformed(walk.problem, retry=True, facts=said)
    if walk.pixels > pixels:  # packers stop at the last pixel; decoders that trust them write behind their image
        raise Malformed(f"has a packed image of more than its {pixels:,} pixels", facts=said)
    if walk.pixels < pixels and not walk.at_end:
        said["whole_unproven"] = f"its packed image was followed for {walk.pixels:,} of {pixels:,} pixels"
    elif walk.pixels < pixels:
        raise Malformed(
            f"ends after {walk.pixels:,} of the {pixels:,} pixels of its packed image", retry=True, facts=said
        )
    return ImageHeader(said, start + walk.size_bytes)


def _facts(fields: Fields, head: bytes) -> dict[str, Any]:
    lines = {key.decode("ascii"): value.decode("ascii").strip() for key, value in _LINE.findall(head[64:])}
    start, end = fields.i32(40), fields.i32(44)
    if start == end:  # phi stands still: omega turns, or nothing does
        start, end = fields.i32(48), fields.i32(52)
    centre = _CENTRE.search(lines.get("CENTER", ""))
    return {
        "kind": "MAR345",
        "detector_serial": lines.get("SCANNER"),
        "sample": lines.get("REMARK"),
        "date": facts.iso_date(lines.get("DATE")),
        "wavelength_A": fields.whole(32, 1e-6),
        "distance_mm": fields.whole(36, 1e-3),
        "exposure_s": facts.number(lines.get("TIME")),
        "start_angle_deg": facts.scaled(float(start), 1e-3),
        "increment_deg": facts.scaled(float(end - start), 1e-3),
        "beam_x_px": facts.number(centre[1]) if centre else None,
        "beam_y_px": facts.number(centre[2]) if centre else None,
        "pixel_x_um": fields.whole(24, 1.0),
    }


KIND = Kind(
    "MAR345",
    matches,
    parse,
    About(
        "MAR345",
        GROUPING,
        "every frame's packed image holds all its pixels (counted chunk by chunk, not decoded)",
        (
            "detector_serial",
            "sample",
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
