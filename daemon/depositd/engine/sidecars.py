"""Sidecar files: metadata that somebody wrote beside a dataset."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field

from depositd.config import Rule, parse_sidecar
from depositd.model import Dataset, Metadata
from depositd.units import printable

LONGEST_BYTES = 64 * 1024
"""A sidecar is a few lines; anything longer is a mistake and is not read."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a dataset's sidecars say; ``problem`` is a sentence where one cannot be used."""

    values: Metadata = field(default_factory=dict)
    problem: str | None = None


def sidecar_paths(root: str, dataset: Dataset, rule: Rule) -> list[str]:
    """Return where sidecars may lie, the more specific one last (it wins)."""
    name = rule.metadata.sidecar
    if not name:
        return []
    tree = dataset.path if dataset.path != dataset.directory and dataset.top == dataset.path else None
    relative = [f"{tree}/{name}"] if tree else [_join(dataset.directory, name)]
    relative.append(_join(dataset.directory, f"{dataset.name}.{name}"))
    return [f"{root}/{path}" for path in relative]


def read_sidecars(paths: list[str], read: Callable[[str], bytes | None]) -> Sidecar:
    """Merge the sidecars that exist; a bad one is a problem, never ignored."""
    values: Metadata = {}
    for path in paths:
        shown = printable(os.path.basename(path))
        try:
            text = read(path)
            if text is not None:
                values.update(parse_sidecar(text))
        except (OSError, ValueError) as error:
            return Sidecar(values, f"the sidecar {shown} cannot be used: {printable(str(error), 300)}")
    return Sidecar(values)


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
        if status.st_size > LONGEST_BYTES:
            raise ValueError(f"{status.st_size:,} bytes, at most {LONGEST_BYTES:,} are read")
        return file.read(LONGEST_BYTES + 1)


def _join(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name
