"""Eiger and NXmx files as h5py writes them: whole, unfinished, odd, damaged and hostile."""

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from format_files import scan_tree

from depositd.formats import FORMATS, group
from depositd.formats.hdf5 import OPEN_FACT, probe_hdf5
from depositd.formats.hdf5_reader import Reader
from depositd.model import Frames, Quiet, Terms, VerdictKind

EIGER = FORMATS["eiger"]
DETECTOR = "entry/instrument/detector"
SPECIFIC = f"{DETECTOR}/detectorSpecific"
STACK = np.arange(4 * 20 * 30, dtype="u4").reshape(4, 20, 30)


def write_data(path, number=1, stack=STACK, place="entry/data/data", **how):
    options = {"libver": how.pop("libver", "earliest"), "userblock_size": how.pop("userblock_size", 0)}
    with h5py.File(path, "w", **options) as opened:
        data = opened.create_dataset(place, data=stack, **{"chunks": (1, *stack.shape[1:])} | how)
        data.attrs["image_nr_low"] = 4 * number - 3
        data.attrs["image_nr_high"] = 4 * number


def write_master(path, values=None, links=(), **options):
    said = {f"{SPECIFIC}/nimages": 12, f"{SPECIFIC}/ntrigger": 1} if values is None else values
    with h5py.File(path, "w", **options) as opened:
        opened.create_group("entry/data")
        for place, value in said.items():
            opened[place] = value
        for number, link in enumerate(links, 1):
            opened[f"entry/data/data_{number:06}"] = h5py.ExternalLink(link, "/entry/data/data")


def write_series(root, values=None, files=3):
    names = [f"x_data_{number:06}.h5" for number in (1, 2, 3)]
    write_master(root / "x_master.h5", values, names)
    for number, name in enumerate(names[:files], 1):
        write_data(root / name, number)


def write_virtual(path, frames=12, end_time=None, maxshape=None):
    """A master whose stack maps data files named as Diamond names them."""
    layout = h5py.VirtualLayout((frames, 20, 30), "u4", maxshape=maxshape)
    if maxshape:
        source = h5py.VirtualSource("i03_1_000001.h5", "data", (4, 20, 30), maxshape=(None, 20, 30))
        layout[0 : h5py.h5s.UNLIMITED] = source[0 : h5py.h5s.UNLIMITED]
    for number in range(1, 0 if maxshape else frames // 4 + 1):
        source = h5py.VirtualSource(f"i03_1_{number:06}.h5", "data", (4, 20, 30))
        layout[4 * number - 4 : 4 * number] = source
    with h5py.File(path, "w", libver="latest") as opened:
        opened.create_virtual_dataset("entry/data/data", layout)
        opened[f"{DETECTOR}/pixel_mask"] = h5py.ExternalLink("i03_1_meta.h5", "/mask")
        opened["entry/end_time_estimated"] = "2026-11-21T02:20:00"
        if end_time:
            opened["entry/end_time"] = end_time


def look(root, quiet_s=1e6):
    (dataset,) = group(scan_tree(root), "eiger")
    probes = {file.path: EIGER.probe(str(root / file.path), file) for file in dataset.files}
    verdict = EIGER.judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(30.0))
    return verdict, EIGER.metadata(dataset, probes), probes


def test_a_copy_in_the_place_of_a_data_file_is_found_by_its_image_numbers(tmp_path):
    write_series(tmp_path)
    assert look(tmp_path)[0].kind is VerdictKind.COMPLETE
    shutil.copyfile(tmp_path / "x_data_000001.h5", tmp_path / "x_data_000002.h5")
    verdict = look(tmp_path)[0]
    assert verdict.kind is VerdictKind.CORRUPT
    assert "images 1-4 are in two data files: x_data_000001.h5 and x_data_000002.h5" in verdict.evidence
    assert verdict.frames == Frames(8, 12, (5, 6, 7, 8))


# Diamond and NXmx


def test_a_short_series_is_aborted_as_soon_as_nexus_says_that_it_has_ended(tmp_path):
    write_virtual(tmp_path / "i03_1.nxs", end_time="2026-11-21T02:14:07Z")
    write_master(tmp_path / "i03_1_meta.h5", {"mask": 1})
    for number in (1, 2, 3):
        write_data(tmp_path / f"i03_1_{number:06}.h5", number, STACK[: 4 if number < 3 else 1], place="data")
    assert look(tmp_path, 29.0)[0].kind is VerdictKind.GROWING
    verdict = look(tmp_path, 30.0)[0]
    assert verdict.kind is VerdictKind.ABORTED
    assert verdict.evidence[:2] == ("9 of 12 frames", "3 frames never came")


