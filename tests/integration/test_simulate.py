"""Simulated instruments on a real disk, with a clock that only moves when they sleep."""

import itertools
import logging
import os
import re
import sqlite3
import struct
from contextlib import closing
from datetime import UTC, datetime, timedelta

import fabio
import h5py
import numpy as np
import pytest
from reference_parsers import cbf_binary, check_waters, parse_thermo

from depositd import formats
from depositd.model import Listing, Quiet, Terms, VerdictKind
from depositd.simulate import SIMULATORS, Plan, agilent_d, bruker_d, images
from depositd.simulate.agilent_d import PEAK_HEADER_BYTES, SCAN_RECORD_BYTES
from depositd.simulate.detectors import DETECTORS
from depositd.simulate.instruments import refuse_existing, run
from depositd.simulate.plan import Fault, faults_of, series_of
from depositd.simulate.writers import (
    EigerWriter,
    bruker_frame,
    cbf_frame,
    full_cbf_frame,
    mar345_frame,
    marccd_frame,
    oxford_frame,
    raxis_frame,
    smv_frame,
    tiff_frame,
    waters_files,
    write_eiger,
)
from depositd.watch.sweep import file_stat

START = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
FRAMES = 8
SHAPE = (32, 24)
FRAME_SERIES = {name: detector.suffix for name, detector in DETECTORS.items()} | {"frames": ".cbf"}
PAIRS = [(name, fault) for name in SIMULATORS for fault in faults_of(name)]
"""All that can be asked for."""


class Clock:
    def __init__(self):
        self.moment = START
        self.elapsed_s = 0.0
        self.pauses_s = []
        self.on_sleep = lambda: None

    @property
    def slept_s(self):
        return sum(self.pauses_s)

    def now(self):
        return self.moment

    def monotonic(self):
        return self.elapsed_s

    def sleep(self, seconds):
        assert seconds > 0
        self.pauses_s.append(seconds)
        self.spend(seconds)
        self.on_sleep()

    def spend(self, seconds):
        self.moment += timedelta(seconds=seconds)
        self.elapsed_s += seconds


def simulate(directory, format_name, fault=None, clock=None, **fields):
    clock = clock or Clock()
    fields = {"name": "sim_1", "frames": FRAMES, "rate_hz": 10.0, "shape": SHAPE, "frame_bytes": 1000} | fields
    listen = {key: fields.pop(key) for key in ("on_progress", "stop") if key in fields}
    plan = Plan(format_name, directory, fault=fault, **fields)
    run(plan, sleep=clock.sleep, now=clock.now, clock=clock.monotonic, **listen)
    return clock


