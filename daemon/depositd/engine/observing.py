"""From listings to judged datasets: group by rule, measure quiet, probe what is still, judge.

Theory of operation
-------------------
What changed is added to the :class:`~depositd.engine.groups.Group` that its name belongs to, so the cost of a look
follows what is new.  A group's files are read as soon as they are still.  Judging a group costs in proportion to its
size, so while it grows that is done only as often as it stays a small share of the time; the number of files and the
time of the last write are all that a growing dataset has to say.  Before a verdict other than *growing* every file is
asked once more for its size and times.

What is archived, or has ended and cannot change by itself, is let go: of it only its fingerprint is remembered.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

from depositd import formats
from depositd.config import Rule, resolve
from depositd.engine.groups import DatasetIdentity, Group, Stillness, identity_of
from depositd.engine.matching import RuleMatcher, Taken, take_all
from depositd.engine.sidecars import Sidecar, read_sidecars, read_small_file
from depositd.formats.series import origin_by_inode
from depositd.journal import Sighting
from depositd.model import (
    Dataset,
    FileStat,
    Listing,
    Metadata,
    Probe,
    Quiet,
    Terms,
    Verdict,
    VerdictKind,
)
from depositd.watch.quiet import fingerprint
from depositd.watch.sweep import file_at
from depositd.watch.writers import open_for_writing

__all__ = ["DatasetIdentity", "Judged", "Observer", "identity_of"]

SHORTEST_RECHECK_S = 0.2
"""Looking again sooner than this costs more than it tells."""
LONGEST_RECHECK_S = 30.0
"""The evidence of a growing dataset ages ("last write 41 s ago") although no file changes."""
LOOK_SOON_S = 1.0
LOOK_EVERY_S = 5.0
"""A dataset that is not settled is looked at at least this often, with or without events; the sooner after a change."""
WHILE_GROWING_S = 1.0
"""A group that is too large to be judged at each look is looked at again so soon."""
MEND_EVERY_S = 60.0
"""A file that could not be read, or whose writer may still be at work, is read again so often."""
JUDGE_SHARE = 50.0
"""Judging a growing group may take one part in this many of the time."""
READ_SLICE_S = 1.0
"""Headers are read for so long in one look; what is left is read in the next one."""
MOST_WRITERS = 4
"""So many of the newest files are asked whether a program holds them open for writing."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A sighting and when to look at the dataset again although nothing has told of a change.

    ``closed`` are the files of a growing dataset that can be archived already.
    """

    identity: DatasetIdentity
    sighting: Sighting
    recheck_s: float | None
    closed: tuple[FileStat, ...] = ()


class _Settled(NamedTuple):
    """What a dataset was when it was let go; ``terms`` is None where no marker can change its verdict any more.

    A tuple, because there is one for each dataset that the journal knows.
    """

    fingerprint: str
    sidecar: Sidecar
    terms: Terms | None = None


@dataclass(slots=True)
class _Watched:
    """A group, when it is looked at and judged again, and its last judgement while nothing has changed since."""

    group: Group
    judged: list[Judged] = field(default_factory=list)
    judged_s: float = float("-inf")
    judge_due_s: float = float("-inf")
    cost_s: float = 0.0
    due_s: float = float("-inf")


class _LetGo(NamedTuple):
    """What is still known of a group that is not looked after any more: its name, and what it was made of."""

    name: str
    parts: frozenset[DatasetIdentity]
    is_tree: bool


@dataclass(slots=True)
class _Place:
    """One directory: its groups, those that were let go, its companions, and the datasets that began last."""

    groups: dict[DatasetIdentity, _Watched] = field(default_factory=dict)
    let_go: dict[DatasetIdentity, _LetGo] = field(default_factory=dict)
    companions: tuple[FileStat, ...] = ()
    newest: dict[str, tuple[int, str]] = field(default_factory=dict)


ReadFile = Callable[[str], bytes | None]
StatFile = Callable[[str, str], FileStat | None]
"""Of a root and a path relative to it: the stat now, None where nothing is there."""
ProbeAt = Callable[[formats.Format, str, FileStat], Probe | None]


def probe_with(form: formats.Format, path: str, file: FileStat) -> Probe | None:
    """Read the header of a file (absolute path) as its format does."""
    return form.probe(path, file)


class Observer:
    """One source's memory between looks: quiet times and what the probes said.

    What it remembers of a dataset is dropped by :meth:`settle`, so memory follows what is growing.
    """

    def __init__(
        self,
        root: str,
        rules: Sequence[Rule],
        read_file: ReadFile = read_small_file,
        *,
        stat: StatFile = file_at,
        probe: ProbeAt = probe_with,
        moved: Callable[[], None] = lambda: None,
        has_read: Callable[[], None] = lambda: None,
        timer: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.root = root
        self.matchers = [RuleMatcher(rule) for rule in rules]
        self._places: dict[str, _Place] = {}
        self._settled: dict[DatasetIdentity, _Settled] = {}
        self._read_file = read_file
        self._stat = stat
        self._probe = probe
        self._moved = moved
        self._has_read = has_read
        self._timer = timer

    def claims(self, directory: str) -> bool:
        """Say whether any rule takes a directory for one dataset."""
        return any(matcher.claims(directory) for matcher in self.matchers)

    def prunes(self, directory: str) -> bool:
        """Say whether no rule can want anything below a directory."""
        return all(matcher.prunes(directory) for matcher in self.matchers)

    def needs_all(self, listing: Listing) -> bool:
        """Say whether a partial listing cannot be understood without the rest of the directory.

        A marker or a sidecar concerns every dataset beside it; a dataset that was let go is not remembered.
        """
        if not listing.partial:
            return False
        touched = (*listing.files, *listing.vanished)
        if any(matcher.is_companion(file.path) for matcher in self.matchers for file in touched):
            return True
        place = self._places.get(listing.directory)
        if place is None:
            return bool(touched)
        if not place.let_go:
            return False
        taken = take_all(self.matchers, Listing(listing.directory, touched, listing.trees))
        return any(identity_of(one.dataset) in place.let_go for one in taken if one.dataset.path not in listing.trees)

    def look(self, listing: Listing, now: datetime, monotonic_s: float) -> list[Judged]:
        """Take in what a listing shows and judge what is due, save datasets that are settled and unchanged."""
        place = self._places.setdefault(listing.directory, _Place())
        if listing.partial:
            self._add(place, listing, monotonic_s)
        else:
            self._replace(place, listing, monotonic_s)
        judged = []
        until_s = self._timer() + READ_SLICE_S
        for identity, watched in list(place.groups.items()):
            self._moved()
            if watched.group.files:
                judged += self._consider(place, watched, now, monotonic_s, until_s)
            if not watched.group.files:
                place.groups.pop(identity, None)
        return judged

    def due_s(self, directory: str) -> float | None:
        """Return when a directory must be looked at again, by our own clock; None where nothing is waited for."""
        place = self._places.get(directory)
        if place is None:
            return None
        return min((watched.due_s for watched in place.groups.values()), default=None)

    def is_busy(self, directory: str) -> bool:
        """Say whether files of a directory came or changed at the last look, so that more may come."""
        place = self._places.get(directory)
        return place is not None and any(watched.group.fresh for watched in place.groups.values())

    def is_gone(self, identity: DatasetIdentity) -> bool:
        """Say whether the directory of a dataset was looked at and the dataset is not in it any more."""
        place = self._places.get(identity.directory)
        if place is None:
            return False
        let_go = place.let_go.get(identity.group)
        if let_go is not None:
            return identity not in let_go.parts
        watched = place.groups.get(identity.group)
        if watched is None:
            return True
        group = watched.group
        # what a group is made of is known only when all of it was read
        return identity != identity.group and not group.unread_count and identity not in group.parts

    @property
    def in_doubt(self) -> bool:
        """Say whether something that was archived looks different and was not judged yet."""
        return any(identity in self._settled for place in self._places.values() for identity in place.groups)

    def settle(self, identity: DatasetIdentity, fingerprint: str, sidecar: Sidecar) -> None:
        """Stop remembering a dataset that is archived as it is; it is looked at again when it changes."""
        self._settled[identity] = _Settled(fingerprint, sidecar)
        place = self._places.get(identity.directory)
        watched = place.groups.get(identity.group) if place is not None else None
        if place is None or watched is None or not watched.group.parts:
            return
        # a part that was archived and has changed since is still looked after
        known = ((self._settled.get(part), seen) for part, seen in watched.group.parts.items())
        if all(settled is not None and settled.fingerprint == seen.fingerprint for settled, seen in known):
            self._let_go(place, identity.group)

    def judge_again(self, identity: DatasetIdentity) -> None:
        """Judge a dataset at the next look, whatever was found before: the journal knows of a change."""
        place = self._places.get(identity.directory)
        watched = place.groups.get(identity.group) if place is not None else None
        if watched is not None:
            watched.judged, watched.due_s = [], float("-inf")

    def forget(self, identity: DatasetIdentity) -> None:
        """Drop everything about a dataset whose files are gone, or that must be seen for the first time.

        Of a part of a group that is there, only how it was settled is dropped.
        """
        self._settled.pop(identity, None)
        place = self._places.get(identity.directory)
        if place is not None and identity == identity.group:
            place.groups.pop(identity, None)
            place.let_go.pop(identity, None)

    def keep_settled(self, knows: Callable[[str], bool]) -> None:
        """Drop how datasets were settled whose directory is gone: should it come back, the journal knows them."""
        self._settled = {identity: settled for identity, settled in self._settled.items() if knows(identity.directory)}

    def clear(self) -> None:
        """Drop all that looks have shown; what is settled stays known."""
        self._places.clear()

    def rest(self, directory: str) -> bool:
        """Drop what is remembered of a directory, and say so, where nothing in it is waited for."""
        place = self._places.get(directory)
        if place is not None and place.groups:
            return False
        self._places.pop(directory, None)
        return True

    # --- taking in ----------------------------------------------------------------------------------------------

    def _replace(self, place: _Place, listing: Listing, now_s: float) -> None:
        """Take in all that a directory holds."""
        place.companions = tuple(
            file for matcher in self.matchers for file in listing.files if matcher.is_companion(file.path)
        )
        before, place.groups = place.groups, {}
        place.let_go.clear()
        place.newest.clear()
        for taken in take_all(self.matchers, listing):
            watched = before.get(identity_of(taken.dataset)) or _Watched(Group.of(taken, now_s))
            self._take(place, watched, taken, now_s)

    def _add(self, place: _Place, listing: Listing, now_s: float) -> None:
        """Take in what changed in a directory, and all of its trees."""
        new = Listing(listing.directory, (*listing.files, *place.companions), listing.trees)
        names = [let_go.name for let_go in place.let_go.values()]
        names += [watched.group.template.name for watched in place.groups.values()]
        came = {identity_of(taken.dataset): taken for taken in take_all(self.matchers, new, names)}
        gone = Listing(listing.directory, listing.vanished)
        went = {identity_of(taken.dataset): taken for taken in take_all(self.matchers, gone)} if gone.files else {}
        for identity, watched in list(place.groups.items()):
            group = watched.group
            if group.is_tree:
                if identity not in came:
                    del place.groups[identity]
                continue
            files = came[identity].dataset.files if identity in came else ()
            if identity in went:
                group.remove([file.path for file in went[identity].dataset.files], now_s)
            group.add(files, now_s)
            if files or identity in went:
                watched.judged = []
        for identity in [identity for identity, let_go in place.let_go.items() if let_go.is_tree]:
            if identity not in came:
                del place.let_go[identity]
        for identity, taken in came.items():
            known = place.groups.get(identity)
            if known is None or known.group.is_tree:
                self._take(place, known or _Watched(Group.of(taken, now_s)), taken, now_s)

    def _take(self, place: _Place, watched: _Watched, taken: Taken, now_s: float) -> None:
        """Give a group all of its files."""
        group = watched.group
        before_s = group.changed_s
        fresh = bool(group.fresh)
        group.replace(taken.dataset.files, now_s)
        changed = group.changed_s != before_s or fresh or group.fresh
        # what a sidecar says now is read when it is judged
        if changed or group.terms != taken.terms or group.sidecars or taken.sidecars:
            watched.judged = []
        group.rule, group.terms, group.sidecars = taken.rule, taken.terms, taken.sidecars
        group.is_tree = taken.in_tree
        place.groups[group.identity] = watched
        self._note_beginning(place, group)

    def _note_beginning(self, place: _Place, group: Group) -> None:
        begun_ns = group.begun_ns or 0
        if begun_ns > place.newest.get(group.template.format, (0, ""))[0]:
            place.newest[group.template.format] = (begun_ns, group.template.name)

    # --- judging ------------------------------------------------------------------------------------------------

    def _consider(self, place: _Place, watched: _Watched, now: datetime, now_s: float, until_s: float) -> list[Judged]:
        """Read what is still and judge the group if that is due."""
        group = watched.group
        form = formats.FORMATS[group.template.format]
        if self._is_settled(place, watched):
            return []

        def probe(file: FileStat) -> Probe | None:
            self._moved()
            found = self._probe(form, f"{self.root}/{file.path}", file)
            if found is not None:
                self._has_read()
            return found

        def late() -> bool:
            return self._timer() > until_s

        if group.unread:
            group.read(probe, late)
            watched.judged = []
        if self._is_put_off(watched, now_s):
            return []
        if not group.read_again(probe, late) and self._stays(watched, now_s):
            self._wait(watched, now_s)
            return []
        began_s = self._timer()
        watched.judged = self._judge(place, group, now, now_s)
        watched.cost_s = self._timer() - began_s
        watched.judged_s = now_s
        self._wait(watched, now_s)
        if self._has_ended(group, watched.judged):
            # what one part is found to be depends on the others: those are judged again when they are seen anew
            for one in watched.judged if len(group.parts) == 1 else ():
                sidecar = Sidecar(one.sighting.sidecar, one.sighting.sidecar_problem)
                self._settled[one.identity] = _Settled(one.sighting.fingerprint, sidecar, group.terms)
            self._let_go(place, group.identity)
        return watched.judged

    def _is_put_off(self, watched: _Watched, now_s: float) -> bool:
        """Say whether a group is not judged at this look, and set when it is looked at next."""
        group = watched.group
        if group.identity in self._settled and (group.unread or (group.unread_count and not group.probes)):
            # some of it may be archived: which, can be said once its headers are read
            watched.due_s = now_s + WHILE_GROWING_S
        elif watched.judged and now_s < watched.judge_due_s:
            watched.due_s = min(now_s + look_again_s(now_s - group.changed_s), watched.judge_due_s)
        elif group.unread_count and now_s < watched.judged_s + JUDGE_SHARE * watched.cost_s:
            watched.due_s = now_s + WHILE_GROWING_S
        else:
            return False
        return True

    def _stays(self, watched: _Watched, now_s: float) -> bool:
        """Say whether a verdict that was given still stands on files and sidecars that have not changed."""
        judged = watched.judged
        growing = any(one.sighting.verdict.kind is VerdictKind.GROWING for one in judged)
        if not judged or growing or watched.group.unsaid_s is not None:
            return False
        sidecar = self._sidecar(watched.group)
        said = [Sidecar(one.sighting.sidecar, one.sighting.sidecar_problem) for one in judged]
        return all(one == sidecar for one in said) and self._still_is(watched.group, now_s)

    @staticmethod
    def _wait(watched: _Watched, now_s: float) -> None:
        """Set when a group is judged again, and when its files are looked at again."""
        unsaid_s = watched.group.unsaid_s
        rechecks_s = [judged.recheck_s for judged in watched.judged if judged.recheck_s is not None]
        rechecks_s += [unsaid_s] if unsaid_s is not None else []
        watched.judge_due_s = now_s + min([MEND_EVERY_S, *rechecks_s])
        watched.due_s = min(now_s + look_again_s(now_s - watched.group.changed_s), watched.judge_due_s)

    @staticmethod
    def _let_go(place: _Place, identity: DatasetIdentity) -> None:
        group = place.groups.pop(identity).group
        place.let_go[identity] = _LetGo(group.template.name, frozenset((identity, *group.parts)), group.is_tree)

    def _is_settled(self, place: _Place, watched: _Watched) -> bool:
        """Say whether a group seen anew is what it was when it was let go, and let it go again."""
        group = watched.group
        settled = self._settled.get(group.identity)
        if settled is None or watched.judged_s > float("-inf") or group.parts:
            return False
        if settled.terms is not None and settled.terms != group.terms:
            return False
        # what its headers would split is read again: without them it is one dataset, or several by its numbering
        dataset, *others = formats.FORMATS[group.template.format].split(group.dataset(), {})
        if others or fingerprint(dataset.files, dataset.directory) != settled.fingerprint:
            return False
        if settled.sidecar != self._sidecar(group):
            return False
        self._let_go(place, group.identity)
        return True

    @staticmethod
    def _has_ended(group: Group, judged: Sequence[Judged]) -> bool:
        """Say whether nothing but a change can tell more of any part, and none waits to be archived."""
        kinds = {one.sighting.verdict.kind for one in judged}
        ended = not kinds & {VerdictKind.GROWING, VerdictKind.COMPLETE}
        return ended and not (group.may_mend or group.unread_count or group.unsaid_s is not None)

    def _still_is(self, group: Group, now_s: float) -> bool:
        return group.confirm(lambda path: self._stat(self.root, path), now_s)

    def _sidecar(self, group: Group) -> Sidecar:
        return read_sidecars((f"{self.root}/{path}" for path in group.sidecars), self._read_file)

    def _judge(self, place: _Place, group: Group, now: datetime, now_s: float) -> list[Judged]:
        """Judge every dataset that the group is; a verdict stands on files that were asked for just now."""
        found = self._verdicts(place, group, now, now_s)
        ended = any(judged.sighting.verdict.kind is not VerdictKind.GROWING for judged in found)
        if ended and not self._still_is(group, now_s):
            found = self._verdicts(place, group, now, now_s)
        return found

    def _verdicts(self, place: _Place, group: Group, now: datetime, now_s: float) -> list[Judged]:
        form = formats.FORMATS[group.template.format]
        sidecar = self._sidecar(group)
        parts: dict[DatasetIdentity, Stillness] = {}
        found: list[Judged] = []
        group.unsaid_s = None
        if not group.files:
            return found
        for dataset, digest in group.divided(form.split):
            identity = identity_of(dataset)
            seen = group.parts.get(identity)
            parts[identity] = seen if seen and seen.fingerprint == digest else Stillness(digest, group.changed_s)
            settled = self._settled.get(identity)
            if settled is not None and (group.unread_count or settled == (digest, sidecar, None)):
                continue  # this part is archived, another one is not; or which of them grows is not read yet
            self._settled.pop(identity, None)
            quiet = self._quiet(place, dataset, now_s - parts[identity].since_s, now)
            verdict = self._verdict(group, dataset, quiet)
            if dataset.part is not None and dataset.part.remains and verdict.kind is VerdictKind.GROWING:
                group.unsaid_s = verdict.recheck_s or LONGEST_RECHECK_S
                continue  # most often it is being overwritten, and is nothing that anybody waits for
            header = form.metadata(dataset, group.probes)
            origin = origin_of(dataset, group.probes, header)
            sighting = sighting_of(self.root, group.rule, dataset, verdict, digest, header, sidecar, origin)
            follows = verdict.kind is VerdictKind.GROWING and group.rule.archive.follow
            closed = tuple(form.closed(dataset, group.probes)) if follows else ()
            found.append(Judged(identity, sighting, verdict.recheck_s, closed))
        group.parts = parts
        return found

    def _quiet(self, place: _Place, dataset: Dataset, quiet_s: float, now: datetime) -> Quiet:
        begun_ns, newest = place.newest.get(dataset.format, (0, ""))
        last_ns = max((file.mtime_ns for file in dataset.files), default=0)
        return Quiet(quiet_s, last_write_age_s(dataset.files, now), next_name=newest if begun_ns > last_ns else None)

    def _verdict(self, group: Group, dataset: Dataset, quiet: Quiet) -> Verdict:
        """Return the format's verdict; of a dataset that silence alone ends, open writers are asked for first."""
        form, unread = formats.FORMATS[dataset.format], group.unread_count
        verdict = form.judge(dataset, group.probes, quiet, group.terms)
        if verdict.by_quiescence and not unread:
            quiet = replace(quiet, **asked_for_writers(self.root, dataset.files))
            verdict = form.judge(dataset, group.probes, quiet, group.terms)
        recheck_s = verdict.recheck_s
        if unread:
            recheck_s = min(recheck_s or 1.0, 1.0)
            if verdict.kind is not VerdictKind.GROWING:
                # what was not still for one look was not read yet: no verdict stands on it
                evidence = (f"{len(dataset.files):,} files so far", f"{unread:,} not read yet")
                verdict = replace(verdict, kind=VerdictKind.GROWING, evidence=evidence)
        elif verdict.kind is VerdictKind.GROWING:
            recheck_s = min(recheck_s or LOOK_EVERY_S, LONGEST_RECHECK_S)
        return replace(verdict, recheck_s=None if recheck_s is None else max(recheck_s, SHORTEST_RECHECK_S))


def look_again_s(quiet_s: float) -> float:
    """Return the seconds to the next look at files that have been quiet for so long."""
    return min(max(quiet_s / 10.0, LOOK_SOON_S), LOOK_EVERY_S)


def asked_for_writers(root: str, files: Sequence[FileStat]) -> dict[str, Any]:
    """Return what :class:`Quiet` says of programs here that hold one of the newest files open for writing."""
    newest = sorted(files, key=lambda file: file.mtime_ns)[-MOST_WRITERS:]
    answers = {file.name: open_for_writing(f"{root}/{file.path}") for file in newest}
    return {
        "open_name": next((name for name, is_open in answers.items() if is_open), None),
        "writers_asked": None not in answers.values(),
    }


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
    origin: str | None,
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
        origin=origin,
    )


def origin_of(dataset: Dataset, probes: Mapping[str, Probe], header: Metadata) -> str | None:
    """Return what tells an acquisition from another one of the same name, None where that is not known now."""
    if "date" in header:
        return str(header["date"])
    first = dataset.files[0]
    is_read = (probe := probes.get(first.path)) is not None and bool(probe.facts)
    return origin_by_inode(first) if is_read and len(dataset.files) > 1 else None
