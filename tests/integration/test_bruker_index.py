"""Somebody else's database: read without a trace, and whatever it holds, in bounded time and memory."""

import os
import sqlite3
import struct
import subprocess
import sys
import time
from contextlib import closing

import pytest
from format_files import scan_tree, write_bruker
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from depositd import formats
from depositd.formats import bruker_tdf
from depositd.model import Quiet, Terms, VerdictKind

BRUKER = formats.FORMATS["bruker-d"]


def judge(root, quiet_s=1e6):
    (dataset,) = formats.group(scan_tree(root), "auto")
    probes = {file.path: BRUKER.probe(os.path.join(root, file.path), file) for file in dataset.files}
    return BRUKER.judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(30.0)), probes


def snapshot(directory):
    return {
        entry.name: (entry.stat().st_size, entry.stat().st_mtime_ns, entry.stat().st_ino)
        for entry in os.scandir(directory)
    }


@pytest.mark.parametrize("wal", [False, True])
@pytest.mark.parametrize("name", [b"a?mode=rwc#b%20.d", b"a\xff\n\xe2\x80\xae.d", b"file:a&b=c;.d", b"%3f.d"])
def test_any_name_is_read_and_no_trace_is_left(name, wal, tmp_path):
    directory = os.path.join(tmp_path, os.fsdecode(name))
    write_bruker(directory, wal=wal)
    before = snapshot(directory)
    verdict, probes = judge(tmp_path, 30)
    assert verdict.kind is VerdictKind.COMPLETE
    assert not verdict.by_quiescence
    assert ("WAL mode" in verdict.sentence) is wal
    assert all(probe.problem is None for probe in probes.values())
    assert snapshot(directory) == before
    assert os.listdir(tmp_path) == [os.path.basename(directory)]


def test_a_path_that_is_too_long_for_sqlite_ends_by_silence_and_says_so(tmp_path):
    write_bruker(tmp_path / "a.d", frames=2000)
    deep = tmp_path.joinpath(*["x" * 200] * 3)
    deep.mkdir(parents=True)
    (tmp_path / "a.d").rename(deep / "a.d")
    verdict = judge(deep)[0]
    assert verdict.kind is VerdictKind.COMPLETE
    assert verdict.by_quiescence
    assert "its index cannot be read: unable to open database file" in verdict.evidence


def test_metadata_of_a_real_database(tmp_path):
    write_bruker(tmp_path / "a.d")
    (dataset,) = formats.group(scan_tree(tmp_path), "auto")
    probes = {file.path: BRUKER.probe(str(tmp_path / file.path), file) for file in dataset.files}
    assert BRUKER.metadata(dataset, probes) == {
        "instrument": "timsTOF Pro",
        "instrument_serial": "1854321.10042",
        "sample": "HeLa 200 ng",
        "date": "2026-11-21T02:14:07.123",
        "frames": 6,
        "run_time_min": 0.06,
    }


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_database_beside_a_journal_is_not_opened(suffix, tmp_path):
    """A stale one could be replayed into the index by an ordinary opening."""
    write_bruker(tmp_path / "a.d", wal=True)
    (tmp_path / "a.d" / f"analysis.tdf{suffix}").write_bytes(b"stale" * 1000)
    before = snapshot(tmp_path / "a.d")
    verdict, probes = judge(tmp_path, 600)
    assert verdict.kind is VerdictKind.GROWING
    assert "frames" not in probes["a.d/analysis.tdf"].facts
    assert probes["a.d/analysis.tdf"].retry
    assert judge(tmp_path)[0].kind is VerdictKind.ABORTED
    assert snapshot(tmp_path / "a.d") == before


def test_a_writer_at_work_is_neither_disturbed_nor_believed(tmp_path):
    write_bruker(tmp_path / "a.d", wal=True)
    with closing(sqlite3.connect(tmp_path / "a.d" / "analysis.tdf")) as writer:
        writer.execute("INSERT INTO Frames VALUES (7, 9.9, 99999, 1)")
        assert judge(tmp_path, 600)[0].kind is VerdictKind.GROWING
        writer.commit()
    verdict = judge(tmp_path, 600)[0]
    assert verdict.kind is VerdictKind.TRUNCATED
    assert "before the end of its last frame" in verdict.sentence


def test_data_that_came_after_the_index_was_read_are_compared_anew(tmp_path):
    write_bruker(tmp_path / "a.d")
    data = tmp_path / "a.d" / "analysis.tdf_bin"
    whole = data.read_bytes()
    data.write_bytes(whole[:5000])
    index = tmp_path / "a.d" / "analysis.tdf"
    (dataset,) = formats.group(scan_tree(tmp_path), "auto")
    early = BRUKER.probe(str(index), dataset.files[0])
    data.write_bytes(whole)
    (dataset,) = formats.group(scan_tree(tmp_path), "auto")
    late = BRUKER.probe(str(data), dataset.files[1])
    probes = {"a.d/analysis.tdf": early, "a.d/analysis.tdf_bin": late}
    assert BRUKER.judge(dataset, probes, Quiet(30, 30), Terms(30.0)).kind is VerdictKind.COMPLETE