def test_diamonds_files_are_one_dataset_whose_virtual_stack_tells_the_count(tmp_path):
    write_virtual(tmp_path / "i03_1.nxs")
    (tmp_path / "i03_1_meta.h5").write_bytes(b"")
    for number in (1, 2):
        write_data(tmp_path / f"i03_1_{number:06}.h5", number, place="data")
    write_master(tmp_path / "i03_1_meta.h5", {"mask": 1})
    verdict, _metadata, probes = look(tmp_path, 30.0)
    assert len(probes) == 4
    assert verdict.kind is VerdictKind.GROWING
    assert verdict.frames == Frames(8, 12)
    assert verdict.awaits.startswith("4 more frames in 1 more file")
    write_data(tmp_path / "i03_1_000003.h5", 3, place="data")
    assert look(tmp_path, 30.0)[0].kind is VerdictKind.COMPLETE
    (tmp_path / "i03_1_meta.h5").unlink()
    assert "i03_1_meta.h5 never came" in look(tmp_path)[0].evidence


@pytest.mark.parametrize("end_time", [None, "2026-11-21T02:14:07"])
def test_end_time_ends_what_no_count_does(end_time, tmp_path):
    """The estimated end says nothing; a stack that may grow is not looked into, since that would open its sources."""
    write_virtual(tmp_path / "i03_1.nxs", 10**9 + 1, end_time, maxshape=(None, 20, 30))
    write_data(tmp_path / "i03_1_000001.h5", place="data")
    write_master(tmp_path / "i03_1_meta.h5", {"mask": 1})
    verdict = look(tmp_path, 30.0)[0]
    assert verdict.kind is (VerdictKind.COMPLETE if end_time else VerdictKind.GROWING)
    assert verdict.frames == Frames(4, None)
    assert ("the acquisition has finished" in verdict.ladder[0].finding) is bool(end_time)
    assert look(tmp_path)[0].by_quiescence is not bool(end_time)


def test_a_nexus_file_that_holds_its_images_is_a_dataset(tmp_path):
    with h5py.File(tmp_path / "x.nxs", "w") as opened:
        opened.create_dataset(f"{DETECTOR}/data", data=STACK)
        opened["entry/data/data"] = h5py.SoftLink(f"/{DETECTOR}/data")
        opened["entry/data/data_000001"] = opened[f"{DETECTOR}/data"]
        opened["entry/end_time"] = "2026-11-21T02:14:07"
    verdict, metadata, _probes = look(tmp_path, 30.0)
    assert verdict.kind is VerdictKind.COMPLETE
    assert metadata == {"width_px": 30, "height_px": 20, "frames": 4}


def test_metadata_honours_units_and_finds_what_nxmx_calls_otherwise(tmp_path):
    said = {
        f"{DETECTOR}/distance": (250.0, "mm"),
        f"{DETECTOR}/count_time": (5.0, "ms"),
        f"{DETECTOR}/x_pixel_size": (75.0, "µm"),
        "entry/instrument/beam/incident_wavelength": (0.09795, "nm"),
        "entry/sample/transformations/omega": (np.array([10.0, 10.1, 10.2]), "degrees"),
        "entry/instrument/name": ("DIAMOND BEAMLINE I03", None),
        "entry/sample/name": ("lyso", None),
        "entry/start_time": ("2026-11-21T02:14:07Z", None),
    }
    write_master(tmp_path / "x.nxs", {place: value for place, (value, _unit) in said.items()})
    with h5py.File(tmp_path / "x.nxs", "r+") as opened:
        for place, (_value, unit) in said.items():
            if unit:
                opened[place].attrs["units"] = unit
        opened["entry/instrument/name"].attrs["short_name"] = "I03"
    assert look(tmp_path)[1] == {
        "distance_mm": 250.0,
        "exposure_s": 0.005,
        "pixel_x_um": 75.0,
        "wavelength_A": 0.9795,
        "start_angle_deg": 10.0,
        "increment_deg": 0.1,
        "instrument": "DIAMOND BEAMLINE I03",
        "header_beamline": "I03",
        "sample": "lyso",
        "date": "2026-11-21T02:14:07",
        "frames": 0,
    }


# files that a writer has open

