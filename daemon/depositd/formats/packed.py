"""Compressed frames: read to the end, or checked while someone else reads them, in bounded memory."""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from typing import IO

from depositd.formats.base import ContentCheck
from depositd.formats.reading import Malformed

BLOCK_BYTES = 1 << 18
_NAMES = {"gz": "gzip", "bz2": "bzip2"}


class Unpacked:
    """A compressed file, read from its start; what is wrong with its stream is a problem of the file."""

    def __init__(self, raw: IO[bytes], compression: str) -> None:
        self._stream: gzip.GzipFile | bz2.BZ2File
        self._stream = gzip.GzipFile(fileobj=raw) if compression == "gz" else bz2.BZ2File(raw)
        self._name = _NAMES[compression]

    def read(self, count: int) -> bytes:
        """Return up to ``count`` bytes, none only at the end; raises Malformed, or OSError where reading fails."""
        try:
            return self._stream.read(count)
        except EOFError:
            raise Malformed(f"ends inside its {self._name} stream", retry=True) from None
        except (zlib.error, ValueError) as error:
            raise _damaged(self._name, error) from None
        except OSError as error:
            if error.errno is not None:
                raise
            raise _damaged(self._name, error) from None


def _damaged(name: str, error: Exception) -> Malformed:
    return Malformed(f"has a damaged {name} stream ({error})")


class PackedCheck:
    """A check of a file's content behind a decompressor: it is fed the compressed bytes."""

    def __init__(self, inner: ContentCheck, compression: str) -> None:
        self._inner = inner
        self._name = _NAMES[compression]
        self._unpacker: _Gunzip | _Bunzip2 = _Gunzip() if compression == "gz" else _Bunzip2()
        self._damage: str | None = None

    def update(self, block: bytes | memoryview) -> None:
        """Take the next compressed bytes."""
        if self._damage is not None:
            return
        try:
            for unpacked in self._unpacker.feed(bytes(block)):
                self._inner.update(unpacked)
        except (zlib.error, OSError, ValueError) as error:
            self._damage = str(_damaged(self._name, error))

    def problem(self) -> str | None:
        """After the last byte: None, or what is wrong."""
        if self._damage is None and not self._unpacker.ended:
            return f"ends inside its {self._name} stream"
        return self._damage or self._inner.problem()


class _Gunzip:
    """Gzip members one after another, unpacked in blocks of bounded size."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)

    @property
    def ended(self) -> bool:
        """True where the last member is whole."""
        return self._stream.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises zlib.error for a damaged stream."""
        while packed:
            if self._stream.eof:
                if not packed.strip(b"\0"):  # gzip allows zeros behind the last member: tapes are padded
                    return
                self._stream = zlib.decompressobj(zlib.MAX_WBITS | 16)
            yield self._stream.decompress(packed, BLOCK_BYTES)
            packed = self._stream.unconsumed_tail or self._stream.unused_data


class _Bunzip2:
    """Bzip2 streams one after another, unpacked in blocks of bounded size."""

    def __init__(self) -> None:
        self._stream = bz2.BZ2Decompressor()

    @property
    def ended(self) -> bool:
        """True where the last stream is whole."""
        return self._stream.eof

    def feed(self, packed: bytes) -> Iterator[bytes]:
        """Yield what these bytes unpack to; raises OSError or ValueError for a damaged stream."""
        while packed or not (self._stream.needs_input or self._stream.eof):
            if self._stream.eof:
                self._stream = bz2.BZ2Decompressor()
            yield self._stream.decompress(packed, BLOCK_BYTES)
            packed = self._stream.unused_data
