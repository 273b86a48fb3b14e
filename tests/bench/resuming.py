"""An archive that goes on after kill -9 at 90 %, beside one from scratch."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

from bench import data
from bench.contests import pack_plan, pack_series, tools_for
from bench.figures import time_beside
from bench.measuring import Contestant, Run, hold, run_here
from bench.report import Results
from depositd.archive import pack

MOST_RATIO = 0.25
KILLED_AT = 0.9
FORMAT = "frames"
_NOTES = (
    "a process packs and is killed as soon as 90 % of the source are read; another one goes on with what that left,",
    "which it first reads back and compares",
)


def measure(source: Path, directory: Path, rounds: int) -> Results:
    """Pack a series after another process was killed while it packed it, and from scratch."""
    contestants = [
        Contestant("resumed", partial(_resumed, source, directory / "resumed")),
        Contestant("from scratch", partial(_from_scratch, source, directory / "scratch")),
    ]
    size_bytes = data.total_bytes(data.files_below(source))
    contest = hold("archive after kill -9 at 90 %", size_bytes, "B", contestants, rounds, _NOTES)
    figure = time_beside(contest, contest.title, "from scratch", MOST_RATIO)
    return Results((contest,), (figure,))


def _resumed(source: Path, spool: Path) -> Run:
    shutil.rmtree(spool, ignore_errors=True)
    killed = subprocess.run([sys.executable, "-P", "-m", "bench.resuming", str(source), str(spool)], check=False)
    assert killed.returncode == -signal.SIGKILL, f"the packing ended with {killed.returncode} instead of being killed"
    return run_here(partial(pack_series, source, spool, FORMAT))


def _from_scratch(source: Path, spool: Path) -> Run:
    shutil.rmtree(spool, ignore_errors=True)
    return run_here(partial(pack_series, source, spool, FORMAT))


def main() -> None:
    """Pack, and be killed at 90 %."""
    source, spool = Path(sys.argv[1]), sys.argv[2]
    pack(pack_plan(source), spool, replace(tools_for(FORMAT), progress=_die_late))


def _die_late(done_bytes: int, total_bytes: int) -> None:
    if done_bytes >= KILLED_AT * total_bytes:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    main()
