"""What every format promises, tried with real files on a real file system."""

import bz2
import gzip
import lzma
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import fabio
import h5py
import numpy as np
import pytest
import zstandard
from format_files import (
    agilent_files,
    bruker_bytes,
    cbf_bytes,
    mar345_bytes,
    marccd_bytes,
    oxford_bytes,
    raxis_bytes,
    scan_tree,
    sciex_files,
    smv_bytes,
    thermo_bytes,
    tiff_bytes,
    waters_files,
    write_bruker,
)

from depositd import formats
from depositd.formats.facts import KEYS
from depositd.model import Frames, Probe, Quiet, Terms, VerdictKind
from depositd.simulate import frames, instruments, waters
from depositd.simulate.eiger import write_eiger
from depositd.simulate.plan import Plan
from depositd.simulate.thermo import thermo_raw_bytes

LONG_S = 1e6
PIXELS = np.arange(600, dtype=np.int32).reshape(20, 30)
COUNTS = np.random.default_rng(1).poisson(20, (64, 64)).astype(np.int32)
COUNTS[3, 4], COUNTS[5, 6] = 300, 70_000


@dataclass(frozen=True)
class Case:
    """One whole acquisition: how it is written, and the file in it whose end matters."""

    format: str
    name: str
    write: Callable[[Path], None]
    vital: str
    by_auto: bool = True
    signed: bool = True  # False where the vital file carries no signature: garbage can look like its beginning


def frames_of(make: Callable[[int], bytes], suffix: str) -> Callable[[Path], None]:
    def write(root):
        for number in range(1, 6):
            (root / f"lyso_1_{number:05}{suffix}").write_bytes(make(number))

    return write


def packed(pack, suffix):
    return frames_of(lambda number: pack(cbf_bytes(number)), suffix)


def fabio_cbf(root):
    for number in range(1, 6):
        header = f"# Detector: PILATUS 2M, S/N 24-0107\r\n# Start_angle {number}.0 deg.\r\n# Angle_increment 1.0 deg."
        image = fabio.cbfimage.CbfImage(data=PIXELS, header={"_array_data.header_contents": header})
        image.write(str(root / f"lyso_1_{number:05}.cbf"))


def fabio_smv(root):
    for number in range(1, 6):
        image = fabio.adscimage.AdscImage(data=PIXELS.astype(np.uint16), header={"WAVELENGTH": "0.97"})
        image.write(str(root / f"lyso_1_{number:05}.img"))


def fabio_bruker(version, data):
    def write(root):
        kind = fabio.bruker100image.Bruker100Image if version == 100 else fabio.brukerimage.BrukerImage
        for number in range(1, 6):
            header = {"NEXP": "1 0 32 0 0", "NFRAMES": "5", "NUMBER": str(number), "WAVELEN": "0.97 0.97 0.97"}
            image = kind(data=data.copy(), header=header | {"CREATED": "21-Nov-2026 02:14:07"})
            image.write(str(root / f"lyso_1_{number:05}.sfrm"))

    return write


def fabio_oxford(root):
    for number in range(1, 6):
        header = {"Time": "Sat Nov 21 02:14:07 2026", "Compression": "TY1", "Distance in mm": 55.0}
        fabio.OXDimage.OxdImage(data=COUNTS.copy(), header=header).write(str(root / f"lyso_1_{number:05}.img"))


def fabio_mar345(root):
    for number in range(1, 6):
        header = {"WAVELENGTH": "0.9795", "DISTANCE": "250", "DATE": "Sat Nov 21 02:14:07 2026"}
        image = fabio.mar345image.Mar345Image(data=COUNTS.astype(np.uint32), header=header)
        image.byteorder = fabio.fabioutils.ENDIANNESS.LITTLE
        image.write(str(root / f"lyso_1_{number:03}.mar2300"))


def fabio_tiff(root):
    for number in range(1, 6):
        fabio.tifimage.TifImage(data=PIXELS.astype(np.uint16)).write(str(root / f"lyso_1_{number:05}.tif"))


