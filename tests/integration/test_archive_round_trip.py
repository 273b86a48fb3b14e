"""Archives as GNU tar and zstd see them, where their frames end, and how much memory they cost."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest
import zstandard
from archive_support import MIB, WEIRD_NAMES, entries, noise, once, pack_it, plan_for, write_tree

from depositd.archive import SUFFIXES, PackTools, Workshop, follow, pack, verify
from depositd.archive.tar import end_of_archive, member_header
from depositd.archive.workshop import FRAME_MOST_BYTES
from depositd.errors import ArchiveInvalid, SourceUnreadable, SpoolFull


def tar(*arguments: str, locale: str = "C.UTF-8") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["tar", *arguments], check=True, capture_output=True, env={**os.environ, "LC_ALL": locale})


def contents(root: Path) -> dict[bytes, tuple[bytes, int]]:
    """Return each file's content and mtime by its path in bytes."""
    found = {}
    for directory, _, names in os.walk(os.fsencode(root)):
        for name in names:
            path = os.path.join(directory, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, os.fsencode(root))] = (file.read(), os.stat(path).st_mtime_ns)
    return found


@pytest.mark.fault(13)
@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "none"])
@pytest.mark.parametrize("locale", ["C", "C.UTF-8"])
def test_gnu_tar_gives_back_every_name_content_and_time(tmp_path, compression, locale):
    source = tmp_path / "source"
    write_tree(source, {name: noise(number * 100, number) for number, name in enumerate(WEIRD_NAMES)})
    write_tree(source, {"empty": b""})
    archive = pack_it(plan_for(source, compression=compression), tmp_path / "spool")
    flag = {"zstd": "--use-compress-program=zstd", "gzip": "-z", "bzip2": "-j", "none": "--no-same-owner"}
    (tmp_path / "out").mkdir()
    tar("-C", str(tmp_path / "out"), flag[compression], "-xf", archive.path, locale=locale)
    assert contents(tmp_path / "out" / "lyso_1") == contents(source)


class SecondFirst(ThreadPoolExecutor):
    """Threads of which the first comes to its work only after another one has done the next piece."""

    def __init__(self) -> None:
        super().__init__(2)
        self._next_is_done: threading.Event | None = None

    def submit(self, fn, /, *args, **kwargs):
        if self._next_is_done is None:
            self._next_is_done = threading.Event()
            return super().submit(self._late, partial(fn, *args, **kwargs))
        done = super().submit(fn, *args, **kwargs)
        done.add_done_callback(lambda _done: self._next_is_done.set())
        return done

    def _late(self, work):
        assert self._next_is_done is not None
        self._next_is_done.wait(5)
        return work()


@pytest.mark.parametrize("compression", ["zstd", "gzip", "bzip2", "none"])
def test_frames_keep_their_order_whichever_thread_comes_first(tmp_path, compression):
    write_tree(tmp_path / "source", {"a": noise(20 * MIB)})
    with Workshop(2) as workshop:
        workshop.pool.shutdown()
        workshop.pool = SecondFirst()
        archive = pack_it(plan_for(tmp_path / "source", compression=compression), tmp_path / "spool", workshop=workshop)
    verify(archive)


def test_zstd_itself_finds_nothing_wrong(tmp_path):
    write_tree(tmp_path / "source", {"a": noise(MIB), "b": bytes(20 * MIB), "c": b""})
    archive = pack_it(plan_for(tmp_path / "source"), tmp_path / "spool")
    subprocess.run(["zstd", "-t", "-q", archive.path], check=True)


def test_members_above_8_gib_are_listed_by_gnu_tar_and_python(tmp_path):
    size_bytes = 9 * 2**30
    first, second = member_header("d/big", size_bytes, 1), member_header("d/next", 0, 1)
    path = tmp_path / "big.tar"
    with open(path, "wb") as file:
        file.write(first)
        file.seek(size_bytes, os.SEEK_CUR)
        file.write(second)
        file.write(end_of_archive(file.tell()))
    listed = tar("-tvf", str(path)).stdout.decode().splitlines()
    assert [line.split()[2] for line in listed] == [str(size_bytes), "0"]
    with tarfile.open(path) as opened:
        assert [info.size for info in opened] == [size_bytes, 0]


