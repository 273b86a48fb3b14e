"""The installed command, as a shell sees it: exit status, stdout, stderr."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import sysconfig
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest
from format_files import cbf_bytes

from depositd.journal import Journal, Progress
from depositd.service.lock import StateLock

DEPOSITD = str(Path(sysconfig.get_path("scripts")) / "depositd")
CONFIG = """\
state_dir: {home}/state
spool: {{min_free: 1MB}}
sweep_every: 500ms
retry: {{first: 200ms, longest: 1s}}
destinations:
  vault: {{type: directory, path: {home}/vault}}
rules:
  - name: plain
    watch: {home}/data
    format: file
    settle: 200ms
    deliver: [{deliver}]
"""
LOCKED_SERVER = """\
  irrmc:
    type: proteindiffraction
    url: https://127.0.0.1:1/api/v1/
    token: {file: /nowhere/token}
"""


@dataclass
class Place:
    """A directory with a config, data and a vault, and the command run in it."""

    home: Path
    config: Path = field(init=False)

    def __post_init__(self):
        self.config = self.home / "depositd.yaml"
        for name in ("data", "vault"):
            (self.home / name).mkdir()
        self.configure()

    def configure(self, deliver="vault", destinations=""):
        text = CONFIG.format(home=self.home, deliver=deliver)
        self.config.write_text(text.replace("rules:\n", f"{destinations}rules:\n"))

    def environ(self, **more):
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("DEPOSITD", "XDG_"))}
        return {**kept, "HOME": str(self.home), **more}

    def run(self, *words, status=0, cwd=None, **environ):
        done = subprocess.run(
            [DEPOSITD, *words],
            cwd=cwd or self.home,
            env=self.environ(**environ),
            check=False,
            capture_output=True,
            timeout=60,
        )
        assert done.returncode == status, done
        assert b"Traceback" not in done.stderr
        return done

    def text(self, *words, **more):
        return self.run(*words, **more).stdout.decode()

    def json(self, *words, **more):
        return json.loads(self.run(*words, **more).stdout)

    def start(self, *words):
        return subprocess.Popen(
            [DEPOSITD, *words], cwd=self.home, env=self.environ(), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def put(self, name, content=b"data"):
        path = os.path.join(os.fsencode(self.home / "data"), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(content)


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path)


@pytest.fixture
def daemon(place):
    """Return a daemon that runs on the place's config."""
    process = place.start("run")
    deadline = time.monotonic() + 20
    while not (place.home / "state" / "depositd.pid").exists():
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield process
    process.terminate()
    process.communicate(timeout=20)


def statuses(place):
    return {
        dataset["name"]: [d["state"] for d in dataset["deliveries"]]
        for dataset in place.json("status", "--json")["datasets"]
    }


# --- the command itself -----------------------------------------------------------------------------------------------


def test_the_version_comes_at_once(place):
    fastest = 10.0
    for _attempt in range(5):
        began = time.monotonic()
        assert place.text("--version").startswith("depositd ")
        fastest = min(fastest, time.monotonic() - began)
    assert fastest < 0.5


def test_the_module_is_the_command(place):
    words = [sys.executable, "-m", "depositd", "--version"]
    assert subprocess.check_output(words, text=True) == place.text("--version")


def test_help_names_every_command_of_the_contract(place):
    shown = place.text("--help")
    commands = "run check scan status show explain retry hold release skip submit journal simulate sandbox demo"
    for command in commands.split():
        assert f"\n  {command} " in shown
        assert place.text(command, "--help").startswith(f"Usage: depositd {command}")


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["show"],
        ["show", "x"],
        ["status", "--frobnicate"],
        ["status", "--watch"],
        ["run", "--log-level", "loud"],
        ["run", "--log-format", "blue"],
        ["release", "1", "--set", "novalue"],
        ["submit", "data", "--to", "nowhere"],
        ["simulate", "nothing", "data"],
        ["simulate", "pilatus", "data", "--fault", "nothing"],
        ["sandbox", "--fault", "nothing"],
        ["sandbox", "--mode", "ancient"],
        ["sandbox", "--host", "0.0.0.0"],
    ],
)
def test_wrong_usage_ends_with_2_and_nothing_on_stdout(place, words):
    done = place.run(*words, status=2)
    assert done.stdout == b""
    assert done.stderr
    assert not (place.home / "state").exists()


