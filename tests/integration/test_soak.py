"""scripts/soak in short: half a minute of it must work, and find nothing."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]


@pytest.mark.long
@pytest.mark.timeout(420)
def test_half_a_minute_with_kills_and_faults_ends_well(tmp_path):
    found = tmp_path / "found.json"
    command = [sys.executable, "-P", "-m", "soak", "--hours", "0.008", "--seed", "1"]
    outcome = subprocess.run(
        [*command, "--directory", str(tmp_path), "--json", str(found)],
        env={**os.environ, "PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr[-3000:]
    result = json.loads(found.read_text())
    assert result["well"] is True
    assert result["datasets"] >= 8
    assert result["happened"]["server faults"] >= 1
    assert len(result["samples"]) >= 2
    assert {trend["is_flat"] for trend in result["trends"]} == {None}
    assert "the same again: scripts/soak --hours 0.008 --pace 1 --seed 1" in outcome.stdout
    assert os.listdir(tmp_path) == [found.name]
