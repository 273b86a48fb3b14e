import re
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
import zstandard

from depositd.simulate import agilent_d, bruker_d, sciex

DATE = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)


@pytest.mark.parametrize("frame_bytes", [1, 1000, 16_384])
def test_a_tims_block_begins_with_its_length_and_unpacks_to_the_peaks_of_its_scans(frame_bytes):
    block = bruker_d.tims_block(3, frame_bytes=frame_bytes, seed=1)
    length, scans = struct.unpack_from("<II", block)
    assert (length, scans) == (len(block), bruker_d.SCANS_PER_FRAME)
    planes = zstandard.ZstdDecompressor().decompress(block[8:])
    values = np.frombuffer(planes, "u1").reshape(4, -1).T.copy().view("<u4").ravel()
    assert values[0] == scans
    peaks = max(frame_bytes // 8, 1)
    assert values.size == scans + 2 * peaks
    assert values[1:scans].sum() <= 2 * peaks


def test_tims_blocks_differ_by_picture_and_seed_alone():
    first = bruker_d.tims_block(1, frame_bytes=1000)
    assert first == bruker_d.tims_block(1, frame_bytes=1000)
    assert first != bruker_d.tims_block(2, frame_bytes=1000)
    assert first != bruker_d.tims_block(1, frame_bytes=1000, seed=1)


def test_an_agilent_record_is_laid_out_as_the_schema_beside_it_says():
    peaks = agilent_d.spectrum(2, frame_bytes=1000)
    record = agilent_d.scan_record(5, time_min=0.25, peaks_at=68, peaks=peaks)
    schema = agilent_d.first_files("sim_1")["MSScan.xsd"].decode("utf-8-sig")
    fields = [(name, kind) for name, kind in re.findall(r'name="(\w+)" type="xs:(int|long|double)"', schema)]
    layout = "<" + "".join({"int": "i", "long": "q", "double": "d"}[kind] for _name, kind in fields)
    assert len(record) == struct.calcsize(layout) == agilent_d.SCAN_RECORD_BYTES
    said = dict(zip([name for name, _kind in fields], struct.unpack(layout, record), strict=True))
    assert (said["ScanID"], said["ScanTime"]) == (5, 0.25)
    assert (said["SpectrumOffset"], said["ByteCount"], said["PointCount"]) == (68, len(peaks), 62)
    assert 100 <= said["MinX"] < said["MaxX"] <= 300
    assert said["TIC"] == pytest.approx(np.frombuffer(peaks, "<f8")[62:].sum())


def test_the_head_of_the_scans_says_where_the_first_one_is():
    header = agilent_d.scan_header()
    assert struct.unpack_from("<I", header, 88) == (len(header),)
    assert int.from_bytes(header[:4], "little") == 257


def test_an_agilent_status_changes_one_digit():
    states = [agilent_d.contents_xml(status, date=DATE) for status in (0, 1, 2)]
    assert [re.search(rb"<AcqStatus>(\d)</AcqStatus>", state)[1] for state in states] == [b"0", b"1", b"2"]
    assert len({re.sub(rb"<AcqStatus>\d", b"", state) for state in states}) == 1
    assert b"<AcquiredTime>2026-11-21T02:14:07.000000+00:00<" in states[0]


def test_names_are_escaped_in_xml():
    text = agilent_d.first_files("a<b&c\udcff")["sample_info.xml"].decode("utf-8-sig")
    assert "<Value>a&lt;b&amp;c?</Value>" in text


def test_a_wiff_is_a_compound_file_by_its_signature_and_its_scans_are_a_stub_at_first():
    assert sciex.wiff_bytes().startswith(bytes.fromhex("d0cf11e0a1b11ae1"))
    assert len(sciex.scan_stub()) == 44
    assert any(sciex.scan_stub())
    assert len(sciex.scan_stub() + sciex.scan_header()) > 144
