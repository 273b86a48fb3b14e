"""Compression of a plain tar, frame by frame, and the strict way back.

zstd frames are independent of each other, so they are compressed in parallel; gzip and bzip2 are one stream each,
as every reader expects.  Nothing here depends on time, host or thread: the same frames give the same bytes.
"""

from __future__ import annotations

import bz2
import threading
import zlib
from collections.abc import Iterable, Iterator
from typing import Protocol, assert_never

import zstandard

from depositd.archive.hashing import Bytes
from depositd.archive.plan import Compression
from depositd.errors import ArchiveInvalid

_GZIP_WINDOW = 31  # 32 KiB window, gzip header and trailer; the header's time is 0
_OUTPUT_BYTES = 1 << 20
_ROOM_BYTES = 1 << 18
_WORTH_A_SAMPLE_BYTES = 1 << 20
_SAMPLE_SHARE = 32  # so that looking costs little of what is compressed
_SAMPLE_MOST_BYTES = 1 << 17
_QUICK_LEVELS = range(-1, 5)  # who asks for more wants what lies further back as well, which no sample shows
_QUICK_HASH_LOG = 8
_SLOW_FROM_LEVEL = 10  # from here on a frame takes seconds
_PIECE_BYTES = 1 << 17


class EncodingStopped(Exception):
    """A frame is not wanted any more; nobody waits for it."""


class Encoder(Protocol):
    """One compression of one archive.

    Where each frame stands for itself (``plan.RESUMABLE``), *encode* may run in several threads at once, in any order.
    """

    def encode(self, frame: memoryview) -> Bytes:
        """Return a frame's compressed bytes."""

    def finish(self) -> bytes:
        """Return what follows the last frame."""

    def stop(self) -> None:
        """Let frames that are being encoded end soon, by raising EncodingStopped, where that would take long."""


