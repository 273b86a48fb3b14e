"""Reads a packed file back from the disk and compares it with what it should be, to the last byte."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import IO, TYPE_CHECKING, Self

from depositd import portable
from depositd.archive.encoders import decode
from depositd.archive.lanes import Ahead, Lane
from depositd.archive.plan import SUFFIXES, Compression
from depositd.archive.tar import end_of_archive, padding
from depositd.errors import ArchiveInvalid
from depositd.model import Archive, Member, Packing
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK_BYTES = 1 << 19  # what it decompresses to still fits the processor's cache
_TAR_BUFFER_BYTES = 1 << 17  # tarfile copies what is left of it for each header
_MOST_BEHIND = 8
_MOST_AHEAD = 4
_HINT = "it is thrown away and packed again by itself; if that happens often, check the disk and the memory"

Tick = Callable[[], None]


def verify(archive: Archive, tick: Tick = lambda: None) -> None:
    """Read the whole packed file and raise ArchiveInvalid unless it is exactly the one that was packed.

    Compared are its size, MD5 and SHA-256, the end of every compressed frame or stream, each member's path, size and
    SHA-256, their number and order, the end of the tar, and the tar's own MD5.  ``tick`` is called for each
    block and may raise to stop.
    """
    try:
        with _open(archive.path) as file:
            _verify(archive, file, tick)
    except ArchiveInvalid as error:
        raise ArchiveInvalid(f"{printable(archive.path)} is not what was packed: {error}", hint=_HINT) from error


def unchanged(archive: Archive) -> bool:
    """Say whether the packed file is still there with its size: a look, not a proof."""
    try:
        now = os.lstat(archive.path)
    except OSError:
        return False
    return stat.S_ISREG(now.st_mode) and now.st_size == archive.size_bytes


def _compression_of(name: str) -> Compression:
    for compression, suffix in SUFFIXES.items():
        if name.endswith(suffix):
            return compression
    raise ArchiveInvalid(f"its name ends in none of {', '.join(SUFFIXES.values())}")


def _verify(archive: Archive, file: IO[bytes], tick: Tick) -> None:
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes != archive.size_bytes:
        raise ArchiveInvalid(f"it has {size_bytes:,} bytes instead of {archive.size_bytes:,}")
    compression = None if archive.packing is Packing.FILE else _compression_of(archive.name)
    with _Hashes("the file", md5=archive.md5, sha256=archive.sha256) as hashes:
        blocks = hashes.pass_on(_blocks(file))
        if compression is not None and compression != "zip":
            with (
                Ahead("verify-decode", decode(compression, blocks), _MOST_AHEAD) as plain,
                _Hashes("the tar inside", md5=archive.inner_md5) as inner_hashes,
            ):
                _verify_tar(archive.members, inner_hashes.pass_on(plain), tick)
            return
        for _ in blocks:
            tick()
    if archive.inner_md5 != archive.md5:
        raise ArchiveInvalid("there is no tar inside, yet the MD5 of one is recorded")
    if compression == "zip":
        # only now that the bytes are proven: a zip is read from its end
        _verify_zip(archive.members, file, tick)
    else:
        _compare_member(archive.members, 0, archive.name, size_bytes, archive.sha256)
        _compare_count(archive.members, 1)


def _verify_tar(members: tuple[Member, ...], plain: Iterator[bytes], tick: Tick) -> None:
    stream = _Stream(plain)
    end_bytes = 0
    found = 0
    with _damage("tar"):
        tar = tarfile.open(  # noqa: SIM115 (a stream: closing it does nothing that the stream's owner does not)
            fileobj=stream, mode="r|", bufsize=_TAR_BUFFER_BYTES, encoding="utf-8", errors="surrogateescape"
        )
    while True:
        with _damage("tar"):
            info = tar.next()
            content = info and tar.extractfile(info)
        if info is None:
            break
        # tarfile remembers every member (it can be told not to from 3.13 on); memory must not grow with a dataset
        vars(tar)["members"].clear()
        sha256 = _sha256(content, "tar", tick) if content else "not a file"
        _compare_member(members, found, info.name, info.size, sha256)
        found += 1
        end_bytes = info.offset_data + info.size + len(padding(info.size))
    stream.drain(tick)
    _compare_count(members, found)
    if stream.size_bytes != end_bytes + len(end_of_archive(end_bytes)):
        raise ArchiveInvalid("the end of its tar is missing")


def _verify_zip(members: tuple[Member, ...], file: IO[bytes], tick: Tick) -> None:
    with _damage("zip"):
        packed = zipfile.ZipFile(file)
    with packed:
        infos = packed.infolist()
        for index, info in enumerate(infos):
            with _damage("zip"):
                content = packed.open(info)
            with content:
                sha256 = _sha256(content, "zip", tick)
            _compare_member(members, index, info.filename, info.file_size, sha256)
        _compare_count(members, len(infos))


def _sha256(content: IO[bytes], what: str, tick: Tick) -> str:
    digest = hashlib.sha256()
    while True:
        tick()
        with _damage(what):
            block = content.read(_BLOCK_BYTES)
        if not block:
            return digest.hexdigest()
        digest.update(block)


def _compare_member(members: tuple[Member, ...], index: int, path: str, size_bytes: int, sha256: str) -> None:
    if index >= len(members):
        raise ArchiveInvalid(f"it holds {printable(path)}, which was not packed")
    member = members[index]
    if path != member.path:
        raise ArchiveInvalid(f"member {index + 1:,} is {printable(path)} instead of {printable(member.path)}")
    if size_bytes != member.size_bytes:
        raise ArchiveInvalid(f"{printable(path)} has {size_bytes:,} bytes in it instead of {member.size_bytes:,}")
    if sha256 != member.sha256:
        raise ArchiveInvalid(f"{printable(path)} has the SHA-256 {sha256} in it instead of {member.sha256}")


def _compare_count(members: tuple[Member, ...], found: int) -> None:
    if found != len(members):
        raise ArchiveInvalid(f"it holds {show_count(found, 'member')} instead of {len(members):,}")


@contextlib.contextmanager
def _open(path: str) -> Iterator[IO[bytes]]:
    try:
        descriptor = portable.open_to_read(path)
    except OSError as error:
        raise ArchiveInvalid(f"it cannot be opened: {error.strerror}") from error
    with open(descriptor, "rb", buffering=0) as file:
        yield file


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    try:
        while block := file.read(_BLOCK_BYTES):
            yield block
    except OSError as error:
        raise ArchiveInvalid(f"it cannot be read: {error.strerror}") from error


@contextlib.contextmanager
def _damage(what: str) -> Iterator[None]:
    """Turn what the readers of tar and zip raise on damage into ArchiveInvalid; the list is longer than documented."""
    try:
        yield
    except (
        tarfile.TarError,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        ValueError,  # numbers and names that are none
        OverflowError,
        RuntimeError,  # what zipfile raises, or a kind of it: for a flag that asks for a key, for an unknown method
    ) as error:
        raise ArchiveInvalid(f"its {what} is damaged: {error}") from error


class _Hashes:
    """Hashes of one stream, each in a thread of its own, compared when the stream ends."""

    def __init__(self, what: str, **expected: str) -> None:
        self._what = what
        self._expected = expected
        self._hashes = {name: hashlib.new(name, usedforsecurity=False) for name in expected}
        self._threads = contextlib.ExitStack()
        self._lanes = [
            (digest, self._threads.enter_context(Lane(f"verify-{name}", _MOST_BEHIND)))
            for name, digest in self._hashes.items()
        ]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._threads.close()

    def pass_on(self, blocks: Iterable[bytes]) -> Iterator[bytes]:
        """Yield the blocks; after the last, raise ArchiveInvalid where a hash is not the expected one."""
        for block in blocks:
            for digest, lane in self._lanes:
                lane.put(partial(digest.update, block))
            yield block
        for digest, lane in self._lanes:
            lane.drain()
            expected = self._expected[digest.name]
            if digest.hexdigest() != expected:
                raise ArchiveInvalid(
                    f"{digest.name.upper()} of {self._what} is {digest.hexdigest()} instead of {expected}"
                )


class _Stream(io.RawIOBase):
    """What tarfile reads from: blocks of any size, as a file."""

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self.size_bytes = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
            self.size_bytes += len(block)
        target = memoryview(buffer)
        count = min(len(target), len(self._rest))
        target[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def drain(self, tick: Tick) -> None:
        """Read to the end, where the hashes are compared."""
        self._rest = memoryview(b"")
        for block in self._blocks:
            self.size_bytes += len(block)
            tick()
