"""A file in the spool that becomes visible only when it is whole, and hashes itself while it is written."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import NoReturn, Self

from depositd.archive.plan import FILE_NAME_MOST_BYTES
from depositd.errors import ArchiveInvalid, SpoolFull
from depositd.units import printable, show_size

PART_SUFFIX = ".part"
_FLOOR_EVERY_BYTES = 64 << 20
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_FULL_HINT = "free space in the spool, or lower spool.min_free; packing goes on by itself"
_DISK_HINT = "check the disk of the spool (dmesg, SMART); it is packed again by itself"

Bytes = bytes | bytearray | memoryview


def free_space_bytes(path: str) -> int:
    """Return the bytes that an ordinary user can still write to the file system of ``path``."""
    return shutil.disk_usage(path).free


class PartFile:
    """``file_name`` in ``directory``, written as ``.part``.

    *write* → *seal* (fsync) → *publish* (rename, fsync of the directory).  Left before it is published, for
    whatever reason, nothing remains.  Raises SpoolFull where the floor of free space would be broken or the disk
    is full, ArchiveInvalid where the disk fails.
    """

    def __init__(
        self,
        directory: str,
        file_name: str,
        *,
        min_free_bytes: int,
        free_bytes: Callable[[str], int],
        fsync: Callable[[int], None],
    ) -> None:
        self.path = os.path.join(directory, _part_name(file_name))
        self.final_path = os.path.join(directory, file_name)
        self.size_bytes = 0
        self._directory = directory
        self._min_free_bytes = min_free_bytes
        self._free_bytes = free_bytes
        self._fsync = fsync
        self._floor_checked_at_bytes = 0
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._sha256 = hashlib.sha256()
        self._md5_thread = ThreadPoolExecutor(1, thread_name_prefix="archive-md5")
        self._open()

    def _open(self) -> None:
        try:
            _make_directory(self._directory, self._fsync)
            self._check_floor()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self.path)  # of a run that was killed
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            self._file = open(os.open(self.path, flags, 0o640), "wb", buffering=0)  # noqa: SIM115 (closed in __exit__)
        except OSError as error:
            self._raise(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._md5_thread.shutdown(wait=True, cancel_futures=True)
        self._file.close()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path)  # after it was published, it is not there

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
            self._write_all(memoryview(data))
        finally:
            hashed.result()
        self._sha256.update(data)
        self.size_bytes += len(data)
        if self.size_bytes - self._floor_checked_at_bytes >= _FLOOR_EVERY_BYTES:
            self._check_floor()
            self._floor_checked_at_bytes = self.size_bytes

    def _write_all(self, rest: memoryview) -> None:
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            self._raise(error)

    def seal(self) -> None:
        """Make what was written durable.

        After a failed fsync the kernel may have dropped the pages it could not write, so the file is never tried
        again: ArchiveInvalid has it thrown away and built anew.
        """
        try:
            self._fsync(self._file.fileno())
        except OSError as error:
            self._raise(error)

    def publish(self) -> None:
        """Give the file its final name, durably."""
        try:
            os.rename(self.path, self.final_path)
            try:
                _fsync_directory(self._directory, self._fsync)
            except OSError:
                os.unlink(self.final_path)
                raise
        except OSError as error:
            self._raise(error)

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


def _part_name(file_name: str) -> str:
    room = FILE_NAME_MOST_BYTES - len(PART_SUFFIX)
    return os.fsdecode(os.fsencode(file_name)[:room]) + PART_SUFFIX


def _make_directory(directory: str, fsync: Callable[[int], None]) -> None:
    if os.path.isdir(directory):
        return
    os.makedirs(directory, mode=0o750, exist_ok=True)
    _fsync_directory(os.path.dirname(os.path.abspath(directory)), fsync)


def _fsync_directory(directory: str, fsync: Callable[[int], None]) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fsync(descriptor)
    finally:
        os.close(descriptor)