class ZstdEncoder:
    """Independent frames, each with its content's size and checksum.

    Counts of a detector, as CBF files and plain images hold them, hardly ever repeat: what makes them smaller is the
    coding of single bytes, and the time goes into looking for repetitions.  Large frames of that kind get a table of
    repetitions that stays in the processor's nearest cache, wherever the result is smaller for it: on CBF it is so at
    each level up to 4, and that was measured to be twice as fast at level 1 and five times at level 3; at level -1,
    which by itself codes no single bytes at all, hardly anything is not.  A sample of the frame decides, so that a
    frame's bytes depend on nothing else.
    """

    def __init__(self, level: int) -> None:
        self._level = level
        self._thread = threading.local()  # a ZstdCompressor must not be shared
        self._is_stopped = False

    def encode(self, frame: memoryview) -> bytes:
        """Return one whole frame; raises EncodingStopped."""
        usual, quick = self._compressors()
        if self._level in _QUICK_LEVELS and len(frame) >= _WORTH_A_SAMPLE_BYTES:
            middle = frame[len(frame) // 2 :][: min(len(frame) // _SAMPLE_SHARE, _SAMPLE_MOST_BYTES)]
            if len(quick.compress(middle)) < len(usual.compress(middle)):
                return quick.compress(frame)
        return self._in_pieces(usual, frame) if self._level >= _SLOW_FROM_LEVEL else usual.compress(frame)

    def _in_pieces(self, compressor: zstandard.ZstdCompressor, frame: memoryview) -> bytes:
        stream = compressor.compressobj(size=len(frame))
        encoded = []
        for at in range(0, len(frame), _PIECE_BYTES):
            if self._is_stopped:
                raise EncodingStopped
            encoded.append(stream.compress(frame[at : at + _PIECE_BYTES]))
        return b"".join((*encoded, stream.flush()))

    def _compressors(self) -> tuple[zstandard.ZstdCompressor, zstandard.ZstdCompressor]:
        made: tuple[zstandard.ZstdCompressor, zstandard.ZstdCompressor] | None
        made = getattr(self._thread, "compressors", None)
        if made is None:
            made = (
                zstandard.ZstdCompressor(level=self._level, write_checksum=True, write_content_size=True),
                zstandard.ZstdCompressor(
                    compression_params=zstandard.ZstdCompressionParameters.from_level(
                        1, hash_log=_QUICK_HASH_LOG, write_checksum=True, write_content_size=True
                    )
                ),
            )
            self._thread.compressors = made
        return made

    def finish(self) -> bytes:
        """Return nothing: the last frame has ended."""
        return b""

    def stop(self) -> None:
        """Let slow frames end at their next piece; a quick one ends by itself."""
        self._is_stopped = True


class StreamEncoder:
    """One gzip or bzip2 stream."""

    def __init__(self, compression: Compression, level: int) -> None:
        self._stream = (
            bz2.BZ2Compressor(level) if compression == "bzip2" else zlib.compressobj(level, wbits=_GZIP_WINDOW)
        )

    def encode(self, frame: memoryview) -> bytes:
        """Return what the stream gives so far."""
        return self._stream.compress(frame)

    def finish(self) -> bytes:
        """Return the end of the stream."""
        return self._stream.flush()

    def stop(self) -> None:
        """Do nothing: a frame takes a second at most."""


class PlainEncoder:
    """No compression."""

    def encode(self, frame: memoryview) -> memoryview:
        """Return the frame itself."""
        return frame

    def finish(self) -> bytes:
        """Return nothing."""
        return b""

    def stop(self) -> None:
        """Do nothing: a frame takes no time."""


def encoder_for(compression: Compression, level: int) -> Encoder:
    """Return a fresh encoder; zip is no compression of a tar and raises ValueError."""
    match compression:
        case "zstd":
            return ZstdEncoder(level)
        case "gzip" | "bzip2":
            return StreamEncoder(compression, level)
        case "none":
            return PlainEncoder()
        case "zip":
            raise ValueError("a zip archive holds no tar")
        case _:
            assert_never(compression)


def decode(compression: Compression, blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the plain bytes of a packed file that is read in ``blocks``.

    Raises ArchiveInvalid for damage, for an end before the end, and for anything after it.
    """
    match compression:
        case "zstd":
            return _decode_zstd(blocks)
        case "gzip":
            return _decode_stream(blocks, _Inflater())
        case "bzip2":
            return _decode_stream(blocks, bz2.BZ2Decompressor())
        case "none":
            return iter(blocks)
        case "zip":
            raise ValueError("a zip archive holds no tar")
        case _:
            assert_never(compression)


_decoding = threading.local()


def decode_frame(compression: Compression, pieces: Iterator[bytes]) -> Iterator[Bytes]:
    """Yield the plain bytes of one frame, read in ``pieces``; what is yielded is good until the next is asked for.

    They go through one small buffer that stays in the processor's cache.  Raises ArchiveInvalid for damage; a frame
    that is cut off yields too little.
    """
    if compression == "none":
        yield from pieces
        return
    if not hasattr(_decoding, "room"):
        _decoding.room, _decoding.decompressor = bytearray(_ROOM_BYTES), zstandard.ZstdDecompressor()
    room = memoryview(_decoding.room)
    with _decoding.decompressor.stream_reader(_Pieces(pieces)) as reader:
        while True:
            try:
                count = reader.readinto(room)
            except zstandard.ZstdError as error:
                raise ArchiveInvalid(f"a zstd frame is damaged: {error}") from error
            if not count:
                return
            yield room[:count]


class _Pieces:
    """What a stream reader reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _size: int) -> bytes:
        return next(self._pieces, b"")


def _decode_zstd(blocks: Iterable[bytes]) -> Iterator[bytes]:
    # not stream_reader: that one takes a truncated frame for a whole one
    decompressor = zstandard.ZstdDecompressor()
    frame: zstandard.ZstdDecompressionObj | None = None
    frames = 0
    for block in blocks:
        rest = block
        while rest:
            frame = frame or decompressor.decompressobj()
            try:
                plain = frame.decompress(rest)
            except zstandard.ZstdError as error:
                raise ArchiveInvalid(f"zstd frame {frames + 1:,} is damaged: {error}") from error
            if plain:
                yield plain
            rest = frame.unused_data if frame.eof else b""
            if frame.eof:
                frame = None
                frames += 1
    if frame is not None:
        raise ArchiveInvalid(f"zstd frame {frames + 1:,} is cut off")


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _Inflater:
    """zlib's gzip reader with the interface of ``bz2.BZ2Decompressor``."""

    def __init__(self) -> None:
        self._stream = zlib.decompressobj(_GZIP_WINDOW)

    @property
    def eof(self) -> bool:
        return self._stream.eof

    @property
    def needs_input(self) -> bool:
        return not self._stream.unconsumed_tail

    @property
    def unused_data(self) -> bytes:
        return self._stream.unused_data

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return self._stream.decompress(self._stream.unconsumed_tail + data, max_length)


def _decode_stream(blocks: Iterable[bytes], stream: _Decompressor) -> Iterator[bytes]:
    try:
        for block in blocks:
            if stream.eof:
                raise ArchiveInvalid("something follows the end of the compressed stream")
            yield stream.decompress(block, _OUTPUT_BYTES)
            while not stream.eof and not stream.needs_input:
                yield stream.decompress(b"", _OUTPUT_BYTES)
    except (zlib.error, OSError) as error:
        raise ArchiveInvalid(f"the compressed stream is damaged: {error}") from error
    if not stream.eof:
        raise ArchiveInvalid("the compressed stream is cut off")
    if stream.unused_data:
        raise ArchiveInvalid("something follows the end of the compressed stream")
