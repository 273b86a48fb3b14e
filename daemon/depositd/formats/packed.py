"""Compressed frames: read where they are wanted, or checked while someone else reads them, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO

from depositd.formats.base import ContentCheck
from depositd.formats.reading import Malformed
from depositd.formats.unpackers import BLOCK_BYTES, UNPACKERS, Damaged

KEPT_BYTES = 1 << 20
"""What is kept of the beginning, and of what was read last; the longest read that is allowed."""


class Unpacked:
    """A compressed file, read from where it is to its end; what is wrong with its stream is a problem of the file."""

    def __init__(self, raw: IO[bytes], compression: str) -> None:
        self._blocks = _unpack(raw, compression)
        self._rest = memoryview(b"")

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes, none only at the end; raises Malformed, or OSError where reading fails."""
        block = self._rest or memoryview(next(self._blocks, b""))
        self._rest = block[count:]
        return bytes(block[:count])


def _unpack(raw: IO[bytes], compression: str) -> Iterator[bytes]:
    name, new_unpacker = UNPACKERS[compression]
    unpacker, empty = new_unpacker(), True
    try:
        while packed := raw.read(BLOCK_BYTES):
            empty = False
            yield from (block for block in unpacker.feed(packed) if block)
    except Damaged as error:
        raise _damaged(name, error) from None
    if not (empty or unpacker.ended):
        raise Malformed(f"ends inside its {name} stream", retry=True)


class PackedFile:
    """A compressed file as if it were not.

    Reading forward costs what unpacking costs.  Reading back, further than what is kept, begins anew at the file's
    start.  After ``most_bytes`` unpacked, in all passes together, Malformed is raised.
    """

    def __init__(self, raw: IO[bytes], compression: str, most_bytes: int) -> None:
        self._raw = raw
        self._compression = compression
        self._most_bytes = most_bytes
        self._unpacked_bytes = 0
        self._head = bytearray()
        self._rewind()

    def _rewind(self) -> None:
        self._raw.seek(0)
        self._stream = Unpacked(self._raw, self._compression)
        self._recent = bytearray()  # ends at _position
        self._position = 0

    def read_at(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes (at most 1 MiB), fewer only at the end; raises Malformed, or OSError."""
        end = offset + min(count, KEPT_BYTES)
        if end > len(self._head):
            if offset < self._position - len(self._recent):
                self._rewind()
            while self._position < end and self._advance(offset):
                pass
        if end <= len(self._head):
            return bytes(self._head[offset:end])
        start = self._position - len(self._recent)
        return bytes(self._recent[max(offset - start, 0) : max(end - start, 0)])

    def size_bytes(self) -> int:
        """Return the size of what is unpacked, which only its end tells; raises Malformed, or OSError."""
        while self._advance(self._position):
            pass
        return self._position

    def _advance(self, wanted_from: int) -> bool:
        """Take one more block, and forget what lies further back than is kept or wanted; False at the end."""
        block = self._stream.read(BLOCK_BYTES)
        if not block:
            return False
        self._unpacked_bytes += len(block)
        if self._unpacked_bytes > self._most_bytes:
            raise Malformed(f"expands to more than {self._most_bytes:,} bytes")
        if self._position == len(self._head) < KEPT_BYTES:
            self._head += block
        self._position += len(block)
        self._recent += block
        surplus = min(len(self._recent) - KEPT_BYTES, wanted_from - (self._position - len(self._recent)))
        if surplus > KEPT_BYTES:
            del self._recent[:surplus]
        return True


def _damaged(name: str, error: Damaged) -> Malformed:
    return Malformed(f"has a damaged {name} stream ({error})")


class PackedCheck:
    """A check of a file's content behind a decompressor: it is fed the compressed bytes."""

    def __init__(self, inner: ContentCheck, compression: str) -> None:
        self._inner = inner
        self._name, new_unpacker = UNPACKERS[compression]
        self._unpacker = new_unpacker()
        self._damage: str | None = None

    def update(self, block: bytes | memoryview) -> None:
        """Take the next compressed bytes."""
        if self._damage is not None:
            return
        try:
            for unpacked in self._unpacker.feed(bytes(block)):
                self._inner.update(unpacked)
        except Damaged as error:
            self._damage = str(_damaged(self._name, error))

    def problem(self) -> str | None:
        """After the last byte: None, or what is wrong."""
        if self._damage is None and not self._unpacker.ended:
            return f"ends inside its {self._name} stream"
        return self._damage or self._inner.problem()
