"""Packed files that outlived the journal that knew them: kept apart, for one may be the only copy of its dataset.

Their numbers are those of a lost journal, and another one gives the same numbers to other datasets.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from datetime import UTC, datetime

from depositd.archive.spool import dataset_directory, discard_unfinished, spooled_datasets
from depositd.portable import replace


@dataclass(frozen=True, slots=True)
class Survivors:
    """Where packed files were put, how many, and their bytes."""

    directory: str
    files: int
    size_bytes: int


def set_survivors_aside(spool: str, keep: set[str], now: datetime) -> Survivors | None:
    """Move whole packed files that are not in ``keep`` out of the datasets' directories; None where there are none.

    What was begun is removed: its source is there, or it could not have been finished.  Raises OSError.
    """
    stamp = now.astimezone(UTC).strftime("%Y%m%dT%H%M%SZ")
    target = os.path.join(spool, f"set-aside-{stamp}")
    kept = {os.path.realpath(path) for path in keep}
    files = size_bytes = 0
    for number in spooled_datasets(spool):
        discard_unfinished(spool, number)
        directory = dataset_directory(spool, number)
        with contextlib.suppress(FileNotFoundError), os.scandir(directory) as entries:
            found = [entry for entry in entries if entry.is_file(follow_symlinks=False)]
            for entry in found:
                if os.path.realpath(entry.path) in kept:
                    continue
                place = os.path.join(target, f"dataset-{number}")
                os.makedirs(place, mode=0o700, exist_ok=True)
                size_bytes += entry.stat(follow_symlinks=False).st_size
                replace(entry.path, os.path.join(place, entry.name))
                files += 1
        with contextlib.suppress(OSError):
            os.rmdir(directory)  # fails, as it should, where anything is left
    return Survivors(target, files, size_bytes) if files else None
