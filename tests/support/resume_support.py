"""Archives that are begun, cut off and gone on with."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from archive_support import MIB, noise, plan_for, write_tree

from depositd.archive import PackPlan, PackTools, follow, pack
from depositd.archive.framelog import LOG_SUFFIX, Recorded, Start, read_log
from depositd.archive.part import PART_SUFFIX
from depositd.model import Archive

PART = "archive" + PART_SUFFIX
LOG = PART + LOG_SUFFIX

#: around every border there is: of a block of the tar, and of the least and the greatest frame
SIZES = (0, 1, 511, 512, 4 * MIB - 1, 4 * MIB, 8 * MIB - 1536, 8 * MIB, 8 * MIB + 1, 20 * MIB)
_SOME = noise(MIB // 4, 7)


class Stopped(Exception):
    """The daemon is told to stop."""


def content(size_bytes: int, seed: int) -> bytes:
    """Return bytes of which zstd makes little, and quickly."""
    start = seed * 131 % len(_SOME)
    return (_SOME[start:] + _SOME * (size_bytes // len(_SOME) + 1))[:size_bytes]


def write_members(root: Path, sizes: tuple[int, ...], first: int = 0) -> None:
    """Write files that sort as they are numbered."""
    write_tree(root, {f"{number:03}.cbf": content(size, number) for number, size in enumerate(sizes, first)})


def resumable(root: Path, **changes: Any) -> PackPlan:
    """Return a plan whose unfinished archive stays."""
    level = 0 if changes.get("compression") == "none" else 1
    return plan_for(root, **{"level": level, "keep_part": True, "part_name": "archive", **changes})


def stop_at(at_bytes: int) -> Callable[[int, int], None]:
    """Return a *progress* that stops once so many bytes were read."""

    def progress(done: int, _total: int) -> None:
        if done >= at_bytes:
            raise Stopped

    return progress


def cut_off(step: Callable[..., object], plan: PackPlan, spool: Path, at_bytes: int) -> None:
    """Take a step that is stopped somewhere; what is smaller ends by itself."""
    with contextlib.suppress(Stopped):
        step(plan, str(spool), PackTools(progress=stop_at(at_bytes)))


def begun(plan: PackPlan, spool: Path) -> Start:
    """Archive what fills frames, as if the dataset still grew; return what is there then."""
    follow(plan, str(spool))
    return start_of(spool)


def recorded_in(spool: Path) -> Recorded:
    recorded = read_log((spool / LOG).read_bytes())
    assert recorded is not None
    return recorded


def start_of(spool: Path) -> Start:
    return Start.behind(recorded_in(spool).frames)


class Reads:
    """Stands in for a rate limit, and counts what is read of the sources."""

    def __init__(self) -> None:
        self.count_bytes = 0

    def take(self, count: int, waiting: Callable[[], None]) -> None:
        self.count_bytes += count


def gone_on_with(plan: PackPlan, spool: Path, tmp_path: Path, **tools: Any) -> int:
    """Pack in a spool where something lies already, and prove that the archive is the one made at once.

    Return the bytes of the sources that were read.
    """
    reads = Reads()
    archive = pack(plan, str(spool), PackTools(read_limit=reads, **tools))
    at_once = pack(replace(plan, keep_part=False), str(tmp_path / "at once"))
    assert_same(archive, at_once)
    assert [entry.name for entry in spool.iterdir()] == [plan.file_name]
    return reads.count_bytes


def assert_same(archive: Archive, at_once: Archive) -> None:
    assert replace(archive, path=at_once.path) == at_once
    assert Path(archive.path).read_bytes() == Path(at_once.path).read_bytes()


def some_sizes(chance: random.Random, most: int = 6) -> tuple[int, ...]:
    return tuple(chance.choice(SIZES) for _ in range(chance.randint(1, most)))


def peak_mib() -> int:
    """Return the most memory that this process ever had, and not, as getrusage does, what its parent had before."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
