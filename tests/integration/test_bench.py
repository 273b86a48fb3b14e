"""The benchmark itself, on so little data that its numbers mean nothing: it must not rot."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
TINY = ("--size", "1MB", "--upload-size", "1MB", "--rss-size", "3MB", "--files", "150", "--rounds", "1")


def bench(*arguments, path=None):
    environment = {**os.environ, "PYTHONPATH": str(TESTS), **({} if path is None else {"PATH": str(path)})}
    command = [sys.executable, "-P", "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """Return the directory, the output and the JSON of one run."""
    directory = tmp_path_factory.mktemp("bench")
    outcome = bench(*TINY, "--directory", directory, "--json", directory / "found.json", "--markdown")
    assert outcome.returncode == 0, outcome.stderr
    return directory, outcome.stdout, json.loads((directory / "found.json").read_text())


def test_each_contest_has_depositd_and_a_public_tool_and_a_ratio(found):
    contests = {contest["title"]: contest for contest in found[2]["contests"]}
    assert list(contests) == ["archive frames", "archive eiger", "upload to loopback", "sweep, warm cache"]
    rivals = {
        "archive frames": "tar",
        "archive eiger": "tar",
        "upload to loopback": "curl",
        "sweep, warm cache": "find",
    }
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


def test_the_markdown_table_is_one(found):
    lines = found[1].splitlines()
    assert len({line.replace("\\|", "").count("|") for line in lines}) == 1
    assert sum("`curl -F`" in line for line in lines) == 1


def test_nothing_is_left_behind(found):
    assert os.listdir(found[0]) == ["found.json"]


def test_a_missing_tool_is_named(tmp_path):
    outcome = bench(*TINY, path=tmp_path)
    assert outcome.returncode == 2
    assert "curl" in outcome.stderr
