"""What can be gone on with of an archive that was cut off, or was begun while the acquisition still ran.

Nothing that lies there is taken on trust: the log has to fit the plan, each file has to be what it was when it was
read, and the bytes of each frame what they were when it was settled.  From the first that is not on, all is made anew.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate

from depositd import portable
from depositd.archive.encoders import decode
from depositd.archive.framelog import LOG_SUFFIX, Frame, Header, Source, Start, fitting, read_log, reusable
from depositd.archive.hashing import Hash, new, platform_name, resumed
from depositd.archive.part import PIECE_BYTES, Written, part_path
from depositd.archive.plan import PackPlan
from depositd.archive.source import SourceTree
from depositd.archive.workshop import Workshop
from depositd.model import Block, FileStat, Packing

Members = Sequence[tuple[str, FileStat]]
"""Paths inside the archive and planned files, in order."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """Where an archive goes on; ``header`` is None where it begins.

    ``log_bytes`` is how much of the log stays.  ``lost_bytes`` of the file were there and are of no use, because of
    ``reason``.
    """

    start: Start = field(default_factory=Start)
    header: Header | None = None
    log_bytes: int = 0
    written: Written = field(default_factory=Written)
    inner_md5: Hash = field(default_factory=partial(new, "md5"))
    lost_bytes: int = 0
    reason: str = ""


@dataclass(frozen=True, slots=True)
class _Cut:
    """How many frames can stay, and why not more."""

    frames: int
    reason: str = ""


def find_start(
    plan: PackPlan,
    directory: str,
    tree: SourceTree | None,
    workshop: Workshop,
    tick: Callable[[], None] = lambda: None,
) -> Resumption:
    """Return where a plan goes on in what lies in a directory.

    With a ``tree`` every file that is in there already is asked for what it is now.  ``tick`` is called often and may
    raise to stop.  Raises SourceChanged where a file is not what was planned any more, and SourceUnreadable.
    """
    path = part_path(directory, plan.part_name or plan.file_name)
    recorded = read_log(_read(path + LOG_SUFFIX))
    level = plan.level if plan.packing is Packing.ARCHIVE else None
    if recorded is None or not recorded.header.fits(plan.packing, plan.encoding, level):
        return Resumption()
    goes_on = recorded.header.machine == platform_name()
    frames = recorded.frames if goes_on else tuple(map(_without_states, recorded.frames))
    members = plan.in_order()
    cut = _Cut(fitting(frames, members), "files came, went or changed")
    if tree is not None:
        cut = _as_they_are(frames, cut, members, tree, tick)
    if not workshop.trusts(path):
        cut = _as_written(frames, cut, path, workshop, tick)
    count = reusable(frames[: cut.frames])
    # a frame that cannot be gone on behind was of no use from the beginning, and is not lost
    lost_bytes = sum(frame.block.size_bytes for frame in frames[cut.frames :] if not frame.is_last)
    reason = cut.reason if lost_bytes else ""
    if not count:
        return Resumption(lost_bytes=lost_bytes, reason=reason)
    start = Start.behind(frames[:count])
    found = Resumption(start, recorded.header, recorded.ends[count - 1], lost_bytes=lost_bytes, reason=reason)
    return _with_hashes(found, path, tick)


def _read(path: str) -> bytes:
    """Return what is in a file, nothing where it cannot be read or is no regular file."""
    with suppress(OSError), open(_open(path), "rb") as file:
        return file.read()
    return b""


def _open(path: str) -> int:
    """Open a regular file without following or blocking; raises OSError."""
    descriptor = portable.open_to_read(path)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is no regular file")
    return descriptor


def _as_they_are(
    frames: Sequence[Frame], cut: _Cut, members: Members, tree: SourceTree, tick: Callable[[], None]
) -> _Cut:
    """Keep the frames before the first file that was touched since it was read, whatever its size and times say."""
    index = 0
    for number, frame in enumerate(frames[: cut.frames]):
        tick()
        for offset, source in enumerate(_sources(frame)):
            now = tree.look_at(members[index + offset][1])
            if (now.st_ctime_ns, now.st_ino) != (source.ctime_ns, source.inode):
                return _Cut(number, "a file was touched after it was packed")
        index += len(frame.ended)
    return cut


def _sources(frame: Frame) -> Iterator[Source]:
    yield from (ended.source for ended in frame.ended)
    if frame.begun is not None:
        yield frame.begun.source


def _as_written(frames: Sequence[Frame], cut: _Cut, path: str, workshop: Workshop, tick: Callable[[], None]) -> _Cut:
    """Keep the frames before the first one whose bytes are not those that were settled."""
    blocks = [frame.block for frame in frames[: cut.frames]]
    offsets = accumulate((block.size_bytes for block in blocks), initial=0)
    try:
        file = open(_open(path), "rb", buffering=0)  # noqa: SIM115 (closed below)
    except OSError as error:
        return _Cut(0, f"it cannot be read: {error.strerror}")
    with file:
        checks = (partial(_is_right, file.fileno(), at, block) for at, block in zip(offsets, blocks, strict=False))
        right = list(_side_by_side(checks, workshop, tick))
    whole = right.index(False) if False in right else len(right)
    return (
        cut
        if whole == cut.frames
        else _Cut(whole, f"piece {whole + 1:,} of the archive is damaged, or was never written")
    )


def _side_by_side(work: Iterable[Callable[[], bool]], workshop: Workshop, tick: Callable[[], None]) -> Iterator[bool]:
    """Yield what each piece of work says, in order; few wait at once, as other archives need the same threads."""
    going: deque[Future[bool]] = deque()
    try:
        for one in work:
            tick()
            going.append(workshop.pool.submit(one))
            if len(going) > workshop.workers:
                yield going.popleft().result()
        while going:
            yield going.popleft().result()
    finally:
        wait(going)


def _is_right(descriptor: int, at: int, block: Block) -> bool:
    digest = new("sha256")
    end = at + block.size_bytes
    while at < end:
        try:
            piece = portable.read_at(descriptor, min(end - at, PIECE_BYTES), at)
        except OSError:
            return False
        if not piece:
            return False
        digest.update(piece)
        at += len(piece)
    return digest.hexdigest() == block.sha256


def _without_states(frame: Frame) -> Frame:
    begun = frame.begun and replace(frame.begun, sha256=None)
    return replace(frame, begun=begun)


def _with_hashes(found: Resumption, path: str, tick: Callable[[], None]) -> Resumption:
    """Give back the hashes as they were; where their states are not of use here, hash what is there again."""
    start, header = found.start, found.header
    assert header is not None
    inner, md5, sha256 = start.hashes.inner_md5, start.hashes.md5, start.hashes.sha256
    if header.machine == platform_name() and inner is not None and md5 is not None and sha256 is not None:
        written = Written(start.packed_bytes, resumed("md5", md5), resumed("sha256", sha256))
        return replace(found, written=written, inner_md5=resumed("md5", inner))
    written = Written(start.packed_bytes)
    with open(_open(path), "rb", buffering=0) as file:

        def packed() -> Iterator[bytes]:
            left = start.packed_bytes
            while piece := file.read(min(left, PIECE_BYTES)):
                tick()
                left -= len(piece)
                written.md5.update(piece)
                written.sha256.update(piece)
                yield piece

        for plain in decode(header.compression, packed()):
            found.inner_md5.update(plain)
    return replace(found, written=written)
