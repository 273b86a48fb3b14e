"""Waters ``.raw`` directories: texts, and for each function a data file with its index.

Source of the layout: finished low-resolution acquisitions; high-resolution data differ.
"""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime

FUNCTION_RECORD_BYTES = 416
POINTS_PER_SCAN = 24

_POINT_BYTES = (4, 6)
_SOME_NIGHT = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)


def waters_files(
    *,
    functions: int = 2,
    scans: int = 50,
    run_time_min: float = 2.5,
    name: str = "sim_1",
    sample: str = "SIM",
    date: datetime = _SOME_NIGHT,
    seed: int = 0,
) -> dict[str, bytes]:
    """Return the files of one acquisition by name, in the order in which they are finished.

    Each function takes ``scans`` scans of 24 points over the whole ``run_time_min`` minutes; the points of odd
    functions are 4 bytes, of even ones 6.
    """
    files = {
        "_HEADER.TXT": _header(name, sample, date, functions),
        "_FUNCTNS.INF": b"".join(_function(index, run_time_min) for index in range(functions)),
    }
    for index in range(functions):
        data, records = _scans(index, scans, run_time_min, seed)
        files[f"_FUNC{index + 1:03d}.DAT"] = data
        files[f"_FUNC{index + 1:03d}.IDX"] = records
    files["_extern.inf"] = _external(functions)
    files["_INLET.INF"] = _inlet(run_time_min)
    return files


def _scans(function: int, scans: int, run_time_min: float, seed: int) -> tuple[bytes, bytes]:
    """Return the data of one function and its index."""
    noise = random.Random(f"{seed}/{function}")  # noqa: S311 - noise, not a secret
    scan_bytes = POINTS_PER_SCAN * _POINT_BYTES[function % len(_POINT_BYTES)]
    data = noise.randbytes(scans * scan_bytes)
    records = b"".join(
        struct.pack(
            "<IIff6x",
            scan * scan_bytes,
            0x08000000 | POINTS_PER_SCAN,
            noise.uniform(1e3, 1e6),  # total ion current
            run_time_min * (scan + 1) / scans,  # retention time, minutes
        )
        for scan in range(scans)
    )
    return data, records


def _function(index: int, run_time_min: float) -> bytes:
    block = bytearray(FUNCTION_RECORD_BYTES)
    struct.pack_into("<Hffff", block, 0, 0x2D09, 0.2, 0.1, 0.0, run_time_min)
    struct.pack_into("<ff", block, 160, 100.0 + index, 1000.0 + index)
    return bytes(block)


def _header(name: str, sample: str, date: datetime, functions: int) -> bytes:
    fields = {
        "Version": "01.00",
        "Acquired Name": name,
        "Acquired Date": date.strftime("%d-%b-%Y"),
        "Acquired Time": date.strftime("%H:%M:%S"),
        "Job Code": "SIM",
        "User Name": "",
        "Instrument": "XEVO-TQS#SIM0001",
        "Conditions": "",
        "Sample Description": "simulated",
        "Solvent Delay": "0.0000",
        "SampleID": sample,
        "Bottle Number": "1:1",
    }
    fields |= {f"Cal Function {index + 1}": "0.0e0,1.0e0,T0" for index in range(functions)}
    return _text([f"$$ {key}: {value}" for key, value in fields.items()])


def _external(functions: int) -> bytes:
    lines = ["Parameters for C:\\MassLynx\\SIMULATED.PRO\\ACQUDB\\SIM.EXP", " "]
    for index in range(functions):
        lines += [f"Instrument Parameters - Function {index + 1}:", "Polarity\tES+", "Capillary (kV)\t3.00\t3.01", " "]
    return _text(lines)


def _inlet(run_time_min: float) -> bytes:
    return _text(
        [
            "",
            "ACE Experimental Record",
            "",
            "---------------------   Run method parameters   ----------------",
            "",
            "-- PUMP --",
            "",
            "Waters Acquity SDS",
            f" Run Time: {run_time_min:.2f} min",
            " Solvent Name A: water",
            " Solvent Name B: methanol",
            "",
            "-- END PUMP --",
        ]
    )


def _text(lines: list[str]) -> bytes:
    return ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")
