"""Oxford Diffraction frames (``.img``, OD SAPPHIRE 3.0): a header of 5,120 bytes, then differences packed as TY1.

Source of the layout: the sections as fabio reads them.
"""

from __future__ import annotations

import math
import struct
from datetime import datetime

from depositd.simulate import images

_TEXT_BYTES = 256
_GENERAL_BYTES = 512
_SPECIAL_BYTES = 768
_GONIOMETER_BYTES = 1024
_STATISTICS_BYTES = 512
_HISTORY_BYTES = 2048
_HEADER_BYTES = _TEXT_BYTES + _GENERAL_BYTES + _SPECIAL_BYTES + _GONIOMETER_BYTES + _STATISTICS_BYTES + _HISTORY_BYTES
_STEP_DEG = 0.00125
_PIXEL_MM = 0.06


def oxford_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    wavelength_A: float = 0.71073,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.05,
    exposure_s: float = 1.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return a Sapphire frame, packed as TY1, of a scan about omega."""
    encoded = encoded or encode_oxford(images.frame(number, shape=shape, seed=seed))
    start_deg = start_angle_deg + (number - 1) * increment_deg
    sections = [
        _text(date, shape, encoded),
        _general(shape),
        _special(exposure_s),
        _goniometer(shape, start_deg, start_deg + increment_deg, wavelength_A, distance_m * 1000),
        bytes(_STATISTICS_BYTES + _HISTORY_BYTES),
    ]
    return b"".join([*sections, encoded.pixels])


def encode_oxford(image: images.Image) -> images.Encoded:
    """Return packed counts on a pedestal of 10, and how many differences took two and four bytes."""
    from fabio.compression import compTY1

    differences, two_bytes, four_bytes = compTY1(images.positive(image, offset=10).astype("<i4"))
    return images.Encoded(
        differences + two_bytes + four_bytes, counts=(len(differences), len(two_bytes) // 2, len(four_bytes) // 4)
    )


def _text(date: datetime, shape: tuple[int, int], encoded: images.Encoded) -> bytes:
    rows, columns = shape
    _pixels, two_bytes, four_bytes = encoded.counts
    sizes = (_HEADER_BYTES, _GENERAL_BYTES, _SPECIAL_BYTES, _GONIOMETER_BYTES, _STATISTICS_BYTES, _HISTORY_BYTES)
    keys = ("NHEADER", "NG", "NS", "NK", "NS", "NH")
    lines = [
        "OD SAPPHIRE  3.0",
        f"COMPRESSION=TY1 ({rows * columns * 4 / len(encoded.pixels):5.1f})",
        f"NX={columns:4d} NY={rows:4d} OI={two_bytes:7d} OL={four_bytes:7d} ",
        " ".join(f"{key}={size:7d}" for key, size in zip(keys, sizes, strict=True)),
        f"NSUPPLEMENT={0:7d}",
        f"TIME={date.strftime('%a %b %d %H:%M:%S %Y')}",
        "",
    ]
    return "\r\n".join(lines).encode("ascii").ljust(_TEXT_BYTES)


def _general(shape: tuple[int, int]) -> bytes:
    rows, columns = shape
    section = bytearray(_GENERAL_BYTES)
    struct.pack_into("<HH", section, 0, 1, 1)  # binning
    struct.pack_into("<HHHH", section, 22, columns, rows, columns, rows)
    struct.pack_into("<I", section, 36, rows * columns)
    return bytes(section)


def _special(exposure_s: float) -> bytes:
    section = bytearray(_SPECIAL_BYTES)
    struct.pack_into("<d", section, 56, 1.0)  # gain
    struct.pack_into("<d", section, 480, exposure_s)
    struct.pack_into("<i", section, 548, 2)  # Sapphire 3
    struct.pack_into("<dd", section, 568, _PIXEL_MM, _PIXEL_MM)
    return bytes(section)


def _goniometer(
    shape: tuple[int, int], start_deg: float, end_deg: float, wavelength_angstrom: float, distance_mm: float
) -> bytes:
    """Return angles in motor steps, the wavelengths, and where the detector stands."""
    section = bytearray(_GONIOMETER_BYTES)
    struct.pack_into("<i", section, 284, round(start_deg / _STEP_DEG))
    struct.pack_into("<i", section, 324, round(end_deg / _STEP_DEG))
    struct.pack_into("<4d", section, 368, *[math.radians(_STEP_DEG)] * 4)
    struct.pack_into("<3d", section, 568, *[wavelength_angstrom] * 3)
    struct.pack_into("<dd", section, 664, shape[1] / 2, shape[0] / 2)
    struct.pack_into("<d", section, 680, 50.0)  # kappa axis
    struct.pack_into("<d", section, 712, distance_mm)
    return bytes(section)
