"""Our own walk over a source: never follows links, never opens a file, bounded memory, one listing at a time."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import islice
from operator import itemgetter
from typing import TypeVar

from depositd import portable
from depositd.model import FileKind, FileStat, Listing
from depositd.portable import Entry

_KINDS = {
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


Item = TypeVar("Item")

TELLING_EVERY = 10_000
"""Entries of one directory after which the walk is seen to move."""

_PATH = itemgetter(0)
_FORMAT_MASK = 0o170000

ScanDirectory = Callable[[str], AbstractContextManager[Iterator[Entry]]]


Signature = tuple[int, int, int, int]
"""What changes whenever an entry of a directory comes, goes or is renamed: device, inode, mtime_ns and ctime_ns."""


def signature_of(path: str) -> Signature:
    """Return the signature of a directory (absolute path); raises OSError, NotADirectoryError for a link to one."""
    status = os.stat(path, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_ctime_ns


@dataclass(frozen=True, slots=True)
class Seen:
    """One directory as a look found it.

    ``below`` are the sub-directories that are to be walked.  ``inner`` are the directories of its trees with the
    signatures that they had before they were read.
    """

    listing: Listing
    below: tuple[str, ...]
    inner: tuple[tuple[str, Signature], ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """How to walk one source.

    ``claims`` says of a relative directory that it is a dataset by itself, ``prunes`` that nothing below
    it can matter.  ``failed`` hears of every directory that cannot be read (relative path, error);
    the walk goes on.  ``moved`` is called once a directory, and now and then in a large one, so that a watchdog
    sees the walk move.
    """

    root: str
    claims: Callable[[str], bool]
    prunes: Callable[[str], bool]
    failed: Callable[[str, OSError], None]
    moved: Callable[[], None] = lambda: None
    scan_directory: ScanDirectory = portable.scan_directory
    sign_directory: Callable[[str], Signature] = signature_of

    def sweep(self, start: str = "") -> Iterator[Listing]:
        """Yield the listing of every directory from ``start`` (relative) down, parents first."""
        waiting = [start]
        while waiting:
            seen = self.see(waiting.pop())
            if seen is not None:
                yield seen.listing
                waiting.extend(reversed(seen.below))

    def place_of(self, directory: str) -> str:
        """Return the directory whose listing shows a change in ``directory``."""
        parts = directory.split("/") if directory else []
        for depth in range(1, len(parts) + 1):
            if self.claims("/".join(parts[:depth])):
                return "/".join(parts[: depth - 1])
        return directory

    def sign(self, directory: str) -> Signature | None:
        """Return a directory's signature, None where it is gone, is a link, or cannot be looked at (which is said)."""
        try:
            return self.sign_directory(self._absolute(directory))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            self.failed(directory, error)
            return None

    def see(
        self, directory: str, known: Mapping[str, FileStat] | None = None, again: AbstractSet[str] | None = None
    ) -> Seen | None:
        """Look at one directory; None where it cannot be read.

        With ``known`` (the last look's files by name) the listing is partial, and of the known files only those in
        ``again`` (None: all) are asked anew for size and times.
        """
        self.moved()
        try:
            found = self._scan(directory, known, again)
        except OSError as error:
            self.failed(directory, error)
            return None
        trees: dict[str, tuple[FileStat, ...]] = {}
        below: list[str] = []
        inner: list[tuple[str, Signature]] = []
        for path in sorted(found.directories):
            if self.prunes(path):
                continue
            if self.claims(path):
                trees[path] = self._tree(path, inner)
            else:
                below.append(path)
        files = tuple(sorted(found.files, key=_PATH))
        listing = Listing(directory, files, trees, tuple(found.vanished), partial=known is not None)
        return Seen(listing, tuple(below), tuple(inner))

    def _tree(self, top: str, inner: list[tuple[str, Signature]]) -> tuple[FileStat, ...]:
        files: list[FileStat] = []
        waiting = [top]
        while waiting:
            directory = waiting.pop()
            self.moved()
            signature = self.sign(directory)
            try:
                found = self._scan(directory)
            except OSError as error:
                self.failed(directory, error)
                if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
                    # a dataset must not look whole because a part of it cannot be seen
                    files.append(FileStat(directory, 0, 0, kind=FileKind.UNREADABLE))
                continue
            if signature is not None:
                inner.append((directory, signature))
            files += found.files
            waiting += found.directories
        return tuple(sorted(files, key=_PATH))

    def _scan(
        self, directory: str, known: Mapping[str, FileStat] | None = None, again: AbstractSet[str] | None = None
    ) -> _Found:
        prefix = f"{directory}/" if directory else ""
        found = _Found()
        with self.scan_directory(self._absolute(directory)) as entries:
            if known:
                self._read_again(entries, prefix, found, known, again)
            else:
                self._read(self._telling(entries), prefix, found)
        return found

    def _telling(self, items: Iterable[Item]) -> Iterator[Item]:
        """Yield all items and let the walk be seen moving: of a million, each may ask a slow file server."""
        rest = iter(items)
        while some := list(islice(rest, TELLING_EVERY)):
            yield from some
            if len(some) == TELLING_EVERY:
                self.moved()

    @staticmethod
    def _read(entries: Iterable[Entry], prefix: str, found: _Found) -> None:
        """Take in every entry; a sweep goes through here a million times, so nothing is looked up twice."""
        add_file, add_directory = found.files.append, found.directories.append
        make, kinds, device, blocks = tuple.__new__, _KINDS, FileKind.DEVICE, portable.blocks_of
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                add_directory(prefix + entry.name)
                continue
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue  # gone between the listing and the stat: the next look will not show it
            add_file(
                make(  # what file_stat does, without the call
                    FileStat,
                    (
                        prefix + entry.name,
                        status.st_size,
                        status.st_mtime_ns,
                        status.st_ctime_ns,
                        status.st_ino,
                        blocks(status) * 512,
                        kinds.get(status.st_mode & _FORMAT_MASK, device),
                    ),
                )
            )

    def _read_again(
        self,
        entries: Iterable[Entry],
        prefix: str,
        found: _Found,
        known: Mapping[str, FileStat],
        again: AbstractSet[str] | None,
    ) -> None:
        """Take in what differs from the last look; of the files known then, only those in ``again`` are asked."""
        there = {entry.name: entry for entry in self._telling(entries)}
        # sets tell the few that are new from the hundred thousand that are not
        asked = there.keys() if again is None else (there.keys() - known.keys()) | (there.keys() & again)
        gone = known.keys() - there.keys()
        for name in self._telling(asked):
            entry, before = there[name], known.get(name)
            if entry.is_dir(follow_symlinks=False):
                found.directories.append(prefix + name)
                if before is not None:
                    gone.add(name)
                continue
            try:
                file = file_stat(prefix + name, entry.stat(follow_symlinks=False))
            except FileNotFoundError:
                gone |= known.keys() & {name}
                continue
            if file != before:
                found.files.append(file)
        found.vanished += [known[name] for name in sorted(gone)]

    def _absolute(self, directory: str) -> str:
        # the root itself may be a link: it is what the config names
        return f"{self.root}/{directory}" if directory else f"{self.root}/."


@dataclass(slots=True)
class _Found:
    files: list[FileStat] = field(default_factory=list)
    directories: list[str] = field(default_factory=list)
    vanished: list[FileStat] = field(default_factory=list)


def file_at(root: str, path: str) -> FileStat | None:
    """Return the stat of one entry below a root as it is now, None where it is gone or cannot be had."""
    try:
        return file_stat(path, os.stat(f"{root}/{path}", follow_symlinks=False))
    except OSError:
        return None


def file_stat(path: str, status: os.stat_result) -> FileStat:
    """Return what depositd keeps of an ``lstat``."""
    mode = status.st_mode & _FORMAT_MASK
    kind = _KINDS.get(mode, FileKind.DEVICE)
    allocated_bytes = portable.allocated_bytes(status)
    return _make((path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, allocated_bytes, kind))


_make = FileStat._make