def tree(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def sizes(directory):
    return {name: len(data) for name, data in tree(directory).items()}


def healthy(tmp_path, format_name):
    simulate(tmp_path / "healthy", format_name)
    return tree(tmp_path / "healthy")


def is_index(name):
    return re.search(r"analysis\.tdf(-wal|-shm)?$", name) is not None


def same_but_for_dates(left, right):
    """Headers carry the time of day; all else of a frame is fixed by number and seed."""
    return {name: len(data) for name, data in left.items()} == {name: len(data) for name, data in right.items()}


def last_data_file(format_name):
    suffix = FRAME_SERIES.get(format_name)
    if suffix:
        return f"sim_1_{FRAMES:05d}{suffix}"
    return {
        "eiger": "sim_1_data_000004.h5",
        "diamond": "sim_1_000004.h5",
        "bruker-d": "sim_1.d/analysis.tdf_bin",
        "agilent-d": "sim_1.d/AcqData/MSPeak.bin",
        "sciex": "sim_1.wiff.scan",
        "thermo-raw": "sim_1.raw",
        "waters-raw": "sim_1.raw/_FUNC002.DAT",
        "file": "sim_1.dat",
        "directory": f"sim_1/part_{FRAMES:05d}.dat",
    }[format_name]


# ---- single files, as other programs read them


@pytest.mark.parametrize("make", [cbf_frame, full_cbf_frame])
def test_fabio_opens_a_cbf_with_an_intact_checksum(tmp_path, caplog, make):
    path = tmp_path / "x_00004.cbf"
    path.write_bytes(make(4, date=START, shape=(619, 487), seed=2))
    with caplog.at_level(logging.WARNING), fabio.open(path) as image:
        assert np.array_equal(image.data, images.frame(4, shape=(619, 487), seed=2))
    assert caplog.records == []


def test_fabio_logs_a_broken_checksum_so_that_the_test_above_can_fail(tmp_path, caplog):
    frame = bytearray(cbf_frame(4, date=START))
    frame[frame.index(b"\x0c\x1a\x04\xd5") + 1000] ^= 1
    path = tmp_path / "x_00004.cbf"
    path.write_bytes(frame)
    with caplog.at_level(logging.WARNING), fabio.open(path):
        assert caplog.records != []


@pytest.mark.parametrize(
    ("make", "suffix", "offset"),
    [
        (smv_frame, ".img", 40),
        (marccd_frame, ".mccd", 10),
        (raxis_frame, ".osc", 10),
        (bruker_frame, ".sfrm", 0),
        (mar345_frame, ".mar2300", 10),
        (oxford_frame, ".img", 10),
        (tiff_frame, ".tif", 10),
    ],
)
@pytest.mark.parametrize("shape", [(64, 48), (619, 487), (3, 2)])
def test_fabio_opens_frames_of_integrating_detectors(tmp_path, caplog, make, suffix, offset, shape):
    path = tmp_path / f"x_00004{suffix}"
    path.write_bytes(make(4, date=START, shape=shape, seed=2))
    expected = images.positive(images.frame(4, shape=shape, seed=2), offset=offset)
    with caplog.at_level(logging.WARNING), fabio.open(path) as image:
        assert np.array_equal(image.data, expected)
    assert caplog.records == []


@pytest.mark.parametrize(
    ("make", "suffix", "keys", "scale"),
    [
        (raxis_frame, ".osc", ("Wavelength", "Crystal-to-detector Distance", "Phi Oscillation Start"), 1.0),
        (bruker_frame, ".sfrm", ("WAVELEN", "DISTANC", "START"), 0.1),
        (mar345_frame, ".mar2300", ("Wavelength", "Distance", "StartPhi"), 1.0),
        (oxford_frame, ".img", ("Wavelength alpha1", "Distance in mm", "Omega start in deg"), 1.0),
    ],
)
def test_fabio_reads_what_a_header_was_told(tmp_path, make, suffix, keys, scale):
    path = tmp_path / f"x_00004{suffix}"
    path.write_bytes(make(4, date=START, wavelength_A=0.9763, distance_m=0.2, start_angle_deg=90.0, increment_deg=0.25))
    with fabio.open(path) as image:
        told = [float(str(image.header[key]).split()[0]) for key in keys]
    assert told == pytest.approx([0.9763, 200.0 * scale, 90.75], rel=1e-6)


def test_an_raxis_frame_has_its_texts_where_rigaku_documents_them(tmp_path):
    frame = raxis_frame(4, date=START, shape=SHAPE)
    assert frame[256:268] == b"21-Nov-2026\0"
    assert frame[92:172].rstrip(b"\0") == b"simulated"
    assert frame[172:256] == bytes(84)
    path = tmp_path / "x_00004.osc"
    path.write_bytes(frame)
    probe = formats.FORMATS["frames"].probe(str(path), None)
    assert probe.problem is None
    assert probe.facts["date"] == "2026-11-21T00:00:00"
    with fabio.open(path) as image:
        assert image.header["Memo"].rstrip(b"\0") == b"simulated"
        assert image.header["Xray Target"].rstrip(b"\0") == b"Cu"
        assert image.header["Exposure Time"] * 60 == probe.facts["exposure_s"]
        assert image.shape == (probe.facts["height_px"], probe.facts["width_px"]) == SHAPE


def test_fabio_reads_the_metadata_of_an_smv_frame(tmp_path):
    path = tmp_path / "x_00004.img"
    path.write_bytes(smv_frame(4, date=START))
    with fabio.open(path) as image:
        assert float(image.header["WAVELENGTH"]) == 0.9763
        assert float(image.header["OSC_START"]) == 1.5


# ---- the reference parsers, held against files of real instruments


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "version", "scans"), [("small.RAW", 57, (1, 48)), ("100225.raw", 63, (1, 33))])
def test_real_thermo_files_have_the_layout_that_simulated_ones_have(real_data, name, version, scans):
    blob = (real_data / "thermo" / name).read_bytes()
    said = parse_thermo(blob)
    assert (said["version"], said["scans"], said["in_acquisition"]) == (version, scans, 0)
    assert 0 < said["run_header"] < len(blob)


@pytest.mark.real_data
@pytest.mark.parametrize(("name", "functions"), [("white.raw", 6), ("indigo.raw", 1)])
def test_real_waters_directories_agree_as_simulated_ones_do(real_data, name, functions):
    files = {path.name: path.read_bytes() for path in (real_data / "waters" / name).iterdir()}
    assert len(check_waters(files)) == functions


@pytest.mark.real_data
def test_a_real_agilent_index_has_the_records_that_simulated_ones_have(real_data):
    data = real_data / "agilent" / "yellow.D" / "AcqData"
    scans = (data / "MSScan.bin").read_bytes()
    assert scans[:2] == agilent_d.scan_header()[:2]
    assert scans[88:92] == agilent_d.scan_header()[88:92]
    records = [struct.unpack_from("<i128xiqii", scans, at) for at in range(160, len(scans), SCAN_RECORD_BYTES)]
    assert [record[0] for record in records] == list(range(1, 2617))
    offsets = [record[2] for record in records]
    assert offsets[0] == PEAK_HEADER_BYTES
    assert offsets[1:] == [record[2] + record[3] for record in records[:-1]]
    assert all(record[3] == 16 * record[4] for record in records)


@pytest.mark.real_data
def test_real_bruker_blocks_follow_each_other_as_simulated_ones_do(real_data):
    directory = real_data / "bruker" / "dia_test.d"
    blob = (directory / "analysis.tdf_bin").read_bytes()
    with closing(sqlite3.connect(f"file:{directory}/analysis.tdf?mode=ro&immutable=1", uri=True)) as opened:
        offsets = [row[0] for row in opened.execute("SELECT TimsId FROM Frames ORDER BY Id")]
    lengths = [struct.unpack_from("<I", blob, offset)[0] for offset in offsets]
    assert [offset + length for offset, length in zip(offsets, lengths, strict=True)] == [*offsets[1:], len(blob)]
    zstd_magic = bruker_d.tims_block(1, frame_bytes=100)[8:12]
    assert {blob[offset + 8 : offset + 12] for offset in offsets} == {zstd_magic}


