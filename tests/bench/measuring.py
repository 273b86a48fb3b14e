"""One run of something, and several things run in turn."""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Run:
    """What one run took: seconds by the clock, and seconds of all processors together."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work.

    ``run`` does it once and says what it took; ``result_bytes`` says how large the outcome of the last run was, where
    there is one.
    """

    name: str
    run: Callable[[], Run]
    result_bytes: Callable[[], int] | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """How one contestant did: medians, the best and worst time, and the work done in each second."""

    name: str
    wall_s: float
    fastest_s: float
    slowest_s: float
    cpu_s: float
    per_s: float
    result_bytes: int | None
    runs: tuple[Run, ...]


@dataclass(frozen=True, slots=True)
class Contest:
    """Contestants that did the same ``amount`` of work in turn; the first of the standings is depositd."""

    title: str
    amount: int
    unit: str
    standings: tuple[Standing, ...]
    notes: tuple[str, ...] = ()
    load_average: tuple[float, float] = field(default=(0.0, 0.0))

    def ratio(self, standing: Standing) -> float:
        """Return how many times as fast depositd is as ``standing``."""
        return self.standings[0].per_s / standing.per_s


def hold(
    title: str, amount: int, unit: str, contestants: Sequence[Contestant], rounds: int, notes: Sequence[str] = ()
) -> Contest:
    """Let contestants take turns, one warm-up round and then ``rounds`` that count."""
    load_before = os.getloadavg()[0]
    runs: dict[str, list[Run]] = {contestant.name: [] for contestant in contestants}
    sizes: dict[str, int] = {}
    for number in range(rounds + 1):
        for contestant in contestants:
            run = contestant.run()
            if number:
                runs[contestant.name].append(run)
            if contestant.result_bytes is not None:
                sizes[contestant.name] = contestant.result_bytes()
    standings = tuple(_standing(name, amount, sizes.get(name), tuple(runs[name])) for name in runs)
    return Contest(title, amount, unit, standings, tuple(notes), (load_before, os.getloadavg()[0]))


def _standing(name: str, amount: int, result_bytes: int | None, runs: tuple[Run, ...]) -> Standing:
    walls = [run.wall_s for run in runs]
    wall_s = statistics.median(walls)
    cpu_s = statistics.median(run.cpu_s for run in runs)
    return Standing(name, wall_s, min(walls), max(walls), cpu_s, amount / wall_s, result_bytes, runs)


def run_here(work: Callable[[], object]) -> Run:
    """Do ``work`` in this process, with all its threads."""
    cpu_before_s, wall_before_s = time.process_time(), time.perf_counter()
    work()
    return Run(time.perf_counter() - wall_before_s, time.process_time() - cpu_before_s)


def run_command(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Run:
    """Run a program to its end, with all that it starts; raises CalledProcessError where it fails."""
    before = os.times()
    wall_before_s = time.perf_counter()
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, env=environment)
    wall_s = time.perf_counter() - wall_before_s
    after = os.times()
    cpu_s = after.children_user - before.children_user + after.children_system - before.children_system
    return Run(wall_s, cpu_s)


def memory_bytes(what: str = "VmHWM", pid: int | str = "self") -> int:
    """Return the most memory that a process ever held, or what it holds now (``VmRSS``).

    ``ru_maxrss`` would begin with that of the process that started it.
    """
    found = re.search(rf"^{what}:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
