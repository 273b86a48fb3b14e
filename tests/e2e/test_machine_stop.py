"""A stop in every state: it ends within ten seconds with status 0, and the next start leads to exactly one dataset."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from beamline_support import BEGAN, COMMAND, Beamline, until, write_run, write_series
from machine_support import look

from depositd.sandbox import Sandbox, running
from depositd.simulate.writers import cbf_frame

STOPS_WITHIN_S = 10.0
NAME = "lyso_1"
UPLOAD, LIST, ONE = "/api/v1/upload/", "/api/v1/submissions/", "/api/v1/submissions/*"


@dataclass(frozen=True)
class Scene:
    """How a state is come to.

    ``prepare`` arms what makes it last and writes the data, ``is_reached`` says that it is there.  ``rule`` holds for
    the first start, ``later`` for the second.
    """

    prepare: Callable[[Beamline, Sandbox], None]
    is_reached: Callable[[Beamline, Sandbox], bool]
    rule: str = ""
    later: str = ""


def rule(more: str, *, to: str = "{to: irrmc, approve: auto}") -> str:
    return (
        "  - {name: px, watch: %s, format: frames, settle: 300ms, metadata: {set: {pdb_code: 1ABC}},"
        f" deliver: [{to}]{more}}}\n"
    )


def series(beamline: Beamline, _sandbox: Sandbox) -> None:
    write_series(beamline.data, NAME, 12)


def large_series(beamline: Beamline, _sandbox: Sandbox) -> None:
    """Frames of 4 MiB of counts: at level 19 each takes a second or more."""
    for number in range(1, 6):
        content = cbf_frame(number, shape=(1024, 4096), exposure_s=0.01, period_s=0.01, date=BEGAN)
        (beamline.data / f"{NAME}_{number:05}.cbf").write_bytes(content)


def with_fault(path: str, kind: str, **details: object) -> Callable[[Beamline, Sandbox], None]:
    def prepare(beamline: Beamline, sandbox: Sandbox) -> None:
        sandbox.fault(path, kind, times=1, **details)
        series(beamline, sandbox)

    return prepare


def with_lost_answer(beamline: Beamline, sandbox: Sandbox) -> None:
    sandbox.fault(UPLOAD, "commit-then-drop", times=1)
    sandbox.fault(LIST, "slow-answer", delay_s=20.0, after=1, times=1)
    series(beamline, sandbox)


def with_slow_upload(beamline: Beamline, sandbox: Sandbox) -> None:
    sandbox.fault(UPLOAD, "slow", bytes_per_s=1_000_000, times=1)
    large_series(beamline, sandbox)


def transfers(beamline: Beamline) -> str:
    return " ".join(one["activity"] for one in look(beamline)["transfers"])


def was_asked(method_and_path: str, times: int = 1) -> Callable[[Beamline, Sandbox], bool]:
    return lambda _beamline, sandbox: sandbox.requests.get(method_and_path, 0) >= times


def is_state(state: str) -> Callable[[Beamline, Sandbox], bool]:
    return lambda beamline, _sandbox: any(
        one["name"] == NAME and one["state"] == state for one in look(beamline)["datasets"]
    )


SCENES = {
    "growing": Scene(series, is_state("growing"), rule=", expect: {frames: 13}"),
    "archiving at level 19": Scene(
        large_series,
        lambda beamline, _sandbox: f"archiving {NAME}" in transfers(beamline),
        rule=", archive: {level: 19}",
        later=", archive: {level: 1}",
    ),
    "archiving with bzip2": Scene(
        large_series,
        lambda beamline, _sandbox: f"archiving {NAME}" in transfers(beamline),
        rule=", archive: {compression: bzip2, level: 9}",
        later=", archive: {level: 1}",
    ),
    "reading headers slowly": Scene(series, is_state("growing"), rule=", gentle: {read_rate: 20kB/s}"),
    "uploading": Scene(
        with_slow_upload,
        lambda beamline, _sandbox: "sending" in transfers(beamline),
        rule=", archive: {level: 1}",
        later=", archive: {level: 1}",
    ),
    "waiting for an answer": Scene(
        with_fault(UPLOAD, "slow-answer", delay_s=20.0), lambda _beamline, sandbox: len(sandbox.uploads) == 1
    ),
    "asking": Scene(with_lost_answer, was_asked(f"GET {LIST}", 2)),
    "submitting": Scene(with_fault("/api/v1/submit/", "slow-answer", delay_s=20.0), was_asked("POST /api/v1/submit/")),
}


@pytest.fixture
def sandbox():
    with running(pace_s=0.2) as box:
        yield box


def stopped_in(scene: Scene, beamline: Beamline, sandbox: Sandbox, *signals: signal.Signals) -> None:
    """Start the daemon, send it signals in the state of the scene, and look at how it ended."""
    beamline.configure(rule(scene.rule) % beamline.data)
    scene.prepare(beamline, sandbox)
    with beamline.start() as daemon:
        until(lambda: scene.is_reached(beamline, sandbox), what="the state is reached")
        began_s = time.monotonic()
        for number in signals:
            daemon.process.send_signal(number)
            time.sleep(0.2)
        assert daemon.wait(3 * STOPS_WITHIN_S) == 0, daemon.log
        took_s = time.monotonic() - began_s
        assert took_s < STOPS_WITHIN_S, f"{took_s:.1f} s\n{daemon.log}"
        assert "Traceback" not in daemon.log, daemon.log
        assert daemon.log.count("stopped [") <= 1


def is_there_once(scene: Scene, beamline: Beamline, sandbox: Sandbox) -> None:
    """Start it once more, and look at what the server has in the end."""
    beamline.configure(rule(scene.later) % beamline.data)
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert beamline.deliveries(NAME)["irrmc"]["state"] == "delivered"
    assert len(sandbox.submissions) == 1
    assert len({one.sent_md5 for one in sandbox.uploads}) == 1
    parts = [path for path in (beamline.state / "spool").rglob("*") if ".part" in path.name]
    assert parts == []


@pytest.mark.long
@pytest.mark.parametrize("state", SCENES)
def test_a_stop_ends_within_seconds_and_the_dataset_is_there_once(tmp_path, sandbox, state):
    beamline = Beamline(tmp_path, sandbox)
    stopped_in(SCENES[state], beamline, sandbox, signal.SIGTERM)
    is_there_once(SCENES[state], beamline, sandbox)


@pytest.mark.parametrize("signals", [(signal.SIGINT,), (signal.SIGTERM, signal.SIGTERM, signal.SIGINT)])
def test_ctrl_c_and_a_second_signal_are_a_stop_like_any_other(tmp_path, sandbox, signals):
    scene = SCENES["growing" if len(signals) == 1 else "waiting for an answer"]
    beamline = Beamline(tmp_path, sandbox)
    stopped_in(scene, beamline, sandbox, *signals)
    is_there_once(scene, beamline, sandbox)


@pytest.mark.parametrize("after_s", [0.05, 0.3, 0.6, 0.9])
def test_a_stop_during_the_start_leaves_nothing_half_done(tmp_path, after_s):
    beamline = Beamline(tmp_path)
    beamline.configure(rule("", to="vault") % beamline.data)
    write_series(beamline.data, NAME, 3)
    with beamline.start() as daemon:
        time.sleep(after_s)
        # before the daemon listens the system ends it at once, as it does any program
        assert daemon.stop() in (0, -signal.SIGTERM)
        assert "Traceback" not in daemon.log, daemon.log
    assert beamline.run("run", "--until-idle").returncode == 0
    assert os.listdir(beamline.vault) == [f"{NAME}.tar.zst"]


# a new config


def test_a_reload_takes_up_the_new_config_closes_what_it_dropped_and_refuses_a_bad_one(tmp_path, sandbox):
    beamline = Beamline(tmp_path, sandbox)
    runs = "  - {name: ms, watch: %s/ms, format: thermo-raw, settle: 300ms, deliver: [%s]}\n"
    (beamline.data / "ms").mkdir()
    beamline.configure(runs % (beamline.data, "qc"))
    with beamline.start() as daemon:
        write_run(beamline.data / "ms", "first")
        until(lambda: any(one.name == "first.raw" for one in sandbox.runs), what="the first run arrives")
        good = beamline.config.read_text()
        beamline.config.write_text(good.replace("deliver: [qc]", "deliver: [nowhere]"))
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "the new config is refused" in daemon.log, what="the bad config is refused")
        write_run(beamline.data / "ms", "second", scans=30)
        until(lambda: any(one.name == "second.raw" for one in sandbox.runs), what="the old config stays")
        # without the server, and with a section that was not there before
        beamline.configure(runs % (beamline.data, "vault"), more="web: {listen: '127.0.0.1:0'}\n")
        lines = [line for line in beamline.config.read_text().splitlines() if not line.startswith("  qc:")]
        beamline.config.write_text("\n".join(lines) + "\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "config reloaded" in daemon.log, what="the good config is taken up")
        write_run(beamline.data / "ms", "third", scans=40)
        until(lambda: (beamline.vault / "third.raw").exists() or any(beamline.vault.iterdir()), what="the new one")
        assert not any(one.name == "third.raw" for one in sandbox.runs)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log, daemon.log


# two of them


@pytest.mark.fault(31)
def test_of_daemons_that_start_in_the_same_moment_one_works_and_the_others_name_it(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.configure(rule("", to="vault") % beamline.data)
    command = [*COMMAND, "--config", str(beamline.config), "run"]
    daemons = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=beamline.environment, cwd=tmp_path)
        for _ in range(3)
    ]
    try:
        until(lambda: sum(one.poll() is not None for one in daemons) == 2, what="two of them give up")
        first = next(one for one in daemons if one.poll() is None)
        for other in daemons:
            if other is not first:
                assert other.returncode == 1
                assert f"(pid {first.pid})" in other.stderr.read()
        write_series(beamline.data, NAME, 3)
        until((beamline.vault / f"{NAME}.tar.zst").exists, what="the first one works")
        first.terminate()
        assert first.wait(15) == 0
    finally:
        for one in daemons:
            one.kill()
            one.communicate()


@pytest.mark.fault(31)
def test_after_kill_9_the_pid_that_is_left_behind_and_is_somebody_elses_now_keeps_nobody_out(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.configure(rule("", to="vault") % beamline.data)
    with beamline.start() as daemon:
        until((beamline.state / "depositd.pid").exists)
        daemon.kill()
    (beamline.state / "depositd.pid").write_text(f"{os.getpid()}\n")
    assert beamline.status()["daemon"]["running"] is False
    write_series(beamline.data, NAME, 3)
    assert beamline.run("run", "--until-idle").returncode == 0
    assert os.listdir(beamline.vault) == [f"{NAME}.tar.zst"]
