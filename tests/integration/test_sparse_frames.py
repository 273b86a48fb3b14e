"""Frames that a program prepared and never filled, on a file system that tells its holes."""

import os

import pytest
from format_files import cbf_bytes, marccd_bytes, raxis_bytes, scan_tree, smv_bytes

from depositd.formats import FORMATS, frame_probe, group
from depositd.model import Quiet, Terms, VerdictKind

SMV = smv_bytes(SIZE1="200", SIZE2="129")[:512] + bytes([5, 0]) * (200 * 129)
BLOCK = 4096


def write_sparse(path, content, written):
    """Write the first bytes of a file; the rest of its length is hole."""
    with path.open("wb") as opened:
        opened.write(content[:written])
        opened.truncate(len(content))


def whole_of(content, size):
    return content.ljust(size, b"\1")


@pytest.mark.parametrize(
    ("name", "content"),
    [("x_1.img", SMV), ("x_1.mccd", marccd_bytes()), ("x_1.osc", raxis_bytes(height=60))],
)
def test_a_frame_of_which_only_the_header_was_written_is_not_whole(name, content, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    whole = frame_probe.probe_frame(str(path))
    assert whole.problem is None
    content = whole_of(content, max(len(content), 4 * BLOCK))
    write_sparse(path, content, BLOCK)
    probe = frame_probe.probe_frame(str(path))
    assert probe.problem.startswith("is sparse or preallocated: ")
    assert probe.problem.endswith(" were never written")
    assert probe.retry
    assert probe.facts == whole.facts


def test_the_problem_says_how_much_was_never_written(tmp_path):
    write_sparse(tmp_path / "x_1.img", whole_of(SMV, 13 * BLOCK), BLOCK)
    probe = frame_probe.probe_frame(str(tmp_path / "x_1.img"))
    assert probe.problem == "is sparse or preallocated: 49.2 kB of 53.2 kB were never written"


@pytest.mark.parametrize(("blocks_written", "is_whole"), [(6, False), (7, True), (14, True)])
def test_what_is_written_for_the_larger_part_is_left_to_the_eye(blocks_written, is_whole, tmp_path):
    """A detector's own zeros, left out by a program that copies, are no sign of an unfinished frame."""
    write_sparse(tmp_path / "x_1.img", whole_of(SMV, 14 * BLOCK), blocks_written * BLOCK)
    assert (frame_probe.probe_frame(str(tmp_path / "x_1.img")).problem is None) is is_whole


def test_a_frame_with_a_closing_mark_is_left_to_its_checksum(tmp_path):
    content = cbf_bytes(binary=bytes(16 * BLOCK))
    start = content.index(bytes(16 * BLOCK))
    with (tmp_path / "x_1.cbf").open("wb") as opened:
        opened.write(content[:start])
        opened.seek(start + 16 * BLOCK)
        opened.write(content[start + 16 * BLOCK :])
    status = os.stat(tmp_path / "x_1.cbf")
    assert status.st_blocks * 512 < status.st_size / 2
    assert frame_probe.probe_frame(str(tmp_path / "x_1.cbf")).problem is None


def test_a_series_with_such_a_frame_is_corrupt_and_names_it(tmp_path):
    (tmp_path / "x_1.img").write_bytes(SMV)
    write_sparse(tmp_path / "x_2.img", SMV, BLOCK)
    (dataset,) = group(scan_tree(tmp_path), "frames")
    frames = FORMATS["frames"]
    probes = {file.path: frames.probe(str(tmp_path / file.path), file) for file in dataset.files}
    verdict = frames.judge(dataset, probes, Quiet(1e6, 1e6), Terms(30.0))
    assert verdict.kind is VerdictKind.CORRUPT
    assert "x_2.img is sparse or preallocated: " in verdict.sentence
