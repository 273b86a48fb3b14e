"""Simulated instruments on a real disk, with a clock that only moves when they sleep."""

import itertools
import logging
import os
import re
import struct
from datetime import UTC, datetime, timedelta

import fabio
import h5py
import numpy as np
import pytest
from reference_parsers import cbf_binary, check_waters, parse_thermo

from depositd.simulate import SIMULATORS, Plan, images
from depositd.simulate.instruments import run
from depositd.simulate.plan import Fault, faults_of
from depositd.simulate.writers import (
    EigerWriter,
    cbf_frame,
    full_cbf_frame,
    marccd_frame,
    smv_frame,
    waters_files,
    write_eiger,
)

START = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
FRAMES = 8
SHAPE = (32, 24)
FRAME_SERIES = {"pilatus": ".cbf", "frames": ".cbf", "cbf": ".cbf", "smv": ".img", "marccd": ".mccd"}
PAIRS = [(name, fault) for name in SIMULATORS for fault in faults_of(name)]
"""All that can be asked for."""


class Clock:
    def __init__(self):
        self.moment = START
        self.pauses_s = []
        self.on_sleep = lambda: None

    @property
    def slept_s(self):
        return sum(self.pauses_s)

    def now(self):
        return self.moment

    def sleep(self, seconds):
        assert seconds > 0
        self.pauses_s.append(seconds)
        self.moment += timedelta(seconds=seconds)
        self.on_sleep()


def simulate(directory, format_name, fault=None, clock=None, **fields):
    clock = clock or Clock()
    fields = {"name": "sim_1", "frames": FRAMES, "rate_hz": 10.0, "shape": SHAPE, "frame_bytes": 1000} | fields
    listen = {key: fields.pop(key) for key in ("on_progress", "stop") if key in fields}
    run(Plan(format_name, directory, fault=fault, **fields), sleep=clock.sleep, now=clock.now, **listen)
    return clock


def tree(directory):
    return {str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()}


def sizes(directory):
    return {name: len(data) for name, data in tree(directory).items()}


def healthy(tmp_path, format_name):
    simulate(tmp_path / "healthy", format_name)
    return tree(tmp_path / "healthy")


def same_but_for_dates(left, right):
    """Headers carry the time of day; all else of a frame is fixed by number and seed."""
    return {name: len(data) for name, data in left.items()} == {name: len(data) for name, data in right.items()}


def last_data_file(format_name):
    suffix = FRAME_SERIES.get(format_name)
    if suffix:
        return f"sim_1_{FRAMES:05d}{suffix}"
    return {
        "eiger": "sim_1_data_000004.h5",
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


@pytest.mark.parametrize(("make", "suffix", "offset"), [(smv_frame, ".img", 40), (marccd_frame, ".mccd", 10)])
def test_fabio_opens_frames_of_integrating_detectors(tmp_path, make, suffix, offset):
    path = tmp_path / f"x_00004{suffix}"
    path.write_bytes(make(4, date=START, shape=(64, 48), seed=2))
    with fabio.open(path) as image:
        expected = images.positive(images.frame(4, shape=(64, 48), seed=2), offset=offset)
        assert np.array_equal(image.data, expected)


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

    def slow_disk():
        clock.moment += timedelta(seconds=0.01)

    clock.on_sleep = slow_disk
    simulate(tmp_path, "file", clock=clock)
    assert (clock.moment - START).total_seconds() == pytest.approx(FRAMES / 10.0 + 0.01)


def test_a_clock_that_is_set_back_does_not_stop_the_instrument(tmp_path):
    clock = Clock()

    def set_back_once():
        clock.on_sleep = lambda: None
        clock.moment -= timedelta(days=365)

    clock.on_sleep = set_back_once
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
    assert sum(map(len, ill.values())) < sum(map(len, whole.values()))
    assert ill.keys() <= whole.keys()


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
    assert late == ("sim_1_data_000002.h5" if format_name == "eiger" else last_data_file(format_name).replace("8", "5"))


@pytest.mark.parametrize("format_name", formats_with(Fault.PREALLOCATED))
def test_preallocated_files_have_their_size_before_their_content(tmp_path, format_name):
    whole = healthy(tmp_path, format_name)
    ill = tmp_path / "ill"
    looks = []
    clock = Clock()
    clock.on_sleep = lambda: looks.append(tree(ill))
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


def test_names_of_any_script_and_bytes_are_taken(tmp_path):
    for format_name in SIMULATORS:
        simulate(tmp_path / format_name, format_name, name="Probe [é]\udcff {1}", frames=1)
        assert tree(tmp_path / format_name)
