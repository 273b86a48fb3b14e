"""The peak memory of one large archive and upload, each in a process of its own.

The peak is that of /proc/self/status: ``ru_maxrss`` would begin with that of the process that started this one.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.contests import pack_series
from bench.measuring import memory_bytes, run_here
from depositd.destinations.proteindiffraction import Client


@dataclass(frozen=True, slots=True)
class Peak:
    """How much memory a process held at most, and how much of it before its work began (its modules)."""

    title: str
    amount_bytes: int
    before_bytes: int
    peak_bytes: int
    wall_s: float


def of_archive(source: Path, spool: Path, size_bytes: int) -> Peak:
    """Archive a CBF series and say what memory that took."""
    return _measured("archive", size_bytes, str(source), str(spool))


def of_upload(file: Path, url: str) -> Peak:
    """Upload a file and say what memory that took."""
    return _measured("upload", file.stat().st_size, str(file), url)


def _measured(what: str, amount_bytes: int, *arguments: str) -> Peak:
    outcome = subprocess.run(
        [sys.executable, "-P", "-m", "bench.memory", what, *arguments], check=True, stdout=subprocess.PIPE, text=True
    )
    return Peak(title=what, amount_bytes=amount_bytes, **json.loads(outcome.stdout))


def main() -> None:
    """Do one thing and print the memory it took as JSON."""
    what, source, target = sys.argv[1:]
    works: dict[str, Callable[[], object]] = {
        "archive": lambda: pack_series(Path(source), Path(target), "frames"),
        "upload": lambda: Client(target, token="bench").upload(source),
    }
    before_bytes = memory_bytes()
    run = run_here(works[what])
    json.dump({"before_bytes": before_bytes, "peak_bytes": memory_bytes(), "wall_s": run.wall_s}, sys.stdout)


if __name__ == "__main__":
    main()
