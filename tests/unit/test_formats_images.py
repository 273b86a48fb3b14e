import base64
import bz2
import gzip
import hashlib
import io
import lzma

import pytest
import zstandard
from format_files import (
    bruker_bytes,
    cbf_bytes,
    mar345_bytes,
    marccd_bytes,
    oxford_bytes,
    raxis_bytes,
    smv_bytes,
    tiff_bytes,
)
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import frame_probe, smv, unpackers

WHOLE = {
    "cbf": cbf_bytes(),
    "smv": smv_bytes(),
    "marccd": marccd_bytes(),
    "tiff": tiff_bytes(),
    "bigtiff": tiff_bytes(big=True, order=">", directory="start", pages=3),
    "raxis": raxis_bytes(),
    "bruker": bruker_bytes(overflows="0 0 4"),
    "bruker 86": bruker_bytes(version=86, pixel_bytes="1"),
    "oxford ty1": oxford_bytes(),
    "oxford ty6": oxford_bytes(packing="TY6", version="4.0"),
    "mar345": mar345_bytes(),
}
PACK = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress, "zst": zstandard.compress}


def packed_probe(content, compression):
    return frame_probe.probe_stream(io.BytesIO(content), compression)


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_frame_has_no_problem(kind):
    assert frame_probe.probe_bytes(WHOLE[kind]).problem is None


def test_facts_of_a_cbf():
    assert frame_probe.probe_bytes(cbf_bytes(3)).facts == {
        "kind": "CBF",
        "detector": "PILATUS 2M",
        "detector_serial": "24-0107",
        "date": "2026-11-21T02:00:03.500",
        "wavelength_A": 0.9795,
        "distance_mm": 250.0,
        "exposure_s": 0.099,
        "frame_period_s": 0.1,
        "start_angle_deg": 10.2,
        "increment_deg": 0.1,
        "beam_x_px": 15.5,
        "beam_y_px": 10.25,
        "pixel_x_um": 172.0,
        "width_px": 30,
        "height_px": 20,
    }


def test_of_lines_with_the_same_key_the_first_counts_and_what_is_no_number_is_left_out():
    twice = cbf_bytes(
        1, Wavelength="1.0 A\r\n# Wavelength 2.0 A\r\n# 2001-01-01T00:00:00.000", Start_angle="1e9999 deg."
    )
    facts = frame_probe.probe_bytes(twice).facts
    assert (facts["wavelength_A"], facts["date"]) == (1.0, "2026-11-21T02:00:01.500")
    assert "start_angle_deg" not in facts
    assert "start_angle_deg" not in frame_probe.probe_bytes(cbf_bytes(1, Start_angle="nil")).facts


def test_a_line_of_any_length_is_kept_short():
    facts = frame_probe.probe_bytes(cbf_bytes(1, Detector="x" * 7000)).facts
    assert len(facts["detector"]) == 200


def test_the_facts_of_one_frame_are_not_those_of_the_next():
    first, second = (frame_probe.probe_bytes(cbf_bytes(number)).facts for number in (1, 2))
    first["wavelength_A"] = 9.0
    assert (second["wavelength_A"], second["start_angle_deg"]) == (0.9795, 10.1)
    assert frame_probe.probe_bytes(cbf_bytes(3)).facts["wavelength_A"] == 0.9795


def test_facts_of_an_smv():
    facts = frame_probe.probe_bytes(smv_bytes()).facts
    assert facts["date"] == "2007-06-26T09:43:09"
    assert (facts["start_angle_deg"], facts["increment_deg"], facts["exposure_s"]) == (5.0, 0.5, 1.0)
    assert (facts["beam_x_px"], facts["pixel_x_um"], facts["detector_serial"]) == (1000.0, 102.4, "911")
    assert facts["header_beamline"] == "ALS831"


def test_facts_of_a_marccd():
    facts = frame_probe.probe_bytes(marccd_bytes()).facts
    assert facts["date"] == "2026-11-21T02:14:07"
    assert (facts["wavelength_A"], facts["distance_mm"], facts["exposure_s"]) == (0.9795, 250.0, 1.5)
    assert (facts["start_angle_deg"], facts["increment_deg"], facts["pixel_x_um"]) == (30.0, 0.5, 79.346)


@pytest.mark.parametrize(
    "kind", ["smv", "marccd", "bigtiff", "raxis", "bruker", "bruker 86", "oxford ty1", "oxford ty6"]
)
@pytest.mark.parametrize("cut", [1, 2, 600])
def test_a_frame_cut_anywhere_in_its_pixels_says_how_much_is_lacking(kind, cut):
    probe = frame_probe.probe_bytes(WHOLE[kind][:-cut])
    assert probe.problem == f"ends {cut} {'byte' if cut == 1 else 'bytes'} early"
    assert probe.retry


@pytest.mark.parametrize("kind", sorted(WHOLE.keys() - {"cbf"}))
@given(data=st.data())
def test_a_frame_cut_anywhere_is_not_whole_and_may_still_come(kind, data):
    probe = frame_probe.probe_bytes(WHOLE[kind][: data.draw(st.integers(0, len(WHOLE[kind]) - 1))])
    assert probe.problem is not None
    assert probe.retry


