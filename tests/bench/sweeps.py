"""Sweeps of large trees beside find, and the memory that they take.

Each sweep has a process of its own, because a first sweep is one that finds no memory to use again.  It sets the
garbage collector as the daemon does, and measures itself without the start of Python.
"""

from __future__ import annotations

import gc
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from bench.daemons import parsed_rule
from bench.figures import Figure
from bench.measuring import Contest, Contestant, Run, hold, memory_bytes, run_command, run_here
from bench.report import Results
from depositd.engine.observing import Observer
from depositd.service.daemon import COLLECT_SELDOM
from depositd.units import show_count
from depositd.watch.memory import SURE_S, Memory
from depositd.watch.sweep import Walk

MOST_FIRST_RATIO = 2.0
MOST_UNCHANGED_RATIO = 0.3
MOST_ABOVE_IDLE_BYTES = 150_000_000
FIRST, JUDGED, UNCHANGED = "first", "judged", "unchanged"
_TITLES = {
    FIRST: "first sweep",
    JUDGED: "first sweep, grouped and judged",
    UNCHANGED: "sweep, nothing changed",
}
_MOST_RATIOS = {FIRST: MOST_FIRST_RATIO, UNCHANGED: MOST_UNCHANGED_RATIO}


def measure(tree: Path, files: int, shape: str, rounds: int) -> Results:
    """Measure each kind of sweep of a tree that the kernel's cache holds; ``shape`` says what the tree looks like."""
    found = Results()
    for kind in _TITLES:
        found += _measure(kind, tree, files, shape, rounds)
    return found


def _measure(kind: str, tree: Path, files: int, shape: str, rounds: int) -> Results:
    above_idle_bytes: list[int] = []
    ours = Contestant("depositd", partial(_sweep_elsewhere, kind, tree, files, above_idle_bytes))
    command = ["find", str(tree), "-type", "f", "-printf", "%s %T@ %p\n"]
    find = Contestant("find -type f -printf '%s %T@ %p\\n'", partial(run_command, command))
    contest = hold(f"{_TITLES[kind]}, {shape}", files, "files", [ours, find], rounds)
    title = f"{_TITLES[kind]}: {files:,} files in {shape}"
    figures = [_ratio(title, contest, _MOST_RATIOS.get(kind))]
    if kind != UNCHANGED:
        most_bytes = max(above_idle_bytes)
        figures.append(Figure(f"{title}, memory above idle", most_bytes, "B", most=MOST_ABOVE_IDLE_BYTES))
    return Results((contest,), tuple(figures))


def _ratio(title: str, contest: Contest, most: float | None) -> Figure:
    ours, find = contest.standings
    details = f"medians: {ours.wall_s:.3f} s, find {find.wall_s:.3f} s"
    return Figure(title, ours.wall_s / find.wall_s, "x find", most=most, details=details)


def _sweep_elsewhere(kind: str, tree: Path, files: int, above_idle_bytes: list[int]) -> Run:
    command = [sys.executable, "-P", "-m", "bench.sweeps", kind, str(tree)]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    expected = 0 if kind == UNCHANGED else files
    assert said["files"] == expected, f"the sweep showed {said['files']:,} files, {expected:,} were expected"
    above_idle_bytes.append(said["above_idle_bytes"])
    return Run(said["wall_s"], said["cpu_s"])


# --- in a process of its own ------------------------------------------------------------------------------------


def main() -> None:
    """Sweep a tree in one way and print, as JSON, what that took."""
    kind, root = sys.argv[1:]
    gc.set_threshold(*COLLECT_SELDOM)
    observer = Observer(root, [parsed_rule(root, format="auto")])
    before_bytes = memory_bytes()
    ticks = itertools.count()
    memory = Memory(Walk(root, observer.claims, observer.prunes, _raise), lambda: next(ticks) * SURE_S)
    if kind == UNCHANGED:
        for _ in range(2):  # times are trusted once they have stayed
            for listing in memory.sweep(thorough=False):
                memory.rest(listing.directory)
    seen: list[int] = []
    work = partial(_judge if kind == JUDGED else _sweep, memory, observer, seen.append, thorough=kind != UNCHANGED)
    run = run_here(work)
    found = {"files": sum(seen), "above_idle_bytes": memory_bytes() - before_bytes}
    json.dump({**found, "wall_s": run.wall_s, "cpu_s": run.cpu_s}, sys.stdout)


def _sweep(memory: Memory, _observer: Observer, saw: Callable[[int], None], *, thorough: bool) -> None:
    for listing in memory.sweep(thorough=thorough):
        saw(len(listing.files))


def _judge(memory: Memory, observer: Observer, saw: Callable[[int], None], *, thorough: bool) -> None:
    now = datetime.now(UTC)
    for listing in memory.sweep(thorough=thorough):
        judged = observer.look(listing, now, 0.0)
        saw(sum(len(one.sighting.dataset.files) for one in judged))


def shape_of(files: int, per_directory: int) -> str:
    """Return what a tree looks like, in words."""
    return f"{show_count(-(-files // per_directory), 'directory', 'directories')} of {min(files, per_directory):,}"


def _raise(directory: str, error: OSError) -> None:
    raise error


if __name__ == "__main__":
    main()
