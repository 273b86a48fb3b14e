"""Watching by events with the real inotify: each way in which a watcher goes deaf, and what is heard afterwards."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from mounts_support import run_on_tmpfs, run_with_watches

from depositd.watch.events import ECHO_WITHIN_S, ChangedDirectories, Surroundings, watch
from depositd.watch.events import Events as WatchedByEvents
from depositd.watch.listening import Listener
from depositd.watch.pace import BUSY_FOR_S, MEASURE_S, SHORTEST_PAUSE_S

DEADLINE_S = 60.0


def until(condition, what):
    """Wait for something that happens in another thread, at most so long."""
    deadline_s = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < deadline_s, f"waited in vain: {what}"
        time.sleep(0.005)


class Source:
    """A watched directory; the test moves the clock of ``pulse``."""

    def __init__(self, tmp_path, changed=None):
        self.root, self.private = tmp_path / "data", tmp_path / "private"
        self.root.mkdir()
        self.private.mkdir()
        self.changed = changed or ChangedDirectories(threading.Event())
        around = Surroundings(listen=lambda root, add: Listener(root, add, str(self.private)))
        self.events = WatchedByEvents(str(self.root), self.changed, around)
        self.now_s, self.files, self.heard = 1000.0, 0, set()

    @property
    def listener(self):
        return self.events._listener

    @property
    def reader(self):
        return self.listener._observer.reader

    def pulse(self, after_s=0.0, directories=0):
        self.now_s += after_s
        return self.events.pulse(self.now_s, directories)

    def hears(self, directory=""):
        """Write a file and wait until its directory is told."""
        self.files += 1
        place = os.path.join(self.root, directory).rstrip("/")
        Path(place, f"new_{self.files}").touch()

        def told():
            self.heard |= self.changed.take()[0]
            return place in self.heard

        self.heard = set()
        until(told, f"a new file in {place}")


@pytest.fixture
def source(tmp_path):
    made = Source(tmp_path)
    yield made
    made.events.stop()
    assert os.listdir(made.private) == []


def test_what_happens_below_the_root_is_told(source):
    source.hears()
    (source.root / "a" / "b").mkdir(parents=True)
    source.hears("a")
    source.hears("a/b")
    (source.root / "a" / "b").rename(source.root / "c")
    source.hears("c")
    assert not source.pulse(1.0, 3)
    assert not source.pulse(1.0, 3)
    assert (source.events.means, source.events.problem, source.events.hears) == ("events and sweeps", None, True)


@pytest.mark.fault(1)
def test_a_burst_that_overflows_the_queue_is_swept(source):
    """The reader is held up as a busy machine does; what the kernel then drops is real."""
    source.hears()
    queue = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    with source.reader._lock:
        for number in range(20_000):
            os.mknod(source.root / f"{number:05}.cbf")
        names = [source.root / "one", source.root / "two"]
        names[0].touch()
        for turn in range((queue + 4096) // 2):
            os.rename(names[turn % 2], names[1 - turn % 2])
    until(lambda: source.listener.lost, "an overflow")
    assert source.pulse()
    assert source.reader.is_alive()
    source.hears()
    assert source.events.means == "events and sweeps"


@pytest.mark.fault(2)
def test_a_reader_that_died_is_replaced(source):
    source.hears()
    observer, reader = source.listener._observer, source.reader
    reader.stopped_event.set()  # it ends without a word, as with an exception, and nobody is told
    (source.root / "wakes the reader").touch()
    until(lambda: not reader.is_alive(), "the reader's end")
    assert observer.is_alive()
    assert source.pulse()
    source.hears()
    assert source.listener._observer is not observer
    assert source.events.means == "events and sweeps"


@pytest.mark.fault(2)
def test_a_reader_that_hangs_is_found_by_its_sentinel_and_does_not_hold_us_up(source):
    gate, inside = threading.Event(), threading.Event()

    def hang(_event):
        inside.set()
        gate.wait(DEADLINE_S)

    reader = source.reader
    reader.handle_event = hang
    assert not source.pulse()
    until(inside.is_set, "an event that hangs")
    # it is let go after a while, so that the test leaves no thread behind
    threading.Timer(0.3, gate.set).start()
    assert not source.pulse(ECHO_WITHIN_S)
    assert source.pulse(1.0)
    source.hears()
    until(lambda: not reader.is_alive(), "the old reader's end")
    assert source.events.problem is None


def test_an_echo_is_heard(source):
    assert not source.pulse()
    until(source.listener.has_answered, "an echo")
    assert not source.pulse(ECHO_WITHIN_S + 5)
    assert not source.pulse(ECHO_WITHIN_S + 5)
    assert not source.pulse(ECHO_WITHIN_S + 5)
    until(source.listener.has_answered, "a second echo")
    assert source.listener._asked == 2


@pytest.mark.fault(6)
def test_watchdogs_own_mistake_does_not_end_its_reader(source):
    """Quick mkdir, rename, rmtree bring its two tables out of step; so that the test is no game of luck, it does it."""
    (source.root / "run" / "a").mkdir(parents=True)
    source.hears("run/a")
    (group,) = (one._inotify for one in source.listener._observer.emitters if one.watch.is_recursive)
    group._active_callbacks_by_path.pop(os.fsencode(source.root / "run" / "a"))
    shutil.rmtree(source.root / "run" / "a")
    until(lambda: source.listener.lost, "the KeyError")
    assert source.pulse()
    assert source.reader.is_alive()
    source.hears()
    source.hears("run")


@pytest.mark.fault(3)
def test_a_handler_that_raises_costs_a_sweep(tmp_path):
    class Changed(ChangedDirectories):
        raised = 0

        def add(self, directory):
            if not self.raised:
                self.raised += 1
                raise MemoryError
            super().add(directory)

    source = Source(tmp_path, Changed(threading.Event()))
    (source.root / "first").touch()
    until(lambda: source.listener.lost, "an exception in the handler")
    assert source.pulse()
    source.hears()
    source.events.stop()


@pytest.mark.fault(7)
def test_a_root_that_was_recreated_is_heard(source):
    source.hears()
    observer = source.listener._observer
    shutil.rmtree(source.root)
    source.root.mkdir()
    until(lambda: not observer.is_whole(), "the end of the root's emitter")
    assert source.pulse()
    source.hears()
    assert source.events.problem is None


def test_a_root_that_is_gone_is_no_error(tmp_path):
    watching = watch(str(tmp_path / "gone"), "ext4", ChangedDirectories(threading.Event()))
    assert watching.means == "sweeps alone: events cannot be had (No such file or directory)"
    assert not watching.hears
    assert not watching.pulse(1000.0, 1)
    watching.stop()


@pytest.mark.fault(5)
def test_no_close_event_is_needed(source):
    """A third of them is missing for files written just after their directory."""
    opened = []
    for number in range(50):
        directory = source.root / str(number) / "a" / "b"
        directory.mkdir(parents=True)
        opened.append((directory / "frame").open("wb"))
    found, wanted = set(), {str(source.root / str(number) / "a") for number in range(50)}

    def told():
        found.update(source.changed.take()[0])
        return wanted <= found

    until(told, "fifty new directories")
    for file in opened:
        file.close()


@pytest.mark.fault(8)
def test_a_symlink_loop_is_not_followed(source):
    directory = source.root / "a"
    directory.mkdir()
    (directory / "loop").symlink_to("..", target_is_directory=True)
    (directory / "other").symlink_to("/usr", target_is_directory=True)
    source.hears("a")
    source.events.stop()
    source.events._listen()
    assert source.listener.watches() == 2
    source.hears("a")
    assert source.heard == {str(directory)}


def test_a_busy_source_is_left_to_sweeps_for_a_while(source):
    source.pulse()
    for number in range(3000):
        os.mknod(source.root / f"{number:05}.cbf")
    until(lambda: source.listener.events >= 3000, "3,000 events")
    before = source.listener
    assert not source.pulse(BUSY_FOR_S)
    assert source.listener is None
    assert not before.is_alive()
    assert source.events.means == "sweeps for now: 1,000 events a second; events again when it is calmer"
    assert not source.events.hears
    assert not source.pulse(SHORTEST_PAUSE_S)
    assert not source.events.hears
    assert not source.pulse()
    assert source.pulse(MEASURE_S)
    assert source.events.hears
    source.hears()


def test_nothing_is_left_behind(tmp_path):
    source = Source(tmp_path)
    source.events.stop()
    until(lambda: os.listdir(source.private) == [], "the sentinel's end")
    descriptors, threads = len(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(5):
        listener = Listener(str(source.root), source.changed.add, str(source.private))
        assert listener.has_room()
        listener.close()
        with pytest.raises(FileNotFoundError):
            Listener(str(tmp_path / "gone"), source.changed.add, str(source.private))
    # other tests' threads may end meanwhile
    until(lambda: len(os.listdir("/proc/self/fd")) <= descriptors, "descriptors given back")
    until(lambda: threading.active_count() <= threads, "threads that ended")
    assert os.listdir(source.private) == []


def test_without_a_place_for_the_sentinel_there_are_sweeps(tmp_path):
    with pytest.raises(FileNotFoundError, match="no sentinel can be made in"):
        Listener(str(tmp_path), lambda _directory: None, str(tmp_path / "gone"))


# --- what watchdog says -----------------------------------------------------------------------------------------------

CHURN = """
import os, shutil, sys, threading, time
from depositd.watch.events import ChangedDirectories, watch
root = sys.argv[1]
changed = ChangedDirectories(threading.Event())
watching = watch(root, "ext4", changed)
for turn in range(15):
    for number in range(20):
        os.makedirs(f"{root}/a{number}/b/c")
        os.rename(f"{root}/a{number}", f"{root}/z{number}")
        os.makedirs(f"{root}/a{number}/b")
        os.rename(f"{root}/a{number}", f"{root}/z{number}/a{number}")
    for number in range(20):
        shutil.rmtree(f"{root}/z{number}")
