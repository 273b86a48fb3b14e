"""Archives at a person's word: packed from a directory or a file, or made by somebody else."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import os
import tarfile

import pytest
import zstandard
from archive_support import noise, write_tree

from depositd.archive import compress, is_ready, ready_archive, verify
from depositd.errors import ArchiveInvalid, SourceUnreadable


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def names(path):
    with zstandard.open(path, "rb") as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
        return [member.name for member in tar]


def test_a_directory_is_packed_beside_itself_under_its_own_name(tmp_path):
    write_tree(tmp_path / "lyso", {"a/1.cbf": noise(1000, 1), "b.txt": b"x", ".hidden": b"y"})
    told = []
    archive = compress(tmp_path / "lyso", on_progress=lambda done, total: told.append((done, total)))
    assert archive.path == str(tmp_path / "lyso.tar.zst")
    assert names(archive.path) == ["lyso/.hidden", "lyso/a/1.cbf", "lyso/b.txt"]
    with open(archive.path, "rb") as file:
        content = file.read()
    assert archive.md5 == md5(content)
    assert archive.inner_md5 == md5(zstandard.ZstdDecompressor().decompressobj().decompress(content))
    verify(archive)
    assert told[-1] == (1002, 1002)


def test_a_root_takes_the_place_of_the_sources_name(tmp_path):
    write_tree(tmp_path / "mx1", {"lyso_1.cbf": b"x"})
    archive = compress(tmp_path / "mx1", tmp_path / "out.tar.zst", root="lyso")
    assert names(archive.path) == ["lyso/lyso_1.cbf"]
    for root in ("", "..", "a/b"):
        with pytest.raises(ValueError, match="is not a file name"):
            compress(tmp_path / "mx1", tmp_path / "out.tar.zst", root=root)


def test_a_file_is_packed_under_its_name(tmp_path):
    (tmp_path / "one.cbf").write_bytes(b"data")
    archive = compress(tmp_path / "one.cbf", tmp_path / "out" / "x.tar.zst")
    assert archive.path == str(tmp_path / "out" / "x.tar.zst")
    assert names(archive.path) == ["one/one.cbf"]


def test_the_same_directory_gives_the_same_bytes(tmp_path):
    write_tree(tmp_path / "lyso", {"a": noise(1000, 1), "b": noise(1000, 2)})
    assert compress(tmp_path / "lyso").md5 == compress(tmp_path / "lyso", tmp_path / "again.tar.zst").md5


@pytest.mark.parametrize("kind", ["symlink", "fifo"])
def test_what_is_no_regular_file_is_refused_by_name(tmp_path, kind):
    write_tree(tmp_path / "lyso", {"a": b"x"})
    odd = tmp_path / "lyso" / "odd"
    os.mkfifo(odd) if kind == "fifo" else odd.symlink_to("a")
    with pytest.raises(SourceUnreadable, match=r"lyso/odd is a (symbolic link|named pipe)"):
        compress(tmp_path / "lyso")
    assert sorted(each.name for each in tmp_path.iterdir()) == ["lyso"]


def test_a_linked_directory_inside_is_refused_and_not_followed(tmp_path):
    write_tree(tmp_path / "lyso", {"a": b"x"})
    (tmp_path / "lyso" / "out").symlink_to(tmp_path, target_is_directory=True)
    with pytest.raises(SourceUnreadable, match="lyso/out is a symbolic link"):
        compress(tmp_path / "lyso")


def test_nothing_is_not_packed(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceUnreadable, match="no files in it"):
        compress(tmp_path / "empty")
    with pytest.raises(SourceUnreadable, match="cannot be read: No such file"):
        compress(tmp_path / "nowhere")


def test_an_archive_never_lies_in_what_it_holds(tmp_path):
    write_tree(tmp_path / "lyso", {"a/b": b"x"})
    with pytest.raises(ValueError, match="lies in the directory"):
        compress(tmp_path / "lyso", tmp_path / "lyso" / "a" / "x.tar.zst")
    with pytest.raises(ValueError, match=r"does not end in \.tar\.zst"):
        compress(tmp_path / "lyso", tmp_path / "x.zip")


def test_a_stop_leaves_nothing_behind(tmp_path):
    write_tree(tmp_path / "lyso", {"a": noise(1000, 1)})

    def stop(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        compress(tmp_path / "lyso", on_progress=stop)
    assert [each.name for each in tmp_path.iterdir()] == ["lyso"]


INNER = noise(700_000, 3)
WRAPPED = {
    "x.tar": (INNER, INNER),
    "x.zip": (INNER, INNER),
    "x.tar.zst": (zstandard.compress(INNER[:300_000]) + zstandard.compress(INNER[300_000:]), INNER),
    "x.tar.gz": (gzip.compress(INNER[:9]) + gzip.compress(INNER[9:]), INNER),
    "X.TGZ": (gzip.compress(INNER), INNER),
    "x.tar.bz2": (bz2.compress(INNER[:9]) + bz2.compress(INNER[9:]), INNER),
    "x.tar.gz.zst": (zstandard.compress(gzip.compress(b"x", mtime=0)), gzip.compress(b"x", mtime=0)),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_both_hashes_of_somebody_elses_archive(tmp_path, name):
    content, inner = WRAPPED[name]
    (tmp_path / name).write_bytes(content)
    told = []
    archive = ready_archive(tmp_path / name, on_progress=lambda done, total: told.append((done, total)))
    assert (archive.name, archive.size_bytes) == (name, len(content))
    assert (archive.md5, archive.inner_md5) == (md5(content), md5(inner))
    assert archive.sha256 == hashlib.sha256(content).hexdigest()
    assert told[-1] == (len(content), len(content))
    quick = ready_archive(tmp_path / name, look_inside=False)
    assert (quick.md5, quick.inner_md5, quick.sha256) == (archive.md5, archive.md5, archive.sha256)


@pytest.mark.parametrize("name", ["x.tar.zst", "x.tar.gz", "x.tar.bz2"])
@pytest.mark.parametrize("harm", ["cut", "other"])
def test_a_broken_one_is_found_before_it_is_sent(tmp_path, name, harm):
    content = WRAPPED[name][0]
    (tmp_path / name).write_bytes(content[:-20] if harm == "cut" else b"not compressed at all" * 100)
    with pytest.raises(ArchiveInvalid, match="not a whole archive"):
        ready_archive(tmp_path / name)


def test_what_is_no_file_is_told(tmp_path):
    os.mkfifo(tmp_path / "x.tar")
    (tmp_path / "y.tar").write_bytes(b"")
    for name, says in (("x.tar", "no regular file"), ("y.tar", "is empty"), ("z.tar", "cannot be read")):
        with pytest.raises(SourceUnreadable, match=says):
            ready_archive(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "ready"),
    [("a.tar", True), ("a.tgz.zst", True), ("A.ZIP", True), ("a.tar.zst", True), ("a.zst", False), ("a.cbf", False)],
)
def test_an_archive_is_known_by_its_name(name, ready):
    assert is_ready(name) is ready
