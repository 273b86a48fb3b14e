"""A deterministic zip for those who ask for one: slower and less faithful than a tar, but every desktop opens it.

One entry for each file, deflated, sorted by path; ZIP64 where a size needs it; sizes follow each entry (data
descriptors), so that nothing is written twice.  mtimes are kept in UTC to two seconds, as the format has it, and to
one second in the "extended timestamp" field.
"""

from __future__ import annotations

import hashlib
import struct
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from types import TracebackType
from typing import Self

from depositd.archive.frames import judge_content
from depositd.archive.part import PartFile
from depositd.archive.source import SourceFile
from depositd.errors import SourceUnreadable
from depositd.formats.base import ContentCheck
from depositd.model import Member
from depositd.units import printable

BLOCK_BYTES = 1 << 20
_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)
_LATEST = datetime(2107, 12, 31, 23, 59, 58, tzinfo=UTC)
_REGULAR_0644 = 0o100644 << 16
_UNIX = 3
_TIMESTAMP_FIELD = 0x5455


class ZipWriter:
    """Writes one zip into a ``.part`` file, in the caller's thread; a context manager."""

    def __init__(self, part: PartFile, level: int) -> None:
        self._sink = _Sink(part)
        self._zip = zipfile.ZipFile(self._sink, "w", zipfile.ZIP_DEFLATED)
        self._level = level
        self._members: list[Member] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.failed = True
        self._zip.close()

    def add(self, path: str, source: SourceFile, check: ContentCheck | None, progress: Callable[[int], None]) -> None:
        """Add a file as ``path``; ``progress`` is called with the bytes of each read."""
        planned = source.planned
        digest = hashlib.sha256()
        block = memoryview(bytearray(BLOCK_BYTES))
        left = planned.size_bytes
        with self._zip.open(_entry(path, left, planned.mtime_ns, self._level), "w") as entry:
            while left:
                data = block[: source.read_into(block[:left])]
                digest.update(data)
                entry.write(data)
                if check is not None:
                    check.update(data)
                left -= len(data)
                progress(len(data))
        source.confirm_unchanged()
        if check is not None:
            judge_content(planned.path, check)
        self._members.append(Member(path, planned.size_bytes, planned.mtime_ns, digest.hexdigest()))

    def finish(self) -> tuple[Member, ...]:
        """Write the directory at the end and return the members."""
        self._zip.close()
        return tuple(self._members)


def refuse_names(paths: list[str]) -> None:
    """Raise SourceUnreadable for a name that a zip cannot hold: one that is not UTF-8, or is too long."""
    for path in paths:
        try:
            encoded = path.encode()
        except UnicodeEncodeError:
            encoded = None
        if encoded is None or len(encoded) > 0xFFFF:
            raise SourceUnreadable(
                f"{printable(path, 200)} has a name that a zip archive cannot hold (not UTF-8, or above 65,535 bytes)",
                hint="set archive.compression to zstd, gzip, bzip2 or none: a tar takes any name",
            )


def _entry(path: str, size_bytes: int, mtime_ns: int, level: int) -> zipfile.ZipInfo:
    seconds = mtime_ns // 1_000_000_000
    shown = min(max(seconds, int(_EARLIEST.timestamp())), int(_LATEST.timestamp()))
    entry = zipfile.ZipInfo(path, datetime.fromtimestamp(shown, UTC).timetuple()[:6])
    entry.compress_type = zipfile.ZIP_DEFLATED
    # ZipFile.open takes the level of a ready entry only from here; 3.13 gave it a public name, and kept this one
    setattr(entry, "compress_level" if hasattr(entry, "compress_level") else "_compresslevel", level)
    entry.create_system = _UNIX
    entry.external_attr = _REGULAR_0644
    entry.file_size = size_bytes  # decides on ZIP64
    if -(2**31) <= seconds < 2**31:
        entry.extra = struct.pack("<HHBl", _TIMESTAMP_FIELD, 5, 1, seconds)
    return entry


class _Sink:
    """What ZipFile writes to: it cannot seek, so ZipFile never goes back, and it fails only once.

    After an error ZipFile still writes its directory as it is closed; that must not hide the error.
    """

    def __init__(self, part: PartFile) -> None:
        self._part = part
        self.failed = False

    def write(self, data: bytes) -> int:
        if not self.failed:
            try:
                self._part.write(data)
            except BaseException:
                self.failed = True
                raise
        return len(data)

    def flush(self) -> None:
        """Nothing is held back."""

    def close(self) -> None:
        """The ``.part`` file belongs to the caller."""