def test_a_zip_holds_utf8_names_and_refuses_others_by_name(tmp_path):
    names = [name for name in WEIRD_NAMES if b"\xff" not in name]
    write_tree(tmp_path / "source", {name: name * 50 for name in names})
    archive = pack_it(plan_for(tmp_path / "source", compression="zip"), tmp_path / "spool")
    with zipfile.ZipFile(archive.path) as packed:
        assert {info.filename for info in packed.infolist()} == {"lyso_1/" + os.fsdecode(name) for name in names}
    write_tree(tmp_path / "source", {b"bad-\xff": b""})
    with pytest.raises(SourceUnreadable, match=r"lyso_1/bad-\\xff has a name that a zip archive cannot hold") as caught:
        pack_it(plan_for(tmp_path / "source", compression="zip"), tmp_path / "spool")
    assert "zstd" in caught.value.hint


def frames(path: str) -> list[tuple[bytes, bytes]]:
    """Return each zstd frame of a file, compressed and plain."""
    rest = Path(path).read_bytes()
    found = []
    while rest:
        frame = zstandard.ZstdDecompressor().decompressobj()
        plain = frame.decompress(rest)
        assert frame.eof
        found.append((rest[: len(rest) - len(frame.unused_data)], plain))
        rest = frame.unused_data
    return found


@pytest.fixture(scope="module")
def series(tmp_path_factory):
    """Return a series of images of 5 MiB, and one file that needs many frames."""
    source = tmp_path_factory.mktemp("series")
    image = noise(MIB) * 5
    write_tree(source, {f"lyso_1_{number:05}.cbf": image[number:] for number in range(1, 7)})
    write_tree(source, {"small_1": b"1", "small_2": b"2", "zz_big": image * 8})
    return source


def test_frames_end_at_members_and_big_members_are_cut(series, tmp_path):
    archive = pack_it(plan_for(series), tmp_path / "spool")
    plain = [plain for _, plain in frames(archive.path)]
    assert max(map(len, plain)) == FRAME_MOST_BYTES
    images = plain[:6]
    assert all(b"lyso_1_0000%d.cbf" % number in frame[:2048] for number, frame in enumerate(images, 1))
    assert len(plain) == 6 + 6, "each image has its own frame; 40 MiB are cut into six"


def test_what_is_packed_early_is_the_beginning_of_the_whole(series, tmp_path):
    """An archive can be begun while the acquisition runs, and taken up again after its last whole frame."""
    whole = plan_for(series)
    first = sorted(whole.files, key=lambda file: file.path)[:4]
    beginning = pack_it(plan_for(series, files=tuple(first)), tmp_path / "a")
    all_of_it = pack_it(whole, tmp_path / "b")
    durable = b"".join(frame for frame, _ in frames(beginning.path)[:4])
    assert Path(all_of_it.path).read_bytes().startswith(durable)


def test_the_bytes_do_not_depend_on_the_number_of_workers(series, tmp_path):
    archives = [pack_it(plan_for(series), tmp_path / str(workers), workshop=Workshop(workers)) for workers in (1, 2, 7)]
    assert len({archive.sha256 for archive in archives}) == 1


def test_many_small_files(tmp_path):
    write_tree(tmp_path / "source", {f"{number:05}": b"%d" % number for number in range(3000)})
    archive = pack_it(plan_for(tmp_path / "source"), tmp_path / "spool")
    assert len(archive.members) == 3000
    verify(archive)


