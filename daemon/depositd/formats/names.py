"""Names that say nothing about a dataset: what copying programs and editors leave while they work."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from depositd.model import FileStat

_TEMPORARY = re.compile(r"^\.|\.(?:part|partial|tmp|temp|filepart|crdownload|swp)$|~$", re.IGNORECASE)


def is_temporary(name: str) -> bool:
    """Say whether a name is a dotfile or a copying program's temporary name (rsync, scp, editors)."""
    return _TEMPORARY.search(name) is not None


def ending_with(files: Iterable[FileStat], *suffixes: str) -> Iterator[FileStat]:
    """Yield the files with one of these suffixes (lower case), whatever their own case.

    A directory has thousands of files that a format has no business with: this turns them away at little cost.
    """
    for file in files:
        if file.path.lower().endswith(suffixes):
            yield file


def stem_of_directory(directory: str) -> str:
    """Return a directory's own name without its suffix."""
    name = directory.rpartition("/")[2]
    stem, dot, _suffix = name.rpartition(".")
    return stem if dot and stem else name
