"""The mini header of a DECTRIS detector: lines such as ``# Wavelength 0.97950 A``, in a CBF or in a TIFF."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from depositd.formats import facts

METADATA = (
    "detector",
    "detector_serial",
    "date",
    "wavelength_A",
    "distance_mm",
    "exposure_s",
    "frame_period_s",
    "start_angle_deg",
    "increment_deg",
    "beam_x_px",
    "beam_y_px",
    "pixel_x_um",
)
"""The facts that a mini header can give."""

_LINES = re.compile(
    # a literal line break and no "^": the search then jumps from line to line, which is three times as fast
    rb"\n# ?(?:(Detector|Pixel_size|Exposure_time|Exposure_period|Wavelength|Detector_distance|Beam_xy|Start_angle"
    rb"|Angle_increment)\b[ :=]*([^\r\n]*)|(\d{4}[-/]\w{2,3}[-/]\d\d[T ][^\r\n]{8,30}))"
)
_DETECTOR = re.compile(r"(?P<detector>[^,]*)(?:, *S/N *(?P<serial>[^,]*))?")
_PAIR = re.compile(r"\(\s*([-+.\deE]+)\s*,\s*([-+.\deE]+)\s*\)", re.ASCII)


def read(header: bytes) -> dict[str, str]:
    """Return the lines by their keys, and the line that is a bare date as ``date``; each line follows a line break."""
    said: dict[str, str] = {}
    for key, value, moment in _LINES.findall(header):
        if moment:
            said.setdefault("date", str(moment, "latin-1"))
        else:
            said.setdefault(key.decode("ascii"), value.decode("latin-1"))
    return said


def facts_of(said: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that these lines state; the distance is given in metres, the pixel size as well."""
    detector, serial = named(said.get("Detector", ""))
    beam = _PAIR.search(said.get("Beam_xy", ""))
    return {
        "detector": detector,
        "detector_serial": serial,
        "date": facts.iso_date(said.get("date")),
        "wavelength_A": facts.number(said.get("Wavelength")),
        "distance_mm": facts.number(said.get("Detector_distance"), 1e3),
        "exposure_s": facts.number(said.get("Exposure_time")),
        "frame_period_s": facts.number(said.get("Exposure_period")),
        "start_angle_deg": facts.number(said.get("Start_angle")),
        "increment_deg": facts.number(said.get("Angle_increment")),
        "beam_x_px": facts.number(beam[1]) if beam else None,
        "beam_y_px": facts.number(beam[2]) if beam else None,
        "pixel_x_um": facts.number(said.get("Pixel_size"), 1e6),
    }


def named(text: str) -> tuple[str | None, str | None]:
    """Return model and serial number of ``PILATUS 2M, S/N 24-0107``."""
    match = _DETECTOR.match(text)
    return (match["detector"], match["serial"]) if match else (None, None)
