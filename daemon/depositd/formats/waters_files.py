"""The files of a Waters ``.raw`` directory: what index and data say of each other.

``_FUNCnnn.IDX`` has records of 22 bytes: u32 @0 is the scan's offset in ``_FUNCnnn.DAT``, the low 22 bits of u32 @4 its
number of points, f32 @12 its retention time in minutes.  A point takes 2, 4, 6 or 8 bytes, the same for the whole
function, so consecutive offsets prove that an index is of this kind, and its last record says how long the data
must be.  High-resolution data are stored otherwise; there neither can be checked.
"""

from __future__ import annotations

import itertools
import re
import struct
from typing import Any

from depositd.formats import facts
from depositd.formats.reading import ReadAt
from depositd.model import Probe

RECORD_BYTES = 22
UNFINISHED = "unfinished"
"""The fact that tells a file that lacks something, which may still come, from one that is wrong."""
_PROOF_RECORDS = 64
_POINT_BYTES = (2, 4, 6, 8)
_TEXT_BYTES = 1 << 16
_RUN_TIME = re.compile(r"\bRun Time:?\s+(\d{1,6}(?:\.\d{1,6})?)\s*min", re.IGNORECASE | re.ASCII)
_HEADER_LINE = re.compile(r"^\$\$ ([^:\r\n]{1,60}):[ \t]*([^\r\n]*)", re.MULTILINE)


def index_facts(read_at: ReadAt, size_bytes: int) -> Probe:
    """Return what an index says: ``records``, ``last_min``, and ``data_bytes`` where its kind is proven."""
    whole, rest = divmod(size_bytes, RECORD_BYTES)
    if whole == 0:
        return Probe(facts={"records": 0, "rest_bytes": rest})
    records = _records(read_at(0, RECORD_BYTES * min(whole, _PROOF_RECORDS)))
    last = read_at(RECORD_BYTES * (whole - 1), RECORD_BYTES)
    offset, points, minutes = _records(last)[0]
    said: dict[str, Any] = {"records": whole, "rest_bytes": rest, "last_offset": offset, "last_points": points}
    if not any(last):
        return Probe("ends in zeros instead of a scan: its end was never written", True, said | {UNFINISHED: True})
    if point_bytes := _point_bytes(records):
        said |= {"data_bytes": offset + points * point_bytes}
        said |= {"last_min": round(minutes, 4) if 0 <= minutes < 1e6 else None}
    return Probe(facts=facts.clean(said))


def _records(raw: bytes) -> list[tuple[int, int, float]]:
    found = []
    for start in range(0, len(raw) - RECORD_BYTES + 1, RECORD_BYTES):
        offset, counted = struct.unpack_from("<2I", raw, start)
        found.append((offset, counted & 0x3FFFFF, struct.unpack_from("<f", raw, start + 12)[0]))
    return found


def _point_bytes(records: list[tuple[int, int, float]]) -> int | None:
    """Return the bytes of one point where every pair of neighbours agrees on them, else None."""
    found: set[float] = set()
    for (offset, points, _minutes), (following, _points, _later) in itertools.pairwise(records):
        span = following - offset
        if points == 0 and span == 0:
            continue
        if points == 0 or span % points:
            return None
        found.add(span // points)
    if len(found) != 1:
        return None
    only = int(found.pop())
    return only if only in _POINT_BYTES else None


def inlet_facts(read_at: ReadAt, _size_bytes: int) -> Probe:
    """Return the planned run time, the longest that the inlet's method names, and what rounding may have added to it.

    ``planned_min`` is in minutes, and so is ``rounding_min``: half a unit of the last digit.
    """
    texts = _RUN_TIME.findall(read_at(0, _TEXT_BYTES).decode("latin-1"))
    if not texts:
        return Probe()
    longest = max(texts, key=float)
    decimals = len(longest.partition(".")[2])
    return Probe(facts={"planned_min": float(longest), "rounding_min": 0.5 * 10.0**-decimals})


def header_facts(read_at: ReadAt, _size_bytes: int) -> Probe:
    """Return the metadata of ``_HEADER.TXT``: lines of the form ``$$ Key: value``."""
    lines = dict(_HEADER_LINE.findall(read_at(0, _TEXT_BYTES).decode("latin-1")))
    date = _date(lines.get("Acquired Date", ""), lines.get("Acquired Time", ""))
    return Probe(
        facts=facts.clean({"instrument": lines.get("Instrument"), "sample": lines.get("SampleID"), "date": date})
    )


def _date(day: str, time: str) -> str | None:
    parts = day.strip().split("-")  # 20-Sep-2021
    return facts.iso_date(f"{parts[2]}-{parts[1]}-{parts[0]}T{time.strip()}") if len(parts) == 3 else None
