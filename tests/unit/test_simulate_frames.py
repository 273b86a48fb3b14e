import re
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from fabio.compression import decByteOffset
from reference_parsers import cbf_binary

from depositd.simulate import images
from depositd.simulate.bruker_sfrm import bruker_frame
from depositd.simulate.frames import cbf_frame, encode_cbf, full_cbf_frame, marccd_frame, smv_frame
from depositd.simulate.mar345 import mar345_frame
from depositd.simulate.oxford import oxford_frame
from depositd.simulate.raxis import raxis_frame
from depositd.simulate.tiff import tiff_frame

DATE = datetime(2026, 11, 21, 2, 14, 7, 250_000, tzinfo=UTC)


@pytest.mark.parametrize("make", [cbf_frame, full_cbf_frame])
def test_a_cbf_holds_the_pixels_with_their_md5(make):
    binary = cbf_binary(make(3, date=DATE, shape=(60, 50), seed=5))
    pixels = decByteOffset(binary, 3000, "int32").reshape(60, 50)
    assert np.array_equal(pixels, images.frame(3, shape=(60, 50), seed=5))


def test_a_minicbf_header_says_what_a_pilatus_says():
    lines = cbf_frame(11, date=DATE, name="lyso_1", start_angle_deg=90.0, increment_deg=0.25).split(b"\r\n")
    assert lines[0] == b"###CBF: VERSION 1.5, CBFlib v0.7.8 - PILATUS detectors"
    assert b"data_lyso_1_00011" in lines
    assert b"# Detector: PILATUS 300K, S/N 3-0101" in lines
    assert b"# 2026-11-21T02:14:07.250" in lines
    assert b"# Wavelength 0.97630 A" in lines
    assert b"# Detector_distance 0.20000 m" in lines
    assert b"# Start_angle 92.5000 deg." in lines
    assert b"# Angle_increment 0.2500 deg." in lines
    assert b"# Exposure_period 0.1020000 s" in lines


def test_a_full_cbf_has_no_minicbf_comments_but_the_dictionary_items():
    header = full_cbf_frame(1, date=DATE).partition(b"--CIF-BINARY")[0]
    assert b"\r\n#" not in header
    assert b"_diffrn.id SIM-1" in header
    assert b"_diffrn_source.source" in header
    assert b"WAVELENGTH1 0.97630 1.0" in header


def test_an_smv_frame_has_the_size_that_its_header_says():
    frame = smv_frame(2, date=DATE, shape=(64, 48))
    fields = dict(re.findall(r"(\w+)=\s*([^;]*);", frame[:512].decode("ascii")))
    assert frame.startswith(b"{\nHEADER_BYTES=")
    assert len(frame) == int(fields["HEADER_BYTES"]) + int(fields["SIZE1"]) * int(fields["SIZE2"]) * 2
    assert (fields["SIZE1"], fields["SIZE2"]) == ("48", "64")
    assert fields["OSC_START"] == "0.500"
    assert fields["DATE"] == "Sat Nov 21 02:14:07 2026"


def test_a_marccd_frame_has_its_fields_at_the_documented_offsets():
    frame = marccd_frame(3, date=DATE, shape=(64, 48), distance_m=0.15, start_angle_deg=10.0, increment_deg=0.5)

    def integer(offset):
        return struct.unpack_from("<i", frame, offset)[0]

    assert frame.startswith(b"II*\0")
    assert (integer(1104), integer(1108), integer(1112)) == (48, 64, 2)
    assert len(frame) == 4096 + 48 * 64 * 2
    assert integer(1664) == 150_000
    assert (integer(1708), integer(1740), integer(1760)) == (11_000, 11_500, 500)
    assert integer(1932) == 97_630
    assert frame[2368:2400].rstrip(b"\0") == b"112102142026.07"


