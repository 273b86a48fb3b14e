"""Looking into uploaded archives as the diffraction server does: images, readable, of one experiment.

Everything streams: an archive of any size is looked through in constant memory.
"""

from __future__ import annotations

import bz2
import contextlib
import hashlib
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO, Any, Literal, cast

import zstandard

from depositd.sandbox.state import Inspection

SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".zip")
"""The formats of the document; each may also be compressed with zstd."""

HEAD_BYTES = 16 << 10
"""How much of each member is read to find and read its header."""

_PDB_ID = re.compile(r"(?<![A-Za-z0-9])(?=[0-9]*[A-Za-z])[1-9][A-Za-z0-9]{3}(?![A-Za-z0-9])")


class WrongFormat(Exception):
    """The file is not a whole archive of a format that the server takes; ``str()`` says why."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server keeps of an upload: the archive without its zstd layer, and what is in it."""

    filename: str
    size_bytes: int
    md5: str
    inspection: Inspection


def pdb_id_in(filename: str) -> str | None:
    """Return the PDB ID in a file's name (``dataset_1abc.tar.zst``), upper-case, or None."""
    match = _PDB_ID.search(filename)
    return match[0].upper() if match else None


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
        inspection = _look(stream, inner_name.lower())
        stream.drain()
    except (tarfile.TarError, zipfile.BadZipFile, zstandard.ZstdError, zlib.error, EOFError, OSError) as error:
        raise WrongFormat(f"{filename} is not a readable archive: {error}.") from error
    if inner_name.lower().endswith(".tar") and stream.tail.strip(b"\0"):
        raise WrongFormat(f"{filename} ends before the end of its tar archive.")
    return Stored(inner_name, stream.size_bytes, stream.md5, inspection)


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


def _look(stream: _Stream, lower_name: str) -> Inspection:
    findings = _Findings()
    if lower_name.endswith(".zip"):
        with SpooledTemporaryFile(max_size=8 << 20) as seekable:
            while block := stream.read(1 << 20):
                seekable.write(block)
            with zipfile.ZipFile(seekable) as archive:
                for name in archive.namelist():
                    with archive.open(name) as member:
                        findings.add(name, member.read(HEAD_BYTES))
        return findings.inspection()
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
    return findings.inspection()


class _Findings:
    """What the members of one archive add up to."""

    def __init__(self) -> None:
        self._images = 0
        self._unreadable: list[str] = []
        self._detectors: set[str] = set()
        self._wavelengths: list[float] = []

    def add(self, name: str, head: bytes) -> None:
        head = _plain_head(head)
        kind = next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)
        if kind is None:
            return
        self._images += 1
        if not _header_is_readable(kind, head):
            self._unreadable.append(name)
            return
        if kind in ("CBF", "SMV"):
            self._collect(head)

    def _collect(self, head: bytes) -> None:
        detector = _DETECTOR.search(head)
        wavelength = _WAVELENGTH.search(head)
        if detector:
            self._detectors.add(detector[1].strip().decode(errors="replace"))
        if wavelength:
            self._wavelengths.append(float(wavelength[1]))

    def inspection(self) -> Inspection:
        if not self._images:
            return Inspection(0, "error_no_data", "No diffraction images were found in the archive.")
        if self._unreadable:
            details = f"The headers of {len(self._unreadable)} of {self._images} images could not be parsed."
            return Inspection(self._images, "header_not_readable", details)
        if len(self._detectors) > 1:
            details = f"The images come from {len(self._detectors)} detectors: {', '.join(sorted(self._detectors))}."
            return Inspection(self._images, "inconsistent_datasets", details)
        low, high = min(self._wavelengths, default=1.0), max(self._wavelengths, default=1.0)
        if high - low > 1e-4 * high:
            details = f"The images were taken at different wavelengths, from {low:g} to {high:g} A."
            return Inspection(self._images, "inconsistent_datasets", details)
        return Inspection(self._images)


_MAGICS = (
    (b"###CBF", "CBF"),
    (b"{\nHEADER_BYTES", "SMV"),
    (b"II*\0", "TIFF"),  # also marCCD
    (b"MM\0*", "TIFF"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
    (b"RAXIS", "R-AXIS"),
    (b"R-AXIS", "R-AXIS"),
    (b"FORMAT :", "Bruker"),
    (b"OD SAPPHIRE", "Oxford"),
    (struct.pack("<i", 1234), "MAR345"),
)
_DETECTOR = re.compile(rb"^(?:# Detector:|DETECTOR_SN=)([^\r\n;]+)", re.MULTILINE)
_WAVELENGTH = re.compile(rb"^(?:# Wavelength|WAVELENGTH=)\s*(\d+\.?\d*)", re.MULTILINE)
_SMV_SIZES = re.compile(rb"SIZE1=\s*\d+.*SIZE2=\s*\d+", re.DOTALL)


def _header_is_readable(kind: str, head: bytes) -> bool:
    if kind == "CBF":
        return b"X-Binary-Size:" in head or b"_diffrn" in head
    if kind == "SMV":
        return _SMV_SIZES.search(head) is not None
    if kind == "TIFF":
        order = "<" if head.startswith(b"II") else ">"
        return len(head) >= 8 and struct.unpack_from(f"{order}I", head, 4)[0] >= 8
    if kind == "HDF5":
        return len(head) > 8 and head[8] <= 3
    return True


def _plain_head(head: bytes) -> bytes:
    """Return the beginning of what a member holds once its own compression is taken off."""
    with contextlib.suppress(zlib.error, OSError, ValueError):
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, HEAD_BYTES)
    return head


def _readable(stream: _Stream) -> IO[bytes]:
    """Return the stream as tarfile wants it typed: of a file object it uses nothing but ``read``."""
    return cast("IO[bytes]", stream)
