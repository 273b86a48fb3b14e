"""Entries of a directory that is held open, and listings, following no links."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from depositd.portable.files import open_source
from depositd.portable.links import is_link, refuse_link

_FLAGS: int = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NO_FOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_BY_DESCRIPTOR = hasattr(os, "O_DIRECTORY") and os.open in os.supports_dir_fd


class Directory(Protocol):
    """A directory that is held open: what stands below it is reached without going down its path again."""

    def copy(self) -> Directory:
        """Return the same directory, to be closed by itself."""

    def below(self, name: str) -> Directory:
        """Open a directory in it that is no link; raises OSError."""

    def stat(self, name: str) -> os.stat_result:
        """Return the ``lstat`` of an entry; raises OSError."""

    def open_source(self, name: str) -> int:
        """Open a file in it, as :func:`depositd.portable.open_source` does; raises OSError."""

    def close(self) -> None:
        """Close it."""


class _ByDescriptor:
    """A directory by its descriptor: nothing that is renamed meanwhile leads us elsewhere."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def copy(self) -> Directory:
        return _ByDescriptor(os.dup(self._descriptor))

    def below(self, name: str) -> Directory:
        return _ByDescriptor(os.open(name, _FLAGS | _NO_FOLLOW, dir_fd=self._descriptor))

    def stat(self, name: str) -> os.stat_result:
        return os.stat(name, dir_fd=self._descriptor, follow_symlinks=False)

    def open_source(self, name: str) -> int:
        return open_source(name, self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)


class _ByName:
    """A directory by its path, on systems that open none: a link that comes between two looks is followed."""

    __slots__ = ("_path",)

    def __init__(self, path: str) -> None:
        self._path = path

    def copy(self) -> Directory:
        return self

    def below(self, name: str) -> Directory:
        path = os.path.join(self._path, name)
        status = os.lstat(path)
        if is_link(status) or not stat.S_ISDIR(status.st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return _ByName(path)

    def stat(self, name: str) -> os.stat_result:
        return os.lstat(os.path.join(self._path, name))

    def open_source(self, name: str) -> int:
        return open_source(os.path.join(self._path, name))

    def close(self) -> None:
        pass


def open_directory(path: str) -> Directory:
    """Open a directory, which may be reached through links; raises OSError, NotADirectoryError included."""
    if _BY_DESCRIPTOR:
        return _ByDescriptor(os.open(path, _FLAGS))
    if not stat.S_ISDIR(os.stat(path).st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return _ByName(path)


class Entry(Protocol):
    """What a walk needs of a directory entry; ``os.DirEntry`` is one."""

    @property
    def name(self) -> str:
        """The entry's name."""

    def is_dir(self, *, follow_symlinks: bool = ...) -> bool:
        """Say whether it is a directory."""

    def stat(self, *, follow_symlinks: bool = ...) -> os.stat_result:
        """Return its stat."""


class _AskedAnew:
    """An entry whose stat is asked of the file itself.

    What a listing of Windows says of a file may be what it was when it was last closed: one that grows would look as
    if nobody wrote to it.  It says nothing of the inode either.
    """

    __slots__ = ("_path", "_status", "name")

    def __init__(self, name: str, path: str) -> None:
        self.name = name
        self._path = path
        self._status: os.stat_result | None = None

    def is_dir(self, *, follow_symlinks: bool = False) -> bool:
        del follow_symlinks
        try:
            status = self.stat()
        except FileNotFoundError:
            return False
        return stat.S_ISDIR(status.st_mode) and not is_link(status)

    def stat(self, *, follow_symlinks: bool = False) -> os.stat_result:
        del follow_symlinks
        if self._status is None:
            self._status = os.lstat(self._path)
        return self._status


@contextmanager
def scan_directory(path: str) -> Iterator[Iterator[Entry]]:
    """Open a directory, which must not be a link, and yield its entries; raises OSError.

    By its descriptor, the kernel needs not go down the whole path again for the stat of each entry.  Where there is
    none, each entry is asked by its path.
    """
    if not (_BY_DESCRIPTOR and os.scandir in os.supports_fd):
        refuse_link(path)
        with os.scandir(path) as entries:
            yield (_AskedAnew(entry.name, entry.path) for entry in entries)
        return
    descriptor = os.open(path, _FLAGS | _NO_FOLLOW)
    try:
        with os.scandir(descriptor) as entries:
            yield entries
    finally:
        os.close(descriptor)
