"""Watching one source: when to sweep, where to look sooner, and what became of the datasets in it.

:meth:`SourceWatcher.turn` does what is due and says when it wants to be called again; it owns no thread and no
clock, so that a test can walk it through a night in a moment.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.config import Rule
from depositd.engine.gentleness import HEADER_BYTES
from depositd.engine.groups import DatasetIdentity
from depositd.engine.observing import LOOK_EVERY_S, Judged, Observer
from depositd.engine.planning import Plan, after_overwriting, after_sighting, after_vanishing
from depositd.engine.sidecars import NONE, Sidecar
from depositd.journal import DatasetRecord, Journal, PlannedDelivery, Recorded, SourceStatus
from depositd.model import DatasetState, FileStat, Listing
from depositd.units import printable, show_count, show_duration
from depositd.watch.events import ChangedDirectories, Watching, watch
from depositd.watch.memory import Memory
from depositd.watch.mounts import Identity, file_system_of, identity_of
from depositd.watch.sweep import Walk

UNAVAILABLE_RECHECK_S = 5.0
"""How soon a missing source is looked for again."""
FORMER_ROOT_S = 3600.0
"""Where a root is renamed and made anew, what was in the former one is not called gone before this."""
SHORTEST_TURN_S = 0.2
SAVE_EVERY_S = 2.0
"""How often the numbers of a growing dataset go to the journal; a change of verdict goes at once."""
CATCH_UP_EVERY_S = 2.0
"""How often the journal is asked what became of the datasets that are waited for."""
TOGETHER = 500
"""Datasets recorded in one transaction."""
LOOK_SHARE = 10.0
"""Looking at a directory may take one part in this many of the time between looks."""
WHOLE_SHARE = 50.0
"""And asking every file of it for size and times, one part in this many."""
SWEEP_SHARE = 10.0
"""Sweeping a source may take one part in this many of the time."""
UNHEARD_SWEEP_S = 2.0
"""Without events a source is swept this often, as far as that costs little: only directories are asked."""


@dataclass(slots=True)
class _Saved:
    dataset_id: int
    verdict: str
    fingerprint: str
    sidecar: Sidecar
    at_s: float
    origin: str | None = None


@dataclass(slots=True)
class _Effort:
    """What looks at one directory cost, and when the last one that asked every file was."""

    cost_s: float = 0.0
    whole_cost_s: float = 0.0
    whole_at_s: float = float("-inf")


@dataclass(frozen=True, slots=True)
class Hands:
    """What a watcher needs of the outside: clocks, how to start events, and whom to tell.

    ``moved`` is called all along, and may raise Interrupted to end the last turn.  ``recorded`` hears of every dataset
    that changed its state or is new, ``closed`` of the files of a growing dataset (its number in the journal) that can
    be archived already, ``said`` of sentences worth a log line.
    """

    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    moved: Callable[[], None]
    recorded: Callable[[Recorded], None]
    said: Callable[[str], None]
    closed: Callable[[int, tuple[FileStat, ...]], None] = lambda _dataset_id, _files: None
    start_events: Callable[[str, str | None, ChangedDirectories], Watching] = watch
    file_system: Callable[[str], str | None] = file_system_of


class SourceWatcher:
    """Everything about one source between two turns."""

    def __init__(
        self, root: str, rules: Sequence[Rule], plan: Plan, journal: Journal, changed: ChangedDirectories, hands: Hands
    ) -> None:
        self.root = root
        self.swept_once = False
        self.files_swept = 0
        self.in_doubt = False
        self._plan = plan
        self._journal = journal
        self._changed = changed
        self._hands = hands
        self._rules = {rule.name: rule for rule in rules}
        self._read_limit = plan.gentleness.limit_of(root)
        self._waited_s = 0.0
        self._observer = Observer(root, rules, moved=hands.moved, has_read=self._has_read)
        walk = Walk(root, self._observer.claims, self._observer.prunes, self._failed, hands.moved)
        self._place_of = walk.place_of
        self._memory = Memory(walk, hands.monotonic)
        self._identity: Identity | None = None
        self._events: Watching | None = None
        self._next_sweep_s = 0.0
        self._next_thorough_s = 0.0
        self._sweep_cost_s = 0.0
        self._due: dict[str, float] = {}
        self._effort: dict[str, _Effort] = {}
        self._saved: dict[DatasetIdentity, _Saved] = {}
        self._saved_in: dict[str, set[DatasetIdentity]] = {}
        self._unreadable: dict[str, str] = {}
        self._problem: str | None = None
        self._former: frozenset[DatasetIdentity] = frozenset()
        self._former_until_s = 0.0
        self._told: tuple[str, str | None] = ("", None)
        self._caught_up_s = float("-inf")
        self._load()

    @property
    def is_available(self) -> bool:
        """Say whether the source was there at the last turn."""
        return self._identity is not None and self._problem is None

    @property
    def is_gentle(self) -> bool:
        """Say whether the source is to be read gently."""
        return self._read_limit is not None

    def turn(self) -> float:
        """Do what is due; return the seconds after which it should be called again, at the latest."""
        if not self._available():
            return UNAVAILABLE_RECHECK_S
        now_s = self._hands.monotonic()
        directories, overflown = self._take_changed()
        assert self._events is not None
        lost = self._events.pulse(now_s, self._memory.directories)
        if overflown or lost or now_s >= self._next_sweep_s:
            self._sweep()
        self._catch_up(now_s)
        self._look(directories | {place for place, due in self._due.items() if due <= now_s})
        self._tell_means()
        self.in_doubt = self._observer.in_doubt
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
            if before is not None and identity != before:
                self._wait_for_the_former()
            self._start_anew()
        if self._problem is not None:
            self._hands.said(f"source {printable(self.root)} is back")
            self._problem = None
        return True

    def _unavailable(self, why: str) -> None:
        self.close()
        problem = f"source {printable(self.root)} is unavailable: {why}; it is taken up again when it comes back"
        if problem != self._problem:
            self._start_anew()
            self._problem = problem
            self._hands.said(problem)
            self._journal.surroundings.source(SourceStatus(self.root, "unavailable", "not watched", problem))
        self.swept_once = True  # there is nothing to wait for: what cannot be read cannot be found

    def _wait_for_the_former(self) -> None:
        """Take another directory in the root's place for what it is: what was seen in the former one is not deleted."""
        self._former = frozenset(self._saved)
        self._former_until_s = self._hands.monotonic() + FORMER_ROOT_S
        if self._former:
            self._hands.said(
                f"source {printable(self.root)} is another directory than before:"
                f" {show_count(len(self._former), 'dataset')} of the former one are waited for,"
                f" for {show_duration(FORMER_ROOT_S)}"
            )

    def _start_anew(self) -> None:
        """See everything for the first time at the next sweep: it is another directory, or was away."""
        self._memory.clear()
        self._observer.clear()
        self._next_sweep_s = self._next_thorough_s = 0.0

    # --- looking ------------------------------------------------------------------------------------------------

    def _take_changed(self) -> tuple[set[str], bool]:
        absolute, overflown = self._changed.take()
        prefix = self.root.rstrip("/") + "/"
        relative = {path[len(prefix) :] for path in absolute if path.startswith(prefix)}
        if self.root in absolute or prefix in absolute:
            relative.add("")
        return relative, overflown

    def _sweep(self) -> None:
        """Look at every directory that can have changed; now and then at every one."""
        began_s, working_s = self._hands.monotonic(), self._working_s()
        thorough = began_s >= self._next_thorough_s
        self._unreadable = {}
        self._take_over(self._journal.datasets.unsettled_of(self.root))
        self.files_swept = 0
        for listing in self._memory.sweep(thorough=thorough):
            self.files_swept += len(listing.files) + sum(map(len, listing.trees.values()))
            self._observe(listing)
        self._effort = {place: effort for place, effort in self._effort.items() if self._memory.knows(place)}
        self._due = {place: due for place, due in self._due.items() if self._memory.knows(place)}
        for directory in [directory for directory in self._saved_in if not self._memory.knows(directory)]:
            self._vanish(list(self._saved_in[directory]))
        ended_s = self._hands.monotonic()
        self._sweep_cost_s = self._working_s() - working_s
        config = self._plan.config
        if thorough:
            # data leave their source once they have arrived, and a daemon runs for months
            self._observer.keep_settled(self._memory.knows)
            every_s = max(config.thorough_every_s, SWEEP_SHARE * self._sweep_cost_s)
            self._next_thorough_s = ended_s + every_s
        self._next_sweep_s = ended_s + self._sweep_every_s()
        self._tell_source(ended_s - began_s)
        self.in_doubt = self._observer.in_doubt
        # only now: who waits for the first sweep then asks the journal, what is growing where
        self.swept_once = True

    def _sweep_every_s(self) -> float:
        assert self._events is not None
        every_s = self._plan.config.sweep_every_s
        if not self._events.hears:
            every_s = min(every_s, UNHEARD_SWEEP_S)
        return max(every_s, SWEEP_SHARE * self._sweep_cost_s)

    def _tell_source(self, duration_s: float) -> None:
        """Record by which means the source is watched, and what the sweep found."""
        assert self._events is not None
        every = f"swept every {show_duration(self._sweep_every_s())}"
        self._told = (self._events.means, self._events.problem)
        problem = self._events.problem
        if self._unreadable:
            directory, why = next(iter(self._unreadable.items()))
            count = show_count(len(self._unreadable), "directory", "directories")
            problem = f"{count} cannot be read, first {printable(directory) or 'the top one'}: {why}"
        means = f"{self._events.means}; {every}"
        files = self._memory.files
        status = SourceStatus(self.root, "watched", means, problem, self._hands.clock(), files, duration_s)
        self._journal.surroundings.source(status)

    def _tell_means(self) -> None:
        """Say at once when a source is watched by other means than before, or there is a problem with them."""
        assert self._events is not None
        told = (self._events.means, self._events.problem)
        if told == self._told:
            return
        if told[1] != self._told[1]:
            said = told[1] or f"{self._events.means} again"
            self._hands.said(f"source {printable(self.root)}: {said}")
        self._told = told
        self._next_sweep_s = min(self._next_sweep_s, self._hands.monotonic() + self._sweep_every_s())
        means = f"{told[0]}; swept every {show_duration(self._sweep_every_s())}"
        self._journal.surroundings.source_means(self.root, means, told[1])

    def _look(self, directories: set[str]) -> None:
        for place in sorted({self._place_of(directory) for directory in directories}):
            if self._observer.prunes(place) or self._too_soon(place):
                continue
            began_s, working_s = self._hands.monotonic(), self._working_s()
            self._due.pop(place, None)
            effort = self._effort_of(place)
            whole = began_s >= effort.whole_at_s + WHOLE_SHARE * effort.whole_cost_s
            found, judging_s = False, 0.0
            for listing in self._memory.look(place, whole=whole):
                found = True
                before_s = self._working_s()
                self._observe(listing)
                judging_s += self._working_s() - before_s
            if not found and place not in self._unreadable:
                self._vanish(list(self._saved_in.get(place, ())))
            # judging sees to its own share of the time
            cost_s = self._working_s() - working_s - judging_s
            if whole:
                effort.whole_at_s, effort.whole_cost_s = began_s, cost_s
            else:
                effort.cost_s = cost_s

    def _effort_of(self, place: str) -> _Effort:
        return self._effort.setdefault(place, _Effort())

    def _too_soon(self, place: str) -> bool:
        """Put a look off where looks at this directory would take too large a share of the time."""
        due_s = self._due.get(place)
        now_s = self._hands.monotonic()
        if (due_s is not None and due_s <= now_s) or place not in self._effort:
            return False
        pause_s = max(SHORTEST_TURN_S, LOOK_SHARE * self._effort[place].cost_s)
        self._due[place] = min(due_s, now_s + pause_s) if due_s is not None else now_s + pause_s
        return True

    def _observe(self, listing: Listing) -> None:
        """Take in one listing, record what is judged, and set when the directory is looked at again."""
        directory = listing.directory
        if self._observer.needs_all(listing):
            self._memory.forget(directory)
            for whole in self._memory.look(directory, whole=True):
                self._observe(whole)
            return
        now_s = self._hands.monotonic()
        found = self._observer.look(listing, self._hands.clock(), now_s)
        for first in range(0, len(found), TOGETHER):
            for recorded in self._record_together(found[first : first + TOGETHER], now_s):
                self._hands.recorded(recorded)
            self._hands.moved()
        for judged in found:
            # a gentle source is spared while the instrument writes
            if judged.closed and judged.identity in self._saved and not self.is_gentle:
                self._hands.closed(self._saved[judged.identity].dataset_id, judged.closed)
        self._vanish([one for one in self._saved_in.get(directory, ()) if self._observer.is_gone(one)])
        due_s = self._observer.due_s(directory)
        if due_s is not None:
            if self._observer.is_busy(directory):
                due_s = max(due_s, now_s + min(LOOK_SHARE * self._effort_of(directory).cost_s, LOOK_EVERY_S))
            self._due[directory] = due_s
        elif self._observer.rest(directory):
            self._memory.rest(directory)
            self._due.pop(directory, None)

    def _has_read(self) -> None:
        """Wait as long as the header of one file takes in a gentle source."""
        if self._read_limit is not None:
            began_s = self._hands.monotonic()
            self._read_limit.take(HEADER_BYTES, self._hands.moved)
            self._waited_s += self._hands.monotonic() - began_s

    def _working_s(self) -> float:
        """Return a time that stands still while a gentle source is waited for: how often to look follows the work."""
        return self._hands.monotonic() - self._waited_s

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
                self._unsave(judged.identity)
                self._forget(judged.identity)
            raise
        return told

    def _record(self, judged: Judged, now_s: float) -> list[Recorded]:
        """Record one look inside the caller's transaction; return what should be told of it."""
        sighting = judged.sighting
        sidecar = Sidecar(sighting.sidecar, sighting.sidecar_problem)
        saved = self._saved.get(judged.identity)
        same_verdict = saved is not None and saved.verdict == sighting.verdict.kind and saved.sidecar == sidecar
        same_origin = saved is not None and saved.origin == sighting.origin
        if saved is not None and same_verdict and same_origin:
            unchanged = saved.fingerprint == sighting.fingerprint
            if unchanged and sighting.verdict.kind != "growing":
                return []
            if not unchanged and sighting.verdict.kind == "growing" and now_s - saved.at_s < SAVE_EVERY_S:
                return []
        # what ended and what it means for its deliveries: nobody may act on the one without the other
        recorded = self._journal.datasets.record(sighting, self._planned(sighting.rule), self._hands.clock())
        if recorded.overwritten is not None:
            after_overwriting(self._journal, recorded.overwritten, self._hands.clock())
        told = recorded.event is not None or recorded.is_new or not same_verdict
        if told:
            after_sighting(self._plan, self._journal, recorded, self._hands.clock())
        record = recorded.record
        now_saved = _Saved(record.id, sighting.verdict.kind, sighting.fingerprint, sidecar, now_s, sighting.origin)
        self._save(judged.identity, now_saved)
        if record.state is DatasetState.ARCHIVED:
            self._observer.settle(judged.identity, sighting.fingerprint, sidecar)
            self._unsave(judged.identity)
        return [recorded] if told else []

    def _catch_up(self, now_s: float) -> None:
        """Let go of what was archived meanwhile, and look again at what the archiver found changed."""
        if not self._saved or now_s < self._caught_up_s + CATCH_UP_EVERY_S:
            return
        self._caught_up_s = now_s
        unsettled = self._journal.datasets.verdicts_of(self.root)
        for identity, saved in list(self._saved.items()):
            if saved.dataset_id in unsettled:
                if saved.verdict not in ("", "growing", unsettled[saved.dataset_id]):
                    saved.verdict = ""
                    self._observer.judge_again(identity)
                    self._due[identity.directory] = now_s
                continue
            record = self._journal.datasets.get(saved.dataset_id)
            if record is not None and record.state is DatasetState.ARCHIVED:
                self._observer.settle(identity, record.fingerprint, Sidecar(record.sidecar, record.sidecar_problem))
                self._unsave(identity)
                self._due[identity.directory] = now_s

    def _planned(self, rule_name: str) -> list[PlannedDelivery]:
        return self._plan.planned(self._rules[rule_name])

    def _vanish(self, identities: Iterable[DatasetIdentity]) -> None:
        """Record datasets whose files are gone, unless their directory merely cannot be read."""
        gone = [identity for identity in identities if not self._is_unreadable(identity.directory)]
        if self._former and self._hands.monotonic() < self._former_until_s:
            gone = [identity for identity in gone if identity not in self._former]
        if not gone or not self._is_same_root():
            return
        now = self._hands.clock()
        with self._journal.together():
            records = self._journal.datasets.vanish([self._saved[identity].dataset_id for identity in gone], now)
            for record in records:
                after_vanishing(self._journal, record, now)
        for identity in gone:
            self._observer.forget(identity)
            self._unsave(identity)
        for record in records:
            self._hands.said(f"dataset {record.id} {printable(record.name)} is gone: {printable(record.path)}")

    def _save(self, identity: DatasetIdentity, saved: _Saved) -> None:
        self._saved[identity] = saved
        self._saved_in.setdefault(identity.directory, set()).add(identity)

    def _unsave(self, identity: DatasetIdentity) -> None:
        if self._saved.pop(identity, None) is not None:
            beside = self._saved_in[identity.directory]
            beside.discard(identity)
            if not beside:
                del self._saved_in[identity.directory]

    def _forget(self, identity: DatasetIdentity) -> None:
        """See a dataset for the first time at the next look, which then must show all of its directory."""
        self._observer.forget(identity.group)
        self._observer.forget(identity)
        self._memory.forget(identity.directory)

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
        directories: dict[str, str] = {}
        for known in self._journal.datasets.archived_of(self.root):
            directory = directories.setdefault(known.directory, known.directory)
            identity = DatasetIdentity(sys.intern(known.format), directory, known.key)
            sidecar = Sidecar(known.sidecar, known.sidecar_problem) if known.sidecar or known.sidecar_problem else NONE
            self._observer.settle(identity, known.fingerprint, sidecar)
        self._take_over(self._journal.datasets.unsettled_of(self.root))

    def _take_over(self, unsettled: Iterable[DatasetRecord]) -> None:
        """Look after datasets that have not settled, also those whose archive was lost; not those that came by hand."""
        for record in unsettled:
            identity = _identity_of(record)
            if record.rule and identity not in self._saved:
                self._forget(identity)
                sidecar = Sidecar(record.sidecar, record.sidecar_problem)
                self._save(identity, _Saved(record.id, "", "", sidecar, float("-inf")))

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
            found.setdefault(directory.as_posix(), []).append(rule)
    return found