@pytest.mark.real_data
def test_a_simulated_minicbf_is_laid_out_as_a_real_one(real_data):
    def layout(frame):
        header = frame[: frame.index(b"\x0c\x1a\x04\xd5")]
        return re.findall(rb"^# ([A-Z]\w+)|^(X-[\w-]+|Content-[\w-]+)", header, re.MULTILINE)

    real = (real_data / "cbf" / "omega_scan.cbf").read_bytes()
    simulated = cbf_frame(1, date=START)
    assert cbf_binary(real)
    assert cbf_binary(simulated)
    # the real one has more axes and a beamline's template; what both have is in the same order
    common = [item for item in layout(simulated) if item in layout(real)]
    assert len(common) > 25
    assert common == [item for item in layout(real) if item in layout(simulated)]


# ---- Eiger


def frames_present(master_path):
    """Σ over the data files that are there, each opened by itself, as completion is decided."""
    with h5py.File(master_path, "r") as master:
        detector = master["entry/instrument/detector/detectorSpecific"]
        planned = int(detector["nimages"][()]) * int(detector["ntrigger"][()])
        links = [master["entry/data"].get(key, getlink=True) for key in master["entry/data"]]
    present = 0
    for link in links:
        path = master_path.parent / link.filename
        if path.exists():
            with h5py.File(path, "r") as data:
                present += data[link.path].shape[0]
    return planned, present, len(links)


def test_an_eiger_master_leads_to_every_image(tmp_path):
    write_eiger(tmp_path, "lyso_1", images=5, ntrigger=3, images_per_file=4, shape=SHAPE)
    assert frames_present(tmp_path / "lyso_1_master.h5") == (15, 15, 4)
    with h5py.File(tmp_path / "lyso_1_master.h5", "r") as master:
        data = master["entry/data"]
        ranges = [(data[key].attrs["image_nr_low"], data[key].attrs["image_nr_high"]) for key in data]
        assert ranges == [(1, 4), (5, 8), (9, 12), (13, 15)]
        image = data["data_000003"][1]
        wavelength_a = master["entry/instrument/beam/incident_wavelength"][()]
    counts = images.frame(10, shape=SHAPE)
    assert np.array_equal(image, np.where(counts < 0, 2**32 - 1, counts))
    assert wavelength_a == 0.9763


def test_eiger_marks_the_gaps_between_its_modules_with_the_largest_number(tmp_path):
    shape = (551, 24)
    write_eiger(tmp_path, "x", images=1, shape=shape)
    with h5py.File(tmp_path / "x_data_000001.h5", "r") as opened:
        image = opened["entry/data/data"][0]
    hidden = images.frame(1, shape=shape, tiling=images.EIGER) < 0
    assert hidden[512:550].all()
    assert not hidden[:512].all(axis=1).any()
    assert (image[hidden] == 4_294_967_295).all()
    assert image[~hidden].max() < 1 << 20


def test_an_aborted_eiger_series_links_to_files_that_never_come(tmp_path):
    write_eiger(tmp_path, "lyso_1", images=20, images_per_file=5, shape=SHAPE, upto_images=7)
    assert frames_present(tmp_path / "lyso_1_master.h5") == (20, 7, 4)
    assert not (tmp_path / "lyso_1_data_000003.h5").exists()


def test_an_eiger_data_file_says_while_it_is_open_for_writing(tmp_path):
    writer = EigerWriter(tmp_path, "x", images=2, shape=SHAPE)
    path = tmp_path / "x_data_000001.h5"
    writer.add_image(1)
    growing = path.read_bytes()
    writer.close()
    closed = path.read_bytes()
    assert (growing[8], growing[11]) == (3, 1)
    assert (closed[8], closed[11]) == (3, 0)
    assert struct.unpack_from("<Q", closed, 28)[0] == len(closed)


def test_an_eiger_writer_refuses_a_file_that_is_there(tmp_path):
    (tmp_path / "lyso_1_data_000001.h5").write_bytes(b"beam time of years")
    with pytest.raises(FileExistsError, match="never writes over"):
        write_eiger(tmp_path, "lyso_1", images=1, shape=SHAPE)
    assert (tmp_path / "lyso_1_data_000001.h5").read_bytes() == b"beam time of years"


# ---- instruments in health


@pytest.mark.parametrize(("format_name", "suffix"), FRAME_SERIES.items())
def test_a_detector_writes_every_frame(tmp_path, format_name, suffix):
    simulate(tmp_path, format_name)
    assert sorted(tree(tmp_path)) == [f"sim_1_{number:05d}{suffix}" for number in range(1, FRAMES + 1)]
    with fabio.open(tmp_path / f"sim_1_00001{suffix}") as image:
        assert image.shape == SHAPE


def test_eiger_writes_its_master_first_and_then_all_images(tmp_path):
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append(sorted(tree(tmp_path)))
    simulate(tmp_path, "eiger", clock=clock)
    assert seen[0] == ["sim_1_master.h5"]
    assert frames_present(tmp_path / "sim_1_master.h5") == (FRAMES, FRAMES, 4)


