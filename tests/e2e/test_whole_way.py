"""From the last byte to published, through the installed command, against both servers' APIs."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess

import pytest
from beamline_support import Beamline, until, write_run, write_series

from depositd.sandbox import running

PX = """
  - name: px
    watch: {data}/px
    format: auto
    settle: 1s
    expect: {{frames: 12}}
    metadata: {{set: {{pdb_code: 1ABC}}}}
    deliver: [{{to: irrmc, approve: auto}}, vault]
"""
MS = """
  - name: ms
    watch: {data}/ms
    format: thermo-raw
    settle: 1s
    deliver: [qc]
"""


@pytest.fixture
def sandbox():
    with running(pace_s=0.2) as box:
        yield box


@pytest.fixture
def beamline(tmp_path, sandbox):
    line = Beamline(tmp_path, sandbox)
    (line.data / "px").mkdir()
    (line.data / "ms").mkdir()
    line.configure((PX + MS).format(data=line.data))
    return line


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def source_facts(directory):
    return {
        str(path): (path.stat().st_mtime_ns, path.stat().st_size, sha256(path))
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_a_series_and_a_run_end_where_they_should(beamline, sandbox):
    write_series(beamline.data / "px" / "mx1", "lyso_1", 12)
    raw = write_run(beamline.data / "ms", "sample1")
    before = source_facts(beamline.data)

    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log

    series, run = beamline.dataset("lyso_1"), beamline.dataset("sample1")
    assert series["state"] == run["state"] == "archived"
    assert series["verdict"] == "complete"
    assert series["rule"] == "px"
    assert series["format"] == "frames"
    assert series["path"] == str(beamline.data / "px" / "mx1")
    assert series["files"] == 12
    assert series["frames"] == {"present": 12, "expected": 12, "missing": []}
    assert any("12 of 12 frames" in clause for clause in series["evidence"])
    archive = series["archive"]
    assert archive["name"] == "lyso_1.tar.zst"
    copy = beamline.vault / "lyso_1.tar.zst"
    assert sha256(copy) == archive["sha256"]
    assert copy.stat().st_size == archive["bytes"]
    listed = subprocess.run(["tar", "-I", "zstd", "-tf", copy], capture_output=True, text=True, check=True).stdout
    assert listed.splitlines() == [f"lyso_1/lyso_1_{number:05d}.cbf" for number in range(1, 13)]

    sent = {one["destination"]: one for one in series["deliveries"]}
    assert (sent["irrmc"]["state"], sent["irrmc"]["remote_status"]) == ("delivered", "published")
    assert sent["irrmc"]["attempts"] == 1
    assert sent["irrmc"]["error"] is None
    assert sent["vault"]["state"] == "delivered"
    assert len(sandbox.submissions) == 1
    assert sandbox.submissions[0].token == sent["irrmc"]["remote_id"]

    assert [one["state"] for one in run["deliveries"]] == ["delivered"]
    assert run["archive"]["name"] == "sample1.raw"
    assert run["archive"]["sha256"] == sha256(raw)
    assert [one.name for one in sandbox.runs if "sample1" in one.name] == ["sample1.raw"]
    assert source_facts(beamline.data) == before


def test_a_second_start_sends_nothing_again(beamline, sandbox):
    write_series(beamline.data / "px", "lyso_1", 12)
    write_run(beamline.data / "ms", "sample1")
    for _ in range(2):
        with beamline.start("--until-idle") as daemon:
            assert daemon.wait() == 0, daemon.log
    assert len(sandbox.uploads) == 1
    assert sandbox.requests["POST /api/v1/upload/"] == 1
    assert sandbox.requests["POST /api/upload/raw"] == 1


def test_killed_between_upload_and_submit_there_is_exactly_one_submission(beamline, sandbox):
    write_series(beamline.data / "px", "lyso_1", 12)
    # the upload is stored, and the answer comes so late that the daemon is gone by then
    sandbox.fault("/api/v1/upload/", "slow-answer", delay_s=5.0, times=1)
    with beamline.start() as daemon:
        until(lambda: len(sandbox.uploads) == 1, what="the upload is stored")
        daemon.kill()
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    delivery = beamline.deliveries("lyso_1")["irrmc"]
    assert delivery["state"] == "delivered"
    assert sandbox.requests["POST /api/v1/upload/"] == 1
    assert len(sandbox.submissions) == 1
    events = [line["event"] for line in json.loads(beamline.run("show", "1", "--json").stdout)["history"]]
    assert "answer lost" in events


def test_killed_while_submitting_there_is_exactly_one_submission(beamline, sandbox):
    write_series(beamline.data / "px", "lyso_1", 12)
    sandbox.fault("/api/v1/submit/", "slow-answer", delay_s=5.0, times=1)
    with beamline.start() as daemon:
        until(lambda: sandbox.requests.get("POST /api/v1/submit/", 0) == 1, what="the submit is sent")
        daemon.kill()
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert beamline.deliveries("lyso_1")["irrmc"]["state"] == "delivered"
    assert sandbox.requests["POST /api/v1/upload/"] == 1
    assert len(sandbox.submissions) == 1


def test_a_run_whose_answer_was_lost_in_a_crash_is_there_once(beamline, sandbox):
    write_run(beamline.data / "ms", "sample1")
    sandbox.fault("/api/upload/raw", "slow-answer", delay_s=5.0, times=1)
    with beamline.start() as daemon:
        until(lambda: any(one.name == "sample1.raw" for one in sandbox.runs), what="the run is stored")
        daemon.kill()
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert beamline.deliveries("sample1")["qc"]["state"] == "delivered"
    assert sandbox.requests["POST /api/upload/raw"] == 1


@pytest.mark.parametrize("kind", ["drop-mid-body", "commit-then-drop", "commit-then-502", "half-answer"])
@pytest.mark.fault(21)
def test_a_lost_answer_leads_to_one_dataset(beamline, sandbox, kind):
    write_series(beamline.data / "px", "lyso_1", 12)
    write_run(beamline.data / "ms", "sample1")
    sandbox.fault("/api/v1/upload/", kind, times=1)
    if kind != "drop-mid-body":
        sandbox.fault("/api/upload/raw", kind, times=1)
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert len(sandbox.submissions) == 1
    assert [one.name for one in sandbox.runs].count("sample1.raw") == 1
    assert beamline.deliveries("sample1")["qc"]["state"] == "delivered"


def test_a_wrong_token_pauses_the_destination_and_says_so_once(beamline, sandbox):
    for number in range(3):
        write_series(beamline.data / "px" / f"s{number}", f"lyso_{number}", 12, seed=number)
    right = beamline.environment["PDI_TOKEN"]
    beamline.environment["PDI_TOKEN"] = "wrong-" + "0" * 34
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 3, daemon.log
        assert daemon.log.count("irrmc is paused") == 1, daemon.log
        assert "wrong-000" not in daemon.log
    status = beamline.status()
    for dataset in status["datasets"]:
        states = {one["destination"]: one["state"] for one in dataset["deliveries"]}
        assert states == {"irrmc": "waiting", "vault": "delivered"}
    assert sandbox.requests.get("POST /api/v1/upload/", 0) == 0
    assert "paused" in beamline.run("status").stdout

    beamline.environment["PDI_TOKEN"] = right
    assert beamline.run("retry", "1", "2", "3", "--to", "irrmc").returncode == 0
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert len(sandbox.submissions) == 3


def test_what_lacks_metadata_is_held_and_freed_by_the_operator(beamline, sandbox):
    without_metadata = PX.replace("metadata: {{set: {{pdb_code: 1ABC}}}}", "on_incomplete: hold")
    beamline.configure(without_metadata.format(data=beamline.data))
    write_series(beamline.data / "px", "lyso_1", 12)
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 3
    held = beamline.deliveries("lyso_1")["irrmc"]
    assert held["state"] == "held"
    assert "pdb_code" in held["error"]
    assert "release 1 --set" in held["hint"]
    assert sandbox.requests.get("POST /api/v1/upload/", 0) == 0

    assert beamline.run("release", "1", "--set", "pdb_code=1ABC").returncode == 0
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert beamline.deliveries("lyso_1")["irrmc"]["state"] == "delivered"


def test_nothing_becomes_public_without_a_word(beamline, sandbox):
    beamline.configure(PX.format(data=beamline.data).replace("{to: irrmc, approve: auto}", "irrmc"))
    write_series(beamline.data / "px", "lyso_1", 12)
    with beamline.start() as daemon:
        until(lambda: beamline.run("status").stdout.count("approval") > 0, what="it asks for approval")
        assert sandbox.requests.get("POST /api/v1/upload/", 0) == 0
        assert beamline.run("release", "1").returncode == 0
        until(lambda: beamline.delivery_state("lyso_1", "irrmc") == "delivered", what="it is delivered")
        assert daemon.stop() == 0


def test_an_aborted_series_is_held_with_its_reason(beamline):
    write_series(beamline.data / "px", "lyso_1", 7)
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 3
    dataset = beamline.dataset("lyso_1")
    assert (dataset["state"], dataset["verdict"]) == ("incomplete", "truncated")
    for delivery in dataset["deliveries"]:
        assert delivery["state"] == "held"
        assert "7 of 12 frames" in delivery["error"]
    assert list(beamline.vault.iterdir()) == []


def test_a_missing_source_is_taken_up_when_it_comes(beamline, sandbox):
    later = beamline.directory / "later"
    beamline.configure((PX + MS).format(data=beamline.data).replace(f"{beamline.data}/px", str(later)))
    write_run(beamline.data / "ms", "sample1")
    with beamline.start() as daemon:
        until(lambda: beamline.delivery_state("sample1", "qc") == "delivered", what="the other source goes on")
        assert "unavailable" in daemon.log
        write_series(later, "lyso_1", 12)
        until(lambda: "lyso_1" in beamline.run("status").stdout, what="the source is taken up")
        until(lambda: beamline.delivery_state("lyso_1", "irrmc") == "delivered", what="and delivered")
        assert daemon.stop() == 0


@pytest.mark.fault(13)
def test_strange_names_and_files_hold_nothing_up(beamline, sandbox):
    px = beamline.data / "px"
    strange = os.fsdecode(b"new\nline\xff\x1b[31m")
    write_series(px / strange, "odd\n" + os.fsdecode(b"\xfe"), 12, seed=1)
    os.mkfifo(px / "pipe_00001.cbf")
    (px / "link_00001.cbf").symlink_to("/etc/hostname")
    write_series(px / "good", "lyso_1", 12)
    with beamline.start("--until-idle") as daemon:
        assert daemon.wait() == 3, daemon.log
    assert beamline.deliveries("lyso_1")["irrmc"]["state"] == "delivered"
    verdicts = {one["name"]: one["verdict"] for one in beamline.status()["datasets"]}
    assert verdicts["pipe"] == verdicts["link"] == "corrupt"
    odd = beamline.dataset("odd\n" + os.fsdecode(b"\xfe"))
    assert {one["state"] for one in odd["deliveries"]} == {"delivered"}
    text = beamline.run("status").stdout
    assert "\x1b[31m" not in text
    assert "odd\\n\\xfe" in text


@pytest.mark.fault(31)
def test_two_daemons_on_one_state_directory(beamline):
    with beamline.start() as daemon:
        until(lambda: "ready" in daemon.log, what="it is ready")
        second = beamline.run("run", "--until-idle")
        assert second.returncode == 1
        assert str(daemon.process.pid) in second.stderr
        assert daemon.stop() == 0


def test_by_hand_it_ends_the_same_way(beamline, sandbox):
    elsewhere = beamline.directory / "elsewhere"
    write_series(elsewhere, "lyso_9", 5)
    submitted = beamline.run("submit", str(elsewhere), "--to", "irrmc", "--set", "pdb_code=1ABC", "--wait")
    assert submitted.returncode == 0, submitted.stderr
    assert beamline.deliveries("lyso_9")["irrmc"]["remote_status"] == "published"
    missing = beamline.run("submit", str(elsewhere), "--to", "nowhere")
    assert missing.returncode != 0
    assert "nowhere" in missing.stderr
