"""The header of a Thermo ``.raw`` file, as the unfinnigan project documents it.

Signature ``01 A1`` and ``Finnigan`` in UTF-16; version u32 @36; start of acquisition FILETIME @40.  From @1356 the
sequence row: 64 bytes of injection data, then texts (u32 count, UTF-16): 16, a u32, and 15 more from version 60 on;
then 24 bytes and one text, and there stands the *raw file info*.  In it: +4 SYSTEMTIME, +20 u32 "in acquisition", +28
u32 number of controllers, and a table of them at +36 (12 bytes each, below version 64) or +816 (16 bytes each), whose
last field is the address of a *run header*: first and last scan u32 +8 and +12, end time f64 +80 (minutes),
expected run time f64 +3720 (minutes).

The run header also holds its own address (u32 +7396, from version 64 on u64 +7472) and those of the streams behind
the scans (u32 +28, +36, +40, +7368, +7372; u64 +7408, +7424, +7432, +7448, +7456).  Where its own address is right the
others are believed: the file must reach beyond them.

Below version 64 the file must also end where the last of the scans' records ends (see
:mod:`depositd.formats.thermo_records`).  From version 64 on no finished file was at hand to check that: of those, what
lies behind the last address, up to the last few per cent of a file, can be missing unnoticed.

Zeros mean "not written": scans are numbered from 1, a stream does not begin with 4 KiB of zeros, and a finished file
does not end in as many (in both files at hand each stream has a byte within its first 13, and the last 16 bytes have
ten).  All of this was checked on finished files of versions 57 and 63.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from depositd.formats import facts, thermo_records
from depositd.formats.reading import PARSE_ERRORS, Malformed, ReadAt
from depositd.units import show_count

SIGNATURE = b"\x01\xa1" + "Finnigan".encode("utf-16-le")
HEAD_BYTES = 1 << 16
KNOWN_VERSIONS = range(57, 67)
UNFINISHED = "unfinished"
"""The fact that tells a file that lacks something, which may still come, from one that is wrong."""
_SEQUENCE_ROW_TEXTS = 1356 + 64
_LONGEST_TEXT = 4096
_BLANK_BYTES = 4096
"""Where as many bytes as this are zero at a place that a finished file fills, nothing was written there."""
_MOST_CONTROLLERS = 64
_MS_CONTROLLER = 0
_RUN_HEADER_BYTES = 7480
_STREAMS_32 = ("<I", 7396, (28, 36, 40, 7368, 7372))
_STREAMS_64 = ("<Q", 7472, (7408, 7424, 7432, 7448, 7456))
"""Type of an address, offset of the run header's own, offsets of those of its streams."""
_FIRST_64_BIT_VERSION = 64
_ERROR_LOG_AT, _SCAN_INDEX_AT, _PARAMETERS_AT = 40, 28, 7372


class Unknown(Exception):
    """The structure is not one that is documented: nothing can be said, which is no fault of the file."""


def parse(read_at: ReadAt, size_bytes: int) -> dict[str, Any]:
    """Return the facts of a Thermo file.

    Raises Malformed where it is not whole, with the fact UNFINISHED where something is still lacking, and Unknown
    where only its structure is not understood.
    """
    head = read_at(0, HEAD_BYTES)
    if SIGNATURE.startswith(head):
        raise _unfinished("ends inside its signature")
    if not head.startswith(SIGNATURE):
        raise Malformed("carries no Finnigan signature: not a Thermo file (format: file takes any file)")
    try:
        version, said, addresses = _header(head, read_at, size_bytes)
    except Unknown:
        _check_end(read_at, size_bytes, {})
        raise
    if said["in_acquisition"]:
        return said
    _check_end(read_at, size_bytes, said)
    return said | _runs(version, addresses, read_at, size_bytes, said)


def _unfinished(problem: str, said: Mapping[str, Any] | None = None) -> Malformed:
    return Malformed(problem, retry=True, facts={**(said or {}), UNFINISHED: True})


