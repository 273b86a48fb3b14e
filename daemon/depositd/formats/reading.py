"""How a probe reads: one open that neither follows links nor blocks, and errors that become problems."""

from __future__ import annotations

import errno
import os
import stat as stat_module
import struct
from collections.abc import Callable, Mapping
from typing import Any

from depositd import portable
from depositd.model import Probe
from depositd.units import printable

ReadAt = Callable[[int, int], bytes]
"""``read_at(offset, count)`` returns up to ``count`` bytes, fewer only at the end of the file."""

PARSE_ERRORS = (ValueError, ArithmeticError, LookupError, TypeError, struct.error)
"""What a parser can raise for what a file contains; anything else is a bug of ours and is not hidden."""

_MOST_PIECES = 1000


class Malformed(ValueError):
    """A file is not what its kind prescribes.

    The message is a clause that follows the file's name ("ends 1,024 bytes early").  ``retry`` is true
    where a writer still at work would show the same.
    """

    def __init__(self, problem: str, *, retry: bool = False, facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(problem)
        self.retry = retry
        self.facts = dict(facts or {})


def ends_early(size_bytes: int, needed_bytes: int, facts: Mapping[str, Any] | None = None) -> Malformed:
    """Return the problem of a file that is shorter than its header says."""
    missing = needed_bytes - size_bytes
    return Malformed(f"ends {missing:,} {'byte' if missing == 1 else 'bytes'} early", retry=True, facts=facts)


def probe_file(path: str, read: Callable[[int, int], Probe]) -> Probe:
    """Open one regular file and return what ``read(descriptor, size_bytes)`` makes of it; see :func:`probe_opened`."""
    return probe_opened(path, lambda descriptor, status: read(descriptor, status.st_size))


def probe_opened(path: str, read: Callable[[int, os.stat_result], Probe]) -> Probe:
    """Open one regular file and return what ``read(descriptor, status)`` makes of it.

    An OSError becomes a problem with ``retry`` (permissions and mounts are mended without changing a
    file), and so does content that cannot be parsed (without ``retry``).
    """
    try:
        descriptor = portable.open_source(path)
    except OSError as error:
        return unreadable(error)
    try:
        status = os.fstat(descriptor)
        if not stat_module.S_ISREG(status.st_mode):
            return Probe("is not a regular file", retry=True)
        return guarded(read, descriptor, status)
    except OSError as error:
        return unreadable(error)
    finally:
        os.close(descriptor)


def guarded(read: Callable[..., Probe], *arguments: Any) -> Probe:
    """Return ``read(*arguments)``, or the problem that it found in what it parsed."""
    try:
        return read(*arguments)
    except Malformed as error:
        return Probe(str(error), error.retry, error.facts)
    except PARSE_ERRORS as error:
        return Probe(f"cannot be understood: {printable(str(error), 120)}")


def unreadable(error: OSError) -> Probe:
    """Return the probe of a file that the system does not let us read."""
    return Probe(f"cannot be read: {error.strerror or printable(str(error), 120)}", retry=True)


def reader(descriptor: int) -> ReadAt:
    """Return the ``read_at`` of an open descriptor."""

    def read_at(offset: int, count: int) -> bytes:
        return portable.read_at(descriptor, count, offset)

    return read_at


def hole_bytes(descriptor: int, size_bytes: int) -> int:
    """Return how many bytes of a file were never written, 0 where the file system cannot say.

    Both a sparse file and a preallocated one have such holes (``lseek(2)``, SEEK_HOLE).  A file of very many pieces
    is measured as far as its first 1,000.
    """
    holes, position = 0, 0
    try:
        for _ in range(_MOST_PIECES):
            start = portable.next_hole(descriptor, position)
            if start >= size_bytes:
                break
            position = _next_data(descriptor, start, size_bytes)
            holes += position - start
            if position >= size_bytes:
                break
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENXIO, errno.EOPNOTSUPP):
            raise
    return holes


def _next_data(descriptor: int, start: int, size_bytes: int) -> int:
    try:
        return min(portable.next_data(descriptor, start), size_bytes)
    except OSError as error:
        if error.errno == errno.ENXIO:  # nothing but hole up to the end
            return size_bytes
        raise
