"""Instrument files as their documents describe them, small enough to be made by the thousand.

They know nothing of depositd's parsers: offsets stand here a second time, on purpose.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import os
import sqlite3
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


def marccd_bytes(number=1, *, width=30, height=20, depth=2):
    head = bytearray(4096)
    head[:4] = b"II*\0"
    head[1028:1031] = b"MMX"
    struct.pack_into("<3I", head, 1104, width, height, depth)
    struct.pack_into("<i", head, 1664, 250_000)
    struct.pack_into("<3i", head, 1668, 15_500, 10_250, 0)
    struct.pack_into("<i", head, 1680, 1500)
    struct.pack_into("<i", head, 1708, 29_500 + 500 * number)
    struct.pack_into("<i", head, 1740, 30_000 + 500 * number)
    struct.pack_into("<i", head, 1760, 500)
    struct.pack_into("<i", head, 1796, 79_346)
    struct.pack_into("<i", head, 1932, 97_950)
    head[2368:2383] = b"112102142026.07"
    return bytes(head) + b"\5" * (width * height * depth)


PILATUS_DESCRIPTION = (
    "# Pixel_size 172e-6 m x 172e-6 m\r\n# Exposure_time 0.990000 s\r\n# Exposure_period 1.000000 s\r\n"
    "# Wavelength 0.9795 A\r\n# Detector_distance 0.25000 m\r\n# Beam_xy (15.50, 10.25) pixels\r\n"
    "# Start_angle {start:.4f} deg.\r\n# Angle_increment 0.5000 deg.\r\n"
)


def tiff_bytes(
    number=1,
    *,
    order="<",
    big=False,
    directory="end",
    pieces=4,
    tiles=False,
    pages=1,
    width=30,
    height=20,
    model="PILATUS 2M, S/N 24-0107",
    description=None,
    loop=False,
    compression=1,
):
    """A grey image of 16 bits in ``pieces`` strips (or tiles), its directories before or behind the pixels."""
    if description is None:
        description = PILATUS_DESCRIPTION.format(start=4.5 + number / 2)
    word, entry, link = ("Q", "HHQQ", 8) if big else ("I", "HHII", 4)
    header_bytes, pixels = (16 if big else 8), b"\5\1" * (width * height)
    each = len(pixels) // pieces

    def laid_out(at, pixels_at, following):
        offsets = struct.pack(f"{order}{pieces}{word}", *(pixels_at + each * n for n in range(pieces)))
        sizes = struct.pack(f"{order}{pieces}{word}", *([each] * (pieces - 1)), len(pixels) - each * (pieces - 1))
        wide = 16 if big else 4
        text = description.encode() + b"\0"
        tags = {
            256: (4, 1, struct.pack(f"{order}I", width)),
            257: (3, 1, struct.pack(f"{order}H", height)),
            258: (3, 1, struct.pack(f"{order}H", 16)),
            259: (3, 1, struct.pack(f"{order}H", compression)),
            270: (2, len(text), text),
            272: (2, len(model) + 1, model.encode() + b"\0"),
            324 if tiles else 273: (wide, pieces, offsets),
            278: (4, 1, struct.pack(f"{order}I", -(-height // pieces))),
            325 if tiles else 279: (wide, pieces, sizes),
            306: (2, 20, b"2026:11:21 02:14:07\0"),
        }
        table = struct.pack(f"{order}{'Q' if big else 'H'}", len(tags))
        values_at = at + len(table) + len(tags) * (20 if big else 12) + link
        values = b""
        for tag, (kind, count, value) in sorted(tags.items()):
            if len(value) > link:
                where = struct.pack(f"{order}{word}", values_at + len(values))
                values += value + b"\0" * (len(value) % 2)
            else:
                where = value.ljust(link, b"\0")
            table += struct.pack(f"{order}{entry[:3]}", tag, kind, count) + where
        return table + struct.pack(f"{order}{word}", following) + values

    directory_bytes = len(laid_out(0, 0, 0))
    starts = [header_bytes + page * (directory_bytes + len(pixels)) for page in range(pages)]
    at = [start if directory == "start" else start + len(pixels) for start in starts]
    following = [*at[1:], at[0] if loop else 0]
    mark = {("<", False): b"II*\0", (">", False): b"MM\0*", ("<", True): b"II+\0", (">", True): b"MM\0+"}[order, big]
    content = mark + (struct.pack(f"{order}HHQ", 8, 0, at[0]) if big else struct.pack(f"{order}I", at[0]))
    for page, start in enumerate(starts):
        if directory == "start":
            content += laid_out(at[page], start + directory_bytes, following[page]) + pixels
        else:
            content += pixels + laid_out(at[page], start, following[page])
    return content


def raxis_bytes(number=1, *, order=">", host=b"IRIS", width=700, height=20, pixels=None):
    record = max(2 * width, 1400)
    head = bytearray(record)
    head[:7] = b"R-AXIS4"
    head[20:28] = b"lysozyme"
    head[256:266] = b"2026-11-21"
    floats = {292: 0.9795, 344: 250.0, 520: 0.0, 524: 9.5 + number / 2, 528: 10.0 + number / 2, 536: 1.5}
    for offset, value in (floats | {540: 350.5, 544: 10.25, 776: 0.1, 780: 0.1, 796: 8.0}).items():
        struct.pack_into(f"{order}f", head, offset, value)
    for offset, value in {532: number, 768: width, 772: height, 784: record, 788: height}.items():
        struct.pack_into(f"{order}i", head, offset, value)
    head[812 : 812 + len(host)] = host
    return bytes(head) + (b"\0\5" * (record // 2 * height) if pixels is None else pixels)


def bruker_bytes(number=1, *, version=100, width=30, height=20, overflows="2 3 1", pixel_bytes="1 1", **said):
    lines = {
        "FORMAT": str(version),
        "VERSION": "18",
        "HDRBLKS": "15",
        "MODEL": "D8 VENTURE",
        "SAMPLE": "lysozyme",
        "TITLE": "first",
        "NOVERFL": overflows if version == 100 else "2",
        "CREATED": "21-Nov-2026 02:14:07",
        "ELAPSDR": "2.000000",
        "START": f"{9.5 + number / 2:.6f}",
        "INCREME": "0.500000",
        "NUMBER": str(number),
        "NFRAMES": "5",
        "NPIXELB": pixel_bytes,
        "NROWS": f"{height}  {height} 1",
        "NCOLS": f"{width}  {width} 1",
        "CENTER": "15.500000 10.250000 15.500000 10.250000",
        "DISTANC": "24.500000 25.000000",
        "WAVELEN": "0.979500 0.979500 0.979500",
        "DETTYPE": "CMOS-PHOTONII 37.037037 0.425000 0 0.254000 0.050800 1",
        "NEXP": "1 0 32 0 0",
    } | said
    head = "".join(f"{key:<7}:{value:<72}" for key, value in lines.items()).encode()
    head = head.ljust(15 * 512 if lines["HDRBLKS"] == "15" else 5 * 512, b".")
    pixels = b"\5" * (width * height * int(pixel_bytes.split()[0]))
    if version == 86:
        return head + pixels + b"000070000000010" + b"0" + b"  7000100     11"
    tables = [int(count) * size for count, size in zip(overflows.split(), (1, 2, 4), strict=True)]
    return head + pixels + b"".join(b"\7" * size + b"\0" * (-size % 16) for size in tables if size > 0)


def oxford_bytes(number=1, *, packing="TY1", version="3.0", width=80, height=60, short=3, long=2, lines=None):
    sections = (512, 768, 1024, 512, 2048)
    text = (
        f"OD SAPPHIRE  {version}\r\nCOMPRESSION={packing} ( 27.0)\r\n"
        f"NX={width:4} NY={height:4} OI={short:7} OL={long:7} \r\n"
        "NHEADER={:7} NG={:7} NS={:7} NK={:7} NS={:7} NH={:7}\r\n".format(5120, *sections)
        + "NSUPPLEMENT=      0\r\nTIME=Sat Nov 21 02:14:07 2026\r\n"
    )
    head = bytearray(5120)
    head[: len(text)] = text.encode()
    special, goniometer = 256 + 512, 256 + 512 + 768
    struct.pack_into("<i", head, special + 548, 2)
    doubles = {special + 480: 1.5, special + 568: 0.06}
    doubles |= {goniometer + 368 + 8 * axis: 3.14159265358979 / 180 / 100 for axis in range(4)}
    doubles |= {goniometer + 584: 0.9795, goniometer + 664: 40.5, goniometer + 672: 30.25, goniometer + 712: 55.0}
    for offset, value in doubles.items():
        struct.pack_into("<d", head, offset, value)
    struct.pack_into("<4i", head, goniometer + 284, 950 + 50 * number, 0, 0, 0)
    struct.pack_into("<4i", head, goniometer + 324, 1000 + 50 * number, 0, 0, 0)
    if packing == "TY6":
        index = [n * 90 for n in range(height)] if lines is None else lines
        body = struct.pack("<I", 90 * height) + b"\1" * (90 * height) + struct.pack(f"<{len(index)}I", *index)
    else:
        body = b"\x7f" * (width * height) + b"\1\0" * short + b"\1\0\0\0" * long
    return bytes(head) + body


def mar345_bytes(number=1, *, order="<", size=320, high=3, version=1, layout=1, chunk=7, chunks=None):
    """Every chunk of pixels is one of 2**chunk pixels of 8 bits (an index of 5), packed bit after bit."""
    words = (1234, size, high, layout, 1, size * size, 150, 150, 979_500, 250_000)
    words += (9500 + 500 * number, 10_000 + 500 * number, 0, 0, 0, 0)
    lines = ["mar research", "PROGRAM        mar345 4.0", f"DATE           Sat Nov 21 02:{number:02}:07 2026"]
    lines += ["SCANNER        12", "CENTER         X 150.500  Y 149.250", "MODE           TIME", "TIME           60.00"]
    text = "".join(f"{line:<63}\n" for line in [*lines, "REMARK         lysozyme", "END OF HEADER"])
    head = (struct.pack(f"{order}16i", *words) + text.encode()).ljust(4096)
    records = struct.pack(f"{order}2i", 1, 70_000) * high + bytes(8) * (-high % 8)
    name = " V2" if version == 2 else ""
    half = 4 if version == 2 else 3
    count = -(-size * size // (1 << chunk)) if chunks is None else chunks
    opening = chunk | 5 << half
    each = 2 * half + (1 << chunk) * 8
    bits = sum((opening | 0x55 << 2 * half) << each * n for n in range(min(count, 8)))
    eight = bits.to_bytes(each, "little")  # eight chunks end where a byte does
    packed = (eight * (-(-count // 8)))[: -(-count * each // 8)]
    return head + records + f"\nCCP4 packed image{name}, X: {size:04}, Y: {size:04}\n".encode() + packed


def superblock(version=2, *, flags=0, end=64, size=64):
    head = bytearray(max(size, 64))
    head[:8] = b"\x89HDF\r\n\x1a\n"
    head[8] = version
    at = {0: (20, 40), 1: (20, 44), 2: (11, 28), 3: (11, 28)}.get(version, (11, 28))
    head[13 if version in (0, 1) else 9] = 8
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


def write_bruker(directory, *, frames=6, payload=2000, metadata=None, wal=False, spare=b""):
    """Write an ``analysis.tdf`` and its ``analysis.tdf_bin``; frames are (u32 length, u32 scans, compressed)."""
    os.makedirs(directory, exist_ok=True)
    said = {
        "TimsCompressionType": "2",
        "ClosedProperly": "1",
        "AcquisitionDateTime": "2026-11-21T02:14:07.123+01:00",
        "InstrumentName": "timsTOF Pro",
        "InstrumentSerialNumber": "1854321.10042",
        "SampleName": "HeLa 200 ng",
    } | (metadata or {})
    rows, data = [], bytearray(64)
    for number in range(1, frames + 1):
        rows.append((number, number * 0.6, len(data), 700 + number))
        data += struct.pack("<2I", payload + 8, 700 + number) + bytes(range(1, 251)) * (payload // 250)
    with contextlib.closing(sqlite3.connect(os.path.join(directory, "analysis.tdf"))) as database:
        database.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
        database.execute("CREATE TABLE GlobalMetadata (Key TEXT PRIMARY KEY, Value TEXT)")
        database.execute("CREATE TABLE Frames (Id INTEGER PRIMARY KEY, Time REAL, TimsId INTEGER, NumScans INTEGER)")
        database.executemany("INSERT INTO GlobalMetadata VALUES (?, ?)", said.items())
        database.executemany("INSERT INTO Frames VALUES (?, ?, ?, ?)", rows)
        database.commit()
    with open(os.path.join(directory, "analysis.tdf_bin"), "wb") as opened:
        opened.write(bytes(data) + spare)


AGILENT_SCHEMA = b"""\xef\xbb\xbf<?xml version="1.0" encoding="utf-8"?>
<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">
  <xs:element name="MSScanBin"><xs:complexType><xs:sequence>
    <xs:element name="ScanRecord" type="ScanRecordType" minOccurs="0"/>
  </xs:sequence></xs:complexType></xs:element>
  <xs:complexType name="ScanRecordType"><xs:sequence>
    <xs:element name="ScanID" type="xs:int"/>
    <xs:element name="ScanMethodID" type="xs:int"/>
    <xs:element name="ScanTime" type="xs:double"/>
    <xs:element name="TIC" type="xs:double"/>
    <!-- <xs:element name="ChargeState" type="xs:int" minOccurs="0"/> -->
    <xs:element name="SpectrumParamValues" type="SpectrumParamsType" maxOccurs="unbounded"/>
  </xs:sequence></xs:complexType>
  <xs:complexType name="SpectrumParamsType"><xs:sequence>
    <xs:element name="SpectrumFormatID" type="xs:int"/>
    <xs:element name="SpectrumOffset" type="xs:long"/>
    <xs:element name="ByteCount" type="xs:int"/>
    <xs:element name="PointCount" type="xs:int"/>
  </xs:sequence></xs:complexType>
