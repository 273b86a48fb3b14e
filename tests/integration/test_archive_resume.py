"""Archives that were cut off, damaged or got in each other's way, and disks that fail."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from archive_support import MIB, entries, noise, once, plan_for, stat_file, write_tree
from resume_support import (
    LOG,
    PART,
    Stopped,
    begun,
    content,
    cut_off,
    gone_on_with,
    recorded_in,
    resumable,
    start_of,
    stop_at,
    write_members,
)

from depositd.archive import PackTools, Workshop, follow, pack, verify
from depositd.archive.framelog import Start, frame_line, header_line
from depositd.archive.frames import TAR, FrameWriter
from depositd.archive.hashing import new
from depositd.archive.part import PartFile
from depositd.archive.resuming import find_start
from depositd.archive.source import SourceTree
from depositd.errors import ArchiveInvalid, ContentCorrupt, SourceChanged, SpoolFull
from depositd.model import Packing

MEMBERS = (6 * MIB, 5 * MIB, 100, 19 * MIB, 6 * MIB)


@pytest.fixture
def source(tmp_path):
    write_members(tmp_path / "source", MEMBERS)
    return tmp_path / "source"


@pytest.fixture
def spool(tmp_path):
    return tmp_path / "spool" / "depositd-1"


@contextlib.contextmanager
def nothing_left_running() -> Iterator[None]:
    """Prove that what runs inside leaves no thread and no descriptor behind."""
    threads, descriptors = set(threading.enumerate()), os.listdir("/proc/self/fd")
    yield
    assert set(threading.enumerate()) <= threads
    assert len(os.listdir("/proc/self/fd")) <= len(descriptors)


# --- crashes ----------------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from archive_support import noise
from depositd.archive import PackTools, pack
from depositd.model import Packing
from resume_support import resumable
packing = Packing(sys.argv[3])
plan = resumable(Path(sys.argv[1]), packing=packing, compression=sys.argv[4])
pack(plan, sys.argv[2], PackTools(progress=lambda done, total: print(done, flush=True)))
"""


def killed(source: Path, spool: Path, packing: Packing, compression: str, frames: int) -> None:
    """Pack in a process of its own, and kill it once so many frames are settled."""
    support = str(Path(__file__).parents[1] / "support")
    arguments = [sys.executable, "-c", CHILD, str(source), str(spool), packing.value, compression]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": support}) as child:
        assert child.stdout is not None
        for _line in child.stdout:
            with contextlib.suppress(OSError):
                if (spool / LOG).read_bytes().count(b"\n") > frames:
                    break
        child.send_signal(signal.SIGKILL)
        child.stdout.read()


@pytest.mark.parametrize("packing", list(Packing))
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_after_kill_9_only_what_was_not_settled_is_read_again(tmp_path, spool, packing, compression):
    source = tmp_path / "source"
    sizes = (120 * MIB,) if packing is Packing.FILE else (50 * MIB, 6 * MIB, 6 * MIB, 58 * MIB)
    write_members(source, sizes)
    killed(source, spool, packing, compression, frames=9)
    plan = resumable(source, packing=packing, compression=compression)
    assert set(entries(spool)) == {PART, LOG}
    settled_bytes = start_of(spool).plain_bytes
    assert settled_bytes >= 6 * 4 * MIB
    said: list[str] = []
    read = gone_on_with(plan, spool, tmp_path, say=said.append)
    assert read <= plan.size_bytes - settled_bytes + 8 * MIB
    assert "are packed already, and stay" in said[0]


def test_one_large_file_goes_on_in_its_middle_with_any_fixed_level(tmp_path, spool):
    source = tmp_path / "source"
    write_members(source, (80 * MIB,))
    plan = resumable(source, packing=Packing.FILE, level=5)
    settled = settled_before(plan, spool, frames=4)
    assert gone_on_with(plan, spool, tmp_path) == 80 * MIB - settled


