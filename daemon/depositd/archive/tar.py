"""A deterministic tar, built in frames; one read of each file feeds everything that needs its bytes.

Theory of operation
-------------------
The layout is a function of names, sizes, mtimes and contents alone: members sorted by the bytes of their paths, PAX
format, uid and gid 0 without names, mode 0644, mtimes to the nanosecond (in a PAX record where they have a
fraction), no entries for directories, and two zero blocks at the end, padded to 10,240 bytes.

The tar is cut into *frames* of at most 8 MiB: a frame ends at the first end of a member after 4 MiB, or at 8 MiB in
the middle of one.  Where a frame ends depends only on what came before it, so an archive that is
begun early, or taken up again after its last whole frame, comes out the same.

The caller's thread reads.  Each full frame is handed to four lanes, which hold the same memory and never copy it:

    read ─┬─> inner MD5 of the whole tar
          ├─> SHA-256 of each member
          ├─> the format's own content check
          └─> compression (a pool) ──> write, MD5 and SHA-256 of the file

No lane is further behind than the pool has threads, and two frames more, which bounds the memory, and the pool with
it: whatever it has compressed is what the writing lane waits for.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from functools import partial
from types import TracebackType
from typing import Self

from depositd.archive.encoders import Encoder
from depositd.archive.lanes import Lane
from depositd.archive.part import Bytes, PartFile
from depositd.archive.plan import MOST_WORKERS
from depositd.archive.source import SourceFile
from depositd.errors import ContentCorrupt
from depositd.formats.base import ContentCheck
from depositd.model import Member
from depositd.units import printable

FRAME_MOST_BYTES = 8 << 20
FRAME_LEAST_BYTES = 4 << 20

Work = list[Callable[[], None]]


def member_header(path: str, size_bytes: int, mtime_ns: int) -> bytes:
    """Return the blocks that stand before a member's content; a function of its arguments alone."""
    info = tarfile.TarInfo(path)
    info.size = size_bytes
    info.mode = 0o644
    seconds, fraction_ns = divmod(mtime_ns, 1_000_000_000)
    info.mtime = seconds
    if fraction_ns:
        # a float would lose nanoseconds
        info.pax_headers = {"mtime": f"{Decimal(mtime_ns).scaleb(-9):f}"}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size_bytes: int, block_bytes: int = tarfile.BLOCKSIZE) -> bytes:
    """Return the zeros that fill the last block."""
    return bytes(-size_bytes % block_bytes)


def end_of_archive(size_bytes: int) -> bytes:
    """Return what ends a tar of ``size_bytes``: two zero blocks, padded to a whole record."""
    end = bytes(2 * tarfile.BLOCKSIZE)
    return end + padding(size_bytes + len(end), tarfile.RECORDSIZE)


def judge_content(path: str, check: ContentCheck) -> None:
    """Raise ContentCorrupt where a file's own checksum says so."""
    problem = check.problem()
    if problem is not None:
        raise ContentCorrupt(
            f"{printable(path)} is corrupt: {problem}",
            hint="look at the file, and copy it again from where it was written; nothing was archived",
        )


class TarWriter:
    """Writes one tar, compressed, into a ``.part`` file.

    Use as a context manager; leaving it early stops all threads.  *add* and *finish* raise what any of the threads
    raised.
    """

    def __init__(self, part: PartFile, encoder: Encoder, workers: int) -> None:
        self._part = part
        self._encoder = encoder
        self._members: list[Member] = []
        self._inner_md5 = hashlib.md5(usedforsecurity=False)
        self._size_bytes = 0
        self._threads = ExitStack()
        pool_size = min(workers, MOST_WORKERS) if encoder.parallel else 1
        # closed in reverse order: the writing lane may wait for the pool, never the other way round
        self._pool = ThreadPoolExecutor(pool_size, thread_name_prefix="archive-encode")
        self._threads.callback(self._pool.shutdown, wait=True, cancel_futures=True)
        self._inner, self._digests, self._checks, self._file = (
            self._threads.enter_context(Lane(f"archive-{name}", pool_size + 2))
            for name in ("inner-md5", "sha256", "check", "write")
        )
        self._start_frame()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.close()

    def add(self, path: str, source: SourceFile, check: ContentCheck | None, progress: Callable[[int], None]) -> None:
        """Add a file as ``path``; ``progress`` is called with the bytes of each read."""
        planned = source.planned
        self._append(member_header(path, planned.size_bytes, planned.mtime_ns))
        digest = hashlib.sha256()
        left = planned.size_bytes
        while left:
            room = self._room(left)
            block = room[: source.read_into(room)]
            self._take(len(block))
            self._digest_work.append(partial(digest.update, block))
            if check is not None:
                self._check_work.append(partial(check.update, block))
            left -= len(block)
            progress(len(block))
        source.confirm_unchanged()
        self._append(padding(planned.size_bytes))
        self._digest_work.append(partial(self._record, path, planned.size_bytes, planned.mtime_ns, digest.hexdigest))
        if check is not None:
            self._check_work.append(partial(judge_content, planned.path, check))
        if self._filled >= FRAME_LEAST_BYTES:
            self._end_frame()

    def finish(self) -> tuple[tuple[Member, ...], str]:
        """End the tar and return its members and its MD5 before compression."""
        self._append(end_of_archive(self._size_bytes))
        self._end_frame()
        for lane in (self._inner, self._digests, self._checks, self._file):
            lane.drain()
        self._part.write(self._encoder.finish())
        return tuple(self._members), self._inner_md5.hexdigest()

    def _record(self, path: str, size_bytes: int, mtime_ns: int, sha256: Callable[[], str]) -> None:
        self._members.append(Member(path, size_bytes, mtime_ns, sha256()))

    def _append(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            room = self._room(len(rest))
            room[:] = rest[: len(room)]
            self._take(len(room))
            rest = rest[len(room) :]

    def _start_frame(self) -> None:
        self._frame = memoryview(bytearray(FRAME_MOST_BYTES))
        self._filled = 0
        self._digest_work: Work = []
        self._check_work: Work = []

    def _room(self, wanted: int) -> memoryview:
        """Return up to ``wanted`` unfilled bytes of a frame, at least one."""
        if self._filled == FRAME_MOST_BYTES:
            self._end_frame()
        return self._frame[self._filled : self._filled + wanted]

    def _take(self, count: int) -> None:
        self._filled += count
        self._size_bytes += count

    def _end_frame(self) -> None:
        frame = self._frame[: self._filled]
        self._inner.put(partial(self._inner_md5.update, frame))
        self._digests.put(partial(_do, self._digest_work))
        self._checks.put(partial(_do, self._check_work))
        encoded: Future[Bytes] = self._pool.submit(self._encoder.encode, frame)
        self._file.put(partial(self._write, encoded))
        self._start_frame()

    def _write(self, encoded: Future[Bytes]) -> None:
        self._part.write(encoded.result())


def _do(work: Work) -> None:
    for step in work:
        step()
