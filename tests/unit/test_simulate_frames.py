import re
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
from fabio.compression import decByteOffset
from reference_parsers import cbf_binary

from depositd.simulate import images
from depositd.simulate.frames import cbf_frame, full_cbf_frame, marccd_frame, smv_frame

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
