"""The spool: one directory for each dataset, with what was packed of it, and nothing else.

Only directories that carry the spool's own kind of name are ever cleaned, so that a spool that was put beside
other data by mistake destroys none of it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Container

from depositd.archive.framelog import LOG_SUFFIX
from depositd.archive.part import PART_SUFFIX
from depositd.model import Archive
from depositd.moments import Moment, reached

_UNFINISHED = (PART_SUFFIX, PART_SUFFIX + LOG_SUFFIX)
_DATASET_DIRECTORY = re.compile(r"depositd-[0-9]+")


def dataset_directory(spool: str, dataset_id: int) -> str:
    """Return the directory of a dataset's packed files: the only kind that :func:`sweep_orphans` looks into."""
    return os.path.join(spool, f"depositd-{dataset_id}")


def written_bytes(spool: str, dataset_id: int, *, unfinished: bool = False) -> int:
    """Return what lies in a dataset's directory, all of it or of unfinished archives alone; 0 where there is none."""
    suffix = PART_SUFFIX if unfinished else ""
    total = 0
    with contextlib.suppress(FileNotFoundError), os.scandir(dataset_directory(spool, dataset_id)) as entries:
        for entry in entries:
            if entry.name.endswith(suffix):
                with contextlib.suppress(FileNotFoundError):  # it was given its name, or removed, in this instant
                    total += entry.stat(follow_symlinks=False).st_size
    return total


def spooled_datasets(spool: str) -> list[int]:
    """Return the numbers of the datasets that have a directory in the spool; none where there is no spool yet."""
    return [_number_of(path) for path in _dataset_directories(spool)]


def discard_unfinished(spool: str, dataset_id: int) -> list[str]:
    """Remove what was begun of a dataset's archives, and its directory with it; return the paths removed."""
    directory = dataset_directory(spool, dataset_id)
    removed = []
    with contextlib.suppress(FileNotFoundError):
        with os.scandir(directory) as entries:
            removed = sorted(entry.path for entry in entries if entry.name.endswith(_UNFINISHED))
        for path in removed:
            os.unlink(path)
        _remove_if_empty(directory)
    return removed


def discard(archive: Archive) -> None:
    """Remove a packed file, and its dataset's directory with the last one; what is gone already is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(archive.path)
    reached(Moment.ARCHIVE_REMOVED, archive.path)
    directory = os.path.dirname(archive.path)
    if _DATASET_DIRECTORY.fullmatch(os.path.basename(directory)):
        _remove_if_empty(directory)


def sweep_orphans(spool: str, keep: set[str], unfinished: Container[int] = frozenset()) -> list[str]:
    """Remove what nobody needs and return the paths removed, sorted.

    Everything in the datasets' own directories that is not a file of ``keep`` goes: packed files that the journal never
    heard of, and what was left of archives that were not finished, save of the datasets ``unfinished``.  Links are
    removed, never followed; directories inside are left alone.  A spool that is not there yet holds no orphans.  Raises
    OSError where the spool cannot be read.
    """
    kept = _identities(keep)
    removed = []
    for directory in _dataset_directories(spool):
        with os.scandir(directory) as entries:
            orphans = [
                entry.path
                for entry in entries
                if not entry.is_dir(follow_symlinks=False)
                and _identity(entry.stat(follow_symlinks=False)) not in kept
                and not (entry.name.endswith(_UNFINISHED) and _number_of(directory) in unfinished)
            ]
        for path in orphans:
            os.unlink(path)
            removed.append(path)
        _remove_if_empty(directory)
    return sorted(removed)


def _identities(paths: set[str]) -> set[tuple[int, int]]:
    """Return what the paths lead to; a spool that is now spelled otherwise must not lose what it keeps."""
    identities = set()
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            identities.add(_identity(os.lstat(path)))
    return identities


def _identity(now: os.stat_result) -> tuple[int, int]:
    return now.st_dev, now.st_ino


def _dataset_directories(spool: str) -> list[str]:
    try:
        with os.scandir(spool) as entries:
            return [
                entry.path
                for entry in entries
                if _DATASET_DIRECTORY.fullmatch(entry.name) and entry.is_dir(follow_symlinks=False)
            ]
    except FileNotFoundError:
        return []


def _number_of(directory: str) -> int:
    return int(os.path.basename(directory).rpartition("-")[2])


def _remove_if_empty(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # fails, as it should, where anything is left