WRITER = """
import h5py, numpy, sys
opened = h5py.File(sys.argv[1], "w", libver="latest" if sys.argv[2] == "swmr" else "earliest")
data = opened.create_dataset("entry/data/data", (4, 20, 30), "u4", chunks=(1, 20, 30), maxshape=(None, 20, 30))
if sys.argv[2] == "swmr":
    opened.swmr_mode = True
data[:3] = 7
opened.flush()
print("written", flush=True)
sys.stdin.readline()
data[3] = 7
opened.close()
"""


@pytest.mark.parametrize("mode", ["swmr", "plain"])
def test_a_writer_in_another_process_keeps_it_growing_until_it_closes(mode, tmp_path):
    write_series(tmp_path, {f"{SPECIFIC}/nimages": 8}, files=1)
    path = tmp_path / "x_data_000002.h5"
    command = (sys.executable, "-c", WRITER, str(path), mode)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout.readline() == "written\n"
        verdict, _metadata, probes = look(tmp_path, 599.0)
        assert verdict.kind is VerdictKind.GROWING
        assert probes[path.name].facts == {OPEN_FACT: True}
        assert f"{path.name} is still open for {'SWMR ' if mode == 'swmr' else ''}writing" in verdict.evidence
        assert look(tmp_path, 3600.0)[0].kind is VerdictKind.ABORTED
        writer.communicate("\n")
    assert look(tmp_path, 30.0)[0].kind is VerdictKind.COMPLETE


# odd and damaged files


@pytest.mark.parametrize(
    ("images", "triggers"),
    [(0, 1), (2**63, 1), (-1, 1), (12, 0), (12, -1), (2**63, 2**63), (2**31 - 1, 1)],
)
def test_an_impossible_count_is_said_and_never_proves_the_end(images, triggers, tmp_path):
    count = np.int64 if min(images, triggers) < 0 else np.uint64
    said = {f"{SPECIFIC}/nimages": count(images), f"{SPECIFIC}/ntrigger": count(triggers)}
    write_series(tmp_path, said)
    verdict = look(tmp_path)[0]
    assert verdict.kind is VerdictKind.COMPLETE
    assert verdict.by_quiescence
    assert f"nimages {images:,}, ntrigger {triggers:,}" in verdict.evidence[1]
    for number in (1, 2, 3):
        (tmp_path / f"x_data_{number:06}.h5").unlink()
    assert look(tmp_path)[0].kind is VerdictKind.ABORTED


def test_links_in_circles_end_nowhere(tmp_path):
    write_series(tmp_path)
    with h5py.File(tmp_path / "x_master.h5", "r+") as opened:
        opened["entry/again"] = opened["entry"]
        opened["entry/data/data_000004"] = h5py.ExternalLink("x_master.h5", "/entry/data/data_000004")
        opened["entry/data/data_000005"] = h5py.SoftLink("/entry/data/data_000005")
        opened["entry/sample"] = h5py.SoftLink("/entry/instrument")
        opened["entry/instrument/name"] = h5py.SoftLink("/entry/sample/name")
        opened[f"{DETECTOR}/description"] = h5py.SoftLink("../other")
    verdict, metadata, _probes = look(tmp_path, 30.0)
    assert verdict.kind is VerdictKind.COMPLETE
    assert verdict.evidence[0] == "12 of 12 frames"
    assert metadata == {"width_px": 30, "height_px": 20, "frames": 12}


@pytest.mark.parametrize("libver", ["earliest", "v108", "v110", "latest"])
@pytest.mark.parametrize("userblock_bytes", [0, 512, 4096])
def test_every_superblock_is_found_and_its_end_believed(libver, userblock_bytes, tmp_path):
    path = tmp_path / "x_data_000001.h5"
    write_data(
        path, libver=libver if libver in ("earliest", "latest") else (libver, libver), userblock_size=userblock_bytes
    )
    assert probe_hdf5(str(path), "data").facts["frames"] == 4
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert probe_hdf5(str(path), "data").problem == "ends 1 byte early"
    path.write_bytes(whole + b"\0\0")
    assert probe_hdf5(str(path), "data").problem == "is 2 bytes longer than its superblock says"


def test_a_file_cut_short_anywhere_is_never_whole(tmp_path):
    write_series(tmp_path)
    for name in ("x_master.h5", "x_data_000003.h5"):
        path = tmp_path / name
        whole = path.read_bytes()
        for length in range(0, len(whole), 211):
            path.write_bytes(whole[:length])
            probe = probe_hdf5(str(path), "data")
            assert probe.problem is not None
            assert probe.retry
        path.write_bytes(whole)


