"""The shell scripts: they parse, work from any directory, and forward what they are given."""

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
SCRIPTS = [*sorted((PROJECT / "scripts").iterdir()), PROJECT / ".ci/run", PROJECT / "tests/support/systemd-user"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_script_is_executable_strict_bash(script):
    text = script.read_text()
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "\nset -euo pipefail\n" in text
    assert os.access(script, os.X_OK)
    subprocess.run(["bash", "-n", script], check=True, timeout=20)


@pytest.fixture
def checkout(tmp_path):
    """Return a checkout whose set-up does nothing and whose programs tell what they were called with."""
    checkout = tmp_path / "check out"
    programs = checkout / ".venv/bin"
    programs.mkdir(parents=True)
    (checkout / "scripts").mkdir()
    (checkout / ".ci").mkdir()
    for name in ("scripts/test", "scripts/demo", "scripts/check", "scripts/mutate", ".ci/run"):
        (checkout / name).write_bytes((PROJECT / name).read_bytes())
        (checkout / name).chmod(0o755)
    echo = '#!/bin/sh\necho "$(basename "$0") $*"\n'
    for name in ("python", "depositd", "ruff", "mypy", "lint-imports", "shellcheck"):
        (programs / name).write_text(echo)
        (programs / name).chmod(0o755)
    (checkout / "scripts/setup").write_text("#!/bin/sh\n")
    (checkout / "scripts/setup").chmod(0o755)
    return checkout


def run(script, *arguments, expect=0):
    outcome = subprocess.run(
        [script, *arguments],
        cwd="/",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome.returncode == expect, outcome.stdout + outcome.stderr
    return outcome.stdout.splitlines()


def test_test_and_demo_forward_their_arguments(checkout):
    (line,) = run(checkout / "scripts/test", "-k", "two words")
    assert line.startswith("python -m pytest -n auto")
    assert line.endswith(" -k two words")
    assert run(checkout / "scripts/demo", "--fast") == ["depositd demo --fast"]


def test_ci_checks_then_tests_with_real_data_where_there_is_some(checkout):
    *checks, test = run(checkout / ".ci/run")
    assert [line.split()[0] for line in checks][:6] == ["ruff", "ruff", "mypy", "mypy", "mypy", "lint-imports"]
    assert "--real-data" not in test
    (checkout.parent / "shared/data").mkdir(parents=True)
    assert run(checkout / ".ci/run")[-1].endswith(" --real-data=../shared/data")


def test_check_shows_all_failures_and_then_fails(checkout):
    (checkout / ".venv/bin/mypy").write_text("#!/bin/sh\nexit 1\n")
    lines = run(checkout / "scripts/check", expect=1)
    assert any(line.startswith("lint-imports") for line in lines)
    run(checkout / ".ci/run", expect=1)
