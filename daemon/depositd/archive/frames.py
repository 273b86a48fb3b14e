"""Builds a packed file in frames; one read of each file feeds everything that needs its bytes.

Theory of operation
-------------------
What is packed (a tar, or one file as it is) is cut into *frames* of at most 8 MiB: a frame ends at the first end of a
member after 4 MiB, or at 8 MiB in the middle of one.  Where a frame ends depends only on what came before it, so an
archive that is begun while the acquisition runs, or taken up again after its last whole frame, comes out the same.

The caller's thread reads, straight into the memory of a frame.  Each frame that is full is handed to lanes, which hold
the same memory and never copy it:

    read ─┬─> inner MD5 of the whole tar ──────────────────────────────┐
          ├─> SHA-256 of each member ──────────────────────────────────┤
          ├─> the format's own content check ──────────────────────────┤
          └─> compression (pool) ─> write, MD5 and SHA-256 of the file ┴─> settle: one line of the log
                                        └─> proof (pool): read back, decompressed, compared with the memory

A frame is *settled* once all of that is right for it and for every frame before; only then its line is in the log, and
its memory is free again.  The workshop has so many frames and no more: that bounds the memory of all archives.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

from depositd.archive import framelog
from depositd.archive.encoders import Encoder, decode_frame
from depositd.archive.framelog import Begun, Ended, Frame, FrameLog, Hashes, Source
from depositd.archive.hashing import Bytes, Hash, new, resumed
from depositd.archive.lanes import Lane
from depositd.archive.part import PartFile
from depositd.archive.plan import RESUMABLE, Compression
from depositd.archive.source import SourceFile
from depositd.archive.tar import end_of_archive, member_header, padding
from depositd.archive.workshop import FRAME_MOST_BYTES, Workshop
from depositd.errors import ArchiveInvalid, ContentCorrupt, SourceChanged
from depositd.formats.base import ContentCheck
from depositd.model import Block
from depositd.units import printable

FRAME_LEAST_BYTES = 4 << 20
_MOST_BEHIND = 1 << 20
"""The workshop's frames bound what waits, not the lanes."""

T = TypeVar("T")
Work = list[Callable[[], None]]
Begin = Callable[[memoryview], Encoder]
"""Told the first frame; returns what compresses it and all others."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What stands around the content of members.

    ``before`` is told a path, a size in bytes and an mtime in nanoseconds, ``behind`` the size, ``end`` that of
    everything.
    """

    before: Callable[[str, int, int], bytes]
    behind: Callable[[int], bytes]
    end: Callable[[int], bytes]


TAR = Layout(member_header, padding, end_of_archive)
AS_IT_IS = Layout(lambda _path, _size_bytes, _mtime_ns: b"", lambda _size_bytes: b"", lambda _size_bytes: b"")


@dataclass(slots=True)
class _Member:
    """A member that is being read: the hash of its content, and how much is in frames, header and padding included."""

    source: Source
    digest: Hash
    at: int = 0


class _Loan:
    """Memory that goes back once its filler and each of the threads that look at it have *ended*, however they did."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back = give_back
        self._lock = threading.Lock()
        self._holders = 1

    def until(self, future: Future[T]) -> Future[T]:
        """Let the loan last until a piece of work is done, or dropped; return it."""
        with self._lock:
            self._holders += 1
        future.add_done_callback(self.end)
        return future

    def end(self, _done: object = None) -> None:
        """Take one holder off."""
        with self._lock:
            self._holders -= 1
            is_over = not self._holders
        if is_over:
            self._give_back()


@dataclass(slots=True)
class _Filling:
    """A frame on its way, and what has become known of it."""

    memory: bytearray
    loan: _Loan
    size_bytes: int = 0
    digest_work: Work = field(default_factory=list)
    check_work: Work = field(default_factory=list)
    ended: list[Ended] = field(default_factory=list)
    begun: Begun | None = None
    hashes: Hashes = field(default_factory=Hashes)
    inner_state: bytes | None = None
    packed_bytes: int = 0
    proof: Future[Block] | None = None

    @property
    def view(self) -> memoryview:
        """The bytes of the frame."""
        return memoryview(self.memory)[: self.size_bytes]


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed: members in order, blocks of the file where it has frames, and the MD5 before compression."""

    members: tuple[Ended, ...]
    blocks: tuple[Block, ...]
    inner_md5: str


