"""Bruker timsTOF ``.d`` directories: ``analysis.tdf``, an SQLite index, and ``analysis.tdf_bin``, one block per frame.

Source of the layout: the SQLite tables of finished acquisitions and the block format that timsrust reads:
u32 length of the whole block, u32 number of scans, then zstd of u32 values whose bytes stand in planes.
"""

from __future__ import annotations

import os
import sqlite3
import struct
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import numpy as np

SCANS_PER_FRAME = 16

_BLOCK_HEADER_BYTES = 8
_PEAK_BYTES = 8
_SCHEMA = """
CREATE TABLE GlobalMetadata (Key TEXT PRIMARY KEY, Value TEXT);
CREATE TABLE Frames (
    Id INTEGER PRIMARY KEY, Time REAL NOT NULL, Polarity CHAR(1) NOT NULL, ScanMode INTEGER NOT NULL,
    MsMsType INTEGER NOT NULL, TimsId INTEGER, MaxIntensity INTEGER NOT NULL, SummedIntensities INTEGER NOT NULL,
    NumScans INTEGER NOT NULL, NumPeaks INTEGER NOT NULL, AccumulationTime REAL NOT NULL, RampTime REAL NOT NULL
);
"""


def tims_block(picture: int, *, frame_bytes: int, seed: int = 0) -> bytes:
    """Return the block of one frame: about ``frame_bytes`` of peaks, at least one, before they are packed."""
    import zstandard

    random = np.random.default_rng((seed, picture))
    peaks = max(frame_bytes // _PEAK_BYTES, 1)
    in_scan = np.bincount(np.arange(peaks) % SCANS_PER_FRAME, minlength=SCANS_PER_FRAME)
    values = np.empty(SCANS_PER_FRAME + 2 * peaks, dtype="<u4")
    # the count of the last scan is what the others leave; the number of scans stands in front instead
    values[0] = SCANS_PER_FRAME
    values[1:SCANS_PER_FRAME] = 2 * in_scan[:-1]
    values[SCANS_PER_FRAME::2] = random.integers(1, 2000, size=peaks)  # steps in time of flight
    values[SCANS_PER_FRAME + 1 :: 2] = random.geometric(0.002, size=peaks)  # counts
    planes = values.view("u1").reshape(-1, 4).T.tobytes()
    packed = zstandard.ZstdCompressor(level=1).compress(planes)
    return struct.pack("<II", _BLOCK_HEADER_BYTES + len(packed), SCANS_PER_FRAME) + packed


class TimsIndex:
    """The index of one acquisition: in WAL mode while it runs, one closed file afterwards."""

    def __init__(self, path: Path, *, name: str, date: datetime) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = OFF")
        self._connection.executescript(_SCHEMA)
        self._connection.executemany("INSERT INTO GlobalMetadata VALUES (?, ?)", _metadata(name, date).items())

    def add(self, frame: int, *, time_s: float, block_at: int, frame_bytes: int) -> None:
        """Add one frame, whose block begins at ``block_at``."""
        peaks = max(frame_bytes // _PEAK_BYTES, 1)
        row = (frame, time_s, "+", 9, 0, block_at, 5000, peaks * 500, SCANS_PER_FRAME, peaks, 100.0, 100.0)
        self._open.execute("INSERT INTO Frames VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

    def end(self) -> None:
        """Close it as the instrument does: everything in one file, no WAL beside it."""
        self._open.execute("UPDATE GlobalMetadata SET Value = '1' WHERE Key = 'ClosedProperly'")
        self._open.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        self._open.execute("PRAGMA journal_mode = DELETE")
        self._open.close()
        self._connection = None

    def abandon(self) -> None:
        """Leave it as a program that died leaves it, with its WAL; nothing where it was closed."""
        if self._connection is None:
            return
        # SQLite tidies up when the last connection is closed, unless that one may only read
        reader = sqlite3.connect(f"file:{quote(os.fsencode(self._path))}?mode=ro", uri=True)
        reader.execute("SELECT COUNT(*) FROM Frames").fetchone()
        self._connection.close()
        self._connection = None
        reader.close()

    @property
    def _open(self) -> sqlite3.Connection:
        assert self._connection is not None, "nothing is written after the end"
        return self._connection


def _metadata(name: str, date: datetime) -> dict[str, str]:
    return {
        "SchemaType": "TDF",
        "SchemaVersionMajor": "3",
        "SchemaVersionMinor": "7",
        "TimsCompressionType": "2",
        "ClosedProperly": "0",
        "MaxNumPeaksPerScan": "10000",
        "DigitizerNumSamples": "400000",
        "MzAcqRangeLower": "100.000000",
        "MzAcqRangeUpper": "1700.000000",
        "OneOverK0AcqRangeLower": "0.600000",
        "OneOverK0AcqRangeUpper": "1.600000",
        "AcquisitionSoftware": "simulated",
        "AcquisitionDateTime": date.isoformat(timespec="milliseconds"),
        "InstrumentVendor": "Bruker",
        "InstrumentName": "timsTOF Pro",
        "InstrumentSerialNumber": "SIM0001",
        "OperatorName": "simulated",
        "SampleName": name.encode("utf-8", "replace").decode("utf-8"),
        "MethodName": "simulated.m",
    }
