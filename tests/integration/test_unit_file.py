import re
import subprocess
from pathlib import Path

import pytest

UNIT = Path(__file__).parents[2] / "systemd" / "depositd.service"
MOST_EXPOSURE = 1.5


def settings():
    """Return the unit's settings in order, without comments."""
    lines = [line for line in UNIT.read_text().splitlines() if line and not line.startswith(("#", "["))]
    return [tuple(line.split("=", 1)) for line in lines]


def analyze(*arguments):
    return subprocess.run(["systemd-analyze", *arguments], capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.fault(32)
@pytest.mark.systemd_analyze
def test_systemd_finds_nothing_to_say_about_the_unit(tmp_path):
    program = tmp_path / "depositd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/depositd/bin/depositd", str(program)))
    outcome = analyze("verify", "--man=no", str(unit))
    said = [line for line in (outcome.stdout + outcome.stderr).splitlines() if "depositd" in line]
    assert (outcome.returncode, said) == (0, [])


@pytest.mark.fault(32)
@pytest.mark.systemd_analyze
def test_the_unit_is_hardly_exposed():
    outcome = analyze("security", "--offline=true", "--no-pager", str(UNIT))
    exposure = re.search(r"Overall exposure level for depositd.service: ([\d.]+)", outcome.stdout)
    assert exposure, outcome.stdout + outcome.stderr
    assert float(exposure[1]) <= MOST_EXPOSURE


@pytest.mark.fault(32)
def test_what_would_blind_the_daemon_stays_off():
    names = [name for name, _value in settings()]
    assert "PrivateUsers" not in names
    assert "ProcSubset" not in names
    assert "PrivateNetwork" not in names


def test_the_night_does_not_end_with_a_start_limit_and_the_data_cannot_be_written():
    values = dict(settings())
    assert values["Type"] == "notify"
    assert values["StartLimitIntervalSec"] == "0"
    assert values["Restart"] == "on-failure"
    assert values["RestartPreventExitStatus"] == "2"
    assert values["ProtectSystem"] == "strict"
    assert values["StateDirectory"] == "depositd"
    assert "ReadWritePaths" not in values
