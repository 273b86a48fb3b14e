"""Some room on the journal's disk that is kept for the facts under way: a file that is given up when the disk is full.

A fact that cannot be written is not lost, but it has to be asked for again; so the room for it is there before the
work begins.  What is not archived or sent yet waits until the ballast is back (:attr:`Ballast.is_held`).
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from depositd.portable import fsync
from depositd.units import printable, show_size

FILE_NAME = "ballast"
SIZE_BYTES = 8 << 20
"""What the journal grows by until its write-ahead log is folded into it, and as much again."""
LOW_BYTES = 1 << 20
"""Where less is free than this, the ballast is given up; where it is gone already, nothing more is begun."""
_PIECE_BYTES = 1 << 20


def free_bytes(directory: str) -> int:
    """Return what is free for us on the disk of a directory; raises OSError."""
    return shutil.disk_usage(directory).free


class Ballast:
    """The ballast of one state directory; not safe between threads by itself.

    ``free`` says how many bytes are free on the disk of a directory, and ``fill`` gives the file's content.
    """

    def __init__(
        self,
        state_dir: Path,
        *,
        size_bytes: int = SIZE_BYTES,
        free: Callable[[str], int] = free_bytes,
        fill: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.path = state_dir / FILE_NAME
        self.size_bytes = size_bytes
        self._directory = str(state_dir)
        self._free = free
        self._fill = fill
        self.is_held = self._is_there()

    @property
    def free_bytes(self) -> int:
        """What is free beside it; as much as nobody lacks where the disk cannot be asked."""
        try:
            return self._free(self._directory)
        except OSError:
            return self.wanted_bytes

    @property
    def wanted_bytes(self) -> int:
        """What must be free for it to be made: as much again stays free, or it would be given up at once."""
        return 2 * self.size_bytes

    @property
    def is_exhausted(self) -> bool:
        """True where the ballast is gone and even the room that it left."""
        return not self.is_held and self.free_bytes < LOW_BYTES

    def make(self) -> bool:
        """Make the ballast where there is room for twice its size; say whether it is there."""
        if self.is_held or self.free_bytes < self.wanted_bytes:
            return self.is_held
        try:
            self._write()
        except OSError:
            self.give_up()
        else:
            self.is_held = True
        return self.is_held

    def _write(self) -> None:
        # Not posix_fallocate, and not zeros: file systems that compress or copy on write would keep no room for either.
        with open(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.writelines(
                self._fill(min(_PIECE_BYTES, self.size_bytes - at)) for at in range(0, self.size_bytes, _PIECE_BYTES)
            )
            file.flush()
            fsync(file.fileno())

    def give_up(self) -> bool:
        """Free the room; say whether there was any."""
        had_any, self.is_held = self.is_held, False
        with suppress(OSError):
            self.path.unlink()
        return had_any

    def spend_when_low(self) -> None:
        """Give it up where hardly anything is free: asked before each transaction, it costs some microseconds."""
        if self.is_held and self.free_bytes < LOW_BYTES:
            self.give_up()

    def shortage(self) -> str | None:
        """Return the sentence that says why nothing new is begun, None while the ballast is there."""
        if self.is_held:
            return None
        where = printable(self._directory)
        nothing = "nothing is archived or sent" if self.is_exhausted else "nothing is archived"
        return (
            f"the journal's disk is almost full: {show_size(self.free_bytes)} are free in {where},"
            f" and {nothing} until {show_size(self.wanted_bytes)} are"
        )

    def _is_there(self) -> bool:
        try:
            return self.path.stat().st_size == self.size_bytes
        except OSError:
            return False
