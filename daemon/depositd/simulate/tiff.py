"""Plain TIFF frames (``.tif``): one strip of 16-bit grey values, and baseline tags alone."""

from __future__ import annotations

import struct
from datetime import datetime

from depositd.simulate import images

_PIXELS_AT = 512
_TEXTS_AT = 256
_ASCII, _SHORT, _LONG = 2, 3, 4


def tiff_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return a TIFF of baseline tags: it tells its size and its date, but no wavelength and no angle."""
    encoded = encoded or encode_tiff(images.frame(number, shape=shape, seed=seed))
    rows, columns = shape
    texts = b"".join([b"simulated detector\0".ljust(32, b"\0"), date.strftime("%Y:%m:%d %H:%M:%S").encode(), b"\0"])
    entries = [
        (256, _LONG, 1, columns),
        (257, _LONG, 1, rows),
        (258, _SHORT, 1, 16),
        (259, _SHORT, 1, 1),  # not compressed
        (262, _SHORT, 1, 1),  # black is zero
        (273, _LONG, 1, _PIXELS_AT),
        (277, _SHORT, 1, 1),
        (278, _LONG, 1, rows),
        (279, _LONG, 1, rows * columns * 2),
        (305, _ASCII, 19, _TEXTS_AT),  # software
        (306, _ASCII, 20, _TEXTS_AT + 32),  # date
    ]
    directory = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    head = struct.pack("<2sHIH", b"II", 42, 8, len(entries)) + directory + bytes(4)
    return (head.ljust(_TEXTS_AT, b"\0") + texts).ljust(_PIXELS_AT, b"\0") + encoded.pixels


def encode_tiff(image: images.Image) -> images.Encoded:
    """Return counts as 16 bits on a pedestal of 10."""
    return images.Encoded(images.positive(image, offset=10).tobytes())
