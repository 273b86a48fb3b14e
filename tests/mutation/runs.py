"""Runs mutmut on one module, in a copy of the project."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from mutation.survivors import Change, change_of
from mutation.targets import Target

PROJECT = Path(__file__).parents[2]
# a mutant that does not come to an end was noticed
_NOTICED = frozenset({"killed", "timeout"})
_SETTINGS = """
[tool.mutmut]
source_paths = ["depositd"]
only_mutate = ["depositd/{path}"]
also_copy = ["daemon"]
pytest_add_cli_args = ["-p", "no:cacheprovider", "--hypothesis-profile=steady"]
pytest_add_cli_args_test_selection = [{tests}]
use_git_change_detection = false
track_dependencies = false
"""


class MutmutFailed(Exception):
    """Mutmut itself did not get through."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How many mutants there were of a module, and what those change that no test noticed."""

    mutants: int
    survivors: tuple[Change, ...]

    @property
    def killed(self) -> int:
        return self.mutants - len(self.survivors)


def run(module: str, target: Target, jobs: int) -> Outcome:
    """Mutate one module in a copy of the project and return what came of it; raises MutmutFailed."""
    with tempfile.TemporaryDirectory(prefix=f"depositd-mutate-{module}-") as directory:
        copy = Path(directory)
        _copy_project(copy, target)
        with (copy / "log").open("wb") as log:
            arguments = [sys.executable, "-m", "mutmut", "run", "--max-children", str(jobs)]
            ended = subprocess.run(arguments, cwd=copy, stdout=log, stderr=subprocess.STDOUT, check=False)
        if ended.returncode:
            said = (copy / "log").read_text(encoding="utf-8", errors="replace")
            raise MutmutFailed(f"mutmut ended with {ended.returncode} on {target.path}:\n{said[-4000:]}")
        told = [line.strip().rpartition(": ") for line in _mutmut(copy, "results", "--all", "True").splitlines()]
        states = {mutant: state for mutant, _, state in told if "__mutmut_" in mutant}
        if strange := Counter(states.values()).keys() - _NOTICED - {"survived", "no tests"}:
            raise MutmutFailed(f"mutmut has not judged every mutant of {target.path}: some are {', '.join(strange)}")
        alive = [mutant for mutant, state in states.items() if state not in _NOTICED]
        changes = tuple(change_of(module, mutant, _mutmut(copy, "show", mutant)) for mutant in alive)
    return Outcome(len(states), changes)


def _copy_project(copy: Path, target: Target) -> None:
    """Lay the package out as mutmut expects it: importable from where it runs."""
    without = shutil.ignore_patterns("__pycache__", "e2e")
    shutil.copytree(PROJECT / "daemon" / "depositd", copy / "depositd", ignore=without)
    shutil.copytree(PROJECT / "tests", copy / "tests", ignore=without)
    (copy / "daemon").mkdir()
    shutil.copy(PROJECT / "daemon" / "README.md", copy / "daemon")
    tests = ", ".join(f'"tests/{test}"' for test in target.tests)
    settings = (PROJECT / "pyproject.toml").read_text(encoding="utf-8")
    settings += _SETTINGS.format(path=target.path, tests=tests)
    (copy / "pyproject.toml").write_text(settings, encoding="utf-8")


def _mutmut(copy: Path, *arguments: str) -> str:
    ended = subprocess.run([sys.executable, "-m", "mutmut", *arguments], cwd=copy, capture_output=True, check=True)
    return ended.stdout.decode()
