"""The script that tortures the daemon, in its short form; by hand it goes on for hours: scripts/torture --help."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

TORTURE = Path(__file__).parents[2] / "scripts" / "torture"


@pytest.mark.long
@pytest.mark.fault(27)
@pytest.mark.timeout(180)
def test_a_short_torture_ends_well_and_its_seed_is_shown():
    outcome = subprocess.run(
        [TORTURE, "--minutes", "0.2", "--seed", "7"], capture_output=True, text=True, check=False, timeout=170
    )
    assert outcome.returncode == 0, outcome.stdout[-4000:] + outcome.stderr[-2000:]
    assert "seed 7" in outcome.stdout
    assert "all well" in outcome.stdout
