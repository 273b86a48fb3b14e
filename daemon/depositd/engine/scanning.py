"""A dry run: what the rules find and how it is judged, writing nothing and having watched nothing.

The files' ages, the newer of mtime and ctime, stand in for the quiet time that a daemon would have measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from types import MappingProxyType
from typing import Any, NamedTuple

from depositd import formats, io_priority
from depositd.archive.source import SourceTree
from depositd.config import Config, Rule
from depositd.engine.gentleness import HEADER_BYTES, Gentleness
from depositd.engine.matching import RuleMatcher, Taken, take_all
from depositd.engine.observing import asked_for_writers, last_write_age_s, origin_of, sighting_of
from depositd.engine.sidecars import read_sidecars, read_small_file
from depositd.engine.watching import sources
from depositd.errors import DepositdError, SourceChanged, SourceUnreadable
from depositd.journal import PlannedDelivery, Sighting
from depositd.model import Dataset, DatasetState, FileKind, FileStat, Listing, Probe, Quiet, Verdict, VerdictKind
from depositd.rate_limit import RateLimit
from depositd.units import printable
from depositd.watch.quiet import fingerprint
from depositd.watch.sweep import Walk

_BLOCK_BYTES = 1 << 20
_STATES = {VerdictKind.COMPLETE: DatasetState.COMPLETE, VerdictKind.GROWING: DatasetState.GROWING}


@dataclass(frozen=True, slots=True)
class Scanned:
    """A dataset that a rule would take, as it is judged now, and where it would go."""

    sighting: Sighting
    planned: tuple[PlannedDelivery, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where to scan: a root, the rules that are applied to it, and the part of it that is asked for."""

    root: str
    rules: tuple[Rule, ...]
    start: str = ""


def scan(
    config: Config,
    paths: Sequence[str],
    now: datetime,
    *,
    deep: bool = True,
    on_listing: Callable[[str], None] = lambda _directory: None,
    failed: Callable[[str, OSError], None] = lambda _path, _error: None,
) -> Iterator[Scanned]:
    """Yield every dataset that the rules would find below ``paths`` (absolute; none means every watched directory).

    A path that no rule watches is scanned as if every rule watched it.  ``deep`` also compares the checksums that files
    carry, which reads them whole.  ``failed`` hears of directories that cannot be read.
    """
    gentleness = Gentleness(config.rules)
    for place in places(config, paths):
        matchers = [RuleMatcher(rule) for rule in place.rules]
        read_limit = gentleness.limit_of(place.root)
        walk = walk_of(place.root, matchers, failed)
        for listing in _listings(walk, place):
            on_listing(f"{place.root}/{listing.directory}".rstrip("/"))
            found = take_all(matchers, listing)
            newest = newest_of(found)
            for taken in found:
                planned = tuple(PlannedDelivery(deliver.to, deliver.approve) for deliver in taken.rule.deliver)
                if _is_asked_for(taken.dataset, place.start):
                    judged = judge_now(place.root, taken, now, deep=deep, newest=newest, read_limit=read_limit)
                    for sighting in judged:
                        yield Scanned(sighting, planned)


def walk_of(root: str, matchers: Sequence[RuleMatcher], failed: Callable[[str, OSError], None]) -> Walk:
    """Return the walk that the rules of a root ask for."""
    return Walk(
        root,
        claims=lambda directory: any(matcher.claims(directory) for matcher in matchers),
        prunes=lambda directory: all(matcher.prunes(directory) for matcher in matchers),
        failed=lambda directory, error: failed(f"{root}/{directory}", error),
    )


def places(config: Config, paths: Sequence[str]) -> list[Place]:
    """Return where to look for each path; raises DepositdError for a path that is not there."""
    watched = sources(config.rules)
    if not paths:
        return [Place(root, tuple(rules)) for root, rules in watched.items()]
    found = []
    for path in paths:
        require(path)
        roots = [root for root in watched if path == root or path.startswith(root.rstrip("/") + "/")]
        found += [Place(root, tuple(watched[root]), path[len(root.rstrip("/")) + 1 :]) for root in roots]
        if not roots:
            directory = path if os.path.isdir(path) else os.path.dirname(path)
            found.append(Place(directory, tuple(config.rules), path[len(directory) + 1 :]))
    for place in found:
        link = link_on_the_way(place.root, f"{place.root}/{place.start}")
        if link is not None:
            raise DepositdError(
                f"{printable(link)} is a symbolic link, and links below a watched directory are never followed",
                hint="name the place that it leads to",
            )
    return found


