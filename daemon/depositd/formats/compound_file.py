"""Structured storage (MS-CFB, "OLE"), read as far as it takes to know how long such a file must be.

Header: signature; u16 @30 sector shift (9 or 12); u32 @44 number of FAT sectors; u32 @76 … the first 109 of them.
Sector *n* lies at ``(n + 1) << shift``.  A FAT sector holds one u32 for each sector, 0xFFFFFFFF for one that is free.
"""

from __future__ import annotations

import struct

from depositd.formats.reading import Malformed, ReadAt, ends_early
from depositd.formats.trees import UNFINISHED
from depositd.model import Probe

SIGNATURE = bytes.fromhex("d0cf11e0a1b11ae1")
_HEADER_BYTES = 512
_FREE = 0xFFFFFFFF
_LISTED = 109
_BLANK_BYTES = 4096


def written_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Refuse a file that is empty or begins with 4 KiB of zeros: it got its size before its content."""
    if size_bytes == 0:
        raise _unfinished("is empty")
    head = read_at(0, _BLANK_BYTES)
    if not any(head):
        raise _unfinished(f"begins with {len(head):,} bytes of zeros: it was never written")
    return Probe()


def compound_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Refuse a file that is no compound file, or does not reach the last sector that its table has in use.

    Only the 109 FAT sectors that the header lists are followed: they cover 6.8 MB with sectors of 512 bytes, 436 MB
    with those of 4,096.
    """
    head = read_at(0, _HEADER_BYTES)
    if size_bytes == 0:
        raise _unfinished("is empty")
    if SIGNATURE.startswith(head[:8]) and size_bytes < 8:
        raise _unfinished("ends inside its signature")
    if not head.startswith(SIGNATURE):
        raise Malformed("is no compound file, which every .wiff is", retry=True)
    if len(head) < _HEADER_BYTES:
        raise _unfinished("ends inside its header")
    shift = struct.unpack_from("<H", head, 30)[0]
    if shift not in (9, 12):
        raise Malformed(f"has sectors of 2 to the power of {shift} bytes, which no compound file has")
    needed = _needed_bytes(head, read_at, size_bytes, shift)
    if needed > size_bytes:
        raise ends_early(size_bytes, needed, {UNFINISHED: True})
    return Probe(facts={"needed_bytes": needed})


def _needed_bytes(head: bytes, read_at: ReadAt, size_bytes: int, shift: int) -> int:
    """Return how long the file must be for its last used sector to begin in it."""
    sector_bytes = 1 << shift
    count = min(int(struct.unpack_from("<I", head, 44)[0]), _LISTED)
    tables: tuple[int, ...] = struct.unpack_from(f"<{count}I", head, 76)
    needed = sector_bytes
    for index in range(count - 1, -1, -1):
        if tables[index] == _FREE:
            continue
        at = (tables[index] + 1) << shift
        if at + sector_bytes > size_bytes:
            return at + sector_bytes
        entries = struct.unpack(f"<{sector_bytes // 4}I", read_at(at, sector_bytes))
        used = max((entry for entry, next_one in enumerate(entries) if next_one != _FREE), default=None)
        if used is not None:
            last = index * len(entries) + used
            # the last sector may be cut short by what writes it, not left out
            return max(needed, ((last + 1) << shift) + 1)
    return needed


def _unfinished(problem: str) -> Malformed:
    return Malformed(problem, retry=True, facts={UNFINISHED: True})
