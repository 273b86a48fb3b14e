"""What the members of an archive are by their first bytes: images with headers, and files that name a PDB entry."""

from __future__ import annotations

import bz2
import contextlib
import re
import struct
import zlib
from collections.abc import Callable, Mapping

from depositd.sandbox.state import Inspection

HEAD_BYTES = 16 << 10
"""How much of each member is read to find and read its header."""

WAVELENGTH_TOLERANCE = 1e-4
"""Wavelengths of one dataset differ by less, relatively: it jitters."""

_ID = rb"[1-9](?=[0-9]*[A-Za-z])[A-Za-z0-9]{3}"
_NAMED_ID = re.compile(rf"(?<![A-Za-z0-9]){_ID.decode()}(?![A-Za-z0-9])")
_COORDINATES = re.compile(
    rf"(?:.*/)?(?:pdb)?({_ID.decode()})(?:-sf)?\.(?:pdb|ent|cif|mmcif)", re.IGNORECASE | re.DOTALL
)
_ENTRY = re.compile(
    rb"^data_(" + _ID + rb")\s*$"  # mmCIF, imgCIF
    rb"|^_entry\.id\s+['\"]?(" + _ID + rb")\b"
    rb"|^HEADER    .{40}.{9}   (" + _ID + rb")\b",  # PDB, columns 63 to 66
    re.MULTILINE,
)


def pdb_id_in(filename: str) -> str | None:
    """Return the PDB ID in an archive's name (``dataset_1abc.tar.zst``), upper-case, or None."""
    match = _NAMED_ID.search(filename)
    return match[0].upper() if match else None


class Findings:
    """What the members of one archive add up to."""

    def __init__(self) -> None:
        self._images = 0
        self._unreadable = 0
        self._kinds: set[str] = set()
        self._detectors: set[str] = set()
        self._sizes: set[str] = set()
        self._shortest = self._longest = 0.0
        self._pdb_ids: set[str] = set()

    def add(self, name: str, head: bytes) -> None:
        """Take the next member by its name and its first bytes."""
        head = _plain_head(head)
        kind = next((kind for magic, kind in _MAGICS if head.startswith(magic)), None)
        self._note_pdb_id(name, head, kind)
        if kind is None:
            return
        self._images += 1
        if not _READABLE[kind](head):
            self._unreadable += 1
            return
        self._kinds.add(kind)
        if kind in _TEXT_HEADERS:
            for seen, pattern in ((self._detectors, _DETECTOR), (self._sizes, _SIZE)):
                if found := pattern.findall(head):
                    seen.add(" x ".join(each.strip().decode(errors="replace") for each in found))
        wavelength = _wavelength(kind, head)
        if wavelength is not None:
            self._shortest = min(self._shortest or wavelength, wavelength)
            self._longest = max(self._longest, wavelength)

    def _note_pdb_id(self, name: str, head: bytes, kind: str | None) -> None:
        if named := _COORDINATES.fullmatch(name):
            self._pdb_ids.add(named[1].upper())
        if kind in (None, "CBF") and (written := _ENTRY.search(head)):
            self._pdb_ids.add(next(filter(None, written.groups())).decode().upper())

    @property
    def pdb_id(self) -> str | None:
        """The one PDB ID that the members name; None where they name none, or several."""
        return next(iter(self._pdb_ids)) if len(self._pdb_ids) == 1 else None

    def inspection(self) -> Inspection:
        """Return whether there are images, readable, of one experiment."""
        if not self._images:
            return Inspection(0, "error_no_data", "No diffraction images were found in the archive.")
        if self._unreadable:
            details = f"The headers of {self._unreadable} of {self._images} images could not be parsed."
            return Inspection(self._images, "header_not_readable", details)
        mixture = self._mixture()
        return Inspection(self._images, "inconsistent_datasets" if mixture else None, mixture)

    def _mixture(self) -> str | None:
        """Return why the images cannot be of one dataset, or None."""
        for what, seen in (("formats", self._kinds), ("detectors", self._detectors), ("sizes", self._sizes)):
            if len(seen) > 1:
                return f"The images have {len(seen)} {what}: {', '.join(sorted(seen)[:4])}."
        if self._longest - self._shortest > WAVELENGTH_TOLERANCE * self._longest:
            return f"The images were taken at different wavelengths, from {self._shortest:g} to {self._longest:g} A."
        return None


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


_SIZE = re.compile(rb"^(?:X-Binary-Size-(?:Fastest|Second)-Dimension:|SIZE[12]=)\s*(\d+)", re.MULTILINE)
_TEXT_HEADERS = frozenset({"CBF", "SMV"})
_MAR_CCD_HEADER = 1024
"""Where the header of a marCCD TIFF begins; its wavelength, in 1e-5 A, stands 908 bytes further."""


def _wavelength(kind: str, head: bytes) -> float | None:
    """Return an image's wavelength in A, where its header tells one."""
    if kind in _TEXT_HEADERS:
        found = _WAVELENGTH.search(head)
        return float(found[1]) if found else None
    if kind == "TIFF" and head[_MAR_CCD_HEADER + 4 :].startswith(b"MARCCD") and len(head) >= _MAR_CCD_HEADER + 912:
        told: int = struct.unpack_from("<i", head, _MAR_CCD_HEADER + 908)[0]
        return told / 1e5 if told > 0 else None
    return None


def _tiff_is_readable(head: bytes) -> bool:
    order = "<" if head.startswith(b"II") else ">"
    return len(head) >= 8 and struct.unpack_from(f"{order}I", head, 4)[0] >= 8


_READABLE: Mapping[str, Callable[[bytes], bool]] = {
    "CBF": lambda head: b"X-Binary-Size:" in head or b"_diffrn" in head,
    "SMV": lambda head: _SMV_SIZES.search(head) is not None,
    "TIFF": _tiff_is_readable,
    "HDF5": lambda head: len(head) > 8 and head[8] <= 3,
    "R-AXIS": lambda head: len(head) >= 780,
    "Bruker": lambda head: b"NROWS" in head and b"NCOLS" in head,
    "Oxford": lambda head: b"NX=" in head and b"NY=" in head,
    "MAR345": lambda head: len(head) >= 8 and struct.unpack_from("<i", head, 4)[0] > 0,
}
"""Whether a header of each kind can be parsed."""


def _plain_head(head: bytes) -> bytes:
    """Return the beginning of what a member holds once its own compression is taken off."""
    with contextlib.suppress(zlib.error, OSError, ValueError):
        if head.startswith(b"\x1f\x8b"):
            return zlib.decompressobj(wbits=31).decompress(head, HEAD_BYTES)
        if head.startswith(b"BZh"):
            return bz2.BZ2Decompressor().decompress(head, HEAD_BYTES)
    return head
