"""The walk over a source, on a file system made of values."""

import errno
import os
import stat
from contextlib import contextmanager

import pytest

from depositd.model import FileKind
from depositd.watch.sweep import Walk, file_stat

ROOT = "/data"


def a_stat(mode, size):
    return os.stat_result(
        (mode | 0o644, 7, 1, 1, 0, 0, size, 0, 3, 4),
        {"st_blocks": 8, "st_mtime_ns": 3 * 10**9, "st_ctime_ns": 4 * 10**9},
    )


class FakeEntry:
    def __init__(self, name, what):
        self.name, self._what = name, what

    def is_dir(self, *, follow_symlinks=True):
        assert not follow_symlinks
        return isinstance(self._what, dict | OSError)

    def stat(self, *, follow_symlinks=True):
        assert not follow_symlinks
        if self._what is None:
            raise FileNotFoundError(errno.ENOENT, "gone", self.name)
        mode = self._what if isinstance(self._what, int) else stat.S_IFREG
        size = len(self._what) if isinstance(self._what, str) else 0
        return a_stat(mode, size)


class FakeFiles:
    """A tree of dicts: text is a file, an int another kind, None vanishes, an OSError is a directory that fails."""

    def __init__(self, tree):
        self.tree, self.scanned = tree, []

    @contextmanager
    def __call__(self, path):
        path = path.removesuffix("/.")
        self.scanned.append(path)
        node = self.tree
        for part in filter(None, path.removeprefix(ROOT).split("/")):
            node = node[part]
        if isinstance(node, OSError):
            raise node
        yield iter([FakeEntry(name, what) for name, what in node.items()])


def walk_over(tree, *, claims=lambda path: path.endswith(".raw"), prunes=lambda path: False):
    files, failures, moved = FakeFiles(tree), [], []
    walk = Walk(
        ROOT, claims, prunes, lambda path, error: failures.append((path, error.errno)), lambda: moved.append(1), files
    )
    return walk, files, failures, moved


def names(listing):
    return [file.path for file in listing.files]


def test_parents_come_first_in_the_order_of_their_names_and_files_are_sorted():
    walk, *_ = walk_over({"b": {"2": "", "1": ""}, "a": {"deep": {"x": ""}}, "z.txt": "", "c.txt": ""})
    found = list(walk.sweep())
    assert [listing.directory for listing in found] == ["", "a", "a/deep", "b"]
    assert names(found[0]) == ["c.txt", "z.txt"]
    assert names(found[3]) == ["b/1", "b/2"]


def test_a_claimed_directory_is_one_tree_of_its_parents_listing():
    tree = {"run.raw": {"_FUNC001.DAT": "12", "below": {"deeper": {"x": "1"}}, "inner.raw": {"y": ""}}}
    walk, *_ = walk_over(tree)
    (listing,) = walk.sweep()
    assert [file.path for file in listing.trees["run.raw"]] == [
        "run.raw/_FUNC001.DAT",
        "run.raw/below/deeper/x",
        "run.raw/inner.raw/y",
    ]


def test_pruned_directories_are_never_opened():
    walk, files, *_ = walk_over({"processed": {"x": ""}, "a": {}}, prunes=lambda path: path == "processed")
    assert [listing.directory for listing in walk.sweep()] == ["", "a"]
    assert f"{ROOT}/processed" not in files.scanned


def test_a_directory_that_cannot_be_read_is_reported_and_the_others_are_walked():
    walk, _, failures, _ = walk_over({"a": PermissionError(errno.EACCES, "no"), "b": {"x": ""}})
    assert [listing.directory for listing in walk.sweep()] == ["", "b"]
    assert failures == [("a", errno.EACCES)]


def test_a_tree_with_a_part_that_cannot_be_read_does_not_look_whole():
    tree = {"run.raw": {"x": "1", "locked": PermissionError(errno.EACCES, "no"), "gone": FileNotFoundError(2, "gone")}}
    walk, _, failures, _ = walk_over(tree)
    (listing,) = walk.sweep()
    members = {file.path: file.kind for file in listing.trees["run.raw"]}
    assert members == {"run.raw/x": FileKind.REGULAR, "run.raw/locked": FileKind.UNREADABLE}
    assert sorted(failures) == [("run.raw/gone", errno.ENOENT), ("run.raw/locked", errno.EACCES)]


def test_an_entry_that_vanishes_before_its_stat_is_left_out():
    walk, _, failures, _ = walk_over({"gone": None, "there": ""})
    (listing,) = walk.sweep()
    assert names(listing) == ["there"]
    assert failures == []


def test_links_and_special_files_are_entries_and_never_followed():
    kinds = {
        "link": stat.S_IFLNK,
        "pipe": stat.S_IFIFO,
        "socket": stat.S_IFSOCK,
        "disk": stat.S_IFBLK,
        "tty": stat.S_IFCHR,
    }
    walk, files, *_ = walk_over(kinds)
    (listing,) = walk.sweep()
    assert {file.name: file.kind for file in listing.files} == {
        "link": FileKind.SYMLINK,
        "pipe": FileKind.FIFO,
        "socket": FileKind.SOCKET,
        "disk": FileKind.DEVICE,
        "tty": FileKind.DEVICE,
    }
    assert files.scanned == [ROOT]


def test_the_watchdog_sees_every_directory_of_trees_as_well():
    walk, _, _, moved = walk_over({"a": {}, "run.raw": {"below": {}}})
    list(walk.sweep())
    assert len(moved) == 4


@pytest.mark.fault(35)
def test_the_watchdog_sees_a_look_at_one_huge_directory_move():
    """A slow file server may take a millisecond for each file."""
    walk, _, _, moved = walk_over({f"{number}.cbf": "" for number in range(30_001)})
    list(walk.sweep())
    assert len(moved) == 1 + 3


def test_a_change_inside_a_claimed_directory_shows_in_the_listing_of_its_parent():
    walk, *_ = walk_over({})
    assert walk.place_of("") == ""
    assert walk.place_of("a/b") == "a/b"
    assert walk.place_of("a/run.raw") == "a"
    assert walk.place_of("a/run.raw/below/inner.raw") == "a"
    assert walk.place_of("run.raw") == ""


def test_a_million_siblings_are_one_listing_at_a_time():
    walk, *_ = walk_over({str(number): {"x": ""} for number in range(50)})
    sweep = walk.sweep()
    next(sweep)
    assert next(sweep).directory == "0"
    assert next(sweep).directory == "1"


def test_what_is_kept_of_a_stat():
    file = file_stat("a/b", a_stat(stat.S_IFREG, 5))
    assert (file.path, file.size_bytes, file.mtime_ns, file.ctime_ns) == ("a/b", 5, 3 * 10**9, 4 * 10**9)
    assert (file.inode, file.allocated_bytes, file.kind) == (7, 4096, FileKind.REGULAR)
