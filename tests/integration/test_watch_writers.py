"""Whether a program holds a file open for writing: asked of the kernel, with real writers in other processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from contextlib import contextmanager

import pytest
from clock_support import ManualClock
from engine_support import FakeDestination, config_of, hands_of, plan_of

from depositd.engine.watching import SourceWatcher, sources
from depositd.journal import Journal
from depositd.model import DatasetState
from depositd.watch.events import ChangedDirectories
from depositd.watch.writers import open_for_writing, prepare

HOLD = "import sys; file = open(sys.argv[1], sys.argv[2]); print('open', flush=True); sys.stdin.read()"


@pytest.fixture(autouse=True)
def prepared():
    before = signal.getsignal(signal.SIGIO)
    prepare()
    yield
    signal.signal(signal.SIGIO, before)


@contextmanager
def held_open(path, mode="ab"):
    """Hold a file open in another process."""
    words = [sys.executable, "-c", HOLD, str(path), mode]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout.readline() == b"open\n"
        yield
        process.stdin.close()
        process.wait(20)


def test_a_writer_in_another_process_is_seen_until_it_closes(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"1")
    assert open_for_writing(str(path)) is False
    with held_open(path):
        assert open_for_writing(str(path)) is True
    assert open_for_writing(str(path)) is False


def test_a_reader_is_no_writer_and_one_who_reads_and_writes_is(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"1")
    with held_open(path, "rb"):
        assert open_for_writing(str(path)) is False
    with held_open(path, "r+b"):
        assert open_for_writing(str(path)) is True


def test_what_cannot_be_asked_is_not_known(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("nothing", "pipe", "link", "."):
        assert open_for_writing(str(tmp_path / name)) is not True
    assert open_for_writing(str(tmp_path / "nothing")) is None
    assert open_for_writing(str(tmp_path / "link")) is None


def test_without_a_process_that_ignores_the_kernels_signal_nothing_is_asked(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"1")
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    with held_open(path):
        assert open_for_writing(str(path)) is None
    prepare()
    assert open_for_writing(str(path)) is False


def test_nothing_is_left_behind_by_asking(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"1")
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        open_for_writing(str(path))
    assert len(os.listdir("/proc/self/fd")) == before
    path.write_bytes(b"a writer that comes later is not kept waiting")


STORM = textwrap.dedent(
    """
    import sys
    from depositd.watch.writers import open_for_writing, prepare
    prepare()
    print("asking", flush=True)
    asked = sum(open_for_writing(sys.argv[1]) is not None for _ in range(20_000))
    print(asked, flush=True)
    """
)


def test_a_storm_of_writers_while_we_ask_neither_ends_us_nor_keeps_them_waiting(tmp_path):
    path = tmp_path / "x.raw"
    path.write_bytes(b"1")
    with subprocess.Popen([sys.executable, "-c", STORM, str(path)], stdout=subprocess.PIPE) as asking:
        assert asking.stdout.readline() == b"asking\n"
        opened, slowest_s = 0, 0.0
        while asking.poll() is None:
            began_s = time.monotonic()
            with open(path, "ab"):
                opened += 1
            slowest_s = max(slowest_s, time.monotonic() - began_s)
        assert asking.stdout.read() == b"20000\n"
        assert asking.returncode == 0
    assert opened > 100
    assert slowest_s < 5


class Day:
    """A watcher of plain files, on a clock that the test moves."""

    def __init__(self, tmp_path):
        self.root = tmp_path / "data"
        self.root.mkdir()
        self.journal = Journal(tmp_path / "journal.db")
        self.clock, self.monotonic_s = ManualClock(), 1000.0
        rules = f"{{name: r, watch: {self.root}, format: file, settle: 10s, deliver: [one]}}"
        plan = plan_of(config_of(tmp_path, rules=rules), FakeDestination())
        hands = hands_of(self.clock, lambda: self.monotonic_s)
        ((root, members),) = sources(plan.config.rules).items()
        self.watcher = SourceWatcher(root, members, plan, self.journal, ChangedDirectories(threading.Event()), hands)

    def pass_time(self, seconds):
        end_s = self.monotonic_s + seconds
        while True:
            wait_s = self.watcher.turn()
            step_s = min(wait_s, end_s - self.monotonic_s)
            if step_s <= 0:
                return
            self.monotonic_s += step_s
            self.clock.advance(step_s)

    @property
    def states(self):
        found = (self.journal.datasets.get(one["id"]) for one in self.journal.view.everything())
        return {record.name: record.state for record in found}

    def sentence(self, number=1):
        return self.journal.datasets.get(number).sentence


@pytest.fixture
def day(tmp_path):
    made = Day(tmp_path)
    yield made
    made.watcher.close()
    made.journal.close()


def test_a_file_that_a_program_holds_open_for_writing_is_not_complete_until_it_is_closed(day):
    (day.root / "held.dat").write_bytes(b"1")
    (day.root / "other.dat").write_bytes(b"1")
    with held_open(day.root / "held.dat"):
        day.pass_time(600)
        assert day.states == {"held": DatasetState.GROWING, "other": DatasetState.COMPLETE}
        assert "held.dat is open for writing" in day.sentence(1)
    day.pass_time(60)
    assert set(day.states.values()) == {DatasetState.COMPLETE}
    assert "open for writing" not in day.sentence(1)


def test_a_program_that_never_closes_a_file_holds_it_back_for_an_hour_of_silence_and_no_longer(day):
    (day.root / "held.dat").write_bytes(b"1")
    with held_open(day.root / "held.dat"):
        day.pass_time(3500)
        assert day.states == {"held": DatasetState.GROWING}
        day.pass_time(300)
        assert day.states == {"held": DatasetState.COMPLETE}
        assert "held.dat is open for writing, but nothing was written to it for 1 h" in day.sentence()
