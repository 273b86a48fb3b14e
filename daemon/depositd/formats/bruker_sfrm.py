"""Bruker frames (``.sfrm``), formats 86 and 100: lines of 80 characters, pixels, then tables of overflows.

The header has ``HDRBLKS`` blocks of 512 bytes; its pixels are ``NROWS`` x ``NCOLS`` x the first number of
``NPIXELB`` bytes.  What does not fit a pixel follows in tables, counted by ``NOVERFL``:

* format 86: one table, 16 characters for each (9 of intensity, 7 of position);
* format 100: underflows (the second number of ``NPIXELB`` bytes each; -1 for no table), overflows of 2 bytes, overflows
  of 4 bytes, each table padded to 16 bytes.

Real files end where the last table does, or are padded further, so a whole file has *at least* these bytes.
Sources: Bruker's frame file format as fabio and dxtbx read it.  ``NFRAMES`` is the length of the series.
The pixel size is left out: ``DETTYPE`` counts pixels per centimetre of another binning.
"""

from __future__ import annotations

import re
from typing import Any

from depositd.formats import facts
from depositd.formats.base import About
from depositd.formats.image import GROUPING, ImageHeader, Kind, at_least, opens_with, sized
from depositd.formats.reading import Malformed, ReadAt

_LINE_BYTES = 80
_BLOCK_BYTES = 512
_FIRST_BYTES = 5 * _BLOCK_BYTES  # HDRBLKS stands among these
_MOST_BLOCKS = 1024
_MOST_OVERFLOWS = 1 << 32
_RECORD_86 = re.compile(rb"[ 0-9]{16}")
_DAY_FIRST = re.compile(r"(\d{1,2})-(\w{3})-(\d{4})", re.ASCII)
_MONTH_FIRST = re.compile(r"(\d{1,2})/(\d{1,2})/(\d{4})", re.ASCII)


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of a Bruker frame says; raises Malformed."""
    head = at_least(head, _FIRST_BYTES, read_at)
    blocks = _numbers(_lines(head[:_FIRST_BYTES]), "HDRBLKS")[:1]
    if not blocks or not 0 < blocks[0] <= _MOST_BLOCKS:
        raise Malformed("has no possible HDRBLKS in its header")
    start = blocks[0] * _BLOCK_BYTES
    said = _lines(at_least(head, start, read_at)[:start])
    height, width, pixel_bytes = (_first(said, key) for key in ("NROWS", "NCOLS", "NPIXELB"))
    if pixel_bytes not in (1, 2, 4):
        raise Malformed(f"has pixels of an impossible {pixel_bytes} bytes")
    clean = facts.clean(_facts(said) | sized(width, height) | {"pixel_bits": 8 * pixel_bytes})
    pixels_end = start + width * height * pixel_bytes
    overflows = _numbers(said, "NOVERFL")[:3]
    if any(count > _MOST_OVERFLOWS for count in overflows):
        raise Malformed("has an impossible NOVERFL in its header", facts=clean)
    if said.get("FORMAT") == "100":
        return ImageHeader(clean, _tables_end(pixels_end, overflows, _numbers(said, "NPIXELB")))
    records_end = pixels_end + 16 * max(next(iter(overflows), 0), 0)
    if records_end > pixels_end:
        last = read_at(records_end - 16, 16)
        if len(last) == 16 and not _RECORD_86.fullmatch(last):
            raise Malformed("has no numbers at the end of its table of overflows", retry=True, facts=clean)
    return ImageHeader(clean, records_end)


def _tables_end(start: int, counts: list[int], pixel_bytes: list[int]) -> int:
    """Return where the tables of format 100 end; the padding of the last one may be missing."""
    end, padded = start, start
    underflow_bytes = pixel_bytes[1] if len(pixel_bytes) > 1 else 1
    for count, each_bytes in zip(counts, (min(max(underflow_bytes, 1), 4), 2, 4), strict=False):
        if count > 0:
            end = padded + count * each_bytes
            padded += (count * each_bytes + 15) // 16 * 16
    return end


def _lines(header: bytes) -> dict[str, str]:
    """Return the first line of each key."""
    said: dict[str, str] = {}
    for at in range(0, len(header), _LINE_BYTES):
        key, colon, value = header[at : at + _LINE_BYTES].decode("latin-1").partition(":")
        if colon and len(key) <= 8:
            said.setdefault(key.strip(), value.strip(" \0"))
    return said


def _numbers(said: dict[str, str], key: str) -> list[int]:
    words = said.get(key, "").split()[:8]
    return [int(word) for word in words if word.isascii() and word.removeprefix("-").isdigit() and len(word) < 12]


def _first(said: dict[str, str], key: str) -> int:
    numbers = _numbers(said, key)
    if not numbers:
        raise Malformed(f"does not say {key}")
    return numbers[0]


def _facts(said: dict[str, str]) -> dict[str, Any]:
    centre = said.get("CENTER", "").split()[-2:]  # of the raw and of the unwarped frame; the last pair is this one's
    frames = [count for count in _numbers(said, "NFRAMES")[:1] if count > 0]
    return {
        "kind": "Bruker",
        "detector": next(iter(said.get("DETTYPE", "").split()), None),
        "instrument": said.get("MODEL"),
        "sample": said.get("SAMPLE"),
        "date": _date(said.get("CREATED", "")),
        "wavelength_A": facts.number(said.get("WAVELEN")),
        "distance_mm": _distance_mm(said.get("DISTANC", "")),
        "exposure_s": facts.number(said.get("ELAPSDR")),
        "start_angle_deg": facts.number(said.get("START")),
        "increment_deg": facts.number(said.get("INCREME")),
        "beam_x_px": facts.number(centre[0]) if len(centre) == 2 else None,
        "beam_y_px": facts.number(centre[1]) if len(centre) == 2 else None,
        "expected_frames": next(iter(frames), None),
        "frame_number": next(iter(_numbers(said, "NUMBER")), None),
    }


def _distance_mm(text: str) -> float | None:
    """Return the distance in millimetres; the header has centimetres, of the grid and (newer) of the phosphor."""
    return facts.number(next(reversed(text.split()[:2]), None), 10.0)


def _date(text: str) -> str | None:
    """Return the ISO form of ``21-Nov-2026 02:14:07``, ``11/21/2026 02:14:07`` or what other detectors write."""
    text = _DAY_FIRST.sub(r"\3-\2-\1", text)
    return facts.iso_date(_MONTH_FIRST.sub(r"\3-\1-\2", text))


KIND = Kind(
    "Bruker",
    opens_with(b"FORMAT :"),
    parse,
    About(
        "Bruker .sfrm (86, 100)",
        GROUPING,
        "NFRAMES frames, each with all its pixels and overflows; pixels left at zero are not noticed",
        (
            "detector",
            "instrument",
            "sample",
            "date",
            "wavelength_A",
            "distance_mm",
            "exposure_s",
            "start_angle_deg",
            "increment_deg",
            "beam_x_px",
            "beam_y_px",
            "width_px",
            "height_px",
        ),
    ),
)
