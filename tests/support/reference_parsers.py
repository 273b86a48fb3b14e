"""Small readers of instrument files that know the documented layouts and nothing of depositd.

Tests hold both simulated and real files against them.
"""

from __future__ import annotations

import base64
import hashlib
import re
import struct
from datetime import UTC, datetime, timedelta

FILETIME_EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


def parse_thermo(blob):
    """Read a Thermo ``.raw`` file of version 57 to 66."""
    assert blob[:2] == b"\x01\xa1"
    assert blob[2:18].decode("utf-16-le") == "Finnigan"
    (version,) = struct.unpack_from("<I", blob, 36)
    filetimes = [struct.unpack_from("<Q", blob, offset)[0] for offset in (40, 152)]
    position = 1356 + 64

    def text():
        nonlocal position
        (length,) = struct.unpack_from("<I", blob, position)
        start, position = position + 4, position + 4 + 2 * length
        return blob[start:position].decode("utf-16-le")

    row = [text() for _ in range(16)]
    position += 4
    if version >= 60:
        row += [text() for _ in range(15)]
    position += 24
    text()
    info = position
    table = info + (36 if version < 64 else 816)
    run_header = struct.unpack_from("<I" if version < 64 else "<Q", blob, table + 8)[0]
    return {
        "version": version,
        "started": FILETIME_EPOCH + timedelta(microseconds=filetimes[0] / 10),
        "ended": FILETIME_EPOCH + timedelta(microseconds=filetimes[1] / 10),
        "file": row[11],
        "date": struct.unpack_from("<8H", blob, info + 4),
        "in_acquisition": struct.unpack_from("<I", blob, info + 20)[0],
        "controllers": struct.unpack_from("<I", blob, info + 28)[0],
        "run_header": run_header,
        "scans": struct.unpack_from("<II", blob, run_header + 8),
        "minutes": struct.unpack_from("<dd", blob, run_header + 72),
        "expected_min": struct.unpack_from("<d", blob, run_header + 3720)[0],
    }


def check_waters(files):
    """Assert what holds in every finished low-resolution Waters directory; return its functions' data files."""
    functions = sorted(name for name in files if re.fullmatch(r"_FUNC\d{3}\.DAT", name))
    assert functions
    assert len(files["_FUNCTNS.INF"]) == 416 * len(functions)
    for name in functions:
        index = files[name.replace(".DAT", ".IDX")]
        assert len(index) % 22 == 0
        offset, points = struct.unpack_from("<II", index, len(index) - 22)
        assert (len(files[name]) - offset) / (points & 0x3FFFFF) in {2, 4, 6, 8}
    return functions


def retention_times_min(index):
    """Return the retention times of an ``.IDX`` file."""
    return [struct.unpack_from("<f", index, record + 12)[0] for record in range(0, len(index), 22)]


def cbf_binary(frame):
    """Return the compressed pixels of a CBF frame, whose checksum and end are asserted."""
    start = frame.index(b"\x0c\x1a\x04\xd5") + 4
    size = int(re.search(rb"X-Binary-Size: (\d+)", frame)[1])
    padding = int(re.search(rb"X-Binary-Size-Padding: (\d+)", frame)[1])
    binary = frame[start : start + size]
    stated = re.search(rb"Content-MD5: (\S+)", frame)[1]
    assert base64.b64decode(stated) == hashlib.md5(binary).digest()
    assert frame[start + size :] == bytes(padding) + b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
    return binary