def test_diamond_maps_all_images_at_arm_and_says_at_the_end_when_it_ended(tmp_path):
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append((sorted(tree(tmp_path)), (tmp_path / "sim_1.nxs").read_bytes()[11]))
    simulate(tmp_path, "diamond", clock=clock)
    assert seen[0] == (["sim_1.nxs", "sim_1_meta.h5"], 1)
    assert {flag for _names, flag in seen} == {1}
    with h5py.File(tmp_path / "sim_1.nxs", "r") as nexus:
        data = nexus["entry/data/data"]
        assert data.is_virtual
        assert data.shape == (FRAMES, *SHAPE)
        assert {source.file_name for source in data.virtual_sources()} == {f"sim_1_{n:06d}.h5" for n in range(1, 5)}
        counts = images.frame(5, shape=SHAPE)
        assert np.array_equal(data[4], np.where(counts < 0, 2**32 - 1, counts))
        assert nexus["entry/end_time"][()] == b"2026-11-21T02:14:07.800000+00:00"
        assert nexus["entry/instrument/beam/incident_wavelength"][()] == 0.9763
    with h5py.File(tmp_path / "sim_1_meta.h5", "r") as meta:
        assert meta["_dectris/nimages"][()] == FRAMES


def test_an_aborted_diamond_scan_is_closed_without_an_end_time(tmp_path):
    simulate(tmp_path, "diamond", "abort")
    with h5py.File(tmp_path / "sim_1.nxs", "r") as nexus:
        assert "end_time" not in nexus["entry"]
        assert "end_time_estimated" in nexus["entry"]


def test_bruker_keeps_its_index_in_a_wal_until_the_end(tmp_path):
    index, data = tmp_path / "sim_1.d" / "analysis.tdf", tmp_path / "sim_1.d" / "analysis.tdf_bin"
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append(
        ((index.parent / "analysis.tdf-wal").stat().st_size, index.read_bytes()[18:20], data.stat().st_size)
    )
    simulate(tmp_path, "bruker-d", clock=clock)
    assert all(wal_bytes > 0 for wal_bytes, _mode, _data_bytes in seen)
    assert {mode for _wal_bytes, mode, _data_bytes in seen} <= {b"\2\2", b""}
    assert [size for _wal, _mode, size in seen] == sorted(size for _wal, _mode, size in seen)
    assert sorted(path.name for path in index.parent.iterdir()) == ["analysis.tdf", "analysis.tdf_bin"]
    assert index.read_bytes()[18:20] == b"\1\1"
    blob = data.read_bytes()
    with closing(sqlite3.connect(f"file:{index}?mode=ro&immutable=1", uri=True)) as opened:
        rows = opened.execute("SELECT Id, TimsId FROM Frames ORDER BY Id").fetchall()
        said = dict(opened.execute("SELECT Key, Value FROM GlobalMetadata"))
    ends = [offset + struct.unpack_from("<I", blob, offset)[0] for _frame, offset in rows]
    assert [frame for frame, _offset in rows] == list(range(1, FRAMES + 1))
    assert [0, *ends] == [offset for _frame, offset in rows] + [len(blob)]
    assert (said["ClosedProperly"], said["SampleName"]) == ("1", "sim_1")


def test_an_aborted_bruker_run_leaves_its_wal_and_was_not_closed_properly(tmp_path):
    simulate(tmp_path, "bruker-d", "abort")
    names = sorted(path.name for path in (tmp_path / "sim_1.d").iterdir())
    assert names == ["analysis.tdf", "analysis.tdf-shm", "analysis.tdf-wal", "analysis.tdf_bin"]
    assert (tmp_path / "sim_1.d" / "analysis.tdf-wal").stat().st_size > 0


def test_agilent_counts_its_status_up_and_writes_no_record_before_its_peaks(tmp_path):
    data = tmp_path / "sim_1.d" / "AcqData"
    seen = []
    clock = Clock()

    def look():
        status = re.search(rb"<AcqStatus>(\d)", (data / "Contents.xml").read_bytes())[1]
        records = ((data / "MSScan.bin").stat().st_size - 160) // SCAN_RECORD_BYTES
        spectra = ((data / "MSPeak.bin").stat().st_size - PEAK_HEADER_BYTES) // (1000 // 16 * 16)
        seen.append((int(status), records, spectra, (data / "MSTS.xml").exists()))

    clock.on_sleep = look
    simulate(tmp_path, "agilent-d", clock=clock)
    look()
    assert seen[0] == (0, 0, 0, False)
    assert {status for status, *_rest in seen[1:-1]} == {1}
    assert all(records <= spectra for _status, records, spectra, _segments in seen)
    assert seen[-1] == (2, FRAMES, FRAMES, True)


def test_sciex_moves_its_scans_at_the_end(tmp_path):
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append(sizes(tmp_path))
    simulate(tmp_path, "sciex", clock=clock)
    assert {look["sim_1.wiff.scan"] for look in seen} == {44}
    assert [look["sim_1.timeseries.data"] for look in seen[:-1]] == [1000 * n for n in range(FRAMES)]
    assert sizes(tmp_path)["sim_1.wiff.scan"] > 144 + FRAMES * 1000


def in_acquisition(blob):
    """Read the flag of a file that may still grow: its run header need not be there yet."""
    return parse_thermo(blob + bytes(100_000))["in_acquisition"]


