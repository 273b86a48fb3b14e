"""What headers say, under one set of keys for every format.

=================  =====================================================================
key                meaning
=================  =====================================================================
detector           the detector's model, as its header names it
detector_serial    its serial number
instrument         the instrument (mass spectrometer, beamline end station)
instrument_serial  its serial number
header_beamline    the beamline, where a header names one; ``beamline`` is the diffraction server's own key,
                   which a header's free text must not fill
sample             the sample, as typed in by the user
date               start of the acquisition as ISO 8601 in the instrument's own local time
wavelength_A       wavelength, in ångström
distance_mm        sample to detector, in millimetres
exposure_s         exposure of one frame, in seconds
frame_period_s     from the start of one frame to the start of the next, in seconds
start_angle_deg    angle at which the frame (for a dataset: the first frame) begins, in degrees
increment_deg      angle that one frame covers, in degrees
beam_x_px          beam centre along the fast axis, in pixels
beam_y_px          beam centre along the slow axis, in pixels
pixel_x_um         pixel size along the fast axis, in micrometres
width_px           pixels along the fast axis
height_px          pixels along the slow axis
frames             number of frames
run_time_min       length of a chromatographic run, in minutes
=================  =====================================================================

A key is left out where a header does not say, or says something that is no finite number.  Texts are
printable and at most 200 characters long: they come from files and go into pages, logs and requests.
"""

from __future__ import annotations

import functools
import math
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from depositd.model import Metadata
from depositd.units import printable

KEYS = (
    "detector",
    "detector_serial",
    "instrument",
    "instrument_serial",
    "header_beamline",
    "sample",
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
    "width_px",
    "height_px",
    "frames",
    "run_time_min",
)
"""Every key that *metadata* of a format can return."""

LONGEST_TEXT = 200
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,4})?", re.ASCII)
_YEAR_FIRST = re.compile(r"(\d{4})[-/](\w{2,3})[-/](\d{1,2})[T ]\s*(\d{1,2}):(\d\d):(\d\d)(\.\d{1,9})?", re.ASCII)
_YEAR_LAST = re.compile(r"(?:\w{3},? )?(\w{3})\s+(\d{1,2})\s+(\d{1,2}):(\d\d):(\d\d)(\.\d{1,9})?\s+(\d{4})", re.ASCII)