def eiger(root, libver="earliest"):
    with h5py.File(root / "lyso_1_master.h5", "w", libver=libver) as master:
        detector = "entry/instrument/detector"
        master[f"{detector}/detectorSpecific/nimages"] = 12
        master[f"{detector}/detectorSpecific/ntrigger"] = 1
        master[f"{detector}/detectorSpecific/data_collection_date"] = "2026-11-21T02:14:07.123"
        master[f"{detector}/description"] = "Dectris EIGER2 16M"
        master[f"{detector}/detector_distance"] = np.float32(0.25)
        master[f"{detector}/frame_time"] = np.float32(0.01)
        master["entry/instrument/beam/incident_wavelength"] = np.float32(0.9795)
        for number in (1, 2, 3):
            name = f"lyso_1_data_{number:06}.h5"
            master[f"entry/data/data_{number:06}"] = h5py.ExternalLink(name, "/entry/data/data")
    for number in (1, 2, 3):
        with h5py.File(root / f"lyso_1_data_{number:06}.h5", "w", libver=libver) as opened:
            stack = np.full((4, 20, 30), number, dtype=np.uint32)
            data = opened.create_dataset("entry/data/data", data=stack, chunks=(1, 20, 30), compression="gzip")
            data.attrs["image_nr_low"] = 4 * number - 3
            data.attrs["image_nr_high"] = 4 * number


def diamond(root):
    """NXmx over a virtual stack, whose length is the only count, and the detector's own metadata beside it."""
    layout = h5py.VirtualLayout((12, 20, 30), "u4")
    for number in (1, 2, 3):
        name = f"lyso_1_{number:06}.h5"
        layout[4 * number - 4 : 4 * number] = h5py.VirtualSource(name, "data", (4, 20, 30))
        with h5py.File(root / name, "w", libver="latest") as opened:
            opened.create_dataset("data", data=np.full((4, 20, 30), number, "u4"), chunks=(1, 20, 30))
    with h5py.File(root / "lyso_1.nxs", "w", libver="latest") as opened:
        opened.create_virtual_dataset("entry/data/data", layout)
        opened["entry/start_time"] = "2026-11-21T02:14:07"
        opened["entry/end_time"] = "2026-11-21T02:15:07"
        opened["entry/instrument/detector/pixel_mask"] = h5py.ExternalLink("lyso_1_meta.h5", "/mask")
    with h5py.File(root / "lyso_1_meta.h5", "w", libver="latest") as opened:
        opened["mask"] = np.zeros((20, 30), "u4")


def waters_directory(root):
    (root / "lyso_1.raw").mkdir()
    for name, content in waters_files().items():
        (root / "lyso_1.raw" / name).write_bytes(content)


def bruker_directory(root):
    write_bruker(root / "lyso_1.d", frames=40)


def agilent_directory(root):
    for name, content in agilent_files().items():
        path = root / "lyso_1.D" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def sciex(root):
    for name, content in sciex_files().items():
        (root / name).write_bytes(content)


def plain_directory(root):
    (root / "lyso_1").mkdir()
    for name in "abc":
        (root / "lyso_1" / name).write_bytes(b"content")


