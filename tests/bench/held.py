"""What deliveries that are held for months cost: a tick of the daemon's loop with none of them, and with many."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench import daemons
from bench.figures import Figure
from bench.journals import remember
from depositd.config import load_config
from depositd.journal import FILE_NAME, Fact, Journal
from depositd.model import HoldKind, VerdictKind
from depositd.service.daemon import Daemon, Options
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor, configure_logging

MOST_TICK_RATIO = 1.5
MOST_TICK_MS = 2.0
MOST_HOUSEKEEPING_MS = 50.0
TICKS = 200
_WHY = "pdb_code is missing, or project_title, project_authors and the equipment"


def measure(directory: Path, held: int) -> list[Figure]:
    """Time the loop's tick and its housekeeping beside no delivery, and beside ``held`` held ones of two kinds.

    Half of their datasets are archived and lack metadata; the others are gapped, and nobody has released them.
    """
    configure_logging(level="warning")
    without, with_held = (_measured(directory / str(count), count) for count in (0, held))
    title = f"{held:,} held deliveries"
    return [
        Figure(
            f"{title}: a tick takes",
            with_held.tick_ms / without.tick_ms,
            "x as long",
            most=MOST_TICK_RATIO,
            details=f"{with_held.tick_ms:.3f} ms, and {without.tick_ms:.3f} ms without them; fastest of {TICKS} each",
        ),
        Figure(f"{title}: a tick", with_held.tick_ms, "ms", most=MOST_TICK_MS),
        Figure(
            f"{title}: housekeeping, twice a minute",
            with_held.housekeeping_ms,
            "ms",
            most=MOST_HOUSEKEEPING_MS,
            details=f"{without.housekeeping_ms:.3f} ms without them",
        ),
    ]


class _Times:
    """How long the steps of one daemon's loop take, in milliseconds: the fastest of many, for the rest is noise."""

    def __init__(self, daemon: Daemon) -> None:
        self.tick_ms = _fastest_ms(lambda: _tick(daemon), TICKS)
        self.housekeeping_ms = _fastest_ms(daemon._keep_house, max(TICKS // 10, 1))


def _measured(directory: Path, held: int) -> _Times:
    directory.mkdir(parents=True)
    source = directory / "data"
    source.mkdir()
    config = load_config(daemons.write_config(directory, [source], format="file"))
    with closing(Journal(directory / "state" / FILE_NAME)) as journal:
        _hold_many(journal, held)
        daemon = Daemon(config, journal, NoSupervisor(), Options(until_idle=True))
        try:
            return _Times(daemon)
        finally:
            daemon._shut_down()


def _tick(daemon: Daemon) -> None:
    daemon._crew.dispatch(datetime.now(UTC))
    assert daemon._is_idle(), "something is due: this measures nothing"


def _fastest_ms(work: Callable[[], object], times: int) -> float:
    best_s = float("inf")
    for _ in range(times):
        began_s = time.perf_counter()
        work()
        best_s = min(best_s, time.perf_counter() - began_s)
    return 1000 * best_s


def _hold_many(journal: Journal, count: int) -> None:
    now = datetime.now(UTC)
    lacking = Fact(DeliveryEvent.HOLD, _WHY, "depositd release --set", hold=HoldKind.METADATA)
    gapped = Fact(DeliveryEvent.HOLD, "gapped: 3 of 5 frames", "depositd release", hold=HoldKind.INCOMPLETE)
    with journal.together():
        for number in range(count):
            verdict, fact = (VerdictKind.GAPPED, gapped) if number % 2 else (VerdictKind.COMPLETE, lacking)
            remember(journal, number, verdict, fact, now)