def clean(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts without those that say nothing: None, empty texts and numbers that are not finite."""
    kept: dict[str, Any] = {}
    for key, value in said.items():
        if isinstance(value, str):
            shown = _shown(value.strip(" \t\r\n\0"))
            if shown:
                kept[key] = shown
        elif isinstance(value, float):
            if math.isfinite(value):
                kept[key] = value
        elif value is not None:
            kept[key] = value
    return kept


def _shown(text: str) -> str:
    """Return a printable text; the plain ASCII of most headers is that already."""
    plain = len(text) <= LONGEST_TEXT and text.isascii() and text.isprintable()
    return text if plain else printable(text, LONGEST_TEXT)


class SharedFacts(Mapping[str, Any]):
    """The facts of one frame: its own, and those that it shares with thousands of others.

    All frames of a series say the same of their detector: such ``settings`` are kept once, so that a series of
    100,000 frames fits into memory and is compared setting by setting, not frame by frame.
    """

    __slots__ = ("date", "frame_number", "settings", "start_angle_deg")

    def __init__(
        self, settings: Mapping[str, Any], date: str | None, start_angle_deg: float | None, frame_number: int | None
    ) -> None:
        self.settings = settings
        self.date = date
        self.start_angle_deg = start_angle_deg
        self.frame_number = frame_number

    def __getitem__(self, key: str) -> Any:
        if key in OWN:
            value = getattr(self, key)
            if value is None:
                raise KeyError(key)
            return value
        return self.settings[key]

    def __iter__(self) -> Iterator[str]:
        yield from (key for key in OWN if getattr(self, key) is not None)
        yield from self.settings

    def __len__(self) -> int:
        return len(self.settings) + sum(getattr(self, key) is not None for key in OWN)

    def __bool__(self) -> bool:
        return bool(self.settings) or len(self) > 0


OWN = ("date", "start_angle_deg", "frame_number")
"""What differs from frame to frame."""


def shared(said: Mapping[str, Any]) -> SharedFacts:
    """Return one frame's facts with its settings shared with all frames that say the same."""
    settings = tuple(item for item in said.items() if item[0] not in OWN)
    return SharedFacts(_settings(settings), said.get("date"), said.get("start_angle_deg"), said.get("frame_number"))


def date_of(said: Mapping[str, Any]) -> str | None:
    """Return the date of a frame, quickly where its facts are shared ones."""
    return said.date if type(said) is SharedFacts else said.get("date")


@functools.lru_cache(maxsize=4096)
def _settings(items: tuple[tuple[str, Any], ...]) -> Mapping[str, Any]:
    return dict(items)


def start_of(said: Mapping[str, Any]) -> float | None:
    """Return the angle at which a frame begins, quickly where its facts are shared ones."""
    return said.start_angle_deg if type(said) is SharedFacts else said.get("start_angle_deg")


def metadata_of(facts: Mapping[str, Any]) -> Metadata:
    """Return those of a probe's facts that are metadata."""
    return {key: facts[key] for key in KEYS if key in facts}


def number(text: str | None, scale: float = 1.0) -> float | None:
    """Return the first number in a text times ``scale``, or None where there is none."""
    match = _NUMBER.search(text) if text else None
    return _rounded(float(match[0]), scale) if match else None


def _rounded(value: float, scale: float) -> float:
    """Scale without the dust of binary fractions (0.172 m is 172 mm, not 171.99999999999997 mm)."""
    return value if scale == 1.0 else float(f"{value * scale:.10g}")


def scaled(value: float | None, scale: float) -> float | None:
    """Return ``value * scale`` to ten digits, None for None."""
    return None if value is None else _rounded(value, scale)


def minutes_of(part_min: float, whole_min: float) -> str:
    """Return "1.00 of 2.50 min", with as many more decimals as it takes to tell two different numbers apart."""
    for decimals in range(2, 8):
        part, whole = f"{part_min:.{decimals}f}", f"{whole_min:.{decimals}f}"
        if part != whole:
            break
    return f"{part} of {whole} min"


def iso_date(text: str | None) -> str | None:
    """Return the ISO 8601 form of a date as detectors write it, or None.

    Known are ``2011-07-14T12:45:19.719``, ``2011/Jul/14 12:45:19.719`` (PILATUS) and
    ``Tue Jun 26 09:43:09 2007`` (ADSC).
    """
    if not text:
        return None
    if text[4:5] == "-" and text[10:11] == "T" and text[-1:].isdigit():  # most headers, and every frame has one
        with suppress(ValueError):
            plain = datetime.fromisoformat(text)
            if plain.tzinfo is None and len(text) >= len("2011-07-14T12:45:19"):
                return plain.isoformat(timespec="milliseconds" if "." in text else "seconds")
    if match := _YEAR_FIRST.search(text):
        year, month, day, hour, minute, second, fraction = match.groups()
    elif match := _YEAR_LAST.search(text):
        month, day, hour, minute, second, fraction, year = match.groups()
    else:
        return None
    try:
        month_number = int(month) if month.isdigit() else _MONTHS.index(month.lower()) + 1
        microsecond = round(float(fraction or 0) * 1e6) % 1_000_000
        moment = datetime(  # noqa: DTZ001 - the instrument's local time; headers name no zone
            int(year), month_number, int(day), int(hour), int(minute), int(second), microsecond
        )
    except ValueError:
        return None
    return moment.isoformat(timespec="milliseconds" if fraction else "seconds")
