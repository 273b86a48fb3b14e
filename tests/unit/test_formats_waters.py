import struct

import pytest
from format_files import listing_of, stat_of, waters_files
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import FORMATS, claims, group
from depositd.formats import waters_files as reading
from depositd.formats.reading import guarded
from depositd.model import Listing, Probe, Quiet, Terms, VerdictKind

WATERS = FORMATS["waters-raw"]


def read_at(content):
    return lambda offset, count: content[offset : offset + count]


def probe(name, content):
    if name.upper().endswith(".IDX"):
        return guarded(reading.index_facts, read_at(content), len(content))
    if name.upper() == "_INLET.INF":
        return guarded(reading.inlet_facts, read_at(content), len(content))
    if name.upper() == "_HEADER.TXT":
        return guarded(reading.header_facts, read_at(content), len(content))
    return Probe()


def dataset_and_probes(files):
    stats = tuple(stat_of(f"q/a.raw/{name}", size=len(content)) for name, content in sorted(files.items()))
    (dataset,) = group(Listing("q", (), {"q/a.raw": stats}), "waters-raw")
    return dataset, {f"q/a.raw/{name}": probe(name, content) for name, content in files.items()}


def judge(files, quiet_s, **terms):
    dataset, probes = dataset_and_probes(files)
    return WATERS.judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


def test_names():
    assert claims("q/a.raw", "waters-raw")
    assert claims("q/a.RAW", "auto")
    assert not claims("q/a.d", "waters-raw")
    assert not claims("q/.a.raw", "auto")
    dataset, _probes = dataset_and_probes(waters_files())
    assert (dataset.name, dataset.path, dataset.directory, dataset.top) == ("a", "q/a.raw", "q", "q/a.raw")
    assert group(listing_of(trees={"run1/b.raw": ()}), "waters-raw") == []


@pytest.mark.parametrize("point_bytes", [2, 4, 6, 8])
def test_index_and_data_that_agree_are_complete_once_settled(point_bytes):
    files = waters_files(point_bytes=point_bytes)
    assert judge(files, 29).kind is VerdictKind.GROWING
    judged = judge(files, 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.evidence == ("2 functions", "last write 30 s ago")


def test_file_names_are_case_insensitive():
    files = {name.lower(): content for name, content in waters_files().items()}
    assert judge(files, 30).evidence == ("2 functions", "last write 30 s ago")


def change(name, make):
    """Judge an acquisition of which one file was changed."""
    files = waters_files()
    return judge(files | {name: make(files[name])}, 600)


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        ("_FUNC001.DAT", lambda old: old[:-1], "_FUNC001.DAT is 1 byte shorter than its index says"),
        ("_FUNC002.DAT", lambda old: b"", "_FUNC002.DAT is 240 bytes shorter than its index says"),
        ("_FUNC001.IDX", lambda old: old[:-5], "_FUNC001.IDX ends inside a record, 17 bytes into it"),
        ("_FUNC001.IDX", lambda old: old + b"12345", "_FUNC001.IDX ends inside a record, 5 bytes into it"),
        ("_FUNC001.IDX", lambda old: b"", "_FUNC001.IDX has no record"),
        ("_FUNC001.IDX", lambda old: old[:-66] + bytes(66), "_FUNC001.IDX ends in zeros instead of a scan"),
        ("_FUNC001.IDX", lambda old: bytes(len(old)), "_FUNC001.IDX ends in zeros instead of a scan"),
        ("_FUNCTNS.INF", lambda old: old[:-5], "_FUNCTNS.INF ends inside an entry"),
    ],
)
def test_what_is_shorter_than_the_other_files_say_is_truncated(name, make, said):
    judged = change(name, make)
    assert judged.kind is VerdictKind.TRUNCATED
    assert said in judged.sentence


def test_data_beyond_the_index_are_corrupt():
    judged = change("_FUNC001.DAT", lambda old: old + b"..")
    assert judged.kind is VerdictKind.CORRUPT
    assert "_FUNC001.DAT is 2 bytes longer than its index says" in judged.evidence


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("_FUNC001.IDX", "_FUNC001.DAT stands alone: its .IDX is missing"),
        ("_FUNC002.DAT", "_FUNC002.IDX stands alone: its .DAT is missing"),
    ],
)
def test_data_and_index_belong_together(lost, said):
    files = waters_files()
    del files[lost]
    judged = judge(files, 30)
    assert judged.kind is VerdictKind.CORRUPT
    assert said in judged.evidence
    assert "not of the kind" not in judged.sentence