</xs:schema>"""


def agilent_files(*, status=2, scans=50, planned=None, spectra=1, spectrum_bytes=400, data="MSPeak.bin"):
    """Return the files of a MassHunter ``.d`` by their path in it."""
    head = bytearray(160)
    struct.pack_into("<I", head, 0, 257)
    struct.pack_into("<I", head, 88, 160)
    records = b""
    for scan in range(scans):
        records += struct.pack("<2i2d", scan + 1, 1, 0.01 * (scan + 1), 1e6)
        for spectrum in range(spectra):
            at = 68 + (scan * spectra + spectrum) * spectrum_bytes
            records += struct.pack("<iq2i", 1, at, spectrum_bytes, 50)
    contents = f"""\ufeff<?xml version="1.0" encoding="utf-8"?>
<Contents>
  <Version>3</Version>
  <AcquiredTime>2026-11-21T02:14:07.8446838-05:00</AcquiredTime>
  <!--AcqStatus (0 = Init / 1 = Start / 2 = End)-->
  <AcqStatus>{status}</AcqStatus>
  <InstrumentName>6546 Q-TOF &amp; LC</InstrumentName>
</Contents>"""
    segments = f"<TimeSegments><NumOfScans>{scans if planned is None else planned}</NumOfScans></TimeSegments>"
    device = "<Devices><Device><Name>QTOF</Name><SerialNumber>SG1839D002</SerialNumber></Device></Devices>"
    sample = "<SampleInfo><Field><Name>Sample Name</Name><Value>HeLa</Value></Field></SampleInfo>"
    return {
        "AcqData/Contents.xml": contents.encode(),
        "AcqData/Devices.xml": device.encode(),
        "AcqData/MSScan.bin": bytes(head) + records,
        "AcqData/MSScan.xsd": AGILENT_SCHEMA,
        "AcqData/MSTS.xml": segments.encode(),
        "AcqData/sample_info.xml": sample.encode(),
        f"AcqData/{data}": struct.pack("<I", 259 if data == "MSPeak.bin" else 258).ljust(68, b"\0")
        + b"\7" * (scans * spectra * spectrum_bytes),
        "AcqData/Method.m/acqmeth.txt": b"method",
    }


def compound_bytes(*, sectors=127, shift=9):
    """Return a compound file (MS-CFB) of so many sectors: one of them its table, the others one stream."""
    size = 1 << shift
    head = bytearray(size)
    head[:8] = bytes.fromhex("d0cf11e0a1b11ae1")
    struct.pack_into("<5H", head, 24, 0x3E, 3 if shift == 9 else 4, 0xFFFE, shift, 6)
    struct.pack_into("<2I", head, 44, 1, 1)
    struct.pack_into("<109I", head, 76, 0, *[0xFFFFFFFF] * 108)
    chain = [0xFFFFFFFD, *range(2, sectors), 0xFFFFFFFE]
    table = struct.pack(f"<{size // 4}I", *chain, *[0xFFFFFFFF] * (size // 4 - sectors))
    return bytes(head) + table + b"\5" * size * (sectors - 1)


def sciex_files(name="lyso_1"):
    return {f"{name}.wiff": compound_bytes(), f"{name}.wiff.scan": b"\3" * 5000, f"{name}.timeseries.data": b"\4" * 900}


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
