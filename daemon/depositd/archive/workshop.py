"""What all archives that are made at the same time share: threads that compress, and the memory for their frames."""

from __future__ import annotations

import functools
import os
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self

from depositd import portable
from depositd.archive.lanes import ASK_EVERY_S

FRAME_MOST_BYTES = 8 << 20
_FRAMES_BESIDE_WORKERS = 4
"""One that is filled, one that is hashed, one that is written and one that is read back."""
_MAPPED_FROM_BYTES = 1 << 20


class Workshop:
    """``workers`` threads that compress and prove frames, and as many frames of memory as keep them busy.

    The frames are what bounds the memory: whoever reads a source waits until one is free.  Each frame that is full
    comes back by itself, so archives that share a workshop cannot wait for each other without end; a reader holds
    one alone.
    """

    def __init__(self, workers: int | None = None, *, still_wanted: Callable[[], None] = lambda: None) -> None:
        """Make the threads, one for each processor unless told otherwise; raises ValueError below one.

        ``still_wanted`` is asked four times a second by whoever waits for them, and raises to end that.
        """
        self.workers = portable.usable_cores() if workers is None else workers
        if self.workers < 1:
            raise ValueError(f"{self.workers} workers cannot pack anything (1 or more can)")
        _map_large_memory()
        self.still_wanted = still_wanted
        self._left: dict[str, tuple[int, ...]] = {}
        self.pool = ThreadPoolExecutor(self.workers, thread_name_prefix="archive-worker")
        self._free: queue.LifoQueue[bytearray | None] = queue.LifoQueue()
        for _ in range(self.workers + _FRAMES_BESIDE_WORKERS):
            self._free.put(None)  # memory that was not needed yet

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def take_frame(self) -> bytearray:
        """Return memory for a frame, waiting until there is some; the last one given back comes first.

        Raises what ``still_wanted`` raises.
        """
        while True:
            try:
                return self._free.get(timeout=ASK_EVERY_S) or bytearray(FRAME_MOST_BYTES)
            except queue.Empty:
                self.still_wanted()

    def give_back(self, frame: bytearray) -> None:
        """Take memory back that nobody looks at any more."""
        self._free.put(frame)

    def trust(self, path: str) -> None:
        """Remember a file as it is now: it was written here, and read back."""
        self._left[path] = _stamp(path)

    def trusts(self, path: str) -> bool:
        """Say whether a file is what it was when it was left here, and need not be read again."""
        left = self._left.pop(path, ())
        return bool(left) and left == _stamp(path)

    def close(self, *, wait: bool = True) -> None:
        """End the threads, and ``wait`` for what they are at."""
        self.pool.shutdown(wait=wait, cancel_futures=True)


@functools.cache
def _map_large_memory() -> None:
    """Have the memory of packed frames given back to the system once it is not needed, for the whole process.

    By itself glibc does so until the first of them is free; from then on it keeps blocks of that size in the heaps of
    the threads, in pieces of which each next frame needs a larger one.
    """
    portable.return_large_memory(_MAPPED_FROM_BYTES)


def _stamp(path: str) -> tuple[int, ...]:
    try:
        now = os.lstat(path)
    except OSError:
        return ()
    return now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns
