"""From listings to judged datasets, with files that are values and sidecars that are a dict."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from engine_support import NOW, rule_of, sidecar_of
from format_files import stat_of

from depositd.engine.observing import SHORTEST_RECHECK_S, Observer, identity_of, last_write_age_s, oldest_date
from depositd.engine.sidecars import Sidecar
from depositd.model import Listing, Probe, VerdictKind

K = VerdictKind


class Looks:
    """An observer of a root that is not there: every probe of a file finds nothing to read."""

    def __init__(self, sidecars=None, has_read=lambda: None, **rule):
        self.sidecars = sidecars or {}
        keys = {"format": "directory", "settle": "10s", **rule}
        self.there = {}
        self.observer = Observer(
            "/nowhere", [rule_of(**keys)], self.read, stat=lambda _root, path: self.there.get(path), has_read=has_read
        )
        self.at_s = 0.0

    def read(self, path):
        content = self.sidecars.get(path)
        if isinstance(content, Exception):
            raise content
        return content

    @property
    def group(self):
        (watched,) = self.observer._places[""].groups.values()
        return watched.group

    def __call__(self, *members, after_s=1.0, files=()):
        self.at_s += after_s
        self.there = {member.path: member for member in members}
        listing = Listing("", tuple(stat_of(name) for name in files), {"run": tuple(members)})
        return self.observer.look(listing, NOW, self.at_s)


A, B = stat_of("run/a", 10), stat_of("run/b", 20)


def test_what_was_not_still_for_one_look_is_not_read_and_no_verdict_stands_on_it():
    looks = Looks(settle="0s")
    (first,) = looks(A, B)
    assert first.sighting.verdict.kind is K.GROWING
    assert "2 files not read yet" in first.sighting.verdict.sentence
    assert SHORTEST_RECHECK_S <= first.recheck_s <= 1.0
    assert looks.group.probes == {}
    looks(A, B)
    assert looks.group.probes.keys() == {"run/a", "run/b"}


def test_each_read_of_a_file_is_told_so_that_it_can_be_waited_for():
    told = []
    looks = Looks(has_read=lambda: told.append(None))
    looks(A, B)
    assert told == []
    looks(A, B)
    assert len(told) == 4  # what cannot be read is tried again at once


def test_only_the_files_that_changed_are_read_again():
    looks = Looks()
    looks(A)
    looks(A)
    known = looks.group.probes
    before = known["run/a"]
    (grown,) = looks(A, B)
    assert "1 file not read yet" in grown.sighting.verdict.sentence
    assert known["run/a"] is before
    assert "run/b" not in known


def test_a_file_that_cannot_be_read_is_named_and_tried_again_every_minute():
    looks = Looks(settle="0s")
    looks(A)
    (judged,) = looks(A)
    assert judged.sighting.verdict.kind is K.CORRUPT
    assert "a cannot be read: No such file or directory" in judged.sighting.verdict.sentence
    looks.group.probes["run/a"] = Probe("is locked", retry=True)
    assert looks(A, after_s=30) == []
    (again,) = looks(A, after_s=31)
    assert "a cannot be read: No such file or directory" in again.sighting.verdict.sentence


def test_the_quiet_time_still_to_pass_is_the_time_of_the_next_look():
    looks = Looks(settle="10s")
    looks(A)
    (judged,) = looks(A, after_s=3)
    assert judged.sighting.verdict.kind is K.GROWING
    assert judged.recheck_s == pytest.approx(7.0)


def test_a_settled_dataset_is_left_alone_until_it_or_its_sidecar_changes():
    looks = Looks({"/nowhere/run.deposit.yaml": b"title: x\n"})
    (judged,) = looks(A, files=["run.deposit.yaml"])
    assert judged.sighting.metadata["title"] == "x"
    looks.observer.settle(judged.identity, judged.sighting.fingerprint, sidecar_of(judged))
    assert looks(A, files=["run.deposit.yaml"]) == []
    looks.sidecars["/nowhere/run.deposit.yaml"] = b"title: y\n"
    assert looks(A, files=["run.deposit.yaml"]) == []  # what of it is archived is known once its headers are read
    (changed,) = looks(A, files=["run.deposit.yaml"])
    assert changed.sighting.metadata["title"] == "y"
    looks.observer.settle(changed.identity, changed.sighting.fingerprint, sidecar_of(changed))
    assert looks(A, B, files=["run.deposit.yaml"]) == []
    assert len(looks(A, B, files=["run.deposit.yaml"])) == 1


def test_what_was_settled_in_a_directory_that_is_gone_is_not_remembered_for_ever():
    looks = Looks()
    looks(A)
    judged = looks(A, after_s=10.0)[0]
    looks.observer.settle(judged.identity, judged.sighting.fingerprint, sidecar_of(judged))
    assert looks(A) == []
    looks.observer.keep_settled(lambda directory: directory == judged.identity.directory)
    assert looks(A) == []
    looks.observer.keep_settled(lambda _directory: False)
    assert looks(A) != []


def test_what_the_journal_knows_as_settled_is_not_looked_at_and_what_is_forgotten_is():
    looks = Looks()
    (judged,) = looks(A)
    other = Looks()
    other.observer.settle(judged.identity, judged.sighting.fingerprint, Sidecar())
    assert other(A) == []
    other.observer.forget(judged.identity)
    assert len(other(A)) == 1


@pytest.mark.parametrize("problem", [b"no: [mapping", PermissionError(13, "Permission denied"), ValueError("too long")])
def test_a_sidecar_that_cannot_be_used_is_a_problem_and_never_ignored(problem):
    looks = Looks({"/nowhere/run.deposit.yaml": problem})
    (judged,) = looks(A, files=["run.deposit.yaml"])
    assert judged.sighting.sidecar_problem is not None
    assert "the sidecar run.deposit.yaml cannot be" in judged.sighting.sidecar_problem


def test_identity_is_what_stays_while_files_come_and_go():
    looks = Looks()
    (first,), (second,) = looks(A), looks(A, B)
    assert first.identity == second.identity == identity_of(first.sighting.dataset)
    assert first.sighting.fingerprint != second.sighting.fingerprint


def test_the_age_of_the_newest_write_is_never_negative():
    now = datetime(2026, 1, 1, tzinfo=UTC)
    assert last_write_age_s([stat_of("a", mtime_s=now.timestamp() - 5)], now) == pytest.approx(5)
    assert last_write_age_s([stat_of("a", mtime_s=now.timestamp() + 99)], now) == 0


def test_a_date_that_no_calendar_has_is_no_trouble():
    assert oldest_date([stat_of("a", mtime_s=1e9)]) == "2001-09-09"
    assert oldest_date([stat_of("a", mtime_s=9e18 / 1e9 * 1e6)]) == "1970-01-01"
    assert oldest_date([]) == "1970-01-01"
