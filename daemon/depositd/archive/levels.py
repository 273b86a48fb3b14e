"""The zstd level that brings a dataset to its server soonest.

Theory of operation
-------------------
Pieces of the archive's first frame are compressed at a few levels by the encoder that will do the work.  From each
measurement follows how long the whole dataset takes:

    total = time to archive + packed size / upload rate
    time to archive = plain size times the greatest of
        the one thread that hashes the tar                 (MD5 cannot be divided)
        compression and proof, divided among the workers   (the proof: decompressed and hashed again)
        all work on a byte, divided among the cores        (hashing needs cores as well)

Level 1 is measured first.  Quicker levels follow while quicker compression would make the archive sooner, then slower
ones, until one takes so long that no saving by the next could make up for it, or until measuring has cost its share of
the total.  Processor time is measured, not time on the wall, since other threads are busy; it is noisy all the same,
so level 1 is left only for a clear advantage.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import zstandard

from depositd.archive.encoders import ZstdEncoder
from depositd.portable import usable_cores
from depositd.units import show_count, show_duration, show_size

ASSUMED_UPLOAD_BYTES_PER_S = 110e6
"""What an undisturbed gigabit link carries; stands in where nothing was sent lately."""

USUAL_LEVEL = 1
STORING_LEVEL = -7
"""Writes raw blocks where nothing repeats."""

_QUICKER = (-1, -3, -5, -7)
_SLOWER = (2, 3, 5, 7, 9, 12, 15, 19)
_KNOWN_INCOMPRESSIBLE_AT = 3
_INCOMPRESSIBLE_RATIO = 0.99

_TOO_SMALL_BYTES = 32 << 20
_PIECE_BYTES = 1 << 20
_PIECES = 3
_MORE_THAN_ONE_FROM_S = 0.2
_RUNS = 2
_REPEATED_BELOW_S = 0.02  # for each piece
_SHORTEST_S = 1e-9
_SHOWN_FROM_S = 0.05

_MEASURING_SHARE = 0.02
_MEASURING_MOST_S = 1.0
_SLOWER_LEVEL_COSTS = 2.0
_SLOWER_LEVEL_SAVES = 0.2
_CLEAR_SHARE_OF_TOTAL = 0.01  # the pieces are not the whole dataset
_CLEAR_SHARE_OF_ARCHIVE = 0.05  # speeds are noisy, ratios are not
_CONTEXTS_MOST_BYTES = 64 << 20

# about what one core with SHA extensions (AMD EPYC, 2020s) does
_HASHING_BYTES_PER_S = 600e6
_HASHING_S = 2.3e-9  # MD5 and SHA-256 of one byte, plain or packed
_PROVING_S = 1.7e-9  # decompression and SHA-256 of one plain byte


@dataclass(frozen=True, slots=True)
class Choice:
    """A level, and one sentence with numbers that says why."""

    level: int
    why: str


@dataclass(frozen=True, slots=True)
class Measurement:
    """What one level made of the pieces: the share of their size that is left, and bytes per second of one core."""

    level: int
    ratio: float
    bytes_per_s: float
    cost_s: float
    """Processor seconds that measuring took."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is known of the way of a dataset: its size, the threads for it, and the rate of the upload."""

    size_bytes: int
    workers: int
    cores: int
    upload_bytes_per_s: float
    assumed: bool = False

    def archive_s(self, found: Measurement) -> float:
        """Return the seconds until the archive is made."""
        return self.size_bytes * _archive_s_per_byte(self, 1 / found.bytes_per_s, found.ratio)

    def quickest_archive_s(self) -> float:
        """Return the seconds below which no compression, were it free, makes an archive."""
        return self.size_bytes * _archive_s_per_byte(self, 0, 0)

    def send_s(self, found: Measurement) -> float:
        """Return the seconds of the upload."""
        return self.size_bytes * found.ratio / self.upload_bytes_per_s

    def total_s(self, found: Measurement) -> float:
        """Return the seconds until the dataset is at the server."""
        return self.archive_s(found) + self.send_s(found)

    def clear_s(self, found: Measurement) -> float:
        """Return the seconds that another level has to be ahead of ``found`` to be sure that it is."""
        return _CLEAR_SHARE_OF_TOTAL * self.total_s(found) + _CLEAR_SHARE_OF_ARCHIVE * self.archive_s(found)

    def soonest(self, measured: Iterable[Measurement]) -> Measurement:
        """Return the level that brings the dataset to the server first."""
        return min(measured, key=self.total_s)


