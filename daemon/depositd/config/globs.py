"""Which files a rule looks at: ``include`` and ``exclude`` globs, relative to the watched directory.

``*`` stops at a slash, ``**`` does not, ``{a,b}`` stands for both, hidden names are like others, and case counts.
``**/*.cbf`` matches in the watched directory itself as well.  An exclude that matches a directory excludes everything
below it, as rsync, restic and git do.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from wcmatch import glob

from depositd.config.wording import quoted

_FLAGS = glob.GLOBSTAR | glob.DOTGLOB | glob.BRACE | glob.CASE | glob.FORCEUNIX
_MOST_ALTERNATIVES = 1000
_MOST_DOUBLE_STARS = 3
"""Each further ``**`` multiplies a match's time by the depth of the path: three take 3 ms at a depth of 50."""


class Globs:
    """Compiled include and exclude globs; without an include everything is included."""

    def __init__(self, include: Iterable[str] = (), exclude: Iterable[str] = ()) -> None:
        included = list(include)
        excluded = [pattern.rstrip("/") for pattern in exclude]
        self._include = _compile(included) if included else None
        self._exclude = _compile(excluded + [f"{pattern}/**" for pattern in excluded]) if excluded else None

    def selects(self, relative_path: str) -> bool:
        """Say whether a file, or a directory that is a dataset by itself, is looked at."""
        if self._include is not None and not self._include.match(relative_path):
            return False
        return self._exclude is None or not self._exclude.match(relative_path)

    def prunes(self, relative_directory: str) -> bool:
        """Say whether nothing below a directory can be selected, so that it need not be walked."""
        if self._exclude is None or not relative_directory:
            return False
        return bool(self._exclude.match(relative_directory) or self._exclude.match(relative_directory + "/"))


def check_glob(pattern: str) -> None:
    """Raise ValueError, with a sentence, for a glob that could never match or cannot be compiled."""
    if not pattern.strip():
        raise ValueError("is empty (a glob such as **/*.cbf)")
    if pattern.startswith("/"):
        raise ValueError(f"{quoted(pattern)} is absolute (relative to the watched directory, such as **/*.cbf)")
    if ".." in pattern.split("/"):
        raise ValueError(f"{quoted(pattern)} leaves the watched directory (no ..)")
    if sum(segment == "**" for segment in re.split("[/{},]+", pattern.strip("/"))) > _MOST_DOUBLE_STARS:
        raise ValueError(f"{quoted(pattern)} has more than {_MOST_DOUBLE_STARS} ** (fewer, or two globs)")
    try:
        _compile([pattern])
    except Exception:  # noqa: BLE001  wcmatch keeps its error for too many alternatives private
        alternatives = f"at most {_MOST_ALTERNATIVES:,} alternatives in braces"
        raise ValueError(f"{quoted(pattern)} is not a glob, or too large a one ({alternatives})") from None


def _compile(patterns: list[str]) -> Any:
    # each pattern may have that many alternatives (check_glob), so all of them may have their sum
    return glob.compile(patterns, flags=_FLAGS, limit=_MOST_ALTERNATIVES * len(patterns))
