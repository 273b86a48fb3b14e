"""Which rule takes which files of a listing; pure."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from depositd import formats
from depositd.config import Globs, Rule
from depositd.model import Dataset, FileStat, Listing, Terms


@dataclass(frozen=True, slots=True)
class Taken:
    """A dataset and the rule that took it, with what that rule asks of it now.

    ``sidecars`` are the sidecar files that are there (paths relative to the root), the more specific one last.
    """

    rule: Rule
    dataset: Dataset
    terms: Terms
    sidecars: tuple[str, ...] = ()


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

    def claims(self, directory: str) -> bool:
        """Say whether a directory is one dataset for this rule."""
        if self._globs.prunes(directory):
            return False
        if self.rule.format == "directory":
            return self._globs.selects(directory) if self.rule.include else "/" not in directory
        return formats.claims(directory, self.rule.format)

    def prunes(self, directory: str) -> bool:
        """Say whether nothing below a directory can matter to this rule."""
        return self._globs.prunes(directory)

    def selects(self, path: str) -> bool:
        """Say whether the rule's globs select a file or directory."""
        return self._globs.selects(path) and not self._globs.prunes(path)

    def take(self, listing: Listing) -> tuple[list[Taken], Listing]:
        """Return the datasets that the rule takes and the listing of what it leaves to the rules after it."""
        files = tuple(file for file in listing.files if self._selects_file(file))
        trees = {
            directory: members
            for directory, entries in listing.trees.items()
            if (members := self._selected_members(directory, entries))
        }
        datasets = formats.group(Listing(listing.directory, files, trees), self.rule.format)
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
        companions = self._companions(listing, [dataset.name for dataset in datasets])
        taken = []
        for dataset in datasets:
            terms = self._terms(dataset, listing, companions)
            taken.append(Taken(self.rule, dataset, terms, self._sidecars(dataset, listing, companions)))
        return taken, rest

    def _selects_file(self, file: FileStat) -> bool:
        return not self._is_companion(file.name) and self._globs.selects(file.path)

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

    def _is_companion(self, name: str) -> bool:
        """Say whether a file is the rule's own: a sidecar or a marker."""
        sidecar = self.rule.metadata.sidecar
        if sidecar and (name == sidecar or name.endswith("." + sidecar)):
            return True
        marker = self.rule.marker
        return marker is not None and fnmatch.fnmatchcase(name, marker.replace("{name}", "*"))

    def _companions(self, listing: Listing, names: Sequence[str]) -> _Companions:
        sidecar, marker = self.rule.metadata.sidecar, self.rule.marker
        sidecars = {
            file.name: file.path
            for file in listing.files
            if sidecar and file.path.endswith(sidecar) and self._is_companion(file.name)
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
    return "".join(f"[{character}]" if character in "*?[" else character for character in text)


def take_all(matchers: Sequence[RuleMatcher], listing: Listing) -> list[Taken]:
    """Return every dataset of a listing; the first rule in the config's order takes a file."""
    found: list[Taken] = []
    for matcher in matchers:
        taken, listing = matcher.take(listing)
        found += taken
    return found
