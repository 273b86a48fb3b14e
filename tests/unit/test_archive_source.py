from __future__ import annotations

import os
import stat
from types import SimpleNamespace

import pytest

from depositd.archive.source import difference
from depositd.model import FileStat

PLANNED = FileStat("lyso_1_00001.cbf", 1024, 5_000_000_000, inode=7)


def seen(**changes) -> os.stat_result:
    facts = {"st_mode": stat.S_IFREG | 0o644, "st_ino": 7, "st_size": 1024, "st_mtime_ns": 5_000_000_000, **changes}
    return SimpleNamespace(**facts)


def test_the_planned_file_shows_no_difference():
    assert difference(PLANNED, seen(), "while it was read") is None


def test_an_unknown_inode_is_not_compared():
    assert difference(FileStat("a", 1024, 5_000_000_000), seen(st_ino=99), "while it was read") is None


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"st_size": 2048}, "grew from 1,024 to 2,048 bytes while it was read"),
        ({"st_size": 3}, "shrank from 1,024 to 3 bytes while it was read"),
        ({"st_ino": 8}, "was replaced by another file while it was read (inode 7 became 8)"),
        (
            {"st_mtime_ns": 8_200_000_000},
            "was written to while it was read (its modification time is 3.2 s later)",
        ),
        ({"st_mtime_ns": 0}, "was written to while it was read (its modification time is 5 s earlier)"),
        (
            {"st_mode": stat.S_IFIFO | 0o600},
            "is no longer a regular file, as it was when it was looked at (mode prw-------)",
        ),
    ],
)
def test_each_difference_is_a_sentence_with_its_numbers(change, sentence):
    assert difference(PLANNED, seen(**change), "while it was read") == sentence