def require(path: str) -> None:
    """Raise DepositdError where a path is not there, or may not be looked at."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        sentence, hint = f"{printable(path)} does not exist", "name a file or directory that is there"
        raise DepositdError(sentence, hint=hint) from None
    except OSError as error:
        sentence = f"{printable(path)} cannot be looked at: {error.strerror}"
        raise DepositdError(sentence, hint="ask as the user who runs depositd, or as root") from None


def link_on_the_way(root: str, path: str) -> str | None:
    """Return the symbolic link that a path below a root leads through, None where there is none."""
    place = root.rstrip("/")
    for part in filter(None, path[len(place) :].split("/")[:-1]):
        place = f"{place}/{part}"
        if os.path.islink(place):
            return place
    return path if os.path.islink(path) and os.path.isdir(path) else None


def judge_now(
    root: str,
    taken: Taken,
    now: datetime,
    *,
    deep: bool,
    newest: Mapping[str, Begun] = MappingProxyType({}),
    read_limit: RateLimit | None = None,
) -> list[Sighting]:
    """Judge the datasets of a group by what is there now, the files' ages being the quiet time.

    ``newest`` is the dataset of each format that was begun last beside it.
    """
    dataset, rule = taken.dataset, taken.rule
    form = formats.FORMATS[dataset.format]
    probes = _probes(form, root, dataset.files, read_limit)
    sidecar = read_sidecars((f"{root}/{path}" for path in taken.sidecars), read_small_file)
    sightings = []
    for part in form.split(dataset, probes):
        begun = newest.get(part.format)
        follows = begun is not None and begun.begun_ns > max((file.mtime_ns for file in part.files), default=0)
        next_name = begun.name if begun is not None and follows else None
        quiet = Quiet(age_s(part.files, now), last_write_age_s(part.files, now), next_name=next_name)
        quiet = replace(quiet, **asked_for_writers(root, part.files))
        verdict = form.judge(part, probes, quiet, taken.terms)
        if deep and verdict.kind is VerdictKind.COMPLETE:
            verdict = _compare_checksums(root, part, verdict, read_limit)
        digest = fingerprint(part.files, part.directory)
        header = form.metadata(part, probes)
        origin = origin_of(part, probes, header)
        sightings.append(sighting_of(root, rule, part, verdict, digest, header, sidecar, origin))
    return sightings


class Begun(NamedTuple):
    """When a dataset was begun, by its oldest file, and its name."""

    begun_ns: int
    name: str


def newest_of(beside: Iterable[Taken]) -> dict[str, Begun]:
    """Return the dataset of each format that was begun last."""
    newest: dict[str, Begun] = {}
    for dataset in (taken.dataset for taken in beside):
        begun = Begun(min((file.mtime_ns for file in dataset.files), default=0), dataset.name)
        if dataset.format not in newest or begun.begun_ns > newest[dataset.format].begun_ns:
            newest[dataset.format] = begun
    return newest


def age_s(files: Sequence[FileStat], now: datetime) -> float:
    """Return the seconds since the newest change, by the newer of mtime and ctime; never negative."""
    newest_ns = max((max(file.mtime_ns, file.ctime_ns) for file in files), default=0)
    return max(now.timestamp() - newest_ns / 1e9, 0.0)


def scanned_json(scanned: Scanned) -> dict[str, Any]:
    """Return the contract's JSON of a dataset as far as it is known without a journal."""
    sighting = scanned.sighting
    dataset, verdict = sighting.dataset, sighting.verdict
    frames = verdict.frames
    return {
        "id": None,
        "name": dataset.name,
        "rule": sighting.rule or None,
        "format": dataset.format,
        "path": f"{sighting.root}/{dataset.path}".rstrip("/"),
        "state": _STATES.get(verdict.kind, DatasetState.INCOMPLETE),
        "verdict": verdict.kind,
        "evidence": list(verdict.evidence),
        "files": len(dataset.files),
        "bytes": dataset.size_bytes,
        "frames": None
        if frames is None
        else {"present": frames.present, "expected": frames.expected, "missing": list(frames.missing)},
        "metadata": sighting.metadata,
        "archive": None,
        "deliveries": [{"destination": plan.destination, "approve": plan.approve} for plan in scanned.planned],
    }


def listing_at(root: str, directory: str, matchers: Sequence[RuleMatcher]) -> Listing | None:
    """Return the listing that shows one directory of a root, None where it cannot be read."""
    walk = walk_of(root, matchers, lambda _path, _error: None)
    return next(iter(walk.sweep(walk.place_of(directory))), None)


def _listings(walk: Walk, place: Place) -> Iterator[Listing]:
    """Return the listings from a place down; for a file the one of its directory alone."""
    if os.path.isdir(os.path.join(place.root, place.start)):
        return walk.sweep(walk.place_of(place.start))
    return islice(walk.sweep(walk.place_of(place.start.rpartition("/")[0])), 1)


def _is_asked_for(dataset: Dataset, start: str) -> bool:
    """Say whether a dataset lies in, or holds, the part of the root that is asked for."""
    if not start:
        return True
    below = start + "/"
    return any(file.path == start or file.path.startswith(below) for file in dataset.files) or start == dataset.path


def _probes(
    form: formats.Format, root: str, files: Sequence[FileStat], read_limit: RateLimit | None
) -> dict[str, Probe]:
    probes: dict[str, Probe] = {}
    with io_priority.idle(read_limit is not None):
        for file in files:
            if file.kind is FileKind.REGULAR:
                probe = form.probe(f"{root}/{file.path}", file)
                if probe is not None:
                    probes[file.path] = probe
                    if read_limit is not None:
                        read_limit.take(HEADER_BYTES)
    return probes


def _compare_checksums(root: str, dataset: Dataset, verdict: Verdict, read_limit: RateLimit | None) -> Verdict:
    form = formats.FORMATS[dataset.format]
    try:
        with SourceTree(root, None if read_limit is None else read_limit.take) as tree:
            for file in dataset.files:
                check = form.content_check(file.name)
                problem = _content_problem(tree, file, check) if check is not None else None
                if problem is not None:
                    evidence = f"{printable(file.name)}: {problem}"
                    return replace(verdict, kind=VerdictKind.CORRUPT, evidence=(evidence,), recheck_s=None)
    except SourceChanged as error:
        return replace(verdict, kind=VerdictKind.GROWING, evidence=(str(error),))
    except SourceUnreadable as error:
        return replace(verdict, kind=VerdictKind.CORRUPT, evidence=(str(error),), recheck_s=None)
    return verdict


def _content_problem(tree: SourceTree, file: FileStat, check: formats.ContentCheck) -> str | None:
    block = memoryview(bytearray(_BLOCK_BYTES))
    with tree.open(file) as source:
        left = file.size_bytes
        while left:
            count = source.read_into(block[: min(left, _BLOCK_BYTES)])
            check.update(block[:count])
            left -= count
        source.confirm_unchanged()
    return check.problem()
