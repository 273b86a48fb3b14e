from __future__ import annotations

import struct

import pytest

from depositd.sandbox.images import Findings, pdb_id_in


def cbf(detector: str = "PILATUS 6M, S/N 60-0100", wavelength: float = 0.97950, columns: int = 2463) -> bytes:
    return (
        f"###CBF: VERSION 1.5\r\n\r\ndata_lyso_1_00001\r\n\r\n_array_data.header_contents\r\n;\r\n"
        f"# Detector: {detector}\r\n# Wavelength {wavelength} A\r\n;\r\nX-Binary-Size: 4\r\n"
        f"X-Binary-Size-Fastest-Dimension: {columns}\r\nX-Binary-Size-Second-Dimension: 2527\r\n\r\n\x0c\x1a\x04"
    ).encode() + b"\xd5abcd"


def smv(wavelength: float = 1.0, columns: int = 3072) -> bytes:
    header = f"{{\nHEADER_BYTES=  512;\nDETECTOR_SN=901;\nWAVELENGTH={wavelength};\nSIZE1={columns};\nSIZE2=3072;\n}}"
    return header.encode().ljust(512)


def mar_ccd(wavelength: float = 1.0) -> bytes:
    head = bytearray(4096)
    head[:8] = b"II*\0" + struct.pack("<I", 8)
    head[1028:1034] = b"MARCCD"
    struct.pack_into("<i", head, 1932, round(wavelength * 1e5))
    return bytes(head)


OTHERS = {
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(48), b"\x89HDF\r\n\x1a\n\x09"),
    "R-AXIS": (b"R-AXIS7".ljust(1024, b"\0"), b"R-AXIS7"),
    "Bruker": (b"FORMAT :86   NROWS  :1024   NCOLS  :1024", b"FORMAT :86"),
    "Oxford": (b"OD SAPPHIRE  4.0\r\nCOMPRESSION=TY1\r\nNX=1024 NY=1024", b"OD SAPPHIRE  4.0"),
    "MAR345": (struct.pack("<2i", 1234, 2300), struct.pack("<2i", 1234, 0)),
    "SMV": (smv(), b"{\nHEADER_BYTES=  512;\n}"),
    "TIFF": (b"MM\0*" + struct.pack(">I", 8), b"II*\0" + struct.pack("<I", 0)),
}


def found(*heads: bytes, names: tuple[str, ...] = ()) -> Findings:
    findings = Findings()
    for number, head in enumerate(heads):
        findings.add(names[number] if names else f"set/{number:05}", head)
    return findings


@pytest.mark.parametrize("kind", OTHERS)
def test_a_header_of_each_kind_is_read_or_is_not(kind):
    good, bad = OTHERS[kind]

    assert found(good).inspection().problem is None
    assert found(good, bad).inspection().problem == "header_not_readable"


@pytest.mark.parametrize(
    ("heads", "details"),
    [
        ((cbf(), cbf("EIGER 2X 16M, S/N 9")), "2 detectors: EIGER 2X 16M, S/N 9, PILATUS 6M"),
        ((cbf(), cbf(wavelength=1.2)), "different wavelengths, from 0.9795 to 1.2 A"),
        ((cbf(wavelength=1.2), cbf(), cbf(wavelength=1.0)), "different wavelengths, from 0.9795 to 1.2 A"),
        ((cbf(), cbf(columns=1475)), "2 sizes: 1475 x 2527, 2463 x 2527"),
        ((smv(), smv(columns=1536)), "2 sizes: 1536 x 3072, 3072 x 3072"),
        ((smv(), smv(1.5)), "different wavelengths, from 1 to 1.5 A"),
        ((mar_ccd(), mar_ccd(1.5)), "different wavelengths, from 1 to 1.5 A"),
        ((cbf(), smv(0.9795)), "2 formats: CBF, SMV"),
    ],
)
def test_images_that_do_not_match_are_several_datasets(heads, details):
    inspection = found(*heads).inspection()

    assert inspection.problem == "inconsistent_datasets"
    assert details in inspection.details


def test_images_that_match_are_one_dataset_with_whatever_lies_beside_them():
    inspection = found(cbf(), cbf(wavelength=0.97951), b"notes", b"\x89PNG").inspection()

    assert (inspection.problem, inspection.details, inspection.images) == (None, None, 2)


PDB = b"HEADER    HYDROLASE                               21-NOV-26   1ABC              \nTITLE     X\n"


@pytest.mark.parametrize(
    ("name", "head", "pdb_id"),
    [
        ("model", b"data_1ABC\n#\n_entry.id   1ABC\n", "1ABC"),
        ("model", b"# by hand\n_entry.id '2xyz'\n", "2XYZ"),
        ("model", PDB, "1ABC"),
        ("image", b"###CBF: VERSION 1.5\r\n\r\ndata_3abc\r\n", "3ABC"),
        ("set/1abc.cif", b"", "1ABC"),
        ("set/pdb1abc.ent", b"", "1ABC"),
        ("1abc-sf.cif", b"", "1ABC"),
        ("image", b"###CBF: VERSION 1.5\r\n\r\ndata_lyso_1_00001\r\n", None),
        ("set/1abc.cbf", b"###CBF: VERSION 1.5\r\n", None),  # the name of a frame says nothing
        ("lyso_100K/00001.img", smv(), None),
        ("notes", b"data_1800\n", None),
    ],
)
def test_a_pdb_id_is_detected_in_the_content(name, head, pdb_id):
    assert found(head, names=(name,)).pdb_id == pdb_id


def test_members_that_name_several_entries_name_none():
    assert found(b"data_1ABC\n", b"data_1ABC\n").pdb_id == "1ABC"
    assert found(b"data_1ABC\n", b"data_2ABC\n").pdb_id is None


def test_the_name_of_an_archive_is_looked_at_too():
    assert (pdb_id_in("dataset_1abc.tar"), pdb_id_in("lyso_1800.tar")) == ("1ABC", None)
