"""Frame files, byte by byte as detectors write them: miniCBF, full CBF, ADSC SMV, marCCD.

``number`` counts from 1.  ``start_angle_deg`` is that of frame 1; frame *n* starts at
``start_angle_deg + (n - 1) * increment_deg``.  ``date`` is when this frame's exposure began and is written
as it is given, without a time zone, as detectors do.  Wavelengths are in Ångström, distances in metres.
``encoded`` is the picture where it was encoded before; by default it is that of ``number``, ``shape`` and ``seed``.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from datetime import datetime

from depositd.simulate import images

_BINARY_STARTS = b"\x0c\x1a\x04\xd5"
_BINARY_ENDS = b"\r\n--CIF-BINARY-FORMAT-SECTION----\r\n;\r\n\r\n"
_PADDING_BYTES = 4095
_PIXEL_M = 172e-6


def cbf_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (195, 487),
    seed: int = 0,
    name: str = "sim_1",
    detector: str = "PILATUS 300K, S/N 3-0101",
    wavelength_A: float = 0.9763,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.2,
    exposure_s: float = 0.1,
    period_s: float = 0.102,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.1,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return a miniCBF file as a Pilatus writes it (header convention PILATUS_1.2)."""
    start_deg = start_angle_deg + (number - 1) * increment_deg
    lines = [
        "###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors",
        "",
        f"data_{name}_{number:05d}",
        "",
        '_array_data.header_convention "PILATUS_1.2"',
        "_array_data.header_contents",
        ";",
        f"# Detector: {detector}",
        f"# {date.replace(tzinfo=None).isoformat(timespec='milliseconds')}",
        "# Pixel_size 172e-6 m x 172e-6 m",
        "# Silicon sensor, thickness 0.000320 m",
        f"# Exposure_time {exposure_s:.7f} s",
        f"# Exposure_period {period_s:.7f} s",
        "# Tau = 124.0e-09 s",
        "# Count_cutoff 1048574 counts",
        "# Threshold_setting: 6350 eV",
        "# Gain_setting: mid gain (vrf = -0.200)",
        f"# N_excluded_pixels = {min(10, shape[0] * shape[1] // 1000)}",
        "# Excluded_pixels: badpix_mask.tif",
        "# Flat_field: (nil)",
        "# Trim_file: simulated_vrf_m0p20.bin",
        "# Image_path: /ramdisk/simulated/",
        f"# Wavelength {wavelength_A:.5f} A",
        f"# Detector_distance {distance_m:.5f} m",
        f"# Beam_xy ({shape[1] / 2:.2f}, {shape[0] / 2:.2f}) pixels",
        "# Flux 0.000000",
        "# Filter_transmission 1.0000",
        f"# Start_angle {start_deg:.4f} deg.",
        f"# Angle_increment {increment_deg:.4f} deg.",
        "# Detector_2theta 0.0000 deg.",
        "# Polarization 0.990",
        f"# Phi {start_deg:.4f} deg.",
        f"# Phi_increment {increment_deg:.4f} deg.",
        "# Oscillation_axis PHI",
        "# N_oscillations 1",
        ";",
        "",
    ]
    encoded = encoded or encode_cbf(images.frame(number, shape=shape, seed=seed))
    return _cbf("\r\n".join(lines), encoded)


