"""What stays in the spool, and what goes."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest
from archive_support import entries, pack_it, plan_for, write_tree
from mounts_support import run_on_tmpfs

from depositd.archive import dataset_directory, discard, sweep_orphans


@pytest.fixture
def spool(tmp_path):
    (tmp_path / "spool").mkdir()
    return tmp_path / "spool"


@pytest.fixture
def archive(tmp_path, spool):
    write_tree(tmp_path / "source", {"a": b"x"})
    return pack_it(plan_for(tmp_path / "source"), dataset_directory(str(spool), 7))


def test_discarding_removes_the_file_and_the_directory_with_the_last(spool, archive):
    other = f"{os.path.dirname(archive.path)}/other.tar"
    write_tree(spool, {other: b""})
    discard(archive)
    assert entries(spool / "depositd-7") == ["other.tar"]
    discard(replace(archive, path=other))
    assert entries(spool) == []
    discard(archive)  # again changes nothing


def test_orphans_go_and_what_is_kept_stays(spool, archive):
    write_tree(
        spool,
        {
            "depositd-7/lyso_1.tar.zst.part": b"half",
            "depositd-8/unknown.tar": b"",
            "depositd-8/unknown.zip.part": b"",
        },
    )
    removed = sweep_orphans(str(spool), {archive.path})
    assert removed == [
        str(spool / name)
        for name in ("depositd-7/lyso_1.tar.zst.part", "depositd-8/unknown.tar", "depositd-8/unknown.zip.part")
    ]
    assert entries(spool) == ["depositd-7"]
    assert entries(spool / "depositd-7") == ["lyso_1.tar.zst"]
    assert sweep_orphans(str(spool), {archive.path}) == []


def test_only_the_spools_own_directories_are_looked_into(spool, tmp_path):
    kept = {
        "somebody.part": b"",
        "2024/data.part": b"",
        "depositd-x/data": b"",
        "my-depositd-1/data": b"",
        "depositd-3/below/data": b"",
    }
    write_tree(spool, kept)
    write_tree(tmp_path, {"elsewhere/precious": b""})
    os.symlink(tmp_path / "elsewhere", spool / "depositd-9")
    assert sweep_orphans(str(spool), set()) == []
    assert all((spool / name).exists() for name in kept)
    assert (tmp_path / "elsewhere" / "precious").exists()


def test_a_link_is_removed_and_its_target_stays(spool, tmp_path):
    write_tree(tmp_path, {"precious": b"", "spool/depositd-1/x": b""})
    os.symlink(tmp_path / "precious", spool / "depositd-1" / "link")
    assert sweep_orphans(str(spool), set()) == [str(spool / "depositd-1" / name) for name in ("link", "x")]
    assert (tmp_path / "precious").exists()


def test_a_spool_that_is_spelled_otherwise_loses_nothing(spool, archive, tmp_path):
    os.symlink(spool, tmp_path / "alias")
    assert sweep_orphans(f"{tmp_path}/alias/", {archive.path, "/nowhere/gone.tar"}) == []
    assert entries(spool / "depositd-7") == ["lyso_1.tar.zst"]


def test_no_spool_no_orphans(tmp_path):
    assert sweep_orphans(str(tmp_path / "absent"), set()) == []


FILL = """
import sys
from pathlib import Path
from archive_support import MIB, entries, noise, pack_it, plan_for, write_tree
from depositd.archive import verify
from depositd.errors import SpoolFull
spool, source = Path(sys.argv[1]), Path(sys.argv[2])
write_tree(source, {"a": noise(40 * MIB)})
write_tree(spool, {"ballast": bytes(30 * MIB)})
plan = plan_for(source, compression=sys.argv[3])
try:
    pack_it(plan, spool / "depositd-1")
except SpoolFull as error:
    print(error, "|", error.hint)
print(entries(spool / "depositd-1"))
(spool / "ballast").unlink()
verify(pack_it(plan, spool / "depositd-1"))
print(entries(spool / "depositd-1"))
"""


@pytest.mark.fault(15)
@pytest.mark.mounts
@pytest.mark.parametrize(("compression", "name"), [("zstd", "lyso_1.tar.zst"), ("zip", "lyso_1.zip")])
def test_a_spool_that_is_really_full_leaves_nothing_and_goes_on_once_there_is_room(tmp_path, spool, compression, name):
    said, after, later = run_on_tmpfs(spool, "50m", FILL, str(tmp_path / "source"), compression).splitlines()
    assert "is full after" in said
    assert said.endswith(
        "No space left on device | free space in the spool, or lower spool.min_free; packing goes on by itself"
    )
    assert after == "[]"
    assert later == f"['{name}']"
