"""Reading frames, and judging a series of very many of them while more come."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from bench import data
from bench.daemons import parsed_rule
from bench.detector import SHAPE, Camera
from bench.figures import Figure
from bench.measuring import run_here
from depositd.engine.observing import Judged, Observer
from depositd.formats import FORMATS
from depositd.model import FileStat
from depositd.units import show_size
from depositd.watch.memory import Memory
from depositd.watch.sweep import Walk

LEAST_FRAMES_PER_S = 5000.0
MOST_OF_FIRST_LOOK_PERCENT = 10.0
PILATUS_2M = (1679, 1475)
_TINY_SHAPE = (10, 10)
_NEW = 100
_LOOKS = 60
_MOST_LOOKS = 10_000


# --- reading ----------------------------------------------------------------------------------------------------


def probe(directory: Path, small: int, large: int, rounds: int) -> list[Figure]:
    """Check so many frames of a small and of a large detector in one thread, out of the kernel's cache."""
    return [
        _probe(directory / "small", SHAPE, small, rounds),
        _probe(directory / "large", PILATUS_2M, large, rounds),
    ]


def _probe(directory: Path, shape: tuple[int, int], count: int, rounds: int) -> Figure:
    directory.mkdir()
    Camera(shape).write(directory, 1, count)
    files = data.files_below(directory)
    walls_s = [run_here(lambda: _check(directory, files)).wall_s for _ in range(rounds + 1)][1:]
    shutil.rmtree(directory)
    details = f"{count:,} different files, median of {rounds}; without MD5, which is checked while archiving"
    title = f"header and whole-frame check, miniCBF of {show_size(data.total_bytes(files) / count)}"
    return Figure(title, count / statistics.median(walls_s), "frames/s", least=LEAST_FRAMES_PER_S, details=details)


def _check(directory: Path, files: Sequence[FileStat]) -> None:
    for file in files:
        found = FORMATS["frames"].probe(f"{directory}/{file.path}", file)
        assert found is not None
        assert found.problem is None, found.problem


# --- judging ----------------------------------------------------------------------------------------------------


def judge(directory: Path, frames: int) -> list[Figure]:
    """Look at a series of so many frames for the first time, and then again and again while new ones come."""
    directory.mkdir()
    camera = Camera(_TINY_SHAPE)
    camera.write(directory, 1, frames)
    series = _Series(str(directory))
    first_s = series.look()
    taken_in_s = first_s
    for _ in range(_MOST_LOOKS):
        if series.is_read:
            break
        taken_in_s += series.look()
    assert series.is_read, f"{frames:,} frames were not read in {_MOST_LOOKS:,} looks"
    looks_s = []
    for number in range(_LOOKS):
        camera.write(directory, frames + number * _NEW + 1, frames + (number + 1) * _NEW)
        looks_s.append(series.look())
    assert series.files == frames + _LOOKS * _NEW, f"{series.files:,} of {frames + _LOOKS * _NEW:,} frames were seen"
    median_s, mean_s = statistics.median(looks_s), statistics.mean(looks_s)
    title = f"a look at {frames:,} frames, {_NEW} of them new"
    details = f"median {1000 * median_s:.0f} ms; the first look {first_s:.2f} s, all read and judged {taken_in_s:.2f} s"
    return [
        Figure(title, 100 * median_s / first_s, "% of the first look", MOST_OF_FIRST_LOOK_PERCENT, details=details),
        Figure(
            f"{title}, one a second: share",
            100 * mean_s,
            "% of a core",
            details=f"mean of {_LOOKS}, with judging all of it anew now and then ({max(looks_s):.2f} s)",
        ),
    ]


class _Series:
    """A watched directory with one series, looked at once a second by a clock of its own."""

    def __init__(self, root: str) -> None:
        self._observer = Observer(root, [parsed_rule(root, format="frames", settle="10s")])
        walk = Walk(root, self._observer.claims, self._observer.prunes, _raise)
        self._now_s = 0.0
        self._memory = Memory(walk, lambda: self._now_s)
        self._judged: list[Judged] = []

    def look(self) -> float:
        """Look as the daemon does, a second after the last time; return what it took in seconds."""
        self._now_s += 1.0
        return run_here(self._look).wall_s

    def _look(self) -> None:
        for listing in self._memory.look("", whole=False):
            self._judged = self._observer.look(listing, datetime.now(UTC), self._now_s) or self._judged

    @property
    def files(self) -> int:
        """How many frames the last look saw."""
        return self._memory.files

    @property
    def is_read(self) -> bool:
        """Say whether the last judgement stands on all headers."""
        return bool(self._judged) and all("not read yet" not in one.sighting.verdict.sentence for one in self._judged)


def _raise(directory: str, error: OSError) -> None:
    raise error
