"""What is asked of a journal of many datasets that ended long ago: what is due, and how things stand."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench import daemons, large
from bench.figures import Figure
from bench.measuring import Run, run_command
from depositd.journal import FILE_NAME, Journal

MOST_STATUS_MS = 300.0
MOST_DUE_MS = 5.0
_AT_ONCE = 10


def measure(directory: Path, datasets: int, unsettled: int, rounds: int) -> list[Figure]:
    """Time the command ``status`` and all that a tick of the daemon asks, beside ``datasets``.

    All but ``unsettled`` of them were delivered to two destinations.
    """
    source = directory / "data"
    source.mkdir()
    config = daemons.write_config(directory, [source], format="file")
    journal = directory / "state" / FILE_NAME
    large.build(journal, datasets, unsettled, datetime.now(UTC))
    title = f"{datasets:,} datasets, {unsettled:,} of them not ended"
    status = _fastest(config, rounds, "status")
    document = _fastest(config, 1, "status", "--json")
    help_text = _fastest(config, rounds, "status", "--help")
    return [
        Figure(
            f"{title}: depositd status",
            1000 * status.wall_s,
            "ms",
            most=MOST_STATUS_MS,
            details=f"the whole command, {1000 * status.cpu_s:.0f} ms of a core, fastest of {rounds};"
            f" its --help takes {1000 * help_text.wall_s:.0f} ms",
        ),
        Figure(f"{title}: depositd status --json", document.wall_s, "s", details="every dataset, as lines come"),
        Figure(
            f"{title}: what is due", _due_ms(journal, rounds), "ms", most=MOST_DUE_MS, details="all that a tick asks"
        ),
    ]


def _fastest(config: Path, times: int, *command: str) -> Run:
    whole = [sys.executable, "-P", "-m", "depositd", "--config", str(config), *command]
    return min((run_command(whole) for _ in range(times)), key=lambda run: run.wall_s)


def _due_ms(path: Path, times: int) -> float:
    with closing(Journal(path)) as journal:
        return min(_timed_ms(lambda: _ask(journal, datetime.now(UTC))) for _ in range(times))


def _ask(journal: Journal, now: datetime) -> None:
    for destination in large.DESTINATIONS:
        assert journal.deliveries.sends_due(now, destination, _AT_ONCE) or destination != large.DESTINATIONS[0]
        journal.deliveries.asks_due(now, destination, _AT_ONCE)
        journal.results.is_due(destination, now)
    journal.datasets.packable(now, _AT_ONCE)
    journal.deliveries.can_progress(())
    journal.datasets.growing()


def _timed_ms(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return 1000 * (time.perf_counter() - began_s)
