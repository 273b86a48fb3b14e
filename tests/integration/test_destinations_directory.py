from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import os
import shutil
import threading
from dataclasses import replace
from types import SimpleNamespace

import pytest
import zstandard
from http_support import Recorder

from depositd.destinations import directory
from depositd.destinations.directory import DirectoryDestination, with_hash
from depositd.errors import ArchiveInvalid, Rejected, Unavailable
from depositd.model import Archive, Block, Delivery, DeliveryState, Packing
from depositd.rate_limit import RateLimit
from depositd.states import DeliveryEvent

CONTENT = b"frame" * 4_000_000
BLOCK_BYTES = 3 << 20


@pytest.fixture
def vault(tmp_path):
    path = tmp_path / "vault"
    path.mkdir()
    return path


def spooled(tmp_path, content: bytes = CONTENT, name: str = "lyso_1.tar.zst", with_blocks: bool = True) -> Archive:
    sha256, md5 = hashlib.sha256(content).hexdigest(), hashlib.md5(content).hexdigest()
    path = tmp_path / sha256
    path.write_bytes(content)
    pieces = [content[at : at + BLOCK_BYTES] for at in range(0, len(content), BLOCK_BYTES)]
    blocks = tuple(Block(len(piece), hashlib.sha256(piece).hexdigest()) for piece in pieces) if with_blocks else ()
    return Archive(str(path), name, Packing.ARCHIVE, len(content), md5, "0" * 32, sha256, (), blocks)


def step(vault, archive, state=DeliveryState.WAITING, report=None, number=7):
    delivery = Delivery(id=number, dataset_id=1, destination="vault", state=state)
    return DirectoryDestination("vault", vault).step(delivery, archive, {}, report or Recorder())


def names(vault):
    return sorted(os.listdir(vault))


@pytest.mark.parametrize("with_blocks", [True, False])
def test_a_copy_is_whole_verified_and_alone(with_blocks, tmp_path, vault):
    report = Recorder()
    outcome = step(vault, spooled(tmp_path, with_blocks=with_blocks), report=report)
    assert (outcome.event, outcome.remote_id) == (DeliveryEvent.DELIVERED, str(vault / "lyso_1.tar.zst"))
    assert (vault / "lyso_1.tar.zst").read_bytes() == CONTENT
    assert names(vault) == ["lyso_1.tar.zst"]
    assert report.progressed[-1] == (len(CONTENT), len(CONTENT))
    assert len(report.progressed) > 1


@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.UNCONFIRMED])
def test_a_copy_that_is_there_is_adopted_unchanged(state, tmp_path, vault):
    archive = spooled(tmp_path)
    step(vault, archive)
    before = os.stat(vault / "lyso_1.tar.zst")
    (vault / ".lyso_1.tar.zst.7.part").write_bytes(b"left by a crash")
    outcome = step(vault, archive, state)
    assert outcome.event is DeliveryEvent.DELIVERED
    assert os.stat(vault / "lyso_1.tar.zst").st_ino == before.st_ino
    assert names(vault) == ["lyso_1.tar.zst"]


def test_another_dataset_of_the_same_name_stands_beside_it(tmp_path, vault):
    first, second = spooled(tmp_path), spooled(tmp_path, b"other" * 2_000_000)
    step(vault, first)
    outcome = step(vault, second)
    expected = f"lyso_1-{second.sha256[:8]}.tar.zst"
    assert outcome.remote_id == str(vault / expected)
    assert names(vault) == [expected, "lyso_1.tar.zst"]
    assert (vault / "lyso_1.tar.zst").read_bytes() == CONTENT
    assert step(vault, second).remote_id == str(vault / expected)


def test_a_foreign_file_under_both_names_is_never_overwritten(tmp_path, vault):
    archive = spooled(tmp_path)
    for name in ("lyso_1.tar.zst", with_hash("lyso_1.tar.zst", archive.sha256)):
        (vault / name).write_bytes(b"foreign")
    with pytest.raises(Rejected) as caught:
        step(vault, archive)
    assert caught.value.hint
    assert all((vault / name).read_bytes() == b"foreign" for name in names(vault))


def test_a_symbolic_link_is_not_followed(tmp_path, vault):
    archive = spooled(tmp_path)
    (vault / "lyso_1.tar.zst").symlink_to(archive.path)
    outcome = step(vault, archive)
    assert outcome.remote_id.endswith(f"-{archive.sha256[:8]}.tar.zst")


