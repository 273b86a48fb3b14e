"""The daemon as a service of a real systemd, in the unit that is installed as far as a user manager can run it."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from beamline_support import Beamline, until, write_series
from systemd_support import UserManager, user_unit

from depositd.sandbox import running
from depositd.simulate.eiger import write_eiger

pytestmark = pytest.mark.systemd

LAUNCHER = Path(__file__).parents[1] / "support" / "launch_hindered.py"
GONE = LAUNCHER.with_name("gone_file_server.py")
TO_VAULT = """
  - name: px
    watch: {data}
    format: frames
    settle: 500ms
    expect: {{frames: 5}}
    deliver: [vault]
"""
TO_SERVER = """
  - name: px
    watch: {data}
    format: frames
    settle: 500ms
    expect: {{frames: 5}}
    metadata: {{set: {{pdb_code: 1ABC}}}}
    deliver: [{{to: irrmc, approve: auto}}]
"""


def child_of(pid: int, name: str) -> int:
    """Return the child process of any thread of ``pid`` whose command line has that name."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    children = [int(child) for each in lists for child in each.read_text(encoding="utf-8").split()]
    return next(child for child in children if name in Path(f"/proc/{child}/cmdline").read_text(encoding="utf-8"))


class Service:
    """A beamline whose daemon is a service; ``changes`` are settings of the unit."""

    def __init__(self, beamline: Beamline, **changes: str) -> None:
        self.beamline = beamline
        self.directory = beamline.directory
        self.log_file = self.directory / "service.log"
        environment = "\nEnvironment=".join(
            f"{key}={value}" for key, value in beamline.environment.items() if key.endswith("TOKEN")
        )
        if environment:
            changes["Environment"] = environment
        start = f"{sys.executable} {LAUNCHER} {self.directory} run --config {beamline.config}"
        self.manager = UserManager(self.directory, user_unit(start, self.log_file, **changes))

    @property
    def log(self) -> str:
        return self.log_file.read_text(encoding="utf-8", errors="replace") if self.log_file.exists() else ""

    def hinder(self, by: str, how: str = "") -> Path:
        file = self.directory / by
        file.write_text(how, encoding="utf-8")
        return file

    def until(self, condition: Callable[[], bool], timeout_s: float = 40.0) -> None:
        try:
            until(condition, timeout_s)
        except AssertionError:
            raise AssertionError(f"{self.manager.show()}\n{self.log[-6000:]}") from None

    def until_shown(self, **wanted: str) -> dict[str, str]:
        def shown() -> bool:
            now = self.manager.show()
            return all(now[key].startswith(value) for key, value in wanted.items())

        self.until(shown)
        return self.manager.show()

    def restarts(self) -> int:
        return int(self.manager.show()["NRestarts"])

    def states(self) -> list[tuple[str, str]]:
        """The deliveries, straight from the journal: cheaper than a process each time."""
        path = self.beamline.state / "journal.db"
        if not path.exists():
            return []
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as connection:
            try:
                rows = connection.execute(
                    "SELECT d.name, e.state FROM deliveries e JOIN datasets d ON d.id = e.dataset_id ORDER BY e.id"
                ).fetchall()
            except sqlite3.OperationalError:
                rows = []  # it is being made
        connection.close()
        return [(os.fsdecode(name), state) for name, state in rows]

    def copies(self) -> list[str]:
        return sorted(path.name for path in self.beamline.vault.iterdir())


@pytest.fixture
def beamline(tmp_path):
    line = Beamline(tmp_path)
    line.configure(TO_VAULT.format(data=line.data))
    return line


