"""HDF5 files without waiting for a writer: the superblock is read as bytes, the library only opens closed files.

Superblock, at byte 0 or, behind a userblock, at 512, 1024, 2048 …, with addresses of *n* bytes: version @8; version
0: *n* @13, flags u32 @20, end of file @24 + 2 *n*; 1: *n* @13, flags u32 @20, end @28 + 2 *n*; 2 and 3: *n* @9,
flags u8 @11, end @12 + 2 *n*.  A closed file has no flag set and is exactly as long as it says; 1 is open for
writing, 5 is open for SWMR writing.

What only the library understands is read in a process of its own, see :mod:`depositd.formats.hdf5_reader`.
"""

from __future__ import annotations

import struct

from depositd import portable
from depositd.formats.hdf5_reader import READER, Reader
from depositd.formats.reading import Malformed, ends_early, probe_file
from depositd.model import Probe
from depositd.units import show_count

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 64
OPEN_FACT = "open_for_writing"
"""Fact that is true where a file's own flags say that a writer has it open."""

_LAYOUT = {0: (13, "<I", 20, 24), 1: (13, "<I", 20, 28), 2: (9, "<B", 11, 12), 3: (9, "<B", 11, 12)}
"""Version to the offset of *n*, the flags' type and offset, and the offset of the first of the addresses."""

_ADDRESSES = {2: "<H", 4: "<I", 8: "<Q"}
_FARTHEST_SUPERBLOCK = 1 << 30


def check_closed(head: bytes, size_bytes: int) -> None:
    """Raise Malformed unless a file with this superblock is closed and as long as it says."""
    if size_bytes == 0:
        raise Malformed("is empty", retry=True)
    if not head.startswith(SIGNATURE):
        raise Malformed("is not an HDF5 file", retry=True)
    if len(head) < SUPERBLOCK_BYTES:
        raise Malformed("ends inside its superblock", retry=True)
    if head[8] not in _LAYOUT:
        raise Malformed(f"has an HDF5 superblock of the unknown version {head[8]}")
    width_at, kind, flags_at, addresses_at = _LAYOUT[head[8]]
    address = _ADDRESSES.get(head[width_at])
    if address is None:
        raise Malformed(f"has HDF5 addresses of {head[width_at]} bytes, which nothing writes")
    flags = int(struct.unpack_from(kind, head, flags_at)[0])
    end_bytes = int(struct.unpack_from(address, head, addresses_at + 2 * head[width_at])[0])
    if flags:
        how = "SWMR writing" if flags & 4 else "writing"
        raise Malformed(f"is still open for {how}", retry=True, facts={OPEN_FACT: True})
    if end_bytes > size_bytes:
        raise ends_early(size_bytes, end_bytes)
    if end_bytes < size_bytes:
        longer = show_count(size_bytes - end_bytes, "byte")
        raise Malformed(f"is {longer} longer than its superblock says", retry=True)


def probe_hdf5(path: str, what: str, reader: Reader = READER) -> Probe:
    """Return the facts that a closed file gives to a reader of ``hdf5_child.READERS``, or what is wrong with it.

    The library gets our own descriptor: it can neither follow a link nor take a lock, on any file system.
    """
    return probe_file(path, lambda descriptor, size: _probe(descriptor, size, what, reader))


def _probe(descriptor: int, size_bytes: int, what: str, reader: Reader) -> Probe:
    check_closed(_superblock(descriptor, size_bytes), size_bytes)
    return reader.ask(descriptor, what)


def _superblock(descriptor: int, size_bytes: int) -> bytes:
    """Return the first bytes of the superblock, or of the file where there is none."""
    first = portable.read_at(descriptor, SUPERBLOCK_BYTES, 0)
    head, offset = first, 512
    while not head.startswith(SIGNATURE) and offset < min(size_bytes, _FARTHEST_SUPERBLOCK):
        head = portable.read_at(descriptor, SUPERBLOCK_BYTES, offset)
        offset *= 2
    return head if head.startswith(SIGNATURE) else first
