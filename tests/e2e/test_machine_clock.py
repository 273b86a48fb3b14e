"""The clock on the wall jumps by a year: what is judged and awaited goes by another one."""

from __future__ import annotations

import os
import re
import time
from datetime import UTC, datetime

import pytest
from beamline_support import Beamline, until, write_series
from machine_support import assert_delivered_once, libfaketime, look, state_of

pytestmark = [pytest.mark.fault(30), pytest.mark.faketime]
YEAR = {"ahead": "+365d", "back": "-365d"}


@pytest.fixture
def beamline(tmp_path):
    line = Beamline(tmp_path)
    line.configure(
        f"  - {{name: r, watch: {line.data}, format: frames, settle: 500ms, deliver: [vault], keep_archive: 1h}}\n"
    )
    line.environment |= {
        "LD_PRELOAD": libfaketime() or "",
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
    set_clock(line, "+0d")
    return line


def set_clock(beamline, text):
    new = beamline.directory / "clock.new"
    new.write_text(f"{text}\n")
    os.replace(new, beamline.directory / "clock")


def delivered(beamline, name):
    return state_of(beamline, name) == "delivered"


def assert_is_seen_in(way, beamline, name):
    """The other year is really what the daemon was told."""
    seen = next(one["first_seen"] for one in look(beamline)["datasets"] if one["name"] == name)
    assert int(seen[:4]) == datetime.now(UTC).year + (1 if way == "ahead" else -1)


def assert_is_sane(beamline):
    """Nothing that is shown lies before it began, and no archive went before its time."""
    shown = beamline.run("status").stdout
    assert shown
    assert not re.search(r"(?<![\w-])-\d", shown), shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("way", YEAR)
def test_a_clock_that_jumps_while_it_runs(beamline, way):
    write_series(beamline.data, "a_1", 3)
    with beamline.start() as daemon:
        until(lambda: delivered(beamline, "a_1"), what="the first one")
        os.rename(beamline.vault, f"{beamline.vault}-away")
        write_series(beamline.data, "b_1", 3, seed=1)
        until(lambda: look(beamline)["datasets"][-1]["deliveries"][0]["attempts"] > 0, what="it is tried in vain")
        set_clock(beamline, YEAR[way])
        began_s = time.monotonic()
        os.rename(f"{beamline.vault}-away", beamline.vault)
        write_series(beamline.data, "c_1", 3, seed=2)
        # a retry that was put off by the other clock is clamped when the house is kept, every 30 s
        until(lambda: delivered(beamline, "b_1") and delivered(beamline, "c_1"), 50, what="both go on")
        assert time.monotonic() - began_s < 50
        assert_is_seen_in(way, beamline, "c_1")
        assert_is_sane(beamline)
        set_clock(beamline, "+0d")
        write_series(beamline.data, "d_1", 3, seed=3)
        until(lambda: delivered(beamline, "d_1"), what="back to the right time")
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log, daemon.log
    archives = [one["archive"]["path"] for one in look(beamline)["datasets"]]
    assert all(os.path.exists(path) for path in archives), "kept for an hour"
    assert_delivered_once(beamline, ["a_1", "b_1", "c_1", "d_1"])


@pytest.mark.long
@pytest.mark.parametrize("way", YEAR)
def test_killed_and_started_again_in_another_year(beamline, way):
    write_series(beamline.data, "a_1", 3)
    with beamline.start() as daemon:
        until(lambda: delivered(beamline, "a_1"), what="the first one")
        os.rename(beamline.vault, f"{beamline.vault}-away")
        write_series(beamline.data, "b_1", 3, seed=1)
        until(lambda: len(look(beamline)["datasets"]) == 2 and state_of(beamline, "b_1") == "waiting")
        daemon.kill()
    os.rename(f"{beamline.vault}-away", beamline.vault)
    set_clock(beamline, YEAR[way])
    write_series(beamline.data, "c_1", 3, seed=2)
    with beamline.start() as daemon:
        until(lambda: delivered(beamline, "b_1") and delivered(beamline, "c_1"), what="both go on")
        assert_is_seen_in(way, beamline, "c_1")
        assert_is_sane(beamline)
        assert daemon.stop() == 0
        assert "Traceback" not in daemon.log, daemon.log
    set_clock(beamline, "+0d")
    assert beamline.run("run", "--until-idle").returncode == 0
    assert_is_sane(beamline)
    assert_delivered_once(beamline, ["a_1", "b_1", "c_1"])
