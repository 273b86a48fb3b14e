"""R-AXIS frames (``.osc``): a binary header of one record, then the rows, big-endian.

Source of the offsets: Rigaku's ``RigakuHeader``, where 84 reserved bytes stand before the date (fabio takes them for
what comes after it, and shows no date).  A record is one row of pixels, or as many as
it takes to give the header, which fills one record, its 1,400 bytes.
"""

from __future__ import annotations

import struct
from datetime import datetime

from depositd.simulate import images

_HEADER_BYTES = 1400
_LARGEST_COUNT = 32_767  # above it, the highest bit means another scale
_PIXEL_MM = 0.1


def raxis_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (200, 720),
    seed: int = 0,
    wavelength_A: float = 1.5418,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.15,
    exposure_s: float = 60.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return an R-AXIS IV frame; its header gives the day alone."""
    encoded = encoded or encode_raxis(images.frame(number, shape=shape, seed=seed))
    rows, columns = shape
    record_bytes, records = _records(shape)
    start_deg = start_angle_deg + (number - 1) * increment_deg
    header = bytearray(record_bytes)
    texts = {
        0: "R-AXIS4",
        10: "1.0",
        20: "simulated",
        92: "simulated",
        256: date.strftime("%d-%b-%Y"),
        268: "SIM",
        288: "Cu",
        296: "mirrors",
        320: "0.5",
        512: "a",
        516: "b",
        812: "SGI",
        822: "R-AXIS IV",
    }
    for offset, text in texts.items():
        header[offset : offset + len(text)] = text.encode("ascii")
    reals = {
        292: wavelength_A,
        344: distance_m * 1000,
        348: 40.0,  # kV
        352: 30.0,  # mA
        524: start_deg,
        528: start_deg + increment_deg,
        536: exposure_s / 60,
        540: columns / 2,
        544: rows / 2,
        776: _PIXEL_MM,
        780: _PIXEL_MM,
        800: 8.0,  # ratio of the photomultiplier
    }
    for offset, real in reals.items():
        struct.pack_into(">f", header, offset, real)
    for offset, integer in {532: number, 768: columns, 772: rows, 784: record_bytes, 788: records}.items():
        struct.pack_into(">i", header, offset, integer)
    # readers take the pixels from the end of the file
    return bytes(header) + encoded.pixels.rjust(record_bytes * records, b"\0")


def encode_raxis(image: images.Image) -> images.Encoded:
    """Return counts of 15 bits, big-endian, on a pedestal of 10."""
    return images.Encoded(images.positive(image, offset=10, longest=_LARGEST_COUNT).astype(">u2").tobytes())


def _records(shape: tuple[int, int]) -> tuple[int, int]:
    """Return the bytes of a record, enough for the header, and the number of records with pixels."""
    rows, columns = shape
    for in_record in range(1, rows + 1):
        if rows % in_record == 0 and 2 * columns * in_record >= _HEADER_BYTES:
            return 2 * columns * in_record, rows // in_record
    return _HEADER_BYTES, 1