def test_the_floor_is_watched_while_it_is_written(tmp_path):
    write_tree(tmp_path / "source", {"a": b""})
    os.truncate(tmp_path / "source" / "a", 200 * MIB)
    asked: list[str] = []

    def free_bytes(path: str) -> int:
        asked.append(path)
        return 10**9 if len(asked) < 3 else 10**6

    plan = plan_for(tmp_path / "source", compression="none", min_free_bytes=10**8)
    with pytest.raises(SpoolFull, match=r"has 1\.00 MB free, less than the floor of 100 MB"):
        pack_it(plan, tmp_path / "spool", free_bytes=free_bytes)
    assert len(asked) == 3
    assert entries(tmp_path / "spool") == []


def test_a_quota_that_is_told_only_at_fsync_is_a_full_spool(tmp_path):
    write_tree(tmp_path / "source", {"a": b"x"})

    def fsync(descriptor: int) -> None:
        raise OSError(122, "Disk quota exceeded")

    (tmp_path / "spool").mkdir()
    with pytest.raises(SpoolFull, match="Disk quota exceeded"):
        pack_it(plan_for(tmp_path / "source"), tmp_path / "spool", fsync=fsync)
    assert entries(tmp_path / "spool") == []


@pytest.mark.fault(13)
def test_file_names_up_to_the_longest(tmp_path):
    write_tree(tmp_path / "source", {"a": b"x"})
    name = "n" * (255 - len(SUFFIXES["zstd"])) + SUFFIXES["zstd"]
    archive = pack_it(plan_for(tmp_path / "source", file_name=name), tmp_path / "spool")
    assert entries(tmp_path / "spool") == [name]
    verify(archive)


@pytest.mark.fault(14)
def test_an_archive_being_packed_is_not_visible_under_its_name(tmp_path):
    write_tree(tmp_path / "source", {"a": b"x"})
    seen: list[list[str]] = []
    look = once(lambda: seen.append(entries(tmp_path / "spool")))
    pack_it(plan_for(tmp_path / "source"), tmp_path / "spool", progress=look)
    assert seen == [["lyso_1.tar.zst.part"]]


MEASURE = """
import os, resource, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from archive_support import noise, pack_it, plan_for, write_tree
source, spool = Path(sys.argv[1]), Path(sys.argv[2])
write_tree(source, {"small": noise(1 << 20)})
pack_it(plan_for(source), spool)
baseline = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with open(source / "big", "wb") as file:
    for number in range(16):
        file.seek(number << 26)
        file.write(noise(1 << 24))
    file.truncate(1 << 30)
pack_it(plan_for(source), spool)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - baseline) // 1024)
"""


def test_memory_stays_flat_for_one_gibibyte(tmp_path):
    support = Path(__file__).parents[1] / "support"
    arguments = [sys.executable, "-c", MEASURE, str(tmp_path / "source"), str(tmp_path / "spool"), str(support)]
    grown_mib = int(subprocess.run(arguments, check=True, capture_output=True, text=True).stdout)
    (tmp_path / "source" / "big").unlink()
    assert grown_mib <= 150


@pytest.mark.fault(14)
@pytest.mark.parametrize(("number", "error"), [(errno.EIO, ArchiveInvalid), (errno.ENOSPC, SpoolFull)])
@pytest.mark.parametrize("growing", [False, True])
def test_what_cannot_be_made_durable_on_the_way_is_thrown_away(number, error, growing, tmp_path):
    write_tree(tmp_path / "source", {f"{index:03}.bin": noise(10 * MIB) for index in range(8)})
    tried = []

    def fsync(descriptor: int) -> None:
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            tried.append(descriptor)
            if len(tried) == 1:
                raise OSError(number, os.strerror(number))

    plan = plan_for(tmp_path / "source", keep_part=True)
    with pytest.raises(error):
        (follow if growing else pack)(plan, str(tmp_path / "spool"), PackTools(fsync=fsync))
    assert len(tried) == 1, "a file whose fsync failed is not asked again"
    assert entries(tmp_path / "spool") == []
