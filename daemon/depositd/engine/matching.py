"""Which rule takes which files of a listing; pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from depositd import formats
from depositd.config import Globs, Rule
from depositd.model import Dataset, FileStat, Listing, Terms


@dataclass(frozen=True, slots=True)
class Taken:
    """A dataset and the rule that took it, with what that rule asks of it now.

    ``sidecars`` are the sidecar files that are there (paths relative to the root), the more specific one last.
    ``in_tree`` is true where a listing always shows all of the dataset, because a directory is walked for it.
    """

    rule: Rule
    dataset: Dataset
    terms: Terms
    sidecars: tuple[str, ...] = ()
    in_tree: bool = False


@dataclass(frozen=True, slots=True)
class _Companions:
    """A listing's sidecar files (name to path) and markers, found once for all of its datasets.

    ``neighbours`` are the datasets' names, where there is a marker that could be one's alone.
    """

    sidecars: Mapping[str, str]
    markers: Sequence[str]
    neighbours: Sequence[str]


class RuleMatcher:
    """One rule's globs and format, applied to listings of one of its directories."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._globs = Globs(rule.include, rule.exclude)
        self._gather = Globs(rule.gather, rule.exclude) if rule.gather else None

    def claims(self, directory: str) -> bool:
        """Say whether a directory is one dataset for this rule."""
        if self._globs.prunes(directory):
            return False
        if self.gathers(directory):
            return True
        if self.rule.format == "directory":
            return self._globs.selects(directory) if self.rule.include else "/" not in directory
        return formats.claims(directory, self.rule.format)

    def gathers(self, directory: str) -> bool:
        """Say whether the files of all directories below one are grouped as if they lay in it (``gather``)."""
        return self._gather is not None and self._gather.selects(directory)

    def prunes(self, directory: str) -> bool:
        """Say whether nothing below a directory can matter to this rule."""
        return self._globs.prunes(directory)

    def selects(self, path: str) -> bool:
        """Say whether the rule's globs select a file or directory."""
        return self._globs.selects(path) and not self._globs.prunes(path)

    def take(self, listing: Listing, beside: Sequence[str] = ()) -> tuple[list[Taken], Listing]:
        """Return the datasets that the rule takes and the listing of what it leaves to the rules after it.

        ``beside`` are the names of datasets that the listing does not show: markers can be theirs.
        """
        files = tuple(file for file in listing.files if self._selects_file(file))
        trees = {
            directory: members
            for directory, entries in listing.trees.items()
            if not self.gathers(directory) and (members := self._selected_members(directory, entries))
        }
        datasets = formats.group(Listing(listing.directory, files, trees), self.rule.format)
        for directory, entries in listing.trees.items():
            if self.gathers(directory):
                datasets += self._gathered(listing.directory, directory, entries)
        taken_paths = {file.path for dataset in datasets for file in dataset.files}
        rest = Listing(
            listing.directory,
            tuple(file for file in listing.files if file.path not in taken_paths),
            {
                directory: entries
                for directory, entries in listing.trees.items()
                if not any(entry.path in taken_paths for entry in entries)
            },
        )
        companions = self._companions(listing, [*beside, *(dataset.name for dataset in datasets)])
        taken = []
        for dataset in datasets:
            terms = self._terms(dataset, listing, companions)
            in_tree = any(file.directory != listing.directory for file in dataset.files[:1])
            sidecars = self._sidecars(dataset, listing, companions)
            taken.append(Taken(self.rule, dataset, terms, sidecars, in_tree))
        return taken, rest

    def _gathered(self, parent: str, directory: str, entries: Sequence[FileStat]) -> list[Dataset]:
        """Return the datasets of a whole tree, which belong to the listing of its parent as trees do."""
        selected = tuple(file for file in entries if self._selects_file(file))
        own = directory.rpartition("/")[2]
        return [
            replace(dataset, directory=parent, key=f"{own}/{dataset.key}", path=dataset.path or directory)
            for dataset in formats.group(Listing(directory, selected), self.rule.format)
        ]

    def _selects_file(self, file: FileStat) -> bool:
        return not self.is_companion(file.path) and self._globs.selects(file.path)

    def _selected_members(self, directory: str, entries: Sequence[FileStat]) -> tuple[FileStat, ...]:
        """Return a tree's files; an include may name the directory or anything in it, an exclude leaves files out."""
        if self._globs.prunes(directory):
            return ()
        whole = self._globs.selects(directory)
        if not whole and not any(self._globs.selects(entry.path) for entry in entries):
            return ()
        sidecar = self.rule.metadata.sidecar
        kept = Globs((), self.rule.exclude)
        return tuple(entry for entry in entries if entry.name != sidecar and kept.selects(entry.path))

    def is_companion(self, path: str) -> bool:
        """Say whether a file is the rule's own: a sidecar or a marker."""
        sidecar, marker = self.rule.metadata.sidecar, self.rule.marker
        if sidecar and path.endswith(sidecar) and path[: -len(sidecar)][-1:] in ("", "/", "."):
            return True
        return marker is not None and fnmatch.fnmatchcase(path.rpartition("/")[2], marker.replace("{name}", "*"))

    def _companions(self, listing: Listing, names: Sequence[str]) -> _Companions:
        sidecar, marker = self.rule.metadata.sidecar, self.rule.marker
        sidecars = {
            file.name: file.path
            for file in listing.files
            if sidecar and file.path.endswith(sidecar) and self.is_companion(file.path)
        }
        markers = []
        if marker is not None:
            anybody = marker.replace("{name}", "*")
            markers = [file.name for file in listing.files if fnmatch.fnmatchcase(file.name, anybody)]
        return _Companions(sidecars, markers, names if markers else ())

    def _sidecars(self, dataset: Dataset, listing: Listing, companions: _Companions) -> tuple[str, ...]:
        name = self.rule.metadata.sidecar
        if not name:
            return ()
        found: list[str] = []
        if dataset.path in listing.trees:
            inside = f"{dataset.path}/{name}"
            found += [entry.path for entry in listing.trees[dataset.path] if entry.path == inside]
        elif name in companions.sidecars:
            found.append(companions.sidecars[name])
        own = companions.sidecars.get(f"{dataset.name}.{name}")
        return (*found, own) if own is not None else tuple(found)

    def _terms(self, dataset: Dataset, listing: Listing, companions: _Companions) -> Terms:
        marker = self.rule.marker
        present = False
        if marker is not None:
            tree = listing.trees.get(dataset.path, ())
            inside = [entry.name for entry in tree if entry.directory == dataset.path]
            beside = has_marker(marker, dataset.name, companions.markers, companions.neighbours)
            present = beside or has_marker(marker, dataset.name, inside, [])
        return Terms(
            settle_s=self.rule.settle_s,
            expected_frames=self.rule.expect_frames,
            marker_pattern=marker,
            marker_present=present,
        )


def has_marker(pattern: str, name: str, candidates: Iterable[str], neighbours: Sequence[str]) -> bool:
    """Say whether one of the candidate file names ends the dataset ``name``.

    A marker that begins with the name of a neighbour (``lyso_2.done``) ends that one alone; any other
    (``all.done``) ends every dataset beside it.
    """
    wanted = pattern.replace("{name}", glob_literal(name))
    for candidate in candidates:
        if not fnmatch.fnmatchcase(candidate, wanted):
            continue
        owners = [neighbour for neighbour in neighbours if candidate.startswith(neighbour)]
        if not owners or max(owners, key=len) == name:
            return True
    return False


def glob_literal(text: str) -> str:
    """Return a glob that matches exactly ``text``."""
    # { as well: {name} in a marker's glob stands for the dataset's name
    return "".join(f"[{character}]" if character in "*?[{" else character for character in text)


def take_all(matchers: Sequence[RuleMatcher], listing: Listing, beside: Sequence[str] = ()) -> list[Taken]:
    """Return every dataset of a listing; the first rule in the config's order takes a file."""
    found: list[Taken] = []
    for matcher in matchers:
        taken, listing = matcher.take(listing, beside)
        found += taken
    return found