# whether the churn provokes the warning is a matter of luck; this does
(group,) = (one._inotify for one in watching._listener._observer.emitters if one.watch.is_recursive)
for turn in range(2000):
    group._add_callback(os.fsencode(root))
observer = watching._listener._observer
assert observer.is_whole()
deadline_s = time.monotonic() + 30
os.mkdir(f"{root}/last")
while f"{root}/last" not in changed.take()[0]:
    assert time.monotonic() < deadline_s
    time.sleep(0.01)
watching.stop()
print("heard")
"""


@pytest.mark.fault(6)
@pytest.mark.parametrize("warnings", ["always", "error"])
def test_churn_neither_floods_stderr_nor_ends_the_reader(tmp_path, warnings):
    outcome = subprocess.run(
        [sys.executable, "-W", warnings, "-c", CHURN, str(tmp_path)], capture_output=True, check=False, timeout=90
    )
    assert outcome.stdout == b"heard\n", outcome.stderr[-2000:]
    assert len(outcome.stderr) < 10_000


# --- limits and mounts ------------------------------------------------------------------------------------------------

FEW_WATCHES = """
import json, sys, threading
from depositd.cli.checks import _inotify
from depositd.watch.events import ChangedDirectories, watch
root = sys.argv[1]
watching = watch(root, "ext4", ChangedDirectories(threading.Event()))
told = []
def tell(swept):
    told.append([swept, watching.hears, watching.means, watching.problem])
