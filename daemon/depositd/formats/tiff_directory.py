"""The directories of a TIFF or BigTIFF: their tags, and where the image data end.

A directory can stand anywhere, most often at the end of the file.  It is read by itself, and only the values that
are asked for are followed.  Everything is bounded: directories, entries, values, and how much is read for each.
Sources: TIFF 6.0 (Aldus, 1992); BigTIFF as libtiff writes it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from depositd.formats.reading import Malformed, ReadAt

MOST_DIRECTORIES = 1024
MOST_ENTRIES = 1024
MOST_PIECES = 1 << 17
"""Strips or tiles of a whole file; a strip per line of the largest detector makes 65,536."""

_ORDERS = {b"II*\0": ("<", False), b"MM\0*": (">", False), b"II+\0": ("<", True), b"MM\0+": (">", True)}
MAGICS = tuple(_ORDERS)
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_VALUE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_ASCII = 2
_FIRST_PRIVATE_TAG = 32_768  # what makers write into theirs is their own
_STRIPS, _TILES = (273, 279), (324, 325)
_LONGEST_TEXT_BYTES = 1 << 14
_FARTHEST = 1 << 62


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag's value: its type, how many there are, and where they stand in the file."""

    kind: int
    count: int
    offset: int


class Reader:
    """The bytes of one TIFF, in its byte order and with its width of offsets.

    ``end`` is how long the file must be for the directories that have been read and for the values of their tags.
    """

    def __init__(self, head: bytes, read_at: ReadAt) -> None:
        self.order, self._big = _ORDERS[head[:4]]
        self._head = head
        self._read_at = read_at
        self.end = 0

    def first(self) -> int:
        """Return where the first directory stands; raises Malformed where the header says none."""
        if self._big:
            width, zero, offset = struct.unpack(f"{self.order}2HQ", self._take(4, 12, "header"))
            if (width, zero) != (8, 0):
                raise Malformed(f"is a BigTIFF with offsets of {width} bytes instead of 8")
        else:
            offset = struct.unpack(f"{self.order}I", self._take(4, 4, "header"))[0]
        if offset == 0:
            raise Malformed("has no image directory yet", retry=True)
        return int(offset)

    def directories(self) -> Iterator[dict[int, Entry]]:
        """Yield the tags of every directory of the chain; raises Malformed where it has no end."""
        seen: set[int] = set()
        offset = self.first()
        while offset:
            if offset in seen or len(seen) >= MOST_DIRECTORIES:
                raise Malformed("has image directories that lead in a circle, or more than 1,024 of them")
            seen.add(offset)
            tags, offset = self._directory(offset)
            yield tags

    def _directory(self, offset: int) -> tuple[dict[int, Entry], int]:
        """Return the tags of one directory, and where the next one stands (0 for none)."""
        counted, entry_form, link = ("Q", "HHQQ", "Q") if self._big else ("H", "HHII", "I")
        width, entry_bytes = (8, 20) if self._big else (2, 12)
        count = struct.unpack(f"{self.order}{counted}", self._take(offset, width, "image directory"))[0]
        if not 0 < count <= MOST_ENTRIES:
            raise Malformed(f"has an image directory with an impossible number of {count:,} entries")
        start = offset + width
        link_bytes = struct.calcsize(link)
        table = self._take(start, count * entry_bytes + link_bytes, "image directory")
        tags: dict[int, Entry] = {}
        for index in range(count):
            at = index * entry_bytes
            tag, kind, number, value = struct.unpack_from(f"{self.order}{entry_form}", table, at)
            # short values stand in the entry itself, where the offset of longer ones would
            size = number * _VALUE_BYTES.get(kind, 0)
            tags[tag] = Entry(kind, number, start + at + entry_bytes - link_bytes if size <= link_bytes else value)
            if size > link_bytes and tag < _FIRST_PRIVATE_TAG:
                self.end = max(self.end, value + size)
        following: int = struct.unpack_from(f"{self.order}{link}", table, count * entry_bytes)[0]
        return tags, following

    def integers(self, entry: Entry | None, most: int = 64) -> tuple[int, ...]:
        """Return a tag's whole numbers, none where it has none; raises Malformed for more than ``most``."""
        form = _INTEGERS.get(entry.kind) if entry else None
        if entry is None or form is None:
            return ()
        if entry.count > most:
            raise Malformed(f"has an impossible number of {entry.count:,} values in one tag of its image directory")
        raw = self._take(entry.offset, entry.count * struct.calcsize(f"={form}"), "image directory's values")
        return struct.unpack(f"{self.order}{entry.count}{form}", raw)

    def text(self, entry: Entry | None) -> bytes:
        """Return a tag's text, at most 16 KiB of it."""
        if entry is None or entry.kind != _ASCII:
            return b""
        count = min(entry.count, _LONGEST_TEXT_BYTES)
        return self._take(entry.offset, count, "image directory's values").split(b"\0")[0]

    def pieces(self, tags: dict[int, Entry], most: int) -> list[tuple[int, int]]:
        """Return offset and size of every strip or tile; raises Malformed for more than ``most``."""
        for offsets_tag, sizes_tag in (_STRIPS, _TILES):
            offsets = self.integers(tags.get(offsets_tag), most)
            sizes = self.integers(tags.get(sizes_tag), most)
            if offsets:
                if len(offsets) != len(sizes):
                    raise Malformed(f"gives {len(offsets):,} places and {len(sizes):,} sizes of its image data")
                return list(zip(offsets, sizes, strict=True))
        return []

    def _take(self, offset: int, count: int, called: str) -> bytes:
        if offset + count > _FARTHEST:
            raise Malformed(f"has its {called} at the impossible place {offset:,}")
        inside = offset + count <= len(self._head)
        taken = self._head[offset : offset + count] if inside else self._read_at(offset, count)
        if len(taken) < count:
            raise Malformed(f"ends before its {called} at byte {offset:,} does", retry=True)
        return taken