@pytest.mark.fault(36)
def test_it_is_ready_reloads_refuses_a_bad_config_and_stops_cleanly(beamline):
    write_series(beamline.data, "lyso_1", 5)
    service = Service(beamline)
    good = beamline.config.read_text(encoding="utf-8")
    with service.manager as manager:
        manager.start()
        assert manager.show()["ActiveState"] == "active"
        service.until(lambda: service.states() == [("lyso_1", "delivered")])
        shown = service.until_shown(StatusText="1 delivered; last delivered ")
        pid = shown["MainPID"]

        beamline.config.write_text("rules: []", encoding="utf-8")
        manager.systemctl("reload")
        service.until(lambda: "the new config is refused, the old one stays" in service.log)
        service.until_shown(ActiveState="active")
        write_series(beamline.data, "lyso_2", 5, seed=2)
        service.until(lambda: service.states()[1:] == [("lyso_2", "delivered")])

        elsewhere = beamline.directory / "elsewhere"
        elsewhere.mkdir()
        beamline.config.write_text(good.replace(f"watch: {beamline.data}", f"watch: {elsewhere}"), encoding="utf-8")
        manager.systemctl("reload")
        service.until(lambda: "config reloaded" in service.log)
        write_series(elsewhere, "lyso_3", 5, seed=3)
        service.until(lambda: service.states()[2:] == [("lyso_3", "delivered")])
        shown = manager.show()
        assert (shown["ActiveState"], shown["NRestarts"], shown["MainPID"]) == ("active", "0", pid)

        manager.systemctl("stop")
        stopped = manager.show()
        assert (stopped["ActiveState"], stopped["Result"], stopped["ExecMainStatus"]) == ("inactive", "success", "0")
    assert service.copies() == ["lyso_1.tar.zst", "lyso_2.tar.zst", "lyso_3.tar.zst"]


@pytest.mark.fault(36)
def test_it_is_ready_only_after_the_first_sweep_for_which_it_gets_more_time(beamline):
    """And a source that is not there keeps nobody waiting."""
    away = TO_VAULT.format(data=beamline.directory / "not-mounted").replace("name: px", "name: away")
    beamline.configure(TO_VAULT.format(data=beamline.data) + away)
    service = Service(beamline, TimeoutStartSec="5")
    gate = service.hinder("sweep")
    with service.manager as manager:
        manager.start(wait=False)
        began_s = time.monotonic()
        shown = service.until_shown(ActiveState="activating", StatusText="starting: sweeping ")
        assert shown["StatusText"].endswith(" (0 files so far)")
        service.until(lambda: time.monotonic() - began_s > 7)
        assert manager.show()["ActiveState"] == "activating", service.log
        gate.unlink()
        shown = service.until_shown(ActiveState="active", StatusText=str(beamline.directory / "not-mounted"))
        assert shown["StatusText"].endswith("is not there; nothing to do")
        assert shown["NRestarts"] == "0", service.log


@pytest.mark.fault(35)
@pytest.mark.parametrize("worker", ["deliverer", "watcher", "loop"])
def test_a_worker_that_hangs_is_named_and_the_service_restarted_and_nothing_is_lost(beamline, worker):
    service = Service(beamline, WatchdogSec="2s")
    service.hinder("budgets", "2")
    with service.manager as manager:
        manager.start()
        service.hinder("hang", worker)
        write_series(beamline.data, "lyso_1", 5)
        service.until(lambda: service.restarts() == 1)
        service.until_shown(ActiveState="active")
        service.until(lambda: service.states() == [("lyso_1", "delivered")])
        settled_s = time.monotonic()
        service.until(lambda: time.monotonic() - settled_s > 3)  # it is fed again
        assert service.restarts() == 1, service.log
        manager.systemctl("stop")
    assert service.copies() == ["lyso_1.tar.zst"]
    named = {"loop": "main loop", "watcher": "watcher of", "deliverer": "deliverer to vault, at delivery 1"}
    assert named[worker] in service.log
    assert "it hangs, and the watchdog is not fed" in service.log
    assert "a_hook_that_blocks" in service.log
    # what systemd's signal leaves behind: where every thread stood
    assert "Fatal Python error: Aborted" in service.log
    assert service.log.index("it hangs") < service.log.index("Fatal Python error")


