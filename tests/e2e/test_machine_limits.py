"""Too few descriptors, too little memory: it says so, goes on once there is more, and loses nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from beamline_support import BEGAN, COMMAND, Beamline, Running, until, write_series
from machine_support import assert_delivered_once, limit, look, state_of

from depositd.simulate.writers import cbf_frame


@pytest.fixture
def beamline(tmp_path):
    line = Beamline(tmp_path)
    line.configure(f"  - {{name: r, watch: {line.data}, format: frames, settle: 300ms, deliver: [vault]}}\n")
    return line


def delivered(beamline, *names):
    return all(state_of(beamline, name) == "delivered" for name in names)


def test_with_few_descriptors_it_works_all_the_same(beamline):
    names = [f"d{number}_1" for number in range(12)]
    for seed, name in enumerate(names):
        write_series(beamline.data / name, name, 3, seed=seed)
    command = ["prlimit", "--nofile=48:48", "--", *COMMAND, "--config", str(beamline.config), "run"]
    with Running(beamline, command) as daemon:
        until(lambda: delivered(beamline, *names), 60, what="all are delivered")
        assert daemon.stop() == 0
        assert len(daemon.log) < 60_000, daemon.log[-2000:]
    assert_delivered_once(beamline, names)


@pytest.mark.long
def test_where_the_descriptors_run_out_while_it_runs_it_goes_on_once_there_are_more(beamline):
    with beamline.start() as daemon:
        write_series(beamline.data / "a", "a_1", 3)
        until(lambda: delivered(beamline, "a_1"), what="the first one")
        pid = daemon.process.pid
        limit(pid, f"--nofile={len(list(Path(f'/proc/{pid}/fd').iterdir()))}:")
        names = [f"d{number}_1" for number in range(5)]
        for seed, name in enumerate(names):
            write_series(beamline.data / name, name, 3, seed=seed + 1)
        until(lambda: "Too many open files" in daemon.log, what="it is said")
        size = len(daemon.log)
        assert daemon.process.poll() is None
        limit(pid, "--nofile=1024:")
        until(lambda: delivered(beamline, *names), 60, what="all are delivered")
        assert size < 40_000, daemon.log[-3000:]
        assert daemon.stop() == 0
    assert_delivered_once(beamline, ["a_1", *names])


def memory_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * 4096


@pytest.mark.long
def test_where_the_memory_runs_out_while_archiving_the_worker_lives_and_tries_again(beamline):
    with beamline.start() as daemon:
        until(lambda: "ready" in daemon.log)
        pid = daemon.process.pid
        limit(pid, f"--as={memory_bytes(pid) + (2 << 20)}:")
        for number in range(1, 4):
            content = cbf_frame(number, shape=(1024, 4096), exposure_s=0.01, period_s=0.01, date=BEGAN)
            (beamline.data / f"large_{number:05}.cbf").write_bytes(content)
        until(lambda: "not archived" in daemon.log or "Memory" in daemon.log, what="it is said")
        assert daemon.process.poll() is None
        limit(pid, "--as=unlimited:")
        write_series(beamline.data / "small", "small_1", 3)
        until(lambda: delivered(beamline, "small_1", "large"), 60, what="both are delivered")
        assert len(daemon.log) < 60_000
        assert daemon.stop() == 0
    assert_delivered_once(beamline, ["large", "small_1"])


def test_a_worker_whose_memory_ends_takes_no_other_with_it(beamline):
    """The first archive of one dataset meets MemoryError in its thread; its neighbours are delivered meanwhile."""
    launcher = beamline.directory / "launcher.py"
    launcher.write_text(
        "import sys\n"
        "from depositd.archive import source\n"
        "from depositd.cli import main\n"
        "read, met = source.SourceFile.read_into, []\n"
        "def read_into(self, room):\n"
        "    if 'poor' in self.planned.path and len(met) < 3:\n"
        "        met.append(1)\n"
        "        raise MemoryError\n"
        "    return read(self, room)\n"
        "source.SourceFile.read_into = read_into\n"
        "sys.exit(main())\n"
    )
    write_series(beamline.data / "poor", "poor_1", 3)
    write_series(beamline.data / "good", "good_1", 3, seed=1)
    with Running(beamline, [sys.executable, str(launcher), "--config", str(beamline.config), "run"]) as daemon:
        until(lambda: delivered(beamline, "poor_1", "good_1"), 60, what="both are delivered")
        assert "MemoryError" in daemon.log
        assert daemon.stop() == 0
    assert look(beamline)["datasets"]
    assert_delivered_once(beamline, ["good_1", "poor_1"])