# --- the config -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", [["run"], ["check"], ["scan"], ["status", "--json"], ["hold", "1"], ["journal", "check"]]
)
def test_config_errors_are_one_line_each_and_start_nothing(place, command):
    place.config.write_text(place.config.read_text().replace("settle: 200ms", "setle: 200ms").replace("500ms", "soon"))
    done = place.run(*command, status=2)
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith(f"{place.config}:3:14: sweep_every: 'soon'")
    assert "rules[0].setle" in lines[1]
    assert "settle" in lines[1]
    assert done.stdout == b""
    assert not (place.home / "state").exists()


def test_the_config_is_taken_before_and_after_the_command_and_from_where_it_is_looked_for(place, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    own = place.home / ".config" / "depositd"
    elsewhere.mkdir()
    given = str(place.config)
    for words in (
        ["--config", given, "status"],
        ["-c", given, "status"],
        ["status", "-c", given],
        ["-c", "/nowhere", "status", "--config", given],
        ["journal", "-c", given, "export"],
        ["journal", "export", "--config", given],
    ):
        place.run(*words, cwd=elsewhere)
    place.run("status", cwd=elsewhere, DEPOSITD_CONFIG=given)
    missing = place.run("status", cwd=elsewhere, status=2).stderr.decode()
    assert "no config found" in missing
    own.mkdir(parents=True)
    place.config.rename(own / "config.yaml")
    place.run("status", cwd=elsewhere)
    place.run("status", "-c", "nowhere.yaml", cwd=elsewhere, status=2)


# --- before anything is recorded --------------------------------------------------------------------------------------


def test_commands_that_read_make_nothing(place):
    place.put("a.dat")
    assert "nothing recorded yet" in place.text("status")
    empty = place.json("status", "--json")
    assert empty["datasets"] == []
    assert empty["daemon"] == {"running": False, "pid": None, "problem": None}
    place.run("check")
    place.run("scan")
    place.run("explain", "data/a.dat")
    assert place.text("journal", "export") == ""
    for words in (
        ["show", "1"],
        ["explain", "1"],
        ["hold", "1"],
        ["retry", "1", "2"],
        ["journal", "check"],
        ["journal", "backup", "x"],
    ):
        done = place.run(*words, status=1)
        assert done.stderr.startswith(b"depositd: there is no ")
    assert not (place.home / "state").exists()


def test_a_scan_judges_by_age_and_writes_nothing(place):
    place.put("old.dat")
    time.sleep(0.3)
    found = place.json("scan", "--json")["datasets"]
    assert [(d["name"], d["state"], d["deliveries"][0]["destination"]) for d in found] == [("old", "complete", "vault")]
    assert "old  file, 1 file, 4 B  complete: " in place.text("scan", "data/old.dat")
    assert place.json("scan", "--json", "--quick", "vault") == {"datasets": []}
    missing = place.run("scan", "nowhere", status=1)
    assert missing.stderr.decode().startswith("depositd: ")


# --- the daemon -------------------------------------------------------------------------------------------------------


def test_run_until_idle_delivers_and_every_command_tells_the_same(place):
    place.put("a.dat", b"0123456789")
    place.run("run", "--until-idle")
    assert [path.name for path in (place.home / "vault").iterdir()] == ["a.tar.zst"]
    assert (place.home / "state").stat().st_mode & 0o777 == 0o700
    status = place.json("status", "--json")
    (dataset,) = status["datasets"]
    assert {"id", "name", "rule", "format", "path", "state", "verdict", "evidence", "files", "bytes", "frames"} < set(
        dataset
    )
    assert (dataset["name"], dataset["state"], dataset["bytes"]) == ("a", "archived", 10)
    assert {"path", "name", "bytes", "md5", "inner_md5", "sha256", "packing", "level", "why"} == set(dataset["archive"])
    assert dataset["deliveries"][0]["state"] == "delivered"
    shown = place.json("show", "1", "--json")
    assert {key: shown[key] for key in dataset} == dataset
    assert next(set(entry) for entry in shown["history"]) == {"at", "event", "detail"}
    assert place.json("explain", "1", "--json")["datasets"] == [shown]
    assert place.json("explain", "data/a.dat", "--json")["datasets"] == [shown]
    (exported,) = (json.loads(line) for line in place.text("journal", "export").splitlines())
    assert exported.pop("archives")[0].items() >= dataset["archive"].items()
    assert exported == shown
    text = place.text("status")
    assert text.splitlines()[0] == "1 dataset: 1 delivered, nothing needs you"
    assert "not running" in text
    assert "DELIVERIES" in place.text("show", "1")
    assert "took a as file" in place.text("explain", "1")


@pytest.mark.fault(13)
def test_names_that_are_no_text_stay_on_their_line_and_survive_json(place):
    place.put("new\nline.dat")
    place.put(b"\xff\xfe.dat")
    place.run("run", "--until-idle")
    for words in (["status"], ["scan"], ["show", "1"], ["show", "2"], ["explain", "data"]):
        for ascii_only in ({}, {"PYTHONIOENCODING": "ascii"}):
            text = place.run(*words, **ascii_only).stdout
            assert b"\nline" not in text
            assert b"\xff" not in text
    status = place.text("status")
    assert "new\\nline" in status
    assert "\\xff\\xfe" in status
    names = {os.fsencode(dataset["name"]) for dataset in place.json("status", "--json")["datasets"]}
    assert names == {b"new\nline", b"\xff\xfe"}
    assert b"\\udcff\\udcfe" in place.run("status", "--json").stdout
    place.run("explain", b"data/\xff\xfe.dat")


def test_a_second_daemon_is_refused_and_names_the_first(place, daemon):
    done = place.run("run", status=1)
    assert f"pid {daemon.pid}" in done.stderr.decode()
    assert done.stderr.decode().splitlines()[-1].startswith("hint: ")
    assert place.json("status", "--json")["daemon"] == {"running": True, "pid": daemon.pid, "problem": None}
    assert f"depositd is running (pid {daemon.pid})" in place.text("status")


def test_a_daemon_that_is_told_to_stop_ends_well_and_lets_the_next_one_in(place):
    for number in (signal.SIGTERM, signal.SIGINT):
        process = place.start("run")
        while b"ready" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(number)
        assert process.wait(20) == 0
        process.communicate()


def test_held_deliveries_end_with_3_and_wait_for_a_word(place):
    place.configure(deliver="{to: vault, approve: manual}")
    place.put("a.dat")
    place.run("run", "--until-idle", status=3)
    text = place.text("status")
    assert text.splitlines()[0] == "1 dataset: 1 needs you"
    assert "waits for your approval" in text
    assert "→ depositd release 1" in text
    refused = place.run("retry", "1", status=1)
    assert refused.stderr.decode().splitlines()[-1] == "hint: depositd release 1"
    assert place.run("release", "1", "--to", "nowhere", status=1).stdout == b""
    answer = place.json("release", "1", "--set", "note=x", "--json")
    assert answer["refused"] == []
    assert [(d["dataset"], d["destination"], d["state"]) for d in answer["deliveries"]] == [(1, "vault", "waiting")]
    assert place.text("hold", "1") == "dataset 1 to vault: held: held by the operator\n"
    done = place.run("release", "1", "99", status=1)
    assert done.stdout == b"dataset 1 to vault: waiting\n"
    assert b"there is no dataset 99" in done.stderr
    place.run("run", "--until-idle")
    assert statuses(place) == {"a": ["delivered"]}
    assert place.json("skip", "1", "--json", status=1)["refused"][0]["dataset"] == 1


def test_a_credential_that_is_missing_pauses_its_destination_and_nothing_else(place):
    place.configure("vault, {to: irrmc, approve: auto, metadata: {pdb_code: 1ABC, dataset_type: pdb}}", LOCKED_SERVER)
    place.put("a.dat")
    place.run("run", "--until-idle", status=3)
    assert statuses(place) == {"a": ["delivered", "waiting"]}
    text = place.text("status")
    assert "1 destination paused" in text.splitlines()[0]
    assert "/nowhere/token cannot be read" in text


def test_a_status_page_that_cannot_be_served_does_not_stop_the_daemon(place):
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        place.config.write_text(f"web: {{listen: 127.0.0.1:{port}}}\n{place.config.read_text()}")
        place.put("a.dat")
        done = place.run("run", "--until-idle")
    assert b"the status page cannot be served" in done.stderr
    assert statuses(place) == {"a": ["delivered"]}


# --- by hand ----------------------------------------------------------------------------------------------------------


def test_submit_records_waits_and_delivers(place):
    file = place.home / "by_hand.dat"
    file.write_bytes(b"x" * 1000)
    os.utime(file, (0, 0))
    recorded = place.run("submit", str(file), "--to", "vault")
    assert b"to vault  waiting" in recorded.stdout
    assert b"depositd is not running" in recorded.stderr
    waited = place.json("submit", str(file), "--to", "vault", "--wait", "--json")
    assert waited["deliveries"][0]["state"] == "delivered"
    assert (place.home / "vault" / "by_hand.tar.zst").exists()
    place.run("submit", "nowhere.dat", "--to", "vault", status=1)


def test_submit_waits_for_the_daemon_that_runs(place, daemon):
    file = place.home / "by_hand.dat"
    file.write_bytes(b"x")
    assert b"to vault  delivered" in place.run("submit", str(file), "--to", "vault", "--wait").stdout
    assert daemon.poll() is None


def test_submit_wait_ends_with_3_where_somebody_is_needed(place):
    place.configure("vault", LOCKED_SERVER)
    file = place.home / "by_hand.dat"
    file.write_bytes(b"x")
    held = place.json("submit", str(file), "--to", "irrmc", "--wait", "--json", status=3)
    assert held["deliveries"][0]["state"] == "held"
    values = ["--set", "pdb_code=1ABC", "--set", "dataset_type=pdb"]
    paused = place.json("submit", str(file), "--to", "irrmc", *values, "--wait", "--json", status=3)
    assert paused["deliveries"][0]["state"] == "waiting"
    assert "paused" in paused["deliveries"][0]["error"]


# --- care -------------------------------------------------------------------------------------------------------------


def test_check_finds_what_is_wrong_and_changes_nothing(place):
    assert place.json("check", "--json")["problems"] == 0
    place.configure("vault, irrmc", LOCKED_SERVER)
    (place.home / "vault").rmdir()
    (place.home / "data").rename(place.home / "moved")
    found = place.json("check", "--json", status=1)
    subjects = {finding["subject"] for finding in found["findings"] if finding["level"] == "problem"}
    assert subjects == {f"source {place.home}/data", "destination vault", "destination irrmc"}
    assert found["problems"] == 3
    text = place.text("check", status=1)
    assert text.splitlines()[-1].startswith("3 problems, ")
    assert sorted(path.name for path in place.home.iterdir()) == ["depositd.yaml", "moved"]


@pytest.mark.fault(33)
def test_check_sees_a_secret_that_others_can_read(place):
    token = place.home / "token"
    token.write_text("a-canary-word\n")
    token.chmod(0o644)
    place.configure("vault, irrmc", LOCKED_SERVER.replace("/nowhere/token", str(token)))
    done = place.run("check", "--online", status=1)
    assert b"can be used by others" in done.stdout
    token.chmod(0o600)
    done = place.run("check", "--online", status=1)
    assert b"readable and private" in done.stdout
    assert b"a-canary-word" not in done.stdout + done.stderr


def test_two_names_of_one_directory_are_warned_of(place):
    (place.home / "alias").symlink_to(place.home / "data")
    text = place.config.read_text().replace(f"{place.home}/data", f"[{place.home}/data, {place.home}/alias]")
    place.config.write_text(text)
    found = place.json("check", "--json")["findings"]
    twice = [finding for finding in found if "looked at twice" in finding["sentence"]]
    assert [(finding["level"], finding["subject"]) for finding in twice] == [("warning", f"source {place.home}/data")]


def test_the_journal_is_checked_and_copied(place):
    place.put("a.dat")
    place.run("run", "--until-idle")
    assert place.text("journal", "check").endswith("is sound\n")
    assert place.json("journal", "check", "--json")["sound"] is True
    copy = place.home / "copy.db"
    place.run("journal", "backup", "copy.db")
    assert copy.stat().st_mode & 0o777 == 0o600
    assert b"exists already" in place.run("journal", "backup", "copy.db", status=1).stderr
    journal = place.home / "state" / "journal.db"
    journal.write_bytes(b"this is no database" * 500)
    for words in (["journal", "check"], ["status"], ["hold", "1"]):
        done = place.run(*words, status=1)
        assert b"not a database" in done.stdout + done.stderr
    copy.replace(journal)
    assert statuses(place) == {"a": ["delivered"]}


# --- instruments and servers ------------------------------------------------------------------------------------------


def test_a_simulated_instrument_writes_and_never_writes_over(place):
    words = ["simulate", "pilatus", "data/x", "--frames", "3", "--rate", "1000", "--name", "lyso_1"]
    assert place.text(*words) == "3 frames of lyso_1 in data/x\n"
    assert len(list((place.home / "data" / "x").iterdir())) == 3
    assert b"is there already" in place.run(*words, status=1).stderr


def test_an_interrupted_command_ends_with_130(place):
    process = place.start("simulate", "file", "data", "--rate", "1")
    while not (place.home / "data" / "sim_1.dat").exists():
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 130
    assert stdout == b""
    assert b"interrupted after" in stderr
    assert b"Traceback" not in stderr


def test_the_sandbox_greets_and_ends_with_ctrl_c(place):
    process = place.start("sandbox", "--port", "0")
    assert b"sandbox is up" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _stdout, stderr = process.communicate(timeout=20)
    assert process.returncode == 0
    assert stderr == b""


# --- pipes and terminals ----------------------------------------------------------------------------------------------


def test_a_reader_that_has_seen_enough_is_no_error(place):
    for number in range(3):
        place.put(f"{number}.dat")
    place.run("run", "--until-idle")
    process = subprocess.Popen(
        [DEPOSITD, "status", "--json"],
        cwd=place.home,
        env=place.environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    process.wait(20)


FRAMES_CONFIG = """\
state_dir: {home}/state
destinations: {{vault: {{type: directory, path: {home}/vault}}}}
rules:
  - name: pilatus
    watch: {home}/data
    format: frames
    exclude: ["**/processed/**", "**/junk*"]
    settle: 1h
    expect: {{frames: 4}}
    deliver: [vault]
  - {{name: thermo, watch: {home}/data, format: thermo-raw, deliver: [vault]}}
"""


@pytest.fixture
def beamline(place):
    """A series of two wavelengths in which the seventh of nine frames is missing, and what no rule takes."""
    place.config.write_text(FRAMES_CONFIG.format(home=place.home))
    for name in ("run", "processed"):
        (place.home / "data" / name).mkdir()
    for number in (1, 2, 3, 4, 5, 6, 8, 9):
        wavelength = {"Wavelength": "1.0722 A"} if number > 4 else {}
        place.put(f"run/lyso_{number:05}.cbf", cbf_bytes(number, **wavelength))
    for name in ("run/notes.txt", "run/junk_1.cbf", "processed/a_1.cbf"):
        place.put(name)
    os.symlink("run", place.home / "data" / "link")
    return place


def test_explain_tells_of_a_frame_its_own_dataset_with_every_rung_what_is_awaited_and_until_when(beamline):
    shown = beamline.text("explain", "data/run/lyso_00005.cbf").splitlines()
    assert shown[:4] == [
        str(beamline.home / "data/run/lyso_00005.cbf"),
        "  rule pilatus: took lyso as frames",
        "  rule thermo: comes after rule pilatus, which took it",
        "  lyso-2 is growing, judged by the files' ages:",
    ]
    assert shown[4:7] == [
        "    - 4 of 4 frames",
        "    - the wavelength is 1.0722 Å here, but 0.9795 Å in frame 1: 2 datasets share this series",
        "    - frame 7 is missing",
    ]
    at = shown.index("    the ladder of evidence, the strongest first:")
    asked = [line.partition(": ") for line in shown[at + 1 : at + 7]]
    assert [asks for asks, _, _ in asked] == [
        "      1. an explicit flag",
        "      2. index and data agree",
        "      3. the expected count",
        "      4. no open writer",
        "      5. a newer dataset of the same instrument",
        "      6. nothing changes",
    ]
    assert all(finding for _, _, finding in asked)
    assert shown[at + 7] == "    still awaited: 1 missing frame or 60 min more without any change" or (
        shown[at + 7] == "    still awaited: 1 missing frame or 1 h more without any change"
    )
    assert shown[at + 8].startswith("    if nothing is written, the verdict can change in ")
    assert shown[at + 9 :] == ["  the journal knows nothing of it yet"]


def test_explain_as_json_has_the_same(beamline):
    (found,) = beamline.json("explain", "data/run/lyso_00001.cbf", "--json")["found"]
    assert (found["name"], found["verdict"], found["frames"]["missing"]) == ("lyso", "growing", [])
    assert [sorted(rung) for rung in found["ladder"]] == [["asks", "finding"]] * 6
    assert found["awaits"].endswith("more without any change")
    assert 3000 < found["recheck_s"] <= 3600


def test_explain_and_scan_of_a_directory_tell_of_all_of_its_datasets(beamline):
    shown = beamline.text("explain", "data/run")
    assert "  lyso is growing" in shown
    assert "  lyso-2 is growing" in shown
    for words in ([], ["data/run"]):
        found = {one["name"]: one for one in beamline.json("scan", "--json", *words)["datasets"]}
        assert found.keys() == {"lyso", "lyso-2"}
        assert (found["lyso"]["frames"]["missing"], found["lyso-2"]["frames"]["missing"]) == ([], [7])
    assert "2 datasets share this series" in beamline.text("scan")


@pytest.mark.parametrize(
    ("path", "finding"),
    [
        ("data/run/notes.txt", "watches it, but it is no part of a dataset of format frames"),
        ("data/run/junk_1.cbf", "leaves it out: exclude (**/processed/**, **/junk*) names run/junk_1.cbf"),
        ("data/processed/a_1.cbf", "leaves it out: exclude (**/processed/**, **/junk*) names processed"),
        ("data/link/lyso_00001.cbf", "is a symbolic link, which is never followed"),
        ("data", "watches it, but there is no dataset of format frames directly in it"),
        ("vault", "does not watch it (it watches "),
    ],
)
def test_explain_says_of_what_no_rule_takes_why_not(beamline, path, finding):
    shown = beamline.text("explain", path)
    (said,) = (line for line in shown.splitlines() if line.startswith("  rule pilatus: "))
    assert finding in said
    assert "the ladder" not in shown


def test_a_terminal_gets_colours_and_watch_refreshes_until_ctrl_c(place):
    place.put("a.dat")
    place.run("run", "--until-idle")
    assert b"\x1b[" not in place.run("status").stdout
    assert b"\x1b[" in on_a_terminal(place, ["status"], until=b"SOURCES")[0]
    seen, status = on_a_terminal(place, ["status", "--watch"], until=b"SOURCES", interrupt=True)
    assert b"1 delivered" in seen
    assert status == 130


def test_watch_shows_how_fast_a_transfer_goes_and_when_it_will_be_done(place):
    place.put("a.dat")
    place.run("run", "--until-idle")
    lock = StateLock(place.home / "state")
    journal = Journal(place.home / "state" / "journal.db")
    journal.deliveries.add(1, "again", {}, datetime.now(UTC))
    began = time.monotonic()

    def go_on():
        seconds = time.monotonic() - began
        journal.surroundings.progress(
            Progress("delivery 2", "sending to again", round(50e6 * seconds), 10**11, datetime.now(UTC))
        )

    try:
        seen, status = on_a_terminal(place, ["status", "--watch"], until=b" left", interrupt=True, meanwhile=go_on)
    finally:
        journal.close()
        lock.release()
    assert status == 130
    shown = re.sub(rb"\x1b\[[0-9;?]*[a-zA-Z]", b"", seen).decode()
    assert re.search(
        "━{20}  sending to again: [0-9.]+ MB of 100 GB \\(0 %\\), (4[5-9]|5[0-5])\\.\\d MB/s, 3\\d min left", shown
    )


def on_a_terminal(place, words, until, interrupt=False, meanwhile=lambda: None):
    """Return what a command writes to a terminal up to ``until``, and how it ends."""
    ours, theirs = pty.openpty()
    environ = place.environ(TERM="xterm-256color", COLUMNS="100", LINES="40")
    process = subprocess.Popen(
        [DEPOSITD, *words], cwd=place.home, env=environ, stdin=theirs, stdout=theirs, stderr=theirs
    )
    os.close(theirs)
    seen = b""
    deadline = time.monotonic() + 20
    while until not in seen and time.monotonic() < deadline:
        meanwhile()
        if select.select([ours], [], [], 0.2)[0]:
            seen += os.read(ours, 65_536)
    assert until in seen
    if interrupt:
        process.send_signal(signal.SIGINT)
    while process.poll() is None and time.monotonic() < deadline:
        if select.select([ours], [], [], 0.2)[0]:
            try:
                seen += os.read(ours, 65_536)
            except OSError:  # the other end is closed
                break
    status = process.wait(20)
    os.close(ours)
    return seen, status
