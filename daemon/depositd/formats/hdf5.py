"""HDF5 files without waiting for a writer: the superblock is read as bytes, the library only opens closed files.

Superblock (first 64 bytes): version @8; version 0: flags u32 @20, end of file u64 @40; 1: @20, @44; 2 and 3:
flags u8 @11, end of file @28.  A closed file has no flag set and is exactly as long as it says; 1 is open for
writing, 5 is open for SWMR writing.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable
from typing import Any

from depositd.formats.reading import PARSE_ERRORS, Malformed, ends_early, guarded, probe_file
from depositd.model import Probe
from depositd.units import printable

SIGNATURE = b"\x89HDF\r\n\x1a\n"
SUPERBLOCK_BYTES = 64
_LAYOUT = {0: ("<I", 20, 40), 1: ("<I", 20, 44), 2: ("<B", 11, 28), 3: ("<B", 11, 28)}
"""Version to the flags' type and offset, and the offset of the end of file."""

OPEN_FACT = "open_for_writing"
"""Fact that is true where a file's own flags say that a writer has it open."""


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
    kind, flags_at, end_at = _LAYOUT[head[8]]
    flags = int(struct.unpack_from(kind, head, flags_at)[0])
    end_bytes = int(struct.unpack_from("<Q", head, end_at)[0])
    if flags:
        how = "SWMR writing" if flags & 4 else "writing"
        raise Malformed(f"is still open for {how}", retry=True, facts={OPEN_FACT: True})
    if end_bytes > size_bytes:
        raise ends_early(size_bytes, end_bytes)
    if end_bytes < size_bytes:
        raise Malformed(f"is {size_bytes - end_bytes:,} bytes longer than its superblock says", retry=True)


def probe_hdf5(path: str, read: Callable[[Any], dict[str, Any]]) -> Probe:
    """Return the facts that ``read(h5py.File)`` finds in a closed file, or what is wrong with it.

    The library gets our own descriptor: it can neither follow a link nor take a lock, on any file system.
    """
    return probe_file(path, lambda descriptor, size: _probe(descriptor, size, read))


def _probe(descriptor: int, size_bytes: int, read: Callable[[Any], dict[str, Any]]) -> Probe:
    check_closed(os.pread(descriptor, SUPERBLOCK_BYTES, 0), size_bytes)
    import h5py

    try:
        with os.fdopen(descriptor, "rb", closefd=False) as raw, h5py.File(raw, "r") as opened:
            return guarded(lambda: Probe(facts=read(opened)))
    except (OSError, RuntimeError, *PARSE_ERRORS) as error:
        # h5py raises OSError for structure as well as for reading: either may be a writer's or a mount's doing
        raise Malformed(f"cannot be opened as HDF5: {printable(str(error), 160)}", retry=True) from None