CASES = {
    "cbf": Case("frames", "lyso_1", frames_of(cbf_bytes, ".cbf"), "lyso_1_00003.cbf"),
    "cbf by fabio": Case("frames", "lyso_1", fabio_cbf, "lyso_1_00003.cbf"),
    "cbf.gz": Case("frames", "lyso_1", packed(gzip.compress, ".cbf.gz"), "lyso_1_00003.cbf.gz"),
    "cbf.bz2": Case("frames", "lyso_1", packed(bz2.compress, ".cbf.bz2"), "lyso_1_00003.cbf.bz2"),
    "cbf.xz": Case("frames", "lyso_1", packed(lzma.compress, ".cbf.xz"), "lyso_1_00003.cbf.xz"),
    "cbf.zst": Case("frames", "lyso_1", packed(zstandard.compress, ".cbf.zst"), "lyso_1_00003.cbf.zst"),
    "smv": Case("frames", "lyso_1", frames_of(lambda n: smv_bytes(OSC_START=n / 2), ".img"), "lyso_1_00003.img"),
    "smv by fabio": Case("frames", "lyso_1", fabio_smv, "lyso_1_00003.img"),
    "marccd": Case("frames", "lyso_1", frames_of(lambda n: marccd_bytes(), ".mccd"), "lyso_1_00003.mccd"),
    "marccd as img": Case("frames", "lyso_1", frames_of(lambda n: marccd_bytes(), ".img"), "lyso_1_00003.img"),
    "marccd as tif": Case("frames", "lyso_1", frames_of(marccd_bytes, ".tif"), "lyso_1_00003.tif"),
    "tiff": Case("frames", "lyso_1", frames_of(tiff_bytes, ".tif"), "lyso_1_00003.tif"),
    "tiff by fabio": Case("frames", "lyso_1", fabio_tiff, "lyso_1_00003.tif"),
    "tiff.gz": Case(
        "frames", "lyso_1", frames_of(lambda n: gzip.compress(tiff_bytes(n)), ".tiff.gz"), "lyso_1_00003.tiff.gz"
    ),
    "bigtiff": Case("frames", "lyso_1", frames_of(lambda n: tiff_bytes(n, big=True), ".tiff"), "lyso_1_00003.tiff"),
    "raxis": Case("frames", "lyso_1", frames_of(raxis_bytes, ".osc"), "lyso_1_00003.osc"),
    "raxis as img": Case("frames", "lyso_1", frames_of(raxis_bytes, ".img"), "lyso_1_00003.img"),
    "bruker frames": Case("frames", "lyso_1", frames_of(bruker_bytes, ".sfrm"), "lyso_1_00003.sfrm"),
    "bruker 100 by fabio": Case("frames", "lyso_1", fabio_bruker(100, COUNTS), "lyso_1_00003.sfrm"),
    "bruker 86 by fabio": Case("frames", "lyso_1", fabio_bruker(86, COUNTS), "lyso_1_00003.sfrm"),
    "oxford ty1": Case("frames", "lyso_1", frames_of(oxford_bytes, ".img"), "lyso_1_00003.img"),
    "oxford ty1 by fabio": Case("frames", "lyso_1", fabio_oxford, "lyso_1_00003.img"),
    "rodhypix ty6": Case(
        "frames", "lyso_1", frames_of(lambda n: oxford_bytes(n, packing="TY6"), ".rodhypix"), "lyso_1_00003.rodhypix"
    ),
    "mar345": Case("frames", "lyso_1", frames_of(mar345_bytes, ".mar2300"), "lyso_1_00003.mar2300"),
    "mar345 by fabio": Case("frames", "lyso_1", fabio_mar345, "lyso_1_003.mar2300"),
    "mar345.bz2": Case(
        "frames",
        "lyso_1",
        frames_of(lambda n: bz2.compress(mar345_bytes(n)), ".mar2300.bz2"),
        "lyso_1_00003.mar2300.bz2",
    ),
    "eiger": Case("eiger", "lyso_1", eiger, "lyso_1_data_000002.h5"),
    "eiger, latest": Case("eiger", "lyso_1", lambda root: eiger(root, "latest"), "lyso_1_data_000002.h5"),
    "eiger master": Case("eiger", "lyso_1", eiger, "lyso_1_master.h5"),
    "diamond": Case("eiger", "lyso_1", diamond, "lyso_1_000002.h5"),
    "diamond master": Case("eiger", "lyso_1", diamond, "lyso_1.nxs"),
    "thermo": Case(
        "thermo-raw",
        "lyso_1",
        lambda root: (root / "lyso_1.raw").write_bytes(thermo_bytes()),
        "lyso_1.raw",
    ),
    "waters": Case("waters-raw", "lyso_1", waters_directory, "lyso_1.raw/_FUNC001.DAT", signed=False),
    "bruker": Case("bruker-d", "lyso_1", bruker_directory, "lyso_1.d/analysis.tdf"),
    "bruker data": Case("bruker-d", "lyso_1", bruker_directory, "lyso_1.d/analysis.tdf_bin", signed=False),
    "agilent": Case("agilent-d", "lyso_1", agilent_directory, "lyso_1.D/AcqData/Contents.xml"),
    "agilent scans": Case("agilent-d", "lyso_1", agilent_directory, "lyso_1.D/AcqData/MSScan.bin"),
    "agilent data": Case("agilent-d", "lyso_1", agilent_directory, "lyso_1.D/AcqData/MSPeak.bin"),
    "sciex": Case("sciex", "lyso_1", sciex, "lyso_1.wiff"),
    "file": Case(
        "file",
        "lyso_1",
        lambda root: (root / "lyso_1.bin").write_bytes(b"x"),
        "lyso_1.bin",
        by_auto=False,
    ),
    "directory": Case("directory", "lyso_1", plain_directory, "lyso_1/b", by_auto=False),
}
CHECKED = {key: case for key, case in CASES.items() if case.format not in ("file", "directory")}


@pytest.fixture(params=CASES.values(), ids=CASES)
def case(request, tmp_path):
    request.param.write(tmp_path)
    return request.param


