"""Open, read at an offset, make durable; holes and the page cache."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from operator import attrgetter
from typing import Any

from depositd.portable import sharing
from depositd.portable.links import refuse_link
from depositd.portable.modules import optional

_CLOSED_IN_CHILDREN: int = getattr(os, "O_CLOEXEC", 0)  # Python sees to it where there is no such flag
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_BYTES_AS_THEY_ARE: int = getattr(os, "O_BINARY", 0)  # Windows: without it, a 26 ends a file and line ends change
_READ = (
    os.O_RDONLY
    | _CLOSED_IN_CHILDREN
    | _BYTES_AS_THEY_ARE
    | getattr(os, "O_NONBLOCK", 0)  # a named pipe in the place of a file must not stop the daemon
    | getattr(os, "O_NOCTTY", 0)
)
_KEEP_ACCESS_TIME: int = getattr(os, "O_NOATIME", 0)  # Linux
_DIRECTORY: int = getattr(os, "O_DIRECTORY", 0)


# --- opening ------------------------------------------------------------------------------------------------------


def open_to_read(path: str | os.PathLike[str], *, follow: bool = False) -> int:
    """Open a file to read it, waiting for no pipe, and following a link only where told to; raises OSError.

    Without O_NOFOLLOW a link is looked for first, and one that comes in that instant is followed.
    """
    if follow:
        return os.open(path, _READ)
    if not _NO_FOLLOW:
        refuse_link(path)
    return os.open(path, _READ | _NO_FOLLOW)


def open_source(path: str, directory: int | None = None) -> int:
    """Open somebody else's file for nothing but reading, below an open directory if one is given; raises OSError.

    No link is followed, no pipe waited for, and no access time moved where the system lets us leave it.  On Windows
    others may go on to write, rename and delete it (:mod:`depositd.portable.sharing`).
    """
    if not _NO_FOLLOW:
        refuse_link(path)
        return sharing.open_shared(path, _READ)
    try:
        return os.open(path, _READ | _NO_FOLLOW | _KEEP_ACCESS_TIME, dir_fd=directory)
    except PermissionError:
        # only a file's owner may read it without moving its access time
        return os.open(path, _READ | _NO_FOLLOW, dir_fd=directory)


def open_to_write(path: str | os.PathLike[str], flags: int, mode: int) -> int:
    """Open a file of our own with ``os.O_…`` flags that every system has, following no link; raises OSError."""
    if not _NO_FOLLOW:
        refuse_link(path)
    return os.open(path, flags | _CLOSED_IN_CHILDREN | _NO_FOLLOW | _BYTES_AS_THEY_ARE, mode)


def path_of_open(descriptor: int, path: str) -> str:
    """Return a path that leads to an open file; elsewhere than on Linux its own, which may lead to another by now."""
    through = f"/proc/self/fd/{descriptor}"
    return through if os.path.exists(through) else path


# --- reading and writing --------------------------------------------------------------------------------------------


_LOCKS = tuple(threading.Lock() for _ in range(64))
"""Where a file has one offset for all of its readers, they and its writer take turns."""


def _read_at_in_turn(descriptor: int, count: int, offset: int) -> bytes:
    with _LOCKS[descriptor % len(_LOCKS)]:
        before = os.lseek(descriptor, 0, os.SEEK_CUR)
        try:
            os.lseek(descriptor, offset, os.SEEK_SET)
            return os.read(descriptor, count)
        finally:
            os.lseek(descriptor, before, os.SEEK_SET)


def _write_in_turn(descriptor: int, data: memoryview) -> int:
    with _LOCKS[descriptor % len(_LOCKS)]:
        return os.write(descriptor, data)


def _read_into_by_copy(descriptor: int, buffer: memoryview) -> int:
    return _put(os.read(descriptor, len(buffer)), buffer)


def _put(block: bytes, buffer: Any) -> int:
    buffer[: len(block)] = block
    return len(block)


read_at: Callable[[int, int, int], bytes] = getattr(os, "pread", _read_at_in_turn)
"""``read_at(descriptor, count, offset)`` returns up to ``count`` bytes and moves no offset; raises OSError.

