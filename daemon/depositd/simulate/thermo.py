"""Thermo ``.raw`` files of format version 66, with the structures that tell whether a run has ended.

Source of the layout: the unfinnigan project, checked on finished files.  What stands in a file while the
instrument still acquires is not documented; the flag "in acquisition" = 1 is inferred from its name.
"""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta

VERSION = 66

_SEQUENCE_ROW_AT = 1356
_IN_ACQUISITION_AT = 20
_CONTROLLERS_AT = 28
_CONTROLLER_TABLE_AT = 816
_PREAMBLE_BYTES = 1856
_RUN_HEADER_BYTES = 7592
_FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)
_SOME_NIGHT = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)


def thermo_raw_bytes(
    *,
    in_acquisition: bool,
    scans: int,
    size_bytes: int = 262_144,
    name: str = "sim_1",
    start: datetime = _SOME_NIGHT,
    run_time_min: float | None = None,
    expected_run_time_min: float | None = None,
    seed: int = 0,
) -> bytes:
    """Return a Thermo-like file of exactly ``size_bytes``.

    While it acquires, the same file differs only in its flag: so it can be written with
    ``in_acquisition=True`` and finished by writing the first :func:`thermo_header_size` bytes again.
    ``start`` is UTC.  The run takes ``run_time_min`` minutes (0.01 for each scan), of the expected
    ``expected_run_time_min`` (the same).  Raises ValueError where ``size_bytes`` has no room for the structures.
    """
    run_time_min = scans * 0.01 if run_time_min is None else run_time_min
    expected_run_time_min = run_time_min if expected_run_time_min is None else expected_run_time_min
    header_bytes = thermo_header_size(name)
    run_header_at = size_bytes - _RUN_HEADER_BYTES
    if run_header_at <= header_bytes:
        raise ValueError(
            f"{size_bytes:,} bytes are too few for a Thermo file (at least {header_bytes + _RUN_HEADER_BYTES + 1:,})"
        )
    header = b"".join(
        [
            _file_header(start, start + timedelta(minutes=run_time_min)),
            _sequence_row(name),
            _auto_sampler(),
            _raw_file_info(start, header_bytes, run_header_at, in_acquisition=in_acquisition),
        ]
    )
    data = random.Random(seed).randbytes(run_header_at - header_bytes)  # noqa: S311 - noise, not a secret
    run_header = _run_header(header_bytes, run_header_at, scans, run_time_min, expected_run_time_min)
    return header + data + run_header


def thermo_header_size(name: str = "sim_1") -> int:
    """Return where the scan data begin: the bytes that are written again when the run ends."""
    return _SEQUENCE_ROW_AT + len(_sequence_row(name)) + len(_auto_sampler()) + _PREAMBLE_BYTES + 6 * 4


def thermo_run_header_size() -> int:
    """Return the bytes of the run header, which stands last in the file."""
    return _RUN_HEADER_BYTES


def _file_header(start: datetime, end: datetime) -> bytes:
    block = bytearray(_SEQUENCE_ROW_AT)
    struct.pack_into("<H", block, 0, 0xA101)
    block[2:20] = "Finnigan\0".encode("utf-16-le")
    struct.pack_into("<I", block, 36, VERSION)
    for offset, moment in ((40, start), (152, end)):
        struct.pack_into("<Q", block, offset, (moment - _FILETIME_EPOCH) // timedelta(microseconds=1) * 10)
        tag = "SIM".encode("utf-16-le")
        block[offset + 8 : offset + 8 + len(tag)] = tag
    return bytes(block)


def _sequence_row(name: str) -> bytes:
    """Return the row of the sequence table: injection, 14 + 2 texts, a number, 15 texts (version >= 60)."""
    injection = struct.pack("<III12sddddd", 0, 1, 0, "1".encode("utf-16-le"), 1.0, 0.0, 0.0, 0.0, 1.0)
    texts = [""] * 14
    texts[9] = "C:\\Xcalibur\\methods\\simulated.meth"
    texts[11] = f"{name}.raw"
    texts[12] = "C:\\Xcalibur\\data\\"
    texts[13] = "1"
    return b"".join(
        [injection, *map(_pascal, texts), _pascal(""), _pascal(""), struct.pack("<I", 0), *[_pascal("")] * 15]
    )


def _auto_sampler() -> bytes:
    return struct.pack("<iiIIII", -1, -1, 0, 0, 0, 4) + _pascal("")


def _raw_file_info(start: datetime, data_at: int, run_header_at: int, *, in_acquisition: bool) -> bytes:
    block = bytearray(_PREAMBLE_BYTES)
    struct.pack_into(
        "<I8H",
        block,
        0,
        1,  # a method file is present
        start.year,
        start.month,
        start.isoweekday() % 7,
        start.day,
        start.hour,
        start.minute,
        start.second,
        start.microsecond // 1000,
    )
    struct.pack_into("<I", block, _IN_ACQUISITION_AT, int(in_acquisition))
    struct.pack_into("<II", block, _CONTROLLERS_AT, 1, 1)
    struct.pack_into("<QIIQ", block, _CONTROLLER_TABLE_AT - 8, data_at, 0, 1, run_header_at)
    return bytes(block) + _pascal("") * 6


def _run_header(data_at: int, own_at: int, scans: int, end_min: float, expected_min: float) -> bytes:
    block = bytearray(_RUN_HEADER_BYTES)
    struct.pack_into("<IIII", block, 0, 1, 0, 1, scans)
    struct.pack_into("<ddddd", block, 56, 1e6, 5.0, 0.005, end_min, 200.0)
    struct.pack_into("<d", block, 88, 2000.0)
    struct.pack_into("<I", block, 584, 1)
    struct.pack_into("<dd", block, 3712, 0.5, expected_min)
    struct.pack_into("<III", block, 7376, scans, scans, 1)
    struct.pack_into("<QQ", block, 7408, own_at, data_at)
    struct.pack_into("<Q", block, 7472, own_at)
    return bytes(block)


def _pascal(text: str) -> bytes:
    """Return a text as its length in characters, then UTF-16."""
    encoded = text.encode("utf-16-le", "surrogatepass")
    return struct.pack("<I", len(encoded) // 2) + encoded
