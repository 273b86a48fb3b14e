"""What is measured on: series with the counts of a real detector, and a tree of many small files."""

from __future__ import annotations

import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from depositd.model import FileStat
from depositd.simulate.eiger import write_eiger
from depositd.simulate.frames import cbf_frame
from depositd.watch.sweep import file_stat

PILATUS_6M = (2527, 2463)
PILATUS_300K = (619, 487)
EIGER_4M = (2162, 2068)
EIGER_1M = (1062, 1028)

_DATE = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
_LARGE_BYTES = 50_000_000
_EIGER_BYTES_PER_PIXEL = 0.44  # bitshuffle-LZ4 of these counts; only the number of images rests on it
_SMALL_FILE = b"a small file of an instrument's software\n"
FILES_PER_DIRECTORY = 100


def write_cbf_series(directory: Path, size_bytes: int) -> None:
    """Write different frames of a Pilatus, about ``size_bytes`` in all and at least two, on all processors."""
    directory.mkdir(parents=True)
    shape = PILATUS_6M if size_bytes >= _LARGE_BYTES else PILATUS_300K
    count = max(round(size_bytes / (shape[0] * shape[1])), 2)
    # a fresh interpreter for each: a copy of this one would share its threads' locks
    with ProcessPoolExecutor(min(os.cpu_count() or 1, count, 8), mp_context=get_context("spawn")) as pool:
        list(pool.map(partial(_write_frame, directory, shape), range(1, count + 1), chunksize=max(count // 32, 1)))


def _write_frame(directory: Path, shape: tuple[int, int], number: int) -> None:
    content = cbf_frame(number, date=_DATE, shape=shape, detector="PILATUS 6M, S/N 60-0001")
    (directory / f"lyso_1_{number:05d}.cbf").write_bytes(content)


def write_eiger_series(directory: Path, size_bytes: int) -> None:
    """Write a master and data files of 20 images each, about ``size_bytes`` in all."""
    directory.mkdir(parents=True)
    shape = EIGER_4M if size_bytes >= _LARGE_BYTES else EIGER_1M
    images = max(round(size_bytes / (shape[0] * shape[1] * _EIGER_BYTES_PER_PIXEL)), 2)
    write_eiger(directory, "thau_2", images=images, images_per_file=20, shape=shape)


def link_series(source: Path, directory: Path, size_bytes: int) -> None:
    """Make a series of at least ``size_bytes`` out of the frames of a smaller one, without writing them again."""
    directory.mkdir(parents=True)
    frames = sorted(source.iterdir())
    count = -(-size_bytes * len(frames) // total_bytes(files_below(source)))
    for number, frame in enumerate(islice(cycle(frames), count), start=1):
        os.link(frame, directory / f"long_1_{number:05d}{frame.suffix}")


def write_tree(directory: Path, files: int, per_directory: int) -> None:
    """Write ``files`` small files, ``per_directory`` in each directory, two levels deep, named as one series each."""
    for number in range(files):
        below, index = divmod(number, per_directory)
        path = directory / f"visit_{below // 50:03d}" / f"sample_{below:05d}" / f"lyso_1_{index + 1:05d}.cbf"
        if index == 0:
            path.parent.mkdir(parents=True)
        path.write_bytes(_SMALL_FILE)


def write_noise(path: Path, size_bytes: int) -> None:
    """Write a file that does not compress."""
    block_bytes = 1 << 20
    with path.open("wb") as file:
        for _ in range(size_bytes // block_bytes):
            file.write(os.urandom(block_bytes))
        file.write(os.urandom(size_bytes % block_bytes))


def files_below(directory: Path) -> tuple[FileStat, ...]:
    """Return the files of a flat directory as a look at it would."""
    with os.scandir(directory) as entries:
        return tuple(file_stat(entry.name, entry.stat(follow_symlinks=False)) for entry in entries)


def total_bytes(files: Iterable[FileStat]) -> int:
    """Return the sum of the sizes."""
    return sum(file.size_bytes for file in files)