def full_cbf_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (195, 487),
    seed: int = 0,
    name: str = "sim_1",
    source: str = "Simulated Light Source",
    beamline: str = "SIM-1",
    detector: str = "PILATUS 300K",
    wavelength_A: float = 0.9763,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.2,
    exposure_s: float = 0.1,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.1,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return an imgCIF file with the categories of the CIF dictionary (``_diffrn.id`` and so on)."""
    start_deg = start_angle_deg + (number - 1) * increment_deg
    blocks = [
        f"###CBF: VERSION 1.5\r\n\r\ndata_{name}_{number:05d}\r\n",
        f"_diffrn.id {beamline}\r\n_diffrn.crystal_id xtal001\r\n",
        _loop("diffrn_source", {"diffrn_id": beamline, "source": "synchrotron", "type": f"'{source} {beamline}'"}),
        _loop("diffrn_radiation", {"diffrn_id": beamline, "wavelength_id": "WAVELENGTH1", "monochromator": "'Si 111'"}),
        _loop("diffrn_radiation_wavelength", {"id": "WAVELENGTH1", "wavelength": f"{wavelength_A:.5f}", "wt": "1.0"}),
        _loop("diffrn_detector", {"diffrn_id": beamline, "id": "D1", "type": f"'{detector}'", "number_of_axes": "1"}),
        _loop(
            "diffrn_measurement",
            {"diffrn_id": beamline, "id": "GONIOMETER", "sample_detector_distance": f"{distance_m * 1000:.3f}"},
        ),
        _loop(
            "diffrn_scan",
            {
                "id": "SCAN1",
                "frame_id_start": "FRAME1",
                "date_start": date.replace(tzinfo=None).isoformat(timespec="milliseconds"),
                "integration_time": f"{exposure_s:.6f}",
            },
        ),
        _loop(
            "diffrn_scan_frame",
            {
                "scan_id": "SCAN1",
                "frame_id": f"FRAME{number}",
                "frame_number": str(number),
                "integration_time": f"{exposure_s:.6f}",
                "date": date.replace(tzinfo=None).isoformat(timespec="milliseconds"),
            },
        ),
        _loop(
            "diffrn_scan_frame_axis",
            {
                "frame_id": f"FRAME{number}",
                "axis_id": "GONIOMETER_PHI",
                "angle": f"{start_deg:.4f}",
                "angle_increment": f"{increment_deg:.4f}",
            },
        ),
        _loop(
            "array_element_size",
            {"array_id": "ARRAY1", "index": "1", "size": f"{_PIXEL_M:.6e}"},
            {"array_id": "ARRAY1", "index": "2", "size": f"{_PIXEL_M:.6e}"},
        ),
    ]
    encoded = encoded or encode_cbf(images.frame(number, shape=shape, seed=seed))
    return _cbf("\r\n".join(blocks), encoded)


def smv_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    detector_serial: str = "999",
    beamline: str = "SIM-1",
    wavelength_A: float = 0.9763,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.2,
    exposure_s: float = 1.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return an ADSC frame: a text header of 512 bytes, then unsigned 16-bit counts, little-endian."""
    start_deg = start_angle_deg + (number - 1) * increment_deg
    pixel_mm = 0.1024
    fields = {
        "HEADER_BYTES": "  512",
        "DIM": "2",
        "BYTE_ORDER": "little_endian",
        "TYPE": "unsigned_short",
        "SIZE1": str(shape[1]),
        "SIZE2": str(shape[0]),
        "PIXEL_SIZE": f"{pixel_mm:.5f}",
        "BIN": "2x2",
        "DETECTOR_SN": detector_serial,
        "BEAMLINE": beamline,
        "DATE": date.strftime("%a %b %d %H:%M:%S %Y"),
        "TIME": f"{exposure_s:.2f}",
        "DISTANCE": f"{distance_m * 1000:.2f}",
        "OSC_RANGE": f"{increment_deg:.3f}",
        "PHI": f"{start_deg:.3f}",
        "OSC_START": f"{start_deg:.3f}",
        "TWOTHETA": "0.000",
        "AXIS": "phi",
        "WAVELENGTH": f"{wavelength_A:.5f}",
        "BEAM_CENTER_X": f"{shape[1] * pixel_mm / 2:.2f}",
        "BEAM_CENTER_Y": f"{shape[0] * pixel_mm / 2:.2f}",
    }
    header = "{\n" + "".join(f"{key}={value};\n" for key, value in fields.items()) + "}\f"
    encoded = encoded or encode_smv(images.frame(number, shape=shape, seed=seed))
    return header.encode("ascii").ljust(512) + encoded.pixels


def encode_smv(image: images.Image) -> images.Encoded:
    """Return counts as 16 bits on a pedestal of 40."""
    return images.Encoded(images.positive(image, offset=40).tobytes())


