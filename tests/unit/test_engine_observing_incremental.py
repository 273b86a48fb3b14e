"""Fed by what differs from look to look, an observer comes to the same verdicts as one that is shown everything."""

from __future__ import annotations

import stat
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta

import pytest
from engine_support import NOW, rule_of, sidecar_of
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from depositd.engine.observing import Observer
from depositd.formats import facts
from depositd.model import FileStat, Probe, VerdictKind
from depositd.watch.memory import Memory
from depositd.watch.sweep import Walk, file_stat

K = VerdictKind
ROOT = "/data"
SETTLE_S = 10.0
WHOLE_BYTES = 100
DIRECTORIES = ("", "a")
FRAMES = [f"{prefix}_{number:04}.cbf" for prefix in ("x", "y_2") for number in range(1, 5)]
NAMES = [*FRAMES, "x_00001.cbf", "s.wiff", "s.wiff.scan", "t.wiff", "t.wiff.scan", "run.raw/_FUNC001.DAT"]
NAMES += ["run.raw/_HEADER.TXT", "notes.txt"]
COMPANIONS = ("x.done", "y_2.done", "deposit.yaml", "y_2.deposit.yaml")
SAID = {
    "first": {"wavelength_A": 1.0, "date": "2026-11-21T02:00:00"},
    "second": {"wavelength_A": 1.1, "date": "2026-11-21T02:00:00"},
    "again": {"wavelength_A": 1.0, "date": "2026-11-21T05:00:00"},
    "nothing": {},
}


@dataclass(frozen=True)
class File:
    size: int
    mtime_s: float
    inode: int
    said: str
    changed_s: float
    allocated: int = 8
    content_s: float = 0.0


class Tree:
    """Files as values; the times of directories move as a file system moves them, in ticks of a second."""

    def __init__(self):
        self.files, self.touched, self.next_inode, self.now_s = {}, {"": 0.0, "a": 0.0}, 10, 0.0

    def put(self, path, file):
        before = self.files.get(path)
        if before is None:
            self._touch(path)
        same = before is not None and (before.size, before.mtime_s) == (file.size, file.mtime_s)
        self.files[path] = replace(file, content_s=before.content_s if same else self.now_s)

    def remove(self, path):
        self._touch(path)
        return self.files.pop(path)

    def _touch(self, path):
        directory = path.rpartition("/")[0]
        if directory not in self.touched:
            self._touch(directory)
        self.touched[directory] = self.now_s // 1

    def stat(self, path):
        file = self.files[path]
        times = {"st_mtime_ns": round(file.mtime_s * 1e9), "st_ctime_ns": round(file.changed_s * 1e9)}
        values = (stat.S_IFREG | 0o644, file.inode, 1, 1, 0, 0, file.size, 0, 3, 4)
        return os_stat(values, {"st_blocks": file.allocated, **times})

    def stat_at(self, _root, path):
        return file_stat(path, self.stat(path)) if path in self.files else None

    def sign(self, path):
        directory = path.removeprefix(ROOT).removesuffix("/.").lstrip("/")
        if directory not in self.touched:
            raise FileNotFoundError(2, "gone", path)
        return 1, 1, round(self.touched[directory] * 1e9), 0

    @contextmanager
    def scan(self, path):
        directory = path.removeprefix(ROOT).removesuffix("/.").lstrip("/")
        if directory not in self.touched:
            raise FileNotFoundError(2, "gone", path)
        prefix = f"{directory}/" if directory else ""
        below = {place for place in self.touched if place and place.rpartition("/")[0] == directory}
        inside = [path for path in self.files if path.rpartition("/")[0] == directory]
        yield iter([Entry(self, path, prefix) for path in (*below, *inside)])

    def probe(self, form, path, file):
        there = self.files.get(path.removeprefix(ROOT + "/"))
        if there is None:
            return Probe("cannot be read", retry=True)
        problem = None if there.size >= WHOLE_BYTES else "ends early"
        said = facts.shared(SAID[there.said]) if form.name == "frames" else {}
        return Probe(problem, retry=problem is not None, facts=said)

    def read(self, path):
        file = self.files.get(path.removeprefix(ROOT + "/"))
        return None if file is None else f"title: {file.said} {file.size}\n".encode()


def os_stat(values, more):
    import os

    return os.stat_result(values, more)


class Entry:
    def __init__(self, tree, path, prefix):
        self.name, self._path, self._tree = path[len(prefix) :], path, tree

    def is_dir(self, *, follow_symlinks=True):
        assert not follow_symlinks
        return self._path in self._tree.touched

    def stat(self, *, follow_symlinks=True):
        assert not follow_symlinks
        return self._tree.stat(self._path)


