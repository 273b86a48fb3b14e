"""What a source looked like when it was last walked, so that the next look touches only what can have changed.

Theory of operation
-------------------
A directory's own times change whenever an entry of it comes, goes or is renamed.  So a sweep asks a directory that is
at *rest* (nothing in it is waited for) for its times alone, and reads it only where they differ.  Times are trusted
once they have been the same for longer than any clock's tick, by our own clock: a change within the tick in which a
directory was read would not show.  What no directory's times can show, a file changed in place, a *thorough* sweep
finds, which reads everything.

Of a *restless* directory every file is remembered.  A look then asks for size and times only of files that are new
or were not yet seen twice the same; a *whole* look asks for those of all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from depositd.model import FileStat, Listing
from depositd.watch.sweep import Seen, Signature, Walk

SURE_S = 2.5
"""Times that stayed for this long are trusted: no file system's clock ticks more slowly than every two seconds."""


@dataclass(slots=True)
class _Directory:
    """``files`` (by name) is None at rest; ``unsure`` are those not yet seen twice the same, None means all."""

    signature: Signature | None
    since_s: float
    sure: bool
    below: tuple[str, ...]
    inner: tuple[tuple[str, Signature], ...]
    count: int
    files: dict[str, FileStat] | None = None
    unsure: set[str] | None = None


class Memory:
    """One source between two looks; ``monotonic`` is our own clock, in seconds."""

    def __init__(self, walk: Walk, monotonic: Callable[[], float]) -> None:
        self._walk = walk
        self._monotonic = monotonic
        self._directories: dict[str, _Directory] = {}

    @property
    def directories(self) -> int:
        """How many directories are known."""
        return len(self._directories)

    @property
    def files(self) -> int:
        """How many files the last looks saw."""
        return sum(known.count for known in self._directories.values())

    def knows(self, directory: str) -> bool:
        """Say whether a directory (relative) was there when it was last looked for."""
        return directory in self._directories

    def sweep(self, *, thorough: bool) -> Iterator[Listing]:
        """Yield a listing of each directory that can have changed, parents first.

        A restless one is left to :meth:`look`, save in a thorough sweep, where its listing is partial.  A directory
        that is not there any more is forgotten.
        """
        waiting, seen = [""], set()
        while waiting:
            directory = waiting.pop()
            known = self._directories.get(directory)
            if known is None or thorough or not self._is_unchanged(directory, known):
                listing = self._look(directory, whole=True)
                known = self._directories.get(directory)
                if listing is None or known is None:
                    continue
                yield listing
            seen.add(directory)
            waiting.extend(reversed(known.below))
        for directory in self._directories.keys() - seen:
            del self._directories[directory]

    def look(self, place: str, *, whole: bool) -> Iterator[Listing]:
        """Yield the listing of one directory, and of all below it that are not known yet (a tree moved in).

        Of a place that no sweep or look has come to, the nearest directory above it that is known is looked at instead:
        whatever leads there is then walked, and links are not followed.
        """
        while place and place not in self._directories:
            place = place.rpartition("/")[0]
        waiting = [place]
        while waiting:
            directory = waiting.pop()
            listing = self._look(directory, whole=whole)
            if listing is None:
                continue
            yield listing
            below = self._directories[directory].below if directory in self._directories else ()
            waiting.extend(path for path in reversed(below) if path not in self._directories)

    def rest(self, directory: str) -> None:
        """Stop remembering a directory's files: nothing in it is waited for."""
        known = self._directories.get(directory)
        if known is not None:
            known.files, known.unsure = None, None

    def forget(self, directory: str) -> None:
        """Forget what a directory held: the next look at it sees everything for the first time."""
        known = self._directories.get(directory)
        if known is not None:
            known.files, known.unsure, known.signature, known.sure = None, None, None, False

    def clear(self) -> None:
        """Forget everything."""
        self._directories.clear()

    def _look(self, directory: str, *, whole: bool) -> Listing | None:
        known = self._directories.get(directory)
        before = known.files if known is not None else None
        again = None if whole or known is None else known.unsure
        # before the listing: what changes while it is read must show at the next look
        signature = self._walk.sign(directory)
        seen = self._walk.see(directory, before, again) if signature is not None else None
        if seen is None:
            self._directories.pop(directory, None)
            return None
        self._directories[directory] = self._remembered(known, signature, seen)
        return seen.listing

    def _remembered(self, known: _Directory | None, signature: Signature | None, seen: Seen) -> _Directory:
        now_s = self._monotonic()
        same = known is not None and known.signature == signature and known.inner == seen.inner
        since_s = known.since_s if known is not None and same else now_s
        listing = seen.listing
        files = known.files if known is not None else None
        unsure: set[str] | None = None
        cut = len(listing.directory) + 1 if listing.directory else 0
        if files is None:
            files = {file.path[cut:]: file for file in listing.files}
        else:
            for file in listing.vanished:
                del files[file.path[cut:]]
            files.update((file.path[cut:], file) for file in listing.files)
            unsure = {file.path[cut:] for file in listing.files}
        count = len(files) + sum(map(len, listing.trees.values()))
        sure = signature is not None and now_s - since_s >= SURE_S
        return _Directory(signature, since_s, sure, seen.below, seen.inner, count, files, unsure)

    def _is_unchanged(self, directory: str, known: _Directory) -> bool:
        if known.files is not None:
            return self._walk.sign(directory) is not None  # whoever waits for something there looks at it
        return (
            known.sure
            and self._walk.sign(directory) == known.signature
            and all(self._walk.sign(inner) == signature for inner, signature in known.inner)
        )
