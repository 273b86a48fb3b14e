"""What to pack, and into what: a value that is checked once, when it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from depositd.model import FileStat, Packing
from depositd.units import printable

FILE_NAME_MOST_BYTES = 255
"""The longest name of a file that Linux file systems take."""

Compression = Literal["zstd", "gzip", "bzip2", "none", "zip"]

SUFFIXES: Mapping[Compression, str] = {
    "zstd": ".tar.zst",
    "gzip": ".tar.gz",
    "bzip2": ".tar.bz2",
    "none": ".tar",
    "zip": ".zip",
}
"""The end of an archive's file name; it is also how a packed file is known again when it is verified."""

AUTO_LEVELS: Mapping[Compression, int] = {"zstd": 1, "gzip": 6, "bzip2": 9, "none": 0, "zip": 6}
"""The level that ``None`` stands for.  On detector data zstd 1 was measured to be faster *and* smaller than 3."""

LEVELS: Mapping[Compression, range] = {
    "zstd": range(-7, 20),
    "gzip": range(1, 10),
    "bzip2": range(1, 10),
    "none": range(1),
    "zip": range(1, 10),
}
"""The levels that each compression knows."""

RESUMABLE: frozenset[Compression] = frozenset({"zstd", "none"})
"""What is cut into frames that stand for themselves; the others are one stream, which is begun anew."""


@dataclass(frozen=True, slots=True)
class PackPlan:
    """One dataset on its way into one file.

    ``root`` is the absolute path of the source, ``files`` are relative to it.  ``top`` is the directory that
    is cut off each member's path (``""`` for none); ``dataset_name`` is put in its place.  ``file_name`` is the
    whole name of the result, suffix included.  ``level`` None means auto: zstd's is chosen by a sample of the data,
    the others have theirs in :data:`AUTO_LEVELS`.  ``min_free_bytes`` is the floor of free space kept in the spool.
    ``part_name`` is what the unfinished file is called, where that must not follow the name of the finished one;
    with ``keep_part`` it stays after an interruption, and the next try goes on with it.

    Raises ValueError where the plan contradicts itself.
    """

    root: str
    files: tuple[FileStat, ...]
    top: str
    dataset_name: str
    file_name: str
    packing: Packing = Packing.ARCHIVE
    compression: Compression = "zstd"
    level: int | None = None
    min_free_bytes: int = 0
    part_name: str = ""
    keep_part: bool = False

    def __post_init__(self) -> None:
        self._check_names()
        if self.packing is Packing.FILE:
            if len(self.files) != 1:
                raise ValueError(f"{len(self.files)} files cannot be sent as one file (as an archive they can)")
            return
        if not self.file_name.endswith(SUFFIXES[self.compression]):
            raise ValueError(f"{printable(self.file_name)!r} does not end in {SUFFIXES[self.compression]}")
        levels = LEVELS[self.compression]
        if self.actual_level not in levels:
            raise ValueError(f"{self.compression} has no level {self.level} ({levels[0]} to {levels[-1]})")

    def _check_names(self) -> None:
        if not self.files:
            raise ValueError("a dataset without files cannot be packed")
        for name in (self.dataset_name, self.file_name):
            if name in ("", ".", "..") or "/" in name or "\0" in name:
                raise ValueError(f"{printable(name)!r} is not a file name")
        if len(os.fsencode(self.file_name)) > FILE_NAME_MOST_BYTES:
            raise ValueError(f"{printable(self.file_name, 60)!r} is longer than {FILE_NAME_MOST_BYTES} bytes")
        for file in self.files:
            if not {"", ".", ".."}.isdisjoint(file.path.split("/")) or "\0" in file.path:
                raise ValueError(f"{printable(file.path)!r} is not a path below the root")
        if len(set(self.member_paths)) != len(self.files):
            raise ValueError("two files of a dataset have the same path")

    @property
    def actual_level(self) -> int:
        """The level that is used where no sample decides."""
        return AUTO_LEVELS[self.compression] if self.level is None else self.level

    @property
    def is_resumable(self) -> bool:
        """Say whether what was interrupted can be gone on with."""
        return self.encoding in RESUMABLE

    @property
    def encoding(self) -> Compression:
        """The compression that is used: of a file that is sent as it is, none."""
        return "none" if self.packing is Packing.FILE else self.compression

    @property
    def size_bytes(self) -> int:
        """The sum of the sizes of all files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def member_paths(self) -> list[str]:
        """The paths inside the archive, in the order of ``files``."""
        return [self._member_path(file) for file in self.files]

    def in_order(self) -> list[tuple[str, FileStat]]:
        """Return member paths and files sorted by the bytes of the path inside the archive."""
        return sorted(zip(self.member_paths, self.files, strict=True), key=lambda pair: os.fsencode(pair[0]))

    def _member_path(self, file: FileStat) -> str:
        if self.packing is Packing.FILE:
            return file.name
        if not self.top:
            return f"{self.dataset_name}/{file.path}"
        if not file.path.startswith(self.top + "/"):
            raise ValueError(f"{printable(file.path)!r} does not lie in {printable(self.top)!r}")
        return f"{self.dataset_name}/{file.path[len(self.top) + 1 :]}"
