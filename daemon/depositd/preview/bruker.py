"""The total ion current of a timsTOF acquisition: one number for each frame in its SQLite index.

A normal open would replay a journal that a crashed writer left behind, and so change the data: the index is only
ever opened with ``immutable=1``, and not at all while files of a writer lie beside it.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np

from depositd.errors import NoPicture
from depositd.formats.bruker_tdf import JOURNAL_SUFFIXES, WAL_SUFFIX, database_uri
from depositd.model import FileStat, Metadata
from depositd.portable import path_of_open
from depositd.preview import chromatogram
from depositd.preview.reading import Source, Trace, broken, regular
from depositd.units import printable

SHOWS = "the total ion current of MS and MS/MS frames over the retention time"

_INDICES = ("analysis.tdf", "analysis.tsf")
_QUERY = """
    SELECT Time, MsMsType, SummedIntensities FROM Frames
    WHERE typeof(Time) IN ('real', 'integer') AND typeof(SummedIntensities) IN ('real', 'integer')
      AND typeof(MsMsType) IN ('null', 'integer')
    ORDER BY Time LIMIT ?
"""
_MOST_FRAMES = 500_000
_STEPS = 10_000
_MOST_TURNS = 2000
"""At most this many times as many steps of SQLite's machine: about a second, whatever the file makes of the query."""


def draw(source: Source, metadata: Metadata) -> bytes:
    """Return the picture of the frames' summed intensities; raises NoPicture, SourceChanged or SourceUnreadable."""
    dataset = source.dataset
    members = {file.name: file for file in regular(dataset) if file.directory == dataset.path}
    index = next((members[name] for name in _INDICES if name in members), None)
    if index is None:
        raise NoPicture(f"{printable(dataset.name)} has no analysis.tdf, and no other index of Bruker's can be read")
    _check_closed(index, members)
    with source.tree.open(index) as opened:
        rows = _rows(index, opened.descriptor, f"{source.root.rstrip('/')}/{index.path}")
        opened.confirm_unchanged()
    traces = traces_of(rows)
    if not traces:
        raise broken(index, "lists no frame with a time and an intensity")
    return chromatogram.draw(traces, dataset.name, metadata)


def _check_closed(index: FileStat, members: dict[str, FileStat]) -> None:
    """Raise NoPicture where a writer's files lie beside the index; an empty WAL is what a clean end may leave."""
    for suffix in (*JOURNAL_SUFFIXES, WAL_SUFFIX):
        beside = members.get(index.name + suffix)
        if beside is not None and (suffix != WAL_SUFFIX or beside.size_bytes):
            raise broken(index, f"is still being written: {printable(beside.name)} lies beside it", retry=True)


def _rows(file: FileStat, descriptor: int, path: str) -> list[tuple[float, int, float]]:
    """Return (time in seconds, kind, summed intensities) of every frame that has them as numbers."""
    turns = iter(range(_MOST_TURNS))
    try:
        # a link to the file that was opened and proven, whatever its name leads to now
        opened = path_of_open(descriptor, path)
        with closing(sqlite3.connect(database_uri(opened), uri=True)) as connection:
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA mmap_size=0")  # a file cut under a map would be a SIGBUS
            connection.set_progress_handler(lambda: next(turns, None) is None, _STEPS)
            return connection.execute(_QUERY, (_MOST_FRAMES,)).fetchall()
    except sqlite3.Error as error:
        raise broken(file, f"cannot be read as an index: {printable(str(error), 160)}") from None


def traces_of(rows: list[tuple[float, int, float]]) -> list[Trace]:
    """Return the curves of the MS frames and of the MS/MS frames, each where there is one."""
    traces = []
    for label, is_fragments in (("MS", False), ("MS/MS", True)):
        numbers = [(seconds / 60, counts) for seconds, kind, counts in rows if bool(kind) is is_fragments]
        curve = np.array(numbers, dtype=float).reshape(-1, 2)
        if len(curve) and chromatogram.is_plausible(curve[:, 0], curve[:, 1]):
            traces.append(Trace(label, curve[:, 0], curve[:, 1]))
    return traces