@pytest.mark.parametrize(
    ("spoil", "kind", "said"),
    [
        (lambda old: old[:-1], VerdictKind.TRUNCATED, "analysis.tdf_bin ends 1 byte before the end of its last frame"),
        (lambda old: bytes(len(old)), VerdictKind.TRUNCATED, "it was never written"),
        (lambda old: old[:9000] + bytes(len(old) - 9000), VerdictKind.TRUNCATED, "it was never written"),
        (lambda old: old[8:] + old[:8], VerdictKind.CORRUPT, "does not hold the last frame where the index has it"),
        (lambda old: old + b"x" * 70_000, VerdictKind.TRUNCATED, "70.0 kB longer than its index says"),
        (lambda old: b"", VerdictKind.TRUNCATED, "analysis.tdf_bin is empty"),
    ],
)
def test_spoilt_data_are_named(spoil, kind, said, tmp_path):
    write_bruker(tmp_path / "a.d")
    data = tmp_path / "a.d" / "analysis.tdf_bin"
    data.write_bytes(spoil(data.read_bytes()))
    verdict = judge(tmp_path)[0]
    assert verdict.kind is kind
    assert said in verdict.sentence


def test_preallocated_data_are_truncated(tmp_path):
    write_bruker(tmp_path / "a.d", frames=2000)
    data = tmp_path / "a.d" / "analysis.tdf_bin"
    content = data.read_bytes()
    with data.open("r+b") as opened:
        opened.truncate(0)
        opened.truncate(len(content))
        opened.seek(len(content) - 8192)
        opened.write(content[-8192:])
    verdict = judge(tmp_path)[0]
    assert verdict.kind is VerdictKind.TRUNCATED
    assert "analysis.tdf_bin is sparse or preallocated" in verdict.sentence


def test_not_closed_properly_is_believed(tmp_path):
    write_bruker(tmp_path / "a.d", metadata={"ClosedProperly": "0"})
    assert judge(tmp_path, 3599)[0].kind is VerdictKind.GROWING
    assert judge(tmp_path, 3600)[0].kind is VerdictKind.ABORTED


def test_a_tsf_gives_its_metadata_and_ends_by_silence(tmp_path):
    write_bruker(tmp_path / "a.d", frames=3000)
    (tmp_path / "a.d" / "analysis.tdf").rename(tmp_path / "a.d" / "analysis.tsf")
    (tmp_path / "a.d" / "analysis.tdf_bin").rename(tmp_path / "a.d" / "analysis.tsf_bin")
    verdict, probes = judge(tmp_path, 3600)
    assert verdict.kind is VerdictKind.COMPLETE
    assert verdict.by_quiescence
    assert probes["a.d/analysis.tsf"].facts["instrument"] == "timsTOF Pro"


# databases made to harm


ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n)"
MANY = "'CREATE TABLE t' || i || ' (a, b, c, d, e, f, g, h)'"
HOSTILE = {
    "a view without end": [f"CREATE VIEW Frames AS {ENDLESS} SELECT i TimsId, i Time, i NumScans FROM n"],
    "a view of a huge value": ["CREATE VIEW Frames AS SELECT 1 TimsId, zeroblob(900000000) Time, 1 NumScans"],
    "a view of another table": [
        "CREATE TABLE x (TimsId, Time, NumScans)",
        "CREATE VIEW Frames AS SELECT * FROM x",
    ],
    "metadata by a view without end": [
        "CREATE TABLE Frames (TimsId, Time, NumScans)",
        f"CREATE VIEW GlobalMetadata AS {ENDLESS} SELECT 'InstrumentName' Key, i Value FROM n",
    ],
    "a generated column": [
        "CREATE TABLE Frames (TimsId INT, NumScans INT, Time AS (length(zeroblob(900000000))))",
        "INSERT INTO Frames (TimsId, NumScans) VALUES (1, 1)",
    ],
    "a virtual table": ["CREATE VIRTUAL TABLE Frames USING fts5(TimsId, Time, NumScans)"],
    "other types": [
        "CREATE TABLE Frames (TimsId, Time, NumScans)",
        "INSERT INTO Frames VALUES (x'ff', 'x', NULL), ('text', 1e999, 9223372036854775807)",
    ],
    "numbers at the end of their range": [
        "CREATE TABLE Frames (TimsId, Time, NumScans)",
        "INSERT INTO Frames VALUES (9223372036854775807, 9e999, 'x')",
        "CREATE TABLE GlobalMetadata (Key, Value)",
        "INSERT INTO GlobalMetadata VALUES ('InstrumentName', x'00ff'), ('SampleName', CAST(x'ff1b5b' AS TEXT))",
    ],
    "large values": [
        "CREATE TABLE Frames (TimsId, Time, NumScans)",
        "INSERT INTO Frames VALUES (1, zeroblob(200000000), 1)",
    ],
    "a great many tables": [
        "CREATE TABLE x (y)",
        "PRAGMA writable_schema=ON",
        f"INSERT INTO sqlite_master {ENDLESS} SELECT 'table', 't' || i, 't' || i, 2, {MANY} FROM n LIMIT 300000",
    ],
    "a table of very many columns": [
        f"CREATE TABLE Frames (TimsId, Time, NumScans, {', '.join(f'c{number}' for number in range(1900))})",
        f"INSERT INTO Frames (TimsId) {ENDLESS} SELECT i FROM n LIMIT 30000",
    ],
    "no table": ["CREATE TABLE x (y)"],
}


