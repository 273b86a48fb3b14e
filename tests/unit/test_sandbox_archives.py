from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import struct
import tarfile
import zipfile

import pytest
import zstandard

from depositd.sandbox.archives import WrongFormat, examine


def cbf(detector: str = "PILATUS 6M, S/N 60-0100", wavelength: float = 0.97950) -> bytes:
    return (
        f"###CBF: VERSION 1.5\r\n\r\n_array_data.header_contents\r\n;\r\n# Detector: {detector}\r\n"
        f"# Wavelength {wavelength} A\r\n;\r\nX-Binary-Size: 4\r\n\r\n\x0c\x1a\x04"
    ).encode() + b"\xd5abcd"


SMV = b"{\nHEADER_BYTES=  512;\nDETECTOR_SN=901;\nWAVELENGTH=1.0;\nSIZE1=2;\nSIZE2=2;\n}".ljust(512) + bytes(8)
TIFF = b"II*\0" + struct.pack("<I", 8) + bytes(20)
HDF5 = b"\x89HDF\r\n\x1a\n" + bytes(48)


def tar(*contents: bytes, mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:
        for number, content in enumerate(contents):
            entry = tarfile.TarInfo(f"set/{number:05}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def zipped(*contents: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("set/", b"")
        for number, content in enumerate(contents):
            archive.writestr(f"set/{number:05}", content)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.tar", tar(cbf())),
        ("a.tar.gz", tar(cbf(), mode="w:gz")),
        ("a.tgz", tar(cbf(), mode="w:gz")),
        ("a.tar.bz2", tar(cbf(), mode="w:bz2")),
        ("A.TBZ2", tar(cbf(), mode="w:bz2")),
        ("a.zip", zipped(cbf())),
        ("a.tar.zst", zstandard.compress(tar(cbf()))),
        ("a.tgz.zst", zstandard.compress(tar(cbf(), mode="w:gz"))),
        ("a.tar.gz.zst", zstandard.compress(tar(cbf(), mode="w:gz"))),
        ("a.tar.bz2.zst", zstandard.compress(tar(cbf(), mode="w:bz2"))),
        ("a.tbz2.zst", zstandard.compress(tar(cbf(), mode="w:bz2"))),
        ("a.zip.zst", zstandard.compress(zipped(cbf()))),
    ],
)
def test_every_documented_format_is_opened(name, content):
    stored = examine(io.BytesIO(content), name)

    assert stored.inspection.problem is None
    assert stored.inspection.images == 1


def test_what_is_stored_is_the_archive_inside_the_zstd_frames():
    inner = tar(cbf())
    frames = zstandard.compress(inner[:5000]) + zstandard.compress(inner[5000:])

    stored = examine(io.BytesIO(frames), "lyso_1.tar.zst")

    assert (stored.filename, stored.size_bytes, stored.md5) == (
        "lyso_1.tar",
        len(inner),
        hashlib.md5(inner).hexdigest(),
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello"),
        ("a.tar", b"this is not a tar archive, whatever it is called" * 100),
        ("a.tar", b""),
        ("a.tar", tar(cbf(), bytes(100_000))[:51_200]),
        ("a.tar", tar(cbf())[:1536]),
        ("a.tar.gz", tar(cbf(), bytes(100_000), mode="w:gz")[:200]),
        ("a.zip", zipped(cbf())[:-30]),
        ("a.tar.zst", zstandard.compress(tar(cbf()))[:-1]),
        ("a.tar.zst", b"not zstd"),
        ("a.tar.zst", b""),
    ],
)
def test_what_is_no_whole_archive_is_a_wrong_format(name, content):
    with pytest.raises(WrongFormat):
        examine(io.BytesIO(content), name)


@pytest.mark.parametrize("image", [cbf(), SMV, TIFF, HDF5, gzip.compress(cbf()), bz2.compress(SMV)])
def test_images_are_known_by_their_first_bytes_also_compressed(image):
    assert examine(io.BytesIO(tar(image, b"notes")), "a.tar").inspection.images == 1


@pytest.mark.parametrize(
    ("contents", "problem", "details"),
    [
        ([b"notes", bytes(9000)], "error_no_data", "No diffraction images"),
        ([], "error_no_data", "No diffraction images"),
        ([cbf(), b"###CBF: VERSION 1.5\r\n"], "header_not_readable", "1 of 2 images"),
        ([b"{\nHEADER_BYTES=  512;\n}"], "header_not_readable", "1 of 1 images"),
        ([b"II*\0"], "header_not_readable", "1 of 1 images"),
        ([cbf(), cbf("EIGER 2X 16M, S/N 9")], "inconsistent_datasets", "2 detectors"),
        ([cbf(), cbf(wavelength=1.2)], "inconsistent_datasets", "from 0.9795 to 1.2 A"),
    ],
)
def test_what_is_wrong_with_the_images_is_found(contents, problem, details):
    inspection = examine(io.BytesIO(tar(*contents)), "a.tar").inspection

    assert inspection.problem == problem
    assert details in inspection.details


def test_a_wavelength_that_jitters_is_one_dataset():
    inspection = examine(io.BytesIO(tar(cbf(), cbf(wavelength=0.97951))), "a.tar").inspection

    assert inspection.problem is None


@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_pdb_id_in_the_content_is_told(pack):
    assert examine(io.BytesIO(pack(cbf(), b"data_1abc\n")), "a.zip" if pack is zipped else "a.tar").pdb_id == "1ABC"
