"""The probe of one frame: two small reads, or one bounded pass through a compressed file.

A beamline writes up to thousands of frames a second, so an uncompressed frame costs an open, a read of 8 KiB,
a read of its tail and a few regular expressions.  A compressed frame must be decompressed to its end: nothing
else proves that its stream is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import IO, Any

from depositd import portable
from depositd.formats import bruker_sfrm, cbf, mar345, marccd, oxford, raxis, smv, tiff
from depositd.formats.base import ContentCheck
from depositd.formats.image import NEVER_WRITTEN_BYTES, ImageHeader
from depositd.formats.packed import PackedCheck, PackedFile
from depositd.formats.reading import (
    Malformed,
    ReadAt,
    ends_early,
    guarded,
    hole_bytes,
    probe_file,
    probe_opened,
    reader,
)
from depositd.formats.unpackers import UNPACKERS
from depositd.model import Probe
from depositd.units import show_size

KINDS = (cbf.KIND, smv.KIND, marccd.KIND, tiff.KIND, raxis.KIND, bruker_sfrm.KIND, oxford.KIND, mar345.KIND)
"""Every kind of image, asked in this order: what comes fastest first, and marCCD before the TIFF that it is as well."""

ABOUT = tuple(kind.about for kind in KINDS)
HEAD_BYTES = 8192
MOST_EXPANDED_BYTES = 1 << 27
"""A single frame is never larger (16 million pixels of 4 bytes are 64 MiB); a stream that expands further is none."""


def probe_frame(path: str) -> Probe:
    """Return what one frame says of itself, and whether it is whole; ``path`` is absolute."""
    compression = compression_of(path)
    if compression:
        return probe_file(path, lambda descriptor, _size: _probe_packed(descriptor, compression))
    return probe_opened(path, _probe_plain)


def compression_of(name: str) -> str:
    """Return ``gz``, ``bz2``, ``xz``, ``zst`` or an empty text, by a file's name."""
    suffix = name.rpartition(".")[2].lower()
    return suffix if suffix in UNPACKERS else ""


def parse_head(head: bytes, read_at: ReadAt) -> ImageHeader:
    """Return the header of the kind that the first bytes name; raises Malformed."""
    for kind in KINDS:
        if kind.matches(head):
            return kind.parse(head, read_at)
    if not head:
        raise Malformed("is empty", retry=True)
    *names, last = (kind.name for kind in KINDS)
    raise Malformed(f"begins with no signature of a {', '.join(names)} or {last} image", retry=True)


def probe_bytes(content: bytes) -> Probe:
    """Return the probe of a frame that is in memory."""
    return guarded(_probe, lambda offset, count: content[offset : offset + count], lambda: len(content))


def probe_stream(stream: IO[bytes], compression: str, most_bytes: int = MOST_EXPANDED_BYTES) -> Probe:
    """Return the probe of a compressed frame, read to its end in bounded memory."""
    return guarded(_probe_unpacked, stream, compression, most_bytes)


def _probe(read_at: ReadAt, size_bytes: Callable[[], int]) -> Probe:
    return Probe(facts=_whole(read_at, size_bytes).facts)


def _whole(read_at: ReadAt, size_bytes: Callable[[], int]) -> ImageHeader:
    """Return the header of a frame that is whole by its size and its closing mark; raises Malformed."""
    header = parse_head(read_at(0, HEAD_BYTES), read_at)
    window = read_at(header.whole_bytes, header.closing_within) if header.closing else b""
    size = size_bytes()
    if size < header.whole_bytes:
        raise ends_early(size, header.whole_bytes, header.facts)
    if header.closing not in window:
        raise Malformed("ends without the closing line of its binary section", retry=True, facts=header.facts)
    return header


def _probe_plain(descriptor: int, status: os.stat_result) -> Probe:
    size = status.st_size
    header = _whole(reader(descriptor), lambda: size)
    if portable.allocated_bytes(status) < size - NEVER_WRITTEN_BYTES and not header.closing:
        _check_written(descriptor, size, header.facts)
    return Probe(facts=header.facts)


def _check_written(descriptor: int, size_bytes: int, facts: Mapping[str, Any]) -> None:
    """Raise Malformed where most of a frame is hole, since its size alone would pass for a whole one.

    Only a hole is believed: file systems that compress or allocate late have fewer blocks than bytes, but no hole.  A
    frame that ends with a closing mark is left to its checksum: packed, a dark image is mostly zeros, which a copying
    program may leave out.
    """
    holes = hole_bytes(descriptor, size_bytes)
    if 2 * holes > size_bytes:
        unwritten = f"{show_size(holes)} of {show_size(size_bytes)} were never written"
        raise Malformed(f"is sparse or preallocated: {unwritten}", retry=True, facts=facts)


def _probe_packed(descriptor: int, compression: str) -> Probe:
    with os.fdopen(descriptor, "rb", closefd=False) as raw:
        return _probe_unpacked(raw, compression, MOST_EXPANDED_BYTES)


def _probe_unpacked(raw: IO[bytes], compression: str, most_bytes: int) -> Probe:
    unpacked = PackedFile(raw, compression, most_bytes)
    return _probe(unpacked.read_at, unpacked.size_bytes)


def content_check(name: str) -> ContentCheck | None:
    """Return a fresh check of a CBF by its file name, None for frames that carry no checksum."""
    compression = compression_of(name)
    inner = name[: -len(compression) - 1] if compression else name
    if not inner.lower().endswith(".cbf"):
        return None
    return PackedCheck(cbf.BinaryDigest(), compression) if compression else cbf.BinaryDigest()
