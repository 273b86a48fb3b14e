"""What every packing and every compression must do."""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import os
import random
import tarfile
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import zstandard
from archive_support import MIB, entries, noise, once, pack_it, plan_for, write_tree

from depositd.archive import AUTO_LEVELS, LEVELS, SUFFIXES, Workshop, unchanged, verify
from depositd.errors import ArchiveInvalid, ContentCorrupt, SourceChanged, SpoolFull
from depositd.model import Archive, Packing

TARS = ["zstd", "gzip", "bzip2", "none"]
ALL = [*TARS, "zip", "file"]

CONTENTS = {
    "00001.cbf": noise(5000, 1) + bytes(3000),
    "00002.cbf": noise(8192, 2),
    "empty": b"",
    "sub/größe\n.txt": b"text\n" * 400,
    "z-last": noise(513, 3),
}


@pytest.fixture(params=ALL)
def plan(request, tmp_path):
    contents = {"run.raw": noise(60_000)} if request.param == "file" else CONTENTS
    write_tree(tmp_path / "source", contents)
    if request.param == "file":
        return plan_for(tmp_path / "source", packing=Packing.FILE)
    return plan_for(tmp_path / "source", compression=request.param)


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool" / "depositd-1"


def plain_tar(archive: Archive) -> bytes | None:
    """Return the tar inside, decompressed by the standard library."""
    packed = Path(archive.path).read_bytes()
    if archive.packing is Packing.FILE or archive.name.endswith(".zip"):
        return None
    if archive.name.endswith(".zst"):
        with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as reader:
            return reader.read()
    opener = {".gz": gzip.decompress, ".bz2": bz2.decompress}.get(Path(archive.name).suffix)
    return opener(packed) if opener else packed


def unpack(archive: Archive) -> Iterator[tuple[str, bytes, float]]:
    """Yield path, content and mtime of each member, as the standard library reads them."""
    plain = plain_tar(archive)
    if archive.packing is Packing.FILE:
        yield archive.name, Path(archive.path).read_bytes(), archive.members[0].mtime_ns / 1e9
    elif plain is None:
        with zipfile.ZipFile(archive.path) as packed:
            assert packed.testzip() is None
            for info in packed.infolist():
                yield info.filename, packed.read(info), int.from_bytes(info.extra[5:9], "little")
    else:
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:", encoding="utf-8") as tar:
            for info in tar:
                content = tar.extractfile(info)
                assert content is not None
                yield info.name, content.read(), info.mtime


def believed(archive: Archive) -> Archive:
    """Return the archive with the hashes of whatever the file holds now, so that only its structure can tell."""
    packed = Path(archive.path).read_bytes()
    md5 = hashlib.md5(packed).hexdigest()
    return replace(archive, size_bytes=len(packed), md5=md5, sha256=hashlib.sha256(packed).hexdigest())


def test_every_byte_name_and_time_comes_back(plan, spool):
    archive = pack_it(plan, spool)
    unpacked = list(unpack(archive))
    expected = [
        (path, (Path(plan.root) / file.path).read_bytes(), file.mtime_ns / 1e9) for path, file in plan.in_order()
    ]
    assert [(path, content) for path, content, _ in unpacked] == [(path, content) for path, content, _ in expected]
    for (*_, mtime), (*_, expected_mtime) in zip(unpacked, expected, strict=True):
        assert mtime == pytest.approx(expected_mtime, abs=1.0 if archive.name.endswith(".zip") else 1e-6)


def test_the_archive_says_what_the_file_is(plan, spool):
    archive = pack_it(plan, spool)
    packed = Path(archive.path).read_bytes()
    assert archive.path == str(spool / plan.file_name)
    assert archive.name == plan.file_name
    assert archive.packing is plan.packing
    assert archive.size_bytes == len(packed)
    assert archive.md5 == hashlib.md5(packed).hexdigest()
    assert archive.sha256 == hashlib.sha256(packed).hexdigest()
    assert archive.inner_md5 == hashlib.md5(plain_tar(archive) or packed).hexdigest()
    in_order = plan.in_order()
    assert [(member.path, member.size_bytes, member.mtime_ns) for member in archive.members] == [
        (path, file.size_bytes, file.mtime_ns) for path, file in in_order
    ]
    assert [member.sha256 for member in archive.members] == [
        hashlib.sha256((Path(plan.root) / file.path).read_bytes()).hexdigest() for _, file in in_order
    ]
    assert entries(spool) == [plan.file_name]


def test_the_same_input_gives_the_same_bytes(plan, spool, tmp_path):
    first = pack_it(plan, spool, workshop=Workshop(1))
    again = pack_it(replace(plan, files=tuple(reversed(plan.files))), tmp_path / "elsewhere", workshop=Workshop(5))
    assert Path(again.path).read_bytes() == Path(first.path).read_bytes()
    assert replace(again, path=first.path) == first


