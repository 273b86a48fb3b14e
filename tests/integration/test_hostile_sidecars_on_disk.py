"""Sidecars that are no files, and one that is being written."""

from __future__ import annotations

import os
import socket
import stat
import time

import pytest

from depositd.engine.sidecars import NONE, read_sidecars, read_small_file

pytestmark = pytest.mark.fault(13)


def _fifo(path):
    os.mkfifo(path)


def _link(path):
    path.symlink_to("/etc/hostname")


def _directory(path):
    path.mkdir()


def _device(path):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 5))


def _socket(path):
    with socket.socket(socket.AF_UNIX) as listening:
        here = os.getcwd()
        os.chdir(path.parent)
        listening.bind(path.name)
        os.chdir(here)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (_fifo, "cannot be used: it is not a regular file"),
        (_link, "cannot be read: it is a symbolic link, which is never followed"),
        (_directory, "cannot be used: it is not a regular file"),
        (_device, "cannot be used: it is not a regular file"),
        (_socket, "cannot be read: it is not a regular file"),
        (
            lambda path: path.write_bytes(b"#" * 65_537),
            "cannot be used: it has 65,537 bytes, and at most 65,536 are read",
        ),
    ],
)
def test_what_is_no_plain_small_file_is_named_and_does_not_block(tmp_path, make, why):
    path = tmp_path / "deposit\x1b.yaml"
    try:
        make(path)
    except PermissionError:
        make = _fifo  # a machine that makes no devices
        make(path)
    before, began = len(os.listdir("/proc/self/fd")), time.monotonic()
    sidecar = read_sidecars([str(path)], read_small_file)
    assert sidecar.problem == f"the sidecar deposit\\x1b.yaml {why}"
    assert time.monotonic() - began < 2.0
    assert len(os.listdir("/proc/self/fd")) == before


def test_one_that_is_not_there_is_none(tmp_path):
    assert read_sidecars([str(tmp_path / "deposit.yaml")], read_small_file) is NONE


def test_one_that_is_written_while_it_is_read_is_a_problem_or_whole_and_mends_by_itself(tmp_path):
    path = tmp_path / "deposit.yaml"
    whole = b'pdb_code: 1ABC\ntitle: "one, two"\n'
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        sidecar = read_sidecars([str(path)], read_small_file)
        assert sidecar.problem is None or sidecar.problem.startswith("the sidecar deposit.yaml cannot be used: ")
    assert sidecar.values == {"pdb_code": "1ABC", "title": "one, two"}
