"""The walk through a CCP4 packed image: it counts pixels and decodes none.

The image is a stream of bits, the lowest of each byte first.  Every chunk opens with two numbers: the power of two of
its pixels, and an index into the table of their widths in bits; 3 bits each in version 1, 4 bits each in version 2.
"""

from __future__ import annotations

from dataclasses import dataclass

from depositd.formats.image import NEVER_WRITTEN_BYTES
from depositd.formats.reading import ReadAt

MOST_CHUNKS = 1_500_000
MOST_BYTES = 32 << 20
_WINDOW_BYTES = 1 << 18
_NEVER_WRITTEN = bytes(NEVER_WRITTEN_BYTES)


@dataclass(frozen=True, slots=True)
class Version:
    """How a chunk opens: the bits of its opening, and for every opening its pixels and its length in bits (0: none)."""

    opening_bits: int
    pixels: tuple[int, ...]
    length_bits: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """How far a walk came; ``at_end`` where it stopped because the bytes did."""

    pixels: int
    size_bytes: int
    at_end: bool = False
    problem: str | None = None


def _version(half_bits: int, widths: tuple[int, ...]) -> Version:
    openings = range(1 << 2 * half_bits)
    counts = tuple(1 << (opening & (1 << half_bits) - 1) for opening in openings)
    lengths = tuple(
        2 * half_bits + counts[opening] * widths[opening >> half_bits] if opening >> half_bits < len(widths) else 0
        for opening in openings
    )
    return Version(2 * half_bits, counts, lengths)


VERSIONS = {
    False: _version(3, (0, 4, 5, 6, 7, 8, 16, 32)),
    True: _version(4, (0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 32)),
}
"""By whether the opening line says V2."""


def walk(version: Version, pixels: int, read_at: ReadAt) -> Walk:
    """Follow the chunks of a packed image that begins at offset 0 until ``pixels`` have been counted."""
    mask, counts, lengths = (1 << version.opening_bits) - 1, version.pixels, version.length_bits
    counted = chunks = start = position = 0  # start: of the window, in bytes; position: from there, in bits
    while counted < pixels and chunks < MOST_CHUNKS and start < MOST_BYTES:
        start, position = start + position // 8, position % 8
        window = read_at(start, _WINDOW_BYTES)
        if not window:
            return Walk(counted, start, at_end=True)
        if len(window) < _WINDOW_BYTES:
            window += b"\0"  # an opening can lie in two bytes: so the last one is read as the others are
        last, zeros = len(window) - 2, window.find(_NEVER_WRITTEN)
        while counted < pixels and (byte := position >> 3) <= last and chunks < MOST_CHUNKS:
            opening = (window[byte] | window[byte + 1] << 8) >> (position & 7) & mask
            length = lengths[opening]
            if not length:
                return Walk(counted, start + byte, problem="has a packed image that cannot be followed")
            position += length
            counted += counts[opening]
            chunks += 1
        if 0 <= zeros <= (position >> 3) - NEVER_WRITTEN_BYTES:
            return Walk(counted, start + zeros, problem="has a packed image with a part that was never written")
    return Walk(counted, start + (position + 7) // 8)