class FrameWriter:
    """Writes one packed file into a ``.part`` file.

    Use as a context manager; leaving it early stops all of its work.  *add*, *settle* and *finish* raise what any of
    the threads raised.  ``start`` is what the ``.part`` file has already, ``inner_md5`` the hash of the tar so far.
    """

    def __init__(
        self,
        part: PartFile,
        workshop: Workshop,
        begin: Begin,
        layout: Layout,
        *,
        compression: Compression,
        log: FrameLog | None,
        start: framelog.Start,
        inner_md5: Hash,
    ) -> None:
        self._part = part
        self._workshop = workshop
        self._begin = begin
        self._layout = layout
        self._compression = compression
        self._is_framed = compression in RESUMABLE
        self._log = log
        self._beginning: Future[Encoder] | None = None
        self._inner_md5 = inner_md5
        self._size_bytes = start.plain_bytes
        self._begun = start.begun
        self._members = list(start.members)
        self._blocks = [frame.block for frame in start.frames]
        self._member: _Member | None = None
        self._frame: _Filling | None = None
        self._encoding: list[Future[Bytes]] = []
        self._threads = ExitStack()
        self._threads.callback(self._drop)
        # closed in reverse order: a lane waits for those before it, never the other way round
        self._inner, self._digests, self._checks, self._file, self._settling = (
            self._threads.enter_context(Lane(f"archive-{name}", _MOST_BEHIND))
            for name in ("inner-md5", "sha256", "check", "write", "settle")
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for encoding in self._encoding:
            encoding.cancel()
        if self._beginning is not None and not self._beginning.cancel():
            wait([self._beginning])  # it may write into the log, which is closed next
            if self._beginning.exception() is None:
                self._beginning.result().stop()
        self._threads.close()

    def add(self, path: str, source: SourceFile, check: ContentCheck | None, progress: Callable[[int], None]) -> None:
        """Add a file as ``path``; ``progress`` is called with the bytes of each read."""
        planned, opened = source.planned, source.opened
        identity = Source(path, opened.st_size, opened.st_mtime_ns, opened.st_ctime_ns, opened.st_ino)
        header = self._layout.before(path, planned.size_bytes, planned.mtime_ns)
        fits = self._current().size_bytes + len(header) + planned.size_bytes <= FRAME_MOST_BYTES
        member, self._begun = _gone_on(identity, self._begun, fits), None
        content_at = min(max(member.at - len(header), 0), planned.size_bytes)
        self._member = member
        self._append(header[member.at :])
        self._read(source, content_at, check, progress)
        source.confirm_unchanged()
        self._append(self._layout.behind(planned.size_bytes)[max(member.at - len(header) - planned.size_bytes, 0) :])
        self._member = None
        frame = self._current()
        frame.digest_work.append(partial(_end_member, frame, member))
        if check is not None:
            frame.check_work.append(partial(judge_content, planned.path, check))
        if frame.size_bytes >= FRAME_LEAST_BYTES:
            self._end_frame()

    def _read(
        self, source: SourceFile, offset: int, check: ContentCheck | None, progress: Callable[[int], None]
    ) -> None:
        member = self._member
        assert member is not None
        if offset:
            source.skip_to(offset)
        left = source.planned.size_bytes - offset
        while left > 0:
            frame, count = self._room(left)
            room = memoryview(frame.memory)[frame.size_bytes : frame.size_bytes + count]
            block = room[: source.read_into(room)]
            self._take(len(block))
            frame.digest_work.append(partial(member.digest.update, block))
            if check is not None:
                frame.check_work.append(partial(check.update, block))
            left -= len(block)
            progress(len(block))

    def settle(self) -> None:
        """Wait until every full frame is settled; what does not fill one is forgotten, to be read again."""
        self._settling.drain(self._workshop.still_wanted)

    def finish(self) -> Packed:
        """End what is packed and return what it is."""
        self._append(self._layout.end(self._size_bytes))
        if self._frame is not None:
            self._end_frame(is_last=True)
        self._settling.drain(self._workshop.still_wanted)
        if self._beginning is not None:
            self._part.write(self._beginning.result().finish())
        return Packed(tuple(self._members), tuple(self._blocks), self._inner_md5.hexdigest())

    # --- the frame that is filled -------------------------------------------------------------------------------

    def _append(self, data: bytes) -> None:
        while data:
            frame, count = self._room(len(data))
            frame.memory[frame.size_bytes : frame.size_bytes + count] = data[:count]
            self._take(count)
            data = data[count:]

    def _current(self) -> _Filling:
        if self._frame is None:
            memory = self._workshop.take_frame()
            self._frame = _Filling(memory, _Loan(partial(self._workshop.give_back, memory)))
        return self._frame

    def _room(self, wanted: int) -> tuple[_Filling, int]:
        """Return a frame, and how many of ``wanted`` bytes still go into it: at least one."""
        if self._current().size_bytes == FRAME_MOST_BYTES:
            self._end_frame()
        frame = self._current()
        return frame, min(wanted, FRAME_MOST_BYTES - frame.size_bytes)

    def _take(self, count: int) -> None:
        frame = self._current()
        frame.size_bytes += count
        self._size_bytes += count
        if self._member is not None:
            self._member.at += count

    def _drop(self) -> None:
        """Give back the memory of a frame that was not filled."""
        if self._frame is not None:
            self._frame.loan.end()
            self._frame = None

    # --- a frame that is full -----------------------------------------------------------------------------------

    def _end_frame(self, is_last: bool = False) -> None:
        frame, self._frame = self._current(), None
        member, loan = self._member, frame.loan
        try:
            beginning = self._beginning
            if beginning is None:
                # the level is chosen while more is read; in the pool's order this comes before what needs it
                beginning = loan.until(self._workshop.pool.submit(self._begin, frame.view))
                self._beginning = beginning
            done = [
                loan.until(self._inner.put(partial(self._hash_inner, frame))),
                loan.until(self._digests.put(partial(_digest, frame, member, member.at if member else 0))),
                loan.until(self._checks.put(partial(_do, frame.check_work))),
            ]
            encoded = None
            if self._is_framed:  # one stream has an order, which a pool does not keep: the writer compresses it
                encoded = loan.until(self._workshop.pool.submit(_encoded, beginning, frame))
                self._encoding = [one for one in self._encoding if not one.done()] + [encoded]
            done.append(loan.until(self._file.put(partial(self._write, frame, beginning, encoded))))
            loan.until(self._settling.put(partial(self._settle, frame, done, is_last)))
        finally:
            loan.end()

    def _hash_inner(self, frame: _Filling) -> None:
        self._inner_md5.update(frame.view)
        frame.inner_state = self._inner_md5.state() if self._log else None

    def _write(self, frame: _Filling, beginning: Future[Encoder], encoded: Future[Bytes] | None) -> None:
        part, data = self._part, _encoded(beginning, frame) if encoded is None else encoded.result()
        at = part.size_bytes
        part.write(data)
        frame.packed_bytes = len(data)
        if self._log is not None:
            frame.hashes = Hashes(None, *part.states())
        if self._is_framed:
            frame.proof = frame.loan.until(self._workshop.pool.submit(_proven, part, self._compression, frame, at))

    def _settle(self, frame: _Filling, done: list[Future[None]], is_last: bool) -> None:
        for one in done:
            one.result()
        self._members += frame.ended
        if frame.proof is None:
            return
        block = frame.proof.result()
        self._blocks.append(block)
        if self._log is not None:
            hashes = Hashes(frame.inner_state, frame.hashes.md5, frame.hashes.sha256)
            line = Frame(frame.size_bytes, block, hashes, tuple(frame.ended), frame.begun, is_last)
            self._part.note(self._log, framelog.frame_line(line))


def _encoded(beginning: Future[Encoder], frame: _Filling) -> Bytes:
    return beginning.result().encode(frame.view)


def _gone_on(identity: Source, begun: Begun | None, fits: bool) -> _Member:
    """Return the member that is read next, from where the last frame cut it off; one that ``fits`` is not cut."""
    if begun is None:
        return _Member(identity, new("sha256", in_one_go=fits))
    assert begun.sha256 is not None
    if begun.source != identity:
        raise SourceChanged(
            f"{printable(identity.path)} was changed after its first {begun.at:,} bytes were packed",
            hint="it is packed anew by itself",
        )
    return _Member(identity, resumed("sha256", begun.sha256), begun.at)


def _end_member(frame: _Filling, member: _Member) -> None:
    frame.ended.append(Ended(member.source, member.digest.hexdigest()))


def _digest(frame: _Filling, member: _Member | None, at: int) -> None:
    """Hash the members of a frame; of one that goes on in the next frame the hash is kept as it is now."""
    _do(frame.digest_work)
    if member is not None:
        # a content check keeps no state: such a member is read again from its beginning
        state = None if frame.check_work else member.digest.state()
        frame.begun = Begun(member.source, at, state)


def _proven(part: PartFile, compression: Compression, frame: _Filling, at: int) -> Block:
    """Read a frame back and compare it with what was hashed, byte by byte; raises ArchiveInvalid."""
    digest = new("sha256")

    def hashed() -> Iterator[bytes]:
        for piece in part.read_back(at, frame.packed_bytes):
            digest.update(piece)
            yield piece

    done_bytes = 0
    for plain in decode_frame(compression, hashed()):
        if not frame.memory.startswith(plain, done_bytes):
            break
        done_bytes += len(plain)
    if done_bytes != frame.size_bytes:
        raise ArchiveInvalid(
            f"what was read back of {printable(part.path)} behind byte {at:,} is not what was written",
            hint="check the disk of the spool and the memory; it is packed again by itself",
        )
    return Block(frame.packed_bytes, digest.hexdigest())


def judge_content(path: str, check: ContentCheck) -> None:
    """Raise ContentCorrupt where a file's own checksum says so."""
    problem = check.problem()
    if problem is not None:
        raise ContentCorrupt(
            f"{printable(path)} is corrupt: {problem}",
            hint="look at the file, and copy it again from where it was written; nothing was archived",
        )


def _do(work: Work) -> None:
    for step in work:
        step()