@pytest.mark.long
@pytest.mark.fault(35)
def test_a_server_that_answers_nobody_does_not_stop_the_pings(tmp_path):
    with running() as box:
        beamline = Beamline(tmp_path, box)
        rules = TO_SERVER.replace("approve: auto}}]", "approve: auto}}, vault]")
        beamline.configure(rules.format(data=beamline.data))
        service = Service(beamline, WatchdogSec="2s")
        service.hinder("budgets", "2")
        box.fault("*", "slow-answer", delay_s=60, times=None)
        write_series(beamline.data, "lyso_1", 5)
        with service.manager as manager:
            manager.start()
            service.until(lambda: dict.fromkeys(state for _name, state in service.states()).keys() >= {"delivered"})
            asked_s = time.monotonic()
            service.until(lambda: sum(box.requests.values()) > 0)
            service.until(lambda: time.monotonic() - asked_s > 7)  # thrice what systemd allows
            assert service.restarts() == 0, service.log
            assert "has not moved" not in service.log
            began_s = time.monotonic()
            manager.systemctl("stop")
            assert time.monotonic() - began_s < 10
            assert manager.show()["Result"] == "success", service.log


@pytest.mark.long
@pytest.mark.fuse
@pytest.mark.fault(7, 35)
def test_a_file_server_that_is_gone_holds_up_neither_the_start_nor_the_pings_nor_the_stop(beamline):
    gone = beamline.directory / "gone"
    gone.mkdir()
    rules = TO_VAULT.format(data=gone).replace("name: px", "name: gone") + TO_VAULT.format(data=beamline.data)
    beamline.configure(rules)
    service = Service(beamline, WatchdogSec="2s")
    service.hinder("budgets", "2")
    write_series(beamline.data, "lyso_1", 5)
    with service.manager as manager:
        manager.run("bash", "-c", f"sleep 100 | {sys.executable} {GONE} {gone} >{gone}.log", background=True)
        service.until(lambda: Path(f"{gone}.log").exists() and "mounted" in Path(f"{gone}.log").read_text())
        manager.start()
        service.until(lambda: service.states() == [("lyso_1", "delivered")])
        service.until(lambda: "it waits for a disk or a file server" in service.log)
        told_s = time.monotonic()
        service.until(lambda: time.monotonic() - told_s > 5)
        shown = service.until_shown(ActiveState="active", StatusText=f"watcher of {gone}")
        assert shown["NRestarts"] == "0", service.log
        assert "a source does not answer" in service.log
        began_s = time.monotonic()
        manager.systemctl("stop")
        assert time.monotonic() - began_s < 10
        assert manager.show()["Result"] == "success", service.log
    assert "it hangs" not in service.log


@pytest.mark.fault(36)
def test_a_stop_amid_an_upload_ends_in_time_and_the_server_is_asked_after_the_next_start(tmp_path):
    with running(pace_s=0.1) as box:
        beamline = Beamline(tmp_path, box)
        beamline.configure(TO_SERVER.format(data=beamline.data))
        service = Service(beamline)
        # acted on, and answered only when nobody listens any more
        box.fault("/api/v1/upload/", "slow-answer", delay_s=30)
        write_series(beamline.data, "lyso_1", 5)
        with service.manager as manager:
            manager.start()
            service.until(lambda: len(box.uploads) == 1)
            service.until_shown(StatusText="1 being sent")
            began_s = time.monotonic()
            manager.systemctl("stop")
            assert time.monotonic() - began_s < 10
            stopped = manager.show()
            assert (stopped["ActiveState"], stopped["Result"]) == ("inactive", "success"), service.log
            assert service.states() == [("lyso_1", "unconfirmed")]
            manager.start()
            service.until(lambda: service.states() == [("lyso_1", "delivered")])
            manager.systemctl("stop")
        assert len(box.uploads) == 1
        assert box.requests["POST /api/v1/upload/"] == 1


@pytest.mark.fault(27, 36)
def test_killed_amid_an_upload_it_is_started_again_and_sends_exactly_once(tmp_path):
    with running(pace_s=0.1) as box:
        beamline = Beamline(tmp_path, box)
        beamline.configure(TO_SERVER.format(data=beamline.data))
        service = Service(beamline)
        box.fault("/api/v1/upload/", "slow", bytes_per_s=2_000)
        write_series(beamline.data, "lyso_1", 5)
        with service.manager as manager:
            manager.start()
            service.until(lambda: box.body_bytes("/api/v1/upload/") > 0)
            manager.systemctl("kill", "--signal=KILL")
            service.until(lambda: service.restarts() == 1)
            service.until(lambda: service.states() == [("lyso_1", "delivered")])
            manager.systemctl("stop")
        assert len(box.uploads) == 1


