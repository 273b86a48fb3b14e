"""A Bruker ``analysis.tdf`` and its ``analysis.tdf_bin``: an SQLite index and the frames that it points into.

``Frames.TimsId`` is the offset of a frame in ``analysis.tdf_bin``.  There stand u32 the frame's length, these eight
bytes included, and u32 its number of scans (``Frames.NumScans``); the rest is compressed.  Checked on a finished
acquisition, which ends exactly where its last frame ends.

A database of somebody else is opened so that nothing can happen to it and nothing can come from it: read-only and
``immutable`` (no lock, no look at a journal), never beside a journal (an ordinary opening can replay a stale one into
the index), the two tables that are needed and nothing else, and not for longer than half a second.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

from depositd.formats import facts
from depositd.formats.reading import Malformed, ReadAt, ends_early, hole_bytes, probe_file, reader
from depositd.formats.trees import UNFINISHED, WAITS
from depositd.model import Probe
from depositd.units import printable

Monotonic = Callable[[], float]

SIGNATURE = b"SQLite format 3\0"
HEADER_BYTES = 100
LONGEST_S = 0.5
"""How long a database may keep us, in seconds."""

DATA_SUFFIX = "_bin"
WAL_SUFFIX = "-wal"
JOURNAL_SUFFIXES = ("-journal", "-shm")
"""Their being there means a writer, or one that died; a ``-wal`` does only where it is not empty."""

_TABLES = frozenset({"frames", "globalmetadata"})
_FUNCTIONS = frozenset({"count", "max"})
_LONGEST_VALUE_BYTES = 1 << 20
_STEPS_BETWEEN_LOOKS = 1000
_BLANK_BYTES = 4096
_FRAME_HEADER_BYTES = 8
_METADATA = {
    "InstrumentName": "instrument",
    "InstrumentSerialNumber": "instrument_serial",
    "SampleName": "sample",
    "AcquisitionDateTime": "date",
    "ClosedProperly": "closed_properly",
}


class Unknown(Exception):
    """The database is one, but cannot be understood as an index, which may be no fault of the acquisition."""


class TooSlow(Unknown):
    """The database kept us too long; from a cold disk it may be quicker next time."""


class Seen(NamedTuple):
    """Index and data as a probe saw them: what it says holds for these alone."""

    index_bytes: int
    index_mtime_ns: int
    data_bytes: int
    data_mtime_ns: int


def probe_index(path: str, monotonic: Monotonic = time.monotonic) -> Probe:
    """Return what an ``analysis.tdf`` says of its run, and what stands where it says that the last frame is.

    Facts: ``frames``, ``run_time_min``, ``last_offset``, ``last_scans``; ``last_bytes``, ``last_scans_found``,
    ``last_blank`` and ``holes_bytes`` of the data; ``wal_mode``, ``closed_properly`` and metadata; ``seen`` is the
    pair that all this holds for.  ``unknown`` says why the database cannot be understood.
    """
    return probe_file(path, lambda descriptor, size: _probe_pair(path, reader(descriptor), size, monotonic))


def probe_data(path: str, monotonic: Monotonic = time.monotonic) -> Probe:
    """Return what an index says beside this ``analysis.tdf_bin``; a problem of the index is not one of the data.

    What stands in the way of the index stands in the way of the data too: one of the two must be read once it is gone.
    """
    opened = probe_file(
        path, lambda _descriptor, size: Probe() if size else Probe("is empty", True, {UNFINISHED: True})
    )
    if opened.problem is not None:
        return opened
    pair = probe_index(path.removesuffix(DATA_SUFFIX), monotonic)
    return pair if pair.problem is None or pair.facts.get(WAITS) else Probe()


def probe_metadata(path: str, monotonic: Monotonic = time.monotonic) -> Probe:
    """Return what another SQLite index of Bruker's (``analysis.tsf``) says of its instrument and sample."""

    def read(descriptor: int, size_bytes: int) -> Probe:
        wal_mode = check_database(reader(descriptor), size_bytes)
        if _has_journal(path):
            return _waiting(wal_mode)
        try:
            with _opened(path, monotonic) as connection:
                return Probe(facts={"wal_mode": wal_mode, **_metadata(connection)})
        except Unknown:
            return Probe(facts={"wal_mode": wal_mode})

    return probe_file(path, read)


