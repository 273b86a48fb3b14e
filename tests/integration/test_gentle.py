"""Sources that are read gently: at idle I/O priority, within a rate, and out of the page cache again."""

from __future__ import annotations

import ctypes
import mmap
import os
import subprocess
import sys
import threading
import time

import pytest
from archive_support import MIB, entries, noise, pack_it, plan_for, write_tree
from engine_support import NOW, config_of
from format_files import cbf_bytes

from depositd import io_priority
from depositd.archive.source import GENTLE_PIECE_BYTES
from depositd.engine.interrupt import Interrupted
from depositd.engine.matching import RuleMatcher, take_all
from depositd.engine.scanning import judge_now, listing_at, scan
from depositd.formats.hdf5_reader import Reader
from depositd.journal import Journal
from depositd.model import Packing, VerdictKind
from depositd.rate_limit import RateLimit
from depositd.service.daemon import Daemon, Options
from depositd.systemd import NoSupervisor

AT_ONCE = 10.0**12
NORMAL = io_priority.current()


# --- the priority of a thread -----------------------------------------------------------------------------------------


def test_a_thread_is_idle_for_as_long_as_it_is_asked_to_be():
    with io_priority.idle() as is_idle:
        assert (is_idle, io_priority.current()) == (True, io_priority.IDLE)
        with io_priority.idle() as again:
            assert again
        assert io_priority.current() == io_priority.IDLE
    assert io_priority.current() == NORMAL


def test_a_thread_is_given_back_what_it_had_after_an_error_too():
    def fails():
        with io_priority.idle():
            raise LookupError

    with pytest.raises(LookupError):
        fails()
    assert io_priority.current() == NORMAL


def test_what_is_not_wanted_is_not_done():
    with io_priority.idle(wanted=False) as is_idle:
        assert (is_idle, io_priority.current()) == (False, NORMAL)


def test_other_threads_are_left_alone():
    found = []
    ready, done = threading.Event(), threading.Event()

    def other():
        ready.set()
        done.wait(10)
        found.append(io_priority.current())

    thread = threading.Thread(target=other)
    thread.start()
    ready.wait(10)
    with io_priority.idle():
        done.set()
        thread.join(10)
    assert found == [NORMAL]


