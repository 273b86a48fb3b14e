"""Watching one source: when to sweep, where to look sooner, and what became of the datasets in it.

:meth:`SourceWatcher.turn` does what is due and says when it wants to be called again; it owns no thread and no
clock, so that a test can walk it through a night in a moment.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.config import Rule
from depositd.engine.observing import DatasetIdentity, Judged, Observer
from depositd.engine.planning import Plan, after_sighting, after_vanishing
from depositd.engine.sidecars import Sidecar
from depositd.journal import DatasetRecord, Journal, PlannedDelivery, Recorded, SourceStatus
from depositd.model import DatasetState, Listing
from depositd.units import printable, show_count, show_duration
from depositd.watch.events import ChangedDirectories, Watching, watch
from depositd.watch.mounts import Identity, file_system_of, identity_of
from depositd.watch.sweep import Walk

UNAVAILABLE_RECHECK_S = 5.0
"""How soon a missing source is looked for again."""
SHORTEST_TURN_S = 0.2
SAVE_EVERY_S = 2.0
"""How often the numbers of a growing dataset go to the journal; a change of verdict goes at once."""
SAVE_UNCHANGED_EVERY_S = 30.0
"""The evidence of a growing dataset ages ("last write 41 s ago") although no file changes."""
TOGETHER = 500
"""Datasets recorded in one transaction."""
GROWING_LOOK_S = 5.0
"""A growing dataset is looked at at least this often, with or without events."""
LOOK_SHARE = 10.0
"""Looking at a directory may take one part in this many of the time between looks."""


@dataclass(slots=True)
class _Saved:
    dataset_id: int
    verdict: str
    fingerprint: str
    sidecar: Sidecar
    at_s: float


@dataclass(frozen=True, slots=True)
class Hands:
    """What a watcher needs of the outside: clocks, how to start events, and whom to tell.

    ``recorded`` hears of every dataset that changed its state or is new, ``said`` of sentences worth a log line.
    """

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    moved: Callable[[], None]
    recorded: Callable[[Recorded], None]
    said: Callable[[str], None]
    start_events: Callable[[str, str | None, ChangedDirectories], Watching] = watch
    file_system: Callable[[str], str | None] = file_system_of


class SourceWatcher:
    """Everything about one source between two turns."""

    def __init__(
        self, root: str, rules: Sequence[Rule], plan: Plan, journal: Journal, changed: ChangedDirectories, hands: Hands
    ) -> None:
        self.root = root
        self.swept_once = False
        self._plan = plan
        self._journal = journal
        self._changed = changed
        self._hands = hands
        self._rules = {rule.name: rule for rule in rules}
        self._observer = Observer(root, rules)
        self._walk = Walk(root, self._observer.claims, self._observer.prunes, self._failed, hands.moved)
        self._identity: Identity | None = None
        self._events: Watching | None = None
        self._next_sweep_s = 0.0
        self._listed: set[str] = set()
        self._due: dict[str, float] = {}
        self._cost_s: dict[str, float] = {}
        self._saved: dict[DatasetIdentity, _Saved] = {}
        self._unreadable: dict[str, str] = {}
        self._problem: str | None = None
        self._load()

    def turn(self) -> float:
        """Do what is due; return the seconds after which it should be called again, at the latest."""
        if not self._available():
            return UNAVAILABLE_RECHECK_S
        now_s = self._hands.monotonic()
        directories, overflown = self._take_changed()
        if overflown or now_s >= self._next_sweep_s:
            self._sweep()
        else:
            self._look(directories | {place for place, due in self._due.items() if due <= now_s})
        return self._rest_s()

    def close(self) -> None:
        """End the events."""
        if self._events is not None:
            self._events.stop()
            self._events = None

    # --- is it there? -------------------------------------------------------------------------------------------

    def _available(self) -> bool:
        try:
            identity = identity_of(self.root)
            with os.scandir(self.root) as entries:
                empty = next(iter(entries), None) is None
        except OSError as error:
            self._unavailable(f"{error.strerror or error}")
            return False
        before = self._identity
        if empty and before is not None and identity.device != before.device:
            self._unavailable("it is empty and on another file system than before: is the share unmounted?")
            return False
        if empty and self._saved and (identity != before or self._problem is not None):
            self._unavailable(
                f"it is empty, and {len(self._saved):,} datasets there are not archived yet: is it mounted?"
            )
            return False
        if identity != before or self._events is None:
            self.close()
            self._events = self._hands.start_events(self.root, self._hands.file_system(self.root), self._changed)
            self._identity = identity
            self._next_sweep_s = 0.0
        if self._problem is not None:
            self._hands.said(f"source {printable(self.root)} is back")
            self._problem = None
        return True

    def _unavailable(self, why: str) -> None:
        self.close()
        problem = f"source {printable(self.root)} is unavailable: {why}; it is taken up again when it comes back"
        if problem != self._problem:
            self._problem = problem
            self._hands.said(problem)
            self._journal.surroundings.source(SourceStatus(self.root, "unavailable", "not watched", problem))
        self.swept_once = True  # there is nothing to wait for: what cannot be read cannot be found

    # --- looking ------------------------------------------------------------------------------------------------

    def _take_changed(self) -> tuple[set[str], bool]:
        absolute, overflown = self._changed.take()
        prefix = self.root.rstrip("/") + "/"
        relative = {path[len(prefix) :] for path in absolute if path.startswith(prefix)}
        if self.root in absolute or prefix in absolute:
            relative.add("")
        return relative, overflown

    def _sweep(self) -> None:
        began_s = self._hands.monotonic()
        self._unreadable = {}
        self._take_over(self._journal.datasets.unsettled_of(self.root))
        listed: set[str] = set()
        files = 0
        for listing in self._walk.sweep():
            listed.add(listing.directory)
            self._listed.add(listing.directory)
            files += len(listing.files) + sum(len(entries) for entries in listing.trees.values())
            self._observe(listing)
        self._listed = listed
        self._cost_s = {place: cost_s for place, cost_s in self._cost_s.items() if place in listed}
        self._vanish(identity for identity in self._saved if identity.directory not in listed)
        duration_s = self._hands.monotonic() - began_s
        every_s = max(self._plan.config.sweep_every_s, LOOK_SHARE * duration_s)
        self._next_sweep_s = self._hands.monotonic() + every_s
        assert self._events is not None
        means = f"{self._events.means}; swept every {show_duration(every_s)}"
        problem = None
        if self._unreadable:
            directory, why = next(iter(self._unreadable.items()))
            count = show_count(len(self._unreadable), "directory", "directories")
            problem = f"{count} cannot be read, first {printable(directory) or 'the top one'}: {why}"
        status = SourceStatus(self.root, "watched", means, problem, self._hands.clock(), files, duration_s)
        self._journal.surroundings.source(status)
        # only now: who waits for the first sweep then asks the journal, what is growing where
        self.swept_once = True

    def _look(self, directories: set[str]) -> None:
        for place in sorted({self._walk.place_of(directory) for directory in directories}):
            if self._observer.prunes(place) or self._too_soon(place):
                continue
            began_s = self._hands.monotonic()
            self._due.pop(place, None)
            found = False
            for listing in self._walk.look(place, self._listed):
                found = True
                self._listed.add(listing.directory)
                self._observe(listing)
            if not found and place not in self._unreadable:
                self._vanish(identity for identity in self._saved if identity.directory == place)
            self._cost_s[place] = self._hands.monotonic() - began_s

    def _too_soon(self, place: str) -> bool:
        """Put a look off where looks at this directory would take too large a share of the time."""
        due_s = self._due.get(place)
        now_s = self._hands.monotonic()
        if due_s is not None and due_s <= now_s:
            return False
        pause_s = max(SHORTEST_TURN_S, LOOK_SHARE * self._cost_s.get(place, 0.0))
        if place not in self._cost_s:
            return False
        self._due[place] = min(due_s, now_s + pause_s) if due_s is not None else now_s + pause_s
        return True

    def _observe(self, listing: Listing) -> None:
        now_s = self._hands.monotonic()
        found = self._observer.look(listing, self._hands.clock(), now_s)
        for first in range(0, len(found), TOGETHER):
            for recorded in self._record_together(found[first : first + TOGETHER], now_s):
                self._hands.recorded(recorded)
            self._hands.moved()
        waits_s = [
            min(judged.recheck_s or GROWING_LOOK_S, GROWING_LOOK_S)
            for judged in found
            # a complete one is looked at until it is archived: what is archived must be what was judged
            if judged.recheck_s is not None or judged.sighting.verdict.kind in ("growing", "complete")
        ]
        if waits_s:
            cost_s = self._hands.monotonic() - now_s
            due_s = now_s + max(min(waits_s), LOOK_SHARE * cost_s)
            self._due[listing.directory] = min(self._due.get(listing.directory, due_s), due_s)
        seen = {judged.identity for judged in found}
        self._vanish(
            identity for identity in self._saved if identity.directory == listing.directory and identity not in seen
        )

    # --- recording ----------------------------------------------------------------------------------------------

    def _record_together(self, batch: Sequence[Judged], now_s: float) -> list[Recorded]:
        """Record many looks in one durable transaction: a tree of 20,000 datasets must not cost 20,000 of them."""
        told: list[Recorded] = []
        try:
            with self._journal.together():
                for judged in batch:
                    told += self._record(judged, now_s)
        except BaseException:
            # what was undone in the journal must not be remembered as done
            for judged in batch:
                self._saved.pop(judged.identity, None)
                self._observer.forget(judged.identity)
            raise
        return told

    def _record(self, judged: Judged, now_s: float) -> list[Recorded]:
        """Record one look inside the caller's transaction; return what should be told of it."""
        sighting = judged.sighting
        sidecar = Sidecar(sighting.sidecar, sighting.sidecar_problem)
        saved = self._saved.get(judged.identity)
        same_verdict = saved is not None and saved.verdict == sighting.verdict.kind and saved.sidecar == sidecar
        if saved is not None and same_verdict:
            unchanged = saved.fingerprint == sighting.fingerprint
            if unchanged and not self._is_worth_a_word(judged, saved):
                return []
            if sighting.verdict.kind == "growing" and now_s - saved.at_s < SAVE_EVERY_S:
                return []
        # what ended and what it means for its deliveries: nobody may act on the one without the other
        recorded = self._journal.datasets.record(sighting, self._planned(sighting.rule), self._hands.clock())
        told = recorded.event is not None or recorded.is_new or not same_verdict
        if told:
            after_sighting(self._plan, self._journal, recorded, self._hands.clock())
        record = recorded.record
        self._saved[judged.identity] = _Saved(record.id, sighting.verdict.kind, sighting.fingerprint, sidecar, now_s)
        if record.state is DatasetState.ARCHIVED:
            self._observer.settle(judged.identity, sighting)
            self._saved.pop(judged.identity, None)
        return [recorded] if told else []

    def _is_worth_a_word(self, judged: Judged, saved: _Saved) -> bool:
        """Say whether an unchanged dataset is recorded again: seldom while it grows, else if the journal moved on."""
        if judged.sighting.verdict.kind == "growing":
            return self._hands.monotonic() - saved.at_s >= SAVE_UNCHANGED_EVERY_S
        return self._is_stale(saved)

    def _is_stale(self, saved: _Saved) -> bool:
        """Say whether the journal has moved on (archived, changed while it was archived) since we wrote to it."""
        record = self._journal.datasets.get(saved.dataset_id)
        return record is not None and (record.state is DatasetState.ARCHIVED or record.verdict != saved.verdict)

    def _planned(self, rule_name: str) -> list[PlannedDelivery]:
        return self._plan.planned(self._rules[rule_name])

    def _vanish(self, identities: Iterable[DatasetIdentity]) -> None:
        """Record datasets whose files are gone, unless their directory merely cannot be read."""
        gone = [identity for identity in identities if not self._is_unreadable(identity.directory)]
        if not gone or not self._is_same_root():
            return
        now = self._hands.clock()
        with self._journal.together():
            records = self._journal.datasets.vanish([self._saved[identity].dataset_id for identity in gone], now)
            for record in records:
                after_vanishing(self._journal, record, now)
        for identity in gone:
            self._observer.forget(identity)
            del self._saved[identity]
        for record in records:
            self._hands.said(f"dataset {record.id} {printable(record.name)} is gone: {printable(record.path)}")

    def _is_same_root(self) -> bool:
        """Say whether the root is still what it was when the look began: an unmounted share loses nothing."""
        try:
            return identity_of(self.root) == self._identity
        except OSError:
            return False

    def _is_unreadable(self, directory: str) -> bool:
        parts = directory.split("/")
        return any("/".join(parts[:depth]) in self._unreadable for depth in range(len(parts) + 1))

    def _failed(self, directory: str, error: OSError) -> None:
        if isinstance(error, (FileNotFoundError, NotADirectoryError)):
            return  # it went away between two looks, which is no fault
        if directory not in self._unreadable:
            self._unreadable[directory] = error.strerror or str(error)

    def _load(self) -> None:
        """Take over from the journal what is settled and what was under way."""
        for record in self._journal.datasets.current_of(self.root):
            if record.state is DatasetState.ARCHIVED:
                sidecar = Sidecar(record.sidecar, record.sidecar_problem)
                self._observer.known_settled(_identity_of(record), record.fingerprint, sidecar)
        self._take_over(self._journal.datasets.unsettled_of(self.root))

    def _take_over(self, unsettled: Iterable[DatasetRecord]) -> None:
        """Look after datasets that have not settled, also those whose archive was lost; not those that came by hand."""
        for record in unsettled:
            identity = _identity_of(record)
            if record.rule and identity not in self._saved:
                self._observer.forget(identity)
                sidecar = Sidecar(record.sidecar, record.sidecar_problem)
                self._saved[identity] = _Saved(record.id, "", "", sidecar, float("-inf"))

    def _rest_s(self) -> float:
        next_s = min([self._next_sweep_s, *self._due.values()])
        return max(next_s - self._hands.monotonic(), SHORTEST_TURN_S)


def _identity_of(record: DatasetRecord) -> DatasetIdentity:
    return DatasetIdentity(record.format, record.directory, record.key)


def sources(rules: Sequence[Rule]) -> Mapping[str, list[Rule]]:
    """Return each watched directory with the rules that watch it, in the config's order."""
    found: dict[str, list[Rule]] = {}
    for rule in rules:
        for directory in rule.watch:
            found.setdefault(str(directory), []).append(rule)
    return found