def marccd_frame(
    number: int,
    *,
    date: datetime,
    shape: tuple[int, int] = (256, 256),
    seed: int = 0,
    wavelength_A: float = 0.9763,  # noqa: N803 - the unit's own spelling
    distance_m: float = 0.2,
    exposure_s: float = 1.0,
    start_angle_deg: float = 0.0,
    increment_deg: float = 0.5,
    encoded: images.Encoded | None = None,
) -> bytes:
    """Return a marCCD frame: a TIFF directory, the MarCCD header at 1024, 16-bit counts at 4096.

    Source of the offsets: the header ``frame_header_type`` as mar documents it, here relative to the file.
    """
    rows, columns = shape
    start_mdeg = round((start_angle_deg + (number - 1) * increment_deg) * 1000)
    increment_mdeg = round(increment_deg * 1000)
    header = bytearray(4096)
    _put_tiff_directory(header, rows, columns)
    integers = {
        1024: 2,  # header type
        1044: 1,  # major version
        1052: 1234,  # byte order of the header
        1056: 1234,  # byte order of the data
        1060: 3072,  # header size
        1064: 1,  # frame type
        1104: columns,
        1108: rows,
        1112: 2,  # bytes per pixel
        1116: columns * 2,
        1120: 16,  # significant bits
        1128: 65_535,  # saturated value
        1132: number,
        1136: 1,  # images in the file
        1664: round(distance_m * 1e6),
        1668: columns * 500,  # beam centre, 1e-3 pixels
        1672: rows * 500,
        1676: round(exposure_s * 1000),
        1680: round(exposure_s * 1000),
        1708: start_mdeg,
        1720: round(distance_m * 1e6),
        1740: start_mdeg + increment_mdeg,
        1756: 4,  # rotation axis: phi
        1760: increment_mdeg,
        1796: 79_000,  # pixel size, nm
        1800: 79_000,
        1932: round(wavelength_A * 1e5),
    }
    for offset, value in integers.items():
        struct.pack_into("<i", header, offset, value)
    header[1028:1031] = b"MMX"
    stamp = date.strftime("%m%d%H%M%Y.%S").encode("ascii")
    header[2368 : 2368 + len(stamp)] = stamp
    encoded = encoded or encode_marccd(images.frame(number, shape=shape, seed=seed))
    return bytes(header) + encoded.pixels


def encode_marccd(image: images.Image) -> images.Encoded:
    """Return counts as 16 bits on a pedestal of 10."""
    return images.Encoded(images.positive(image, offset=10).tobytes())


def encode_cbf(image: images.Image) -> images.Encoded:
    """Return a binary section: an image, byte-offset compressed, between its description with its MD5 and its end."""
    from fabio.compression import compByteOffset

    binary: bytes = compByteOffset(image)
    section = [
        "",
        "_array_data.data",
        ";",
        "--CIF-BINARY-FORMAT-SECTION--",
        "Content-Type: application/octet-stream;",
        '     conversions="x-CBF_BYTE_OFFSET"',
        "Content-Transfer-Encoding: BINARY",
        f"X-Binary-Size: {len(binary)}",
        "X-Binary-ID: 1",
        'X-Binary-Element-Type: "signed 32-bit integer"',
        "X-Binary-Element-Byte-Order: LITTLE_ENDIAN",
        # MD5 is what the format has; it guards against accidents only
        f"Content-MD5: {base64.b64encode(hashlib.md5(binary, usedforsecurity=False).digest()).decode('ascii')}",
        f"X-Binary-Number-of-Elements: {image.size}",
        f"X-Binary-Size-Fastest-Dimension: {image.shape[1]}",
        f"X-Binary-Size-Second-Dimension: {image.shape[0]}",
        f"X-Binary-Size-Padding: {_PADDING_BYTES}",
        "",
        "",
    ]
    before = "\r\n".join(section).encode("ascii") + _BINARY_STARTS
    return images.Encoded(binary, before, bytes(_PADDING_BYTES) + _BINARY_ENDS)


def _cbf(header: str, encoded: images.Encoded) -> bytes:
    text = header.encode("utf-8", "surrogateescape")
    return b"".join([text, encoded.before, encoded.pixels, encoded.after])


def _loop(category: str, *rows: dict[str, str]) -> str:
    """Return a CIF loop; all rows have the keys of the first."""
    keys = [f"_{category}.{key}" for key in rows[0]]
    return "\r\n".join(["loop_", *keys, *(" ".join(row.values()) for row in rows), ""])


def _put_tiff_directory(header: bytearray, rows: int, columns: int) -> None:
    """Write the TIFF magic and a directory of one strip of 16-bit grey values at 4096."""
    short, long = 3, 4
    entries = [
        (256, long, columns),
        (257, long, rows),
        (258, short, 16),
        (259, short, 1),  # not compressed
        (262, short, 1),  # black is zero
        (273, long, 4096),
        (277, short, 1),
        (278, long, rows),
        (279, long, rows * columns * 2),
    ]
    struct.pack_into("<2sHIH", header, 0, b"II", 42, 8, len(entries))
    for index, (tag, kind, value) in enumerate(entries):
        struct.pack_into("<HHII", header, 10 + 12 * index, tag, kind, 1, value)
