import struct
import time

import pytest
from format_files import listing_of, stat_of, thermo_bytes
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import FORMATS, group, thermo_records
from depositd.formats.thermo_raw import probe_header
from depositd.model import Listing, Quiet, Terms, VerdictKind

THERMO = FORMATS["thermo-raw"]


def probe(content):
    return probe_header(lambda offset, count: content[offset : offset + count], len(content))


def judge(content, quiet_s, name="100225.raw", **terms):
    (dataset,) = group(Listing("", (stat_of(name, size=len(content)),)), "thermo-raw")
    return THERMO.judge(dataset, {name: probe(content)}, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


def test_names():
    found = group(listing_of("a.raw", "b.RAW", "c.raw.part", ".d.raw", "e.txt", ".raw"), "thermo-raw")
    assert [(d.name, d.path) for d in found] == [("a", "run1/a.raw"), ("b", "run1/b.RAW")]


@pytest.mark.parametrize("version", [57, 60, 63, 64, 66])
def test_a_finished_file_of_each_version_is_complete_once_settled(version):
    content = thermo_bytes(version=version)
    assert probe(content).facts["last_scan"] == 33
    assert judge(content, 29).kind is VerdictKind.GROWING
    judged = judge(content, 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.evidence[1:] == ("33 scans", "last write 30 s ago")


@pytest.mark.parametrize("version", [57, 66])
def test_acquisition_is_waited_for_an_hour(version):
    content = thermo_bytes(version=version, acquiring=1, run_header=0)
    assert judge(content, 3599).kind is VerdictKind.GROWING
    judged = judge(content, 3600)
    assert judged.kind is VerdictKind.ABORTED
    assert "its header says that acquisition goes on" in judged.evidence


@pytest.mark.parametrize("version", [57, 63, 64, 66])
def test_a_file_cut_anywhere_before_its_last_stream_is_never_complete(version):
    content = thermo_bytes(version=version)
    for length in range(0, len(content) - 400, 97):
        assert judge(content[:length], 1e6).kind is not VerdictKind.COMPLETE, length


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (thermo_bytes(controllers=0), "names no instrument"),
        (thermo_bytes(scans=(5, 2)), "ends at scan 2, before its first scan 5"),
        (thermo_bytes(scans=(0, 33)), "counts its scans from 0 to 33"),
        (b"Waters or Bruker or a camera", "100225.raw carries no Finnigan signature: not a Thermo file"),
        (bytes(100_000), "(format: file takes any file)"),
    ],
)
def test_a_header_that_cannot_be_is_corrupt(content, said):
    judged = judge(content, 30)
    assert judged.kind is VerdictKind.CORRUPT
    assert said in judged.sentence


def zeroed(content, start):
    """Return a file that has its whole size, and nothing but zeros from ``start`` on."""
    return content[:start] + bytes(len(content) - start)


def blank(content, start, count):
    return content[:start] + bytes(count) + content[start + count :]


SCANS = 33
LONG_TAIL = thermo_bytes() + b"\2" * 606 * SCANS
RUN_HEADER_AT = len(thermo_bytes()) - 800 - 7600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (thermo_bytes(run_header=0), "has no run header yet"),
        (thermo_bytes(run_header=10**9), "bytes early"),
        (thermo_bytes()[:RUN_HEADER_AT], "ends at least 1 byte early"),
        (thermo_bytes()[:1500], "ends inside its header"),
        (thermo_bytes()[:7], "ends inside its signature"),
        (thermo_bytes(scans=(0, 0)), "counts no scan in its run header"),
        (zeroed(LONG_TAIL, len(LONG_TAIL) - 4096), "ends in 4,096 bytes of zeros"),
        (zeroed(LONG_TAIL, 36), "names no version in its header"),
        (zeroed(thermo_bytes(version=99), 3000), "ends in 4,096 bytes of zeros"),
        (blank(LONG_TAIL, RUN_HEADER_AT, 7600), f"zeros where its run header belongs (byte {RUN_HEADER_AT:,})"),
        (
            blank(LONG_TAIL, RUN_HEADER_AT + 7600, 5000),
            f"zeros where its run header points (byte {RUN_HEADER_AT + 7600:,})",
        ),
    ],
)
def test_a_file_that_lacks_what_its_header_tells_of_is_truncated(content, said):
    assert judge(content, 29).kind is VerdictKind.GROWING
    judged = judge(content, 30)
    assert judged.kind is VerdictKind.TRUNCATED
    assert said in judged.sentence


