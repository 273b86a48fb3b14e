"""The disk, as one run of a simulated instrument may touch it.

No file that was there before is ever opened for writing: names are checked before a run begins, and each
file is created exclusively.  Only what the run itself has made may be written again (fault ``restart``).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from io import FileIO
from pathlib import Path

from depositd import portable
from depositd.simulate.plan import Fault
from depositd.units import printable

_TEMPORARY_SUFFIX = ".a1B2c3"
_MTIME_OFFSETS = {Fault.OLD_MTIMES: timedelta(days=-7), Fault.FUTURE_MTIMES: timedelta(days=1)}
_CUT_AT = 0.6


class Output:
    """Creates the files of one run below ``directory``, with the faults that concern files.

    ``tree`` is the name of the dataset's own directory where it has one; relative names are then below it.
    Raises FileExistsError rather than touching what is there already.
    """

    def __init__(self, directory: Path, *, now: datetime, tree: str | None = None, fault: str | None = None) -> None:
        self._tree = None if tree is None else directory / tree
        self._renames_tree = fault == Fault.RENAME and tree is not None
        self._renames_files = fault == Fault.OLD_MTIMES or (fault == Fault.RENAME and tree is None)
        self._preallocates = fault == Fault.PREALLOCATED
        offset = None if fault is None else _MTIME_OFFSETS.get(Fault(fault))
        self._mtime_s = None if offset is None else (now + offset).timestamp()
        self._made: set[str] = set()
        self.frames_done = 0
        directory.mkdir(parents=True, exist_ok=True)
        if tree is None:
            self.root = directory
        else:
            self.root = _temporary(directory / tree) if self._renames_tree else directory / tree
            _refuse_existing(directory / tree)
            _refuse_existing(self.root)
            self.root.mkdir()

    @contextmanager
    def open(self, name: str, size_bytes: int) -> Iterator[FileIO]:
        """Open a new file for unbuffered writing; it is put into place when the block ends well.

        ``size_bytes`` is what it will hold in the end; a preallocated file has that size at once.
        """
        again = name in self._made
        path = self.place(name)
        flags = os.O_TRUNC if again else os.O_CREAT | os.O_EXCL
        descriptor = portable.open_to_write(path, os.O_WRONLY | flags, 0o644)
        with FileIO(descriptor, "wb") as file:
            if self._preallocates:
                file.truncate(size_bytes)
            yield file
        self.finished(name)

    def place(self, name: str) -> Path:
        """Return the path to write ``name`` to; it is new, or made by this run."""
        final = self.root / name
        path = _temporary(final) if self._renames_files else final
        if name not in self._made:
            if "/" in name:
                final.parent.mkdir(exist_ok=True)
            _refuse_existing(final)
            if path != final:
                _refuse_existing(path)
            self._made.add(name)
        return path

    def finished(self, name: str) -> None:
        """Give a file that was closed its modification time and its final name."""
        final = self.root / name
        path = _temporary(final) if self._renames_files else final
        if self._mtime_s is not None:
            os.utime(path, (self._mtime_s, self._mtime_s))
        if path != final:
            _refuse_existing(final)
            portable.replace(path, final)

    def frame_done(self) -> None:
        """Count a frame that is on the disk."""
        self.frames_done += 1

    def cut(self, name: str) -> None:
        """Cut a finished file of this run to 60 % of its size."""
        path = self.root / name
        os.truncate(path, int(path.stat().st_size * _CUT_AT))

    def end(self) -> None:
        """Put the dataset's directory into place."""
        if self._tree is not None and self._renames_tree:
            _refuse_existing(self._tree)
            portable.replace(self.root, self._tree)
            self.root = self._tree


def refuse_matches(directory: Path, pattern: str) -> None:
    """Raise FileExistsError where a name in ``directory`` matches a glob pattern."""
    for path in sorted(directory.glob(pattern)):
        _refuse_existing(path)


def _refuse_existing(path: Path) -> None:
    if os.path.lexists(path):
        raise FileExistsError(
            f"{printable(str(path))} is there already, and a simulated instrument never writes over anything: "
            "choose another name or an empty directory"
        )


def _temporary(path: Path) -> Path:
    """Return the hidden name under which rsync would write a file."""
    return path.with_name(f".{path.name}{_TEMPORARY_SUFFIX}")
