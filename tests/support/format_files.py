"""Instrument files as their documents describe them, small enough to be made by the thousand.

They know nothing of depositd's parsers: offsets stand here a second time, on purpose.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct

from depositd.model import FileKind, FileStat, Listing

CLOSING = b"--CIF-BINARY-FORMAT-SECTION----"


def cbf_bytes(number=1, *, start=None, increment=0.1, padding=95, binary=b"\x05" + b"\0" * 599, md5=None, **header):
    said = {
        "Detector": "PILATUS 2M, S/N 24-0107",
        "Exposure_time": "0.0990 s",
        "Exposure_period": "0.1000 s",
        "Wavelength": "0.97950 A",
        "Detector_distance": "0.25000 m",
        "Beam_xy": "(15.50, 10.25) pixels",
        "Start_angle": f"{10 + (number - 1) * increment if start is None else start:.4f} deg.",
        "Angle_increment": f"{increment:.4f} deg.",
        "Pixel_size": "172e-6 m x 172e-6 m",
    } | header
    date = said.pop("date", f"2026-11-21T02:{number // 60 % 60:02}:{number % 60:02}.500")
    mini = "".join(f"# {key}{':' if key == 'Detector' else ''} {value}\r\n" for key, value in said.items())
    md5 = base64.b64encode(hashlib.md5(binary).digest()).decode() if md5 is None else md5
    text = (
        "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors\r\n\r\ndata_x\r\n\r\n"
        '_array_data.header_convention "PILATUS_1.2"\r\n_array_data.header_contents\r\n;\r\n'
        f"# {date}\r\n{mini};\r\n\r\n_array_data.data\r\n;\r\n--CIF-BINARY-FORMAT-SECTION--\r\n"
        'Content-Type: application/octet-stream;\r\n     conversions="x-CBF_BYTE_OFFSET"\r\n'
        f"Content-Transfer-Encoding: BINARY\r\nX-Binary-Size: {len(binary)}\r\nX-Binary-ID: 1\r\n"
        + (f"Content-MD5: {md5}\r\n" if md5 else "")
        + "X-Binary-Size-Fastest-Dimension: 30\r\nX-Binary-Size-Second-Dimension: 20\r\n"
        f"X-Binary-Size-Padding: {padding}\r\n\r\n"
    )
    return text.encode() + b"\x0c\x1a\x04\xd5" + binary + b"\0" * padding + b"\r\n" + CLOSING + b"\r\n;\r\n\r\n"


def smv_bytes(**said):
    items = {
        "HEADER_BYTES": "  512",
        "DIM": "2",
        "TYPE": "unsigned_short",
        "SIZE1": "30",
        "SIZE2": "20",
        "PIXEL_SIZE": "0.1024",
        "WAVELENGTH": "0.9795",
        "DISTANCE": "200.0",
        "OSC_START": "5.0",
        "OSC_RANGE": "0.5",
        "TIME": "1.0",
        "DETECTOR_SN": "911",
        "BEAM_CENTER_X": "102.4",
        "BEAMLINE": "ALS831",
        "DATE": "Tue Jun 26 09:43:09 2007",
    } | said
    text = "{\n" + "".join(f"{key}={value};\n" for key, value in items.items()) + "}\n\f\n"
    return text.encode().ljust(512) + b"\x05\0" * 600


def marccd_bytes(*, width=30, height=20, depth=2):
    head = bytearray(4096)
    head[:4] = b"II*\0"
    struct.pack_into("<3I", head, 1104, width, height, depth)
    struct.pack_into("<i", head, 1664, 250_000)
    struct.pack_into("<3i", head, 1668, 15_500, 10_250, 0)
    struct.pack_into("<i", head, 1680, 1500)
    struct.pack_into("<i", head, 1708, 30_000)
    struct.pack_into("<i", head, 1740, 30_500)
    struct.pack_into("<i", head, 1760, 500)
    struct.pack_into("<i", head, 1796, 79_346)
    struct.pack_into("<i", head, 1932, 97_950)
    head[2368:2383] = b"112102142026.07"
    return bytes(head) + b"\5" * (width * height * depth)


def superblock(version=2, *, flags=0, end=64, size=64):
    head = bytearray(max(size, 64))
    head[:8] = b"\x89HDF\r\n\x1a\n"
    head[8] = version
    at = {0: (20, 40), 1: (20, 44), 2: (11, 28), 3: (11, 28)}.get(version, (11, 28))
    head[at[0]] = flags
    struct.pack_into("<Q", head, at[1], end)
    return bytes(head)


def thermo_bytes(*, version=63, acquiring=0, scans=(1, 33), planned=0.25, ended=0.243, controllers=1, run_header=None):
    def text(value):
        return struct.pack("<I", len(value)) + value.encode("utf-16-le")

    head = bytearray(1356 + 64)
    head[:18] = b"\x01\xa1" + "Finnigan".encode("utf-16-le")
    struct.pack_into("<I", head, 36, version)
    struct.pack_into("<Q", head, 40, 129_115_693_477_810_000)
    row = b"".join(text(value) for value in ("", "", "7", *[""] * 8, "100225.raw", "C:\\Data\\", "", "", ""))
    row += struct.pack("<I", 0) + (b"".join(text("") for _ in range(15)) if version >= 60 else b"")
    row += b"\0" * 24 + text("")
    info = bytearray(2100)
    struct.pack_into("<I8H", info, 0, 1, 2010, 2, 4, 25, 9, 2, 27, 781)
    struct.pack_into("<I", info, 20, acquiring)
    struct.pack_into("<2I", info, 28, controllers, controllers)
    address = len(head) + len(row) + len(info) + 1000 if run_header is None else run_header
    struct.pack_into("<3I" if version < 64 else "<2IQ", info, 36 if version < 64 else 816, 0, 0, address)
    run = bytearray(7600)
    struct.pack_into("<2I", run, 8, *scans)
    struct.pack_into("<2d", run, 72, 0.005, ended)
    struct.pack_into("<d", run, 3720, planned)
    if version < 64:
        struct.pack_into("<I", run, 7396, address)
        struct.pack_into("<2I", run, 7368, address + 7600, address + 8000)
    else:
        struct.pack_into("<Q", run, 7472, address)
        struct.pack_into("<2Q", run, 7448, address + 7600, address + 8000)
    return bytes(head) + row + bytes(info) + b"\1" * 1000 + bytes(run) + b"\2" * 800


def waters_files(*, functions=2, scans=20, points=3, point_bytes=4, run_time="2.50", last_min=2.49):
    files = {
        "_FUNCTNS.INF": b"\0" * 416 * functions,
        "_HEADER.TXT": (
            b"$$ Version: 01.00\r\n$$ Acquired Name: b12\r\n$$ Acquired Date: 20-Sep-2021\r\n"
            b"$$ Acquired Time: 18:09:55\r\n$$ Instrument: XEVO-TQXS\r\n$$ SampleID: blc\r\n"
        ),
        "_INLET.INF": f"Method\r\n Run Time: {run_time} min\r\n".encode(),
    }
    for function in range(1, functions + 1):
        index = b"".join(
            struct.pack(
                "<IIIfIH",
                scan * points * point_bytes,
                points | 0x0800_0000,
                0,
                last_min * (scan + 1) / scans,
                0,
                0,
            )
            for scan in range(scans)
        )
        files[f"_FUNC{function:03}.IDX"] = index
        files[f"_FUNC{function:03}.DAT"] = b"\7" * (scans * points * point_bytes)
    return files


def stat_of(path, size=1000, mtime_s=0.0, kind=FileKind.REGULAR, allocated=None):
    return FileStat(
        path, size, round(mtime_s * 1e9), kind=kind, allocated_bytes=size if allocated is None else allocated
    )


def listing_of(*names, directory="run1", trees=None):
    files = tuple(stat_of(f"{directory}/{name}" if directory else name) for name in sorted(names))
    return Listing(directory, files, trees or {})


def scan_tree(root, directory=""):
    """Return the listing of a real directory, every sub-directory being a tree."""
    files, trees = [], {}
    for entry in sorted(os.scandir(os.path.join(root, directory)), key=lambda entry: entry.name):
        path = f"{directory}/{entry.name}" if directory else entry.name
        if entry.is_dir(follow_symlinks=False):
            members = scan_tree(root, path)
            below = (*members.files, *(file for files_below in members.trees.values() for file in files_below))
            trees[path] = tuple(sorted(below, key=lambda file: file.path))
        else:
            files.append(_lstat(entry, path))
    return Listing(directory, tuple(files), trees)


def _lstat(entry, path):
    status = entry.stat(follow_symlinks=False)
    kind = FileKind.REGULAR if entry.is_file(follow_symlinks=False) else FileKind.FIFO
    kind = FileKind.SYMLINK if entry.is_symlink() else kind
    return FileStat(
        path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_blocks * 512, kind
    )