def test_a_missing_directory_is_unavailable_and_not_created(tmp_path):
    path = tmp_path / "not mounted"
    with pytest.raises(Unavailable, match="No such file") as caught:
        step(path, spooled(tmp_path))
    assert "mount or create" in caught.value.hint
    assert not path.exists()
    with pytest.raises(Unavailable):
        DirectoryDestination("vault", path).whoami()


def test_a_file_in_the_place_of_the_directory_is_unavailable(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"")
    with pytest.raises(Unavailable, match="Not a directory"):
        step(path, spooled(tmp_path))


@pytest.mark.parametrize("with_blocks", [True, False])
@pytest.mark.parametrize("change", [b"frame", CONTENT[:-1] + b"X", CONTENT + b"X"])
def test_a_spooled_archive_that_changed_is_not_copied(change, with_blocks, tmp_path, vault):
    archive = spooled(tmp_path, with_blocks=with_blocks)
    with open(archive.path, "wb") as stream:
        stream.write(change)
    with pytest.raises(ArchiveInvalid, match="not what was packed"):
        step(vault, archive)
    assert names(vault) == []


def test_a_spooled_archive_that_is_gone_is_built_again(tmp_path, vault):
    with pytest.raises(ArchiveInvalid, match="cannot be read from the spool"):
        step(vault, replace(spooled(tmp_path), path=str(tmp_path / "gone")))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EDQUOT, errno.EACCES])
def test_a_full_or_broken_disk_is_waited_for(number, tmp_path, vault, monkeypatch):
    def fails(*_args):
        raise OSError(number, os.strerror(number))

    archive = spooled(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fails)
        with pytest.raises(Unavailable, match=os.strerror(number)) as caught:
            step(vault, archive)
    assert caught.value.hint
    assert names(vault) == []
    assert step(vault, archive).event is DeliveryEvent.DELIVERED


def test_a_copy_that_would_not_fit_is_not_begun_and_one_that_was_cut_off_makes_room_first(tmp_path, vault, monkeypatch):
    archive = spooled(tmp_path)
    (vault / f".{archive.name}.7.part").write_bytes(b"cut off")
    usage = shutil._ntuple_diskusage(total=10**9, used=0, free=archive.size_bytes - 1)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: usage)
        patch.setattr(os, "write", lambda *_: pytest.fail("it was begun"))
        with pytest.raises(Unavailable, match=r"No space left on device: .* are free, and .* takes") as caught:
            step(vault, archive)
    assert caught.value.hint == "free some space; it is tried again by itself"
    assert names(vault) == []
    assert step(vault, archive).event is DeliveryEvent.DELIVERED


def test_a_vault_that_is_full_says_so_when_it_is_asked(vault, monkeypatch):
    full = shutil._ntuple_diskusage(total=10**9, used=10**9, free=4096)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda _path: full)
        with pytest.raises(Unavailable, match="No space left on device"):
            DirectoryDestination("vault", vault).whoami()
    assert "free" in DirectoryDestination("vault", vault).whoami()


def test_nothing_of_a_block_that_changed_is_copied(tmp_path, vault):
    archive = spooled(tmp_path)
    with open(archive.path, "r+b") as stream:
        os.pwrite(stream.fileno(), b"rotten", 2 * BLOCK_BYTES + 7)
    report = Recorder()
    with pytest.raises(ArchiveInvalid, match="it is not what was packed between byte 6,291,456 and byte 9,437,184"):
        step(vault, archive, report=report)
    assert report.progressed[-1] == (2 * BLOCK_BYTES, len(CONTENT))


@pytest.mark.parametrize("with_blocks", [True, False])
def test_what_does_not_read_back_is_no_copy(with_blocks, tmp_path, vault, monkeypatch):
    archive = spooled(tmp_path, with_blocks=with_blocks)
    real = os.fsync

    def rots(descriptor: int) -> None:
        real(descriptor)
        os.pwrite(descriptor, b"rotten", 100)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", rots)
        with pytest.raises(Unavailable, match="does not read back"):
            step(vault, archive)
    assert names(vault) == []


def test_a_share_without_hard_links_works_too(tmp_path, vault, monkeypatch):
    def fails(*_args, **_options):
        raise OSError(errno.EOPNOTSUPP, "Operation not supported")

    monkeypatch.setattr(os, "link", fails)
    step(vault, spooled(tmp_path))
    assert names(vault) == ["lyso_1.tar.zst"]
    with pytest.raises(FileExistsError):
        directory._give_name(str(vault / "x"), str(vault / "lyso_1.tar.zst"))


def test_a_transfer_can_be_stopped_and_leaves_nothing(tmp_path, vault):
    class Stopping(Recorder):
        def progress(self, done_bytes: int, total_bytes: int) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(vault, spooled(tmp_path), report=Stopping())
    assert names(vault) == []


