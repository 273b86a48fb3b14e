"""Starts depositd with something in its way, for tests that run it as a service: ``launch_hindered DIRECTORY ...``.

The other arguments are depositd's.  Files in DIRECTORY say what hinders it:

``budgets``   seconds that each worker may be silent, instead of what production allows
``hang``      the worker that hangs at its next turn: deliverer, archiver, watcher or loop; removed when it does
``sweep``     while it is there, sweeps do not come to an end, but move
``pack``      while it is there, archives come to their middle and no further, but move
"""

from __future__ import annotations

import dataclasses
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from depositd.archive import PackTools
from depositd.cli import main
from depositd.destinations.directory import DirectoryDestination
from depositd.engine import packing
from depositd.engine.watching import SourceWatcher
from depositd.service import crew, daemon, sources

HERE = Path(sys.argv.pop(1))
POLL_S = 0.05


def shorten(budget_s: float) -> None:
    """Let every worker be silent for so many seconds at most."""
    daemon.LOOP_BUDGET_S = sources.WATCH_BUDGET_S = crew.PACK_BUDGET_S = crew.DELIVER_BUDGET_S = budget_s


def hangs(worker: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Return work that never ends once it is that worker's turn to hang."""

    def does(*arguments: Any, **named: Any) -> Any:
        asked = HERE / "hang"
        try:
            if asked.read_text(encoding="utf-8") == worker:
                asked.unlink()
                a_hook_that_blocks()
        except FileNotFoundError:
            pass
        return work(*arguments, **named)

    return does


def a_hook_that_blocks() -> None:
    """Wait for a lock that nobody gives back."""
    lock = threading.Lock()
    with lock:
        lock.acquire()


def held_up(file: str, moved: Callable[[], None]) -> None:
    """Wait while a file is there, and give signs of life."""
    while (HERE / file).exists():
        moved()
        time.sleep(POLL_S)


sweep, pack = SourceWatcher._sweep, packing.pack


def slow_sweep(self: SourceWatcher) -> None:
    held_up("sweep", self._hands.moved)
    sweep(self)


def slow_pack(plan: Any, directory: str, tools: PackTools) -> Any:
    progress = tools.progress

    def moved(done_bytes: int, total_bytes: int) -> None:
        progress(done_bytes, total_bytes)
        if done_bytes > total_bytes // 2:
            held_up("pack", lambda: progress(done_bytes, total_bytes))

    return pack(plan, directory, dataclasses.replace(tools, progress=moved))


SourceWatcher._sweep = slow_sweep
SourceWatcher.turn = hangs("watcher", SourceWatcher.turn)
DirectoryDestination.step = hangs("deliverer", DirectoryDestination.step)
packing.pack = hangs("archiver", slow_pack)
crew.Crew.dispatch = hangs("loop", crew.Crew.dispatch)
sources.START_PATIENCE_S = 2.0

if (HERE / "budgets").exists():
    shorten(float((HERE / "budgets").read_text(encoding="utf-8")))

if __name__ == "__main__":
    main()
