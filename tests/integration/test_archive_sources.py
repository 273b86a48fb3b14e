"""Sources that change, lie or refuse while they are packed."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from archive_support import entries, noise, once, pack_it, plan_for, stat_file, stat_tree, write_tree

from depositd.archive.source import SourceFile, SourceTree
from depositd.errors import SourceChanged, SourceUnreadable
from depositd.model import FileKind, FileStat

NAME = "mx1/deep/lyso_1_00001.cbf"


@pytest.fixture
def source(tmp_path):
    write_tree(tmp_path / "source", {NAME: noise(1024), "mx1/zz": b"the last"})
    return tmp_path / "source"


@pytest.fixture
def path(source):
    return source / NAME


def keep_times(path: Path, change: Callable[[], None]) -> None:
    """Change a file and restore its times, as rsync does."""
    before = os.stat(path)
    change()
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def refused(source: Path, spool: Path, change: Callable[[], None], *, while_read: bool) -> str:
    """Pack with a change before the file is opened, or after it was read; return the sentence of the error."""
    plan = plan_for(source)
    if not while_read:
        change()
    progress = once(change) if while_read else (lambda _done, _total: None)
    with pytest.raises(SourceChanged) as caught:
        pack_it(plan, spool, progress=progress)
    assert caught.value.hint
    assert entries(spool) == []
    return str(caught.value)


@pytest.mark.fault(12)
@pytest.mark.parametrize("while_read", [False, True])
def test_appended(source, path, tmp_path, while_read):
    said = refused(source, tmp_path / "spool", lambda: path.write_bytes(noise(2048)), while_read=while_read)
    when = "while it was read" if while_read else "after it was looked at"
    assert said == f"{NAME} grew from 1,024 to 2,048 bytes {when}"


@pytest.mark.fault(12)
@pytest.mark.parametrize("while_read", [False, True])
def test_cut_short(source, path, tmp_path, while_read):
    said = refused(source, tmp_path / "spool", lambda: os.truncate(path, 10), while_read=while_read)
    assert said.startswith(f"{NAME} shrank from 1,024 to 10 bytes")


@pytest.mark.fault(12)
@pytest.mark.parametrize("while_read", [False, True])
def test_written_in_place(source, path, tmp_path, while_read):
    def write() -> None:
        now = os.stat(path)
        path.write_bytes(noise(1024, seed=2))
        os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns + 3_200_000_000))

    said = refused(source, tmp_path / "spool", write, while_read=while_read)
    assert said.startswith(f"{NAME} was written to")
    assert "3.2 s later" in said


def test_written_in_place_with_its_times_restored(source, path, tmp_path):
    def write() -> None:
        keep_times(path, lambda: path.write_bytes(noise(1024, seed=2)))

    said = refused(source, tmp_path / "spool", write, while_read=True)
    assert said == f"{NAME} was changed while it was read, although its size and modification time are as before"


@pytest.mark.fault(12)
@pytest.mark.parametrize("while_read", [False, True])
def test_replaced_by_another_of_the_same_size_and_time(source, path, tmp_path, while_read):
    def replace() -> None:
        new = path.with_name("new")
        new.write_bytes(noise(1024, seed=2))
        now = os.stat(path)
        os.utime(new, ns=(now.st_atime_ns, now.st_mtime_ns))
        os.rename(new, path)

    said = refused(source, tmp_path / "spool", replace, while_read=while_read)
    # the old file's ctime moves when its last name goes, so either sentence may come first
    assert said.startswith((f"{NAME} was replaced by another file", f"{NAME} was changed while it was read"))


@pytest.mark.parametrize("while_read", [False, True])
def test_vanished(source, path, tmp_path, while_read):
    kept = source.parent / "kept"
    said = refused(source, tmp_path / "spool", lambda: os.rename(path, kept), while_read=while_read)
    assert said.startswith((f"{NAME} vanished", f"{NAME} was changed while it was read"))


@pytest.mark.fault(12)
def test_a_later_file_changes_while_an_earlier_one_is_read(source, path, tmp_path):
    said = refused(source, tmp_path / "spool", lambda: (source / "mx1/zz").write_bytes(b"longer now"), while_read=True)
    assert said == "mx1/zz grew from 8 to 10 bytes after it was looked at"


@pytest.mark.fault(13)
def test_a_link_in_place_of_the_file(source, path, tmp_path):
    def link() -> None:
        os.rename(path, source.parent / "outside")
        os.symlink(source.parent / "outside", path)

    assert "stands in its path" in refused(source, tmp_path / "spool", link, while_read=False)


@pytest.mark.fault(13)
def test_a_link_in_the_middle_that_leads_to_the_very_same_file(source, tmp_path):
    def link() -> None:
        os.rename(source / "mx1/deep", source.parent / "deep")
        os.symlink(source.parent / "deep", source / "mx1/deep")

    assert "a link, or something else, stands in its path" in refused(
        source, tmp_path / "spool", link, while_read=False
    )


@pytest.mark.fault(13)
@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["named pipe", "directory"])
def test_something_else_in_its_place_does_not_block(source, path, tmp_path, make):
    def put() -> None:
        path.unlink()
        make(path)

    assert "is no longer a regular file" in refused(source, tmp_path / "spool", put, while_read=False)


@pytest.mark.fault(12)
def test_a_socket_in_its_place(source, path, tmp_path, monkeypatch):
    monkeypatch.chdir(path.parent)  # a socket's path is short
    with socket.socket(socket.AF_UNIX) as listener:

        def put() -> None:
            path.unlink()
            listener.bind(path.name)

        assert "is no longer a regular file" in refused(source, tmp_path / "spool", put, while_read=False)


@pytest.mark.fault(13)
@pytest.mark.parametrize("kind", [kind for kind in FileKind if kind is not FileKind.REGULAR])
def test_special_files_are_refused_by_name(source, tmp_path, kind):
    files = (FileStat("mx1/odd\nname", 0, 0, kind=kind), *stat_tree(source))
    with pytest.raises(SourceUnreadable, match=rf"mx1/odd\\nname is a {kind}, and only regular files are ever read"):
        pack_it(plan_for(source, files=files), tmp_path / "spool")


def test_the_root_is_gone(source, tmp_path):
    plan = plan_for(source)
    os.rename(source, tmp_path / "moved")
    with pytest.raises(SourceChanged, match="vanished"):
        pack_it(plan, tmp_path / "spool")


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Drop root's power to read everything; for anyone else there is nothing to drop."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_file_that_may_not_be_read(source, path):
    path.chmod(0)
    planned = stat_file(source, NAME)
    with SourceTree(str(source)) as tree, as_nobody():
        opened = tree.open(planned)
        with pytest.raises(SourceUnreadable, match=rf"{NAME} cannot be read: Permission denied") as caught:
            opened.__enter__()
    assert "permissions" in caught.value.hint


def test_a_file_of_another_owner_is_read_without_o_noatime(source, path):
    planned = stat_file(source, NAME)
    with SourceTree(str(source)) as tree, as_nobody(), tree.open(planned) as opened:
        block = memoryview(bytearray(2048))
        assert opened.read_into(block) == 1024
        opened.confirm_unchanged()


def test_an_error_of_the_disk_while_it_is_read(source, path):
    parent = os.open(path.parent, os.O_RDONLY)
    unreadable = os.open(path, os.O_WRONLY)
    try:
        opened = SourceFile(stat_file(source, NAME), unreadable, parent)
        with pytest.raises(SourceUnreadable, match="cannot be read: Bad file descriptor"):
            opened.read_into(memoryview(bytearray(10)))
    finally:
        os.close(unreadable)
        os.close(parent)


def test_no_descriptor_is_left_open(source, path, tmp_path):
    def descriptors() -> int:
        return len(os.listdir("/proc/self/fd"))

    plan = plan_for(source)
    pack_it(plan, tmp_path / "spool")
    before = descriptors()
    pack_it(plan, tmp_path / "spool")
    path.write_bytes(b"changed")
    for _ in range(3):
        with pytest.raises(SourceChanged):
            pack_it(plan, tmp_path / "spool")
    assert descriptors() == before