def _archive_s_per_byte(job: Job, compressing_s: float, ratio: float) -> float:
    worker_s = compressing_s + _PROVING_S
    core_s = worker_s + _HASHING_S * (1 + ratio)
    return max(1 / _HASHING_BYTES_PER_S, worker_s / job.workers, core_s / job.cores)


def choose(
    sample: memoryview,
    *,
    size_bytes: int,
    upload_rate_bytes_per_s: float | None,
    workers: int,
    timer: Callable[[], float] = time.thread_time,
) -> Choice:
    """Return the zstd level that brings a dataset to the server soonest.

    ``sample`` is the first frame of its tar, ``size_bytes`` the plain size of all files known so far.  Where nothing
    was sent lately (None), :data:`ASSUMED_UPLOAD_BYTES_PER_S` stands in.  ``timer`` returns processor seconds.
    """
    if size_bytes < _TOO_SMALL_BYTES:
        size = show_size(size_bytes)
        return Choice(USUAL_LEVEL, f"zstd level {USUAL_LEVEL}: {size} is too small to be worth measuring")
    if not sample:
        return Choice(USUAL_LEVEL, f"zstd level {USUAL_LEVEL}: there was nothing to measure yet")
    known_rate = upload_rate_bytes_per_s if upload_rate_bytes_per_s and upload_rate_bytes_per_s > 0 else None
    job = Job(
        size_bytes=size_bytes,
        workers=workers,
        cores=usable_cores(),
        upload_bytes_per_s=known_rate or ASSUMED_UPLOAD_BYTES_PER_S,
        assumed=known_rate is None,
    )
    least_s = job.quickest_archive_s() + size_bytes / job.upload_bytes_per_s / 2
    pieces = pieces_of(sample, _PIECES if _MEASURING_SHARE * least_s >= _MORE_THAN_ONE_FROM_S else 1)
    return decide(job, explore(job, lambda level: measure(level, pieces, timer)))


