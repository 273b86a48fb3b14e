"""The whole way of a dataset, from its last frame to ``submitted``: the real daemon beside what a person would type."""

from __future__ import annotations

import shlex
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from bench import daemons, data, sink
from bench.contests import CURL
from bench.figures import speed_beside
from bench.measuring import Contestant, Run, hold, run_command
from bench.replay import replay
from bench.report import Results
from depositd.journal import Journal
from depositd.model import DeliveryState

LEAST_RATIO = 5.0
SETTLE_S = 2.0
_PDB_CODE = "1ABC"
_WITHIN_S = 600.0
_ASKED_EVERY_S = 0.01
_STUCK = {DeliveryState.HELD, DeliveryState.FAILED}
_NOTES = (
    "from the moment at which the last frame is closed; depositd's settle of 2 s is taken off, and it follows the",
    "series, which another process writes at 60 MB/s; by hand, the three commands start then, on the same files;",
    "the server is the sink on loopback for both, and answers with the MD5 of what it was sent",
)
_BY_HAND = """
{tar}
token=$({curl} --form dataset_file=@{target} {url}upload/ | sed 's/.*"token": "\\([0-9a-f]*\\)".*/\\1/')
{curl} --header 'Content-Type: application/json' --data '{{"token": "'$token'", "pdb_code": "{pdb_code}"}}' {url}submit/
"""


@dataclass(frozen=True, slots=True)
class _Site:
    """A daemon that watches a directory, and the server that it sends to."""

    daemon: daemons.Daemon
    data: Path
    url: str

    def submitted(self, number: int) -> float:
        """Wait until so many datasets are submitted; return when that was, by the wall clock."""
        deadline_s = time.monotonic() + _WITHIN_S
        with closing(Journal(self.daemon.journal, read_only=True)) as journal:
            while time.monotonic() < deadline_s:
                counts = journal.deliveries.counts()
                if counts.get(DeliveryState.SUBMITTED, 0) >= number:
                    return time.time()
                if not _STUCK.isdisjoint(counts):
                    break
                time.sleep(_ASKED_EVERY_S)
        raise RuntimeError(f"not submitted within {_WITHIN_S:.0f} s: {self.daemon.status()['datasets']}")


def measure(source: Path, directory: Path, rounds: int) -> Results:
    """Let a detector write a series again and again for a daemon, and send it by hand in between."""
    size_bytes = data.total_bytes(data.files_below(source))
    with _running(directory, format="frames", expect={"frames": len(data.files_below(source))}) as site:
        numbers = count(1)
        contestants = [
            Contestant("depositd", lambda: _ours(site, source, next(numbers))),
            Contestant(
                "tar -I zstd, curl -F, curl submit", partial(_by_hand, site, source, directory / "hand.tar.zst")
            ),
        ]
        contest = hold("last frame to submitted", size_bytes, "B", contestants, rounds, _NOTES)
    figure = speed_beside(contest, LEAST_RATIO)
    return Results((contest,), (figure,))


def once(source: Path, directory: Path) -> tuple[float, int]:
    """Let a daemon send a series that is there at once; return the seconds and the most memory that it held.

    It is taken for a directory of any files: a series whose frames are those of a smaller one again and again is held.
    """
    with _running(directory, format="directory") as site:
        began_at = time.time()
        source.rename(site.data / source.name)
        return site.submitted(1) - began_at, site.daemon.memory_bytes("VmHWM")


@contextmanager
def _running(directory: Path, **rule: Any) -> Iterator[_Site]:
    watched = directory / "data"
    watched.mkdir(parents=True)
    rule |= {"settle": f"{SETTLE_S:g}s", "metadata": {"set": {"pdb_code": _PDB_CODE}}}
    with sink.running(hashing=True) as url:
        config = daemons.write_uploading_config(directory, watched, url, **rule)
        with daemons.running(config) as daemon:
            yield _Site(daemon, watched, url)


def _ours(site: _Site, source: Path, number: int) -> Run:
    ended_at = replay(source, site.data / f"sample_{number:03d}")
    cpu_before_s = site.daemon.cpu_s()
    submitted_at = site.submitted(number)
    return Run(submitted_at - ended_at - SETTLE_S, site.daemon.cpu_s() - cpu_before_s)


def _by_hand(site: _Site, source: Path, target: Path) -> Run:
    target.unlink(missing_ok=True)
    tar = ["tar", "-I", "zstd", "-cf", str(target), "-C", str(source.parent), source.name]
    quoted = {"tar": shlex.join(tar), "curl": shlex.join(CURL), "target": shlex.quote(str(target)), "url": site.url}
    return run_command(["sh", "-euc", _BY_HAND.format(**quoted, pdb_code=_PDB_CODE)])
