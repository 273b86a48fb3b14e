"""Manifests in the journal: every archive's, whole, one dataset at a time."""

from __future__ import annotations

import json
import os
import tracemalloc
from dataclasses import replace

import pytest
from engine_support import NOW, an_archive, archived, frames, record

from depositd.journal import Journal
from depositd.model import Member, Packing, VerdictKind

MTIME_NS = 1_795_000_000_123_456_789
MEMBERS = (
    Member("lyso_1/a.cbf", 10, MTIME_NS, "d" * 64),
    Member("lyso_1/new\nline\udcff", 20, -1, "e" * 64),
    Member("lyso_1/from the end of time", 0, 2**63 - 1, "f" * 64),
)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.db")
    yield opened
    assert opened.database.problems() == []
    opened.close()


def an_archive_of(members=MEMBERS, **more):
    return replace(an_archive(), members=members, level=1, why="zstd level 1: 41.5 % of the size", **more)


def packed(journal, *archives, name="lyso_1"):
    found = record(journal, frames(name=name), VerdictKind.COMPLETE, "one")
    assert journal.datasets.archived(found.id, found.fingerprint, archives or (an_archive_of(),), NOW)
    return found


def test_a_manifest_is_the_archive_and_its_members_in_their_order(journal):
    found = journal.view.manifest(packed(journal).id)
    assert found == {
        "path": "/spool/lyso_1.tar.zst",
        "name": "lyso_1.tar.zst",
        "bytes": 1234,
        "md5": "b" * 32,
        "inner_md5": "c" * 32,
        "sha256": "a" * 64,
        "packing": "archive",
        "level": 1,
        "why": "zstd level 1: 41.5 % of the size",
        "members": [
            {"path": "lyso_1/a.cbf", "bytes": 10, "mtime": "2026-11-18T11:06:40.123456789Z", "sha256": "d" * 64},
            {
                "path": "lyso_1/new\nline\udcff",
                "bytes": 20,
                "mtime": "1969-12-31T23:59:59.999999999Z",
                "sha256": "e" * 64,
            },
            {
                "path": "lyso_1/from the end of time",
                "bytes": 0,
                "mtime": "2262-04-11T23:47:16.854775807Z",
                "sha256": "f" * 64,
            },
        ],
    }
    assert found.keys() - {"members"} == journal.view.show(1)["archive"].keys()


def test_a_time_that_no_calendar_has_is_left_open(journal):
    far = Member("lyso_1/x", 1, 10**30, "d" * 64)
    assert journal.view.manifest(packed(journal, an_archive_of((far,))).id)["members"][0]["mtime"] is None


def test_a_manifest_stays_when_the_archive_leaves_the_spool_or_is_lost(journal):
    removed, lost = packed(journal), packed(journal, name="lyso_2")
    before = journal.view.manifest(removed.id)
    journal.datasets.archive_removed(removed.id, "/spool/lyso_1.tar.zst", NOW)
    journal.datasets.archive_lost(lost.id, "the file is gone", NOW)
    assert journal.view.manifest(removed.id) == {**before, "path": None}
    assert journal.view.manifest(lost.id) == {**before, "path": None}


def test_of_two_packings_the_archive_is_shown_and_both_are_exported(journal):
    as_file = an_archive(path="/spool/x.raw", packing=Packing.FILE)
    as_file = replace(as_file, members=(Member("x.raw", 30, MTIME_NS, as_file.sha256),))
    both = packed(journal, as_file, an_archive_of())
    alone = packed(journal, as_file, name="lyso_2")
    assert journal.view.manifest(both.id)["packing"] == "archive"
    assert [one["path"] for one in journal.view.manifest(alone.id)["members"]] == ["x.raw"]
    exported = {one["id"]: one["archives"] for one in journal.view.everything()}
    assert [one["packing"] for one in exported[both.id]] == ["archive", "file"]
    assert exported[both.id][0] == journal.view.manifest(both.id)
    assert exported[alone.id] == [journal.view.manifest(alone.id)]


def test_what_was_not_packed_is_exported_without_an_archive(journal):
    waiting = record(journal, frames(), VerdictKind.COMPLETE, "one")
    assert journal.view.manifest(waiting.id) is None
    assert journal.view.manifest(99) is None
    (exported,) = journal.view.everything()
    assert exported == {**journal.view.show(waiting.id), "archives": []}


def test_names_survive_the_way_through_json(journal):
    packed(journal)
    (exported,) = (json.loads(json.dumps(one, ensure_ascii=True)) for one in journal.view.everything())
    paths = [os.fsencode(member["path"]) for member in exported["archives"][0]["members"]]
    assert paths[1] == b"lyso_1/new\nline\xff"


def test_an_export_holds_one_dataset_at_a_time_and_keeps_nobody_from_writing(journal, tmp_path):
    members = tuple(Member(f"lyso_1/{number:05}.cbf", 1, MTIME_NS, "d" * 64) for number in range(2_000))
    for number in range(30):
        packed(journal, an_archive_of(members), name=f"lyso_{number}")
    reader = Journal(tmp_path / "journal.db", read_only=True)
    tracemalloc.start()
    try:
        exported = reader.view.everything()
        assert len(next(exported)["archives"][0]["members"]) == len(members)
        _now, one_bytes = tracemalloc.get_traced_memory()
        # what comes while it lasts is in it
        archived(journal, frames(name="late"))
        journal.database.backup(tmp_path / "copy.db")
        rest = [(one["name"], len(one["archives"][0]["members"])) for one in exported]
        _now, all_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        reader.close()
    assert rest == [*((f"lyso_{number}", len(members)) for number in range(1, 30)), ("late", 0)]
    assert all_bytes < 3 * one_bytes
