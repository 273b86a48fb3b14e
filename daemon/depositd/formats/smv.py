"""SMV frames (ADSC, Rigaku d*TREK): a text header of ``HEADER_BYTES`` bytes, then the pixels, nothing else."""

from __future__ import annotations

import re
from typing import Any

from depositd.formats import facts
from depositd.formats.base import About
from depositd.formats.image import GROUPING, ImageHeader, Kind, at_least
from depositd.formats.reading import Malformed, ReadAt

_OPENING = re.compile(rb"\{\s*HEADER_BYTES\s*=\s*(\d{1,7})\s*;")
_ITEM = re.compile(rb"([A-Za-z_]\w{0,60})[ \t]{0,40}=[ \t]{0,40}([^;\r\n]{0,200})")
_LONGEST_HEADER_BYTES = 1 << 20

_PIXEL_BYTES = {
    "unsigned_char": 1,
    "signed_char": 1,
    "unsigned_short": 2,
    "signed_short": 2,
    "short": 2,
    "unsigned_short_int": 2,
    "short_int": 2,
    "long": 4,
    "signed_long": 4,
    "unsigned_long": 4,
    "long_int": 4,
    "unsigned_long_int": 4,
    "long_integer": 4,
    "int": 4,
    "signed_int": 4,
    "unsigned_int": 4,
    "float": 4,
    "float_ieee": 4,
    "double": 8,
}
_DEFAULT_TYPE = "unsigned_short"  # what ADSC's own reader assumes where a header has no TYPE


def matches(head: bytes) -> bool:
    """Say whether these first bytes open an SMV header."""
    return head.startswith(b"{") and _OPENING.match(head[:64]) is not None


def parse(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return what the header of an SMV file says; raises Malformed."""
    opening = _OPENING.match(head)
    if opening is None:
        raise Malformed("does not begin with HEADER_BYTES")
    header_bytes = int(opening[1])
    if not 0 < header_bytes <= _LONGEST_HEADER_BYTES:
        raise Malformed(f"has an impossible HEADER_BYTES of {header_bytes:,}")
    header = at_least(head, header_bytes, read_at)[:header_bytes]
    said = {key.decode("ascii"): value.decode("latin-1").strip() for key, value in _ITEM.findall(header)}
    width, height = (_pixels(said, key) for key in ("SIZE1", "SIZE2"))
    kind = said.get("TYPE") or said.get("Data_type") or _DEFAULT_TYPE
    pixel_bytes = _PIXEL_BYTES.get(re.sub(r"[\s_]+", "_", kind.lower()))
    if pixel_bytes is None:
        raise Malformed(f"has pixels of the unknown TYPE {kind[:40]!r}")
    said_facts = _facts(said) | {"width_px": width, "height_px": height, "pixel_bits": 8 * pixel_bytes}
    return ImageHeader(facts.clean(said_facts), header_bytes + width * height * pixel_bytes)


KIND = Kind(
    "SMV",
    matches,
    parse,
    About(
        "ADSC, Rigaku d*TREK (SMV)",
        GROUPING,
        "every frame has HEADER_BYTES and all its pixels; pixels left at zero are not noticed",
        (
            "detector",
            "detector_serial",
            "header_beamline",
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


def _pixels(said: dict[str, str], key: str) -> int:
    text = said.get(key, "")
    if not (text.isascii() and text.isdigit() and 0 < len(text) <= 6):
        raise Malformed(f"does not say {key}")
    return int(text)


def _facts(said: dict[str, str]) -> dict[str, Any]:
    pixel_mm = facts.number(said.get("PIXEL_SIZE"))
    rotation = [facts.number(part) for part in said.get("ROTATION", "").split()]  # d*TREK: start end increment time
    start, increment, exposure = (rotation[0], rotation[2], rotation[3]) if len(rotation) >= 4 else (None,) * 3
    wavelength = facts.number(said.get("WAVELENGTH"))
    if wavelength is None:  # d*TREK: the number of wavelengths, then each
        wavelength = facts.number(" ".join(said.get("SOURCE_WAVELENGTH", "").split()[1:]))
    return {
        "kind": "SMV",
        "detector": said.get("DETECTOR_NAME") or said.get("DETECTOR_NAMES"),
        "detector_serial": said.get("DETECTOR_SN"),
        "header_beamline": said.get("BEAMLINE"),
        "date": facts.iso_date(said.get("DATE") or said.get("DTREK_DATE_TIME")),
        "wavelength_A": wavelength,
        "distance_mm": facts.number(said.get("DISTANCE")),
        "exposure_s": exposure if (time := facts.number(said.get("TIME"))) is None else time,
        "start_angle_deg": start if (angle := facts.number(said.get("OSC_START"))) is None else angle,
        "increment_deg": increment if (width := facts.number(said.get("OSC_RANGE"))) is None else width,
        "beam_x_px": _beam_px(said.get("BEAM_CENTER_X"), pixel_mm),
        "beam_y_px": _beam_px(said.get("BEAM_CENTER_Y"), pixel_mm),
        "pixel_x_um": facts.scaled(pixel_mm, 1e3),
    }


def _beam_px(text: str | None, pixel_mm: float | None) -> float | None:
    """Return the beam centre, which ADSC gives in millimetres, in pixels."""
    beam_mm = facts.number(text)
    return None if beam_mm is None or not pixel_mm else facts.scaled(beam_mm / pixel_mm, 1.0)