def _too_short(size_bytes: int, needed_bytes: int, said: Mapping[str, Any]) -> Malformed:
    """Return the problem of a file that an address leads out of; how long what stands there is, nothing says."""
    return _unfinished(f"ends at least {show_count(needed_bytes - size_bytes, 'byte')} early", said)


def _check_end(read_at: ReadAt, size_bytes: int, said: Mapping[str, Any]) -> None:
    """Refuse a file whose last 4 KiB are zeros: it got its size before its content."""
    if size_bytes > _BLANK_BYTES and not any(read_at(size_bytes - _BLANK_BYTES, _BLANK_BYTES)):
        raise _unfinished(f"ends in {_BLANK_BYTES:,} bytes of zeros: its end was never written", said)


def _header(head: bytes, read_at: ReadAt, size_bytes: int) -> tuple[int, dict[str, Any], list[tuple[int, int]]]:
    """Return the version, the facts of the header, and type and run header address of each controller."""
    version = int.from_bytes(head[36:40], "little")
    if len(head) >= 40 and version == 0:
        raise _unfinished("names no version in its header: it was never written")
    if len(head) >= 40 and version not in KNOWN_VERSIONS:
        raise Unknown(f"version {version} of the format is not known here")
    try:
        info_at = _raw_file_info(version, head)
        info = read_at(info_at, 816 + 16 * _MOST_CONTROLLERS)
        said = _facts(version, head, info)
        addresses = _run_headers(version, info)
    except PARSE_ERRORS as error:
        if isinstance(error, struct.error) and size_bytes < HEAD_BYTES:
            raise _unfinished("ends inside its header") from None
        raise Unknown(f"its header cannot be followed ({error})") from None
    return version, said, addresses


def _raw_file_info(version: int, head: bytes) -> int:
    """Return the offset of the raw file info, behind the sequence row's texts."""
    position = _skip_texts(head, _SEQUENCE_ROW_TEXTS, 16) + 4
    if version >= 60:
        position = _skip_texts(head, position, 15)
    return _skip_texts(head, position + 24, 1)


def _skip_texts(head: bytes, position: int, count: int) -> int:
    for _ in range(count):
        characters = int(struct.unpack_from("<I", head, position)[0])
        if characters > _LONGEST_TEXT:
            raise ValueError(f"a text of {characters:,} characters at byte {position:,}")
        position += 4 + 2 * characters
    return position


def _facts(version: int, head: bytes, info: bytes) -> dict[str, Any]:
    in_acquisition = int(struct.unpack_from("<I", info, 20)[0])
    if in_acquisition not in (0, 1):
        raise ValueError(f"an acquisition flag of {in_acquisition}")
    return facts.clean({"version": version, "in_acquisition": bool(in_acquisition), "date": _date(head, info)})