@given(st.integers(0, len(WHOLE["cbf"]) - len(b"\r\n;\r\n\r\n") - 1))
def test_a_cbf_cut_anywhere_is_not_whole(length):
    probe = frame_probe.probe_bytes(WHOLE["cbf"][:length])
    assert probe.problem is not None
    assert probe.retry


@pytest.mark.parametrize("padding", [0, 1, 4095, 60_000])
def test_a_cbf_may_pad_its_binary_section(padding):
    whole = cbf_bytes(padding=padding)
    assert frame_probe.probe_bytes(whole).problem is None
    assert frame_probe.probe_bytes(whole[:-20]).problem == "ends without the closing line of its binary section"


def test_a_header_longer_than_the_first_read_is_read_on():
    long = cbf_bytes(Image_path="/dls/" + "x" * 40_000)
    assert len(long) > frame_probe.HEAD_BYTES + 600
    assert frame_probe.probe_bytes(long).problem is None
    assert frame_probe.probe_bytes(long[: frame_probe.HEAD_BYTES]).problem == "ends inside its header"


def test_a_full_cbf_without_a_mini_header_tells_its_wavelength():
    full = (
        WHOLE["cbf"]
        .replace(b"# ", b"#-")
        .replace(b"_array_data.data\r\n", b"_diffrn_radiation_wavelength.wavelength 1.0332\r\n_array_data.data\r\n")
    )
    assert frame_probe.probe_bytes(full).facts["wavelength_A"] == 1.0332


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"", "is empty"),
        (b"\0" * 9000, "no signature of a CBF, SMV, marCCD, TIFF, R-AXIS, Bruker, Oxford or MAR345 image"),
        (b"<html>", "no signature"),
        (b"RAXIS" + b" " * 9000, "no possible numbers of pixels and records"),
        (b"OD SAPPHIRE  3.0\r\n" + b" " * 9000, "impossible NHEADER of 0"),
        (b"FORMAT :100" + b" " * 9000, "no possible HDRBLKS"),
        (b"\xd2\x04\0\0" + b"\0" * 60 + b"mar research" + b"\0" * 9000, "impossible size of 0 x 0 pixels"),
        (b"\xd2\x04\0\0" + b"\0" * 9000, "no signature"),
        (b"II*\0" + b"\0" * 9000, "no image directory yet"),
        (b"###CBF: x" + b"\n" * 100, "ends inside its header"),
        (b"###CBF: x" + b"\n" * (1 << 20), "no binary section in its first"),
        (b"###CBF: x\n\x0c\x1a\x04\xd5", "does not say X-Binary-Size"),
        (b"{\nHEADER_BYTES=9999999;", "impossible HEADER_BYTES"),
        (b"{\nHEADER_BYTES=512;\n}".ljust(512), "does not say SIZE1"),
    ],
)
def test_what_is_no_whole_frame_says_why(head, said):
    assert said in frame_probe.probe_bytes(head).problem


def test_an_unknown_pixel_type_is_no_guess():
    assert "unknown TYPE 'mad'" in frame_probe.probe_bytes(smv_bytes(TYPE="mad")).problem


@pytest.mark.parametrize(("type_name", "size"), [("unsigned_short", 2), ("unsigned short int", 2), ("long_integer", 4)])
def test_pixel_types_of_several_writers(type_name, size):
    header = smv.parse(smv_bytes(TYPE=type_name), lambda _offset, _count: b"")
    assert header.whole_bytes == 512 + 600 * size


# compressed frames


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("kind", WHOLE)
def test_a_compressed_frame_says_the_same_as_a_plain_one(kind, compression):
    assert packed_probe(PACK[compression](WHOLE[kind]), compression) == frame_probe.probe_bytes(WHOLE[kind])


@pytest.mark.parametrize("compression", PACK)
def test_a_frame_larger_than_any_buffer_is_followed_to_its_end(compression):
    large = cbf_bytes(binary=bytes(range(256)) * 8192, padding=4095)
    assert packed_probe(PACK[compression](large), compression).problem is None
    assert packed_probe(PACK[compression](large[:-20]), compression).problem is not None
    assert "early" in packed_probe(PACK[compression](large[:-9000]), compression).problem


@pytest.mark.parametrize("compression", PACK)
@given(data=st.data())
def test_a_compressed_stream_cut_anywhere_is_not_whole(compression, data):
    packed = PACK[compression](WHOLE["cbf"])
    probe = packed_probe(packed[: data.draw(st.integers(2, len(packed) - 1))], compression)
    assert probe.problem is not None
    assert probe.retry


def test_a_flipped_bit_fails_the_streams_own_checksum():
    packed = bytearray(gzip.compress(WHOLE["cbf"]))
    packed[-6] ^= 1
    assert "damaged gzip stream" in packed_probe(bytes(packed), "gz").problem


def test_a_frame_that_expands_without_end_is_given_up():
    bomb = gzip.compress(WHOLE["marccd"] + b"\0" * (1 << 22))
    assert "expands to more than" in frame_probe.probe_stream(io.BytesIO(bomb), "gz", most_bytes=1 << 20).problem


