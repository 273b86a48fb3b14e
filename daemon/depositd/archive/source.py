"""Reads a source's files without following links, blocking or trusting them, and never writes to them.

A file is the one that the plan means only if it is a regular file with the planned inode, size and mtime, both
before its first byte is read and after its last.  Everything else raises SourceChanged or SourceUnreadable, with
the file's name and the numbers.

A source with a rate limit is treated gently: read in small pieces no faster than the limit, at idle I/O priority, and
what only we read does not stay in the page cache, where the instrument's own programs have better use for the room.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import NoReturn, Self

from depositd import io_priority, portable
from depositd.errors import SourceChanged, SourceUnreadable
from depositd.model import FileKind, FileStat
from depositd.units import printable, show_duration

Throttle = Callable[[int], None]
"""Told the bytes that are about to be read; returns when they may be, or raises to stop."""

GENTLE_PIECE_BYTES = 256 << 10
"""As much as a throttled source is read at once: the disk is never taken for longer than a few milliseconds."""

_CHANGED_HINT = "the dataset is taken up again by itself once nothing writes to it"
_UNREADABLE_HINT = "check the permissions for the daemon's user, and the health of the disk or file server"


class SourceTree:
    """A source's root directory, held open while files below it are read.

    The root itself may be reached through links, since an operator configured it; nothing below it may.  With a
    ``throttle`` it is read gently, by the thread that enters the context.
    """

    def __init__(self, root: str, throttle: Throttle | None = None) -> None:
        self._root = root
        self._throttle = throttle
        self._idle = io_priority.idle(throttle is not None)
        try:
            self._directory = portable.open_directory(root)
        except OSError as error:
            _raise(root, error)

    def __enter__(self) -> Self:
        self._idle.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._directory.close()
        self._idle.__exit__(kind, error, trace)

    def look_at(self, planned: FileStat) -> os.stat_result:
        """Return what a planned file is now, without opening it; raises SourceChanged where it is another one."""
        parent = self._open_directory(planned)
        try:
            now = parent.stat(planned.name)
        except OSError as error:
            _raise(planned.path, error)
        finally:
            parent.close()
        change = difference(planned, now, "after it was looked at")
        if change is not None:
            _changed(planned, change)
        return now

    @contextlib.contextmanager
    def open(self, planned: FileStat) -> Iterator[SourceFile]:
        """Open one planned file; raises SourceChanged or SourceUnreadable."""
        if planned.kind is not FileKind.REGULAR:
            raise SourceUnreadable(
                f"{printable(planned.path)} is a {planned.kind}, and only regular files are ever read",
                hint="exclude it in the rule, or take it out of the dataset",
            )
        parent = self._open_directory(planned)
        try:
            descriptor = _open_file(planned, parent)
            try:
                with _leaving_no_trace(descriptor, planned.size_bytes, self._throttle is not None):
                    yield SourceFile(planned, descriptor, parent, self._throttle)
            finally:
                os.close(descriptor)
        finally:
            parent.close()

    def _open_directory(self, planned: FileStat) -> portable.Directory:
        """Walk to the file's directory one component at a time, so that no link in the middle leads out."""
        current = self._directory.copy()
        for component in filter(None, planned.directory.split("/")):
            try:
                below = current.below(component)
            except OSError as error:
                _raise(planned.path, error)
            finally:
                current.close()
            current = below
        return current


