"""A file on its way out: read ahead, and handed on in order once it was hashed.

Where it is known what each block of it must hash to, several are hashed at once, for one core hashes more slowly than a
fast network sends; and no byte of a block is handed on before the block was found right.  Where only the hash of the
whole is known, that is compared behind the last byte.  A small file needs no threads.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import ParamSpec, Protocol, Self, TypeVar

from depositd.model import Archive, Block

BLOCK_BYTES = 1 << 20
WORTH_THREADS_BYTES = 16 * BLOCK_BYTES
LARGEST_BLOCK_BYTES = 12 * BLOCK_BYTES
"""Of larger blocks, those that are under way at once would take more memory than a transfer should."""

_PIECE_BYTES = 4 * BLOCK_BYTES
_HASHING_THREADS = 2
_MOST_UNDER_WAY = 2 + _HASHING_THREADS
"""Pieces in memory: one is sent, one is read, the others are hashed."""

P = ParamSpec("P")
T = TypeVar("T")


class Altered(Exception):
    """A file is not what was promised; the message is a clause that wants its name before it ("has grown …")."""


class Readable(Protocol):
    """An open file, as far as it is needed here."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read the next bytes, perhaps fewer than there is room for, and return their number: 0 at the end."""

    def close(self) -> None:
        """Close it."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What a file holds: its size, its SHA-256 (None where nobody knows it), and its blocks where they are known."""

    size_bytes: int
    sha256: str | None = None
    blocks: Sequence[Block] = ()

    @classmethod
    def of_archive(cls, archive: Archive) -> Self:
        """Return what was packed."""
        return cls(archive.size_bytes, archive.sha256, archive.blocks)

    @property
    def is_of_blocks(self) -> bool:
        """True where the blocks prove the whole file, and each of them fits into the memory."""
        sizes = [block.size_bytes for block in self.blocks]
        fits = bool(sizes) and all(0 < size <= LARGEST_BLOCK_BYTES for size in sizes)
        return fits and sum(sizes) == self.size_bytes


@dataclass(frozen=True, slots=True)
class _Piece:
    """What is read, hashed and handed on in one go: some whole blocks, or just so many bytes."""

    at: int
    size_bytes: int
    blocks: tuple[Block, ...] = ()


def checked(open_file: Callable[[], Readable], promise: Promise) -> Generator[memoryview, None, None]:
    """Yield all bytes of a file in order; each piece is valid until the next one is asked for.

    Raises Altered as soon as the file is known not to be what was promised, at the latest behind its last byte; OSError
    where it cannot be read.  Closing the generator closes the file and waits for its threads.
    """
    size_bytes, sha256 = promise.size_bytes, promise.sha256
    blocks = promise.blocks if promise.is_of_blocks else ()
    whole = hashlib.sha256()
    with contextlib.closing(open_file()) as file, _executors(size_bytes, bool(blocks)) as (reading, hashing):

        def begin(piece: _Piece, room: memoryview) -> Future[memoryview]:
            read = reading.submit(_filled, file, piece, room, size_bytes)
            if blocks:
                return hashing.submit(_compared, read, piece)
            return read if sha256 is None else hashing.submit(_hashed, read, whole.update)

        most = 1 if isinstance(hashing, _AtOnce) else _MOST_UNDER_WAY
        room_bytes = max([min(_PIECE_BYTES, size_bytes), *(block.size_bytes for block in blocks)])
        yield from _in_order(_of_blocks(blocks) if blocks else _of_size(size_bytes), begin, most, room_bytes)
        if file.readinto(memoryview(bytearray(1))):
            raise Altered(f"has grown beyond its {size_bytes:,} bytes")
    if sha256 is not None and not blocks and whole.hexdigest() != sha256:
        raise Altered(f"has SHA-256 {whole.hexdigest()[:12]}… instead of {sha256[:12]}…")


def _in_order(
    pieces: Iterable[_Piece], begin: Callable[[_Piece, memoryview], Future[memoryview]], most: int, room_bytes: int
) -> Iterator[memoryview]:
    """Yield the pieces, of which ``most`` are in memory at a time: the room of each serves for a later one again."""
    rooms = itertools.cycle([memoryview(bytearray(room_bytes)) for _ in range(most)])
    under_way: deque[Future[memoryview]] = deque()
    for piece in pieces:
        if len(under_way) == most:
            yield under_way[0].result()
            under_way.popleft()
        under_way.append(begin(piece, next(rooms)[: piece.size_bytes]))
    while under_way:
        yield under_way[0].result()
        under_way.popleft()


def _of_size(size_bytes: int) -> Iterator[_Piece]:
    for at in range(0, size_bytes, _PIECE_BYTES):
        yield _Piece(at, min(_PIECE_BYTES, size_bytes - at))


def _of_blocks(blocks: Iterable[Block]) -> Iterator[_Piece]:
    """Put small blocks together: threads that hand on a few kB at a time only get in each other's way."""
    at, size_bytes = 0, 0
    together: list[Block] = []
    for block in blocks:
        if together and size_bytes + block.size_bytes > _PIECE_BYTES:
            yield _Piece(at, size_bytes, tuple(together))
            at, size_bytes, together = at + size_bytes, 0, []
        together.append(block)
        size_bytes += block.size_bytes
    if together:
        yield _Piece(at, size_bytes, tuple(together))


# --- what the threads do ----------------------------------------------------------------------------------------------


def _filled(file: Readable, piece: _Piece, room: memoryview, file_bytes: int) -> memoryview:
    done = 0
    while done < piece.size_bytes:
        count = file.readinto(room[done:])
        if not count:
            raise Altered(f"ends after {piece.at + done:,} of {file_bytes:,} bytes")
        done += count
    return room


def _hashed(read: Future[memoryview], update: Callable[[memoryview], None]) -> memoryview:
    content = read.result()
    update(content)
    return content


def _compared(read: Future[memoryview], piece: _Piece) -> memoryview:
    content = read.result()
    at = 0
    for block in piece.blocks:
        end = at + block.size_bytes
        if hashlib.sha256(content[at:end]).hexdigest() != block.sha256:
            where = f"between byte {piece.at + at:,} and byte {piece.at + end:,}"
            raise Altered(f"is not what was packed {where}")
        at = end
    return content


class _AtOnce(Executor):
    """What a thread would do is done before *submit* returns."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        """Do it now."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)
        return future


@contextlib.contextmanager
def _executors(size_bytes: int, by_blocks: bool) -> Iterator[tuple[Executor, Executor]]:
    """Provide who reads and who hashes; the whole hash is of one stream, so one thread keeps its order."""
    if size_bytes < WORTH_THREADS_BYTES:
        yield _AtOnce(), _AtOnce()
        return
    reading = ThreadPoolExecutor(1, "upload-read")
    hashing = ThreadPoolExecutor(_HASHING_THREADS if by_blocks else 1, "upload-hash")
    try:
        yield reading, hashing
    finally:
        # in this order: who hashes waits for who reads
        reading.shutdown(wait=True, cancel_futures=True)
        hashing.shutdown(wait=True, cancel_futures=True)
