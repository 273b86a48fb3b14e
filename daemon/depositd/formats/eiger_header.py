"""The metadata in an Eiger master or an NXmx file, under the keys of :mod:`depositd.formats.facts`."""

from __future__ import annotations

from typing import Any

from depositd.formats import facts
from depositd.formats.hdf5_values import (
    ANGLES_IN_DEG,
    LENGTHS_IN_A,
    LENGTHS_IN_M,
    TIMES_IN_S,
    attribute,
    plain,
    real,
    text,
    whole,
)

DETECTOR = "entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
KEYS = tuple(key for key in facts.KEYS if key != "run_time_min")

_OMEGA = (
    "entry/sample/goniometer/omega",
    "entry/sample/transformations/omega",
    "entry/sample/sample_omega/omega",
)
_INCREMENT = (
    "entry/sample/goniometer/omega_increment",
    "entry/sample/goniometer/omega_range_average",
    "entry/sample/transformations/omega_increment_set",
    "entry/sample/sample_omega/omega_increment_set",
)
_WAVELENGTH = (
    "entry/instrument/beam/incident_wavelength",
    "entry/sample/beam/incident_wavelength",
    "entry/instrument/monochromator/wavelength",
)
_BEAMLINE = ("entry/instrument/beamline", "entry/instrument/source/beamline", "entry/source/beamline")
_DATE = (f"{SPECIFIC}/data_collection_date", "entry/start_time")


def metadata(opened: Any) -> dict[str, Any]:
    """Return what the header says, None for what it does not say; ``header_bits`` is for comparison alone."""
    pixel = (f"{DETECTOR}/x_pixel_size", f"{DETECTOR}/module/fast_pixel_direction")
    return {
        "detector": text(opened, (f"{DETECTOR}/description", f"{DETECTOR}/model")),
        "detector_serial": text(opened, (f"{DETECTOR}/detector_number", f"{DETECTOR}/serial_number")),
        "instrument": text(opened, ("entry/instrument/name", "entry/source/name", "entry/instrument/source/name")),
        "header_beamline": text(opened, _BEAMLINE) or _short_name(opened),
        "sample": text(opened, ("entry/sample/name",)),
        "date": facts.iso_date(text(opened, _DATE)),
        "wavelength_A": real(opened, _WAVELENGTH, LENGTHS_IN_A),
        "distance_mm": facts.scaled(
            real(opened, (f"{DETECTOR}/detector_distance", f"{DETECTOR}/distance"), LENGTHS_IN_M), 1e3
        ),
        "exposure_s": real(opened, (f"{DETECTOR}/count_time",), TIMES_IN_S),
        "frame_period_s": real(opened, (f"{DETECTOR}/frame_time",), TIMES_IN_S),
        "start_angle_deg": real(opened, _OMEGA, ANGLES_IN_DEG),
        "increment_deg": _increment(opened),
        "beam_x_px": real(opened, (f"{DETECTOR}/beam_center_x",)),
        "beam_y_px": real(opened, (f"{DETECTOR}/beam_center_y",)),
        "pixel_x_um": facts.scaled(real(opened, pixel, LENGTHS_IN_M), 1e6),
        "width_px": _count(opened, "x_pixels_in_detector"),
        "height_px": _count(opened, "y_pixels_in_detector"),
        "header_bits": whole(opened, f"{DETECTOR}/bit_depth_image"),
    }


def _increment(opened: Any) -> float | None:
    """Return the angle of one frame: as it is told, or from the first frame to the second."""
    if (told := real(opened, _INCREMENT, ANGLES_IN_DEG)) is not None:
        return told
    first, second = (real(opened, _OMEGA, ANGLES_IN_DEG, index) for index in (0, 1))
    return None if first is None or second is None else float(f"{second - first:.5g}")


def _short_name(opened: Any) -> str | None:
    """Return the acronym that NXmx keeps beside the instrument's name, such as ``I03``."""
    name = plain(opened, "entry/instrument/name")
    short = None if name is None else attribute(name, "short_name")
    return short.decode("utf-8", "replace") if isinstance(short, bytes) else short if isinstance(short, str) else None


def _count(opened: Any, name: str) -> int | None:
    count = whole(opened, f"{SPECIFIC}/{name}")
    return count if count is not None and count > 0 else None
