"""Decompressors that are fed: each takes a file piece by piece, and gives what it unpacks in bounded blocks.

All of them take several streams one after another (``cat a.gz b.gz``), know whether the last one is whole, and use
little memory whatever a file asks for: it may say that it needs gigabytes to be unpacked.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

BLOCK_BYTES = 1 << 18
MOST_MEMORY_BYTES = 48 << 20
"""What a stream may ask for: ``xz -8`` needs 33 MiB; ``xz -9`` and ``zstd --long=27`` need more and are refused."""

_ZSTD_WINDOW_BYTES = 1 << 25
_ZSTD_STEP_BYTES = 256  # four bytes can unpack to 128 KiB, and there is no other bound on what one call returns


class Damaged(ValueError):
    """A stream that is no stream of its kind, or whose own checksum is wrong."""


class Unpacker(Protocol):
    """One decompressor."""

    @property
    def ended(self) -> bool:
        """True where the last stream is whole."""

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises Damaged."""


class Gunzip:
    """Gzip members one after another."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def ended(self) -> bool:
        """True where the last member is whole."""
        return self._stream.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises Damaged."""
        try:
            while packed:
                if self._stream.eof:
                    if not packed.strip(b"\0"):  # gzip allows zeros behind the last member: tapes are padded
                        return
                    self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
                yield self._stream.decompress(packed, BLOCK_BYTES)
                packed = self._stream.unconsumed_tail or self._stream.unused_data
        except zlib.error as error:
            raise Damaged(str(error)) from None


class _Bounded:
    """What the decompressors of the bz2 and lzma modules have in common."""

    def __init__(self, new: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor], padding: bytes) -> None:
        self._new = new
        self._padding = padding
        self._stream = new()

    @property
    def ended(self) -> bool:
        """True where the last stream is whole."""
        return self._stream.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises Damaged."""
        try:
            while packed or not (self._stream.needs_input or self._stream.eof):
                if self._stream.eof:
                    packed = packed.lstrip(self._padding) if self._padding else packed
                    if not packed:
                        return
                    self._stream = self._new()
                yield self._stream.decompress(packed, BLOCK_BYTES)
                packed = self._stream.unused_data
        except (OSError, ValueError, EOFError, lzma.LZMAError) as error:
            raise Damaged(str(error)) from None


class Bunzip2(_Bounded):
    """Bzip2 streams one after another."""

    def __init__(self) -> None:
        super().__init__(bz2.BZ2Decompressor, b"")


class Unxz(_Bounded):
    """Xz streams one after another, with zeros between them where a writer padded."""

    def __init__(self) -> None:
        super().__init__(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MOST_MEMORY_BYTES), b"\0")


class Unzstd:
    """Zstandard frames one after another; ``stream_reader`` would take a frame that is cut short for a whole one."""

    def __init__(self) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._new = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES).decompressobj
        self._stream = self._new()

    @property
    def ended(self) -> bool:
        """True where the last frame is whole."""
        return self._stream.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises Damaged."""
        try:
            for start in range(0, len(packed), _ZSTD_STEP_BYTES):
                step = packed[start : start + _ZSTD_STEP_BYTES]
                while step:
                    if self._stream.eof:
                        self._stream = self._new()
                    yield self._stream.decompress(step)
                    step = self._stream.unused_data
        except self._error as error:
            raise Damaged(str(error)) from None


UNPACKERS: dict[str, tuple[str, Callable[[], Unpacker]]] = {
    "gz": ("gzip", Gunzip),
    "bz2": ("bzip2", Bunzip2),
    "xz": ("xz", Unxz),
    "zst": ("zstd", Unzstd),
}
"""By a file name's suffix: what people call the compression, and its decompressor."""