def test_packing_again_replaces_the_file_at_once(plan, spool):
    first = pack_it(plan, spool)
    assert pack_it(plan, spool) == first
    assert entries(spool) == [plan.file_name]


def test_a_packed_file_verifies_and_one_that_is_gone_does_not(plan, spool):
    archive = pack_it(plan, spool)
    verify(archive)
    assert unchanged(archive)
    os.unlink(archive.path)
    assert not unchanged(archive)
    with pytest.raises(ArchiveInvalid, match=r"is not what was packed: it cannot be opened: No such file") as caught:
        verify(archive)
    assert caught.value.hint


@pytest.mark.fault(11)
def test_every_truncation_is_found(plan, spool):
    archive = pack_it(plan, spool)
    for size_bytes in range(archive.size_bytes - archive.size_bytes % 4096, -1, -4096):
        os.truncate(archive.path, size_bytes)
        assert not unchanged(archive)
        with pytest.raises(ArchiveInvalid, match="bytes instead of"):
            verify(archive)
        with pytest.raises(ArchiveInvalid):
            verify(believed(archive))


@pytest.mark.fault(11)
def test_every_flipped_bit_is_found(plan, spool):
    archive = pack_it(plan, spool)
    packed = Path(archive.path).read_bytes()
    chance = random.Random(11)
    for _ in range(200):
        damaged = bytearray(packed)
        damaged[chance.randrange(len(packed))] ^= 1 << chance.randrange(8)
        Path(archive.path).write_bytes(damaged)
        assert unchanged(archive), "the size alone cannot tell"
        with pytest.raises(ArchiveInvalid):
            verify(archive)


@pytest.mark.fault(11)
def test_what_is_appended_is_found(plan, spool):
    archive = pack_it(plan, spool)
    with open(archive.path, "ab") as file:
        file.write(bytes(10240))
    with pytest.raises(ArchiveInvalid):
        verify(archive)


@pytest.mark.parametrize("change", ["path", "size_bytes", "sha256", "fewer", "more", "order"])
def test_members_that_are_not_as_recorded_are_found(plan, spool, change):
    archive = pack_it(plan, spool)
    members = list(archive.members)
    match change:
        case "fewer":
            members.pop()
        case "more":
            members.append(replace(members[0], path="lyso_1/zz"))
        case "order":
            members.reverse()
        case _:
            other = {"path": "lyso_1/other", "size_bytes": 1, "sha256": "0" * 64}
            members[0] = replace(members[0], **{change: other[change]})
    if tuple(members) == archive.members:
        members.append(members[0])  # one member is in order either way
    with pytest.raises(ArchiveInvalid):
        verify(replace(archive, members=tuple(members)))


def test_a_wrong_inner_md5_is_found(plan, spool):
    archive = pack_it(plan, spool)
    with pytest.raises(ArchiveInvalid):
        verify(replace(archive, inner_md5="0" * 32))


def test_the_source_is_never_touched(plan, spool):
    def state() -> list[tuple[object, ...]]:
        paths = sorted([Path(plan.root), *Path(plan.root).rglob("*")])
        stats = [os.lstat(path) for path in paths]
        return [(now.st_ino, now.st_mode, now.st_mtime_ns, now.st_ctime_ns, now.st_atime_ns) for now in stats]

    for file in plan.files:
        path = Path(plan.root) / file.path
        os.utime(path, ns=(1_000_000_000, file.mtime_ns))  # older than its mtime: any read would move it
    before = state()
    pack_it(plan, spool)
    assert state() == before


class Seen:
    """A content check that remembers what it was shown."""

    def __init__(self, says: str | None = None) -> None:
        self.content = b""
        self.says = says

    def update(self, block: bytes | memoryview) -> None:
        self.content += bytes(block)

    def problem(self) -> str | None:
        return self.says


def test_the_content_check_sees_each_file_whole(plan, spool):
    checks: dict[str, Seen] = {}
    pack_it(plan, spool, content_check=lambda name: checks.setdefault(name, Seen()) if name != "empty" else None)
    assert {name: check.content for name, check in checks.items()} == {
        file.name: (Path(plan.root) / file.path).read_bytes() for file in plan.files if file.name != "empty"
    }


def test_content_that_contradicts_itself_stops_the_packing(plan, spool):
    culprit = plan.files[-1]
    with pytest.raises(ContentCorrupt, match="is corrupt: its checksum is wrong"):
        pack_it(plan, spool, content_check=lambda name: Seen("its checksum is wrong") if name == culprit.name else None)
    assert entries(spool) == []


