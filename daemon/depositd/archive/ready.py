"""An archive that somebody else made: what it hashes to, outside and inside."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import os
import stat
import zlib
from collections.abc import Callable, Iterator
from typing import IO, TYPE_CHECKING, Protocol

from depositd import portable
from depositd.archive.encoders import decode
from depositd.errors import ArchiveInvalid, SourceUnreadable
from depositd.model import Archive, Packing
from depositd.units import printable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

READY_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".zip")
"""What the diffraction server takes; each of them also with ``.zst`` behind it."""

_BLOCK_BYTES = 1 << 18
Progress = Callable[[int, int], None]


def is_ready(path: str | os.PathLike[str]) -> bool:
    """Say whether a file is, by its name, an archive that can be sent as it is."""
    return os.fspath(path).lower().removesuffix(".zst").endswith(READY_SUFFIXES)


def ready_archive(
    path: str | os.PathLike[str], *, look_inside: bool = True, on_progress: Progress | None = None
) -> Archive:
    """Read an archive once and return it with its hashes; ``inner_md5`` is of what its outermost compression holds.

    Without ``look_inside``, and for a tar or zip, that is the MD5 of the file itself.  Raises SourceUnreadable where it
    is no regular file, is empty or cannot be read, ArchiveInvalid where its compression is broken.
    """
    absolute = os.path.abspath(path)
    shown = printable(absolute)
    try:
        with open(portable.open_to_read(absolute, follow=True), "rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceUnreadable(f"{shown} is no regular file", hint="name an archive file")
            if not status.st_size:
                raise SourceUnreadable(f"{shown} is empty", hint="name an archive with data in it")
            tee = _Tee(file, status.st_size, on_progress)
            inner_md5 = _inner_md5(tee, absolute.lower(), shown) if look_inside else None
            for _block in _blocks(tee):  # what is not decompressed is hashed all the same
                pass
    except OSError as error:
        raise SourceUnreadable(f"{shown} cannot be read: {error.strerror}", hint=f"ls -l {shown}") from error
    return Archive(
        path=absolute,
        name=os.path.basename(absolute),
        packing=Packing.ARCHIVE,
        size_bytes=tee.done_bytes,
        md5=tee.md5.hexdigest(),
        inner_md5=inner_md5 or tee.md5.hexdigest(),
        sha256=tee.sha256.hexdigest(),
    )


class _Tee(io.RawIOBase):
    """A file that is hashed as it is read."""

    def __init__(self, file: IO[bytes], total_bytes: int, on_progress: Progress | None) -> None:
        self.md5 = hashlib.md5(usedforsecurity=False)
        self.sha256 = hashlib.sha256()
        self.done_bytes = 0
        self._file = file
        self._total_bytes = total_bytes
        self._on_progress = on_progress

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        """Read the next bytes."""
        view = memoryview(buffer).cast("B")
        block = self._file.read(len(view))
        view[: len(block)] = block
        self.md5.update(block)
        self.sha256.update(block)
        self.done_bytes += len(block)
        if self._on_progress is not None and block:
            self._on_progress(self.done_bytes, self._total_bytes)
        return len(block)


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


def _blocks(stream: _Readable) -> Iterator[bytes]:
    while block := stream.read(_BLOCK_BYTES):
        yield block


def _inner_md5(tee: _Tee, name: str, shown: str) -> str | None:
    """Return the MD5 of what is inside the outermost compression, None where there is none."""
    plain = _decompressed(tee, name)
    if plain is None:
        return None
    digest = hashlib.md5(usedforsecurity=False)
    try:
        for block in plain:
            digest.update(block)
    except (ArchiveInvalid, EOFError, zlib.error, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk, not the content
        raise ArchiveInvalid(
            f"{shown} is not a whole archive, it cannot be decompressed to its end: {error}",
            hint="pack it again; the server could not read it either",
        ) from error
    return digest.hexdigest()


def _decompressed(tee: _Tee, name: str) -> Iterator[bytes] | None:
    if name.endswith(".zst"):
        return decode("zstd", _blocks(tee))
    # the library's own readers: other programs write gzip and bzip2 in several streams
    if name.endswith((".gz", ".tgz")):
        return _blocks(gzip.GzipFile(fileobj=io.BufferedReader(tee, _BLOCK_BYTES)))
    if name.endswith((".bz2", ".tbz2")):
        return _blocks(bz2.BZ2File(io.BufferedReader(tee, _BLOCK_BYTES)))
    return None