def test_a_transfer_can_be_stopped_while_it_is_read_back(tmp_path, vault):
    class Stopping(Recorder):
        def progress(self, done_bytes: int, total_bytes: int) -> None:
            super().progress(done_bytes, total_bytes)
            if self.progressed.count((total_bytes, total_bytes)) > 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        step(vault, spooled(tmp_path), report=Stopping())
    assert names(vault) == []
    assert [thread for thread in threading.enumerate() if thread.name.startswith("upload-")] == []


def test_copies_at_the_same_time_share_the_limit(tmp_path, vault):
    """Each takes its turn in small blocks, whoever waits; by a clock that nobody waits for."""
    now_s = [0.0]
    limit = RateLimit(1e6, clock=lambda: now_s[0], sleep=lambda seconds: now_s.__setitem__(0, now_s[0] + seconds))
    destination = DirectoryDestination("vault", vault, rate_limit=limit)
    content = b"frame" * 200_000
    inner = Delivery(id=2, dataset_id=2, destination="vault", state=DeliveryState.WAITING)
    second = spooled(tmp_path, content[::-1], "lyso_2.tar.zst")

    class Interleaved(Recorder):
        def progress(self, done_bytes: int, total_bytes: int) -> None:
            if not self.progressed:
                super().progress(done_bytes, total_bytes)
                destination.step(inner, second, {}, Recorder())

    step_ = Delivery(id=1, dataset_id=1, destination="vault", state=DeliveryState.WAITING)
    destination.step(step_, spooled(tmp_path, content), {}, Interleaved())
    assert names(vault) == ["lyso_1.tar.zst", "lyso_2.tar.zst"]
    assert now_s[0] == pytest.approx(2.0 - 0.25, abs=0.01)


def test_names_of_full_length_fit(tmp_path, vault):
    name = "x" * 247 + ".tar.zst"
    assert step(vault, spooled(tmp_path, name=name)).remote_id == str(vault / name)


def test_whoami_and_the_rest(vault):
    destination = DirectoryDestination("vault", vault)
    assert destination.whoami().startswith(f"copies go to {vault}, which has ")
    assert destination.packing(single_file=True) is Packing.ARCHIVE
    assert destination.problems({}) == []
    assert destination.idempotent


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.tar.zst", "a-01234567.tar.zst"),
        ("a.b.raw", "a.b-01234567.raw"),
        ("a", "a-01234567"),
        (".hidden", ".hidden-01234567"),
        ("a.zip", "a-01234567.zip"),
    ],
)
def test_the_hash_stands_before_the_suffix(name, expected):
    assert with_hash(name, "0123456789abcdef") == expected


@pytest.mark.fault(29)
@pytest.mark.parametrize("suffix", [".tar", ".tar.gz", ".tar.bz2", "-0a1b2c3d.tar.zst"])
def test_what_may_have_been_copied_is_found_however_it_was_packed(tmp_path, suffix):
    tar = b"the same tar, whatever it was packed as" * 50
    vault = tmp_path / "vault"
    vault.mkdir()
    pack = {".tar": bytes, ".tar.gz": gzip.compress, ".tar.bz2": bz2.compress}.get(suffix)
    content = pack(tar) if pack else zstandard.ZstdCompressor(level=19).compress(tar)
    (vault / f"lyso_1{suffix}").write_bytes(content)
    (vault / "lyso_1_other.tar").write_bytes(tar)
    sent = zstandard.ZstdCompressor(level=1).compress(tar)
    (tmp_path / "lyso_1.tar.zst").write_bytes(sent)
    md5 = hashlib.md5(tar, usedforsecurity=False).hexdigest()
    archive = Archive(str(tmp_path / "lyso_1.tar.zst"), "lyso_1.tar.zst", Packing.ARCHIVE, len(sent), "", md5, "f" * 64)
    delivery = Delivery(1, 1, "vault", DeliveryState.UNCONFIRMED)
    report = SimpleNamespace(progress=lambda _done, _total: None)
    there = DirectoryDestination("vault", vault).step(delivery, archive, {}, report)
    assert (there.event, there.remote_id) == (DeliveryEvent.DELIVERED, str(vault / f"lyso_1{suffix}"))
    (vault / f"lyso_1{suffix}").unlink()
    assert DirectoryDestination("vault", vault).step(delivery, archive, {}, report).event is DeliveryEvent.ABSENT
    assert os.listdir(vault) == ["lyso_1_other.tar"]
