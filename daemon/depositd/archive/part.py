"""A file in the spool that becomes visible only when it is whole, and hashes itself while it is written."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import NoReturn, Self

from depositd import portable
from depositd.archive.framelog import LOG_SUFFIX, FrameLog
from depositd.archive.hashing import Bytes, Hash, new
from depositd.archive.plan import FILE_NAME_MOST_BYTES
from depositd.errors import ArchiveInvalid, ContentCorrupt, SpoolFull
from depositd.moments import Moment, reached
from depositd.units import printable, show_size

PART_SUFFIX = ".part"
_FLOOR_EVERY_BYTES = 64 << 20
_SYNC_EVERY_BYTES = 64 << 20
PIECE_BYTES = 1 << 18
"""What is read back at once, and what it decompresses to, stay in the processor's cache."""
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_HINT = "free space in the spool, or lower spool.min_free; packing goes on by itself"
_DISK_HINT = "check the disk of the spool (dmesg, SMART); it is packed again by itself"


def free_space_bytes(path: str) -> int:
    """Return the bytes that an ordinary user can still write to the file system of ``path``."""
    return shutil.disk_usage(path).free


@dataclass(frozen=True, slots=True)
class Written:
    """What a ``.part`` file holds already: its size, and the hashes of it, which go on."""

    size_bytes: int = 0
    md5: Hash = field(default_factory=partial(new, "md5"))
    sha256: Hash = field(default_factory=partial(new, "sha256"))