class Watcher:
    """An observer with what it was told last of every dataset, and those that are archived as they were then."""

    def __init__(self, tree, rules):
        self.tree, self.judged, self.archived, self.due = tree, {}, {}, {}
        self.observer = Observer(ROOT, rules, tree.read, stat=tree.stat_at, probe=tree.probe, timer=lambda: 0.0)
        self.walk = Walk(
            ROOT, self.observer.claims, self.observer.prunes, lambda _p, _e: None, lambda: None, tree.scan, tree.sign
        )
        self.memory = Memory(self.walk, lambda: tree.now_s)
        self.told = []

    def sweep(self, *, thorough):
        for listing in self.memory.sweep(thorough=thorough):
            self.observe(listing)

    def look(self, directory, *, whole):
        for listing in self.memory.look(directory, whole=whole):
            self.observe(listing)

    def look_where_due(self):
        for directory in [place for place, due_s in self.due.items() if due_s <= self.tree.now_s]:
            self.look(directory, whole=False)

    def observe(self, listing):
        directory = listing.directory
        if self.observer.needs_all(listing):
            self.memory.forget(directory)
            self.look(directory, whole=True)
            return
        now_s = self.tree.now_s
        for judged in self.observer.look(listing, NOW + timedelta(seconds=now_s), now_s):
            self.told.append((now_s, judged))
            if self.archived.get(judged.identity) == judged.sighting.fingerprint:
                # as the journal does: what is archived as it is stays so
                self.observer.settle(judged.identity, judged.sighting.fingerprint, sidecar_of(judged))
                continue
            self.judged[judged.identity] = judged
            self.archived.pop(judged.identity, None)
        for identity in [one for one in self.judged if one.directory == directory and self.observer.is_gone(one)]:
            self.judged.pop(identity)
            self.archived.pop(identity, None)
            self.observer.forget(identity)
            self.memory.forget(directory)
        due_s = self.observer.due_s(directory)
        if due_s is not None:
            self.due[directory] = due_s
        elif self.observer.rest(directory):
            self.memory.rest(directory)
            self.due.pop(directory, None)

    def archive(self, identity):
        judged = self.judged.pop(identity)
        self.archived[identity] = judged.sighting.fingerprint
        self.observer.settle(identity, judged.sighting.fingerprint, sidecar_of(judged))

    def found(self):
        """Return {identity: what is known of it} for all that is there."""
        return {identity: what_is_known(judged) for identity, judged in self.judged.items()}


def what_is_known(judged):
    sighting = judged.sighting
    verdict, dataset = sighting.verdict, sighting.dataset
    return (
        dataset.name,
        verdict.kind,
        sighting.fingerprint,
        verdict.frames,
        dataset.part,
        sighting.origin,
        sighting.sidecar,
    )


def shown_everything(tree, rules):
    """Return what an observer finds that sees all of every directory at each look, for a long time."""
    fresh = Watcher(replace_clock(tree), rules)
    for _ in range(4):
        fresh.memory.clear()
        for listing in fresh.walk.sweep():
            fresh.observe(listing)
        fresh.tree.now_s += 4000.0
    return fresh.found()


def replace_clock(tree):
    copy = Tree()
    copy.files, copy.touched, copy.now_s = dict(tree.files), dict(tree.touched), tree.now_s
    return copy