def settled_before(plan, spool: Path, frames: int) -> int:
    """Stop packing as soon as so many frames are settled; return the bytes in them."""

    def progress(done: int, total: int) -> None:
        deadline_s = time.monotonic() + 60
        # the reader waits here for what is settled behind it
        while done > frames * 8 * MIB and (spool / LOG).read_bytes().count(b"\n") <= frames:
            assert time.monotonic() < deadline_s
            time.sleep(0.005)
        if done > frames * 8 * MIB:
            raise Stopped

    with pytest.raises(Stopped):
        pack(plan, str(spool), PackTools(progress=progress))
    return start_of(spool).plain_bytes


def test_an_archive_that_was_whole_but_for_its_name_costs_its_last_frame(tmp_path, spool):
    source = tmp_path / "source"
    write_members(source, (6 * MIB,) * 11 + (100,))
    plan = resumable(source)
    ends = 0

    def progress(done: int, total: int) -> None:
        nonlocal ends
        ends += done == total
        if ends == 2:
            raise Stopped

    with pytest.raises(Stopped):
        pack(plan, str(spool), PackTools(progress=progress))
    assert recorded_in(spool).frames[-1].is_last
    assert gone_on_with(plan, spool, tmp_path) == 100


@pytest.mark.parametrize("keep", [True, False])
def test_interrupted_it_leaves_what_can_be_gone_on_with_or_nothing(tmp_path, spool, keep):
    write_members(tmp_path / "source", (6 * MIB,) * 12)
    plan = replace(resumable(tmp_path / "source"), keep_part=keep)
    with nothing_left_running(), pytest.raises(Stopped):
        pack(plan, str(spool), PackTools(progress=stop_at(70 * MIB)))
    assert entries(spool) == ([PART, LOG] if keep else [])


# --- what lies there is damaged ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """Return a source, and a spool with its archive as it was begun: five frames, one of which ends in a member."""
    root = tmp_path_factory.mktemp("prepared")
    write_members(root / "source", MEMBERS)
    begun(resumable(root / "source"), root / "spool")
    return root


@pytest.fixture
def there(prepared, spool):
    """Return a spool of one's own to damage."""
    shutil.copytree(prepared / "spool", spool)
    return spool


def found(prepared: Path, spool: Path) -> int:
    """Return how many frames can be gone on with."""
    with Workshop(2) as workshop:
        return len(find_start(resumable(prepared / "source"), str(spool), None, workshop).start.frames)


def ends_of(spool: Path) -> list[int]:
    ends, at = [], 0
    for frame in start_of(spool).frames:
        at += frame.block.size_bytes
        ends.append(at)
    return ends


