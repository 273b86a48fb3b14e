"""The first frame of a series, read by fabio from memory."""

from __future__ import annotations

import contextlib
import io
import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from depositd.errors import NoPicture
from depositd.formats import FORMATS, frame_probe
from depositd.formats.packed import Unpacked
from depositd.formats.reading import Malformed
from depositd.model import FileStat, Metadata
from depositd.preview import diffraction
from depositd.preview.reading import MOST_FILE_BYTES, Frame, Source, broken, check_pixels, content_of, regular
from depositd.units import printable, show_size

SHOWS = "the first frame on a logarithmic grey scale, with beam centre and resolution rings"

_READERS = (
    (b"###CBF", "cbfimage"),
    (b"{", "dtrekimage"),
    (b"RAXIS", "raxisimage"),
    (b"R-AXIS", "raxisimage"),
    (b"OD SAPPHIRE", "oxdimage"),
    (b"\xd2\x04\0\0", "mar345image"),
    (b"\0\0\x04\xd2", "mar345image"),
    (b"II", "tifimage"),  # also marCCD: its pixels are a plain TIFF's
    (b"MM", "tifimage"),
)
"""fabio's reader by the first bytes: its own guess goes by the extension, and takes a file of zeros for an image."""

_BRUKER = re.compile(rb"FORMAT\s*:\s*(\d+)", re.ASCII)
_TWO_THETA = re.compile(r"(?:Detector_2theta|TWOTHETA|2Theta Angle|TwoTheta)\W+(-?\d+(?:\.\d*)?)", re.IGNORECASE)
_SWUNG_DEG = 0.05
_ALWAYS_SQUARE = ("cbfimage", "tifimage", "mar345image", "dtrekimage")
"""Kinds written by detectors that stand square to the beam unless their header says otherwise."""


def draw(source: Source, metadata: Metadata) -> bytes:
    """Return the picture of the first frame; raises NoPicture, SourceChanged or SourceUnreadable."""
    first = regular(source.dataset)[0]
    probe = source.probe(first)
    if probe.facts.get("kind") == "MAR345" and "whole_unproven" in probe.facts:
        # from a damaged packed image fabio's decoder writes beyond its own memory, which ends the process
        why = printable(str(probe.facts["whole_unproven"]), 120)
        raise broken(first, f"cannot be drawn: {why}, so nothing proves that it is safe to decode")
    check_pixels(first, (probe.facts.get("height_px", 1), probe.facts.get("width_px", 1)))
    frame = _read(first, _unpacked(source, first))
    said = source.metadata({first.path: probe}) | metadata
    return diffraction.draw(frame, source.dataset.name, said)


def _unpacked(source: Source, file: FileStat) -> bytes:
    """Return a frame's bytes, compared with the checksum that it carries, and decompressed."""
    content = content_of(source.tree, file)
    check = FORMATS[source.dataset.format].content_check(file.name)
    if check is not None:
        check.update(content)
        if problem := check.problem():
            raise broken(file, problem)
    compression = frame_probe.compression_of(file.name)
    if not compression:
        return content
    try:
        unpacked = _read_at_most(Unpacked(io.BytesIO(content), compression), MOST_FILE_BYTES)
    except Malformed as error:
        raise broken(file, str(error)) from None
    if unpacked is None:
        raise NoPicture(f"{printable(file.name)} expands to more than {show_size(MOST_FILE_BYTES)}")
    return unpacked


def _read_at_most(stream: Unpacked, most_bytes: int) -> bytes | None:
    blocks, total = [], 0
    while block := stream.read(1 << 20):
        total += len(block)
        if total > most_bytes:
            return None
        blocks.append(block)
    return b"".join(blocks)


def _read(file: FileStat, content: bytes) -> Frame:
    """Return the image in a frame's bytes; raises NoPicture where fabio cannot read it."""
    from fabio import fabioformats

    reader = _reader_of(file, content)
    image = fabioformats.factory(reader)
    if reader == "raxisimage" and not _is_big_endian(content):
        image.endianness = "<"
    try:
        with _fabio_silent():
            image = image.read(io.BytesIO(content))
            pixels, header = image.data, dict(image.header)
    except Exception as error:  # noqa: BLE001 - fabio raises whatever its parsers run into
        raise broken(file, f"cannot be read: {printable(str(error), 160) or type(error).__name__}") from None
    if not isinstance(pixels, np.ndarray) or pixels.ndim != 2 or pixels.size == 0 or pixels.dtype.kind not in "iuf":
        raise broken(file, "holds no image with one value for each pixel")
    check_pixels(file, pixels.shape)
    overloaded = int(np.iinfo(pixels.dtype).max) if pixels.dtype.kind == "u" else None
    return Frame(pixels, overloaded=overloaded, is_flat_on=_is_flat_on(reader, header))


def _reader_of(file: FileStat, content: bytes) -> str:
    if match := _BRUKER.match(content):
        return "bruker100image" if match[1] == b"100" else "brukerimage"
    for magic, reader in _READERS:
        if content.startswith(magic):
            return reader
    raise broken(file, "begins with no signature of an image that can be drawn")


def _is_big_endian(content: bytes) -> bool:
    """Say whether an R-AXIS frame has fewer than 65,536 columns, read with the high byte first."""
    return content[768:770] == b"\0\0"


def _is_flat_on(reader: str, header: Mapping[str, Any]) -> bool:
    """Say whether the detector stands square to the beam, so that rings around the beam are of one resolution."""
    if reader not in _ALWAYS_SQUARE:
        return False
    told = _TWO_THETA.search("\n".join(f"{key} {value}" for key, value in header.items()))
    return told is None or abs(float(told[1])) < _SWUNG_DEG


@contextlib.contextmanager
def _fabio_silent() -> Iterator[None]:
    """Keep fabio's remarks off stderr: what matters of them is raised, and told by us."""
    logger = logging.getLogger("fabio")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
