"""The files of one group between two looks."""

from __future__ import annotations

import pytest
from engine_support import rule_of
from format_files import stat_of

from depositd.engine.groups import PART_SEPARATOR, DatasetIdentity, Group
from depositd.engine.matching import RuleMatcher
from depositd.model import FileKind, Listing, Probe


def group_of(*files, now_s=100.0):
    """Return a group that has seen ``files`` in one look."""
    (taken,) = RuleMatcher(rule_of()).take(Listing("r", files))[0]
    group = Group.of(taken, now_s)
    group.replace(files, now_s)
    return group


def frame(number, size=100, mtime_s=5.0, **more):
    return stat_of(f"r/x_{number:04}.cbf", size, mtime_s)._replace(**more)


A, B = frame(1), frame(2)
NEVER_LATE = lambda: False  # noqa: E731 - a function that has nothing to say


def read_all(group, found=Probe()):  # noqa: B008 - a frozen value
    read = []

    def probe(file):
        read.append(file.name)
        return found

    group.read(probe, NEVER_LATE)
    return read


def calm(*files, now_s=100.0):
    """Return a group whose files were still and have been read."""
    group = group_of(*files, now_s=now_s)
    group.add((), now_s + 1)
    read_all(group)
    return group


def test_what_was_seen_once_is_not_read_and_what_was_still_for_a_look_is():
    group = group_of(A, B)
    assert (group.unread_count, read_all(group)) == (2, [])
    group.add((), 101.0)
    assert (group.unread_count, read_all(group)) == (2, ["x_0001.cbf", "x_0002.cbf"])
    assert (group.unread_count, group.changed_s) == (0, 100.0)


@pytest.mark.parametrize("whole", [True, False])
def test_what_grew_is_read_again_once_it_is_still(whole):
    group = calm(A, B)
    grown = frame(2, 200)
    group.replace((A, grown), 110.0) if whole else group.add((grown,), 110.0)
    assert (group.changed_s, group.unread_count, list(group.probes)) == (110.0, 1, [A.path])
    group.replace((A, grown), 111.0) if whole else group.add((), 111.0)
    assert read_all(group) == ["x_0002.cbf"]


def test_what_was_replaced_by_the_same_size_and_time_is_read_again_and_is_no_change():
    group = calm(A)
    group.add((frame(1, inode=9),), 110.0)
    assert (group.changed_s, group.unread_count) == (100.0, 1)


def test_blocks_that_are_allocated_late_are_no_change_and_cost_no_reading():
    group = calm(A)
    group.add((frame(1, allocated_bytes=4096),), 110.0)
    assert (group.changed_s, group.unread_count) == (100.0, 0)
    assert group.files[A.path].allocated_bytes == 4096


@pytest.mark.parametrize("whole", [True, False])
def test_a_fresh_file_whose_blocks_come_late_is_read_all_the_same(whole):
    group = group_of(A)
    late = frame(1, allocated_bytes=4096)
    group.replace((late,), 101.0) if whole else group.add((late,), 101.0)
    assert group.unread_count == 1
    group.replace((late,), 102.0) if whole else group.add((), 102.0)
    assert read_all(group) == ["x_0001.cbf"]


@pytest.mark.parametrize("whole", [True, False])
def test_what_vanishes_is_a_change_and_forgotten(whole):
    group = calm(A, B)
    group.replace((A,), 110.0) if whole else group.remove([B.path], 110.0)
    assert (list(group.files), list(group.probes), group.changed_s) == ([A.path], [A.path], 110.0)
    group.remove(["r/never_there.cbf"], 120.0)
    assert group.changed_s == 110.0


def test_what_vanishes_before_it_was_read_is_not_waited_for():
    group = group_of(A, B)
    group.remove([B.path], 101.0)
    group.add((), 102.0)
    assert read_all(group) == ["x_0001.cbf"]
    assert group.unread_count == 0


def test_special_files_are_never_read():
    group = group_of(A, frame(2, kind=FileKind.FIFO))
    group.add((), 101.0)
    assert read_all(group) == ["x_0001.cbf"]


def test_reading_ends_when_it_is_late_and_goes_on_later():
    group = group_of(A, B)
    group.add((), 101.0)
    answers = iter([False, True])
    group.read(lambda _file: Probe(), lambda: next(answers))
    assert group.unread_count == 1
    assert read_all(group) == ["x_0002.cbf"]


def test_only_what_may_mend_is_read_again():
    group = group_of(A, B)
    group.add((), 101.0)
    found = {A.path: Probe("ends early", retry=True), B.path: Probe("has another magic")}
    group.read(lambda file: found[file.path], NEVER_LATE)
    assert group.may_mend
    assert not group.read_again(lambda _file: Probe("ends early", retry=True), NEVER_LATE)
    assert group.read_again(lambda _file: Probe(), NEVER_LATE)
    assert group.probes == {A.path: Probe(), B.path: Probe("has another magic")}
    assert not group.may_mend


def test_a_verdict_stands_only_on_files_that_are_as_they_were():
    group = calm(A, B)
    there = {A.path: A, B.path: B}
    assert group.confirm(there.get, 110.0)
    assert group.changed_s == 100.0
    there[B.path] = frame(2, 200)
    assert not group.confirm(there.get, 120.0)
    assert (group.changed_s, group.unread_count) == (120.0, 1)
    del there[A.path]
    assert not group.confirm(there.get, 130.0)
    assert (list(group.files), group.changed_s) == ([B.path], 130.0)


def test_a_file_that_was_replaced_unnoticed_is_no_change_and_no_verdict_stands_on_it():
    group = calm(A)
    assert not group.confirm(lambda _path: frame(1, inode=9), 110.0)
    assert group.changed_s == 100.0


def test_a_part_belongs_to_its_group():
    part = DatasetIdentity("frames", "r", f"x_*.cbf{PART_SEPARATOR}wavelength_A=1.1 Å{PART_SEPARATOR}remains")
    assert part.group == group_of(A).identity == DatasetIdentity("frames", "r", "x_*.cbf")
    assert part.group.group == part.group


def test_the_beginning_is_that_of_the_oldest_file_that_was_ever_there():
    group = group_of(frame(2, mtime_s=7.0))
    group.add((frame(1, mtime_s=3.0),), 101.0)
    assert group.begun_ns == 3 * 10**9
    assert [file.name for file in group.dataset().files] == ["x_0001.cbf", "x_0002.cbf"]