def test_a_part_that_is_cut_off_anywhere(prepared, there, tmp_path):
    ends = ends_of(there)
    assert len(ends) == 5
    step = 64 << 10
    for size in range((there / PART).stat().st_size // step * step, -1, -step):
        os.truncate(there / PART, size)
        assert found(prepared, there) == sum(end <= size for end in ends)
        if size // step % 4 == 0:
            other = tmp_path / str(size)
            shutil.copytree(there, other)
            gone_on_with(resumable(prepared / "source"), other, tmp_path)


@pytest.mark.parametrize("number", range(5))
def test_a_byte_that_is_wrong_in_a_frame(prepared, there, tmp_path, number):
    with open(there / PART, "r+b") as file:
        file.seek(ends_of(there)[number] - 1000)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    assert found(prepared, there) == number
    said: list[str] = []
    gone_on_with(resumable(prepared / "source"), there, tmp_path, say=said.append)
    assert said[-1].endswith(f"packed again: piece {number + 1} of the archive is damaged, or was never written")


def test_a_log_that_is_cut_off_anywhere(prepared, there, tmp_path):
    log = (there / LOG).read_bytes()
    lines = log.splitlines(keepends=True)
    ends = [sum(map(len, lines[: count + 1])) for count in range(len(lines))]
    for size in sorted({0, 1, 8, 9, 50, *(end + by for end in ends for by in (-1, 0, 1, 40) if end + by <= len(log))}):
        (there / LOG).write_bytes(log[:size])
        assert found(prepared, there) == max(sum(end <= size for end in ends) - 1, 0), size
    (there / LOG).write_bytes(log[: ends[2] + 40])
    gone_on_with(resumable(prepared / "source"), there, tmp_path)


def rewritten_header(spool: Path, **changes: object) -> None:
    recorded = recorded_in(spool)
    lines = [header_line(replace(recorded.header, **changes)), *map(frame_line, recorded.frames)]
    (spool / LOG).write_bytes(b"".join(lines))


def test_states_of_another_machine_are_not_used_and_what_is_there_is_hashed_again(prepared, there, tmp_path):
    rewritten_header(there, machine="another one")
    # the last frame ends in the middle of a member, and without its state that has to be read from its beginning
    usable = found(prepared, there)
    assert usable == len([frame for frame in start_of(there).frames if frame.begun is None])
    assert gone_on_with(resumable(prepared / "source"), there, tmp_path) < sum(MEMBERS)


@pytest.mark.parametrize(
    "changes", [{"level": 3}, {"compression": "none"}, {"version": 99}, {"packing": Packing.FILE.value}]
)
def test_a_log_of_another_kind_of_archive_is_of_no_use(prepared, there, tmp_path, changes):
    rewritten_header(there, **changes)
    assert gone_on_with(resumable(prepared / "source"), there, tmp_path) == sum(MEMBERS)


@pytest.mark.parametrize("gone", [PART, LOG])
def test_the_one_without_the_other_is_of_no_use(prepared, there, tmp_path, gone):
    (there / gone).unlink()
    assert gone_on_with(resumable(prepared / "source"), there, tmp_path) == sum(MEMBERS)


def test_a_part_that_is_longer_than_its_log_is_cut(prepared, there, tmp_path):
    with open(there / PART, "ab") as file:
        file.write(noise(3 * MIB))
    assert found(prepared, there) == 5
    gone_on_with(resumable(prepared / "source"), there, tmp_path)


@pytest.mark.parametrize("name", [PART, LOG])
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe", "hard link"])
def test_what_is_not_ours_is_never_followed_nor_waited_for(prepared, there, tmp_path, name, kind):
    path, precious = there / name, tmp_path / "precious"
    before = path.read_bytes()
    precious.write_bytes(before)
    path.unlink()
    match kind:
        case "link":
            path.symlink_to(precious)
        case "link to nothing":
            path.symlink_to(tmp_path / "nothing")
        case "pipe":
            os.mkfifo(path)
        case "hard link":
            path.write_bytes(before)
    gone_on_with(resumable(prepared / "source"), there, tmp_path)
    assert precious.read_bytes() == before
    assert not (tmp_path / "nothing").exists()


@pytest.mark.parametrize("name", [PART, LOG])
def test_a_directory_in_its_place_is_said_and_left_alone(prepared, there, name):
    (there / name).unlink()
    write_tree(there, {f"{name}/precious": b"x"})
    with nothing_left_running(), pytest.raises(ArchiveInvalid, match="cannot be written: Is a directory"):
        pack(resumable(prepared / "source"), str(there))
    assert (there / name / "precious").read_bytes() == b"x"


def test_a_part_of_no_use_is_gone_before_it_is_asked_whether_there_is_room(prepared, there):
    rewritten_header(there, level=3)
    plan = replace(resumable(prepared / "source"), min_free_bytes=10**9)
    free = [lambda: 10**8 if (there / PART).exists() and (there / PART).stat().st_size else 10**10]
    verify(pack(plan, str(there), PackTools(free_bytes=lambda _path: free[0]())))


# --- the source changed in between ------------------------------------------------------------------------------


def rewrite(path: Path) -> None:
    path.write_bytes(content(path.stat().st_size, 99))


def replaced(path: Path) -> None:
    """Put another file in its place that looks the same."""
    now = path.stat()
    path.with_name("new").write_bytes(content(now.st_size, 99))
    os.utime(path.with_name("new"), ns=(now.st_atime_ns, now.st_mtime_ns))
    os.rename(path.with_name("new"), path)


def restored(path: Path) -> None:
    now = path.stat()
    path.write_bytes(content(now.st_size, 99))
    os.utime(path, ns=(now.st_atime_ns, now.st_mtime_ns))


CHANGES: dict[str, Callable[[Path], None]] = {
    "rewritten": rewrite,
    "replaced": replaced,
    "its times restored": restored,
    "touched": lambda path: path.chmod(0o600),
    "vanished": lambda path: path.unlink(),
    "one came before it": lambda path: path.with_name(path.name[:3] + "+").write_bytes(b"late") and None,
    "shorter": lambda path: os.truncate(path, 50),
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(("number", "kept"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 4)])
def test_it_is_built_anew_from_the_first_member_that_is_another(source, spool, tmp_path, change, number, kept):
    begun(resumable(source), spool)
    CHANGES[change](source / f"{number:03}.cbf")
    plan = resumable(source)
    with Workshop(2) as workshop:
        frames = find_start(plan, str(spool), None, workshop).start.frames
    assert len(frames) == kept
    reads = gone_on_with(plan, spool, tmp_path)
    assert reads <= plan.size_bytes - sum(MEMBERS[:number]) + 8 * MIB


def test_stopped_behind_the_last_frame_no_file_is_said_to_have_changed(source, spool, tmp_path):
    plan = resumable(source)
    begun(plan, spool)

    def at_the_end(_done: int, _total: int) -> None:
        if recorded_in(spool).frames[-1].is_last:
            raise Stopped

    with pytest.raises(Stopped):
        pack(plan, str(spool), PackTools(progress=at_the_end))
    assert recorded_in(spool).frames[-1].is_last
    said: list[str] = []
    gone_on_with(plan, spool, tmp_path, say=said.append)
    assert [sentence for sentence in said if "packed again" in sentence] == []


@pytest.mark.parametrize("change", ["its times restored", "touched"])
def test_a_file_touched_after_the_plan_was_made_is_packed_again(source, spool, tmp_path, change):
    plan = resumable(source)
    begun(plan, spool)
    CHANGES[change](source / "001.cbf")
    said: list[str] = []
    gone_on_with(plan, spool, tmp_path, say=said.append)
    assert said[-1].endswith("packed again: a file was touched after it was packed")


@pytest.mark.parametrize("change", ["rewritten", "replaced", "vanished", "shorter"])
def test_a_plan_that_the_disk_contradicts_is_refused_and_what_is_there_stays(source, spool, change):
    plan = resumable(source)
    begun(plan, spool)
    CHANGES[change](source / "001.cbf")
    with nothing_left_running(), pytest.raises(SourceChanged, match=r"001\.cbf"):
        pack(plan, str(spool))
    assert entries(spool) == [PART, LOG]


def test_a_member_that_changes_between_the_look_and_its_second_half(source, spool):
    plan = resumable(source, files=tuple(stat_file(source, f"{number:03}.cbf") for number in range(4)))
    assert begun(plan, spool).begun is not None
    said: list[str] = []

    def say(sentence: str) -> None:
        said.append(sentence)
        restored(source / "003.cbf")

    with pytest.raises(SourceChanged, match=r"003\.cbf was changed after its first .* bytes were packed"):
        pack(plan, str(spool), PackTools(say=say))
    assert len(said) == 1


# --- disks that fail --------------------------------------------------------------------------------------------


def failing_write(number: int, name: str, after: int) -> Callable[[int, memoryview], int]:
    """Return a *write* that fails after so many calls for a file whose path ends so."""
    calls = 0

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal calls
        if os.readlink(f"/proc/self/fd/{descriptor}").endswith(name):
            calls += 1
            if calls > after:
                raise OSError(number, os.strerror(number))
            return os.write(descriptor, data[: max(len(data) // 2, 1)])  # a short write is no error
        return os.write(descriptor, data)

    return write


@pytest.mark.parametrize("name", [PART, LOG])
@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, SpoolFull), (errno.EDQUOT, SpoolFull), (errno.EIO, ArchiveInvalid), (errno.EROFS, ArchiveInvalid)],
)
@pytest.mark.parametrize("after", [0, 3, 40])
def test_an_error_of_the_spool_leaves_nothing(tmp_path, spool, name, number, error, after):
    write_members(tmp_path / "source", (6 * MIB,) * 12)
    plan = resumable(tmp_path / "source")
    tools = PackTools(write=failing_write(number, name, after))
    with nothing_left_running(), pytest.raises(error, match=os.strerror(number)):
        pack(plan, str(spool), tools)
    assert entries(spool) == []


def test_a_floor_that_is_reached_while_following_leaves_nothing(source, spool):
    asked: list[str] = []

    def free_bytes(path: str) -> int:
        asked.append(path)
        return 10**12 if len(asked) < 2 else 0

    write_tree(source, {"zz": noise(90 * MIB)})
    plan = replace(resumable(source), min_free_bytes=10**9)
    with nothing_left_running(), pytest.raises(SpoolFull, match=r"has 0 B free, less than the floor of 1\.00 GB"):
        follow(plan, str(spool), PackTools(free_bytes=free_bytes))
    assert entries(spool) == []


@pytest.mark.parametrize("at", [0, 1, 1000, -1])
@pytest.mark.parametrize("compression", ["zstd", "none"])
def test_other_bytes_than_those_that_were_written_are_found_before_anything_is_visible(source, spool, compression, at):
    def write(descriptor: int, data: memoryview) -> int:
        other = bytearray(data)
        other[at if len(other) > 1000 else 0] ^= 4
        return os.write(descriptor, other)

    with nothing_left_running(), pytest.raises(ArchiveInvalid):
        pack(resumable(source, compression=compression), str(spool), PackTools(write=write))
    assert entries(spool) == []


def test_a_spool_that_is_removed_while_it_is_packed(source, spool):
    gone = once(lambda: shutil.rmtree(spool))
    with nothing_left_running(), pytest.raises(ArchiveInvalid, match="No such file or directory"):
        pack(resumable(source), str(spool), PackTools(progress=gone))
    assert not spool.exists()


# --- errors in every thread -------------------------------------------------------------------------------------


class Broken:
    """A content check, and an encoder, that fail."""

    def update(self, _block: object) -> None:
        raise RuntimeError("broken")

    def problem(self) -> str | None:
        return "its checksum is wrong"

    def encode(self, _frame: memoryview) -> bytes:
        raise RuntimeError("broken")

    def finish(self) -> bytes:
        return b""

    def stop(self) -> None:
        pass


def write_frames(source: Path, spool: Path, workshop: Workshop, begin: Callable[[memoryview], Broken]) -> None:
    plan = plan_for(source)
    with (
        PartFile(str(spool), "x", min_free_bytes=0, free_bytes=lambda _path: 1, write=os.write, fsync=os.fsync) as part,
        SourceTree(plan.root) as tree,
        FrameWriter(
            part, workshop, begin, TAR, compression="zstd", log=None, start=Start(), inner_md5=new("md5")
        ) as writer,
    ):
        for path, file in plan.in_order():
            with tree.open(file) as opened:
                writer.add(path, opened, None, lambda _count: None)
        writer.finish()


def begin_badly(_frame: memoryview) -> Broken:
    raise RuntimeError("broken")


def all_memory_is_back(workshop: Workshop) -> bool:
    """Say whether every frame of memory can be had at once."""
    workshop.pool.submit(os.getpid).result(60)
    for one in [workshop.pool.submit(time.sleep, 0.01) for _ in range(workshop.workers)]:
        one.result(60)
    taken = threading.Thread(
        target=lambda: [
            workshop.give_back(frame) for frame in [workshop.take_frame() for _ in range(workshop.workers + 4)]
        ],
        daemon=True,
    )
    taken.start()
    taken.join(60)
    return not taken.is_alive()


@pytest.mark.parametrize("begin", [begin_badly, lambda _frame: Broken()], ids=["begin", "encode"])
def test_an_error_of_the_encoder_surfaces_and_gives_everything_back(source, spool, begin):
    with nothing_left_running(), Workshop(2) as workshop:
        for _ in range(9):
            with pytest.raises(RuntimeError, match="broken"):
                write_frames(source, spool, workshop, begin)
        assert all_memory_is_back(workshop)
    assert entries(spool) == []


FAULTS: dict[str, tuple[type[Exception], PackTools]] = {
    "check": (RuntimeError, PackTools(content_check=lambda _name: Broken())),
    "write": (SpoolFull, PackTools(write=failing_write(errno.ENOSPC, PART, 2))),
    "read back": (ArchiveInvalid, PackTools(write=lambda descriptor, data: os.write(descriptor, bytes(len(data))))),
    "fsync": (ArchiveInvalid, PackTools(fsync=lambda _descriptor: os.close(-1))),
    "progress": (Stopped, PackTools(progress=stop_at(20 * MIB))),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("workers", [1, 4])
def test_an_error_surfaces_and_gives_everything_back(source, spool, fault, workers):
    error, tools = FAULTS[fault]
    spool.mkdir(parents=True)
    with nothing_left_running(), Workshop(workers) as workshop:
        for _ in range(9):  # more often than there are frames
            with pytest.raises(error):
                pack(replace(resumable(source), keep_part=False), str(spool), replace(tools, workshop=workshop))
        assert all_memory_is_back(workshop)
        verify(pack(resumable(source), str(spool), PackTools(workshop=workshop)))


def test_archives_that_share_a_workshop_never_wait_for_each_other_without_end(tmp_path):
    """One is stalled in the middle of a frame, some fail, and the others go on."""
    for number in range(5):
        write_members(tmp_path / f"source-{number}", (5 * MIB, 3 * MIB, 9 * MIB, 10), number)
    others_are_done = threading.Event()
    results: dict[int, str] = {}

    def stalled(done: int, _total: int) -> None:
        if done >= 6 * MIB:
            assert others_are_done.wait(100)

    def run(number: int, workshop: Workshop) -> None:
        tools = PackTools(workshop=workshop, progress={0: stalled, 1: stop_at(9 * MIB)}.get(number, lambda *_: None))
        if number == 2:
            tools = replace(tools, content_check=lambda _name: Broken())
        for again in range(1 if number == 0 else 4):
            try:
                plan = replace(resumable(tmp_path / f"source-{number}"), keep_part=False)
                verify(pack(plan, str(tmp_path / "spool" / f"{number}-{again}"), tools))
                results[number] = "packed"
            except (Stopped, RuntimeError) as error:
                results[number] = str(error) or "stopped"

    with nothing_left_running(), Workshop(1) as workshop:
        threads = [threading.Thread(target=run, args=(number, workshop), daemon=True) for number in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads[1:]:
            thread.join(100)
            assert not thread.is_alive()
        assert results == {1: "stopped", 2: "broken", 3: "packed", 4: "packed"}
        others_are_done.set()
        threads[0].join(100)
        assert results[0] == "packed"
        assert all_memory_is_back(workshop)


def test_what_contradicts_itself_is_not_gone_on_with(tmp_path, spool):
    write_members(tmp_path / "source", (6 * MIB,) * 12)

    class Check(Broken):
        def update(self, _block: object) -> None: ...

    with pytest.raises(ContentCorrupt, match=r"011\.cbf is corrupt"):
        pack(
            resumable(tmp_path / "source"),
            str(spool),
            PackTools(content_check=lambda name: Check() if name == "011.cbf" else None),
        )
    assert entries(spool) == []


# --- large and many ---------------------------------------------------------------------------------------------


def test_a_sparse_file_is_packed_as_the_zeros_that_it_reads_as(tmp_path, spool):
    write_tree(tmp_path / "source", {"a": b"begin"})
    os.truncate(tmp_path / "source" / "a", 150 * MIB)
    assert (tmp_path / "source" / "a").stat().st_blocks < 100
    plan = resumable(tmp_path / "source")
    cut_off(follow, plan, spool, 140 * MIB)
    gone_on_with(plan, spool, tmp_path)


def measured(script: str, *arguments: Path) -> list[int]:
    """Run a script in a process of its own and return the numbers that it prints."""
    support = str(Path(__file__).parents[1] / "support")
    command = [sys.executable, "-c", script, *map(str, arguments)]
    child = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": support}
    )
    return [int(number) for number in child.stdout.split()]


PACK_MANY = """
import sys, time
from pathlib import Path
from depositd.archive import PackTools, follow, pack
from resume_support import cut_off, peak_mib, resumable
plan, spool = resumable(Path(sys.argv[1])), Path(sys.argv[2])
cut_off(follow, plan, spool, plan.size_bytes // 2)
archive = pack(plan, str(spool), PackTools())
print(len(archive.members), int(time.process_time()), peak_mib())
"""


@pytest.mark.long
def test_100_000_members_of_a_few_bytes(tmp_path, spool):
    source = tmp_path / "source"
    source.mkdir()
    for number in range(100_000):
        path = source / f"{number:06}"
        if number % 50_000:  # a file has 65,000 names at most
            os.link(source / f"{number // 50_000 * 50_000:06}", path)
        else:
            path.write_bytes(b"few bytes")
    members, spent_s, peak_mib = measured(PACK_MANY, source, spool)
    assert members == 100_000
    assert spent_s < 60
    assert peak_mib < 300


PACK_TWO = """
import sys, threading
from pathlib import Path
from depositd.archive import PackTools, Workshop, pack
from resume_support import peak_mib, resumable
plan = resumable(Path(sys.argv[1]))
with Workshop(4) as workshop:
    threads = [
        threading.Thread(target=pack, args=(plan, sys.argv[2] + name, PackTools(workshop=workshop))) for name in "ab"
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
print(peak_mib())
"""


def test_two_archives_at_once_need_hardly_more_memory_than_one(tmp_path, spool):
    """What does not compress needs most: each frame, and as much again of what came of it."""
    source = tmp_path / "source"
    write_tree(source, {f"{number:03}": noise(6 * MIB, number) for number in range(4)})
    for number in range(4, 80):
        os.link(source / f"{number % 4:03}", source / f"{number:03}")
    (peak_mib,) = measured(PACK_TWO, source, spool)
    assert peak_mib < 200
    for name in "ab":
        shutil.rmtree(f"{spool}{name}")


@pytest.mark.parametrize("size_bytes", [0, 1, 4 * MIB - 1, 4 * MIB, 8 * MIB, 8 * MIB + 1, 16 * MIB])
def test_one_file_as_it_is_has_the_same_blocks_each_time(tmp_path, spool, size_bytes):
    write_members(tmp_path / "source", (size_bytes,))
    plan = resumable(tmp_path / "source", packing=Packing.FILE)
    for _ in range(4):
        blocks = [block.size_bytes for block in pack(plan, str(spool)).blocks]
        full, rest = divmod(size_bytes, 8 * MIB)
        assert blocks == [8 * MIB] * full + ([rest] if rest or not full else [])


@pytest.mark.parametrize("name", ["n" * 250, "/".join(["d" * 250] * 8), "/".join(["deep"] * 200), "ü" * 120])
def test_long_names_and_deep_paths_are_gone_on_with(tmp_path, spool, name):
    write_tree(tmp_path / "source", {f"{name}-{number}": content(5 * MIB, number) for number in range(3)})
    plan = resumable(tmp_path / "source")
    assert len(begun(plan, spool).members) == 3
    assert gone_on_with(plan, spool, tmp_path) == 0
