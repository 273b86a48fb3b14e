"""Our own walk over a source: never follows links, never opens a file, bounded memory, one listing at a time."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Container, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from depositd.model import FileKind, FileStat, Listing

_KINDS = {
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


class Entry(Protocol):
    """What the walk needs of a directory entry; ``os.DirEntry`` is one."""

    @property
    def name(self) -> str:
        """The entry's name."""

    def is_dir(self, *, follow_symlinks: bool = ...) -> bool:
        """Say whether it is a directory."""

    def stat(self, *, follow_symlinks: bool = ...) -> os.stat_result:
        """Return its stat."""


ScanDirectory = Callable[[str], AbstractContextManager[Iterator[Entry]]]


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk one source.

    ``claims`` says of a relative directory that it is a dataset by itself, ``prunes`` that nothing below
    it can matter.  ``failed`` hears of every directory that cannot be read (relative path, error);
    the walk goes on.  ``moved`` is called once a directory, so that a watchdog sees the walk move.
    """

    root: str
    claims: Callable[[str], bool]
    prunes: Callable[[str], bool]
    failed: Callable[[str, OSError], None]
    moved: Callable[[], None] = lambda: None
    scan_directory: ScanDirectory = os.scandir

    def sweep(self, start: str = "") -> Iterator[Listing]:
        """Yield the listing of every directory from ``start`` (relative) down, parents first."""
        waiting = [start]
        while waiting:
            directory = waiting.pop()
            listing, below = self._list(directory)
            if listing is not None:
                yield listing
            waiting.extend(reversed(below))

    def look(self, place: str, known: Container[str]) -> Iterator[Listing]:
        """Yield the listing of one directory, and of all below it that are not known yet (a tree moved in)."""
        waiting = [place]
        while waiting:
            directory = waiting.pop()
            listing, below = self._list(directory)
            if listing is not None:
                yield listing
            waiting.extend(path for path in reversed(below) if path not in known)

    def place_of(self, directory: str) -> str:
        """Return the directory whose listing shows a change in ``directory``."""
        parts = directory.split("/") if directory else []
        for depth in range(1, len(parts) + 1):
            if self.claims("/".join(parts[:depth])):
                return "/".join(parts[: depth - 1])
        return directory

    def _list(self, directory: str) -> tuple[Listing | None, list[str]]:
        self.moved()
        try:
            files, directories = self._scan(directory)
        except OSError as error:
            self.failed(directory, error)
            return None, []
        trees: dict[str, tuple[FileStat, ...]] = {}
        below: list[str] = []
        for path in sorted(directories):
            if self.prunes(path):
                continue
            if self.claims(path):
                trees[path] = self._tree(path)
            else:
                below.append(path)
        return Listing(directory, tuple(sorted(files, key=lambda file: file.path)), trees), below

    def _tree(self, top: str) -> tuple[FileStat, ...]:
        found: list[FileStat] = []
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            self.moved()
            try:
                files, directories = self._scan(directory)
            except OSError as error:
                self.failed(directory, error)
                if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                    # a dataset must not look whole because a part of it cannot be seen
                    found.append(FileStat(directory, 0, 0, kind=FileKind.UNREADABLE))
                continue
            found += files
            waiting += directories
        return tuple(sorted(found, key=lambda file: file.path))

    def _scan(self, directory: str) -> tuple[list[FileStat], list[str]]:
        prefix = f"{directory}/" if directory else ""
        files: list[FileStat] = []
        directories: list[str] = []
        with self.scan_directory(f"{self.root}/{directory}" if directory else self.root) as entries:
            for entry in entries:
                path = prefix + entry.name
                if entry.is_dir(follow_symlinks=False):
                    directories.append(path)
                    continue
                try:
                    files.append(file_stat(path, entry.stat(follow_symlinks=False)))
                except FileNotFoundError:
                    continue  # gone between the listing and the stat: the next look will not show it
        return files, directories


def file_stat(path: str, status: os.stat_result) -> FileStat:
    """Return what depositd keeps of an ``lstat``."""
    return FileStat(
        path=path,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
        inode=status.st_ino,
        allocated_bytes=getattr(status, "st_blocks", 0) * 512,
        kind=_KINDS.get(stat.S_IFMT(status.st_mode), FileKind.DEVICE),
    )
