"""One directory or file, packed at the word of a person or a script: no rule, no spool, no dataset."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator

from depositd import portable
from depositd.archive.packing import PackTools, pack
from depositd.archive.plan import SUFFIXES, PackPlan
from depositd.errors import SourceUnreadable
from depositd.model import Archive, FileKind, FileStat
from depositd.units import printable

Progress = Callable[[int, int], None]

_KINDS = {
    stat.S_IFREG: FileKind.REGULAR,
    stat.S_IFLNK: FileKind.SYMLINK,
    stat.S_IFIFO: FileKind.FIFO,
    stat.S_IFSOCK: FileKind.SOCKET,
}


def compress(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    *,
    root: str | None = None,
    on_progress: Progress | None = None,
) -> Archive:
    """Pack a directory or a file into a verified ``.tar.zst`` and return it, with the hashes of file and tar.

    ``target`` is the archive's path, which must end in ``.tar.zst``; without one it lies beside the source and carries
    its name.  An older file of that name is replaced once the new one is whole.  ``root`` is the directory in the
    archive below which everything lies, the source's name unless given.  ``on_progress`` is told the source bytes read
    and their total; it may raise to stop.

    Raises SourceUnreadable for a link, or anything else that is no regular file, for an empty directory and for what
    cannot be read; SourceChanged for a file that is written meanwhile; SpoolFull where there is no room; ValueError for
    a target or root that does not fit.
    """
    absolute = os.path.abspath(source)
    to = os.path.abspath(target) if target is not None else _beside(absolute)
    if _lies_in(os.path.dirname(to), absolute):
        raise ValueError(f"{printable(to)} lies in the directory that is packed")
    source_root, files = _found(absolute)
    wrong = next((file for file in files if file.kind is not FileKind.REGULAR), None)
    if wrong is not None:
        shown = printable(os.path.join(source_root, wrong.path))
        raise SourceUnreadable(
            f"{shown} is a {wrong.kind}, and only regular files are ever packed",
            hint="take it out of the directory, or put what it leads to in its place",
        )
    if not files:
        raise SourceUnreadable(f"{printable(absolute)} has no files in it", hint="is it the right directory?")
    plan = PackPlan(
        root=source_root,
        files=files,
        top="",
        dataset_name=_name_of(absolute) if root is None else root,
        file_name=os.path.basename(to),
    )
    return pack(plan, os.path.dirname(to), PackTools(progress=on_progress or (lambda _done, _total: None)))


def _beside(source: str) -> str:
    return os.path.join(os.path.dirname(source), _name_of(source) + SUFFIXES["zstd"])


def _name_of(source: str) -> str:
    """Return the dataset's name: a directory's own, a file's without its suffix."""
    name = os.path.basename(source) or "dataset"
    return name if os.path.isdir(source) else os.path.splitext(name)[0]


def _lies_in(directory: str, source: str) -> bool:
    if not os.path.isdir(source):
        return False
    real, outer = os.path.realpath(directory), os.path.realpath(source)
    return portable.lies_in(real, outer)


def _found(source: str) -> tuple[str, tuple[FileStat, ...]]:
    """Return the root and everything in it that is no directory; raises SourceUnreadable."""
    try:
        if os.path.isdir(source):
            return source, tuple(_files_below(source, ""))
        return os.path.dirname(source), (_stat_of(os.path.basename(source), os.lstat(source)),)
    except OSError as error:
        shown = printable(os.fsdecode(error.filename)) if error.filename else printable(source)
        raise SourceUnreadable(f"{shown} cannot be read: {error.strerror}", hint=f"ls -ld {shown}") from error


def _files_below(root: str, below: str) -> Iterator[FileStat]:
    """Yield what lies in a directory and those below it, following no links."""
    with os.scandir(os.path.join(root, below)) as entries:
        for entry in entries:
            path = f"{below}/{entry.name}" if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                yield from _files_below(root, path)
            else:
                yield _stat_of(path, entry.stat(follow_symlinks=False))


def _stat_of(path: str, status: os.stat_result) -> FileStat:
    return FileStat(
        path,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
        status.st_ino,
        portable.allocated_bytes(status),
        _KINDS.get(stat.S_IFMT(status.st_mode), FileKind.DEVICE),
    )