class Incremental(RuleBasedStateMachine):
    """Write, grow, delete and rename while an observer looks now here, now there."""

    def __init__(self):
        super().__init__()
        self.tree = Tree()
        self.rules = (
            [rule_of(format="auto", settle="10s", marker='"{name}.done"')]
            if self.marker
            else [rule_of(format="auto", settle="10s")]
        )
        self.watcher = Watcher(self.tree, self.rules)
        self.watcher.sweep(thorough=True)

    marker = False

    def _written(self, path, size, said, *, mtime_s=None):
        self.tree.next_inode += 1
        # other content has another size or another time: nothing else tells it apart, once it was let go
        mtime_s = NOW.timestamp() + self.tree.now_s if mtime_s is None else mtime_s
        mtime_s += 1e-3 * list(SAID).index(said)
        self.tree.put(path, File(size, mtime_s, self.tree.next_inode, said, self.tree.now_s))

    places = st.sampled_from(DIRECTORIES)
    names = st.sampled_from(NAMES)
    said = st.sampled_from(["first", "first", "first", "second", "again", "nothing"])

    @rule(directory=places, name=names, said=said, size=st.sampled_from([0, 50, 100, 100, 200]))
    def write(self, directory, name, said, size):
        self._written(f"{directory}/{name}".lstrip("/"), size, said)

    @rule(directory=places, prefix=st.sampled_from(["x", "y_2"]), said=said)
    def write_a_whole_series(self, directory, prefix, said):
        for name in FRAMES:
            if name.startswith(prefix + "_"):
                self._written(f"{directory}/{name}".lstrip("/"), WHOLE_BYTES, said)

    @rule(directory=places, name=names, said=said, mtime_s=st.sampled_from([1.0, 2e9]))
    def copy_with_an_old_or_future_time(self, directory, name, said, mtime_s):
        self._written(f"{directory}/{name}".lstrip("/"), WHOLE_BYTES, said, mtime_s=mtime_s)

    @rule(directory=places, name=st.sampled_from(COMPANIONS), said=said)
    def write_a_companion(self, directory, name, said):
        self._written(f"{directory}/{name}".lstrip("/"), 10, said)

    @precondition(lambda self: self.tree.files)
    @rule(data=st.data())
    def grow(self, data):
        path = data.draw(st.sampled_from(sorted(self.tree.files)))
        before = self.tree.files[path]
        at_s = self.tree.now_s
        grown = replace(before, size=before.size + 60, mtime_s=NOW.timestamp() + at_s, changed_s=at_s)
        self.tree.put(path, grown)

    @precondition(lambda self: self.tree.files)
    @rule(data=st.data())
    def allocate_late(self, data):
        path = data.draw(st.sampled_from(sorted(self.tree.files)))
        self.tree.files[path] = replace(self.tree.files[path], allocated=self.tree.files[path].allocated + 8)

    @precondition(lambda self: self.tree.files)
    @rule(data=st.data())
    def delete(self, data):
        self.tree.remove(data.draw(st.sampled_from(sorted(self.tree.files))))

    @precondition(lambda self: self.tree.files)
    @rule(data=st.data(), directory=places, name=names)
    def rename(self, data, directory, name):
        path = f"{directory}/{name}".lstrip("/")
        others = sorted(self.tree.files.keys() - {path})
        if not others:
            return
        file = self.tree.remove(data.draw(st.sampled_from(others)))
        self.tree.put(path, replace(file, changed_s=self.tree.now_s))

    @rule(directory=places, whole=st.booleans())
    def look(self, directory, whole):
        self.watcher.look(directory, whole=whole)

    @rule(thorough=st.booleans())
    def sweep(self, thorough):
        self.watcher.sweep(thorough=thorough)

    @rule(seconds=st.sampled_from([0.3, 1.0, 4.0, 9.0, 15.0, 70.0]))
    def let_time_pass(self, seconds):
        self.tree.now_s += seconds
        self.watcher.look_where_due()

    @precondition(lambda self: any(one.sighting.verdict.kind is K.COMPLETE for one in self.watcher.judged.values()))
    @rule(data=st.data())
    def archive(self, data):
        complete = [
            identity
            for identity, one in self.watcher.judged.items()
            if one.sighting.verdict.kind is K.COMPLETE
            and all(file.path in self.tree.files for file in one.sighting.dataset.files)
        ]
        if complete:
            self.watcher.archive(data.draw(st.sampled_from(sorted(complete))))

    @rule()
    def be_still_for_long(self):
        for seconds in (1.0, 3.0, 5.0, 5.0, 10.0, 70.0, 3600.0, 70.0, 70.0):
            self.tree.now_s += seconds
            self.watcher.look_where_due()
        for _ in range(3):
            self.watcher.sweep(thorough=True)
            self.tree.now_s += 4000.0
            self.watcher.look_where_due()
        wanted = shown_everything(self.tree, self.rules)
        for identity, digest in self.watcher.archived.items():
            assert identity not in wanted or wanted[identity][2] == digest  # what is archived may go
        expected = {identity: known for identity, known in wanted.items() if identity not in self.watcher.archived}
        assert self.watcher.found() == expected
        assert all(known[1] is not K.GROWING for known in expected.values())

    @invariant()
    def nothing_that_changed_less_than_the_settle_time_ago_has_ended(self):
        for at_s, judged in self.watcher.told:
            verdict, dataset = judged.sighting.verdict, judged.sighting.dataset
            assert dataset.files
            if verdict.kind is K.GROWING:
                continue
            for file in dataset.files:
                there = self.tree.files[file.path]
                assert file.same_content_as(self.tree.stat_at(ROOT, file.path)), "the verdict is of other content"
                assert at_s - there.content_s >= SETTLE_S
        self.watcher.told.clear()

    def teardown(self):
        self.be_still_for_long()


class IncrementalWithMarker(Incremental):
    marker = True


@pytest.mark.parametrize("machine", [Incremental, IncrementalWithMarker])
def test_looks_at_what_changed_lead_to_the_verdicts_of_looks_at_everything(machine):
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            phases=(Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_the_fake_tree_is_one():
    tree = Tree()
    tree.put("a/x", File(3, 5.0, 7, "first", 5.0))
    walk = Walk(ROOT, lambda _p: False, lambda _p: False, lambda _p, _e: None, lambda: None, tree.scan, tree.sign)
    (_top, listing) = walk.sweep()
    assert listing.files == (FileStat("a/x", 3, 5 * 10**9, 5 * 10**9, 7, 4096),)