@pytest.mark.long
@pytest.mark.fault(27, 36)
def test_killed_amid_an_archive_it_goes_on_behind_what_is_packed(beamline):
    # archives from 64 MiB on are gone on with; noise does not compress
    rules = TO_VAULT.format(data=beamline.data).replace("format: frames", "format: directory")
    beamline.configure(rules.replace("expect: {frames: 5}", 'include: ["run_1"]'))
    big = beamline.directory / "run_1"
    big.mkdir()
    for number in range(8):
        (big / f"block_{number}.bin").write_bytes(os.urandom(9 << 20))
    service = Service(beamline)
    gate = service.hinder("pack")
    with service.manager as manager:
        manager.start()
        big.rename(beamline.data / "run_1")
        spool = beamline.state / "spool"
        service.until(lambda: sum(path.stat().st_size for path in spool.rglob("*.part")) > 24 << 20)
        manager.systemctl("kill", "--signal=KILL")
        gate.unlink()
        service.until(lambda: service.restarts() == 1)
        service.until(lambda: service.states() == [("run_1", "delivered")])
        manager.systemctl("stop")
    assert "are packed already, and stay" in service.log
    assert service.copies() == ["run_1.tar.zst"]
    assert not list(spool.rglob("*.part"))


@pytest.mark.long
@pytest.mark.fault(36)
def test_a_night_of_failures_does_not_end_the_service(beamline):
    service = Service(beamline)
    with service.manager as manager:
        manager.start()
        for kill in range(1, 11):
            pid = manager.pid()
            if pid:
                os.kill(pid, signal.SIGKILL)
            service.until(lambda kill=kill: service.restarts() >= kill)
            service.until(lambda pid=pid: manager.pid() not in (0, pid))
        service.until_shown(ActiveState="active")
        write_series(beamline.data, "lyso_1", 5)
        service.until(lambda: service.states() == [("lyso_1", "delivered")])
        assert service.restarts() == 10


@pytest.mark.fault(36)
def test_a_config_error_is_not_tried_again(beamline):
    beamline.config.write_text("rules: []", encoding="utf-8")
    service = Service(beamline)
    with service.manager as manager:
        status, _said = manager.run("systemctl", "--user", "start", manager.unit)
        assert status != 0
        shown = service.until_shown(ActiveState="failed")
        assert (shown["NRestarts"], shown["ExecMainStatus"]) == ("0", "2")
    assert service.log.count("rules") >= 1


@pytest.mark.fault(32)
def test_the_units_filters_let_it_do_all_that_it_does(beamline):
    """The reader of HDF5 files lives within its limits, and a gentle source is read with idle priority."""
    gentle = TO_VAULT.replace("expect: {{frames: 5}}", "gentle: true").replace("format: frames", "format: eiger")
    beamline.configure(gentle.format(data=beamline.data))
    service = Service(beamline)
    made = beamline.directory / "made"
    made.mkdir()
    write_eiger(made, "insu_1", images=10)
    with service.manager as manager:
        manager.start()
        pid = manager.pid()
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        assert "Seccomp:\t2" in status
        assert "NoNewPrivs:\t1" in status
        for path in made.iterdir():
            shutil.move(path, beamline.data / path.name)
        service.until(lambda: service.states() == [("insu_1", "delivered")])
        reader = child_of(pid, "hdf5_child")
        limits = Path(f"/proc/{reader}/limits").read_text(encoding="utf-8")
        assert [line.split()[3] for line in limits.splitlines() if line.startswith("Max address space")] != [
            "unlimited"
        ]
        manager.systemctl("stop")
    assert "idle I/O priority is not possible" not in service.log
    assert "could not be read" not in service.log
