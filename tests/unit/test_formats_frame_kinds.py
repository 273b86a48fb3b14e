"""Each kind of image by itself: its numbers in our units, its limits, and what its neighbours could be taken for."""

import struct

import pytest
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

from depositd.formats import frame_probe, image
from depositd.formats.facts import KEYS
from depositd.formats.mar345_packed import MOST_CHUNKS, VERSIONS, walk

FULL_CBF = (
    cbf_bytes()
    .replace(b"# ", b"#-")
    .replace(b"_array_data.data\r\n", b"_diffrn_source.type 'Diamond I04'\r\n_array_data.data\r\n")
)
FIXTURES = {
    "CBF": [cbf_bytes(), FULL_CBF],
    "SMV": [smv_bytes(DETECTOR_NAME="Q315", BEAM_CENTER_Y="99.0")],
    "marCCD": [marccd_bytes()],
    "TIFF": [tiff_bytes()],
    "R-AXIS": [raxis_bytes()],
    "Bruker": [bruker_bytes()],
    "Oxford": [oxford_bytes()],
    "MAR345": [mar345_bytes()],
}
GEOMETRY = {
    "wavelength_A": 0.9795,
    "distance_mm": 250.0,
    "start_angle_deg": 10.0,
    "increment_deg": 0.5,
}


def probe(content):
    return frame_probe.probe_bytes(content)


# the registry


@pytest.mark.parametrize("kind", frame_probe.KINDS, ids=lambda kind: kind.name)
def test_what_a_kind_says_of_its_metadata_is_what_its_headers_give(kind):
    said = set()
    for content in FIXTURES[kind.name]:
        facts = probe(content).facts
        assert facts["kind"] == kind.name
        said |= facts.keys() & set(KEYS)
    assert said == set(kind.about.metadata)
    assert len(kind.about.metadata) == len(said)


def test_every_kind_has_its_row_in_the_table():
    assert [row.kind for row in frame_probe.ABOUT] == [kind.about.kind for kind in frame_probe.KINDS]
    assert len({row.kind for row in frame_probe.ABOUT}) == len(FIXTURES)


@pytest.mark.parametrize("name", FIXTURES)
def test_first_bytes_belong_to_one_kind_only(name):
    for content in FIXTURES[name]:
        matching = [kind.name for kind in frame_probe.KINDS if kind.matches(content[: frame_probe.HEAD_BYTES])]
        assert matching[0] == name
        assert len(matching) == (2 if name == "marCCD" else 1)


def test_a_suffix_says_nothing_of_the_kind(tmp_path):
    for number, contents in enumerate(FIXTURES.values()):
        path = tmp_path / f"x_{number}.osc"
        path.write_bytes(contents[0])
        assert frame_probe.probe_frame(str(path)) == probe(contents[0])


# TIFF, and marCCD inside of it


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("directory", ["start", "end"])
@pytest.mark.parametrize("tiles", [False, True])
def test_a_tiff_says_the_same_in_all_its_layouts(order, big, directory, tiles):
    content = tiff_bytes(2, order=order, big=big, directory=directory, tiles=tiles)
    assert probe(content).problem is None
    facts = probe(content).facts
    assert facts == probe(tiff_bytes(2)).facts
    assert facts.items() >= (GEOMETRY | {"start_angle_deg": 5.5}).items()
    assert (facts["detector"], facts["detector_serial"]) == ("PILATUS 2M", "24-0107")
    assert (facts["pixel_bits"], facts["date"]) == (16, "2026-11-21T02:14:07")


def test_every_page_of_a_tiff_must_be_whole():
    content = tiff_bytes(pages=3, directory="start")
    assert probe(content).problem is None
    assert probe(content[:-1]).problem == "ends 1 byte early"


def test_a_tiff_with_small_counts_is_not_taken_for_a_marccd():
    content = bytearray(tiff_bytes(width=30, height=40))
    struct.pack_into("<3I", content, 1104, 5, 3, 2)
    assert probe(bytes(content)).facts["kind"] == "TIFF"
    struct.pack_into("<3I", content, 1104, 5, 3, 7)
    assert probe(bytes(content)).facts["kind"] == "TIFF"


@pytest.mark.parametrize("named", ["MMX", "byte order", "directory"])
def test_a_marccd_is_known_by_its_own_header_or_by_its_directory(named):
    content = bytearray(marccd_bytes())
    content[1028:1031] = b"MMX" if named == "MMX" else b"\0\0\0"
    struct.pack_into("<I", content, 1052, 1234 if named == "byte order" else 0)
    if named == "directory":
        struct.pack_into("<IHHHIIHHII", content, 4, 8, 2, 256, 4, 1, 30, 257, 3, 1, 20)
    assert probe(bytes(content)).facts["kind"] == "marCCD"