def test_thermo_grows_marked_and_is_rewritten_when_it_ends(tmp_path):
    path = tmp_path / "sim_1.raw"
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append(path.read_bytes())
    simulate(tmp_path, "thermo-raw", clock=clock)
    ended = path.read_bytes()
    assert [in_acquisition(blob) for blob in seen] == [1] * (FRAMES + 1)
    assert parse_thermo(ended)["scans"] == (1, FRAMES)
    assert [len(b) - len(a) for a, b in itertools.pairwise(seen)] == [1000] * FRAMES
    assert in_acquisition(ended) == 0
    assert len(ended) > len(seen[-1])


def test_waters_functions_grow_with_their_index_behind_and_the_logs_last(tmp_path):
    seen = []
    clock = Clock()
    clock.on_sleep = lambda: seen.append(sizes(tmp_path))
    simulate(tmp_path, "waters-raw", clock=clock)
    index, data = "sim_1.raw/_FUNC001.IDX", "sim_1.raw/_FUNC001.DAT"
    assert any(look[data] // 96 > look[index] // 22 for look in seen)
    assert not any(look[data] // 96 < look[index] // 22 for look in seen)
    # the last sleep but one comes before both logs, the last one between them
    assert "sim_1.raw/_extern.inf" not in seen[-2]
    assert "sim_1.raw/_INLET.INF" not in seen[-1]
    expected = {f"sim_1.raw/{name}": len(content) for name, content in waters_files(scans=FRAMES).items()}
    assert sizes(tmp_path).keys() == expected.keys()
    assert sizes(tmp_path)[data] == expected[data]


def test_a_run_takes_the_time_that_its_rate_says(tmp_path):
    assert simulate(tmp_path, "pilatus").slept_s == pytest.approx(FRAMES / 10.0)


def test_time_lost_by_writing_is_made_up_for(tmp_path):
    clock = Clock()

    clock.on_sleep = lambda: clock.spend(0.01)  # a slow disk
    simulate(tmp_path, "file", clock=clock)
    assert clock.elapsed_s == pytest.approx(FRAMES / 10.0 + 0.01)


@pytest.mark.parametrize("days", [-365, 365])
def test_a_wall_clock_that_is_set_does_not_change_the_pace(tmp_path, days):
    clock = Clock()

    def set_once():
        clock.on_sleep = lambda: None
        clock.moment += timedelta(days=days)

    clock.on_sleep = set_once
    assert simulate(tmp_path, "file", clock=clock).slept_s == pytest.approx(FRAMES / 10.0)


def test_progress_counts_the_frames(tmp_path):
    heard = []
    simulate(tmp_path, "pilatus", on_progress=lambda done, total: heard.append((done, total)))
    assert heard == [(done, FRAMES) for done in range(FRAMES + 1)]


def test_a_stopped_run_leaves_at_once_with_its_files_closed(tmp_path):
    heard = []
    simulate(tmp_path, "eiger", on_progress=lambda done, _: heard.append(done), stop=lambda: heard[-1] == 3)
    assert heard[-1] == 3
    assert frames_present(tmp_path / "sim_1_master.h5")[1] == 3


# ---- faults: each format, as far as it makes sense


@pytest.mark.parametrize(("format_name", "fault"), PAIRS)
def test_every_fault_runs_and_leaves_nothing_temporary(tmp_path, format_name, fault):
    simulate(tmp_path, format_name, fault)
    names = tree(tmp_path)
    assert names
    assert not [name for name in names if re.search(r"(^|/)\.", name)]


def formats_with(fault):
    return [name for name in SIMULATORS if fault in faults_of(name)]


@pytest.mark.parametrize("format_name", formats_with(Fault.ABORT))
def test_abort_leaves_half(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    heard = []
    simulate(tmp_path / "ill", format_name, "abort", on_progress=lambda done, total: heard.append((done, total)))
    ill = tree(tmp_path / "ill")
    assert heard[-1] == (FRAMES // 2, FRAMES)
    wal = {"sim_1.d/analysis.tdf-wal", "sim_1.d/analysis.tdf-shm"} if format_name == "bruker-d" else set()
    assert sum(len(data) for name, data in ill.items() if name not in wal) < sum(map(len, whole.values()))
    assert ill.keys() - wal <= whole.keys()


def test_an_aborted_thermo_run_stays_marked(tmp_path):
    simulate(tmp_path, "thermo-raw", "abort")
    assert in_acquisition((tmp_path / "sim_1.raw").read_bytes()) == 1


def test_an_aborted_waters_run_has_no_logs(tmp_path):
    simulate(tmp_path, "waters-raw", "abort")
    assert not (tmp_path / "sim_1.raw" / "_INLET.INF").exists()


@pytest.mark.parametrize("format_name", formats_with(Fault.GAP))
def test_gap_leaves_a_hole_inside(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    simulate(tmp_path / "ill", format_name, "gap")
    missing = sorted(whole.keys() - tree(tmp_path / "ill").keys())
    suffix = FRAME_SERIES.get(format_name)
    assert missing == (
        [f"sim_1_00005{suffix}"]
        if suffix
        else {
            "eiger": ["sim_1_data_000002.h5"],
            "diamond": ["sim_1_000002.h5"],
            "waters-raw": ["sim_1.raw/_FUNC002.DAT", "sim_1.raw/_FUNC002.IDX"],
            "directory": ["sim_1/part_00005.dat"],
        }[format_name]
    )


@pytest.mark.parametrize("format_name", formats_with(Fault.TRUNCATED))
def test_truncated_cuts_the_last_data_file_alone(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    simulate(tmp_path / "ill", format_name, "truncated")
    ill = sizes(tmp_path / "ill")
    cut = last_data_file(format_name)
    assert ill == {name: int(len(data) * 0.6) if name == cut else len(data) for name, data in whole.items()}


@pytest.mark.parametrize("format_name", formats_with(Fault.RESTART))
def test_restart_writes_the_first_half_twice(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    heard = []
    clock = simulate(tmp_path / "ill", format_name, "restart", on_progress=lambda done, total: heard.append(total))
    assert same_but_for_dates(tree(tmp_path / "ill"), whole)
    assert heard[-1] == FRAMES + FRAMES // 2
    assert clock.slept_s > FRAMES / 10.0


def test_a_restarted_series_has_a_new_date_in_its_first_frame(tmp_path):
    path = tmp_path / "sim_1_00001.cbf"
    dates = []
    clock = Clock()

    def look():
        found = re.search(rb"\r\n# (2026-\S+)\r\n", path.read_bytes()) if path.exists() else None
        if found and found[1] not in dates:
            dates.append(found[1])

    clock.on_sleep = look
    simulate(tmp_path, "pilatus", "restart", clock=clock)
    assert len(dates) == 2
    assert dates[0] < dates[1]


@pytest.mark.parametrize("format_name", formats_with(Fault.RENAME))
def test_rename_shows_nothing_half_written(tmp_path, format_name):
    whole = {name: len(data) for name, data in healthy(tmp_path, format_name).items()}
    ill = tmp_path / "ill"
    looks = []
    clock = Clock()
    clock.on_sleep = lambda: looks.append(sizes(ill))
    simulate(ill, format_name, "rename", clock=clock)
    assert sizes(ill) == whole
    assert any(name.startswith(".") for look in looks for name in look)
    for look in looks:
        assert {name: size for name, size in look.items() if not name.startswith(".")}.items() <= whole.items()


@pytest.mark.parametrize("format_name", formats_with(Fault.OLD_MTIMES))
def test_old_mtimes_are_a_week_old_in_every_file(tmp_path, format_name):
    simulate(tmp_path, format_name, "old-mtimes")
    week_ago_s = (START - timedelta(days=7)).timestamp()
    assert {path.stat().st_mtime for path in tmp_path.rglob("*") if path.is_file()} == {week_ago_s}


@pytest.mark.parametrize("format_name", formats_with(Fault.FUTURE_MTIMES))
def test_future_mtimes_are_a_day_ahead_in_every_file(tmp_path, format_name):
    simulate(tmp_path, format_name, "future-mtimes")
    tomorrow_s = (START + timedelta(days=1)).timestamp()
    assert {path.stat().st_mtime for path in tmp_path.rglob("*") if path.is_file()} == {tomorrow_s}


@pytest.mark.parametrize("format_name", formats_with(Fault.CORRUPT))
def test_corrupt_changes_no_length_and_few_files(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    simulate(tmp_path / "ill", format_name, "corrupt")
    ill = tree(tmp_path / "ill")
    assert sizes(tmp_path / "ill") == {name: len(data) for name, data in whole.items()}
    changed = {name for name, data in whole.items() if ill[name] != data}
    assert changed
    assert changed <= (
        {"sim_1.raw/_FUNC001.IDX", "sim_1.raw/_FUNC002.IDX"}
        if format_name == "waters-raw"
        else {"sim_1.d/AcqData/MSScan.bin"}
        if format_name == "agilent-d"
        else {last_data_file(format_name).replace("00008", "00005").replace("000004", "000003")}
    )


def test_the_checksum_of_a_corrupt_cbf_is_that_of_the_pixels_it_should_have(tmp_path):
    simulate(tmp_path, "pilatus", "corrupt")
    problems = {}
    for path in sorted(tmp_path.iterdir()):
        check = formats.FORMATS["frames"].content_check(path.name)
        check.update(path.read_bytes())
        problems[path.name] = check.problem()
    assert [name for name, problem in problems.items() if problem] == ["sim_1_00005.cbf"]


@pytest.mark.parametrize("format_name", formats_with(Fault.TWO_WAVELENGTHS))
def test_two_wavelengths_change_half_way(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    simulate(tmp_path / "ill", format_name, "two-wavelengths")
    ill = tree(tmp_path / "ill")
    changed = [name for name in sorted(whole) if ill[name] != whole[name]]
    # a header that counts the frames of its series counts those of its own wavelength
    assert changed == sorted(whole)[0 if format_name == "bruker" else FRAMES // 2 :]


@pytest.mark.parametrize("format_name", formats_with(Fault.INTERLEAVED))
def test_interleaved_series_come_in_turn(tmp_path, format_name):
    order = []
    clock = Clock()
    clock.on_sleep = lambda: order.extend(sorted(set(tree(tmp_path)) - set(order)))
    heard = []
    simulate(tmp_path, format_name, "interleaved", clock=clock, on_progress=lambda *each: heard.append(each))
    suffix = FRAME_SERIES[format_name]
    in_turn = [f"{name}_{n:05d}{suffix}" for n in range(1, FRAMES + 1) for name in ("sim_1", "sim_1_b")]
    assert order == in_turn
    assert heard[-1] == (2 * FRAMES, 2 * FRAMES)
    assert clock.slept_s == pytest.approx(2 * FRAMES / 10.0)


@pytest.mark.parametrize("format_name", formats_with(Fault.LATE))
def test_late_comes_after_all_others_and_a_long_silence(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    ill = tmp_path / "ill"
    looks = []
    clock = Clock()
    clock.on_sleep = lambda: looks.append((clock.pauses_s[-1], set(tree(ill))))
    simulate(ill, format_name, "late", clock=clock)
    assert tree(ill).keys() == whole.keys()
    assert clock.slept_s == pytest.approx((FRAMES - 1 + 20) / 10.0)
    _, there_after_the_silence = max(looks, key=lambda look: look[0])
    (late,) = whole.keys() - there_after_the_silence
    assert late == last_data_file(format_name).replace("00008", "00005").replace("000004", "000002")


@pytest.mark.parametrize("format_name", formats_with(Fault.PREALLOCATED))
def test_preallocated_files_have_their_size_before_their_content(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    ill = tmp_path / "ill"
    looks = []
    clock = Clock()
    # SQLite alone decides on the size of an index
    clock.on_sleep = lambda: looks.append({name: data for name, data in tree(ill).items() if not is_index(name)})
    simulate(ill, format_name, "preallocated", clock=clock)
    assert same_but_for_dates(tree(ill), whole)
    for look in looks:
        assert {name: len(data) for name, data in look.items()}.items() <= {n: len(d) for n, d in whole.items()}.items()
    if format_name != "directory":  # whose parts are written in one go
        assert any(data.endswith(bytes(500)) and data != whole[name] for look in looks for name, data in look.items())


@pytest.mark.parametrize("format_name", formats_with(Fault.SLOW))
def test_slow_takes_ten_times_as_long_and_leaves_the_same(tmp_path, format_name):
    pace = simulate(tmp_path / "healthy", format_name).slept_s
    assert simulate(tmp_path / "ill", format_name, "slow").slept_s == pytest.approx(10 * pace)
    assert same_but_for_dates(tree(tmp_path / "ill"), tree(tmp_path / "healthy"))


# ---- what is there already is never touched


@pytest.mark.parametrize("format_name", SIMULATORS)
def test_a_second_run_is_refused_and_changes_nothing(tmp_path, format_name):
    simulate(tmp_path, format_name)
    before = tree(tmp_path)
    with pytest.raises(FileExistsError, match="choose another name or an empty directory"):
        simulate(tmp_path, format_name, seed=1)
    assert tree(tmp_path) == before


def test_a_file_that_appears_during_the_run_is_not_overwritten(tmp_path):
    victim = tmp_path / "sim_1_00005.cbf"
    clock = Clock()
    clock.on_sleep = lambda: victim.write_bytes(b"real")
    with pytest.raises(FileExistsError):
        simulate(tmp_path, "pilatus", clock=clock)
    assert victim.read_bytes() == b"real"


@pytest.mark.parametrize("format_name", ["pilatus", "eiger", "thermo-raw"])
def test_a_rename_does_not_replace_a_file_that_appeared(tmp_path, format_name):
    victim = tmp_path / last_data_file(format_name)
    clock = Clock()
    clock.on_sleep = lambda: victim.write_bytes(b"real")
    with pytest.raises(FileExistsError):
        simulate(tmp_path, format_name, "rename", clock=clock)
    assert victim.read_bytes() == b"real"


def test_nothing_is_written_through_a_dangling_link(tmp_path):
    target = tmp_path / "elsewhere"
    os.symlink(target, tmp_path / "sim_1.dat")
    with pytest.raises(FileExistsError):
        simulate(tmp_path, "file")
    assert not target.exists()


def test_other_series_of_the_same_directory_do_not_matter(tmp_path):
    simulate(tmp_path, "pilatus", name="lyso_1")
    simulate(tmp_path, "pilatus", name="lyso")
    assert len(tree(tmp_path)) == 2 * FRAMES


def test_a_series_of_which_one_dataset_is_there_is_refused_before_anything_is_written(tmp_path):
    plans = series_of(Plan("file", tmp_path, frames=1), 3)
    (tmp_path / "sim_3.dat").write_bytes(b"real")
    with pytest.raises(FileExistsError, match=r"sim_3\.dat is there already"):
        refuse_existing(plans)
    assert len(tree(tmp_path)) == 1


def test_the_second_of_two_interleaved_series_is_never_written_over(tmp_path):
    (tmp_path / "sim_1_b_00007.cbf").write_bytes(b"real")
    with pytest.raises(FileExistsError, match="sim_1_b_00007"):
        simulate(tmp_path, "pilatus", "interleaved")
    assert len(tree(tmp_path)) == 1


def test_names_of_any_script_and_bytes_are_taken(tmp_path):
    for format_name in SIMULATORS:
        simulate(tmp_path / format_name, format_name, name="Probe [é]\udcff {1}", frames=1)
        assert tree(tmp_path / format_name)


# ---- what our own formats make of it


def verdicts(directory, format_name):
    """Return the verdicts, by dataset, once nothing has changed for two hours."""
    found = formats.group(listing_of(directory), format_name)
    return {part.name: verdict for dataset in found for part, verdict in judged(directory, dataset)}


def listing_of(directory):
    def stat(path):
        return file_stat(str(path.relative_to(directory)), path.lstat())

    entries = sorted(directory.iterdir())
    trees = {
        path.name: tuple(stat(below) for below in sorted(path.rglob("*")) if below.is_file())
        for path in entries
        if path.is_dir()
    }
    return Listing("", tuple(stat(path) for path in entries if path.is_file()), trees)


def judged(directory, dataset, quiet_s=7200.0):
    form = formats.FORMATS[dataset.format]
    said = {file.path: form.probe(str(directory / file.path), file) for file in dataset.files}
    probes = {path: probe for path, probe in said.items() if probe is not None}
    for part in form.split(dataset, probes):
        own = {file.path: probes[file.path] for file in part.files if file.path in probes}
        yield part, form.judge(part, own, Quiet(quiet_s, quiet_s), Terms(30.0))


@pytest.mark.parametrize("format_name", ["eiger", "diamond", "thermo-raw", "bruker-d", "agilent-d", "sciex"])
def test_what_says_itself_that_it_goes_on_is_growing_through_any_pause_of_minutes(tmp_path, format_name):
    seen = []
    clock = Clock()

    def look():
        for dataset in formats.group(listing_of(tmp_path), "auto"):
            seen.extend(verdict.kind for _part, verdict in judged(tmp_path, dataset, quiet_s=590.0))

    clock.on_sleep = look
    simulate(tmp_path, format_name, clock=clock)
    assert set(seen) == {VerdictKind.GROWING}
    look()
    assert seen[-1] == (VerdictKind.GROWING if format_name == "sciex" else VerdictKind.COMPLETE)


HARMLESS = [
    None,
    Fault.SLOW,
    Fault.RENAME,
    Fault.OLD_MTIMES,
    Fault.FUTURE_MTIMES,
    Fault.PREALLOCATED,
    Fault.LATE,
    Fault.RESTART,
]


@pytest.mark.parametrize(
    ("format_name", "fault"),
    [(name, fault) for name in SIMULATORS for fault in HARMLESS if fault is None or fault in faults_of(name)],
)
def test_what_ended_well_is_complete_by_our_own_formats(tmp_path, format_name, fault):
    simulate(tmp_path, format_name, fault)
    by = format_name if format_name in ("file", "directory") else "auto"
    found = verdicts(tmp_path, by)
    assert {name: verdict.kind for name, verdict in found.items()} == {"sim_1": VerdictKind.COMPLETE}, found


BY_FAULT = {
    Fault.GAP: {
        **dict.fromkeys(FRAME_SERIES, VerdictKind.GAPPED),
        "eiger": VerdictKind.ABORTED,
        "diamond": VerdictKind.ABORTED,
        "waters-raw": VerdictKind.TRUNCATED,
    },
    Fault.TRUNCATED: {
        **dict.fromkeys(FRAME_SERIES, VerdictKind.CORRUPT),
        "eiger": VerdictKind.CORRUPT,
        "diamond": VerdictKind.CORRUPT,
        "thermo-raw": VerdictKind.TRUNCATED,
        "waters-raw": VerdictKind.TRUNCATED,
        "bruker-d": VerdictKind.TRUNCATED,
        "agilent-d": VerdictKind.TRUNCATED,
    },
    Fault.CORRUPT: {
        "thermo-raw": VerdictKind.TRUNCATED,
        "waters-raw": VerdictKind.TRUNCATED,
        "bruker-d": VerdictKind.TRUNCATED,
    },
    Fault.ABORT: {
        "bruker": VerdictKind.TRUNCATED,
        "eiger": VerdictKind.ABORTED,
        "diamond": VerdictKind.ABORTED,
        "thermo-raw": VerdictKind.ABORTED,
        "bruker-d": VerdictKind.ABORTED,
        "agilent-d": VerdictKind.ABORTED,
        "sciex": VerdictKind.ABORTED,
    },
}
"""Where a format can tell at all; elsewhere the rule's own count, or a checksum while it is archived, must."""


@pytest.mark.parametrize(
    ("format_name", "fault", "kind"),
    [(name, fault, kind) for fault, kinds in BY_FAULT.items() for name, kind in kinds.items()],
)
def test_what_did_not_is_found_out_by_our_own_formats(tmp_path, format_name, fault, kind):
    simulate(tmp_path, format_name, fault)
    found = verdicts(tmp_path, "auto")
    assert {name: verdict.kind for name, verdict in found.items()} == {"sim_1": kind}, found


def test_interleaved_series_are_two_datasets(tmp_path):
    simulate(tmp_path, "pilatus", "interleaved")
    assert verdicts(tmp_path, "auto").keys() == {"sim_1", "sim_1_b"}


@pytest.mark.parametrize("format_name", formats_with(Fault.TWO_WAVELENGTHS))
def test_two_wavelengths_are_two_datasets(tmp_path, format_name):
    simulate(tmp_path, format_name, "two-wavelengths")
    found = verdicts(tmp_path, "auto")
    assert [(verdict.kind, verdict.frames.present) for verdict in found.values()] == [
        (VerdictKind.COMPLETE, FRAMES // 2)
    ] * 2, found
