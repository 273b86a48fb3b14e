"""The real daemon beside a fast detector: what is missed, what watching costs, and how soon the verdict is there."""

from __future__ import annotations

import statistics
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench import daemons, detector
from bench.figures import Figure
from depositd.journal import Journal
from depositd.model import VerdictKind
from depositd.units import show_count, show_size

SETTLE_S = 2.0
MOST_OF_A_CORE_PERCENT = 25.0
MOST_AFTER_SETTLE_S = 2.0
_VERDICTS_WITHIN_S = 120.0
_ASKED_EVERY_S = 0.25


@dataclass(frozen=True, slots=True)
class _Use:
    """What the daemon used: seconds of a processor while frames came, and until the last verdict was there."""

    writing_s: float
    cpu_s: float
    until_verdict_s: float
    cpu_until_verdict_s: float
    peak_bytes: int


def measure(directory: Path, seconds: float, rate_hz: float, series: int) -> list[Figure]:
    """Let a detector write so many series, one after the other, for ``seconds`` in all, while the daemon watches."""
    frames = max(round(seconds * rate_hz / series), 1)
    source = directory / "data"
    source.mkdir(parents=True)
    rule = {"format": "frames", "settle": f"{SETTLE_S:g}s", "expect": {"frames": frames}}
    config = daemons.write_config(directory, [source], **rule)
    with daemons.running(config) as daemon:
        began_cpu_s = daemon.cpu_s()
        acquired = detector.acquire(source, series, frames, rate_hz)
        cpu_s = daemon.cpu_s() - began_cpu_s
        latencies_s = _latencies_s(daemon.journal, acquired)
        use = _Use(
            acquired.duration_s,
            cpu_s,
            time.time() - acquired.began_at,
            daemon.cpu_s() - began_cpu_s,
            daemon.memory_bytes("VmHWM"),
        )
        seen = _complete_files(daemon)
    return _figures(
        f"{show_count(series, 'series', 'series')} of {frames:,} frames", series * frames, seen, use, latencies_s
    )


def _latencies_s(journal_file: Path, acquired: detector.Acquired) -> list[float]:
    """Wait for every verdict; return the seconds from each series' last frame to it."""
    deadline_s = time.monotonic() + _VERDICTS_WITHIN_S
    with closing(Journal(journal_file, read_only=True)) as journal:
        while time.monotonic() < deadline_s:
            records = [journal.datasets.get(number + 1) for number in range(len(acquired.ended_at))]
            found = [
                record.completed_at for record in records if record is not None and record.completed_at is not None
            ]
            if len(found) == len(records):
                ended = sorted(completed_at.timestamp() for completed_at in found)
                return [at - ended_at for at, ended_at in zip(ended, acquired.ended_at, strict=True)]
            time.sleep(_ASKED_EVERY_S)
    return []


def _complete_files(daemon: daemons.Daemon) -> int:
    return sum(one["files"] for one in daemon.status()["datasets"] if one["verdict"] == VerdictKind.COMPLETE)


def _figures(what: str, files: int, seen: int, use: _Use, latencies_s: list[float]) -> list[Figure]:
    rate = f"{files / use.writing_s:,.0f} files/s for {use.writing_s:.0f} s"
    share = 100 * use.cpu_until_verdict_s / use.until_verdict_s
    memory = show_size(use.peak_bytes)
    cost = f"{share:.1f} % until the last verdict; the daemon held {memory} at most"
    latency = max(latencies_s, default=_VERDICTS_WITHIN_S)
    usual = f"median {statistics.median(latencies_s):.2f} s" if latencies_s else "some verdict never came"
    return [
        Figure(f"{what}: missed", files - seen, "files", most=0, details=f"{files:,} files, {rate}"),
        Figure(
            f"{what}: the daemon's share",
            100 * use.cpu_s / use.writing_s,
            "% of a core",
            most=MOST_OF_A_CORE_PERCENT,
            details=cost,
        ),
        Figure(
            f"{what}: last close to verdict",
            latency,
            "s",
            most=SETTLE_S + MOST_AFTER_SETTLE_S,
            details=f"settle {SETTLE_S:g} s, {usual}",
        ),
    ]