@pytest.fixture(params=CHECKED.values(), ids=CHECKED)
def checked(request, tmp_path):
    request.param.write(tmp_path)
    return request.param


def look(root, format_name, quiet_s=LONG_S, settle_s=30.0, **terms):
    """Return (dataset, probes, verdict) of the only dataset below a root."""
    (dataset,) = formats.group(scan_tree(root), format_name)
    form = formats.FORMATS[dataset.format]
    regular = [file for file in dataset.files if file.kind == "regular file"]
    probes = {file.path: form.probe(str(root / file.path), file) for file in regular}
    probes = {path: probe for path, probe in probes.items() if probe is not None}
    quiet, asked = Quiet(quiet_s, quiet_s), Terms(settle_s, **terms)
    verdict = form.judge(dataset, probes, quiet, asked)
    assert form.judge(dataset, probes, quiet, asked) == verdict
    return dataset, probes, verdict


def test_whole_and_settled_is_complete(case, tmp_path):
    dataset, probes, verdict = look(tmp_path, case.format)
    assert verdict.kind is VerdictKind.COMPLETE, verdict
    assert verdict.recheck_s is None
    assert verdict.evidence
    assert dataset.name == case.name
    assert dataset.format == case.format
    assert all(probe.problem is None for probe in probes.values())


def test_auto_finds_the_same(case, tmp_path):
    found = formats.group(scan_tree(tmp_path), "auto")
    assert found == (formats.group(scan_tree(tmp_path), case.format) if case.by_auto else [])


def test_unsettled_is_growing_and_says_when_to_look_again(case, tmp_path):
    for quiet_s in (0.0, 12.0, 29.9):
        _dataset, _probes, verdict = look(tmp_path, case.format, quiet_s)
        assert verdict.kind is VerdictKind.GROWING
        assert verdict.recheck_s >= 30.0 - quiet_s


def test_looking_again_when_told_to_is_always_enough(case, tmp_path):
    quiet_s = 0.0
    for _look in range(5):
        _dataset, _probes, verdict = look(tmp_path, case.format, quiet_s)
        if verdict.recheck_s is None:
            break
        assert 0 < verdict.recheck_s < 86_400
        quiet_s += verdict.recheck_s
    assert verdict.kind is VerdictKind.COMPLETE