def test_a_missing_function_shows_in_the_table():
    files = waters_files(functions=3)
    del files["_FUNC003.DAT"], files["_FUNC003.IDX"]
    assert judge(files, 599).kind is VerdictKind.GROWING
    judged = judge(files, 600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "2 functions, but _FUNCTNS.INF tells of 3" in judged.evidence


def test_a_run_that_ended_early_is_truncated():
    judged = judge(waters_files(last_min=1.0), 600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "the last scan is at 1.00 of 2.50 min planned" in judged.evidence


@pytest.mark.parametrize(
    ("run_time", "last_min"), [("0.02", 1 / 60), ("0.02", 0.0151), ("0.00", 0.001), ("0.1", 0.05), ("3", 2.5)]
)
def test_the_rounding_of_the_run_time_is_tolerated(run_time, last_min):
    judged = judge(waters_files(run_time=run_time, last_min=last_min), 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert "quiescence" not in judged.sentence


@pytest.mark.parametrize(
    ("run_time", "last_min", "said"),
    [
        ("0.02", 0.0083, "the last scan is at 0.01 of 0.02 min planned"),
        ("0.0200", 0.0186, "the last scan is at 0.019 of 0.020 min planned"),
        ("2.500", 2.374, "the last scan is at 2.37 of 2.50 min planned"),
    ],
)
def test_two_different_times_are_never_shown_as_equal(run_time, last_min, said):
    assert said in judge(waters_files(run_time=run_time, last_min=last_min), 30).evidence


@pytest.mark.parametrize("inlet", [None, b"Method without a time"])
def test_without_a_planned_run_time_only_a_long_silence_ends_it(inlet):
    files = waters_files(last_min=1.0) | ({} if inlet is None else {"_INLET.INF": inlet})
    if inlet is None:
        del files["_INLET.INF"]
    assert judge(files, 599).kind is VerdictKind.GROWING
    judged = judge(files, 600)
    assert judged.kind is VerdictKind.COMPLETE
    assert "no _INLET.INF tells the planned run time" in judged.evidence
    assert "complete by quiescence" in judged.sentence


def test_high_resolution_data_end_by_quiescence_and_say_so():
    files = waters_files(functions=1)
    index = b"".join(struct.pack("<IIIfIH", scan * 1001, 7, 0, scan * 0.1, 0, 0) for scan in range(20))
    judged = judge(files | {"_FUNC001.IDX": index, "_FUNC001.DAT": b"\7" * 20_020}, 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert "_FUNC001 is not of the kind whose length can be checked" in judged.evidence
    assert "complete by quiescence" in judged.sentence


def test_a_small_function_whose_length_nothing_proves_is_waited_for():
    files = waters_files(functions=1)
    index = b"".join(struct.pack("<IIIfIH", scan * 1001, 7, 0, scan * 0.1, 0, 0) for scan in range(20))
    files |= {"_FUNC001.IDX": index}
    assert judge(files, 3599).kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "_FUNC001.DAT has only 240 B (finished ones have 2 KiB and more)" in judged.evidence


def test_a_directory_without_functions_is_no_waters_data():
    assert judge({"readme.txt": b"x"}, 3599).kind is VerdictKind.GROWING
    judged = judge({"readme.txt": b"x"}, 3600)
    assert judged.kind is VerdictKind.CORRUPT
    assert "it holds no _FUNC*.DAT, so no Waters data" in judged.evidence


def test_without_a_table_of_functions_only_silence_ends_it():
    files = waters_files()
    del files["_FUNCTNS.INF"]
    assert "complete by quiescence" in judge(files, 30).sentence


def test_metadata():
    dataset, probes = dataset_and_probes(waters_files())
    assert WATERS.metadata(dataset, probes) == {
        "instrument": "XEVO-TQXS",
        "sample": "blc",
        "date": "2021-09-20T18:09:55",
        "run_time_min": 2.49,
    }


@pytest.mark.parametrize("name", ["_FUNC001.IDX", "_INLET.INF", "_HEADER.TXT"])
@given(content=st.binary(max_size=2000))
def test_random_bytes_never_raise(name, content):
    probe(name, content)


@given(st.lists(st.tuples(st.integers(0, 439), st.integers(0, 255)), min_size=1, max_size=8))
def test_a_flipped_index_never_raises(flips):
    files = waters_files(functions=1)
    index = bytearray(files["_FUNC001.IDX"])
    for offset, value in flips:
        index[offset] = value
    judge(files | {"_FUNC001.IDX": bytes(index)}, 1e6)
