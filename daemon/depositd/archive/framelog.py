"""What is known of the frames of an unfinished archive, so that it can be gone on with.

Beside ``NAME.part`` lies ``NAME.part.frames``: a header, then a line for each frame that was written, read back and
found right.  A line says where the frame ends, what the hashes were there, and which members it ends with what they
were.  Nothing in it is believed: a line has its own checksum, the bytes of a frame theirs, and of each file
it is asked again whether it is still what was packed.  So no line has to be on the disk before, or after, its frame.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Self

from depositd import portable
from depositd.archive.plan import Compression
from depositd.model import Block, FileStat, Packing

LOG_SUFFIX = ".frames"
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Source:
    """A member as its file was when it was read: another file of the same name has another one of these."""

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int
    inode: int

    def is_still(self, path: str, file: FileStat) -> bool:
        """Say whether a planned member is the one that was read; what a plan does not know (0) is not compared."""
        return (
            (self.path, self.size_bytes, self.mtime_ns) == (path, file.size_bytes, file.mtime_ns)
            and file.inode in (0, self.inode)
            and file.ctime_ns in (0, self.ctime_ns)
        )


@dataclass(frozen=True, slots=True)
class Ended:
    """A member that is in the archive, whole."""

    source: Source
    sha256: str


@dataclass(frozen=True, slots=True)
class Begun:
    """A member of which the archive has ``at`` bytes (header, content and padding); ``sha256`` is a kept state.

    Without the state its content can only be read again from the beginning.
    """

    source: Source
    at: int
    sha256: bytes | None


@dataclass(frozen=True, slots=True)
class Hashes:
    """The states of the hashes after a frame: of the tar, and of the file; None where states cannot be kept."""

    inner_md5: bytes | None = None
    md5: bytes | None = None
    sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame that is in the ``.part`` file: its size in the tar, its bytes there, and what it ends with.

    ``is_last`` is true of the frame that ends the archive: nothing can be added behind it.
    """

    plain_bytes: int
    block: Block
    hashes: Hashes
    ended: tuple[Ended, ...] = ()
    begun: Begun | None = None
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Header:
    """What an archive was begun as; ``machine`` is whose states of hashes these are."""

    packing: Packing
    compression: Compression
    level: int
    why: str
    machine: str
    version: int = _VERSION

    def fits(self, packing: Packing, compression: Compression, level: int | None) -> bool:
        """Say whether a plan can go on with it; any level does where the plan leaves it open."""
        same = (self.version, self.packing, self.compression) == (_VERSION, packing, compression)
        return same and level in (None, self.level)


@dataclass(frozen=True, slots=True)
class Recorded:
    """A log as it was read: its header, its frames, and where each line ends in the log."""

    header: Header
    frames: tuple[Frame, ...] = ()
    ends: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Start:
    """Where an archive goes on: behind ``frames``, with ``members`` whole ones in it and perhaps one begun."""

    frames: tuple[Frame, ...] = ()
    members: tuple[Ended, ...] = field(default=())

    @classmethod
    def behind(cls, frames: Sequence[Frame]) -> Self:
        """Return the start behind some frames."""
        return cls(tuple(frames), tuple(ended for frame in frames for ended in frame.ended))

    @property
    def plain_bytes(self) -> int:
        """The size of the tar so far."""
        return sum(frame.plain_bytes for frame in self.frames)

    @property
    def packed_bytes(self) -> int:
        """The size of the file so far."""
        return sum(frame.block.size_bytes for frame in self.frames)

    @property
    def begun(self) -> Begun | None:
        """The member that is cut off, None where the last one is whole."""
        return self.frames[-1].begun if self.frames else None

    @property
    def hashes(self) -> Hashes:
        """The states of the hashes so far."""
        return self.frames[-1].hashes if self.frames else Hashes()


def fitting(frames: Sequence[Frame], members: Sequence[tuple[str, FileStat]]) -> int:
    """Return how many of the first frames hold nothing but ``members`` (path inside, file), unchanged and in order.

    What ends an archive does not count: nothing can be added behind it.
    """
    index = 0
    for number, frame in enumerate(frames):
        sources = [ended.source for ended in frame.ended] + ([frame.begun.source] if frame.begun else [])
        planned = members[index : index + len(sources)]
        if frame.is_last or len(planned) < len(sources):
            return number
        if not all(source.is_still(path, file) for source, (path, file) in zip(sources, planned, strict=True)):
            return number
        index += len(frame.ended)
    return len(frames)


def reusable(frames: Sequence[Frame]) -> int:
    """Return how many of the first frames can be gone on behind: a member without its state is read from its start."""
    ends = (number for number in range(len(frames), 0, -1) if _can_go_on_behind(frames[number - 1]))
    return next(ends, 0)


def _can_go_on_behind(frame: Frame) -> bool:
    return frame.begun is None or frame.begun.sha256 is not None


# --- lines ------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    """Return the first line of a log."""
    return _line(asdict(header))


def frame_line(frame: Frame) -> bytes:
    """Return the line of a frame."""
    return _line(
        {
            "plain": frame.plain_bytes,
            "block": [frame.block.size_bytes, frame.block.sha256],
            "hashes": [_hex(state) for state in (frame.hashes.inner_md5, frame.hashes.md5, frame.hashes.sha256)],
            "ended": [[*_row(ended.source), ended.sha256] for ended in frame.ended],
            "begun": [*_row(frame.begun.source), frame.begun.at, _hex(frame.begun.sha256)] if frame.begun else None,
            "is_last": frame.is_last,
        }
    )


def read_log(content: bytes) -> Recorded | None:
    """Return what a log says, up to its first line that is cut off or damaged; None where that is its header."""
    header: Header | None = None
    frames: list[Frame] = []
    ends: list[int] = []
    for value, end in _values(content):
        try:
            if header is None:
                header = Header(**{**value, "packing": Packing(value["packing"])})
                continue
            frames.append(_frame_of(value))
        except (KeyError, TypeError, ValueError):
            break
        ends.append(end)
    return Recorded(header, tuple(frames), tuple(ends)) if header else None


def _line(value: dict[str, Any]) -> bytes:
    text = json.dumps(value, separators=(",", ":")).encode("ascii")
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _values(content: bytes) -> Iterator[tuple[dict[str, Any], int]]:
    at = 0
    while (end := content.find(b"\n", at)) >= 0:
        checksum, _, text = content[at:end].partition(b" ")
        if checksum != b"%08x" % zlib.crc32(text):
            return
        try:
            value = json.loads(text)
        except ValueError:
            return
        yield value, end + 1
        at = end + 1


def _frame_of(value: dict[str, Any]) -> Frame:
    begun = value["begun"]
    return Frame(
        value["plain"],
        Block(*value["block"]),
        Hashes(*(_unhex(state) for state in value["hashes"])),
        tuple(Ended(Source(*row[:-1]), row[-1]) for row in value["ended"]),
        Begun(Source(*begun[:-2]), begun[-2], _unhex(begun[-1])) if begun else None,
        value["is_last"],
    )


def _row(source: Source) -> list[Any]:
    return [source.path, source.size_bytes, source.mtime_ns, source.ctime_ns, source.inode]


def _hex(state: bytes | None) -> str | None:
    return None if state is None else state.hex()


def _unhex(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


class FrameLog:
    """The log of one ``.part`` file, open for adding."""

    def __init__(self, path: str, keep_bytes: int) -> None:
        """Open a log and keep its first bytes alone; raises OSError."""
        self.descriptor = portable.open_to_write(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)
        try:
            os.ftruncate(self.descriptor, keep_bytes)
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self.descriptor)
