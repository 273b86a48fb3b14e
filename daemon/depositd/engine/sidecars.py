"""Sidecar files: metadata that somebody wrote beside a dataset."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from depositd.config import parse_sidecar
from depositd.model import Metadata
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
        except (OSError, ValueError) as error:
            return Sidecar(values, f"the sidecar {shown} cannot be used: {printable(str(error), 300)}")
    return Sidecar(values) if values else NONE


def read_small_file(path: str) -> bytes | None:
    """Return a small regular file's content, None where there is none; raises OSError or ValueError.

    Opened without following links and without blocking: a FIFO must not stop the watch.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return None
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError("is not a regular file")
        if status.st_size > LONGEST_BYTES:
            raise ValueError(f"{status.st_size:,} bytes, at most {LONGEST_BYTES:,} are read")
        return file.read(LONGEST_BYTES + 1)
