"""The peak memory of one large archive and upload, each in a process of its own, and of a daemon that does both.

The peak is that of /proc/PID/status: ``ru_maxrss`` would begin with that of the process that started this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench import data, sink, whole
from bench.contests import pack_series
from bench.figures import Figure
from bench.measuring import memory_bytes, run_here
from depositd.destinations.proteindiffraction import Client
from depositd.units import show_size

MOST_BYTES = 250_000_000
ARCHIVE, UPLOAD = "archive", "upload"


def of_archive(source: Path, spool: Path) -> Figure:
    """Archive a CBF series and say what memory that took."""
    size_bytes = data.total_bytes(data.files_below(source))
    return _measured(ARCHIVE, size_bytes, str(source), str(spool))


def of_upload(file: Path) -> Figure:
    """Upload a file and say what memory that took."""
    with sink.running() as url:
        return _measured(UPLOAD, file.stat().st_size, str(file), url)


def of_daemon(source: Path, directory: Path) -> Figure:
    """Let a daemon archive and upload a CBF series, and say what memory that took."""
    size_bytes = data.total_bytes(data.files_below(source))
    took_s, peak_bytes = whole.once(source, directory)
    return _figure("archive and upload, whole daemon", size_bytes, peak_bytes, f"{took_s:.0f} s until submitted")


def _measured(what: str, amount_bytes: int, *arguments: str) -> Figure:
    outcome = subprocess.run(
        [sys.executable, "-P", "-m", "bench.memory", what, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    found = json.loads(outcome.stdout)
    details = f"{show_size(found['before_bytes'])} before; {found['wall_s']:.1f} s"
    return _figure(what, amount_bytes, found["peak_bytes"], details)


def _figure(what: str, amount_bytes: int, peak_bytes: int, details: str) -> Figure:
    return Figure(
        f"peak memory, {what} of {show_size(amount_bytes)}", peak_bytes, "B", most=MOST_BYTES, details=details
    )


def main() -> None:
    """Do one thing and print the memory it took as JSON."""
    what, source, target = sys.argv[1:]
    work: Callable[[], object]
    if what == ARCHIVE:
        work = partial(pack_series, Path(source), Path(target), "frames")
    else:
        work = partial(Client(target, token="bench").upload, data.hashed(Path(source)))
    before_bytes = memory_bytes()
    run = run_here(work)
    json.dump({"before_bytes": before_bytes, "peak_bytes": memory_bytes(), "wall_s": run.wall_s}, sys.stdout)


if __name__ == "__main__":
    main()
