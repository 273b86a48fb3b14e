"""Pictures of real files: every kind of image, Eiger series, chromatograms, and what has none."""

from __future__ import annotations

import bz2
import gzip
import io
import os
import sqlite3
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import h5py
import numpy as np
import pytest
from format_files import scan_tree
from PIL import Image

from depositd import preview
from depositd.archive.source import SourceTree
from depositd.errors import DepositdError, NoPicture, SourceChanged
from depositd.formats import FORMATS, group
from depositd.model import Dataset
from depositd.preview import eiger
from depositd.preview.diffraction import BEAM, OVERLOADED, UNMEASURED
from depositd.simulate import writers

DATE = datetime(2026, 11, 21, 2, 14, 7)  # noqa: DTZ001 - detectors write no zone
RING = (25, 113, 194)
KINDS = {
    "x_001.cbf": (writers.cbf_frame, (195, 487)),
    "x_001.img": (writers.smv_frame, (256, 256)),
    "x_001.mccd": (writers.marccd_frame, (256, 256)),
    "x_001.osc": (writers.raxis_frame, (256, 256)),
    "x_001.sfrm": (writers.bruker_frame, (256, 256)),
    "x_001.mar2300": (writers.mar345_frame, (256, 256)),
    "x_001.tif": (writers.tiff_frame, (256, 256)),
}


def dataset_in(root, format_name="auto", directory=""):
    (found,) = group(scan_tree(str(root), directory), format_name)
    return found


def picture(root, format_name="auto", **metadata):
    return Image.open(io.BytesIO(preview.picture(str(root), dataset_in(root, format_name), metadata))).convert("RGB")


def colours(image):
    return {colour: count for count, colour in image.getcolors(1 << 24)}


def refusal(root, format_name="auto"):
    with pytest.raises(DepositdError) as raised:
        preview.picture(str(root), dataset_in(root, format_name), {})
    return raised.value


# --- frames -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_image_has_a_picture(tmp_path, name):
    make, shape = KINDS[name]
    (tmp_path / name).write_bytes(make(1, date=DATE, shape=shape))
    image = picture(tmp_path)
    larger = 1200 // max(shape)
    assert image.width == max(shape[1] * larger, 520)
    assert image.height > shape[0] * larger  # the caption stands below
    assert len(colours(image)) > 50  # many greys: it is no white sheet


def test_an_oxford_image_has_a_picture(tmp_path):
    (tmp_path / "x_1.img").write_bytes(writers.oxford_frame(1, date=DATE))
    assert len(colours(picture(tmp_path))) > 50


@pytest.mark.parametrize(("suffix", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress)])
def test_a_compressed_frame_has_the_same_picture(tmp_path, suffix, pack):
    content = writers.cbf_frame(1, date=DATE)
    for place, name, written in (("a", "x_001.cbf", content), ("b", f"x_001.cbf.{suffix}", pack(content))):
        (tmp_path / place).mkdir()
        (tmp_path / place / name).write_bytes(written)
    assert picture(tmp_path / "a").tobytes() == picture(tmp_path / "b").tobytes()


def test_a_spot_is_drawn_where_it_is_and_the_beam_where_the_header_says(tmp_path):
    pixels = np.zeros((200, 300), dtype="<u2")
    pixels[40, 250] = 30_000
    content = bytearray(writers.smv_frame(1, date=DATE, shape=(200, 300)))
    content[512:] = pixels.tobytes()
    (tmp_path / "x_001.img").write_bytes(bytes(content))
    image = picture(tmp_path)
    assert image.getpixel((250 * 4 + 1, 40 * 4 + 1)) == (0, 0, 0)
    assert image.getpixel((250 * 4 + 1, 44 * 4)) == (255, 255, 255)
    assert image.getpixel((150 * 4 + 8, 100 * 4)) == BEAM


def test_overloads_are_marked(tmp_path):
    content = bytearray(writers.smv_frame(1, date=DATE))
    content[512:514] = b"\xff\xff"
    (tmp_path / "x_001.img").write_bytes(bytes(content))
    assert picture(tmp_path).getpixel((1, 1)) == OVERLOADED