def check_database(read_at: ReadAt, size_bytes: int) -> bool:
    """Return whether an SQLite file is in WAL mode; raises Malformed where it is none, or its end was never written.

    A page in use has a type, so it is never all zeros; one that was freed may be.
    """
    head = read_at(0, HEADER_BYTES)
    wal_mode = check_header(head, size_bytes)
    page_bytes, free_pages = _page_bytes(head), int.from_bytes(head[36:40], "big")
    if free_pages == 0 and size_bytes >= page_bytes and not any(read_at(size_bytes - page_bytes, page_bytes)):
        raise _unfinished(f"ends in {page_bytes:,} bytes of zeros: its end was never written")
    return wal_mode


def check_header(head: bytes, size_bytes: int) -> bool:
    """Return whether an SQLite file is in WAL mode; raises Malformed where it is none, or shorter than it says."""
    if size_bytes == 0:
        raise _unfinished("is empty")
    if SIGNATURE.startswith(head[:16]) and len(head) < 16:
        raise _unfinished("ends inside its signature")
    if not head.startswith(SIGNATURE):
        raise Malformed("is no SQLite database, so no Bruker index", retry=True)
    if len(head) < HEADER_BYTES:
        raise _unfinished("ends inside its header")
    page_bytes = _page_bytes(head)
    if page_bytes < 512 or page_bytes & (page_bytes - 1):
        raise Malformed(f"has pages of {page_bytes} bytes in its header, which no SQLite database has")
    if not {head[18], head[19]} <= {1, 2}:
        raise Malformed(f"has the SQLite file format {head[18]}, {head[19]}, which is not known")
    changes, pages = struct.unpack_from(">2I", head, 24)
    if changes == struct.unpack_from(">I", head, 92)[0] and pages * page_bytes > size_bytes:
        raise ends_early(size_bytes, pages * page_bytes, {UNFINISHED: True})
    return 2 in (head[18], head[19])


def _page_bytes(head: bytes) -> int:
    said = int.from_bytes(head[16:18], "big")
    return 65_536 if said == 1 else said


def last_frame(read_at: ReadAt, size_bytes: int, offset: int) -> dict[str, Any]:
    """Return length and number of scans of the frame at an offset, and whether its end was never written."""
    head = read_at(offset, _FRAME_HEADER_BYTES) if 0 <= offset < size_bytes else b""
    if len(head) < _FRAME_HEADER_BYTES:
        return {}
    length, scans = struct.unpack("<2I", head)
    end = min(offset + length, size_bytes)
    start = max(offset + _FRAME_HEADER_BYTES, end - _BLANK_BYTES)
    tail = read_at(start, end - start) if end > start else b""
    # compressed data do not end in as many zeros, and a few of them do not consist of zeros
    return {"last_bytes": length, "last_scans_found": scans, "last_blank": len(tail) > 0 and not any(tail)}


def _probe_pair(path: str, read_at: ReadAt, size_bytes: int, monotonic: Monotonic) -> Probe:
    wal_mode = check_database(read_at, size_bytes)
    if _has_journal(path):
        return _waiting(wal_mode)
    before = _seen(path)
    if before is None:  # data that come are read themselves, and this with them
        return Probe(retry=True, facts={"wal_mode": wal_mode})
    again = False
    try:
        with _opened(path, monotonic) as connection:
            said = _run(connection) | _metadata(connection)
    except Unknown as unknown:
        said, again = {"unknown": str(unknown)}, isinstance(unknown, TooSlow)
    if "last_offset" in said:
        data = probe_file(
            path + DATA_SUFFIX,
            lambda fd, size: Probe(
                facts={"holes_bytes": hole_bytes(fd, size)} | last_frame(reader(fd), size, said["last_offset"])
            ),
        )
        said |= data.facts
    if _has_journal(path) or _seen(path) != before:
        return _waiting(wal_mode)
    # a hole can be filled through a memory map, which the time of the last write shows only late
    again = again or bool(said.get("holes_bytes"))
    return Probe(None, again, said | {"wal_mode": wal_mode, "seen": list(before)})


def _waiting(wal_mode: bool) -> Probe:
    """Return the probe of an index that is not opened now: a writer's files lie beside it, or its data just changed."""
    return Probe("is not read while it is being written", retry=True, facts={"wal_mode": wal_mode, WAITS: True})


def _unfinished(problem: str) -> Malformed:
    return Malformed(problem, retry=True, facts={UNFINISHED: True})


