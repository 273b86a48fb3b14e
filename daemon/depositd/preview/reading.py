"""What a picture is made of: bytes and headers of single files, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from depositd.archive.source import SourceFile, SourceTree
from depositd.errors import NoPicture
from depositd.formats import FORMATS
from depositd.model import Dataset, FileKind, FileStat, Metadata, Probe
from depositd.units import printable, show_count, show_size

MOST_PIXELS = 100_000_000
MOST_FILE_BYTES = 1 << 29
"""The largest image of that many pixels, with its header, that any detector writes."""

EXTRA_HINT = "pip install 'depositd[preview]'"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One detector image.

    Pixels below zero, not finite, or equal to ``unmeasured`` were not measured; those of ``overloaded`` or more are
    beyond what the detector counts.  ``is_flat_on`` is true where the detector is known to stand square to the beam.
    ``number`` is its place in the series, counted from 1.
    """

    pixels: npt.NDArray[Any]
    unmeasured: int | None = None
    overloaded: int | None = None
    is_flat_on: bool = False
    number: int = 1


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """One curve of a chromatogram: retention times in minutes, and the total ion current at each."""

    label: str
    minutes: npt.NDArray[np.float64]
    counts: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """A dataset, and the root that it lies in, held open while it is read."""

    tree: SourceTree
    root: str
    dataset: Dataset

    def probe(self, file: FileStat) -> Probe:
        """Return what a file's header says; raises NoPicture where it is broken, SourceChanged where it is another."""
        with self.tree.open(file):
            pass  # a probe would take what is gone, changed or behind a link for a broken file
        probe = FORMATS[self.dataset.format].probe(f"{self.root.rstrip('/')}/{file.path}", file) or Probe()
        if probe.problem is not None:
            raise broken(file, probe.problem, retry=probe.retry)
        return probe

    def metadata(self, probes: Mapping[str, Probe]) -> Metadata:
        """Return what probes say of the dataset."""
        return FORMATS[self.dataset.format].metadata(self.dataset, probes)


def regular(dataset: Dataset) -> list[FileStat]:
    """Return the dataset's regular files; raises NoPicture where there is none."""
    files = [file for file in dataset.files if file.kind is FileKind.REGULAR]
    if not files:
        raise NoPicture(f"{printable(dataset.name)} has no file to make a picture of", hint="depositd explain says why")
    return files


def content_of(tree: SourceTree, file: FileStat, most_bytes: int = MOST_FILE_BYTES) -> bytes:
    """Return a whole file; raises NoPicture where it is too large, SourceChanged or SourceUnreadable."""
    if file.size_bytes > most_bytes:
        raise NoPicture(
            f"{printable(file.name)} has {show_size(file.size_bytes)}, too much for a picture "
            f"(at most {show_size(most_bytes)})"
        )
    content = bytearray(file.size_bytes)
    with tree.open(file) as source, memoryview(content) as view:
        _fill(source, view)
        source.confirm_unchanged()
    return bytes(content)


def _fill(source: SourceFile, view: memoryview) -> None:
    done = 0
    while done < len(view):
        done += source.read_into(view[done : done + _BLOCK_BYTES])


def broken(file: FileStat, problem: str, *, retry: bool = False) -> NoPicture:
    """Return the error of a file that has a problem, which is a clause that follows its name."""
    hint = "if it is still being written, ask again when it is whole" if retry else ""
    return NoPicture(f"{printable(file.name)} {problem}", hint=hint)


def check_pixels(file: FileStat, sizes: Iterable[Any]) -> None:
    """Raise NoPicture for an image that is too large to be drawn; ``sizes`` are its rows and columns."""
    pixels = 1
    for size in sizes:
        pixels *= int(size)
    if pixels > MOST_PIXELS:
        raise NoPicture(
            f"{printable(file.name)} has images of {show_count(pixels, 'pixel')}, too many for a picture "
            f"(at most {MOST_PIXELS:,})"
        )