@pytest.mark.parametrize("content", [b"", bytes(70_000), b"###CBF: VERSION 1.5" * 99, b"\x89HDF\r\n\x1a\n" + bytes(99)])
def test_what_only_has_the_name_is_corrupt(content, tmp_path):
    write_series(tmp_path)
    (tmp_path / "x_data_000002.h5").write_bytes(content)
    assert look(tmp_path)[0].kind is VerdictKind.CORRUPT


@pytest.mark.parametrize(
    ("stack", "said"),
    [
        (
            np.ones((4, 20, 31), "u4"),
            "images of x_data_000002.h5 are 31 pixels wide, but those of x_data_000001.h5 are 30",
        ),
        (
            np.ones((4, 20, 30), "u2"),
            "images of x_data_000002.h5 are 16 bits deep, but those of x_data_000001.h5 are 32",
        ),
    ],
)
def test_images_of_two_kinds_are_found_before_the_server_finds_them(stack, said, tmp_path):
    write_series(tmp_path)
    write_data(tmp_path / "x_data_000002.h5", 2, stack)
    verdict = look(tmp_path)[0]
    assert verdict.kind is VerdictKind.CORRUPT
    assert said in verdict.evidence


# hostile files


def test_hostile_storage_is_not_touched(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    write_data(tmp_path / "x_data_000001.h5")
    path = tmp_path / "x_master.h5"
    with h5py.File(path, "w") as opened:
        bomb = opened.create_dataset("entry/sample/goniometer/omega", (9,), "f8", chunks=(9,), compression=9)
        bomb.id.write_direct_chunk((0,), zlib.compress(bytes(64 << 20)))
        outside = [(os.fsencode(tmp_path / "pipe"), 0, h5py.h5f.UNLIMITED)]
        opened.create_dataset("entry/sample/name", (1,), "S9", external=outside)
        opened.create_dataset(f"{SPECIFIC}/nimages", (2**62,), "u8", chunks=(2**20,))
        opened.create_dataset(f"{DETECTOR}/description", (), f"S{2**30}")
        layout = h5py.VirtualLayout((1,), "f4")
        layout[0:1] = h5py.VirtualSource("/etc/passwd", "wavelength", (1,))
        opened.create_virtual_dataset("entry/instrument/beam/incident_wavelength", layout)
        opened["entry/data/data_000001"] = h5py.ExternalLink("x_data_000001.h5", "/entry/data/data")
    begun = time.monotonic()
    probe = probe_hdf5(str(path), "master")
    assert time.monotonic() - begun < 10
    assert probe.problem is None
    assert probe.facts == {"links": ["x_data_000001.h5"], "also_links": [], "own_frames": 0}


@pytest.mark.parametrize(
    ("options", "frames"),
    [
        ({"shape": (2**40, 20, 30), "chunks": (1, 20, 30)}, None),
        ({"shape": (2**29, 20, 30), "chunks": (1, 20, 30)}, 2**29),
        ({"shape": (2**40, 20, 30)}, 0),
        ({"shape": (4, 0, 30)}, 0),
        ({"shape": (0, 20, 30)}, 0),
        ({"shape": (4, 20, 30), "chunks": (4, 20, 30), "compression": "gzip"}, 0),
    ],
)
def test_shapes_promise_nothing(options, frames, tmp_path):
    path = tmp_path / "x_data_000001.h5"
    with h5py.File(path, "w") as opened:
        opened.create_dataset("entry/data/data", dtype="u4", **options)
    probe = probe_hdf5(str(path), "data")
    if frames is None:
        assert probe.problem == "is said to hold 1,099,511,627,776 frames"
    else:
        assert probe.facts["frames"] == frames
        assert probe.facts.get("uncounted", False) is (frames > 4)


def test_images_in_files_of_another_kind_are_refused(tmp_path):
    path = tmp_path / "x_data_000001.h5"
    with h5py.File(path, "w") as opened:
        outside = [(b"/dev/zero", 0, h5py.h5f.UNLIMITED)]
        opened.create_dataset("entry/data/data", (4, 20, 30), "u4", external=outside)
    assert probe_hdf5(str(path), "data").problem == "keeps its images in a file of another kind"


# damaged bytes


def damaged(whole, seed):
    """Return a file of the same length with a few bytes, numbers or runs replaced; its superblock mostly stays."""
    chance = random.Random(seed)
    content = bytearray(whole)
    for _ in range(chance.choice((1, 1, 2, 4, 8, 32))):
        place = chance.randrange(64 if chance.random() < 0.9 else 8, len(content) - 64)
        width = chance.choice((1, 1, 2, 4, 8))
        number = chance.choice(
            (0, 1, 2 ** (8 * width) - 1, 2 ** (8 * width - 1), len(content), chance.randrange(2**64))
        )
        source = chance.randrange(len(content) - 64)
        how = chance.random()
        if how < 0.7:
            content[place : place + width] = (number % 2 ** (8 * width)).to_bytes(width, "little")
        elif how < 0.85:
            content[place : place + 48] = content[source : source + 48]
        else:
            content[place : place + 48] = bytes(48)
    return bytes(content)


def write_damageable(path, kind):
    if kind == "virtual":
        write_virtual(path)
    elif kind == "master":
        write_master(path, {f"{SPECIFIC}/nimages": 12, "entry/sample/name": "lyso", "entry/end_time": "now"}, ["x.h5"])
    else:
        write_data(path, libver=kind, compression="gzip", maxshape=(None, 20, 30))


@pytest.mark.parametrize("kind", ["master", "virtual", "earliest", "latest"])
def test_no_damage_raises_hangs_or_fills_memory(kind, tmp_path):
    """The library does crash and loop on some of these: that must stay in its own process, and be said."""
    path = tmp_path / "x.h5"
    write_damageable(path, kind)
    whole = path.read_bytes()
    reader = Reader()
    what = "master" if kind in ("master", "virtual") else "data"
    sound = probe_hdf5(str(path), what, reader)
    assert sound.problem is None
    for seed in range(60):
        path.write_bytes(damaged(whole, seed))
        begun = time.monotonic()
        probe = probe_hdf5(str(path), what, reader)
        assert time.monotonic() - begun < 10  # the limit is less than a second of the processor, this is of the wall
        assert probe.problem is None or len(probe.problem) < 300
    assert most_memory_kib(reader) < 128 << 10
    path.write_bytes(whole)
    assert probe_hdf5(str(path), what, reader) == sound
    reader.close()


def most_memory_kib(reader):
    status = Path(f"/proc/{reader._child.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0])


# the process that reads


def asked_of(program, tmp_path, longest_s=20.0):
    path = tmp_path / "x.h5"
    write_data(path)
    reader = Reader(longest_s, (sys.executable, "-c", f"import os, signal, sys, time; {program}"))
    probe = probe_hdf5(str(path), "data", reader)
    reader.close()
    return probe


@pytest.mark.parametrize(
    ("program", "problem", "retry"),
    [
        (
            "os.kill(os.getpid(), signal.SIGBUS)",
            "makes the HDF5 library crash (SIGBUS): its structure is damaged",
            False,
        ),
        ("os.kill(os.getpid(), signal.SIGPROF)", "leads the HDF5 library in circles: its structure is damaged", False),
        ("os.kill(os.getpid(), signal.SIGKILL)", "the reader of HDF5 files ended (exit status -9)", True),
        ("sys.exit(3)", "the reader of HDF5 files ended (exit status 3)", True),
    ],
)
def test_what_ends_the_reader_is_said(program, problem, retry, tmp_path):
    probe = asked_of(program, tmp_path)
    assert problem in probe.problem
    assert probe.retry is retry


def test_a_reader_that_never_answers_is_ended(tmp_path):
    probe = asked_of("time.sleep(600)", tmp_path, longest_s=0.3)
    assert probe.problem.startswith("could not be read within")
    assert probe.retry


def test_a_reader_that_went_away_is_replaced_unnoticed(tmp_path):
    path = tmp_path / "x.h5"
    write_data(path)
    reader = Reader()
    first = probe_hdf5(str(path), "data", reader)
    reader._child.kill()
    reader._child.wait()
    assert probe_hdf5(str(path), "data", reader) == first
    for sig in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        reader._child.send_signal(sig)  # what stops the daemon must not look like a damaged file
    assert probe_hdf5(str(path), "data", reader) == first
    reader.close()


def test_the_reader_starts_and_ends_without_a_word():
    ours, theirs = socket.socketpair()
    with theirs:
        command = (sys.executable, "-W", "error", "-P", "-m", "depositd.formats.hdf5_child", str(theirs.fileno()))
        ours.close()
        ended = subprocess.run(command, pass_fds=(theirs.fileno(),), capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"", b"")


def test_an_idle_reader_leaves_no_descriptor_behind(tmp_path):
    path = tmp_path / "x.h5"
    write_data(path)
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        reader = Reader()
        assert probe_hdf5(str(path), "data", reader).problem is None
        reader.close()
    assert len(os.listdir("/proc/self/fd")) == before
