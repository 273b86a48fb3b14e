"""The files of one group between two looks: what changed, what was still, and what their headers said."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from depositd.config import Rule
from depositd.engine.matching import Taken
from depositd.model import Dataset, FileKind, FileStat, Probe, Terms
from depositd.watch.quiet import fingerprint

PART_SEPARATOR = "\0"
"""No file name has it: what follows it in a key tells the parts of one series apart."""


class DatasetIdentity(NamedTuple):
    """What tells one dataset of a source from another, whatever its files are now."""

    format: str
    directory: str
    key: str

    @property
    def group(self) -> DatasetIdentity:
        """The group that the dataset is, or is a part of."""
        return self._replace(key=self.key.partition(PART_SEPARATOR)[0])


def identity_of(dataset: Dataset) -> DatasetIdentity:
    """Return a dataset's identity within its source."""
    return DatasetIdentity(dataset.format, dataset.directory, dataset.key)


ProbeFile = Callable[[FileStat], Probe | None]
Split = Callable[[Dataset, Mapping[str, Probe]], Sequence[Dataset]]


@dataclass(slots=True)
class Stillness:
    """Since when a part has not changed, and the fingerprint that it has had since."""

    fingerprint: str
    since_s: float


@dataclass(slots=True)
class Group:
    """Files that their names put together, by path.

    ``fresh`` are those that the last look saw for the first time, or changed: they are not still enough to be read.
    ``unread`` are still and not read yet; ``mendable`` those whose problem may pass although they do not change.
    ``changed_s`` is when anything changed, by our own clock.  ``unsaid_s`` is the time after which a part is judged
    again that grows and of which nothing is said until it ends, None where there is none.
    """

    rule: Rule
    template: Dataset
    terms: Terms
    sidecars: tuple[str, ...]
    changed_s: float
    files: dict[str, FileStat] = field(default_factory=dict)
    fresh: set[str] = field(default_factory=set)
    unread: dict[str, FileStat] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)
    mendable: set[str] = field(default_factory=set)
    parts: dict[DatasetIdentity, Stillness] = field(default_factory=dict)
    begun_ns: int | None = None
    is_tree: bool = False
    unsaid_s: float | None = None
    _divided: tuple[tuple[Dataset, str], ...] | None = None

    @classmethod
    def of(cls, taken: Taken, now_s: float) -> Group:
        """Return a group without files for what a rule took."""
        template = replace(taken.dataset, files=())
        return cls(taken.rule, template, taken.terms, taken.sidecars, now_s)

    @property
    def identity(self) -> DatasetIdentity:
        """The group's identity, which is that of its first part."""
        return identity_of(self.template)

    @property
    def unread_count(self) -> int:
        """How many regular files have not been read as they are now."""
        return len(self.unread) + sum(self.files[path].kind is FileKind.REGULAR for path in self.fresh)

    @property
    def may_mend(self) -> bool:
        """Say whether reading a file again can tell something else although the file does not change."""
        return bool(self.mendable)

    def dataset(self) -> Dataset:
        """Return the group as a dataset, its files in the order of their paths."""
        return replace(self.template, files=tuple(sorted(self.files.values())))

    def divided(self, split: Split) -> tuple[tuple[Dataset, str], ...]:
        """Return the datasets that the group is and their fingerprints, found once for as long as nothing changes."""
        if self._divided is None:
            datasets = split(self.dataset(), self.probes)
            self._divided = tuple((one, fingerprint(one.files, one.directory)) for one in datasets)
        return self._divided

    def add(self, files: Iterable[FileStat], now_s: float) -> None:
        """Take files that came or changed since the last look; what was fresh then and did not change is still."""
        came = {file.path: file for file in files}
        self._calm(came)
        for file in came.values():
            self._put(file, now_s)

    def replace(self, files: Iterable[FileStat], now_s: float) -> None:
        """Take all files of the group as a look saw them."""
        seen = {file.path: file for file in files}
        came = [file for path, file in seen.items() if self.files.get(path) != file]
        self._calm({file.path: file for file in came})
        self.remove([path for path in self.files if path not in seen], now_s)
        for file in came:
            self._put(file, now_s)

    def remove(self, paths: Iterable[str], now_s: float) -> None:
        """Forget files that are gone."""
        for path in paths:
            if self.files.pop(path, None) is not None:
                self._drop(path)
                self.changed_s = now_s

    def confirm(self, stat: Callable[[str], FileStat | None], now_s: float) -> bool:
        """Ask every file for its size and times once more; False where any has changed or is gone."""
        seen = [(path, stat(path)) for path in self.files]
        gone = [path for path, file in seen if file is None]
        came = [file for path, file in seen if file is not None and file != self.files[path]]
        before_s, self.changed_s = self.changed_s, float("-inf")
        self.remove(gone, now_s)
        for file in came:
            self._put(file, now_s)
        changed = self.changed_s == now_s
        self.changed_s = now_s if changed else before_s
        return not changed and not self.fresh

    def read(self, probe: ProbeFile, until: Callable[[], bool]) -> None:
        """Read the files that are still, as far as there is time."""
        for path in list(self.unread):
            if until():
                return
            self._heard(path, probe(self.unread.pop(path)))

    def read_again(self, probe: ProbeFile, until: Callable[[], bool]) -> bool:
        """Read those files once more whose problem a writer or a mount may have mended; True where one says other."""
        changed = False
        for path in self.mendable - self.fresh:
            if until():
                break
            found = probe(self.files[path])
            if found is not None and found != self.probes[path]:
                self._heard(path, found)
                changed = True
        return changed

    def _heard(self, path: str, found: Probe | None) -> None:
        if found is None:
            return
        self.probes[path] = found
        self._divided = None
        if found.retry and found.problem is not None:
            self.mendable.add(path)
        else:
            self.mendable.discard(path)

    def _calm(self, came: Mapping[str, FileStat]) -> None:
        for path in sorted(self.fresh - came.keys()):
            file = self.files.get(path)
            if file is not None and file.kind is FileKind.REGULAR:
                self.unread[path] = file
        # one that came for its blocks alone, which were allocated late, is to be read all the same
        self.fresh &= came.keys()

    def _put(self, file: FileStat, now_s: float) -> None:
        before = self.files.get(file.path)
        self.files[file.path] = file
        self._divided = None
        if before is None:
            self.begun_ns = file.mtime_ns if self.begun_ns is None else min(self.begun_ns, file.mtime_ns)
        elif before.same_content_as(file) and (before.inode, before.ctime_ns) == (file.inode, file.ctime_ns):
            return  # blocks were allocated late: nothing that anybody wrote
        self._drop(file.path)
        self.fresh.add(file.path)
        if before is None or not before.same_content_as(file):
            self.changed_s = now_s

    def _drop(self, path: str) -> None:
        self._divided = None
        self.unread.pop(path, None)
        self.probes.pop(path, None)
        self.mendable.discard(path)
        self.fresh.discard(path)
