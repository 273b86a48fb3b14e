"""The spool: one directory for each dataset, with what was packed of it, and nothing else.

Only directories that carry the spool's own kind of name are ever cleaned, so that a spool that was put beside
other data by mistake destroys none of it.
"""

from __future__ import annotations

import contextlib
import os
import re

from depositd.model import Archive

_DATASET_DIRECTORY = re.compile(r"depositd-[0-9]+")


def dataset_directory(spool: str, dataset_id: int) -> str:
    """Return the directory of a dataset's packed files: the only kind that :func:`sweep_orphans` looks into."""
    return os.path.join(spool, f"depositd-{dataset_id}")


def discard(archive: Archive) -> None:
    """Remove a packed file, and its dataset's directory with the last one; what is gone already is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(archive.path)
    directory = os.path.dirname(archive.path)
    if _DATASET_DIRECTORY.fullmatch(os.path.basename(directory)):
        _remove_if_empty(directory)


def sweep_orphans(spool: str, keep: set[str]) -> list[str]:
    """Remove what a killed daemon left behind and return the paths removed, sorted.

    Everything in the datasets' own directories that is not a file of ``keep`` goes: ``.part`` files, and packed files
    that the journal never heard of.  Links are removed, never followed; directories inside are left alone.
    A spool that is not there yet holds no orphans.  Raises OSError where the spool cannot be read.
    """
    kept = _identities(keep)
    removed = []
    for directory in _dataset_directories(spool):
        with os.scandir(directory) as entries:
            orphans = [
                entry.path
                for entry in entries
                if not entry.is_dir(follow_symlinks=False) and _identity(entry.stat(follow_symlinks=False)) not in kept
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


def _remove_if_empty(directory: str) -> None:
    with contextlib.suppress(OSError):
        os.rmdir(directory)  # fails, as it should, where anything is left