Threads may read one descriptor at once, also while another writes to it by :data:`write`.
"""

write: Callable[[int, memoryview], int] = os.write if hasattr(os, "pread") else _write_in_turn
"""``write(descriptor, data)`` returns how many bytes it wrote; raises OSError."""


def read_into(descriptor: int, buffer: memoryview) -> int:
    """Read the next bytes into a buffer and return how many (copied once without ``readv``); raises OSError."""
    if hasattr(os, "readv"):
        count: int = os.readv(descriptor, [buffer])
        return count
    return _read_into_by_copy(descriptor, buffer)


def read_into_at(descriptor: int, buffer: Any, offset: int) -> int:
    """Read from an offset into a buffer and return how many bytes; without ``preadv`` they are copied once."""
    if hasattr(os, "preadv"):
        count: int = os.preadv(descriptor, [buffer], offset)
        return count
    return _put(read_at(descriptor, len(buffer), offset), buffer)


# --- on the disk ----------------------------------------------------------------------------------------------------


_FULL_FSYNC: int | None = getattr(optional("fcntl"), "F_FULLFSYNC", None)


def fsync(descriptor: int) -> None:
    """Make what was written durable; raises OSError.

    macOS leaves it in the cache of the drive unless that is asked for as well, which a share may not know.
    """
    fcntl = optional("fcntl") if _FULL_FSYNC is not None else None
    if fcntl is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, _FULL_FSYNC)
            return
    os.fsync(descriptor)


def fsync_directory(directory: str, synchronise: Callable[[int], None] = fsync) -> None:
    """Make the names in a directory durable; raises OSError.

    Windows opens no directory as a file: nothing is done, and a rename is as durable as the journal of NTFS.
    """
    if not _DIRECTORY:
        return
    descriptor = os.open(directory, os.O_RDONLY | _DIRECTORY | _CLOSED_IN_CHILDREN)
    try:
        synchronise(descriptor)
    finally:
        os.close(descriptor)


_HAS_BLOCKS = hasattr(os.stat_result, "st_blocks")

blocks_of: Callable[[os.stat_result], int] = attrgetter("st_blocks") if _HAS_BLOCKS else (lambda _status: 0)
"""The blocks of 512 bytes that a file takes; 0 where the system does not tell."""


def allocated_bytes(status: os.stat_result) -> int:
    """Return the bytes that a file takes on the disk, 0 where the system does not tell."""
    return blocks_of(status) * 512


def next_hole(descriptor: int, offset: int) -> int:
    """Return where the next hole of a file begins, its end counted; raises OSError, EINVAL where nobody can say."""
    return _seek(descriptor, offset, "SEEK_HOLE")


def next_data(descriptor: int, offset: int) -> int:
    """Return where the next data begin; raises OSError: ENXIO where none follow, EINVAL where nobody can say."""
    return _seek(descriptor, offset, "SEEK_DATA")


def _seek(descriptor: int, offset: int, what: str) -> int:
    whence: int | None = getattr(os, what, None)
    if whence is None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
    return os.lseek(descriptor, offset, whence)


# --- the page cache -------------------------------------------------------------------------------------------------


def is_cached(descriptor: int, offset: int) -> bool:
    """Say whether a byte of a file can be had without the disk; True where the system cannot say."""
    at_once: int | None = getattr(os, "RWF_NOWAIT", None)
    if at_once is None or not hasattr(os, "preadv"):
        return True
    try:
        os.preadv(descriptor, [bytearray(1)], offset, at_once)
    except BlockingIOError:
        return False
    except OSError:  # a file system that does not know the question
        return True
    return True


def drop_from_cache(descriptor: int) -> None:
    """Have a file's bytes read from the disk the next time; raises OSError.  Nothing where the system cannot."""
    if hasattr(os, "posix_fadvise"):
        not_needed: int = getattr(os, "POSIX_FADV_DONTNEED", 4)
        os.posix_fadvise(descriptor, 0, 0, not_needed)
