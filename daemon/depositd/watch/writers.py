"""Whether a program on this machine holds a file open for writing (the fourth rung of the ladder of evidence).

A read lease (``fcntl(2)``, F_SETLEASE) is refused while any process of this machine has the file open for writing.
It is given back at once.  Writers on other machines cannot be seen, and only the file's owner or root may ask: an
answer "no" or "unknown" proves nothing, an answer "yes" does.
"""

from __future__ import annotations

import os

from depositd import portable


def prepare() -> None:
    """Make asking safe; call it once in the main thread."""
    portable.prepare_to_ask_for_writers()


def open_for_writing(path: str) -> bool | None:
    """Say whether a writer on this machine has a file open, None where that cannot be asked."""
    if not portable.can_ask_for_writers():
        return None
    try:
        descriptor = portable.open_to_read(path)
    except OSError:
        return None
    try:
        return portable.has_writer(descriptor)
    finally:
        os.close(descriptor)
