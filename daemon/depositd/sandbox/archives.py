"""Looking into uploaded archives as the diffraction server does: images, readable, of one experiment.

Everything streams: an archive of any size is looked through in constant memory.
"""

from __future__ import annotations

import hashlib
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Literal, cast

import zstandard

from depositd.sandbox.images import HEAD_BYTES, Findings
from depositd.sandbox.state import Inspection

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".zip")
"""The formats of the document; each may also be compressed with zstd."""


class WrongFormat(Exception):
    """The file is not a whole archive of a format that the server takes; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server keeps of an upload: the archive without its zstd layer, and what is in it."""

    filename: str
    size_bytes: int
    md5: str
    inspection: Inspection
    pdb_id: str | None


def examine(content: IO[bytes], filename: str) -> Stored:
    """Unpack, hash and look into an uploaded file from its beginning; raises WrongFormat."""
    lower = filename.lower()
    packed = lower.endswith(".zst")
    inner_name = filename[: -len(".zst")] if packed else filename
    if not inner_name.lower().endswith(SUFFIXES):
        raise WrongFormat(f"{filename} has none of the supported formats {', '.join(SUFFIXES)} (also with .zst).")
    content.seek(0)
    stream = _Stream(_unpacked(content) if packed else _blocks(content))
    try:
        findings = _look(stream, inner_name.lower())
        stream.drain()
    except (tarfile.TarError, zipfile.BadZipFile, zstandard.ZstdError, zlib.error, EOFError, OSError) as error:
        raise WrongFormat(f"{filename} is not a readable archive: {error}.") from error
    if inner_name.lower().endswith(".tar") and stream.tail.strip(b"\0"):
        raise WrongFormat(f"{filename} ends before the end of its tar archive.")
    return Stored(inner_name, stream.size_bytes, stream.md5, findings.inspection(), findings.pdb_id)


def _blocks(content: IO[bytes], block_bytes: int = 1 << 20) -> Iterator[bytes]:
    while block := content.read(block_bytes):
        yield block


def _unpacked(content: IO[bytes]) -> Iterator[bytes]:
    """Decompress all zstd frames; small bites keep a highly compressible file from becoming one huge block."""
    decompressor = zstandard.ZstdDecompressor()
    frame = decompressor.decompressobj()
    begun = False
    for bite in _blocks(content, 4 << 10):
        rest = bite
        while rest:
            begun = True
            yield frame.decompress(rest)
            rest = b""
            if frame.eof:
                rest, begun = frame.unused_data, False
                frame = decompressor.decompressobj()
    if begun:
        raise WrongFormat("The zstd stream ends in the middle of a frame.")


class _Stream:
    """A forward-only file over blocks that hashes everything that passes."""

    TAIL_BYTES = 1024

    def __init__(self, blocks: Iterator[bytes]) -> None:
        self._blocks = blocks
        self._rest = memoryview(b"")
        self._md5 = hashlib.md5(usedforsecurity=False)
        self.size_bytes = 0
        self.tail = b""

    @property
    def md5(self) -> str:
        return self._md5.hexdigest()

    def read(self, size: int) -> bytes:
        parts = []
        while size > 0:
            if not self._rest and not self._fill():
                break
            part = self._rest[:size]
            self._rest = self._rest[len(part) :]
            size -= len(part)
            parts.append(part)
        return b"".join(parts)

    def drain(self) -> None:
        while self._fill():
            pass

    def _fill(self) -> bool:
        for block in self._blocks:
            if block:
                self._rest = memoryview(block)
                self._md5.update(block)
                self.size_bytes += len(block)
                self.tail = (self.tail + block[-self.TAIL_BYTES :])[-self.TAIL_BYTES :]
                return True
        return False


def _look(stream: _Stream, lower_name: str) -> Findings:
    findings = Findings()
    if lower_name.endswith(".zip"):
        with SpooledTemporaryFile(max_size=8 << 20) as seekable:
            while block := stream.read(1 << 20):
                seekable.write(block)
            with zipfile.ZipFile(seekable) as archive:
                for name in archive.namelist():
                    with archive.open(name) as member:
                        findings.add(name, member.read(HEAD_BYTES))
        return findings
    mode: Literal["r|", "r|gz", "r|bz2"] = (
        "r|bz2" if lower_name.endswith("bz2") else "r|gz" if lower_name.endswith("gz") else "r|"
    )
    with tarfile.open(fileobj=_readable(stream), mode=mode) as archive:
        while (entry := archive.next()) is not None:
            cast("Any", archive).members.clear()  # tarfile remembers every member, and there may be a million
            if entry.isfile():
                opened = archive.extractfile(entry)
                assert opened is not None
                findings.add(entry.name, opened.read(HEAD_BYTES))
    return findings


def _readable(stream: _Stream) -> IO[bytes]:
    """Return the stream as tarfile wants it typed: of a file object it uses nothing but ``read``."""
    return cast("IO[bytes]", stream)