def _date(head: bytes, info: bytes) -> str | None:
    """Return the local start time of the raw file info, or the UTC one of the audit trail."""
    year, month, _weekday, day, hour, minute, second, _ms = struct.unpack_from("<8H", info, 4)
    if 1990 <= year <= 2100:
        return facts.iso_date(f"{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")
    filetime = struct.unpack_from("<Q", head, 40)[0]
    moment = datetime(1601, 1, 1, tzinfo=UTC) + timedelta(microseconds=filetime // 10)
    return facts.iso_date(moment.isoformat())


def _run_headers(version: int, info: bytes) -> list[tuple[int, int]]:
    """Return (controller type, address of its run header) of each controller."""
    count = int(struct.unpack_from("<I", info, 28)[0])
    if count > _MOST_CONTROLLERS:
        raise ValueError(f"{count:,} controllers")
    layout, start = ("<3I", 36) if version < _FIRST_64_BIT_VERSION else ("<2IQ", 816)
    entries = [struct.unpack_from(layout, info, start + index * struct.calcsize(layout)) for index in range(count)]
    return [(kind, address) for kind, _index, address in entries]


def _runs(
    version: int, addresses: list[tuple[int, int]], read_at: ReadAt, size_bytes: int, said: dict[str, Any]
) -> dict[str, Any]:
    """Check every run header and return the facts of the mass spectrometer's, else of the first."""
    if not addresses:
        raise Malformed("names no instrument that recorded anything", retry=True, facts=said)
    runs: list[dict[str, Any]] = []
    places: list[int] = []
    ms_header = b""
    for controller, address in sorted(addresses, key=lambda entry: entry[0] != _MS_CONTROLLER):
        if address == 0:
            raise _unfinished("has no run header yet", said)
        if address >= size_bytes:
            raise _too_short(size_bytes, address + 1, said)
        header = read_at(address, _RUN_HEADER_BYTES)
        streams = _streams(version, header, address, said)
        if streams and streams[-1] >= size_bytes:
            raise _too_short(size_bytes, streams[-1] + 1, said)
        places += [address, *streams]
        if controller == _MS_CONTROLLER:
            _check_written(streams, read_at, said)
            if streams and version < _FIRST_64_BIT_VERSION:
                ms_header = header
        runs.append(_run(header))
    run = runs[0]
    _check_scans(run["first_scan"], run["last_scan"], said)
    if ms_header and _address(ms_header, _PARAMETERS_AT) == max(places):
        run |= _parameters(ms_header, read_at, size_bytes, run["last_scan"] - run["first_scan"] + 1)
    return facts.clean(run)


def _parameters(header: bytes, read_at: ReadAt, size_bytes: int, scans: int) -> dict[str, Any]:
    """Return whether the file does not end where the record of its last scan ends, and how much stands there."""
    start, end = _address(header, _ERROR_LOG_AT), _address(header, _SCAN_INDEX_AT)
    searched = 0 < start < end <= start + thermo_records.MOST_SEARCHED_BYTES
    lengths = thermo_records.described_lengths(read_at(start, end - start) if searched else b"")
    found_bytes = size_bytes - _address(header, _PARAMETERS_AT)
    cut = thermo_records.ends_in_record(found_bytes, scans, lengths)
    return {"ends_in_record": cut, "parameters_bytes": found_bytes}


def _address(header: bytes, offset: int) -> int:
    return int(struct.unpack_from("<I", header, offset)[0])


def _streams(version: int, header: bytes, address: int, said: dict[str, Any]) -> list[int]:
    """Return the rising addresses of the streams that a run header names; none where it is not to be believed."""
    kind, own_at, streams_at = _STREAMS_32 if version < _FIRST_64_BIT_VERSION else _STREAMS_64
    if len(header) < own_at + struct.calcsize(kind):
        raise _unfinished("ends inside its run header", said)
    if not any(header):
        raise _unfinished(f"has zeros where its run header belongs (byte {address:,}): it was never written", said)
    if struct.unpack_from(kind, header, own_at)[0] != address:
        return []
    return sorted(stream for offset in streams_at if (stream := struct.unpack_from(kind, header, offset)[0]))


def _check_written(streams: list[int], read_at: ReadAt, said: dict[str, Any]) -> None:
    for stream in streams:
        # fewer bytes stand at the very end of a file, where a short stream may well be zero
        if len(found := read_at(stream, _BLANK_BYTES)) == _BLANK_BYTES and not any(found):
            raise _unfinished(f"has zeros where its run header points (byte {stream:,}): they were never written", said)


def _check_scans(first: int, last: int, said: dict[str, Any]) -> None:
    """Require 1 <= first <= last: scans are numbered from 1."""
    if last == 0:
        raise _unfinished("counts no scan in its run header", said)
    if first == 0:
        raise Malformed(f"counts its scans from 0 to {last}, though the first is 1", retry=True, facts=said)
    if last < first:
        raise Malformed(f"ends at scan {last}, before its first scan {first}", retry=True, facts=said)


def _run(header: bytes) -> dict[str, Any]:
    first, last = struct.unpack_from("<2I", header, 8)
    end = struct.unpack_from("<d", header, 80)[0]
    planned = struct.unpack_from("<d", header, 3720)[0]
    return {
        "first_scan": first,
        "last_scan": last,
        "run_time_min": end if 0 < end < 1e6 else None,
        "planned_min": planned if 0 < planned < 1e6 else None,
    }