@pytest.fixture(scope="module", params=HOSTILE.items(), ids=HOSTILE)
def hostile(request, tmp_path_factory):
    directory = tmp_path_factory.mktemp("hostile") / "a.d"
    directory.mkdir()
    with closing(sqlite3.connect(directory / "analysis.tdf", isolation_level=None)) as database:
        database.execute("PRAGMA synchronous=OFF")
        database.execute("BEGIN")
        for statement in request.param[1]:
            database.execute(statement)
        database.execute("COMMIT")
    (directory / "analysis.tdf_bin").write_bytes(b"\3" * 5000)
    return directory


def test_a_hostile_database_never_raises_hangs_or_is_believed(hostile):
    began_s = time.perf_counter()
    found = bruker_tdf.probe_index(str(hostile / "analysis.tdf"))
    assert time.perf_counter() - began_s < 1.0
    assert "last_bytes" not in found.facts
    verdict = judge(hostile.parent)[0]
    assert verdict.kind is not VerdictKind.COMPLETE or verdict.by_quiescence


def test_a_hostile_database_costs_little_memory(hostile):
    """Measured in a process of its own: SQLite's memory is not Python's."""
    program = (
        "import resource, sys; from depositd.formats import bruker_tdf as b\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024\n"
        "before = peak(); b.probe_index(sys.argv[1]); print(peak() - before)"
    )
    path = str(hostile / "analysis.tdf")
    ran = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True, check=True, timeout=60)
    assert int(ran.stdout) < 64_000_000


def test_a_database_that_takes_too_long_is_given_up_and_that_is_said(tmp_path):
    write_bruker(tmp_path / "a.d", frames=5000, payload=0)
    clock = iter(range(10**6))
    found = bruker_tdf.probe_index(str(tmp_path / "a.d" / "analysis.tdf"), monotonic=lambda: next(clock))
    assert found.facts["unknown"] == "its index could not be read within 0.5 s"
    assert found.retry


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(16, 12_287), st.integers(0, 255)), max_size=30),
    st.one_of(st.none(), st.integers(0, 12_288)),
)
def test_a_damaged_database_never_raises(tmp_path, flips, keep):
    directory = tmp_path / "a.d"
    if not directory.exists():
        write_bruker(directory, frames=60)
        os.rename(directory / "analysis.tdf", tmp_path / "whole")
    content = bytearray((tmp_path / "whole").read_bytes())
    for offset, value in flips:
        content[offset % len(content)] = value
    (directory / "analysis.tdf").write_bytes(content[:keep])
    began_s = time.perf_counter()
    judge(tmp_path)
    assert time.perf_counter() - began_s < 2.0


def test_an_index_that_is_a_link_is_not_followed(tmp_path):
    write_bruker(tmp_path / "elsewhere")
    (tmp_path / "root" / "a.d").mkdir(parents=True)
    (tmp_path / "root" / "a.d" / "analysis.tdf").symlink_to(tmp_path / "elsewhere" / "analysis.tdf")
    path = str(tmp_path / "root" / "a.d" / "analysis.tdf")
    assert bruker_tdf.probe_index(path).problem is not None
    assert bruker_tdf.probe_metadata(path).problem is not None


def test_data_that_are_a_link_are_not_read(tmp_path):
    write_bruker(tmp_path / "a.d")
    data = tmp_path / "a.d" / "analysis.tdf_bin"
    data.rename(tmp_path / "elsewhere")
    data.symlink_to(tmp_path / "elsewhere")
    assert "last_bytes" not in bruker_tdf.probe_index(str(tmp_path / "a.d" / "analysis.tdf")).facts


def test_the_last_frame_of_a_big_file_is_found_by_its_offset(tmp_path):
    write_bruker(tmp_path / "a.d", frames=3)
    data = tmp_path / "a.d" / "analysis.tdf_bin"
    offset = 1 << 40
    with data.open("r+b") as opened:
        opened.seek(offset)
        opened.write(struct.pack("<2I", 108, 704) + b"\3" * 100)
    with closing(sqlite3.connect(tmp_path / "a.d" / "analysis.tdf")) as database:
        database.execute("INSERT INTO Frames VALUES (4, 9.9, ?, 704)", (offset,))
        database.commit()
    found = bruker_tdf.probe_index(str(tmp_path / "a.d" / "analysis.tdf"))
    assert (found.facts["last_offset"], found.facts["last_bytes"]) == (offset, 108)