@pytest.mark.parametrize("version", [57, 63])
def test_a_file_that_ends_inside_its_scans_parameters_is_waited_for_and_then_truncated(version):
    content = thermo_bytes(version=version)
    for lacking in range(1, SCANS):
        assert judge(content[:-lacking], 3599).kind is VerdictKind.GROWING
        judged = judge(content[:-lacking], 3600)
        assert judged.kind is VerdictKind.TRUNCATED
        found = f"{400 - lacking} bytes are no whole records of 33 scans"
        assert f"100225.raw ends inside its scans' parameters: {found}" in judged.evidence
    assert "which ends where a scan's record does" in judge(content, 30).ladder[1].finding


def test_of_a_version_without_a_file_to_check_it_is_said_that_nothing_tells_its_end():
    judged = judge(thermo_bytes(version=66)[:-1], 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.ladder[1].finding.endswith("begins inside the file; where it ends, nothing says")


def description(*kinds):
    fields = b"".join(struct.pack("<3I", kind, size, 4) + "AGC:".encode("utf-16-le") for kind, size in kinds)
    return struct.pack("<I", len(kinds)) + fields


def test_the_length_of_a_record_is_what_its_description_says():
    kinds = [(3, 1), (10, 2), (11, 4), (0, 0), (12, 7), (13, 7), (6, 0)]
    raw = b"\7" * 99 + description((1, 1), (1, 1)) + description(*kinds) + bytes(99) + description(*[(11, 0)] * 9)
    assert thermo_records.described_lengths(raw) == {1 + 4 + 8 + 0 + 7 + 14 + 2, 72}
    assert thermo_records.described_lengths(raw[: 99 + 100]) == frozenset()


@pytest.mark.parametrize(
    ("found_bytes", "lengths", "cut"),
    [
        (4 + 33 * 279, {279, 3222}, False),
        (4 + 33 * 278, {279, 3222}, True),
        (4 + 33 * 278, set(), False),
        (4 + 33 * 279 - 1, {279}, True),
        (4, set(), True),
        (0, set(), True),
    ],
)
def test_records_end_where_their_description_and_their_number_say(found_bytes, lengths, cut):
    assert thermo_records.ends_in_record(found_bytes, 33, frozenset(lengths)) is cut


@pytest.mark.parametrize("raw", [bytes(1 << 20), b"\xff\3\0\0" + bytes(12), b"\5\0\0\0" * (1 << 18)])
def test_whatever_is_searched_for_descriptions_takes_little_time(raw):
    began_s = time.process_time()
    thermo_records.described_lengths(raw)
    thermo_records.described_lengths((b"\xff\3\0\0" + (b"\1\0\0\0" + bytes(8)) * 800) * 100)
    assert time.process_time() - began_s < 1.0


@pytest.mark.real_data
@pytest.mark.parametrize("name", ["100225.raw", "small.RAW"])
def test_no_cut_of_a_real_file_is_complete(real_data, name):
    content = (real_data / "thermo" / name).read_bytes()
    assert judge(content, 30).kind is VerdictKind.COMPLETE
    lacking = [1, 2, 4, 5, *range(7, 30_000, 397), len(content) // 1000, len(content) // 100, len(content) // 10]
    kinds = {judge(content[:-count], 1e6).kind for count in lacking}
    assert kinds == {VerdictKind.TRUNCATED}


@pytest.mark.parametrize("version", [57, 66])
def test_a_file_zeroed_from_anywhere_on_is_never_complete(version):
    content = thermo_bytes(version=version) + b"\2" * 5000
    for start in range(0, len(content) - 4096, 97):
        assert judge(zeroed(content, start), 1e6).kind in (VerdictKind.TRUNCATED, VerdictKind.CORRUPT), start


def test_a_short_zero_stream_at_the_very_end_is_no_fault():
    assert judge(zeroed(thermo_bytes(), len(thermo_bytes()) - 800), 30).kind is VerdictKind.COMPLETE


def test_a_preallocated_file_in_acquisition_is_waited_for_like_any_other():
    content = zeroed(thermo_bytes(acquiring=1), RUN_HEADER_AT)
    assert judge(content, 3599).kind is VerdictKind.GROWING
    assert judge(content, 3600).kind is VerdictKind.ABORTED


def judge_holes(holes_bytes, quiet_s, content=LONG_TAIL):
    found = probe_header(lambda offset, count: content[offset : offset + count], len(content), holes_bytes)
    (dataset,) = group(Listing("", (stat_of("a.raw", size=len(content)),)), "thermo-raw")
    return THERMO.judge(dataset, {"a.raw": found}, Quiet(quiet_s, quiet_s), Terms(30.0))


def test_a_file_of_holes_is_waited_for_and_then_truncated():
    assert judge_holes(20_000, 3599).kind is VerdictKind.GROWING
    judged = judge_holes(20_000, 3600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "a.raw is sparse or preallocated: only " in judged.sentence


def test_the_few_holes_that_a_copying_program_leaves_are_no_fault():
    assert judge_holes(len(LONG_TAIL) // 11, 30).kind is VerdictKind.COMPLETE


def test_little_allocated_space_is_only_said_since_file_systems_compress():
    (dataset,) = group(Listing("", (stat_of("a.raw", size=len(LONG_TAIL), allocated=8192),)), "thermo-raw")
    judged = THERMO.judge(dataset, {"a.raw": probe(LONG_TAIL)}, Quiet(30, 30), Terms(30.0))
    assert judged.kind is VerdictKind.COMPLETE
    assert "takes 8.19 kB on disk (compressed, or written just now)" in judged.evidence


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (thermo_bytes(version=99) + b"\2" * 20_000, "version 99 of the format is not known here"),
        (thermo_bytes(acquiring=7) + b"\2" * 20_000, "its header cannot be followed"),
    ],
)
def test_what_is_not_understood_ends_by_quiescence_and_says_so(content, said):
    judged = judge(content, 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert said in judged.sentence
    assert "complete by quiescence" in judged.sentence


def test_a_small_file_that_is_not_understood_is_waited_for():
    content = thermo_bytes(version=99)
    assert judge(content, 3599).kind is VerdictKind.GROWING
    judged = judge(content, 3600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "(finished ones have 30 KiB and more)" in judged.sentence


def test_an_empty_file_is_never_done():
    assert judge(b"", 3599).kind is VerdictKind.GROWING
    assert judge(b"", 3600).kind is VerdictKind.ABORTED


def test_what_the_instrument_calls_corrupted_is_aborted():
    assert judge(thermo_bytes(), 30, name="x_CORRUPTED.raw").kind is VerdictKind.ABORTED


def test_a_short_run_is_said_and_not_judged():
    judged = judge(thermo_bytes(planned=60.0, ended=30.0), 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert "ran 30.00 of 60.00 min planned" in judged.evidence


def test_metadata():
    (dataset,) = group(listing_of("a.raw"), "thermo-raw")
    assert THERMO.metadata(dataset, {"run1/a.raw": probe(thermo_bytes())}) == {
        "date": "2010-02-25T09:02:27",
        "run_time_min": 0.243,
    }


@given(st.integers(0, 40), st.binary(max_size=3000))
def test_random_bytes_never_raise(keep, rest):
    probe(thermo_bytes()[:keep] + rest)


@given(
    st.lists(st.tuples(st.integers(18, 4500), st.integers(0, 255)), min_size=1, max_size=8), st.sampled_from([57, 66])
)
def test_flipped_bytes_never_raise(flips, version):
    content = bytearray(thermo_bytes(version=version))
    for offset, value in flips:
        content[offset] = value
    probe(bytes(content))
