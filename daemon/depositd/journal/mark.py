"""How far the journal was written, in a small file of its own beside it.

SQLite cannot tell a journal from an older copy of it, nor from itself without the write-ahead log that somebody
removed: both are sound, and both have forgotten sends.

So the number of the history's last line is also noted here after each transaction; a journal that ends before it is not
the one that was written.  The file is not forced to the disk: it outlives the process, and after a power cut it can
only say too little.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import IO

DIGITS = 20


class Mark:
    """The mark of one journal; not safe between threads by itself."""

    def __init__(self, journal: Path) -> None:
        self.path = mark_path(journal)
        self._file: IO[bytes] | None = None
        self._noted = -1

    def read(self) -> int:
        """Return the number that was noted last, 0 where there is none."""
        try:
            return int(self.path.read_bytes()[:DIGITS])
        except (OSError, ValueError):
            return 0

    def note(self, last_line: int) -> None:
        """Note the last line of the history; where that cannot be, less is known, and nothing else is wrong."""
        if last_line == self._noted:
            return
        with suppress(OSError):
            if self._file is None:
                self._file = self._opened()
            self._file.seek(0)
            self._file.write(b"%0*d\n" % (DIGITS, last_line))
            self._noted = last_line

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> IO[bytes]:
        self.path.touch(mode=0o600)
        return self.path.open("r+b", buffering=0)


def mark_path(journal: Path) -> Path:
    """Return where the mark of a journal lies."""
    return journal.with_name(f"{journal.name}.mark")