def test_a_file_cut_short_is_never_complete(checked, tmp_path):
    path = tmp_path / checked.vital
    whole = path.read_bytes()
    for keep in (1, len(whole) // 3, len(whole) // 2, len(whole) - 900 if len(whole) > 2000 else len(whole) - 9):
        path.write_bytes(whole[: max(keep, 1)])
        _dataset, _probes, verdict = look(tmp_path, checked.format)
        assert verdict.kind in (VerdictKind.CORRUPT, VerdictKind.ABORTED, VerdictKind.TRUNCATED), (keep, verdict)
        name = os.path.basename(checked.vital)
        assert name.rpartition(".")[0] in verdict.sentence or name in verdict.sentence


def test_an_empty_file_is_never_complete(checked, tmp_path):
    (tmp_path / checked.vital).write_bytes(b"")
    _dataset, _probes, verdict = look(tmp_path, checked.format)
    assert verdict.kind not in (VerdictKind.COMPLETE, VerdictKind.GROWING)


@pytest.mark.parametrize("garbage", [b"\0" * 70_000, bytes(range(256)) * 40, b"<html>login</html>"])
def test_garbage_is_no_data(checked, garbage, tmp_path):
    path = tmp_path / checked.vital
    # what is shorter than the index says could be the beginning of data that carry no signature
    like_a_beginning = not checked.signed and len(garbage) < path.stat().st_size
    path.write_bytes(garbage)
    _dataset, _probes, verdict = look(tmp_path, checked.format)
    assert verdict.kind is (VerdictKind.TRUNCATED if like_a_beginning else VerdictKind.CORRUPT)


@pytest.mark.parametrize("kind", ["link", "fifo"])
def test_a_special_file_is_never_opened_and_refused_by_name(case, kind, tmp_path):
    path = tmp_path / case.vital
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    path.rename(elsewhere)
    if kind == "link":
        path.symlink_to(elsewhere)
    else:
        os.mkfifo(path)
    dataset, _probes, verdict = look(tmp_path, case.format)
    assert verdict.kind is VerdictKind.CORRUPT
    assert f"{os.path.basename(case.vital)} is a " in verdict.sentence
    (member,) = (file for file in dataset.files if file.path == case.vital)
    # also where it became one after it was listed as a regular file
    problem = formats.FORMATS[case.format].probe(str(path), member).problem
    assert problem is not None


def test_a_file_that_cannot_be_read_is_named(case, tmp_path):
    """The suite may run as root, who can read anything: the file is one that vanished after it was listed."""
    (dataset,) = formats.group(scan_tree(tmp_path), case.format)
    form = formats.FORMATS[case.format]
    member = next(file for file in dataset.files if file.path == case.vital)
    (tmp_path / case.vital).unlink()
    probes = {
        file.path: form.probe(str(tmp_path / file.path), file) for file in dataset.files if file is not member
    } | {member.path: form.probe(str(tmp_path / member.path), member)}
    assert probes[member.path].retry
    verdict = form.judge(dataset, probes, Quiet(LONG_S, LONG_S), Terms(30.0))
    assert verdict.kind is VerdictKind.CORRUPT
    assert f"{member.name} cannot be read: No such file or directory" in verdict.evidence


def test_a_marker_is_waited_for_and_then_believed(case, tmp_path):
    look_for = {"marker_pattern": "*.done"}
    assert look(tmp_path, case.format, 600.0, **look_for)[2].kind is VerdictKind.GROWING
    assert "no file matching *.done yet" in look(tmp_path, case.format, 600.0, **look_for)[2].evidence
    assert look(tmp_path, case.format, LONG_S, **look_for)[2].kind is VerdictKind.ABORTED
    assert look(tmp_path, case.format, 30.0, marker_present=True, **look_for)[2].kind is VerdictKind.COMPLETE


def test_metadata_has_only_documented_keys_with_plain_values(case, tmp_path):
    dataset, probes, _verdict = look(tmp_path, case.format)
    metadata = formats.FORMATS[case.format].metadata(dataset, probes)
    assert set(metadata) <= set(KEYS)
    assert all(isinstance(value, str | int | float) for value in metadata.values())
    assert formats.FORMATS[case.format].metadata(dataset, {}) is not None


def test_content_checks_pass_for_whole_files(case, tmp_path):
    dataset, _probes, _verdict = look(tmp_path, case.format)
    for file in dataset.files:
        check = formats.FORMATS[case.format].content_check(file.name)
        if check is not None:
            check.update((tmp_path / file.path).read_bytes())
            assert check.problem() is None


def test_what_is_closed_is_whole_and_not_the_file_that_is_written_last(case, tmp_path):
    dataset, probes, _verdict = look(tmp_path, case.format)
    form = formats.FORMATS[case.format]
    closed = form.closed(dataset, probes)
    assert set(closed) <= set(dataset.files)
    assert form.closed(dataset, {}) in ((), []), "what was not read is not known to be whole"
    if case.format == "frames":
        assert list(closed) == list(dataset.files)
    elif case.format == "eiger":
        assert 0 < len(closed) < len(dataset.files)
        assert not any("master" in file.name or file.name.endswith(".nxs") for file in closed)
    else:
        assert not closed
    for broken in closed:
        wrong = {**probes, broken.path: Probe("ends 1,024 bytes early", retry=True)}
        assert broken not in form.closed(dataset, wrong)


def test_hostile_names_stay_printable(tmp_path):
    name = b"bad\n\x1b[31m\xff_00001.cbf"
    with open(os.path.join(os.fsencode(tmp_path), name), "wb") as opened:
        opened.write(b"garbage")
    _dataset, _probes, verdict = look(tmp_path, "frames")
    assert verdict.kind is VerdictKind.CORRUPT
    assert "bad\\n\\x1b[31m\\xff_00001.cbf" in verdict.sentence


# our files of documented bytes are what fabio reads, too


def test_fabio_reads_our_raxis_and_mar345_with_the_same_values(tmp_path):
    (tmp_path / "a_001.osc").write_bytes(raxis_bytes())
    (tmp_path / "a_001.mar2300").write_bytes(mar345_bytes())
    raxis, mar345 = (fabio.open(str(tmp_path / name)) for name in ("a_001.osc", "a_001.mar2300"))
    ours = {name: formats.FORMATS["frames"].probe(str(tmp_path / name), None).facts for name in os.listdir(tmp_path)}
    said = ours["a_001.osc"]
    assert raxis.shape == (said["height_px"], said["width_px"]) == (20, 700)
    assert (raxis.data == 5).all()
    assert raxis.header["Wavelength"] == pytest.approx(said["wavelength_A"])
    assert raxis.header["Crystal-to-detector Distance"] == said["distance_mm"]
    assert raxis.header["Phi Oscillation Start"] == said["start_angle_deg"]
    assert raxis.header["Exposure Time"] * 60 == said["exposure_s"]
    assert raxis.header["Direct beam X position"] == said["beam_x_px"]
    said = ours["a_001.mar2300"]
    assert mar345.shape == (said["height_px"], said["width_px"]) == (320, 320)
    assert mar345.data.max() == 70_000
    assert (mar345.header["Wavelength"], mar345.header["Distance"]) == (said["wavelength_A"], said["distance_mm"])
    assert mar345.header["StartPhi"] == said["start_angle_deg"]
    assert mar345.header["EndPhi"] - mar345.header["StartPhi"] == said["increment_deg"]
    assert float(mar345.header["CENTER_Y"]) == said["beam_y_px"]


# HDF5, which only a library reads in full


def test_eiger_metadata_and_counts(tmp_path):
    eiger(tmp_path)
    dataset, probes, verdict = look(tmp_path, "eiger")
    assert verdict.frames == Frames(12, 12)
    assert formats.FORMATS["eiger"].metadata(dataset, probes) == {
        "detector": "Dectris EIGER2 16M",
        "date": "2026-11-21T02:14:07.123",
        "wavelength_A": 0.9795,
        "distance_mm": 250.0,
        "frame_period_s": 0.01,
        "width_px": 30,
        "height_px": 20,
        "frames": 12,
    }


def test_an_eiger_file_open_for_writing_is_not_opened_by_us(tmp_path):
    eiger(tmp_path, "latest")
    with h5py.File(tmp_path / "lyso_1_data_000002.h5", "r+", libver="latest") as writing:
        writing.swmr_mode = True
        _dataset, probes, verdict = look(tmp_path, "eiger", 600.0)
        assert verdict.kind is VerdictKind.GROWING
        assert "lyso_1_data_000002.h5 is still open for SWMR writing" in verdict.evidence
        assert probes["lyso_1_data_000002.h5"].retry
    assert look(tmp_path, "eiger", 600.0)[2].kind is VerdictKind.COMPLETE


def test_frames_whose_chunks_were_never_written_do_not_count(tmp_path):
    eiger(tmp_path)
    with h5py.File(tmp_path / "lyso_1_data_000003.h5", "r+") as opened:
        del opened["entry/data/data"]
        data = opened.create_dataset("entry/data/data", (4, 20, 30), "u4", chunks=(1, 20, 30))
        data[0] = 7
    _dataset, _probes, verdict = look(tmp_path, "eiger")
    assert verdict.kind is VerdictKind.ABORTED
    assert verdict.frames == Frames(9, 12)


def test_a_link_out_of_the_directory_is_refused_and_not_followed(tmp_path):
    eiger(tmp_path)
    with h5py.File(tmp_path / "lyso_1_master.h5", "r+") as master:
        master["entry/data/data_000004"] = h5py.ExternalLink("/etc/passwd", "/entry")
    _dataset, _probes, verdict = look(tmp_path, "eiger")
    assert verdict.kind is VerdictKind.CORRUPT
    assert "the master links to /etc/passwd, outside the dataset's directory" in verdict.evidence


def test_a_virtual_dataset_counts_what_its_sources_hold(tmp_path):
    eiger(tmp_path)
    layout = h5py.VirtualLayout((12, 20, 30), "u4")
    for number in (1, 2, 3):
        source = h5py.VirtualSource(f"lyso_1_data_{number:06}.h5", "entry/data/data", (4, 20, 30))
        layout[4 * number - 4 : 4 * number] = source
    with h5py.File(tmp_path / "lyso_1_master.h5", "r+") as master:
        del master["entry/data"]
        master.create_virtual_dataset("entry/data/data", layout)
    (tmp_path / "lyso_1_data_000003.h5").unlink()
    _dataset, _probes, verdict = look(tmp_path, "eiger")
    assert verdict.kind is VerdictKind.ABORTED
    assert verdict.frames == Frames(8, 12)
    assert "lyso_1_data_000003.h5 never came" in verdict.evidence


def test_a_hole_at_the_end_of_a_file_is_said(tmp_path):
    with (tmp_path / "big.bin").open("wb") as opened:
        opened.write(b"x" * 8192)
        opened.truncate(1 << 20)
    os.sync()
    _dataset, _probes, verdict = look(tmp_path, "file")
    assert verdict.kind is VerdictKind.COMPLETE
    assert "sparse or preallocated" in verdict.sentence


def test_a_thermo_file_that_got_its_size_before_its_content_is_waited_for(tmp_path):
    """Its header is whole, its end too, and between them there is nothing."""
    content = thermo_bytes() + b"\2" * 8192
    with (tmp_path / "a.raw").open("wb") as opened:
        opened.write(content)
        opened.truncate(1 << 22)
        opened.seek(-8192, os.SEEK_END)
        opened.write(b"\2" * 8192)
    _dataset, probes, verdict = look(tmp_path, "thermo-raw", 600.0)
    assert verdict.kind is VerdictKind.GROWING
    assert probes["a.raw"].problem is None
    verdict = look(tmp_path, "thermo-raw")[2]
    assert verdict.kind is VerdictKind.TRUNCATED
    assert "a.raw is sparse or preallocated: only " in verdict.sentence


# finished acquisitions of real instruments


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("place", "format_name", "count"),
    [
        ("thermo", "thermo-raw", 2),
        ("waters", "waters-raw", 2),
        ("bruker", "bruker-d", 1),
        ("agilent", "agilent-d", 1),
    ],
)
def test_real_acquisitions_are_complete_and_proven(real_data, place, format_name, count):
    root = real_data / place
    datasets = formats.group(scan_tree(root), "auto")
    assert len(datasets) == count
    for dataset in datasets:
        assert dataset.format == format_name
        form = formats.FORMATS[format_name]
        probes = {file.path: form.probe(str(root / file.path), file) for file in dataset.files}
        verdict = form.judge(dataset, probes, Quiet(41, 41), Terms(30))
        assert verdict.kind is VerdictKind.COMPLETE
        assert "quiescence" not in verdict.sentence
        assert form.metadata(dataset, probes)["run_time_min"]