def test_a_big_endian_marccd():
    content = bytearray(marccd_bytes())
    content[:4] = b"MM\0*"
    for offset in (1104, 1108, 1112, 1664, 1668, 1672, 1680, 1708, 1740, 1760, 1796, 1932):
        content[offset : offset + 4] = content[offset : offset + 4][::-1]
    assert probe(bytes(content)).facts == probe(marccd_bytes()).facts


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (tiff_bytes(loop=True), "lead in a circle"),
        (tiff_bytes(pages=2, loop=True), "lead in a circle"),
        (tiff_bytes()[:4] + bytes(4) + tiff_bytes()[8:], "no image directory yet"),
        (tiff_bytes()[:4] + b"\xff" * 4 + tiff_bytes()[8:], "ends before its image directory"),
        (tiff_bytes(big=True)[:8] + b"\xff" * 8 + tiff_bytes(big=True)[16:], "impossible place"),
        (b"II+\0\x04\0\0\0" + bytes(100), "offsets of 4 bytes instead of 8"),
        (tiff_bytes(width=70_000, height=1), "impossible size of 70,000 x 1 pixels"),
    ],
)
def test_a_tiff_whose_directories_make_no_sense_says_so(content, said):
    assert said in probe(content).problem


def test_a_tiff_whose_strips_are_too_small_for_its_pixels():
    content = bytearray(tiff_bytes(pieces=1, directory="start"))
    at = content.index(struct.pack("<HHI", 257, 3, 1)) + 8
    struct.pack_into("<H", content, at, 21)
    said = "has room for 1,200 bytes of image data, but its 30 x 21 pixels take 1,260"
    assert probe(bytes(content)).problem == said
    packed = bytearray(tiff_bytes(pieces=1, directory="start", compression=5))
    struct.pack_into("<H", packed, at, 21)
    assert probe(bytes(packed)).problem is None


def test_a_tiff_without_a_mini_header_gives_what_it_has():
    facts = probe(tiff_bytes(model="ProEM", description="a camera")).facts
    assert facts.keys() & set(KEYS) == {"detector", "date", "width_px", "height_px"}
    assert facts["detector"] == "ProEM"


# R-AXIS


@pytest.mark.parametrize(("order", "host"), [(">", b"IRIS"), (">", b"SGI"), ("<", b"PC"), (">", b"NT"), ("<", b"SGI")])
def test_an_raxis_is_read_in_the_order_that_makes_sense(order, host):
    facts = probe(raxis_bytes(order=order, host=host)).facts
    assert facts.items() >= (GEOMETRY | {"exposure_s": 90.0, "pixel_x_um": 100.0, "frame_number": 1}).items()
    assert (facts["detector"], facts["sample"], facts["date"]) == ("R-AXIS4", "lysozyme", "2026-11-21T00:00:00")


@pytest.mark.parametrize("place", [256, 172])
@pytest.mark.parametrize("written", [b"2026-11-21", b"21-Nov-2026", b"2026-11-21\0\0"])
def test_the_day_of_an_raxis_stands_where_rigaku_or_where_fabio_has_it(place, written):
    content = bytearray(raxis_bytes())
    content[256:268] = bytes(12)
    content[place : place + 12] = written.ljust(12)
    assert probe(bytes(content)).facts["date"] == "2026-11-21T00:00:00"
    content[place : place + 12] = b"yesterday   "
    assert "date" not in probe(bytes(content)).facts


def test_an_raxis_with_too_few_records_for_its_pixels():
    content = bytearray(raxis_bytes())
    struct.pack_into(">i", content, 788, 19)
    assert "19 records of 1,400 bytes, too few for its 700 x 20 pixels" in probe(bytes(content)).problem


# Bruker


def test_a_bruker_frame_tells_the_length_of_its_series():
    facts = probe(bruker_bytes(3)).facts
    assert (facts["expected_frames"], facts["frame_number"], facts["exposure_s"]) == (5, 3, 2.0)
    assert facts.items() >= (GEOMETRY | {"start_angle_deg": 11.0}).items()
    assert "expected_frames" not in probe(bruker_bytes(NFRAMES="0")).facts


@pytest.mark.parametrize(
    ("overflows", "needed"),
    [("-1 0 0", 0), ("0 0 0", 0), ("2 0 0", 2), ("17 1 0", 32 + 2), ("2 3 1", 16 + 16 + 4), ("-1 9 0", 18)],
)
def test_a_bruker_frame_has_its_tables_padded_except_perhaps_the_last(overflows, needed):
    content = bruker_bytes(overflows=overflows)
    pixels_end = 15 * 512 + 600
    assert probe(content[: pixels_end + needed]).problem is None
    assert probe(content[: pixels_end + needed - 1]).problem == "ends 1 byte early"


@pytest.mark.parametrize("pixel_bytes", ["1 1", "2 1", "4 1"])
def test_bruker_pixels_of_every_width(pixel_bytes):
    content = bruker_bytes(pixel_bytes=pixel_bytes, overflows="-1 0 0")
    assert probe(content).problem is None
    assert probe(content[:-1]).problem == "ends 1 byte early"