# the frame's own checksum, told block by block


def check(content, name="x_1.cbf", block=997):
    checking = frame_probe.content_check(name)
    for start in range(0, len(content), block):
        checking.update(memoryview(content)[start : start + block])
    return checking.problem()


@pytest.mark.parametrize("block", [1, 7, 997, 1 << 20])
def test_content_md5_is_checked_whatever_the_blocks(block):
    assert check(WHOLE["cbf"], block=block) is None
    assert "Content-MD5" in check(cbf_bytes(md5="AAAAAAAAAAAAAAAAAAAAAA=="), block=block)


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("block", [1, 997, 1 << 20])
def test_content_md5_is_checked_behind_a_compressor(compression, block):
    name = f"x_1.cbf.{compression}"
    assert check(PACK[compression](WHOLE["cbf"]), name, block) is None
    half = len(WHOLE["cbf"]) // 2
    parts = PACK[compression](WHOLE["cbf"][:half]) + PACK[compression](WHOLE["cbf"][half:])
    assert check(parts, name, block) is None
    assert "Content-MD5" in check(PACK[compression](cbf_bytes(md5="A" * 22 + "==")), name, block)
    assert "ends inside" in check(PACK[compression](WHOLE["cbf"])[:-9], name, block)


def test_every_flipped_bit_of_the_binary_section_is_found():
    binary = bytes(range(200))
    good = cbf_bytes(binary=binary)
    start = good.index(b"\x0c\x1a\x04\xd5") + 4
    for offset in range(len(binary)):
        bad = bytearray(good)
        bad[start + offset] ^= 1 << offset % 8
        assert "Content-MD5" in check(bytes(bad))


def test_a_frame_without_a_checksum_has_no_problem_here():
    assert check(cbf_bytes(md5="")) is None
    assert check(b"no CBF at all") is None
    assert check(b"###CBF" + b"\n" * (3 << 20), block=1 << 18) is None
    assert frame_probe.content_check("x_1.img") is None


def test_a_binary_section_that_ends_early_is_said():
    assert "before its binary section does" in check(WHOLE["cbf"][:-700])


def test_the_md5_is_that_of_the_documents():
    binary = b"\x01\x02\x03"
    digest = base64.b64encode(hashlib.md5(binary).digest()).decode()
    assert check(cbf_bytes(binary=binary, md5=digest)) is None


# what the decompressors themselves can be asked for


@pytest.mark.parametrize("compression", PACK)
@pytest.mark.parametrize("block", [1, 100, 1 << 20])
def test_several_streams_in_one_file_are_one_content(compression, block):
    content = PACK[compression](b"abc" * 1000) + PACK[compression](b"") + PACK[compression](b"def" * 1000)
    unpacker = unpackers.UNPACKERS[compression][1]()
    pieces = [content[start : start + block] for start in range(0, len(content), block)]
    assert b"".join(b"".join(unpacker.feed(piece)) for piece in pieces) == b"abc" * 1000 + b"def" * 1000
    assert unpacker.ended


def test_padding_that_a_compression_allows_is_no_damage():
    whole = frame_probe.probe_bytes(WHOLE["smv"])
    assert packed_probe(gzip.compress(WHOLE["smv"]) + b"\0" * 512, "gz") == whole
    assert packed_probe(lzma.compress(WHOLE["smv"]) + b"\0" * 512, "xz") == whole
    skippable = b"\x50\x2a\x4d\x18\x04\0\0\0abcd"
    assert packed_probe(skippable + zstandard.compress(WHOLE["smv"]) + skippable, "zst") == whole


def test_a_stream_that_asks_for_too_much_memory_is_refused():
    greedy = lzma.compress(WHOLE["smv"], filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}])
    assert packed_probe(greedy, "xz").problem == "has a damaged xz stream (Memory usage limit exceeded)"
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    writing = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    greedy = writing.compress(WHOLE["smv"]) + writing.flush()
    assert "requires too much memory" in packed_probe(greedy, "zst").problem


def test_a_flipped_bit_fails_the_checksum_of_zstd():
    packed = bytearray(zstandard.ZstdCompressor(write_checksum=True).compress(WHOLE["cbf"]))
    packed[-1] ^= 1
    assert "damaged zstd stream" in packed_probe(bytes(packed), "zst").problem


def test_a_directory_before_a_compressed_images_end_is_read_by_beginning_anew():
    """Its strips, then its values, then its directory: values that stand more than 2 MiB before the directory."""
    pixels = bytes(range(256)) * (1 << 14)
    content = tiff_bytes(pieces=1, width=2048, height=1024)
    moved = b"II*\0" + (len(pixels) + len(content)).to_bytes(4, "little") + content[8:] + pixels
    start = int.from_bytes(content[4:8], "little")
    moved += content[start : start + 2 + 10 * 12 + 4]
    assert frame_probe.probe_bytes(moved).problem is None
    for compression in ("gz", "zst"):
        assert packed_probe(PACK[compression](moved), compression) == frame_probe.probe_bytes(moved)