@pytest.mark.real_data
def test_a_real_cbf_is_whole_and_its_checksum_right(real_data, tmp_path):
    content = (real_data / "cbf" / "omega_scan.cbf").read_bytes()
    (tmp_path / "omega_scan_00019.cbf").write_bytes(content)
    dataset, probes, verdict = look(tmp_path, "auto")
    assert verdict.kind is VerdictKind.COMPLETE
    assert formats.FORMATS["frames"].metadata(dataset, probes)["detector"] == "PILATUS 300K"
    check = formats.FORMATS["frames"].content_check("omega_scan_00019.cbf")
    check.update(content)
    assert check.problem() is None


@pytest.mark.real_data
@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("thermo/small.RAW", VerdictKind.TRUNCATED),
        ("thermo/100225.raw", VerdictKind.TRUNCATED),
        ("cbf/omega_scan.cbf", VerdictKind.CORRUPT),
    ],
)
def test_a_real_file_cut_short_is_never_complete(real_data, name, kind, tmp_path):
    content = (real_data / name).read_bytes()
    suffix = os.path.splitext(name)[1]
    for share in (0.001, 0.1, 0.5, 0.9, 0.97):
        (tmp_path / f"cut_00001{suffix}").write_bytes(content[: int(len(content) * share)])
        assert look(tmp_path, "auto")[2].kind is kind, share


