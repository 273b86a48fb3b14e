"""The benchmark itself, on so little data that its numbers mean nothing: it must not rot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

TESTS = Path(__file__).parents[1]
TINY = (
    *("--size", "1MB", "--upload-size", "1MB", "--rss-size", "3MB", "--files", "150", "--rounds", "1"),
    *("--frames", "60", "--known", "40", "--seconds", "1", "--rate", "60"),
    *("--held", "40", "--submissions", "5"),
)

SWEEPS = [
    f"{sweep}, {shape}"
    for shape in ("1 directory of 150", "8 directories of 20")
    for sweep in ("first sweep", "first sweep, grouped and judged", "sweep, nothing changed")
]


def bench(*arguments, path=None):
    environment = {**os.environ, "PYTHONPATH": str(TESTS), **({} if path is None else {"PATH": str(path)})}
    command = [sys.executable, "-P", "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=180)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the directory, the output and the JSON of one run, the same for all workers of pytest-xdist."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    directory, output = shared / "bench", shared / "bench.txt"
    with FileLock(f"{directory}.lock"):
        if not output.exists():
            directory.mkdir(exist_ok=True)
            outcome = bench(*TINY, "--directory", directory, "--json", directory / "found.json", "--markdown")
            assert outcome.returncode == 0, outcome.stderr
            output.write_text(outcome.stdout)
    return directory, output.read_text(), json.loads((directory / "found.json").read_text())


def test_each_contest_has_depositd_and_a_public_tool_and_a_ratio(found):
    contests = {contest["title"]: contest for contest in found[2]["contests"]}
    rivals = {"archive frames": "tar", "archive eiger": "tar", "upload to loopback": "curl"}
    rivals |= dict.fromkeys(SWEEPS, "find")
    assert list(contests) == list(rivals)
    for title, rival in rivals.items():
        first, *others = contests[title]["standings"]
        assert first["name"] == "depositd"
        assert others[0]["name"].startswith(rival)
        assert first["depositd_times_as_fast"] == 1
        for standing in others:
            assert standing["depositd_times_as_fast"] == pytest.approx(standing["wall_s"] / first["wall_s"])
            assert len(standing["runs"]) == 1


def test_archives_are_smaller_than_their_source(found):
    contest = found[2]["contests"][0]
    assert all(0 < standing["result_bytes"] < contest["amount"] for standing in contest["standings"])


def test_memory_is_that_of_a_process_of_its_own(found):
    peaks = {peak["title"]: peak for peak in found[2]["memory"]}
    assert set(peaks) == {"archive", "upload"}
    for peak in peaks.values():
        assert 0 < peak["before_bytes"] <= peak["peak_bytes"] <= 200_000_000


def test_each_table_of_the_markdown_is_one(found):
    tables = found[1].split("\n\n")
    assert len(tables) == 2
    for table in tables:
        assert len({line.replace("\\|", "").count("|") for line in table.splitlines()}) == 1
    assert sum("`curl -F`" in line for line in tables[0].splitlines()) == 1
    assert len(tables[1].splitlines()) == 2 + len(found[2]["figures"])


def test_whatever_is_promised_of_watching_stands_beside_its_target(found):
    figures = {figure["title"]: figure for figure in found[2]["figures"]}
    promised = {title for title, figure in figures.items() if figure["is_reached"] is not None}
    for words in (
        *("first sweep: 150 files", "memory above idle", "nothing changed", "whole-frame check", "of them new"),
        *("1 series of 60 frames: missed", "2 series of 30 frames: missed", "the daemon's share", "close to verdict"),
        *("known datasets: share", "known datasets: memory", "40 held datasets: share", "40 held datasets: memory"),
        *("held deliveries: a tick takes", "held deliveries: housekeeping"),
        *("5 submissions: lists", "5 submissions: other requests", "5 submissions: a round takes"),
    ):
        assert any(words in title for title in promised), words
    for figure in figures.values():
        reached = [figure["value"] <= figure["most"]] if figure["most"] is not None else []
        reached += [figure["value"] >= figure["least"]] if figure["least"] is not None else []
        assert figure["is_reached"] == (all(reached) if reached else None)


def test_no_frame_is_missed_and_every_verdict_comes(found):
    figures = {figure["title"]: figure["value"] for figure in found[2]["figures"]}
    for series in ("1 series of 60 frames", "2 series of 30 frames"):
        assert figures[f"{series}: missed"] == 0
        assert 2.0 <= figures[f"{series}: last close to verdict"] < 60.0


def test_submissions_are_polled_by_one_list(found):
    figures = {figure["title"]: figure["value"] for figure in found[2]["figures"]}
    assert 0 < figures["polling 5 submissions: lists"] <= 1
    assert figures["polling 5 submissions: other requests"] == 0
    assert figures["40 held deliveries: a tick"] > 0


def test_nothing_is_left_behind(found):
    assert os.listdir(found[0]) == ["found.json"]


def test_a_missing_tool_is_named(tmp_path):
    outcome = bench(*TINY, path=tmp_path)
    assert outcome.returncode == 2
    assert "curl" in outcome.stderr
