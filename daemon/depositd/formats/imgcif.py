"""The header of a full CBF (imgCIF): the experiment in categories of axes, scans and frames.

Names and units as in the CBF/imgCIF dictionary: distances and displacements in mm, angles in degrees, the size of a
pixel in m.  Tables have a row for each axis and name it, so what belongs together is found by the axis' name.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from depositd.formats import cif, facts, mini_header

_Row = dict[str, str]


def facts_of(text: str) -> dict[str, Any]:
    """Return the facts that a header states, None for what it does not say or does not say unambiguously."""
    said = cif.read(text)
    frame = _this_frame(said)
    scan = _one(said, "diffrn_scan", "id", frame["scan_id"], "integration_time")
    element = _one(said, "array_element_size", "index", "1", "size")
    model, serial = mini_header.named(_first(said, "diffrn_detector.type"))
    start, increment = _rotation(said, frame["frame_id"])
    return {
        "detector": model,
        "detector_serial": serial,
        "header_beamline": _first(said, "diffrn_source.type"),
        "date": facts.iso_date(frame["date"]),
        "wavelength_A": _wavelength(said),
        "distance_mm": _distance(said, frame["frame_id"]),
        "exposure_s": facts.number(frame["integration_time"] or scan["integration_time"]),
        "start_angle_deg": start,
        "increment_deg": increment,
        "pixel_x_um": facts.number(element["size"], 1e6),
    }


def _first(said: cif.Columns, name: str) -> str:
    return next(iter(said.get(f"_{name}", ())), "")


def _one(said: cif.Columns, category: str, key: str, wanted: str, *names: str) -> _Row:
    """Return the row with this key, the first one where none has it, an empty one where there is none at all."""
    found = cif.rows(said, category, (key, *names)) or [dict.fromkeys((key, *names), "")]
    return next((row for row in found if wanted and row[key] == wanted), found[0])


def _this_frame(said: cif.Columns) -> _Row:
    """Return the row of the frame that this file holds."""
    wanted = _first(said, "diffrn_data_frame.id")
    return _one(said, "diffrn_scan_frame", "frame_id", wanted, "scan_id", "date", "integration_time")


def _wavelength(said: cif.Columns) -> float | None:
    wanted = _first(said, "diffrn_radiation.wavelength_id")
    row = _one(said, "diffrn_radiation_wavelength", "id", wanted, "wavelength", "value")
    return facts.number(row["wavelength"] or row["value"])


def _rotation(said: cif.Columns, frame_id: str) -> tuple[float | None, float | None]:
    """Return start and increment of the one axis that turns while the frame is exposed.

    Where the frame does not say its own start, a scan says it that is no longer than one frame.
    """
    in_scan = cif.rows(said, "diffrn_scan_axis", ("axis_id", "angle_start", "angle_range", "angle_increment"))
    in_frame = _of_frame(said, frame_id, "angle", "angle_increment")
    turning = {row["axis_id"] for row in (*in_scan, *in_frame) if facts.number(row["angle_increment"])}
    if len(turning) != 1:
        return None, None
    (axis,) = turning
    scan_row, frame_row = (_named(axis, table) for table in (in_scan, in_frame))
    increment = facts.number(frame_row.get("angle_increment")) or facts.number(scan_row.get("angle_increment"))
    start = facts.number(frame_row.get("angle"))
    if start is None and facts.number(scan_row.get("angle_range")) == increment:
        start = facts.number(scan_row.get("angle_start"))
    return start, increment


def _of_frame(said: cif.Columns, frame_id: str, *names: str) -> list[_Row]:
    """Return what is said of the axes for one frame."""
    found = cif.rows(said, "diffrn_scan_frame_axis", ("frame_id", "axis_id", *names))
    return [row for row in found if row["frame_id"] in ("", frame_id)]


def _named(axis: str, table: Iterable[_Row]) -> _Row:
    return next((row for row in table if row["axis_id"] == axis), {})


def _distance(said: cif.Columns, frame_id: str) -> float | None:
    """Return the distance that is told, or how far the detector was moved along the beam where that is all there is."""
    told = _first(said, "diffrn_measurement.sample_detector_distance")
    if told:
        return facts.number(told)
    names = ("id", "type", "equipment", *(f"{of}[{n}]" for of in ("vector", "offset") for n in (1, 2, 3)))
    detector = [row for row in cif.rows(said, "axis", names) if row["equipment"].lower() == "detector"]
    moving = [row["id"] for row in detector if row["type"].lower() == "translation" and _is_along_beam(row)]
    if len(moving) != 1 or any(facts.number(row["offset[3]"]) for row in detector):
        return None
    in_frame = _named(moving[0], _of_frame(said, frame_id, "displacement"))
    in_scan = _named(moving[0], cif.rows(said, "diffrn_scan_axis", ("axis_id", "displacement_start")))
    moved = facts.number(in_frame.get("displacement") or in_scan.get("displacement_start"))
    return abs(moved) if moved else None


def _is_along_beam(row: _Row) -> bool:
    """Say whether an axis is the third one, along which the beam comes."""
    x, y, z = (facts.number(row[f"vector[{number}]"]) for number in (1, 2, 3))
    return bool(z) and not x and not y