tell(watching.pulse(1000.0, 41))
checked = [[finding.level, finding.sentence, finding.hint] for finding in _inotify([root])]
open("/proc/sys/user/max_inotify_watches", "w").write("1000")
tell(watching.pulse(1700.0, 41))
tell(watching.pulse(1701.0, 41))
watching.stop()
print(json.dumps([told, checked]))
"""


@pytest.fixture
def forty(tmp_path):
    for number in range(40):
        (tmp_path / "data" / str(number)).mkdir(parents=True)
    return str(tmp_path / "data")


@pytest.mark.fault(4)
@pytest.mark.watch_limit
def test_a_watch_limit_is_noticed_shown_checked_and_got_over(forty):
    (short, renewed, well), ((level, sentence, hint),) = json.loads(run_with_watches(10, FEW_WATCHES, forty))
    assert short[:3] == [
        False,
        False,
        "sweeps alone: 9 of 41 directories could be watched (user.max_inotify_watches is 10; raise it with sysctl)",
    ]
    assert "9 of 41 directories could be watched" in short[3]
    assert "sysctl user.max_inotify_watches=" in short[3]
    assert renewed[0]
    assert well == [False, True, "events and sweeps", None]
    assert level == "warning"
    assert sentence.startswith("at least 11 directories to watch, and user.max_inotify_watches is 10 for all programs")
    assert "sysctl user.max_inotify_watches=" in hint


@pytest.mark.fault(4)
@pytest.mark.watch_limit
def test_not_one_watch_is_no_error(forty):
    (none, again, well), _ = json.loads(run_with_watches(0, FEW_WATCHES, forty))
    assert none[:3] == [False, False, "sweeps alone: events cannot be had (inotify watch limit reached)"]
    assert "sysctl user.max_inotify_watches=" in none[3]
    assert again[0]
    assert well == [False, True, "events and sweeps", None]


MOUNTED = """
import json, os, sys
from depositd.watch.mounts import file_systems_below
print(json.dumps([file_systems_below(os.path.dirname(sys.argv[1])), file_systems_below(sys.argv[1])]))
"""


@pytest.mark.fault(8)
@pytest.mark.mounts
def test_what_is_really_mounted_below_is_found(tmp_path):
    (tmp_path / "two words").mkdir()
    above, itself = json.loads(run_on_tmpfs(tmp_path / "two words", "1m", MOUNTED))
    assert above == {str(tmp_path / "two words"): "tmpfs"}
    assert itself == {}