def test_a_table_of_overflows_that_was_never_written():
    content = bruker_bytes(version=86, pixel_bytes="1")
    assert "no numbers at the end of its table" in probe(content[:-16] + bytes(16)).problem


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"HDRBLKS": "999999"}, "no possible HDRBLKS"),
        ({"HDRBLKS": "-5"}, "no possible HDRBLKS"),
        ({"NROWS": ""}, "does not say NROWS"),
        ({"NCOLS": "-3"}, "impossible size of -3 x 20 pixels"),
        ({"NPIXELB": "3"}, "impossible 3 bytes"),
        ({"NOVERFL": "0 99999999999 0"}, "impossible NOVERFL"),
    ],
)
def test_a_bruker_header_that_makes_no_sense(said, problem):
    assert problem in probe(bruker_bytes(**said)).problem


@pytest.mark.parametrize("created", ["21-Nov-2026 02:14:07", "11/21/2026 02:14:07", "Sat Nov 21 02:14:07 2026"])
def test_dates_of_several_bruker_programs(created):
    assert probe(bruker_bytes(CREATED=created)).facts["date"] == "2026-11-21T02:14:07"


def test_an_old_bruker_header_has_one_distance_in_centimetres():
    assert probe(bruker_bytes(DISTANC="5.0")).facts["distance_mm"] == 50.0


# Oxford


def test_an_oxford_frame_counts_motor_steps():
    facts = probe(oxford_bytes(3)).facts
    assert (facts["start_angle_deg"], facts["increment_deg"]) == (11.0, 0.5)
    assert (facts["distance_mm"], facts["pixel_x_um"], facts["exposure_s"]) == (55.0, 60.0, 1.5)
    assert (facts["beam_x_px"], facts["date"]) == (40.5, "2026-11-21T02:14:07")


def test_a_packing_that_tells_no_size_says_what_is_not_proven():
    facts = probe(oxford_bytes(packing="TY5")).facts
    assert facts["whole_unproven"] == "the size of TY5 compressed pixels is not known"
    assert "whole_unproven" not in probe(oxford_bytes(packing="TY1")).facts
    assert "whole_unproven" not in probe(oxford_bytes(packing="TY6")).facts


def test_oxford_pixels_that_were_never_written():
    whole = oxford_bytes(width=100, height=100)
    zeroed = whole[:10_000] + bytes(len(whole) - 10_000)
    assert probe(zeroed).problem == "ends in pixels that were never written"
    whole = oxford_bytes(packing="TY6")
    assert "never written" in probe(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2)).problem
    assert "never written" in probe(oxford_bytes(packing="TY6", lines=[0, 1 << 30] * 30)).problem


# MAR345


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("version", [1, 2])
def test_a_mar345_of_either_byte_order_and_packing(order, version):
    facts = probe(mar345_bytes(order=order, version=version)).facts
    assert facts.items() >= (GEOMETRY | {"exposure_s": 60.0, "detector_serial": "12", "pixel_x_um": 150.0}).items()
    assert (facts["beam_x_px"], facts["beam_y_px"], facts["sample"]) == (150.5, 149.25, "lysozyme")
    assert "whole_unproven" not in facts


def test_a_mar345_is_whole_only_where_all_pixels_can_be_counted():
    whole = mar345_bytes()
    assert probe(whole).problem is None
    cut = probe(whole[: len(whole) // 2])
    assert cut.problem.startswith("ends after ")
    assert cut.problem.endswith(" of the 102,400 pixels of its packed image")
    assert cut.retry
    zeroed = probe(whole[: len(whole) // 2] + bytes(len(whole) - len(whole) // 2))
    assert zeroed.problem == "has a packed image with a part that was never written"
    assert probe(mar345_bytes(size=300)).problem == "has a packed image of more than its 90,000 pixels"
    assert probe(mar345_bytes(layout=2)).facts["whole_unproven"] == "the SPIRAL format is not documented"


def test_a_mar345_with_another_size_in_its_packed_image():
    content = mar345_bytes().replace(b"X: 0320", b"X: 0160")
    assert "of 160 x 320 pixels, but its header of 320 x 320" in probe(content).problem
    assert "no packed image behind its header" in probe(mar345_bytes().replace(b"CCP4", b"CCP5")).problem


def test_padding_behind_a_packed_image_is_no_damage():
    assert probe(mar345_bytes() + bytes(8192)).problem is None


def test_a_walk_that_takes_too_long_is_given_up():
    single_pixels = b"\x08" * 4096  # a pixel of 4 bits in each chunk, as long as nobody writes better
    followed = walk(VERSIONS[False], 1 << 30, lambda _offset, count: single_pixels * (count // 4096))
    assert not followed.at_end
    assert followed.problem is None
    assert 0 < followed.pixels < 1 << 30
    assert followed.pixels >= MOST_CHUNKS


def test_a_width_that_no_packer_has():
    assert walk(VERSIONS[True], 100, lambda _offset, _count: b"\xf0" * 9).problem is not None


# shared by all


def test_a_field_is_read_in_its_order_and_without_dust():
    fields = image.Fields(struct.pack(">fid", 0.9795, 250, 0.5) + b"abc \0xyz", ">")
    assert (fields.single(0), fields.i32(4), fields.whole(4, 1e-3), fields.double(8)) == (0.9795, 250, 0.25, 0.5)
    assert fields.text(16, 8) == "abc"
    assert image.Fields(bytes(4), "<").whole(0, 1e-3) is None
