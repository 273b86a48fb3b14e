"""Frames of the marresearch image plate (``.mar2300`` …): a header of 4,096 bytes, then packed pixels.

Source of the layout: the maker's description of the format as fabio reads it.
"""

from __future__ import annotations

import struct
from datetime import datetime

from depositd.simulate import images

_HEADER_BYTES = 4096
_NUMBERS_BYTES = 64
_LINE = 64
_PIXEL_UM = 150


def mar345_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    wavelength_A: float = 1.5418,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.15,
    exposure_s: float = 60.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return an image plate's scan, packed; no count is so high that it would stand in the table of those."""
    encoded = encoded or encode_mar345(images.frame(number, shape=shape, seed=seed))
    rows, columns = shape
    start_deg = start_angle_deg + (number - 1) * increment_deg
    end_deg = start_deg + increment_deg
    distance_mm = distance_m * 1000
    numbers = struct.pack(
        "<16i",
        1234,  # byte order
        columns,
        0,  # pixels with high counts
        1,  # packed
        1,  # exposed by time
        rows * columns,
        _PIXEL_UM,
        _PIXEL_UM,
        round(wavelength_A * 1e6),
        round(distance_mm * 1e3),
        round(start_deg * 1e3),
        round(end_deg * 1e3),
        0,  # omega
        0,
        0,  # chi
        0,  # two theta
    )
    lines = [
        "mar research",
        _line("PROGRAM", "simulated"),
        _line("DATE", date.strftime("%a %b %d %H:%M:%S %Y")),
        _line("SCANNER", "1"),
        _line("FORMAT", f"{columns}  MAR345 {rows * columns}"),
        _line("HIGH", "0"),
        _line("PIXEL", f"LENGTH {_PIXEL_UM}  HEIGHT {_PIXEL_UM}"),
        _line("WAVELENGTH", f"{wavelength_A:.5f}"),
        _line("DISTANCE", f"{distance_mm:.2f}"),
        _line("PHI", f"START {start_deg:.3f}  END {end_deg:.3f}  OSC 1"),
        _line("OMEGA", "START 0.000  END 0.000  OSC 0"),
        _line("CENTER", f"X {columns / 2:.2f}  Y {rows / 2:.2f}"),
        _line("MODE", "TIME"),
        _line("TIME", f"{exposure_s:.2f}"),
        "END OF HEADER",
    ]
    text = "".join(f"{line:<{_LINE - 1}}\n" for line in lines).encode("ascii")
    return numbers + text.ljust(_HEADER_BYTES - _NUMBERS_BYTES) + encoded.pixels


def encode_mar345(image: images.Image) -> images.Encoded:
    """Return packed counts of 16 bits on a pedestal of 10."""
    from fabio.compression import compPCK

    return images.Encoded(bytes(compPCK(images.positive(image, offset=10))))


def _line(key: str, value: str) -> str:
    return f"{key:<15}{value}"
