"""How long a dataset has not changed, by our own clock."""


import pytest
from format_files import stat_of
from hypothesis import given
from hypothesis import strategies as st

from depositd.model import FileKind
from depositd.watch.quiet import QuietTracker, fingerprint

ONE, TWO = stat_of("run/a", 10, 5.0), stat_of("run/b", 20, 6.0)


@pytest.mark.parametrize(
    "changed",
    [
        ONE._replace(size_bytes=11),
        ONE._replace(mtime_ns=1),
        ONE._replace(kind=FileKind.SYMLINK),
        ONE._replace(path="run/c"),
        ONE._replace(path="run/\udcff"),
    ],
)
def test_every_change_that_matters_changes_the_fingerprint(changed):
    assert fingerprint([changed], "run") != fingerprint([ONE], "run")


def test_what_a_backup_program_touches_does_not_change_the_fingerprint():
    touched = ONE._replace(ctime_ns=99, inode=7, allocated_bytes=4096)
    assert fingerprint([touched], "run") == fingerprint([ONE], "run")


def test_the_same_files_have_the_same_fingerprint_in_any_directory():
    moved = [file._replace(path=f"elsewhere/deep/{file.name}") for file in (ONE, TWO)]
    assert fingerprint(moved, "elsewhere/deep") == fingerprint([ONE, TWO], "run")


def look(tracker, at_s, *files, identity="x"):
    return tracker.look(identity, files, fingerprint(files), at_s)


def test_quiet_begins_when_the_files_were_first_seen_so():
    tracker = QuietTracker()
    assert look(tracker, 100.0, ONE).quiet_s == 0.0
    assert look(tracker, 130.0, ONE).quiet_s == 30.0
    assert look(tracker, 140.0, ONE, TWO).quiet_s == 0.0
    assert look(tracker, 141.5, ONE, TWO).quiet_s == 1.5


def test_nothing_is_still_at_the_first_look_and_what_did_not_change_is_at_the_next():
    tracker = QuietTracker()
    assert look(tracker, 0, ONE).still == frozenset()
    assert look(tracker, 1, ONE, TWO).still == {"run/a"}
    assert look(tracker, 2, ONE, TWO).still == {"run/a", "run/b"}
    assert look(tracker, 3, ONE._replace(size_bytes=11), TWO).still == {"run/b"}


def test_datasets_do_not_share_their_quiet_and_a_forgotten_one_begins_anew():
    tracker = QuietTracker()
    look(tracker, 0, ONE, identity="x")
    look(tracker, 10, ONE, identity="y")
    assert look(tracker, 20, ONE, identity="y").quiet_s == 10
    tracker.forget("x")
    tracker.forget("never seen")
    assert look(tracker, 30, ONE, identity="x").quiet_s == 0


@given(st.lists(st.tuples(st.floats(0.01, 100), st.integers(0, 2)), min_size=1, max_size=30))
def test_quiet_is_the_time_since_the_last_change(steps):
    tracker, now_s, since_s, before = QuietTracker(), 0.0, 0.0, None
    for pause_s, size in steps:
        now_s += pause_s
        if size != before:
            since_s, before = now_s, size
        assert look(tracker, now_s, ONE._replace(size_bytes=size)).quiet_s == now_s - since_s
