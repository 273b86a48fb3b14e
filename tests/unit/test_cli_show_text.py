"""One dataset in words."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from depositd.cli.dataset_text import ago, standing, what
from depositd.cli.scan import scan_lines, scan_summary
from depositd.cli.show_text import show_lines

NOW = datetime(2026, 11, 21, 12, 0, 0, tzinfo=UTC)
DATASET = {
    "id": 7,
    "name": "lyso_1",
    "rule": None,
    "format": "frames",
    "path": "/data/mx1\udcff",
    "generation": 2,
    "state": "incomplete",
    "verdict": "gapped",
    "evidence": ["1,797 of 1,800 frames"],
    "files": 1797,
    "bytes": 1000,
    "frames": {"present": 1797, "expected": 1800, "missing": [3, 4, 9]},
    "first_seen": "2026-11-21T11:00:00Z",
    "completed_at": "2026-11-21T11:59:00Z",
    "archived_at": None,
    "metadata": {"pdb_code": "1ABC"},
    "waits_for": {"reason": "no space", "hint": "make some", "next_attempt_at": None},
    "archive": {
        "path": None,
        "name": "lyso_1.tar.zst",
        "bytes": 415,
        "md5": "aa",
        "inner_md5": "bb",
        "sha256": "cc",
        "packing": "archive",
        "level": 1,
        "why": "zstd level 1: 41.2 % of the size in a sample",
    },
    "deliveries": [
        {
            "id": 1,
            "destination": "irrmc",
            "state": "submitted",
            "attempts": 1,
            "next_attempt_at": None,
            "remote_id": "token-1",
            "remote_status": "processing",
            "error": None,
            "hint": None,
        }
    ],
    "history": [{"at": "2026-11-21T11:00:00Z", "event": "seen", "detail": "a\nb"}],
}


def shown(**changes):
    return [line.plain.strip() for line in show_lines({**DATASET, **changes}, NOW)]


def test_everything_that_is_known_is_shown():
    lines = shown()
    assert lines[0] == "dataset 7  lyso_1"
    assert "path             /data/mx1\\xff" in lines
    assert "rule             none (by hand)" in lines
    assert "state            incomplete (gapped): 1,797 of 1,800 frames" in lines
    assert "generation       2 (it changed after it was archived)" in lines
    assert "frames           1,797 of 1,800, missing 3-4, 9" in lines
    assert "completed        2026-11-21T11:59:00Z (60 s ago)" in lines
    assert "archiving waits  no space (make some)" in lines
    assert "pdb_code  1ABC" in lines
    assert "packing    zstd level 1: 41.2 % of the size in a sample" in lines
    assert "size       415 bytes (415 B), 41.5 % of the files' 1.00 kB" in lines
    assert "to irrmc  submitted (processing)" in lines
    assert "known there as token-1" in lines
    assert "2026-11-21T11:00:00Z  seen  a\\nb" in lines


def test_what_is_not_known_yet_is_left_out():
    lines = shown(
        frames=None, completed_at=None, waits_for=None, archive=None, metadata={}, deliveries=[], generation=1
    )
    assert not [line for line in lines if line.startswith(("frames", "completed", "archiving", "generation"))]
    assert "ARCHIVE" not in lines
    assert "METADATA" not in lines
    assert "none" in lines


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ("archived", "removed from the spool, its time is over"),
        ("complete", "no longer in the spool; it is made again from the files"),
        ("gone", "no longer in the spool, and the files have vanished too"),
    ],
)
def test_an_archive_that_is_not_in_the_spool_says_why(state, words):
    assert f"path       {words}" in shown(state=state)


@pytest.mark.parametrize(
    ("facts", "lines"),
    [
        ({"packing": "file", "level": None, "why": ""}, ["none: sent as the file that it is"]),
        ({"level": 3, "why": ""}, ["level 3"]),
        ({"level": 0, "why": ""}, ["level 0"]),
        ({"level": None, "why": ""}, []),
        ({"level": 1, "why": "zstd level 1: a\nb"}, ["zstd level 1: a\\nb"]),
    ],
)
def test_how_it_was_packed_is_told_as_far_as_it_is_known(facts, lines):
    found = shown(archive={**DATASET["archive"], **facts})
    assert [line.removeprefix("packing").strip() for line in found if line.startswith("packing")] == lines


def test_only_what_was_packed_is_compared_with_the_files():
    archive = {**DATASET["archive"], "packing": "file"}
    assert "size       415 bytes (415 B)" in shown(archive=archive)
    assert "size       415 bytes (415 B)" in shown(bytes=0)


@pytest.mark.parametrize(
    ("moment", "words"),
    [
        (None, "never"),
        ("2026-11-21T12:00:00Z", "now"),
        ("2026-11-21T11:59:19Z", "41 s ago"),
        ("2026-11-21T12:04:00Z", "in 4 min"),
    ],
)
def test_times_are_told_from_now(moment, words):
    assert ago(moment, NOW) == words


def test_a_verdict_is_told_where_it_says_more_than_the_state():
    assert standing({"state": "archived", "verdict": "complete"}) == "archived"
    assert standing({"state": "growing", "verdict": "growing"}) == "growing"
    assert standing({"state": "archived", "verdict": "truncated"}) == "archived (truncated)"
    assert what(DATASET) == "frames, 1,797 files, 1.00 kB"


def test_a_scan_says_where_a_dataset_would_go():
    found = {**DATASET, "rule": "pilatus", "deliveries": [{"destination": "irrmc", "approve": "manual"}]}
    head, where = (line.plain for line in scan_lines(found))
    assert head.startswith("lyso_1  frames, 1,797 files")
    assert where == "    /data/mx1\\xff, rule pilatus, to irrmc (after your approval)"
    assert scan_summary([found, found]) == "2 datasets found: 2 incomplete (gapped)"
    assert scan_summary([]) == "0 datasets found"
