"""R-AXIS image plates (Rigaku): a binary header of one record, then a record for each line of pixels.

A record has the length @784, there are as many as @788 says; ``longs`` and ``floats`` are big-endian where the host
@812 is SGI or IRIS.  Others are little-endian by custom, but programs disagree, so where the numbers make no sense the
other order is tried.  Source: Rigaku's ``RigakuHeader``.  The exposure is given in minutes.
"""

from __future__ import annotations

import re
from typing import Any

from depositd.formats import facts
from depositd.formats.base import About
from depositd.formats.image import GROUPING, MOST_PIXELS, Fields, ImageHeader, Kind, at_least, opens_with, sized
from depositd.formats.reading import Malformed, ReadAt

_HEADER_BYTES = 1024
_BIG_ENDIAN_HOSTS = ("SGI", "IRIS")
_PIXEL_BYTES = 2
_LONGEST_RECORD_BYTES = 1 << 20
_DAY_FIRST = re.compile(r"(\d{1,2})-(\w{3})-(\d{4})", re.ASCII)


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of an R-AXIS file says; raises Malformed."""
    head = at_least(head, _HEADER_BYTES, read_at)
    orders = "><" if Fields(head, ">").text(812, 10) in _BIG_ENDIAN_HOSTS else "<>"
    fields = next((fields for order in orders if _sensible(fields := Fields(head, order))), None)
    if fields is None:
        raise Malformed("has no possible numbers of pixels and records in its header")
    width, height, record_bytes, records = (fields.i32(offset) for offset in (768, 772, 784, 788))
    said = _facts(fields) | sized(width, height)
    if record_bytes * records < width * height * _PIXEL_BYTES:
        raise Malformed(
            f"says that it has {records:,} records of {record_bytes:,} bytes, too few for its"
            f" {width:,} x {height:,} pixels"
        )
    return ImageHeader(facts.clean(said), record_bytes * (1 + records))


def _sensible(fields: Fields) -> bool:
    width, height, record_bytes, records = (fields.i32(offset) for offset in (768, 772, 784, 788))
    return (
        0 < width <= MOST_PIXELS
        and 0 < height <= MOST_PIXELS
        and 0 < record_bytes <= _LONGEST_RECORD_BYTES
        and 0 < records <= MOST_PIXELS
    )


def _facts(fields: Fields) -> dict[str, Any]:
    datum, start, end = (fields.single(offset) for offset in (520, 524, 528))
    return {
        "kind": "R-AXIS",
        "detector": fields.text(0, 10),
        "sample": fields.text(20, 20),
        "date": _date(fields.text(256, 12)) or _date(fields.text(172, 12)),  # the latter as fabio has it
        "wavelength_A": fields.single(292) or None,
        "distance_mm": fields.single(344) or None,
        "exposure_s": float(f"{fields.single(536) * 60:.6g}") or None,
        "start_angle_deg": float(f"{datum + start:.7g}"),
        "increment_deg": float(f"{end - start:.7g}"),
        "beam_x_px": fields.single(540) or None,
        "beam_y_px": fields.single(544) or None,
        "pixel_x_um": facts.scaled(fields.single(776), 1e3) or None,
        "frame_number": fields.i32(532),
    }


def _date(text: str) -> str | None:
    """Return the day on which the frame was taken, at midnight: the header has no time of day."""
    text = _DAY_FIRST.sub(r"\3-\2-\1", text)
    return facts.iso_date(f"{text} 00:00:00")


KIND = Kind(
    "R-AXIS",
    opens_with(b"RAXIS", b"R-AXIS"),
    parse,
    About(
        "R-AXIS",
        GROUPING,
        "every frame has all records that its header counts; pixels left at zero are not noticed",
        (
            "detector",
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