@pytest.mark.real_data
@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize("name", ["small.RAW", "100225.raw"])
def test_a_real_file_whose_rest_was_never_written_is_truncated(real_data, name, sparse, tmp_path):
    content = (real_data / "thermo" / name).read_bytes()
    for share in (0.001, 0.1, 0.5, 0.9, 0.97, 0.995):
        with (tmp_path / "a.raw").open("wb") as opened:
            opened.write(content[: int(len(content) * share)])
            if sparse:
                opened.truncate(len(content))
            else:
                opened.write(bytes(len(content) - opened.tell()))
        assert look(tmp_path, "auto")[2].kind is VerdictKind.TRUNCATED, share


@pytest.mark.real_data
@pytest.mark.parametrize(
    "name",
    [
        "bruker/dia_test.d/analysis.tdf",
        "bruker/dia_test.d/analysis.tdf_bin",
        "agilent/yellow.D/AcqData/MSScan.bin",
        "agilent/yellow.D/AcqData/MSPeak.bin",
        "agilent/yellow.D/AcqData/Contents.xml",
    ],
)
def test_a_real_directory_with_a_file_cut_short_is_never_complete(real_data, name, tmp_path):
    place, directory, inside = name.split("/", 2)
    shutil.copytree(real_data / place / directory, tmp_path / directory, copy_function=shutil.copyfile)
    path = tmp_path / directory / inside
    path.parent.chmod(0o755)
    content = path.read_bytes()
    for keep in (0, len(content) // 3, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:keep])
        assert look(tmp_path, "auto")[2].kind is VerdictKind.TRUNCATED, keep
    for start in (len(content) // 3, len(content) - 5000):
        path.write_bytes(content[: max(start, 1)] + bytes(len(content) - max(start, 1)))
        assert look(tmp_path, "auto")[2].kind in (VerdictKind.TRUNCATED, VerdictKind.CORRUPT), start


# what our own simulated instruments write


def simulated_frames(make, suffix):
    def write(root):
        for number in range(1, 5):
            content = make(number, date=datetime(2026, 11, 21, 2, 14, number, tzinfo=UTC))
            (root / f"sim_1_{number:05}{suffix}").write_bytes(content)

    return write


def simulated_waters(root):
    (root / "sim_1.raw").mkdir()
    for name, content in waters.waters_files().items():
        (root / "sim_1.raw" / name).write_bytes(content)


SIMULATED = {
    "cbf": ("frames", simulated_frames(frames.cbf_frame, ".cbf")),
    "full cbf": ("frames", simulated_frames(frames.full_cbf_frame, ".cbf")),
    "smv": ("frames", simulated_frames(frames.smv_frame, ".img")),
    "marccd": ("frames", simulated_frames(frames.marccd_frame, ".mccd")),
    "eiger": ("eiger", lambda root: write_eiger(root, "sim_1", images=25, images_per_file=10)),
    "thermo": (
        "thermo-raw",
        lambda root: (root / "sim_1.raw").write_bytes(thermo_raw_bytes(in_acquisition=False, scans=20)),
    ),
    "waters": ("waters-raw", simulated_waters),
}


@pytest.mark.parametrize(("format_name", "write"), SIMULATED.values(), ids=SIMULATED)
def test_a_simulated_instrument_is_understood(format_name, write, tmp_path):
    write(tmp_path)
    dataset, probes, verdict = look(tmp_path, "auto")
    assert (dataset.format, dataset.name) == (format_name, "sim_1")
    assert verdict.kind is VerdictKind.COMPLETE, verdict
    assert all(probe.problem is None for probe in probes.values())
    assert formats.FORMATS[format_name].metadata(dataset, probes)["date"].startswith("20")


def simulate(root, format_name, fault):
    plan = Plan(format_name, root, frames=20, rate_hz=20.0, fault=fault)
    instruments.run(plan, sleep=lambda _s: None, now=lambda: datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC))


@pytest.mark.parametrize("fault", [None, "rename", "old-mtimes", "restart", "slow", "preallocated"])
def test_a_simulated_waters_run_of_a_second_is_proven_whole(fault, tmp_path):
    """Its run time is rounded up by a fifth, since the inlet gives hundredths of a minute."""
    simulate(tmp_path, "waters-raw", fault)
    assert look(tmp_path, "waters-raw", 29.0)[2].kind is VerdictKind.GROWING
    verdict = look(tmp_path, "waters-raw", 30.0)[2]
    assert verdict.kind is VerdictKind.COMPLETE, verdict
    assert "quiescence" not in verdict.sentence


def test_a_simulated_waters_abort_is_complete_by_quiescence_alone_and_says_why(tmp_path):
    simulate(tmp_path, "waters-raw", "abort")
    assert look(tmp_path, "waters-raw", 599.0)[2].kind is VerdictKind.GROWING
    verdict = look(tmp_path, "waters-raw", 600.0)[2]
    assert verdict.kind is VerdictKind.COMPLETE
    assert "no _INLET.INF tells the planned run time; complete by quiescence" in verdict.sentence


def test_a_simulated_abort_is_an_abort(tmp_path):
    write_eiger(tmp_path, "sim_1", images=25, images_per_file=10, upto_images=15)
    assert look(tmp_path, "auto")[2].kind is VerdictKind.ABORTED


def test_a_simulated_acquisition_that_goes_on_is_growing(tmp_path):
    (tmp_path / "sim_1.raw").write_bytes(thermo_raw_bytes(in_acquisition=True, scans=20))
    assert look(tmp_path, "auto", 600.0)[2].kind is VerdictKind.GROWING
