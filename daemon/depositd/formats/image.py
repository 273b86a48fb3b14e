"""What one image file must tell, and what a kind of image file is.

The kinds are told apart by their first bytes, never by the extension: ``.img`` alone is written by
five makers.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from depositd.formats.base import About
from depositd.formats.reading import Malformed, ReadAt

GROUPING = "directory, prefix, extension, compression; split by what headers say"
MOST_PIXELS = 65_536
"""No detector has more pixels along one edge."""

NEVER_WRITTEN_BYTES = 4096
"""A run of zeros as long as a page, where a kind's packing cannot give one, was never written."""


class ImageHeader(NamedTuple):
    """A parsed header; a tuple, because a fast detector writes a thousand a second.

    A whole file has at least ``whole_bytes`` bytes.  Where ``closing`` is not empty, those bytes stand
    within ``closing_within`` bytes after that.

    ``facts`` are metadata (:mod:`depositd.formats.facts`) and, where the header has them, ``kind``,
    ``expected_frames`` (of the series), ``frame_number``, ``pixel_bits``, and ``whole_unproven``: a clause that says
    why no size proves that the file is whole.
    """

    facts: Mapping[str, Any]
    whole_bytes: int
    closing: bytes = b""
    closing_within: int = 0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of image file: a module of its own and one line in ``frame_probe.KINDS``.

    ``matches`` looks at the first 8 KiB (fewer only of a shorter file).  ``parse`` gets the same and a way to read
    on, small pieces and best from front to back, and raises Malformed; it may check more than the header where
    that is cheap.
    """

    name: str
    matches: Callable[[bytes], bool]
    parse: Callable[[bytes, ReadAt], ImageHeader]
    about: About


def opens_with(*magics: bytes) -> Callable[[bytes], bool]:
    """Return a ``matches`` for a kind that is known by its first few bytes."""
    return lambda head: head.startswith(magics)


def at_least(head: bytes, count: int, read_at: ReadAt) -> bytes:
    """Return the first ``count`` bytes of a file or more; raises Malformed where it has fewer."""
    if len(head) < count:
        head = read_at(0, count)
    if len(head) < count:
        raise ends_inside_header()
    return head


def ends_inside_header() -> Malformed:
    """Return the problem of a file that is shorter than its header."""
    return Malformed("ends inside its header", retry=True)


def sized(width: int, height: int) -> dict[str, int]:
    """Return the facts of an image's size; raises Malformed where no detector has it."""
    if not (0 < width <= MOST_PIXELS and 0 < height <= MOST_PIXELS):
        raise Malformed(f"has an impossible size of {width:,} x {height:,} pixels")
    return {"width_px": width, "height_px": height}


class Fields:
    """The binary fields of a header at their offsets; a number that is zero says nothing."""

    def __init__(self, head: bytes, order: str) -> None:
        self._head = head
        self._order = order

    def i32(self, offset: int) -> int:
        """Return a signed integer of 32 bits."""
        value: int = struct.unpack_from(f"{self._order}i", self._head, offset)[0]
        return value

    def whole(self, offset: int, scale: float) -> float | None:
        """Return an integer of 32 bits times ``scale``, None for 0."""
        value = self.i32(offset)
        return float(f"{value * scale:.10g}") if value else None

    def single(self, offset: int) -> float:
        """Return a number of single precision without the dust of its last bits (0.9795, not 0.9794999957)."""
        return float(f"{struct.unpack_from(f'{self._order}f', self._head, offset)[0]:.7g}")

    def double(self, offset: int) -> float:
        """Return a number of double precision."""
        return float(struct.unpack_from(f"{self._order}d", self._head, offset)[0])

    def text(self, offset: int, count: int) -> str:
        """Return the text of a field that is padded with zeros or blanks."""
        return self._head[offset : offset + count].split(b"\0")[0].decode("latin-1").strip()
