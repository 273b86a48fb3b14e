"""What is measured on: series with the counts of a real detector, and a tree of many small files.

Pictures are the simulator's (``depositd.simulate.images``): Poisson counts around the scattering of air and water,
spots, gaps, dead pixels, no two alike.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from functools import partial
from itertools import cycle, islice
from multiprocessing import get_context
from pathlib import Path

from depositd.model import Archive, Block, FileStat, Packing
from depositd.simulate.eiger import EigerWriter
from depositd.simulate.frames import cbf_frame
from depositd.watch.sweep import file_stat

PILATUS_6M = (2527, 2463)
PILATUS_300K = (619, 487)
EIGER_4M = (2162, 2068)
EIGER_1M = (1062, 1028)

FAINT, BRIGHT = 1.0, 4.0
"""Exposures of an Eiger, 5 and 20 photons a pixel and image.

The first is the simulator's own estimate, of which zstd gains 3 to 10 % over all levels; the second is where it gains
2 to 5 %, as was measured on an Eiger's data elsewhere.  The ratios depend on that, so both are shown.
"""
FILES_PER_DIRECTORY = 100

_DATE = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
_LARGE_BYTES = 50_000_000
_EIGER_BYTES_PER_PIXEL = {FAINT: 0.46, BRIGHT: 0.62}  # bitshuffle-LZ4; only the number of images rests on it
_IMAGES_PER_FILE = 20
_BLOCK_BYTES = 8 << 20
_SMALL_FILE = b"a small file of an instrument's software\n"


class Shelf:
    """The series that several parts measure, each written when the first of them asks for it."""

    def __init__(self, directory: Path, size_bytes: int, eiger_bytes: int) -> None:
        self._directory = directory
        self._size_bytes = size_bytes
        self._eiger_bytes = eiger_bytes

    def cbf(self) -> Path:
        """Return the directory of a series of a Pilatus."""
        return self._written("lyso_1", lambda path: write_cbf_series(path, self._size_bytes))

    def eiger(self, exposure: float) -> Path:
        """Return the directory of a series of an Eiger."""
        return self._written(f"thau_{exposure:g}", lambda path: write_eiger_series(path, self._eiger_bytes, exposure))

    def clear(self, directory: Path) -> None:
        """Remove a series that nobody needs any more."""
        shutil.rmtree(directory)

    def _written(self, name: str, write: Callable[[Path], None]) -> Path:
        if not (self._directory / name).exists():
            write(self._directory / name)
        return self._directory / name


def write_cbf_series(directory: Path, size_bytes: int) -> None:
    """Write different frames of a Pilatus, about ``size_bytes`` in all and at least two, on all processors."""
    directory.mkdir(parents=True)
    shape = PILATUS_6M if size_bytes >= _LARGE_BYTES else PILATUS_300K
    count = max(round(size_bytes / (shape[0] * shape[1])), 2)
    _in_processes(partial(_write_frame, directory, shape), range(1, count + 1))


def _write_frame(directory: Path, shape: tuple[int, int], number: int) -> None:
    content = cbf_frame(number, date=_DATE, shape=shape, detector="PILATUS 6M, S/N 60-0001")
    (directory / f"lyso_1_{number:05d}.cbf").write_bytes(content)


def write_eiger_series(directory: Path, size_bytes: int, exposure: float = FAINT) -> None:
    """Write a master and data files of 20 images each, about ``size_bytes`` in all, on all processors."""
    directory.mkdir(parents=True)
    shape = EIGER_4M if size_bytes >= _LARGE_BYTES else EIGER_1M
    images = max(round(size_bytes / (shape[0] * shape[1] * _EIGER_BYTES_PER_PIXEL[exposure])), 2)
    writer = _eiger(directory, shape, images, exposure)
    writer.arm()
    _in_processes(partial(_write_data_file, directory, shape, images, exposure), range(1, writer.files + 1))


def _write_data_file(directory: Path, shape: tuple[int, int], images: int, exposure: float, number: int) -> None:
    writer = _eiger(directory, shape, images, exposure)
    first = (number - 1) * _IMAGES_PER_FILE + 1
    for image in range(first, min(first + _IMAGES_PER_FILE, images + 1)):
        writer.add_image(image)
    writer.close()


def _eiger(directory: Path, shape: tuple[int, int], images: int, exposure: float) -> EigerWriter:
    return EigerWriter(
        directory, "thau_2", images=images, images_per_file=_IMAGES_PER_FILE, shape=shape, exposure=exposure
    )


def _in_processes(write: Callable[[int], None], numbers: range) -> None:
    """Write what belongs to each number, on all processors where that is worth their start."""
    processes = min(os.cpu_count() or 1, len(numbers) // 4, 8)
    if processes < 2:
        for number in numbers:
            write(number)
        return
    # a fresh interpreter for each: a copy of this one would share its threads' locks
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        list(pool.map(write, numbers, chunksize=max(len(numbers) // 32, 1)))


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
    """Return the files of a flat directory, by name, as a look at it would."""
    with os.scandir(directory) as entries:
        found = [file_stat(entry.name, entry.stat(follow_symlinks=False)) for entry in entries]
    return tuple(sorted(found, key=lambda file: file.path))


def hashed(file: Path) -> Archive:
    """Return a file as an archive in blocks, of which no more than its SHA-256 is known."""
    digest, blocks = hashlib.sha256(), []
    with file.open("rb", buffering=0) as opened:
        while block := opened.read(_BLOCK_BYTES):
            digest.update(block)
            blocks.append(Block(len(block), hashlib.sha256(block).hexdigest()))
    size_bytes, unknown = file.stat().st_size, "0" * 32
    return Archive(
        str(file), file.name, Packing.ARCHIVE, size_bytes, unknown, unknown, digest.hexdigest(), blocks=tuple(blocks)
    )


def total_bytes(files: Iterable[FileStat]) -> int:
    """Return the sum of the sizes."""
    return sum(file.size_bytes for file in files)