class SourceFile:
    """One file that is open for reading, and proven to be the planned one so far."""

    def __init__(
        self, planned: FileStat, descriptor: int, parent: portable.Directory, throttle: Throttle | None = None
    ) -> None:
        self.planned = planned
        self._throttle = throttle
        self._descriptor = descriptor
        self._parent = parent
        self._opened = self._confirm(self._stat(), "after it was looked at")

    @property
    def opened(self) -> os.stat_result:
        """What the file was when it was opened."""
        return self._opened

    def skip_to(self, offset: int) -> None:
        """Read from ``offset`` on."""
        os.lseek(self._descriptor, offset, os.SEEK_SET)

    @property
    def descriptor(self) -> int:
        """The open descriptor, for readers that seek; it is closed with this file."""
        return self._descriptor

    def read_into(self, block: memoryview) -> int:
        """Read at least one and at most ``len(block)`` bytes; raises SourceChanged where the file ends too early.

        Also raises what the throttle raises.
        """
        if self._throttle is not None:
            block = block[:GENTLE_PIECE_BYTES]
            self._throttle(len(block))
        try:
            count = portable.read_into(self._descriptor, block)
        except OSError as error:
            _raise(self.planned.path, error)
        if count == 0:
            self.confirm_unchanged()
            raise SourceChanged(
                f"{printable(self.planned.path)} ended before its {self.planned.size_bytes:,} bytes", hint=_CHANGED_HINT
            )
        return count

    def confirm_unchanged(self) -> None:
        """Raise SourceChanged unless the file, and the name it was opened by, are still what was planned."""
        while_read = "while it was read"
        now = self._confirm(self._stat(), while_read)
        # ctime cannot be set back: it gives away a writer who restored size and mtime
        if now.st_ctime_ns != self._opened.st_ctime_ns:
            _changed(self.planned, f"was changed {while_read}, although its size and modification time are as before")
        try:
            named = self._parent.stat(self.planned.name)
        except OSError as error:
            _raise(self.planned.path, error)
        if (named.st_dev, named.st_ino) != (now.st_dev, now.st_ino):
            _changed(self.planned, f"was replaced by another file {while_read} ({_inodes(now.st_ino, named.st_ino)})")

    def _stat(self) -> os.stat_result:
        try:
            return os.fstat(self._descriptor)
        except OSError as error:
            _raise(self.planned.path, error)

    def _confirm(self, now: os.stat_result, when: str) -> os.stat_result:
        change = difference(self.planned, now, when)
        if change is not None:
            _changed(self.planned, change)
        return now


def difference(planned: FileStat, now: os.stat_result, when: str) -> str | None:
    """Return how a file differs from the planned one as the rest of a sentence, None where it does not.

    A planned inode of 0 is unknown and not compared.
    """
    if not stat.S_ISREG(now.st_mode):
        return f"is no longer a regular file, as it was when it was looked at (mode {stat.filemode(now.st_mode)})"
    if planned.inode not in (0, now.st_ino):
        return f"was replaced by another file {when} ({_inodes(planned.inode, now.st_ino)})"
    if now.st_size != planned.size_bytes:
        verb = "grew" if now.st_size > planned.size_bytes else "shrank"
        return f"{verb} from {planned.size_bytes:,} to {now.st_size:,} bytes {when}"
    if now.st_mtime_ns != planned.mtime_ns:
        moved_s = (now.st_mtime_ns - planned.mtime_ns) / 1e9
        direction = "later" if moved_s > 0 else "earlier"
        return f"was written to {when} (its modification time is {show_duration(abs(moved_s))} {direction})"
    return None


def _inodes(before: int, after: int) -> str:
    return f"inode {before} became {after}"


def _open_file(planned: FileStat, parent: portable.Directory) -> int:
    try:
        return parent.open_source(planned.name)
    except OSError as error:
        _raise(planned.path, error)


@contextlib.contextmanager
def _leaving_no_trace(descriptor: int, size_bytes: int, gentle: bool) -> Iterator[None]:
    """Drop a gently read file from the page cache afterwards, unless it was there before: somebody may work with it."""
    brought = gentle and not portable.is_cached(descriptor, size_bytes // 2)
    try:
        yield
    finally:
        if brought:
            with contextlib.suppress(OSError):
                portable.drop_from_cache(descriptor)


def _changed(planned: FileStat, change: str) -> NoReturn:
    raise SourceChanged(f"{printable(planned.path)} {change}", hint=_CHANGED_HINT)


def _raise(path: str, error: OSError) -> NoReturn:
    """Raise what an OSError on a source means."""
    shown = printable(path)
    if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
        raise SourceChanged(
            f"{shown} is no longer a regular file reached through real directories: a link, or something else, "
            f"stands in its path ({error.strerror})",
            hint="links are never followed; put the file itself there, or exclude it in the rule",
        ) from error
    if error.errno == errno.ENOENT:
        raise SourceChanged(f"{shown} vanished after it was looked at", hint=_CHANGED_HINT) from error
    raise SourceUnreadable(f"{shown} cannot be read: {error.strerror}", hint=_UNREADABLE_HINT) from error
