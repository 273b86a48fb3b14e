"""The probe of one frame: two small reads, or one bounded pass through a compressed file.

A beamline writes up to thousands of frames a second, so an uncompressed frame costs an open, a read of 8 KiB,
a read of its tail and a few regular expressions.  A compressed frame must be decompressed to its end: nothing
else proves that its stream is whole.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO

from depositd.formats import cbf, marccd, smv
from depositd.formats.base import About, ContentCheck
from depositd.formats.image import ImageHeader, NeedsMore
from depositd.formats.packed import BLOCK_BYTES, PackedCheck, Unpacked
from depositd.formats.reading import Malformed, ReadAt, ends_early, guarded, probe_file, reader
from depositd.model import Probe

ABOUT = (
    About("miniCBF, full CBF, SMV, marCCD", "prefix, suffix and compression of numbered names", "every frame whole"),
)
HEAD_BYTES = 8192
LONGEST_HEAD_BYTES = cbf.LONGEST_HEADER_BYTES
MOST_EXPANDED_BYTES = 1 << 30
"""A single frame is never larger; a stream that expands further is no frame."""

_UNSUPPORTED = (
    (b"RAXIS", "R-AXIS"),
    (b"R-AXIS", "R-AXIS"),
    (b"OD SAPPHIRE", "Oxford Diffraction"),
    (b"FORMAT :", "Bruker"),
    (b"\xd2\x04\x00\x00", "MAR345"),
    (b"\x00\x00\x04\xd2", "MAR345"),
    (b"MM\0*", "TIFF"),
)


def probe_frame(path: str) -> Probe:
    """Return what one frame says of itself, and whether it is whole; ``path`` is absolute."""
    compression = compression_of(path)
    if compression in ("xz", "zst"):
        return Probe(f"is compressed with {compression}, which this release does not support for frames")
    if compression:
        return probe_file(path, lambda descriptor, _size: _probe_packed(descriptor, compression))
    return probe_file(path, lambda descriptor, size: _probe_plain(reader(descriptor), size))


def compression_of(name: str) -> str:
    """Return ``gz``, ``bz2``, ``xz``, ``zst`` or an empty text, by a file's name."""
    suffix = name.rpartition(".")[2].lower()
    return suffix if suffix in ("gz", "bz2", "xz", "zst") else ""


def parse_head(head: bytes) -> ImageHeader:
    """Return the header of the kind that the first bytes name; raises NeedsMore or Malformed."""
    if head.startswith(cbf.MAGIC):
        return cbf.parse(head)
    if head.startswith(smv.MAGIC) and smv.matches(head):
        return smv.parse(head)
    if head.startswith(marccd.MAGIC):
        return marccd.parse(head)
    for magic, kind in _UNSUPPORTED:
        if head.startswith(magic):
            raise Malformed(f"is an image of the kind {kind}, which this release does not support")
    raise Malformed("begins with no signature of a CBF, SMV or marCCD image", retry=True)


def probe_bytes(content: bytes) -> Probe:
    """Return the probe of a frame that is in memory."""
    return guarded(_probe_plain, lambda offset, count: content[offset : offset + count], len(content))


def probe_stream(stream: IO[bytes], compression: str, most_bytes: int = MOST_EXPANDED_BYTES) -> Probe:
    """Return the probe of a compressed frame, read once to its end in bounded memory."""
    return guarded(_probe_unpacked, Unpacked(stream, compression), most_bytes)


def _probe_plain(read_at: ReadAt, size_bytes: int) -> Probe:
    head = read_at(0, HEAD_BYTES)
    header = _parsed(head, lambda: read_at(0, LONGEST_HEAD_BYTES))
    if size_bytes < header.whole_bytes:
        raise ends_early(size_bytes, header.whole_bytes, header.facts)
    window = read_at(header.whole_bytes, header.closing_within) if header.closing else b""
    return _closed(header, window)


def _parsed(head: bytes, more: Callable[[], bytes]) -> ImageHeader:
    if not head:
        raise Malformed("is empty", retry=True)
    try:
        return parse_head(head)
    except NeedsMore:
        longer = more()
    try:
        return parse_head(longer)
    except NeedsMore:
        raise Malformed("ends inside its header", retry=True) from None


def _closed(header: ImageHeader, window: bytes) -> Probe:
    if header.closing and header.closing not in window:
        raise Malformed("ends without the closing line of its binary section", retry=True, facts=header.facts)
    return Probe(facts=header.facts)


def _probe_packed(descriptor: int, compression: str) -> Probe:
    with os.fdopen(descriptor, "rb", closefd=False) as raw:
        return _probe_unpacked(Unpacked(raw, compression), MOST_EXPANDED_BYTES)


def _probe_unpacked(stream: Unpacked, most_bytes: int) -> Probe:
    head = bytearray(stream.read(HEAD_BYTES))

    def more() -> bytes:
        while len(head) < LONGEST_HEAD_BYTES and (block := stream.read(LONGEST_HEAD_BYTES - len(head))):
            head.extend(block)
        return bytes(head)

    header = _parsed(bytes(head), more)
    window = bytearray(head[header.whole_bytes :])
    position = len(head)
    while block := stream.read(BLOCK_BYTES):
        if len(window) < header.closing_within:
            window += block[max(header.whole_bytes - position, 0) :][: header.closing_within - len(window)]
        position += len(block)
        if position > most_bytes:
            raise Malformed(f"expands to more than {most_bytes:,} bytes")
    if position < header.whole_bytes:
        raise ends_early(position, header.whole_bytes, header.facts)
    return _closed(header, bytes(window))


def content_check(name: str) -> ContentCheck | None:
    """Return a fresh check of a CBF by its file name, None for frames that carry no checksum."""
    lowered = name.lower()
    if lowered.endswith(".cbf"):
        return cbf.BinaryDigest()
    if lowered.endswith((".cbf.gz", ".cbf.bz2")):
        return PackedCheck(cbf.BinaryDigest(), compression_of(name))
    return None