def test_progress_ends_at_the_total_and_never_goes_back(plan, spool):
    calls: list[tuple[int, int]] = []
    pack_it(plan, spool, progress=lambda done, total: calls.append((done, total)))
    assert calls[0] == (0, plan.size_bytes)
    assert calls[-1] == (plan.size_bytes, plan.size_bytes)
    assert calls == sorted(calls)


@pytest.mark.parametrize("moment", ["first call", "some bytes", "verifying"])
def test_progress_can_stop_it_at_any_moment(plan, spool, moment):
    old = spool / plan.file_name
    spool.mkdir(parents=True)
    old.write_bytes(b"an older one")
    ends = 0

    def progress(done: int, total: int) -> None:
        nonlocal ends
        ends += done == total
        if moment == "first call" or (moment == "some bytes" and done > 0) or ends > 1:
            raise RuntimeError("the daemon is told to stop")

    with pytest.raises(RuntimeError, match="the daemon is told to stop"):
        pack_it(plan, spool, progress=progress)
    assert entries(spool) == [plan.file_name]
    assert old.read_bytes() == b"an older one"


@pytest.mark.fault(12)
def test_a_file_that_grows_while_it_is_read_is_found(plan, spool):
    file = next(file for file in plan.in_order() if file[1].size_bytes)[1]

    def append() -> None:
        with open(Path(plan.root) / file.path, "ab") as target:
            target.write(b"more")

    with pytest.raises(SourceChanged, match=rf"grew from {file.size_bytes:,} to {file.size_bytes + 4:,} bytes while"):
        pack_it(plan, spool, progress=once(append))
    assert entries(spool) == []


@pytest.mark.fault(15)
def test_the_floor_of_free_space_is_kept(plan, spool):
    with pytest.raises(SpoolFull, match=r"has 5\.00 GB free, less than the floor of 20\.0 GB") as caught:
        pack_it(replace(plan, min_free_bytes=20 * 10**9), spool, free_bytes=lambda _path: 5 * 10**9)
    assert "goes on by itself" in caught.value.hint
    assert entries(spool) == []


def test_what_a_killed_run_left_behind_is_written_over(plan, spool):
    spool.mkdir(parents=True)
    (spool / (plan.file_name + ".part")).write_bytes(noise(MIB))
    archive = pack_it(plan, spool)
    verify(archive)
    assert entries(spool) == [plan.file_name]


class Fsync:
    """Counts what is made durable, and fails once."""

    def __init__(self, failing: int | None = None) -> None:
        self.calls = 0
        self.failing = failing

    def __call__(self, descriptor: int) -> None:
        os.fsync(descriptor)
        self.calls += 1
        if self.calls == self.failing:
            raise OSError(errno.EIO, "Input/output error")


@pytest.mark.fault(14)
@pytest.mark.parametrize("failing", [1, 2])
def test_after_a_failed_fsync_the_file_is_thrown_away(plan, spool, failing):
    spool.mkdir(parents=True)
    with pytest.raises(ArchiveInvalid, match="could not be written safely and was thrown away: Input/output error"):
        pack_it(plan, spool, fsync=Fsync(failing))
    assert entries(spool) == []
    fsync = Fsync()
    verify(pack_it(plan, spool, fsync=fsync))
    assert fsync.calls == 2, "the file, then its directory"


@pytest.mark.fault(14)
def test_a_new_directory_is_made_durable_too(plan, spool):
    fsync = Fsync()
    pack_it(plan, spool, fsync=fsync)
    assert fsync.calls == 3


@pytest.mark.fault(11, 14)
def test_what_the_disk_gives_back_otherwise_is_found_before_it_is_visible(plan, spool):
    def write(descriptor: int, data: memoryview) -> int:
        return os.write(descriptor, bytes([data[0] ^ 0x5A]) + data[1:])

    with pytest.raises(ArchiveInvalid, match=r"is not what was|is damaged"):
        pack_it(plan, spool, write=write)
    assert entries(spool) == []


@pytest.mark.parametrize("compression", [*TARS, "zip"])
def test_every_compression_has_a_suffix_and_an_automatic_level(compression):
    assert SUFFIXES[compression].startswith(".")
    assert AUTO_LEVELS[compression] in LEVELS[compression]


@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "zip"])
def test_the_level_reaches_the_compressor(compression, tmp_path):
    write_tree(tmp_path / "source", {"words": " ".join(str(number**3) for number in range(60_000)).encode()})
    sizes = [
        pack_it(plan_for(tmp_path / "source", compression=compression, level=level), tmp_path / "spool").size_bytes
        for level in (LEVELS[compression][0], LEVELS[compression][-1])
    ]
    assert sizes[1] != sizes[0]
