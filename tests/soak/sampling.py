"""What the daemon holds, every few seconds: read from /proc, so that looking changes nothing."""

from __future__ import annotations

import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_ANSWERS_WITHIN_S = 10.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at one process; ``datasets`` is how many had been written until then.

    ``web_s`` is how long ``/healthz`` took, None where it did not answer.
    """

    at_s: float
    pid: int
    rss_bytes: int
    pss_bytes: int
    descriptors: int
    threads: int
    children: int
    cpu_s: float
    journal_bytes: int
    spool_bytes: int
    log_bytes: int
    datasets: int
    web_s: float | None


def sample(pid: int, *, at_s: float, journal: Path, spool: Path, log: Path, datasets: int, port: int) -> Sample | None:
    """Look at a process; None where it has just ended."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return Sample(
            at_s=at_s,
            pid=pid,
            rss_bytes=_memory(pid, "status", "VmRSS"),
            pss_bytes=_memory(pid, "smaps_rollup", "Pss"),
            descriptors=len(os.listdir(f"/proc/{pid}/fd")),
            threads=int(fields[17]),
            children=sum(1 for _ in _children(pid)),
            cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,
            journal_bytes=sum(_size(file) for file in journal.parent.glob(f"{journal.name}*")),
            spool_bytes=sum(_size(file) for file in _files(spool)),
            log_bytes=_size(log),
            datasets=datasets,
            web_s=answer_time_s(port),
        )
    except (FileNotFoundError, ProcessLookupError, IndexError):
        return None


def _memory(pid: int, file: str, what: str) -> int:
    for line in Path(f"/proc/{pid}/{file}").read_text().splitlines():
        if line.startswith(f"{what}:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)  # a process that ended and was not yet waited for has no memory


def _children(pid: int) -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError, IndexError):
                fields = Path(f"/proc/{entry}/stat").read_text().rpartition(")")[2].split()
                if int(fields[1]) == pid:
                    yield int(entry)


def _files(directory: Path) -> Iterator[Path]:
    # what is looked at may be removed in this instant
    with suppress(FileNotFoundError):
        for entry in directory.iterdir():
            if entry.is_dir():
                yield from _files(entry)
            else:
                yield entry


def _size(file: Path) -> int:
    with suppress(FileNotFoundError):
        return file.stat().st_size
    return 0


def answer_time_s(port: int) -> float | None:
    """Return how long ``/healthz`` takes, None where nobody answers."""
    began_s = time.monotonic()
    with suppress(OSError, urllib.error.URLError):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=_ANSWERS_WITHIN_S) as answer:
            answer.read()
        return time.monotonic() - began_s
    return None