def test_nobody_who_holds_the_journal_is_idle(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    with io_priority.idle():
        with journal.together():
            inside = io_priority.current()
            with journal.database.reading():
                pass
            still_inside = io_priority.current()
        assert (inside, still_inside, io_priority.current()) == (NORMAL, NORMAL, io_priority.IDLE)
    journal.close()


def test_the_process_that_reads_hdf5_files_follows_whom_it_reads_for(tmp_path):
    path = tmp_path / "x_master.h5"
    path.write_bytes(b"no HDF5")
    reader = Reader()
    found = []
    with path.open("rb") as file:
        reader.ask(file.fileno(), "master")
        for wanted in (True, False):
            with io_priority.idle(wanted):
                assert reader.ask(file.fileno(), "master").problem
                found.append(io_priority.current(reader._child.pid))
    reader.close()
    assert found == [io_priority.IDLE, NORMAL]


def test_where_there_is_no_such_call_nothing_happens():
    code = (
        "import platform; platform.machine = lambda: 'vax'\n"
        "from depositd import io_priority\n"
        "with io_priority.idle() as is_idle, io_priority.not_idle():\n"
        "    io_priority.lend(1)\n"
        "    print(is_idle, io_priority.current())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False None\n"


# --- archives ---------------------------------------------------------------------------------------------------------


def source(tmp_path, size_bytes=3 * MIB):
    root = tmp_path / "data"
    write_tree(root, {"a.bin": noise(size_bytes // 2, 1), "b.bin": noise(size_bytes // 2, 2)})
    return root


@pytest.mark.parametrize("changes", [{}, {"compression": "zip"}, {"compression": "none"}])
def test_an_archive_takes_as_long_as_the_limit_says_and_is_the_same(tmp_path, changes):
    root = source(tmp_path)
    free = pack_it(plan_for(root, **changes), tmp_path / "free")
    began_s = time.monotonic()
    gentle = pack_it(plan_for(root, **changes), tmp_path / "gentle", read_limit=RateLimit(6 * MIB))
    took_s = time.monotonic() - began_s
    assert took_s >= (3 * MIB - GENTLE_PIECE_BYTES) / (6 * MIB)
    assert gentle.sha256 == free.sha256


def test_a_single_file_is_read_within_the_limit_too(tmp_path):
    root = tmp_path / "data"
    write_tree(root, {"run.raw": noise(3 * MIB)})
    began_s = time.monotonic()
    pack_it(plan_for(root, packing=Packing.FILE), tmp_path / "spool", read_limit=RateLimit(6 * MIB))
    assert time.monotonic() - began_s >= (3 * MIB - GENTLE_PIECE_BYTES) / (6 * MIB)


def test_two_archives_share_the_limit_of_their_source(tmp_path):
    root = source(tmp_path, 2 * MIB)
    limit = RateLimit(6 * MIB)
    threads = [
        threading.Thread(
            target=pack_it, args=(plan_for(root), tmp_path / f"spool{number}"), kwargs={"read_limit": limit}
        )
        for number in range(2)
    ]
    began_s = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert time.monotonic() - began_s >= (4 * MIB - GENTLE_PIECE_BYTES) / (6 * MIB)


def priorities_of_packing(tmp_path, read_limit):
    """Return the priorities that the packing thread has while it reads, and the one at the end, when it verifies."""
    reading, later = set(), []

    def progress(done, total):
        if 0 < done < total:
            reading.add(io_priority.current())
        elif done == total:
            later.append(io_priority.current())

    pack_it(plan_for(source(tmp_path)), tmp_path / "spool", progress=progress, read_limit=read_limit)
    return reading, later[-1]


def test_the_packing_thread_is_idle_while_it_reads_and_not_afterwards(tmp_path):
    assert priorities_of_packing(tmp_path, RateLimit(AT_ONCE)) == ({io_priority.IDLE}, NORMAL)
    assert io_priority.current() == NORMAL


def test_nothing_is_idle_where_nobody_asks_for_it(tmp_path):
    assert priorities_of_packing(tmp_path, None) == ({NORMAL}, NORMAL)


def test_an_archive_that_waits_for_its_limit_stops_when_it_is_told_to(tmp_path):
    root = source(tmp_path)
    stop_at_s = time.monotonic() + 0.3

    def progress(_done, _total):
        if time.monotonic() > stop_at_s:
            raise Interrupted

    with pytest.raises(Interrupted):
        pack_it(plan_for(root), tmp_path / "spool", progress=progress, read_limit=RateLimit(1000.0))
    assert time.monotonic() - stop_at_s < 1.5
    assert entries(tmp_path / "spool") == []
    assert io_priority.current() == NORMAL


def resident_share(path):
    """Return which share of a file is in the page cache; to ask changes nothing."""
    size_bytes = path.stat().st_size
    pages = -(-size_bytes // mmap.PAGESIZE)
    found = (ctypes.c_ubyte * pages)()
    with path.open("rb") as file, mmap.mmap(file.fileno(), size_bytes, access=mmap.ACCESS_COPY) as mapped:
        there = (ctypes.c_char * size_bytes).from_buffer(mapped)
        mincore = ctypes.CDLL(None).mincore
        assert mincore(ctypes.c_void_p(ctypes.addressof(there)), ctypes.c_size_t(size_bytes), found) == 0
        del there
    return sum(page & 1 for page in found) / pages


def evict(path):
    """Take a file out of the page cache, as far as its file system has anything but memory."""
    for _ in range(50):
        with path.open("rb") as file:
            os.fsync(file.fileno())
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        if resident_share(path) == 0:
            return
        time.sleep(0.01)


def test_the_page_cache_is_left_as_it_was_found(tmp_path):
    root = tmp_path / "data"
    write_tree(root, {name: noise(2 * MIB) for name in ("cold", "warm")})
    for path in root.iterdir():
        evict(path)
    (root / "warm").read_bytes()
    before = resident_share(root / "cold")
    pack_it(plan_for(root), tmp_path / "spool", read_limit=RateLimit(AT_ONCE))
    assert resident_share(root / "cold") == pytest.approx(before, abs=0.4)
    assert resident_share(root / "warm") == 1


# --- dry runs ---------------------------------------------------------------------------------------------------------


def gentle_config(tmp_path, rate, more="retry: {first: 10s}"):
    rule = (
        f"{{name: r, watch: {tmp_path}/data, format: frames, settle: 0s, deliver: [one],"
        f" gentle: {{read_rate: {rate}}}}}"
    )
    return config_of(tmp_path / "state", rules=rule, more=more)


def write_frames(tmp_path, count):
    write_tree(tmp_path / "data", {f"lyso_1_{number:05}.cbf": cbf_bytes(number) for number in range(1, count + 1)})


def test_a_dry_run_reads_gently_too(tmp_path):
    write_frames(tmp_path, 11)
    began_s = time.monotonic()
    (found,) = scan(gentle_config(tmp_path, "327680B/s"), [], NOW, deep=False)
    assert len(found.sighting.dataset.files) == 11
    assert time.monotonic() - began_s >= 0.5


def test_what_a_dry_run_compares_is_read_within_the_limit(tmp_path):
    write_frames(tmp_path, 3)
    config = gentle_config(tmp_path, "1MB/s")
    root = str(tmp_path / "data")
    matchers = [RuleMatcher(config.rules[0])]
    (taken,) = take_all(matchers, listing_at(root, "", matchers))
    took = []

    class Limit(RateLimit):
        def take(self, size_bytes, waiting=lambda: None):
            took.append((size_bytes, io_priority.current()))

    later = NOW.replace(year=2099)
    (judged,) = judge_now(root, taken, later, deep=True, read_limit=Limit(1.0))
    assert judged.verdict.kind is VerdictKind.COMPLETE
    frame_bytes = len(cbf_bytes(1))
    assert [size for size, _ in took] == [16384] * 3 + [frame_bytes] * 3
    assert {priority for _, priority in took} == {io_priority.IDLE}


# --- the daemon -------------------------------------------------------------------------------------------------------


class Working:
    """A daemon in a thread."""

    def __init__(self, tmp_path, config):
        (tmp_path / "state").mkdir()
        (tmp_path / "state" / "one").mkdir()
        self.journal = Journal(tmp_path / "state" / "journal.db")
        self.daemon = Daemon(config, self.journal, NoSupervisor(), Options())
        self.thread = threading.Thread(target=self.daemon.run, daemon=True)
        self.thread.start()

    def until(self, what):
        deadline_s = time.monotonic() + 20
        while not (found := what()):
            assert time.monotonic() < deadline_s, "it took too long"
            time.sleep(0.02)
        return found

    def priority_of(self, name):
        """Return the priority of the thread whose name begins so."""
        # one that is just being started has no number yet
        found = [one.native_id for one in threading.enumerate() if one.name.startswith(name) and one.native_id]
        return {io_priority.current(number) for number in found}

    def stop(self):
        """Return the seconds that it takes to end."""
        began_s = time.monotonic()
        self.daemon.stop()
        self.thread.join(20)
        assert not self.thread.is_alive()
        took_s = time.monotonic() - began_s
        assert self.journal.database.problems() == []
        self.journal.close()
        return took_s


QUICK = "retry: {first: 200ms, longest: 1s}\nsweep_every: 1s"


def test_the_watcher_of_a_gentle_source_is_idle_and_stops_while_it_waits(tmp_path):
    write_frames(tmp_path, 50)
    working = Working(tmp_path, gentle_config(tmp_path, "1kB/s", QUICK))  # 16 s for one header
    name = f"watcher of {tmp_path}"
    working.until(lambda: working.priority_of(name) == {io_priority.IDLE})
    working.until(working.journal.datasets.growing)
    time.sleep(1.5)  # it has seen them twice, and waits to read the second header
    assert working.stop() < 2.0


def test_an_archiver_of_a_gentle_source_is_idle_and_stops_while_it_waits(tmp_path):
    root = tmp_path / "data"
    write_tree(root, {"run/big.bin": noise(4 * MIB)})
    rule = (
        f"{{name: r, watch: {root}, format: directory, include: [run], settle: 0s, deliver: [one],"
        " gentle: {read_rate: 100kB/s}}"
    )
    working = Working(tmp_path, config_of(tmp_path / "state", rules=rule, more=QUICK))
    working.until(lambda: io_priority.IDLE in working.priority_of("archiver"))
    assert working.stop() < 2.0


def test_an_archive_is_as_slow_as_its_rule_wants_it(tmp_path):
    root = tmp_path / "data"
    write_tree(root, {"run/big.bin": noise(2 * MIB)})
    rule = f"{{name: r, watch: {root}, format: directory, settle: 0s, deliver: [one], gentle: {{read_rate: 1MiB/s}}}}"
    working = Working(tmp_path, config_of(tmp_path / "state", rules=rule, more=QUICK))
    working.until(lambda: io_priority.IDLE in working.priority_of("archiver"))
    began_s = time.monotonic()
    working.until(lambda: [one for one in working.journal.view.status()["datasets"] if one["state"] == "archived"])
    assert time.monotonic() - began_s >= 1.2
    assert working.priority_of("archiver") == {NORMAL}
    working.stop()
