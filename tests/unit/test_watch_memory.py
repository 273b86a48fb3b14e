"""What is remembered between looks: only what can have changed is touched."""

from __future__ import annotations

import stat

import pytest
from test_watch_sweep import FakeFiles

from depositd.watch.memory import SURE_S, Memory
from depositd.watch.sweep import Walk


class Source:
    """A tree of dicts whose directories have times that the test moves."""

    def __init__(self, tree):
        self.files, self.failures = FakeFiles(tree), []
        self.at_s, self.stamps, self.signed = 100.0, {}, []
        self.walk = Walk(
            "/data",
            claims=lambda path: path.endswith(".raw"),
            prunes=lambda path: path == "processed",
            failed=lambda path, error: self.failures.append((path, error.errno)),
            scan_directory=self.files,
            sign_directory=self.sign,
        )
        self.memory = Memory(self.walk, lambda: self.at_s)

    @property
    def tree(self):
        return self.files.tree

    def sign(self, path):
        path = path.removesuffix("/.")
        self.signed.append(path)
        return (1, 1, self.stamps.get(path, 0), 0)

    def touch(self, directory):
        path = f"/data/{directory}" if directory else "/data"
        self.stamps[path] = self.stamps.get(path, 0) + 1

    def sweep(self, after_s=0.0, *, thorough=False, rest=True):
        """Return {directory: (files, vanished, partial)} of what a sweep shows, and let everything rest."""
        self.at_s += after_s
        self.files.scanned.clear()
        self.signed.clear()
        found = {}
        for listing in self.memory.sweep(thorough=thorough):
            names = [file.name for file in listing.files]
            found[listing.directory] = (names, [file.name for file in listing.vanished], listing.partial)
            if rest:
                self.memory.rest(listing.directory)
        return found


def settled(tree):
    source = Source(tree)
    source.sweep()
    source.sweep(SURE_S)
    return source


def test_a_sweep_in_which_nothing_changed_reads_no_directory():
    source = settled({"a": {"x": "1", "y": "2"}, "b": {"c": {"z": ""}}})
    assert source.sweep(60) == {}
    assert source.files.scanned == []
    assert source.signed == ["/data", "/data/a", "/data/b", "/data/b/c"]
    assert (source.memory.directories, source.memory.files) == (4, 3)


def test_only_the_directory_whose_times_changed_is_read():
    source = settled({"a": {"x": "1"}, "b": {"z": ""}})
    source.tree["b"]["new"] = "3"
    source.touch("b")
    assert source.sweep(60) == {"b": (["new", "z"], [], False)}
    assert source.files.scanned == ["/data/b"]


def test_times_are_trusted_only_once_they_have_stayed_for_longer_than_a_clocks_tick():
    source = Source({"x": ""})
    source.sweep()
    assert source.sweep(SURE_S / 2) == {"": (["x"], [], False)}
    assert source.sweep(SURE_S / 2) == {"": (["x"], [], False)}
    assert source.sweep(60) == {}


def test_a_file_that_is_changed_in_place_is_found_by_a_thorough_sweep():
    source = settled({"a": {"x": "1"}})
    source.tree["a"]["x"] = "longer"
    assert source.sweep(60) == {}
    assert source.sweep(60, thorough=True)["a"] == (["x"], [], False)


def test_a_new_directory_changes_its_parent_and_is_walked():
    source = settled({"a": {}})
    source.tree["a"]["deep"] = {"er": {"x": ""}}
    source.touch("a")
    assert source.sweep(60).keys() == {"a", "a/deep", "a/deep/er"}


def test_a_directory_inside_a_claimed_tree_is_asked_for_its_times_too():
    source = settled({"run.raw": {"sub": {"x": "1"}}})
    assert source.sweep(60) == {}
    source.touch("run.raw/sub")
    assert source.sweep(60).keys() == {""}


def test_what_is_gone_is_forgotten_and_what_cannot_be_read_is_said():
    source = settled({"a": {"b": {"x": ""}}, "c": {}})
    del source.tree["a"]
    source.touch("")
    source.sweep(60)
    assert not source.memory.knows("a/b")
    source.tree["c"] = PermissionError(13, "no")
    source.touch("c")
    source.sweep(60)
    assert source.failures == [("c", 13)]
    assert not source.memory.knows("c")


def test_of_a_restless_directory_only_what_is_new_or_was_not_still_is_asked_again():
    source = Source({"a": {"x": "1", "y": "2"}})
    source.sweep(rest=False)
    (listing,) = source.memory.look("a", whole=False)
    assert (listing.files, listing.vanished, listing.partial) == ((), (), True)
    source.tree["a"]["z"] = "3"
    source.tree["a"]["x"] = "longer, which nobody asks for now"
    (listing,) = source.memory.look("a", whole=False)
    assert [file.name for file in listing.files] == ["z"]
    (listing,) = source.memory.look("a", whole=True)
    assert [file.name for file in listing.files] == ["x"]


def test_what_vanishes_from_a_restless_directory_is_named_as_it_was_last_seen():
    source = Source({"a": {"x": "1", "y": "22"}})
    source.sweep(rest=False)
    del source.tree["a"]["y"]
    (listing,) = source.memory.look("a", whole=False)
    assert [(file.path, file.size_bytes) for file in listing.vanished] == [("a/y", 2)]
    (listing,) = source.memory.look("a", whole=False)
    assert listing.vanished == ()


@pytest.mark.parametrize("forget", [True, False])
def test_a_look_shows_one_directory_and_what_moved_in_below_it(forget):
    source = Source({"a": {"known": {"x": ""}, "z": ""}, "b": {}})
    source.sweep(rest=forget)
    source.tree["a"]["new"] = {"deep": {"y": ""}}
    source.files.scanned.clear()
    assert [listing.directory for listing in source.memory.look("a", whole=False)] == ["a", "a/new", "a/new/deep"]
    assert "/data/a/known" not in source.files.scanned


def test_a_place_that_no_look_has_come_to_is_reached_from_above_and_never_through_a_link():
    source = Source({"a": {}, "link": stat.S_IFLNK})
    source.sweep(rest=False)
    assert [listing.directory for listing in source.memory.look("link/etc", whole=False)] == [""]
    source.tree["a"]["new"] = {"deep": {"x": ""}}
    assert [listing.directory for listing in source.memory.look("a/new/deep", whole=False)] == [
        "a",
        "a/new",
        "a/new/deep",
    ]


def test_a_directory_that_was_forgotten_is_shown_whole():
    source = Source({"a": {"x": "1"}})
    source.sweep(rest=False)
    source.memory.forget("a")
    (listing,) = source.memory.look("a", whole=False)
    assert ([file.name for file in listing.files], listing.partial) == (["x"], False)
    source.memory.clear()
    assert source.memory.directories == 0
