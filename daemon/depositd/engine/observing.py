"""From listings to judged datasets: group by rule, measure quiet, probe what is still, judge."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple

from depositd import formats
from depositd.config import Rule, resolve
from depositd.engine.matching import RuleMatcher, Taken, take_all
from depositd.engine.sidecars import Sidecar, read_sidecars, read_small_file
from depositd.journal import Sighting
from depositd.model import Dataset, FileKind, FileStat, Listing, Metadata, Probe, Quiet, Verdict, VerdictKind
from depositd.watch.quiet import QuietTracker, fingerprint

SHORTEST_RECHECK_S = 0.2
"""Looking again sooner than this costs more than it tells."""


class DatasetIdentity(NamedTuple):
    """What tells one dataset of a source from another, whatever its files are now."""

    format: str
    directory: str
    key: str


def identity_of(dataset: Dataset) -> DatasetIdentity:
    """Return a dataset's identity within its source."""
    return DatasetIdentity(dataset.format, dataset.directory, dataset.key)


@dataclass(frozen=True, slots=True)
class Judged:
    """A sighting and when to look at the dataset again although nothing has told of a change."""

    identity: DatasetIdentity
    sighting: Sighting
    recheck_s: float | None


@dataclass(slots=True)
class _Probed:
    stat: FileStat
    probe: Probe | None


ReadFile = Callable[[str], bytes | None]


class Observer:
    """One source's memory between looks: quiet times and what the probes said.

    What it remembers of a dataset is dropped by :meth:`settle`, so memory follows what is growing.
    """

    def __init__(self, root: str, rules: Sequence[Rule], read_file: ReadFile = read_small_file) -> None:
        self.root = root
        self.matchers = [RuleMatcher(rule) for rule in rules]
        self._quiet = QuietTracker()
        self._probed: dict[DatasetIdentity, dict[str, _Probed]] = {}
        self._settled: dict[DatasetIdentity, tuple[str, Sidecar]] = {}
        self._read_file = read_file

    def claims(self, directory: str) -> bool:
        """Say whether any rule takes a directory for one dataset."""
        return any(matcher.claims(directory) for matcher in self.matchers)

    def prunes(self, directory: str) -> bool:
        """Say whether no rule can want anything below a directory."""
        return all(matcher.prunes(directory) for matcher in self.matchers)

    def look(self, listing: Listing, now: datetime, monotonic_s: float) -> list[Judged]:
        """Judge every dataset of a listing, save those that are settled and unchanged."""
        judged = []
        for taken in take_all(self.matchers, listing):
            found = self._judge(taken, now, monotonic_s)
            if found is not None:
                judged.append(found)
        return judged

    def settle(self, identity: DatasetIdentity, sighting: Sighting) -> None:
        """Stop remembering a dataset that is archived; it is looked at again when it changes."""
        self._settled[identity] = (sighting.fingerprint, Sidecar(sighting.sidecar, sighting.sidecar_problem))
        self._quiet.forget(identity)
        self._probed.pop(identity, None)

    def known_settled(self, identity: DatasetIdentity, fingerprint: str, sidecar: Sidecar) -> None:
        """Take over from the journal that a dataset is archived as it is."""
        self._settled[identity] = (fingerprint, sidecar)

    def forget(self, identity: DatasetIdentity) -> None:
        """Drop everything about a dataset whose files are gone."""
        self._settled.pop(identity, None)
        self._quiet.forget(identity)
        self._probed.pop(identity, None)

    def _judge(self, taken: Taken, now: datetime, monotonic_s: float) -> Judged | None:
        dataset, rule = taken.dataset, taken.rule
        identity = identity_of(dataset)
        digest = fingerprint(dataset.files, dataset.directory)
        sidecar = read_sidecars((f"{self.root}/{path}" for path in taken.sidecars), self._read_file)
        if self._settled.get(identity) == (digest, sidecar):
            return None
        still = self._quiet.look(identity, dataset.files, digest, monotonic_s)
        probes, unread = self._probes(identity, dataset, still.still)
        form = formats.FORMATS[dataset.format]
        quiet = Quiet(still.quiet_s, last_write_age_s(dataset.files, now))
        verdict = form.judge(dataset, probes, quiet, taken.terms)
        if unread and verdict.kind is not VerdictKind.GROWING:
            # what was not still for one look was not read yet: no verdict stands on it
            evidence = (f"{len(dataset.files):,} files so far", f"{unread:,} not read yet")
            verdict = replace(verdict, kind=VerdictKind.GROWING, evidence=evidence, recheck_s=SHORTEST_RECHECK_S)
        header = form.metadata(dataset, probes)
        sighting = sighting_of(self.root, rule, dataset, verdict, digest, header, sidecar)
        recheck_s = verdict.recheck_s
        if unread:
            recheck_s = min(recheck_s or 1.0, 1.0)
        return Judged(identity, sighting, None if recheck_s is None else max(recheck_s, SHORTEST_RECHECK_S))

    def _probes(
        self, identity: DatasetIdentity, dataset: Dataset, still: Iterable[str]
    ) -> tuple[dict[str, Probe], int]:
        """Return the probes of all files that were read, and how many files were not still enough to be read."""
        form = formats.FORMATS[dataset.format]
        known = self._probed.setdefault(identity, {})
        still_files = frozenset(still)
        probes: dict[str, Probe] = {}
        unread = 0
        for file in dataset.files:
            if file.kind is not FileKind.REGULAR:
                continue
            before = known.get(file.path)
            if before is None or before.stat != file:
                if file.path not in still_files:
                    unread += 1
                    continue
                before = _Probed(file, form.probe(f"{self.root}/{file.path}", file))
                known[file.path] = before
            elif before.probe is not None and before.probe.retry and file.path in still_files:
                before.probe = form.probe(f"{self.root}/{file.path}", file)
            if before.probe is not None:
                probes[file.path] = before.probe
        return probes, unread


def last_write_age_s(files: Sequence[FileStat], now: datetime) -> float:
    """Return the age in seconds of the newest mtime, never negative."""
    newest_ns = max((file.mtime_ns for file in files), default=0)
    return max(now.timestamp() - newest_ns / 1e9, 0.0)


def oldest_date(files: Sequence[FileStat]) -> str:
    """Return the UTC date of the oldest mtime, for templates where no header names a date."""
    oldest_ns = min((file.mtime_ns for file in files), default=0)
    try:
        return datetime.fromtimestamp(oldest_ns / 1e9, UTC).date().isoformat()
    except (OverflowError, ValueError, OSError):
        return "1970-01-01"


def sighting_of(
    root: str,
    rule: Rule,
    dataset: Dataset,
    verdict: Verdict,
    fingerprint: str,
    header: Metadata,
    sidecar: Sidecar,
) -> Sighting:
    """Return what is recorded of one look at one dataset."""
    header = {"date": oldest_date(dataset.files), **header}
    relative_path = dataset.files[0].path if dataset.files else dataset.path
    resolved = resolve(
        header,
        relative_path,
        rule.metadata,
        {},
        sidecar.values,
        {},
        {"name": dataset.name, "format": dataset.format, "rule": rule.name},
    )
    return Sighting(
        rule=rule.name,
        root=root,
        dataset=dataset,
        verdict=verdict,
        fingerprint=fingerprint,
        header=header,
        sidecar=sidecar.values,
        sidecar_problem=sidecar.problem,
        metadata=resolved.values,
    )