@pytest.mark.parametrize(
    ("shape", "record_bytes", "records"),
    [((200, 720), 1440, 200), ((100, 100), 2000, 10), ((3, 2), 1400, 1)],
)
def test_an_raxis_frame_is_one_record_of_header_and_the_records_that_it_tells(shape, record_bytes, records):
    frame = raxis_frame(3, date=DATE, shape=shape)
    assert frame.startswith(b"R-AXIS")
    assert struct.unpack_from(">ii", frame, 784) == (record_bytes, records)
    assert struct.unpack_from(">ii", frame, 768) == (shape[1], shape[0])
    assert struct.unpack_from(">ff", frame, 524) == (1.0, 1.5)
    assert struct.unpack_from(">f", frame, 344) == (150.0,)
    assert len(frame) == record_bytes * (1 + records)


def test_a_bruker_frame_counts_itself_and_its_series_and_the_counts_in_its_tables():
    frame = bruker_frame(3, date=DATE, shape=(300, 300), frames=1800, distance_m=0.06)
    fields = {
        frame[at : at + 7].decode().strip(): frame[at + 8 : at + 80].decode().split() for at in range(0, 3200, 80)
    }
    assert fields["NFRAMES"] == ["1800"]
    assert fields["NUMBER"] == ["3"]
    assert fields["CREATED"] == ["21-Nov-2026", "02:14:07"]
    assert float(fields["START"][0]) == 1.0
    assert float(fields["DISTANC"][1]) == 6.0
    none, two_bytes, four_bytes = map(int, fields["NOVERFL"])
    assert (none, four_bytes) == (-1, 0)
    assert two_bytes > 0
    tables_bytes = -(-2 * two_bytes // 16) * 16
    assert len(frame) == 512 * int(fields["HDRBLKS"][0]) + 300 * 300 * int(fields["NPIXELB"][0]) + tables_bytes


def test_a_mar345_frame_gives_its_numbers_twice():
    frame = mar345_frame(3, date=DATE, shape=(50, 50))
    assert struct.unpack_from("<ii", frame, 0) == (1234, 50)
    assert struct.unpack_from("<5i", frame, 32) == (1_541_800, 150_000, 1000, 1500, 0)
    assert b"mar research" in frame[:140]
    assert b"DATE           Sat Nov 21 02:14:07 2026" in frame[:4096]
    assert frame[4096:].lstrip().startswith(b"CCP4 packed image, X: 0050, Y: 0050")


def test_an_oxford_frame_has_the_size_that_its_header_says():
    frame = oxford_frame(3, date=DATE, shape=(300, 300))
    text = frame[:256].decode("ascii")
    said = {key: int(value) for key, value in re.findall(r"(NX|NY|OI|OL|NHEADER)=\s*(\d+)", text)}
    assert text.startswith("OD SAPPHIRE  3.0\r\nCOMPRESSION=TY1")
    assert (said["NX"], said["NY"]) == (300, 300)
    assert said["OI"] > 0
    assert len(frame) == said["NHEADER"] + 300 * 300 + 2 * said["OI"] + 4 * said["OL"]


def test_a_tiff_frame_tells_its_date_and_ends_with_its_only_strip():
    frame = tiff_frame(3, date=DATE, shape=(30, 20))
    assert frame.startswith(b"II*\0")
    assert b"2026:11:21 02:14:07\0" in frame[:512]
    assert len(frame) == 512 + 30 * 20 * 2


def test_a_blank_picture_leaves_the_header_and_the_length_as_they_were():
    encoded = encode_cbf(images.frame(3, shape=(60, 50)))
    whole = cbf_frame(3, date=DATE, shape=(60, 50), encoded=encoded)
    spoilt = cbf_frame(3, date=DATE, shape=(60, 50), encoded=encoded.blank)
    assert whole == cbf_frame(3, date=DATE, shape=(60, 50))
    assert spoilt == whole.replace(encoded.pixels, bytes(len(encoded.pixels)))
    assert spoilt != whole