def _seen(path: str) -> Seen | None:
    try:
        index, data = os.lstat(path), os.lstat(path + DATA_SUFFIX)
    except OSError:
        return None
    return Seen(index.st_size, index.st_mtime_ns, data.st_size, data.st_mtime_ns)


def _has_journal(path: str) -> bool:
    if any(os.path.lexists(path + suffix) for suffix in JOURNAL_SUFFIXES):
        return True
    try:
        return os.lstat(path + WAL_SUFFIX).st_size > 0
    except FileNotFoundError:
        return False


def database_uri(path: str) -> str:
    """Return the URI that opens an absolute path read-only and takes no lock; any byte of a name is quoted."""
    return f"file://{quote(os.fsencode(path))}?mode=ro&immutable=1"


@contextlib.contextmanager
def _opened(path: str, monotonic: Monotonic) -> Iterator[sqlite3.Connection]:
    """Give a connection that can read the two tables, for half a second.

    Raises Malformed for a file that is damaged, Unknown for one that says something else, or too much, or that SQLite
    does not open (it takes no path longer than 512 bytes).
    """
    end_s = monotonic() + LONGEST_S
    try:
        connecting = sqlite3.connect(database_uri(path), uri=True, timeout=0.0, isolation_level=None)
        with contextlib.closing(connecting) as connection:
            connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, _LONGEST_VALUE_BYTES)
            connection.set_progress_handler(lambda: monotonic() > end_s, _STEPS_BETWEEN_LOOKS)
            connection.execute("PRAGMA trusted_schema=OFF")
            connection.execute("PRAGMA cell_size_check=ON")
            connection.execute("PRAGMA mmap_size=0")  # a file cut under a map would be a SIGBUS
            connection.set_authorizer(_authorize)
            yield connection
    except sqlite3.OperationalError as error:
        if "interrupted" in str(error):
            raise TooSlow(f"its index could not be read within {LONGEST_S} s") from None
        raise Unknown(f"its index cannot be read: {printable(str(error), 120)}") from None
    except sqlite3.DatabaseError as error:
        raise Malformed(f"is damaged: {printable(str(error), 120)}", retry=True) from None
    except (sqlite3.Error, OverflowError, MemoryError) as error:
        raise Unknown(f"its index cannot be read: {printable(str(error), 120)}") from None


def _authorize(action: int, first: str | None, second: str | None, _database: str | None, inner: str | None) -> int:
    """Allow to read columns of the two tables, and nothing that a view or a generated column could hide."""
    if inner is not None:
        return sqlite3.SQLITE_DENY
    if action == sqlite3.SQLITE_SELECT:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_READ and (first or "").lower() in _TABLES:
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION and (second or "").lower() in _FUNCTIONS:
        return sqlite3.SQLITE_OK
    return sqlite3.SQLITE_DENY


def _run(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return the number of frames, the run's length and, of the last frame, its offset and number of scans."""
    frames, last_offset, last_s = connection.execute("SELECT count(*), max(TimsId), max(Time) FROM Frames").fetchone()
    if frames == 0:
        return {"frames": 0}
    if not isinstance(last_offset, int) or last_offset < 0:
        raise Unknown("its index names no offset for its last frame")
    row = connection.execute("SELECT NumScans FROM Frames WHERE TimsId = ? LIMIT 1", (last_offset,)).fetchone()
    minutes = last_s / 60 if isinstance(last_s, int | float) and 0 < last_s < 1e8 else None
    run_time_min = None if minutes is None else round(minutes, 4)
    last_scans = row[0] if row and isinstance(row[0], int) else None
    said = {"frames": frames, "last_offset": last_offset, "last_scans": last_scans, "run_time_min": run_time_min}
    return facts.clean(said)


def _metadata(connection: sqlite3.Connection) -> dict[str, Any]:
    """Return what the table of metadata says; one that is not there says nothing."""
    wanted = ", ".join("?" * len(_METADATA))
    try:
        rows = connection.execute(
            f"SELECT Key, Value FROM GlobalMetadata WHERE Key IN ({wanted}) LIMIT 20",  # noqa: S608 - question marks only
            tuple(_METADATA),
        ).fetchall()
    except sqlite3.OperationalError as error:
        if "no such" in str(error):
            return {}
        raise
    said: Mapping[str, Any] = {_METADATA[key]: value for key, value in rows if isinstance(value, str | int)}
    texts = {key: str(value) for key, value in said.items()}
    return facts.clean(texts | {"date": facts.iso_date(texts.get("date"))})
