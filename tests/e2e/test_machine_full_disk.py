"""The disk of the journal fills up, or becomes read-only: nothing is lost, and it is said where it can be."""

from __future__ import annotations

import pytest
from mounts_support import run_on_tmpfs

pytestmark = pytest.mark.mounts

SITE = """
import os, subprocess, sys, time
from pathlib import Path
from beamline_support import Beamline, until, write_series
from machine_support import assert_delivered_once, fill, look, problems_of, state_of

state = Path(sys.argv[1])
directory = state.parent / "line"
directory.mkdir()
beamline = Beamline(directory)
beamline.state = state
rules = "  - {name: r, watch: %s, format: frames, settle: 300ms, deliver: [vault]}\\n" % beamline.data
beamline.configure(rules, more="web: {listen: '127.0.0.1:0'}\\n")
slow = beamline.config.read_text().replace("{type: directory,", "{type: directory, rate_limit: 10kB/s,")
beamline.config.write_text(slow)

def delivered(name):
    return state_of(beamline, name) == "delivered"
"""

FILLED = (
    SITE
    + """
with beamline.start() as daemon:
    write_series(beamline.data, "a_1", 3)
    until(lambda: delivered("a_1"))
    ballast = state / "ballast"
    assert ballast.stat().st_blocks * 512 >= 8 << 20
    assert problems_of(daemon.log) == (200, [])
    write_series(beamline.data, "b_1", 30)
    until(lambda: any("sending" in one["activity"] for one in look(beamline)["transfers"]))
    filler = fill(state)
    # what is under way is recorded in the room that the ballast leaves
    until(lambda: delivered("b_1"))
    assert not ballast.exists()
    write_series(beamline.data, "c_1", 3)
    until(lambda: problems_of(daemon.log)[0] == 503)
    fill(state)
    until(lambda: "nothing is archived or sent" in problems_of(daemon.log)[1][0])
    assert "nothing is archived or sent" in beamline.status()["daemon"]["problem"]
    code, problems = problems_of(daemon.log)
    assert (code, len(problems)) == (503, 1)
    assert " are free" in problems[0], problems
    assert "almost full" in beamline.run("status").stdout
    for command in (["show", "1"], ["explain", "1"], ["journal", "check"], ["journal", "export"], ["scan"]):
        assert beamline.run(*command).returncode == 0, command
    time.sleep(3)
    assert daemon.process.poll() is None
    filler.unlink()
    until(lambda: delivered("c_1"))
    until(lambda: problems_of(daemon.log) == (200, []))
    assert ballast.exists()
    assert beamline.status()["daemon"]["problem"] is None
    assert "work goes on" in daemon.log
    assert daemon.log.count("almost full") <= 2
    assert len(daemon.log) < 40_000, daemon.log
    assert daemon.stop() == 0
    assert_delivered_once(beamline, ["a_1", "b_1", "c_1"])
print("well")
"""
)

STOPPED = (
    SITE
    + """
write_series(beamline.data, "a_1", 3)
assert beamline.run("run", "--until-idle").returncode == 0
(state / "ballast").unlink()
filler = fill(state)
for command in (["status"], ["status", "--json"], ["show", "1"], ["explain", "1"], ["journal", "check"]):
    told = beamline.run(*command)
    assert told.returncode == 0, (command, told.stderr)
refused = beamline.run("run", "--until-idle")
assert refused.returncode == 1
assert "Traceback" not in refused.stderr, refused.stderr
assert "make space" in refused.stderr, refused.stderr
filler.unlink()
write_series(beamline.data, "b_1", 3)
with beamline.start() as daemon:
    until(lambda: delivered("b_1"))
    assert (state / "ballast").exists()
    filler = fill(state)
    daemon.kill()
# with the ballast of before there is room enough to begin
with beamline.start() as daemon:
    until(lambda: "almost full" in daemon.log)
    assert daemon.stop() == 0
filler.unlink()
assert beamline.run("run", "--until-idle").returncode == 0
assert_delivered_once(beamline, ["a_1", "b_1"])
print("well")
"""
)

READ_ONLY = (
    SITE
    + """
write_series(beamline.data, "a_1", 3)
assert beamline.run("run", "--until-idle").returncode == 0
subprocess.run(["mount", "-o", "remount,ro", str(state)], check=True)
for command in (["status"], ["status", "--json"], ["show", "1"], ["explain", "1"], ["journal", "check"], ["scan"]):
    told = beamline.run(*command)
    assert told.returncode == 0, (command, told.stderr)
refused = beamline.run("run")
assert refused.returncode == 1
assert refused.stderr.splitlines() == [
    f"depositd: the state directory {state} cannot be written: Read-only file system",
    "hint: check that it is not mounted read-only, and give it to the user who runs depositd",
], refused.stderr
refused = beamline.run("hold", "1")
assert refused.returncode == 1
assert "Traceback" not in refused.stderr
assert "read-only" in refused.stderr or "not open" in refused.stderr, refused.stderr
subprocess.run(["mount", "-o", "remount,rw", str(state)], check=True)
assert beamline.run("run", "--until-idle").returncode == 0
assert_delivered_once(beamline, ["a_1"])
print("well")
"""
)


@pytest.mark.fault(28)
def test_a_disk_that_fills_up_in_the_middle_of_a_delivery_costs_nothing_and_work_goes_on_by_itself(tmp_path):
    (state := tmp_path / "state").mkdir()
    assert run_on_tmpfs(state, "40m", FILLED) == "well\n"


@pytest.mark.long
@pytest.mark.fault(28)
def test_what_reads_works_on_a_full_disk_and_the_daemon_starts_with_the_ballast(tmp_path):
    (state := tmp_path / "state").mkdir()
    assert run_on_tmpfs(state, "40m", STOPPED) == "well\n"


@pytest.mark.long
def test_on_a_read_only_state_directory_what_reads_works_and_the_daemon_says_why_it_ends(tmp_path):
    (state := tmp_path / "state").mkdir()
    assert run_on_tmpfs(state, "40m", READ_ONLY) == "well\n"
