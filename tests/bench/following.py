"""An archive that was followed while its series grew, beside the same archive made afterwards."""

from __future__ import annotations

import shutil
import time
from functools import partial
from pathlib import Path

from bench import data
from bench.contests import pack_plan, tools_for
from bench.figures import time_beside
from bench.measuring import Contestant, Run, hold
from bench.replay import replay
from bench.report import Results
from depositd.archive import PackTools, Workshop, follow, pack

MOST_RATIO = 0.15
FORMAT = "frames"
_NOTES = (
    "from the moment at which the last frame is closed to the archive, hashed, verified and on disk; the series is",
    "written at 60 MB/s by another process; both archives have the same bytes",
)


def measure(source: Path, directory: Path, rounds: int) -> Results:
    """Follow a series that is written at a detector's pace, and pack it once more when it is there."""
    live, spool = directory / "live" / source.name, directory / "spool"
    with Workshop() as workshop:
        tools = PackTools(content_check=tools_for(FORMAT).content_check, workshop=workshop)
        contestants = [
            Contestant("followed", partial(_followed, source, live, spool / "followed", tools)),
            Contestant("made afterwards", partial(_afterwards, live, spool / "afterwards", tools)),
        ]
        size_bytes = data.total_bytes(data.files_below(source))
        contest = hold("last frame to archive", size_bytes, "B", contestants, rounds, _NOTES)
    name = f"{source.name}.tar.zst"
    assert (spool / "followed" / name).read_bytes() == (spool / "afterwards" / name).read_bytes(), "the bytes differ"
    figure = time_beside(contest, "last frame to archive, followed", "the same made afterwards", MOST_RATIO)
    return Results((contest,), (figure,))


def _followed(source: Path, live: Path, spool: Path, tools: PackTools) -> Run:
    for directory in (live, spool):
        shutil.rmtree(directory, ignore_errors=True)
    ended_at = replay(source, live, partial(_follow, live, spool, tools))
    cpu_before_s = time.process_time()
    pack(pack_plan(live), str(spool), tools)
    return Run(time.time() - ended_at, time.process_time() - cpu_before_s)


def _follow(live: Path, spool: Path, tools: PackTools) -> None:
    """Pack what is closed: a frame is, as soon as there is the next one."""
    closed = data.files_below(live)[:-1]
    if closed:
        follow(pack_plan(live, closed), str(spool), tools)


def _afterwards(live: Path, spool: Path, tools: PackTools) -> Run:
    shutil.rmtree(spool, ignore_errors=True)
    began_s, cpu_before_s = time.perf_counter(), time.process_time()
    pack(pack_plan(live), str(spool), tools)
    return Run(time.perf_counter() - began_s, time.process_time() - cpu_before_s)
