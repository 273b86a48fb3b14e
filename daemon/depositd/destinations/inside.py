"""What a packed file holds inside: the MD5 of its plain tar, whatever it was compressed with, and at which level."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import zlib
from collections.abc import Callable
from typing import IO, Protocol

import zstandard

TAR_SUFFIXES = (".tar.zst", ".tar.gz", ".tar.bz2", ".tar")
"""Archives whose tar is the same, whichever of them it was packed as."""

_BLOCK_BYTES = 1 << 20


def tar_md5(file: IO[bytes], name: str, tick: Callable[[], None]) -> str | None:
    """Return the MD5 (lower-case hex) of the tar in a packed file, None where it is no whole one.

    ``tick`` is called all along, and may raise to stop.  Raises OSError where it cannot be read.
    """
    digest = hashlib.md5(usedforsecurity=False)
    plain = _plain(file, name)
    try:
        while block := plain.read(_BLOCK_BYTES):
            digest.update(block)
            tick()
    except (EOFError, zlib.error, zstandard.ZstdError):
        return None
    except OSError as error:
        if error.errno is not None:
            raise  # the disk, not the content
        return None
    return digest.hexdigest()


class _Plain(Protocol):
    def read(self, size: int, /) -> bytes: ...


def _plain(file: IO[bytes], name: str) -> _Plain:
    if name.endswith(".zst"):
        return zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    if name.endswith(".gz"):
        return gzip.GzipFile(fileobj=file)
    if name.endswith(".bz2"):
        return bz2.BZ2File(file)
    return file
