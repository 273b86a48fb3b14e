"""Bruker frames (``.sfrm``, format 100): lines of 80 characters, one byte for each pixel, tables of larger counts.

Source of the layout: the header keys and tables as fabio documents and reads them.
"""

from __future__ import annotations

from datetime import datetime

import numpy as np

from depositd.simulate import images

_HEADER_BLOCKS = 15
_BLOCK_BYTES = 512
_LINE = 80
_TABLE_BYTES = 16
_PIXELS_PER_CM = 74.0740741  # of 135 µm


def bruker_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    name: str = "sim_1",
    frames: int = 100,
    wavelength_A: float = 0.71073,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.05,
    exposure_s: float = 1.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return frame ``number`` of ``frames``, as each header says."""
    encoded = encoded or encode_bruker(images.frame(number, shape=shape, seed=seed))
    rows, columns = shape
    start_deg = start_angle_deg + (number - 1) * increment_deg
    angles = f"{0.0:<18.6f}{start_deg:<18.6f}{0.0:<18.6f}{54.7:<18.6f}"
    ends = f"{0.0:<18.6f}{start_deg + increment_deg:<18.6f}{0.0:<18.6f}{54.7:<18.6f}"
    fields = {
        "FORMAT": "100",
        "VERSION": "18",
        "HDRBLKS": str(_HEADER_BLOCKS),
        "TYPE": "Scan Frame",
        "SITE": "SIM-1",
        "MODEL": "D8 with kappa goniometer",
        "USER": "simulated",
        "SAMPLE": name,
        "SETNAME": name,
        "RUN": "1",
        "SAMPNUM": "1",
        "TITLE": "simulated",
        "NOVERFL": "".join(f"{count:<24}" for count in (-1, *encoded.counts)),
        "FILENAM": f"{name}_{number:05d}.sfrm",
        "CREATED": date.strftime("%d-%b-%Y %H:%M:%S"),
        "CUMULAT": f"{exposure_s:.6f}",
        "ELAPSDR": f"{exposure_s:.6f}",
        "ELAPSDA": f"{exposure_s:.6f}",
        "OSCILLA": "0",
        "RANGE": f"{abs(increment_deg):.6f}",
        "START": f"{start_deg:.6f}",
        "INCREME": f"{increment_deg:.6f}",
        "NUMBER": str(number),
        "NFRAMES": str(frames),
        "ANGLES": angles,
        "NPIXELB": f"{1:<36}{1:<36}",
        "NROWS": f"{rows:<36}{1:<36}",
        "NCOLS": f"{columns:<36}{1:<36}",
        "WORDORD": "0",
        "LONGORD": "0",
        "TARGET": "Mo",
        "SOURCEK": "50.0",
        "SOURCEM": "1.0",
        "CENTER": f"{columns / 2:<18.6f}{rows / 2:<18.6f}{columns / 2:<18.6f}{rows / 2:<18.6f}",
        "DISTANC": f"{distance_m * 100:<24.6f}{distance_m * 100:<24.6f}",
        "WAVELEN": "".join(f"{value:<18.6f}" for value in (wavelength_A, wavelength_A, wavelength_A)),
        "AXIS": "2",
        "ENDING": ends,
        "PROGRAM": "simulated",
        "DETTYPE": f"PHOTON-II  {_PIXELS_PER_CM:.6f}  0.25  0  1.0  0.425  1",
        "NEXP": "".join(f"{value:<14}" for value in (1, 0, 0, 0, 0)),
    }
    lines = (f"{key:<7}:{value}"[:_LINE].ljust(_LINE) for key, value in fields.items())
    text = "".join(lines).encode("utf-8", "replace")
    header = (text + b"\x1a\x04").ljust(_HEADER_BLOCKS * _BLOCK_BYTES, b".")
    return header + encoded.pixels + encoded.after


def encode_bruker(image: images.Image) -> images.Encoded:
    """Return one byte for each pixel, and behind it the tables of what needs two bytes and what needs four."""
    counts = np.clip(image, 0, None)
    two_bytes = counts[counts >= 0xFF]
    four_bytes = counts[counts >= 0xFFFF]
    after = _table(np.minimum(two_bytes, 0xFFFF).astype("<u2").tobytes()) + _table(four_bytes.astype("<i4").tobytes())
    pixels = np.minimum(counts, 0xFF).astype("u1").tobytes()
    return images.Encoded(pixels, after=after, counts=(two_bytes.size, four_bytes.size))


def _table(content: bytes) -> bytes:
    """Pad a table of larger counts to a multiple of 16 bytes."""
    return content + bytes(-len(content) % _TABLE_BYTES)