def test_gaps_are_told_from_what_was_measured(tmp_path):
    (tmp_path / "x_001.cbf").write_bytes(writers.cbf_frame(1, date=DATE, shape=(600, 487)))
    assert picture(tmp_path).getpixel((200, 2 * 200)) == UNMEASURED


def test_rings_are_drawn_only_where_the_detector_stands_square(tmp_path):
    content = writers.cbf_frame(1, date=DATE)
    (tmp_path / "x_001.cbf").write_bytes(content)
    assert RING in colours(picture(tmp_path))
    (tmp_path / "x_001.cbf").write_bytes(content.replace(b"Detector_2theta 0.0000", b"Detector_2theta 20.000"))
    assert RING not in colours(picture(tmp_path))


def test_a_broken_frame_is_refused_by_name(tmp_path):
    content = writers.cbf_frame(1, date=DATE)
    (tmp_path / "x_001.cbf").write_bytes(content[: len(content) // 2])
    error = refusal(tmp_path)
    assert str(error).startswith("x_001.cbf ends ")
    assert "still being written" in error.hint
    damaged = bytearray(content)
    damaged[-20_000] ^= 0xFF
    (tmp_path / "x_001.cbf").write_bytes(bytes(damaged))
    assert "MD5" in str(refusal(tmp_path))


def test_a_small_file_that_unpacks_to_a_huge_one_is_refused(tmp_path):
    header = writers.smv_frame(1, date=DATE)[:512].rstrip()
    header = header.replace(b"SIZE1=256;", b"SIZE1=10001;").replace(b"SIZE2=256;", b"SIZE2=10001;")
    (tmp_path / "x_001.img.gz").write_bytes(gzip.compress(header.ljust(512) + bytes(2 * 10_001**2), 1))
    assert isinstance(refusal(tmp_path), NoPicture)


def test_a_link_is_never_followed(tmp_path):
    (tmp_path / "outside.cbf").write_bytes(writers.cbf_frame(1, date=DATE))
    source = tmp_path / "source"
    source.mkdir()
    (source / "x_001.cbf").write_bytes(writers.cbf_frame(1, date=DATE))
    dataset = dataset_in(source)
    (source / "x_001.cbf").unlink()
    (source / "x_001.cbf").symlink_to(tmp_path / "outside.cbf")
    with pytest.raises(SourceChanged, match="real directories"):
        preview.picture(str(source), dataset, {})
    with pytest.raises(NoPicture, match="no file to make a picture of"):
        preview.picture(str(source), dataset_in(source), {})


def test_files_that_are_gone_are_said_to_be(tmp_path):
    (tmp_path / "x_001.cbf").write_bytes(writers.cbf_frame(1, date=DATE))
    dataset = dataset_in(tmp_path)
    (tmp_path / "x_001.cbf").unlink()
    for root in (tmp_path, tmp_path / "away"):
        with pytest.raises(NoPicture, match="the files are no longer there"):
            preview.picture(str(root), dataset, {})


def test_the_source_is_left_as_it_was(tmp_path):
    (tmp_path / "x_001.cbf").write_bytes(writers.cbf_frame(1, date=DATE))
    before = scan_tree(str(tmp_path))
    picture(tmp_path)
    assert scan_tree(str(tmp_path)) == before


# --- Eiger ------------------------------------------------------------------------------------------------------------


def test_an_eiger_series_shows_its_first_image(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=6, images_per_file=3, shape=(300, 400))
    image = picture(tmp_path)
    assert image.width == 1200
    assert {BEAM, RING} <= colours(image).keys()


def test_masked_pixels_of_an_eiger_are_told_apart(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=1, shape=(100, 100))
    with h5py.File(tmp_path / "thau_1_data_000001.h5", "r+") as file:
        image = file["entry/data/data"][0]
        image[:5, :5] = 2**32 - 1
        file["entry/data/data"][0] = image
    assert picture(tmp_path).getpixel((3, 3)) == UNMEASURED


def test_images_that_were_not_written_yet_are_passed_over(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=2, shape=(64, 64))
    with h5py.File(tmp_path / "thau_1_data_000001.h5", "w") as file:
        stack = file.create_dataset("entry/data/data", (4, 64, 64), "<u4", chunks=(1, 64, 64))
        stack.attrs["image_nr_low"] = 1
        stack[2] = np.arange(64 * 64).reshape(64, 64)
    pixels = picture(tmp_path)
    assert len(colours(pixels)) > 20  # the third; the first and second would be empty sheets


def test_an_open_data_file_is_refused(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=2)
    with h5py.File(tmp_path / "thau_1_data_000001.h5", "w", libver="latest") as file:
        file["entry/data/data"] = np.zeros((1, 64, 64), "<u4")
        file.flush()
        assert "open for writing" in str(refusal(tmp_path))


def test_a_data_file_that_leads_elsewhere_is_refused(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "secret.raw").write_bytes(b"\7" * 64 * 64 * 4)
    writers.write_eiger(tmp_path / "run", "thau_1", images=1)
    data = tmp_path / "run" / "thau_1_data_000001.h5"
    with h5py.File(data, "w") as file:
        outside = [(os.fsencode(tmp_path / "secret.raw"), 0, 64 * 64 * 4)]
        file.create_dataset("entry/data/data", (1, 64, 64), "<u4", external=outside)
    assert isinstance(refusal(tmp_path / "run"), NoPicture)
    data.unlink()
    writers.write_eiger(tmp_path, "other_1", images=1)
    with h5py.File(data, "w") as file:
        file["entry/data/data"] = h5py.ExternalLink("../other_1_data_000001.h5", "/entry/data/data")
    assert isinstance(refusal(tmp_path / "run"), NoPicture)


def test_a_chunk_that_would_fill_the_memory_is_refused(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=1)
    with h5py.File(tmp_path / "thau_1_data_000001.h5", "w") as file:
        stack = file.create_dataset(
            "entry/data/data", (40_000, 64, 64), "<u4", chunks=(40_000, 64, 64), compression="gzip"
        )
        stack.id.write_direct_chunk((0, 0, 0), b"x")
    assert "too many for a picture" in str(refusal(tmp_path))


@pytest.mark.parametrize("hidden", ["hdf5plugin", "PIL"])
def test_without_its_packages_it_says_which_extra_has_them(tmp_path, hidden):
    writers.write_eiger(tmp_path, "thau_1", images=1)
    absent = tmp_path / "absent" / hidden
    absent.mkdir(parents=True)
    (absent / "__init__.py").write_text("raise ImportError")  # for every process that is started too
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from format_files import scan_tree
from depositd import preview
from depositd.errors import NoPicture
from depositd.formats import group
(dataset,) = group(scan_tree({str(tmp_path)!r}), "eiger")
try:
    preview.picture({str(tmp_path)!r}, dataset, {{}})
except NoPicture as error:
    print(error, "|", error.hint)
"""
    environ = {**os.environ, "HDF5_PLUGIN_PATH": "/nowhere", "PYTHONPATH": str(absent.parent)}
    said = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environ
    ).stdout
    assert {"hdf5plugin": "bitshuffle-LZ4", "PIL": "pillow"}[hidden] in said
    assert "pip install 'depositd[preview]'" in said


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("import os; os.abort()", "makes the HDF5 library crash (SIGABRT): its structure is damaged"),
        ("import os; os.kill(os.getpid(), 11)", "makes the HDF5 library crash (SIGSEGV): its structure is damaged"),
        ("import os; os.kill(os.getpid(), 27)", "leads the HDF5 library in circles: its structure is damaged"),
        ("raise SystemExit(3)", "could not be read: its reader ended (exit status 3)"),
    ],
)
def test_what_a_file_does_to_the_library_is_said(tmp_path, program, said):
    writers.write_eiger(tmp_path, "thau_1", images=1)
    data = next(file for file in dataset_in(tmp_path).files if "data" in file.name)
    with SourceTree(str(tmp_path)) as tree, pytest.raises(NoPicture) as raised:
        eiger.ask(tree, data, "image", program)
    assert str(raised.value) == f"{data.name} {said}"


def draw_apart(root, format_name):
    """Draw in a process of its own; return what it said, and which libraries it has loaded."""
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1] / "support")!r})
from format_files import scan_tree
from depositd import preview
from depositd.errors import NoPicture
from depositd.formats import group
(dataset,) = group(scan_tree({str(root)!r}), {format_name!r})
try:
    print(len(preview.picture({str(root)!r}, dataset, {{}})))
except NoPicture as error:
    print(error)
print(*sorted({{"h5py", "fabio"}} & sys.modules.keys()))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    said, loaded = ran.stdout.split("\n")[:2]
    return said, loaded


def test_the_hdf5_library_is_never_loaded_by_who_asks_for_a_picture(tmp_path):
    writers.write_eiger(tmp_path, "thau_1", images=1)
    said, loaded = draw_apart(tmp_path, "eiger")
    assert int(said) > 1000
    assert loaded == ""


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda whole: whole[:-200], "x_001.mar2300 ends after"),
        (lambda whole: whole[:5200] + bytes(4096) + whole[9296:], "x_001.mar2300 "),
        (lambda whole: whole[:12] + b"\2\0\0\0" + whole[16:], "x_001.mar2300 cannot be drawn: the SPIRAL format"),
    ],
)
def test_a_frame_that_is_not_proven_whole_is_never_decoded(tmp_path, spoil, said):
    """fabio's MAR345 decoder can abort the process that uses it."""
    (tmp_path / "x_001.mar2300").write_bytes(spoil(writers.mar345_frame(1, date=DATE)))
    refused, loaded = draw_apart(tmp_path, "frames")
    assert refused.startswith(said)
    assert loaded == ""


# --- chromatograms ----------------------------------------------------------------------------------------------------


def test_a_waters_run_shows_the_current_of_each_function(tmp_path):
    run = tmp_path / "run.raw"
    run.mkdir()
    for name, content in writers.waters_files(functions=2).items():
        (run / name).write_bytes(content)
    assert {RING, (214, 40, 40)} <= colours(picture(tmp_path)).keys()


def test_a_waters_run_of_another_kind_is_refused(tmp_path):
    run = tmp_path / "run.raw"
    run.mkdir()
    for name, content in writers.waters_files(functions=1).items():
        (run / name).write_bytes(content + b"x" * name.endswith(".IDX"))
    assert "no _FUNC*.IDX" in str(refusal(tmp_path))


def tims(
    root,
    rows=((0.5, 0, 100), (1.0, 9, 50), (1.5, 0, 300)),
    columns="Time REAL, MsMsType INTEGER, SummedIntensities INTEGER",
):
    run = root / "run.d"
    run.mkdir()
    connection = sqlite3.connect(run / "analysis.tdf")
    connection.execute(f"CREATE TABLE Frames ({columns})")
    connection.executemany("INSERT INTO Frames VALUES (?, ?, ?)", rows)
    connection.commit()
    connection.close()
    (run / "analysis.tdf_bin").write_bytes(b"\1" * 64)
    return run


def bruker(root):
    listing = scan_tree(str(root))
    return Dataset("run", "bruker-d", "", "run.d", "run.d", listing.trees["run.d"])


def test_a_bruker_run_shows_ms_and_fragments_and_is_not_touched(tmp_path):
    tims(tmp_path)
    before = scan_tree(str(tmp_path))
    image = Image.open(io.BytesIO(preview.picture(str(tmp_path), bruker(tmp_path), {}))).convert("RGB")
    assert {RING, (214, 40, 40)} <= colours(image).keys()
    assert scan_tree(str(tmp_path)) == before


@pytest.mark.parametrize(
    ("name", "size", "refused"), [("-wal", 0, False), ("-wal", 9, True), ("-shm", 0, True), ("-journal", 0, True)]
)
def test_a_bruker_index_beside_a_writers_files_is_never_opened(tmp_path, name, size, refused):
    run = tims(tmp_path)
    (run / f"analysis.tdf{name}").write_bytes(b"x" * size)
    if refused:
        with pytest.raises(NoPicture, match="still being written"):
            preview.picture(str(tmp_path), bruker(tmp_path), {})
    else:
        assert preview.picture(str(tmp_path), bruker(tmp_path), {})


def test_a_bruker_index_that_is_none_is_refused(tmp_path):
    run = tims(tmp_path, rows=(("late", 0, "many"), (None, None, None)))
    with pytest.raises(NoPicture, match="no frame with a time"):
        preview.picture(str(tmp_path), bruker(tmp_path), {})
    (run / "analysis.tdf").write_bytes(b"SQLite format 3\0" + b"\7" * 4096)
    with pytest.raises(NoPicture, match="cannot be read as an index"):
        preview.picture(str(tmp_path), bruker(tmp_path), {})


def test_an_endless_view_in_a_bruker_index_ends(tmp_path):
    run = tims(tmp_path)
    connection = sqlite3.connect(run / "analysis.tdf")
    connection.execute("DROP TABLE Frames")
    connection.execute(
        "CREATE VIEW Frames AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n)"
        " SELECT 1.0 AS Time, 0 AS MsMsType, CAST(x AS TEXT) AS SummedIntensities FROM n"
    )
    connection.commit()
    connection.close()
    with pytest.raises(NoPicture, match="interrupted"):
        preview.picture(str(tmp_path), bruker(tmp_path), {})


# --- what has none ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("format_name", ["thermo-raw", "agilent-d", "sciex", "file", "directory"])
def test_what_has_no_picture_is_refused_in_a_sentence(tmp_path, format_name):
    with pytest.raises(NoPicture, match=r"^no picture of .* can be made") as raised:
        preview.picture(str(tmp_path), Dataset("x", format_name, "", "x", "x", ()), {})
    assert "frames" in raised.value.hint


def test_the_kinds_are_those_of_formats_that_there_are():
    assert preview.kinds().keys() <= FORMATS.keys()
    assert all(shows and not shows.endswith(".") for shows in preview.kinds().values())


# --- real acquisitions ------------------------------------------------------------------------------------------------


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["white", "indigo"])
def test_real_waters_runs_have_a_picture(real_data, name):
    directory = f"{name}.raw"
    (dataset,) = (
        found for found in group(scan_tree(str(real_data / "waters")), "waters-raw") if found.path == directory
    )
    image = Image.open(io.BytesIO(preview.picture(str(real_data / "waters"), dataset, {}))).convert("RGB")
    assert RING in colours(image)


@pytest.mark.real_data
def test_the_index_of_a_real_waters_run_holds_the_sums_of_its_scans(real_data):
    """The data of this one are 16 bits a point: 13 bits times a power of four, one point a scan."""
    run = real_data / "waters" / "indigo.raw"
    index = np.fromfile(run / "_FUNC001.IDX", np.uint8).reshape(-1, 22)
    told = index[:, 8:12].copy().view("<f4").ravel()
    points = np.fromfile(run / "_FUNC001.DAT", "<u2").astype(np.int64)
    assert np.allclose((points >> 3) * 4.0 ** (points & 7), told, rtol=0.05, atol=64)


@pytest.mark.real_data
def test_a_real_timstof_run_has_a_picture(real_data):
    files = scan_tree(str(real_data / "bruker")).trees["dia_test.d"]
    dataset = Dataset("dia_test", "bruker-d", "", "dia_test.d", "dia_test.d", files)
    assert preview.picture(str(real_data / "bruker"), dataset, {}).startswith(b"\x89PNG")


@pytest.mark.real_data
def test_a_real_frame_of_a_swung_detector_has_a_picture_without_rings(real_data, tmp_path):
    (tmp_path / "omega_1.cbf").write_bytes((real_data / "cbf" / "omega_scan.cbf").read_bytes())
    shown = colours(picture(tmp_path))
    assert UNMEASURED in shown
    assert RING not in shown
