"""For how long a dataset has not changed, by our own monotonic clock since we first saw it so.

Modification times are not asked: rsync keeps old ones and the clocks of file servers run ahead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from depositd.model import FileStat


def fingerprint(files: Iterable[FileStat], directory: str = "") -> str:
    """Return a digest of every file's path, size, mtime and kind (the last rung of the ladder of evidence).

    Paths are taken relative to ``directory``, so that the same dataset has the same fingerprint below any root.
    """
    digest = hashlib.blake2b(digest_size=16)
    cut = len(directory) + 1 if directory else 0
    for file in files:
        line = f"{file.path[cut:]}\0{file.size_bytes}\0{file.mtime_ns}\0{file.kind}\n"
        digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Stillness:
    """What one look found: the time without any change, and the files that are as the last look saw them."""

    quiet_s: float
    still: frozenset[str]


@dataclass(slots=True)
class _Seen:
    fingerprint: str
    since_s: float
    files: dict[str, FileStat]


class QuietTracker:
    """Remembers, for each dataset that has not settled yet, what the last look saw."""

    def __init__(self) -> None:
        self._seen: dict[object, _Seen] = {}

    def look(self, identity: object, files: tuple[FileStat, ...], digest: str, monotonic_s: float) -> Stillness:
        """Compare with the last look; ``digest`` is the files' fingerprint, ``monotonic_s`` the time of this look."""
        now_files = {file.path: file for file in files}
        before = self._seen.get(identity)
        if before is None:
            self._seen[identity] = _Seen(digest, monotonic_s, now_files)
            return Stillness(0.0, frozenset())
        if before.fingerprint == digest:
            return Stillness(monotonic_s - before.since_s, frozenset(now_files))
        still = frozenset(path for path, file in now_files.items() if before.files.get(path) == file)
        self._seen[identity] = _Seen(digest, monotonic_s, now_files)
        return Stillness(0.0, still)

    def forget(self, identity: object) -> None:
        """Drop a dataset that is settled or gone."""
        self._seen.pop(identity, None)
