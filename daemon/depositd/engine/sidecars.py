"""Sidecar files: metadata that somebody wrote beside a dataset."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from depositd.config import parse_sidecar
from depositd.model import Metadata
from depositd.portable import open_to_read
from depositd.units import printable

LONGEST_BYTES = 64 * 1024
"""A sidecar is a few lines; anything longer is a mistake and is not read."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a dataset's sidecars say; ``problem`` is a sentence where one cannot be used."""

    values: Metadata = field(default_factory=dict)
    problem: str | None = None


NONE = Sidecar()
"""What most datasets have: one value for all of them."""


def read_sidecars(paths: Iterable[str], read: Callable[[str], bytes | None]) -> Sidecar:
    """Merge sidecar files (absolute paths), later ones over earlier; a bad one is a problem, never ignored."""
    values: Metadata = {}
    for path in paths:
        shown = printable(os.path.basename(path))
        try:
            text = read(path)
            if text is not None:
                values.update(parse_sidecar(text))
        except OSError as error:
            return Sidecar(values, f"the sidecar {shown} cannot be read: {_why(error)}")
        except ValueError as error:
            return Sidecar(values, f"the sidecar {shown} cannot be used: {printable(str(error), 300)}")
    return Sidecar(values) if values else NONE


def _why(error: OSError) -> str:
    """Return what keeps a file from being read, in words for whoever laid it there."""
    if error.errno == errno.ELOOP:
        return "it is a symbolic link, which is never followed"
    if error.errno == errno.ENXIO:  # what open says of a socket
        return "it is not a regular file"
    return error.strerror or type(error).__name__


def read_small_file(path: str) -> bytes | None:
    """Return a small regular file's content, None where there is none; raises OSError or ValueError.

    Opened without following links and without blocking: a FIFO must not stop the watch.
    """
    try:
        descriptor = open_to_read(path)
    except FileNotFoundError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_size > LONGEST_BYTES:
            raise ValueError(f"it has {status.st_size:,} bytes, and at most {LONGEST_BYTES:,} are read")
        return file.read(LONGEST_BYTES + 1)