class PartFile:
    """``file_name`` in ``directory``, written as ``.part``; a context manager.

    *write* → *seal* (fsync) → *publish* (rename, fsync of the directory).  Left before it is published nothing remains,
    save what was left on purpose (*leave*), or, with ``keep``, where the way there ended but not the file: it was told
    to stop, or a source could not be read.  Raises SpoolFull where the floor of free space would be broken or the disk
    is full, ArchiveInvalid where the disk fails.
    """

    def __init__(
        self,
        directory: str,
        file_name: str,
        *,
        min_free_bytes: int,
        free_bytes: Callable[[str], int],
        write: Callable[[int, memoryview], int],
        fsync: Callable[[int], None],
        part_name: str = "",
        keep: bool = False,
        written: Written | None = None,
    ) -> None:
        before = written or Written()
        self.path = part_path(directory, part_name or file_name)
        self.log_path = self.path + LOG_SUFFIX
        self.final_path = os.path.join(directory, file_name)
        self.size_bytes = before.size_bytes
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._write = write
        self._fsync = fsync
        self._keep = keep
        self._left = False
        self._floor_checked_at_bytes = self.size_bytes
        self._md5 = before.md5
        self._sha256 = before.sha256
        self._md5_thread = ThreadPoolExecutor(1, thread_name_prefix="archive-md5")
        self._sync_thread = ThreadPoolExecutor(1, thread_name_prefix="archive-sync")
        self._syncing: Future[None] | None = None
        self._synced_at_bytes = self.size_bytes
        self._open()

    def _open(self) -> None:
        try:
            _make_directory(self._directory, self._fsync)
            if not self.size_bytes:
                self._remove()  # what is of no use any more may be all that is in the way of the floor
            self._check_floor()
            flags = os.O_RDWR | (0 if self.size_bytes else os.O_CREAT | os.O_EXCL)
            descriptor = portable.open_to_write(self.path, flags, 0o640)
            self._file = open(descriptor, "r+b", buffering=0)  # noqa: SIM115 (closed in __exit__)
            self._file.truncate(self.size_bytes)
            self._file.seek(self.size_bytes)
            reached(Moment.PART_OPENED, self.path)
        except OSError as error:
            if error.errno in _FULL:
                self._raise(error)
            raise ArchiveInvalid(
                f"{printable(self.path)} cannot be written: {error.strerror}",
                hint="check the spool and who may write there; it is packed by itself once it can be",
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._md5_thread.shutdown(wait=True, cancel_futures=True)
        self._sync_thread.shutdown(wait=True, cancel_futures=True)
        self._file.close()
        # a full disk needs the room, and of a failing one nothing is believed
        spoilt = (SpoolFull, ArchiveInvalid, ContentCorrupt)
        stays = self._left if error is None else self._keep and not isinstance(error, spoilt)
        if not stays:
            self._remove()

    def _remove(self) -> None:
        for path in (self.log_path, self.path):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)

    def leave(self) -> None:
        """Let the file lie as it is, to be gone on with, when its context is left without an error.

        Raises SpoolFull or ArchiveInvalid where some of it could not be made durable.
        """
        self._raise_what_syncing_raised()
        self._left = True

    @property
    def md5(self) -> str:
        """The MD5 of what was written."""
        return self._md5.hexdigest()

    @property
    def sha256(self) -> str:
        """The SHA-256 of what was written."""
        return self._sha256.hexdigest()

    def write(self, data: Bytes) -> None:
        """Append ``data``; raises SpoolFull or ArchiveInvalid."""
        hashed = self._md5_thread.submit(self._md5.update, data)
        try:
            self._write_all(self._file.fileno(), memoryview(data))
            self._sha256.update(data)
        finally:
            hashed.result()
        self.size_bytes += len(data)
        reached(Moment.PART_WRITTEN, self.path)
        if self.size_bytes - self._floor_checked_at_bytes >= _FLOOR_EVERY_BYTES:
            self._check_floor()
            self._floor_checked_at_bytes = self.size_bytes
        self._sync_along()

    def _sync_along(self) -> None:
        """Have what was written made durable now and then, beside the writing: little is then left for the end."""
        if self.size_bytes - self._synced_at_bytes < _SYNC_EVERY_BYTES or (self._syncing and not self._syncing.done()):
            return
        self._raise_what_syncing_raised()
        self._synced_at_bytes = self.size_bytes
        self._syncing = self._sync_thread.submit(self._fsync, self._file.fileno())

    def _raise_what_syncing_raised(self) -> None:
        try:
            if self._syncing is not None:
                self._syncing.result()
        except OSError as error:
            self._raise(error)

    def states(self) -> tuple[bytes | None, bytes | None]:
        """Return what MD5 and SHA-256 of what was written so far can be gone on from."""
        return self._md5.state(), self._sha256.state()

    def read_back(self, at: int, size_bytes: int) -> Iterator[bytes]:
        """Yield bytes that were written, in small pieces; raises ArchiveInvalid where they are not there."""
        end = at + size_bytes
        while at < end:
            try:
                piece = portable.read_at(self._file.fileno(), min(end - at, PIECE_BYTES), at)
            except OSError as error:
                self._raise(error)
            if not piece:
                raise ArchiveInvalid(
                    f"{printable(self.path)} ends after {at:,} bytes although {end:,} were written", hint=_DISK_HINT
                )
            yield piece
            at += len(piece)

    def open_log(self, keep_bytes: int) -> FrameLog:
        """Open the log of the frames, of which the first bytes are kept; raises SpoolFull or ArchiveInvalid."""
        try:
            return FrameLog(self.log_path, keep_bytes)
        except OSError as error:
            self._raise(error)

    def note(self, log: FrameLog, line: bytes) -> None:
        """Add a line to the log; raises SpoolFull or ArchiveInvalid."""
        self._write_all(log.descriptor, memoryview(line))
        reached(Moment.FRAME_NOTED, self.log_path)

    def _write_all(self, descriptor: int, rest: memoryview) -> None:
        try:
            while rest:
                rest = rest[self._write(descriptor, rest) :]
        except OSError as error:
            self._raise(error)

    def seal(self) -> None:
        """Make what was written durable.

        After a failed fsync the kernel may have dropped the pages it could not write, so the file is never tried
        again: ArchiveInvalid has it thrown away and built anew.
        """
        self._raise_what_syncing_raised()
        try:
            self._fsync(self._file.fileno())
        except OSError as error:
            self._raise(error)
        reached(Moment.PART_SEALED, self.path)

    def publish(self) -> None:
        """Give the file its final name, durably."""
        try:
            self._file.close()  # Windows renames no file that is open
            portable.replace(self.path, self.final_path)
            reached(Moment.PART_NAMED, self.final_path)
            try:
                portable.fsync_directory(self._directory, self._fsync)
            except OSError:
                os.unlink(self.final_path)
                raise
        except OSError as error:
            self._raise(error)
        reached(Moment.PART_PUBLISHED, self.final_path)

    def _check_floor(self) -> None:
        try:
            free = self._free_bytes(self._directory)
        except OSError as error:
            self._raise(error)
        if free < self._min_free_bytes:
            raise SpoolFull(
                f"the spool {printable(self._directory)} has {show_size(free)} free, less than the floor of "
                f"{show_size(self._min_free_bytes)}",
                hint=_FULL_HINT,
            )

    def _raise(self, error: OSError) -> NoReturn:
        shown = printable(self.final_path)
        if error.errno in _FULL:
            raise SpoolFull(
                f"the spool is full after {show_size(self.size_bytes)} of {shown}: {error.strerror}", hint=_FULL_HINT
            ) from error
        raise ArchiveInvalid(
            f"{shown} could not be written safely and was thrown away: {error.strerror}", hint=_DISK_HINT
        ) from error


def part_path(directory: str, name: str) -> str:
    """Return the path of the unfinished file of a name, which leaves room for that of its log."""
    room = FILE_NAME_MOST_BYTES - len(PART_SUFFIX) - len(LOG_SUFFIX)
    return os.path.join(directory, os.fsdecode(os.fsencode(name)[:room]) + PART_SUFFIX)


def _make_directory(directory: str, fsync: Callable[[int], None]) -> None:
    if os.path.isdir(directory):
        return
    os.makedirs(directory, mode=0o750, exist_ok=True)
    portable.fsync_directory(os.path.dirname(os.path.abspath(directory)), fsync)