def pieces_of(sample: memoryview, most: int) -> list[memoryview]:
    """Return pieces out of the midst of the equal parts of a frame; a small frame is one piece."""
    count = min(len(sample) // _PIECE_BYTES, most)
    if not count:
        return [sample]
    room = len(sample) // count
    return [sample[index * room + (room - _PIECE_BYTES) // 2 :][:_PIECE_BYTES] for index in range(count)]


def measure(level: int, pieces: Sequence[memoryview], timer: Callable[[], float]) -> Measurement:
    """Compress the pieces at ``level``; each piece's best of a few runs counts, where these are short."""
    encoder = ZstdEncoder(level)
    best_s = [math.inf] * len(pieces)
    packed_bytes, cost_s, runs = 0, 0.0, 0
    while not runs or (runs < _RUNS and cost_s < _REPEATED_BELOW_S * len(pieces)):
        packed_bytes, runs = 0, runs + 1
        for index, piece in enumerate(pieces):
            begun_s = timer()
            packed_bytes += len(encoder.encode(piece))
            took_s = max(timer() - begun_s, _SHORTEST_S)
            best_s[index] = min(best_s[index], took_s)
            cost_s += took_s
    plain_bytes = sum(map(len, pieces))
    return Measurement(level, packed_bytes / plain_bytes, plain_bytes / sum(best_s), cost_s)


def explore(job: Job, measure_level: Callable[[int], Measurement]) -> list[Measurement]:
    """Return the measurements that can matter for ``job``, the usual level's first."""
    measured = [measure_level(USUAL_LEVEL)]
    for level in _QUICKER:
        latest = measured[-1]
        to_be_gained_s = job.archive_s(latest) - job.quickest_archive_s()
        if to_be_gained_s < job.clear_s(latest) or not _affordable(job, measured, latest.cost_s):
            break
        measured.append(measure_level(level))
    latest = measured[0]
    for level in _SLOWER:
        if not (_may_win(job, measured, latest) and _affordable(job, measured, _SLOWER_LEVEL_COSTS * latest.cost_s)):
            break
        if latest.level >= _KNOWN_INCOMPRESSIBLE_AT and incompressible(measured):
            break
        if job.workers * context_bytes(level) > _CONTEXTS_MOST_BYTES:
            break
        latest = measure_level(level)
        measured.append(latest)
    return measured


def _may_win(job: Job, measured: Sequence[Measurement], latest: Measurement) -> bool:
    """Tell whether a level slower than the latest could still be the soonest."""
    best = job.soonest(measured)
    return job.archive_s(latest) + (1 - _SLOWER_LEVEL_SAVES) * job.send_s(best) < job.total_s(best)


def _affordable(job: Job, measured: Sequence[Measurement], cost_s: float) -> bool:
    """Tell whether measuring, with ``cost_s`` more, still costs little of the time that the dataset takes."""
    allowed_s = min(_MEASURING_SHARE * job.total_s(job.soonest(measured)), _MEASURING_MOST_S)
    return sum(found.cost_s for found in measured) + cost_s <= allowed_s


def context_bytes(level: int) -> int:
    """Return the memory that one compressing thread needs for its tables."""
    return int(zstandard.ZstdCompressionParameters.from_level(level).estimated_compression_context_size())


def incompressible(measured: Iterable[Measurement]) -> bool:
    """Tell whether no level makes anything smaller that is worth the name."""
    return all(found.ratio > _INCOMPRESSIBLE_RATIO for found in measured)


def decide(job: Job, measured: Sequence[Measurement]) -> Choice:
    """Return the choice that measurements, the usual level's first, lead to."""
    if incompressible(measured):
        saved = max(1 - min(found.ratio for found in measured), 0)
        return Choice(STORING_LEVEL, f"incompressible (the best level would save {_percent(saved)}): stored")
    usual, best = measured[0], job.soonest(measured)
    if job.total_s(usual) - job.total_s(best) < job.clear_s(usual):
        best = usual
    return Choice(best.level, _sentence(job, measured, best))


def _sentence(job: Job, measured: Sequence[Measurement], chosen: Measurement) -> str:
    packed = show_size(job.size_bytes * chosen.ratio)
    rate = f"{'an assumed ' if job.assumed else ''}{show_size(job.upload_bytes_per_s)}/s"
    cores = min(job.workers, job.cores)
    sentence = (
        f"zstd level {chosen.level}: {_percent(chosen.ratio)} of the size at "
        f"{show_size(chosen.bytes_per_s * cores)}/s on {show_count(cores, 'core')}; "
        f"{show_duration(job.archive_s(chosen))} to archive and {show_duration(job.send_s(chosen))} to send "
        f"{packed} at {rate}"
    )
    others = [found for found in measured if found is not chosen]
    nearest = [
        *sorted((found for found in others if found.level > chosen.level), key=lambda found: found.level)[:1],
        *sorted((found for found in others if found.level < chosen.level), key=lambda found: -found.level)[:1],
    ]
    compared = ", ".join(_compared(found, job.total_s(found) - job.total_s(chosen)) for found in nearest)
    return f"{sentence}; {compared}" if compared else sentence


def _compared(found: Measurement, later_s: float) -> str:
    if abs(later_s) < _SHOWN_FROM_S:
        return f"level {found.level} would take as long"
    if later_s >= 0:
        return f"level {found.level} would take {show_duration(later_s)} longer"
    return f"level {found.level} perhaps {show_duration(-later_s)} less"  # too little to be sure of


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"
