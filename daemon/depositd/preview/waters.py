"""The total ion current of a Waters acquisition, which its indices hold for every scan.

``_FUNCnnn.IDX`` has records of 22 bytes: f32 @8 is the total ion current, f32 @12 the retention time in minutes.
"""

from __future__ import annotations

import re

import numpy as np

from depositd.archive.source import SourceTree
from depositd.errors import NoPicture
from depositd.formats.waters_files import RECORD_BYTES
from depositd.model import FileStat, Metadata
from depositd.preview import chromatogram
from depositd.preview.reading import Source, Trace, content_of, regular
from depositd.units import printable

SHOWS = "the total ion current of each function over the retention time"

MOST_INDEX_BYTES = RECORD_BYTES * 1_000_000
_INDEX = re.compile(r"_FUNC(?P<number>[0-9]{3,4})\.IDX")
_RECORD = np.dtype(
    {"names": ["counts", "minutes"], "formats": ["<f4", "<f4"], "offsets": [8, 12], "itemsize": RECORD_BYTES}
)


def draw(source: Source, metadata: Metadata) -> bytes:
    """Return the picture of all functions that can be read; raises NoPicture, SourceChanged or SourceUnreadable."""
    dataset = source.dataset
    indices = {
        int(match["number"]): file
        for file in regular(dataset)
        if file.directory == dataset.path and (match := _INDEX.fullmatch(file.name.upper()))
    }
    functions = [(number, indices[number]) for number in sorted(indices)][: chromatogram.MOST_TRACES]
    traces = [trace for number, file in functions if (trace := _trace(source.tree, number, file)) is not None]
    if not traces:
        raise NoPicture(
            f"{printable(dataset.name)} has no _FUNC*.IDX that could be read as a list of scans",
            hint="high-resolution instruments may store it otherwise",
        )
    return chromatogram.draw(traces, dataset.name, metadata, left_out=len(indices) - len(traces))


def _trace(tree: SourceTree, number: int, file: FileStat) -> Trace | None:
    return trace_of(f"function {number}", content_of(tree, file, MOST_INDEX_BYTES))


def trace_of(label: str, index: bytes) -> Trace | None:
    """Return the curve that an index holds, None where it is no list of scans in order of time."""
    records = np.frombuffer(index, _RECORD, len(index) // RECORD_BYTES)
    minutes, counts = records["minutes"].astype(float), records["counts"].astype(float)
    if not records.size or len(index) % RECORD_BYTES or not chromatogram.is_plausible(minutes, counts):
        return None
    return Trace(label, minutes, counts)
