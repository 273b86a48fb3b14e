"""``depositd show ID --preview`` for every format that has a picture, of datasets that grow and of archived ones."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import subprocess
import sysconfig
import time
from contextlib import closing
from datetime import datetime
from pathlib import Path

import pytest

from depositd.simulate import writers

DEPOSITD = str(Path(sysconfig.get_path("scripts")) / "depositd")
PNG = b"\x89PNG\r\n\x1a\n"
FORMATS = ("frames", "eiger", "waters-raw", "bruker-d")
LONGEST_S = 60.0


def write_bruker(run):
    """Write a timsTOF run of five frames, whose index ends where its data end."""
    run.mkdir()
    frame = struct.pack("<2I", 1008, 700) + b"\3" * 1000
    (run / "analysis.tdf_bin").write_bytes(frame * 5)
    with closing(sqlite3.connect(run / "analysis.tdf")) as database:
        database.execute(
            "CREATE TABLE Frames (Time REAL, MsMsType INT, SummedIntensities INT, TimsId INT, NumScans INT)"
        )
        rows = [(0.5 * number, 0, 100 * number, len(frame) * number, 700) for number in range(5)]
        database.executemany("INSERT INTO Frames VALUES (?, ?, ?, ?, ?)", rows)
        database.commit()


def run(home, *words, status=0):
    done = subprocess.run(
        [DEPOSITD, *words], cwd=home, env=environ(home), check=False, capture_output=True, timeout=LONGEST_S
    )
    assert done.returncode == status, done
    return done


def environ(home):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("DEPOSITD", "XDG_"))}
    return {**kept, "HOME": str(home)}


def datasets(home):
    return {found["format"]: found for found in json.loads(run(home, "status", "--json").stdout)["datasets"]}


def home_with_data(home, settle):
    rules = "".join(
        f"  - {{name: {name}, watch: {home}/{name}, format: {name}, settle: {settle}, deliver: [vault]}}\n"
        for name in FORMATS
    )
    (home / "depositd.yaml").write_text(
        f"state_dir: {home}/state\nspool: {{min_free: 1MB}}\nsweep_every: 500ms\n"
        f"destinations:\n  vault: {{type: directory, path: {home}/vault}}\nrules:\n{rules}"
    )
    for name in (*FORMATS, "vault"):
        (home / name / "mx1").mkdir(parents=True)
    date = datetime(2026, 11, 21, 2, 14, 7)  # noqa: DTZ001 - detectors write no zone
    (home / "frames" / "mx1" / "lyso_1_0001.cbf").write_bytes(writers.cbf_frame(1, date=date))
    writers.write_eiger(home / "eiger" / "mx1", "thau_1", images=2, shape=(64, 64))
    for name, content in writers.waters_files(functions=2).items():
        path = home / "waters-raw" / "mx1" / "run.raw" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
    write_bruker(home / "bruker-d" / "mx1" / "run.d")
    return home


@pytest.fixture(scope="module")
def archived(tmp_path_factory):
    """Return a directory whose journal knows a dataset of each format, all of them archived."""
    home = home_with_data(tmp_path_factory.mktemp("archived"), "100ms")
    run(home, "run", "--until-idle")
    assert {found["state"] for found in datasets(home).values()} == {"archived"}
    return home


@pytest.fixture(scope="module")
def growing(tmp_path_factory):
    """Return a directory whose journal knows a dataset of each format, all of them growing."""
    home = home_with_data(tmp_path_factory.mktemp("growing"), "1h")
    with subprocess.Popen([DEPOSITD, "run"], cwd=home, env=environ(home), stderr=subprocess.DEVNULL) as daemon:
        try:
            end_s = time.monotonic() + LONGEST_S
            while not (home / "state" / "journal.db").exists() or datasets(home).keys() != set(FORMATS):
                assert time.monotonic() < end_s, "the daemon did not see the datasets"
                time.sleep(0.2)
        finally:
            daemon.terminate()
    assert {found["state"] for found in datasets(home).values()} == {"growing"}
    return home


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("kind", ["archived", "growing"])
def test_there_is_a_picture(request, kind, name):
    home = request.getfixturevalue(kind)
    number = str(datasets(home)[name]["id"])
    run(home, "show", number, "--preview", f"{name}.png")
    assert (home / f"{name}.png").read_bytes().startswith(PNG)
