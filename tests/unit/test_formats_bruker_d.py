import struct

import pytest
from format_files import listing_of, stat_of

from depositd.formats import FORMATS, bruker_tdf, claims, group
from depositd.formats.reading import guarded
from depositd.model import Listing, Probe, Quiet, Terms, VerdictKind

BRUKER = FORMATS["bruker-d"]
SIZES = {"analysis.tdf": 200_000, "analysis.tdf_bin": 5_000_000, "SampleInfo.xml": 800}


def tree_of(sizes, directory="q/a.d"):
    return {directory: tuple(stat_of(f"{directory}/{name}", size=size) for name, size in sorted(sizes.items()))}


def index_facts(sizes=SIZES, **said):
    """Return what a probe says of an index whose last frame has 10,000 bytes and ends where the data end."""
    data_bytes = sizes["analysis.tdf_bin"]
    return {
        "frames": 900,
        "last_offset": data_bytes - 10_000,
        "last_scans": 709,
        "last_bytes": 10_000,
        "last_scans_found": 709,
        "last_blank": False,
        "wal_mode": False,
        "seen": [sizes["analysis.tdf"], 0, data_bytes, 0],
    } | said


def judge(quiet_s, sizes=SIZES, probes=None, **said):
    (dataset,) = group(Listing("q", (), tree_of(sizes)), "bruker-d")
    found = {file.path: Probe() for file in dataset.files}
    if "analysis.tdf" in sizes and "analysis.tdf_bin" in sizes:
        found["q/a.d/analysis.tdf"] = Probe(facts=index_facts(sizes, **said))
    return BRUKER.judge(dataset, found | (probes or {}), Quiet(quiet_s, quiet_s), Terms(30.0))


def test_names():
    assert claims("q/a.d", "bruker-d")
    assert claims("q/A.D", "auto")
    assert not claims("q/.a.d", "auto")
    assert not claims("q/a.dd", "auto")
    assert group(listing_of(trees={"run1/b.d": ()}), "auto") == []


@pytest.mark.parametrize(
    ("names", "formats"),
    [
        (["analysis.tdf"], ["bruker-d"]),
        (["Analysis.TDF_bin", "x.m/method"], ["bruker-d"]),
        (["analysis.baf"], ["bruker-d"]),
        (["AcqData/Contents.xml"], ["agilent-d"]),
        (["acqdata/x"], ["agilent-d"]),
        (["data.ms"], ["agilent-d"]),
        (["DAD1A.ch"], ["agilent-d"]),
        (["RUNSTART.TXT"], ["agilent-d"]),
        (["analysis.tdf", "AcqData/Contents.xml"], ["bruker-d"]),
        (["sub/analysis.tdf", "AcqData/Contents.xml"], ["agilent-d"]),
        (["SampleInfo.xml"], []),
    ],
)
def test_what_lies_in_a_d_directory_decides_whose_it_is(names, formats):
    listing = Listing("q", (), tree_of(dict.fromkeys(names, 10)))
    found = group(listing, "auto")
    assert [dataset.format for dataset in found] == formats
    one = ("a", "q/a.d", "q", "a.d", "q/a.d")
    assert [(d.name, d.path, d.directory, d.key, d.top) for d in found] == [one] * len(formats)


def test_each_format_leaves_what_is_plainly_the_other_s():
    agilent = Listing("q", (), tree_of({"AcqData/Contents.xml": 10}))
    bruker = Listing("q", (), tree_of({"analysis.tdf": 10}))
    assert group(agilent, "bruker-d") == []
    assert group(bruker, "agilent-d") == []


def test_a_directory_of_nobody_s_stays_in_sight_where_the_rule_says_bruker_and_is_no_data_in_the_end():
    sizes = {"notes.txt": 10}
    assert judge(3599, sizes).kind is VerdictKind.GROWING
    judged = judge(3600, sizes)
    assert judged.kind is VerdictKind.CORRUPT
    assert "it holds neither Bruker's analysis.tdf" in judged.sentence


def test_index_and_data_that_agree_are_complete_once_settled():
    assert judge(29).kind is VerdictKind.GROWING
    judged = judge(30)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.evidence == ("900 frames", "last write 30 s ago")
    assert not judged.by_quiescence
    assert judged.ladder[1].finding == (
        "the last frame of the index ends at byte 5,000,000 of analysis.tdf_bin, which has 5,000,000"
    )


@pytest.mark.parametrize(("surplus", "kind"), [(65_536, VerdictKind.COMPLETE), (65_537, VerdictKind.TRUNCATED)])
def test_a_little_may_follow_the_last_frame(surplus, kind):
    judged = judge(600, last_offset=SIZES["analysis.tdf_bin"] - 10_000 - surplus)
    assert judged.kind is kind
    assert ("longer than its index says" in judged.sentence) is (kind is VerdictKind.TRUNCATED)


@pytest.mark.parametrize(
    ("said", "quiet_s", "kind", "sentence"),
    [
        (
            {"last_bytes": 10_001},
            600,
            VerdictKind.TRUNCATED,
            "analysis.tdf_bin ends 1 byte before the end of its last frame",
        ),
        (
            {"last_bytes": 0},
            600,
            VerdictKind.TRUNCATED,
            "analysis.tdf_bin has zeros where its last frame belongs (byte 4,990,000): it was never written",
        ),
        ({"last_blank": True}, 600, VerdictKind.TRUNCATED, "it was never written"),
        ({"last_scans_found": 1}, 600, VerdictKind.CORRUPT, "does not hold the last frame where the index has it"),
        ({"last_bytes": 8}, 600, VerdictKind.CORRUPT, "does not hold the last frame where the index has it"),
        ({"frames": 0}, 3600, VerdictKind.ABORTED, "its index counts no frame"),
        ({"closed_properly": "0"}, 3600, VerdictKind.ABORTED, "its index says that it was not closed properly"),
        ({"holes_bytes": 2_000_000}, 3600, VerdictKind.TRUNCATED, "2.00 MB of 5.00 MB were never written"),
        ({"seen": [1, 2, 3, 4]}, 3600, VerdictKind.TRUNCATED, "have not been compared since they changed"),
    ],
)
def test_what_lacks_is_waited_for_and_then_named(said, quiet_s, kind, sentence):
    assert judge(quiet_s - 1, **said).kind is VerdictKind.GROWING
    judged = judge(quiet_s, **said)
    assert judged.kind is kind
    assert sentence in judged.sentence


def test_data_that_do_not_reach_their_last_frame_are_truncated():
    facts = index_facts(last_offset=SIZES["analysis.tdf_bin"] + 100)
    for key in ("last_bytes", "last_scans_found", "last_blank"):
        del facts[key]
    judged = judge(600, probes={"q/a.d/analysis.tdf": Probe(facts=facts)})
    assert judged.kind is VerdictKind.TRUNCATED
    assert "ends at least 108 bytes before the end of its last frame" in judged.sentence


def test_what_either_probe_saw_last_counts():
    """The index was read while the data still grew; the data's own probe saw both as they are."""
    old = Probe(facts=index_facts(seen=[SIZES["analysis.tdf"], 0, 1000, 0]))
    new = Probe(facts=index_facts())
    assert judge(30, probes={"q/a.d/analysis.tdf": old, "q/a.d/analysis.tdf_bin": new}).kind is VerdictKind.COMPLETE


@pytest.mark.parametrize(
    ("name", "size"),
    [("analysis.tdf-journal", 0), ("analysis.tdf-shm", 32_768), ("analysis.tdf-wal", 1), ("sub/x.sqlite-wal", 4096)],
)
def test_a_journal_means_a_writer_or_one_that_died(name, size):
    sizes = SIZES | {name: size}
    assert judge(3599, sizes).kind is VerdictKind.GROWING
    judged = judge(3600, sizes)
    assert judged.kind is VerdictKind.ABORTED
    assert f"{name.rpartition('/')[2]} (" in judged.sentence
    assert "a database is being written" in judged.sentence


def test_an_empty_wal_is_no_writer_and_wal_mode_is_said():
    assert judge(30, SIZES | {"analysis.tdf-wal": 0}).kind is VerdictKind.COMPLETE
    judged = judge(30, wal_mode=True)
    assert judged.kind is VerdictKind.COMPLETE
    assert "the index is in WAL mode: a program that opens it in the usual way can change it" in judged.evidence


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["analysis.tdf"], "analysis.tdf stands alone: analysis.tdf_bin is missing"),
        (["analysis.tdf_bin"], "analysis.tdf_bin stands alone: analysis.tdf is missing"),
        (["analysis.tsf_bin"], "analysis.tsf_bin stands alone: analysis.tsf is missing"),
    ],
)
def test_index_and_data_belong_together(names, said):
    sizes = dict.fromkeys(names, 100_000)
    assert judge(3599, sizes).kind is VerdictKind.GROWING
    judged = judge(3600, sizes)
    assert judged.kind is VerdictKind.TRUNCATED
    assert said in judged.evidence


@pytest.mark.parametrize(
    ("sizes", "name"),
    [({"analysis.tsf": 90_000, "analysis.tsf_bin": 10**6}, "analysis.tsf"), ({"analysis.baf": 10**6}, "analysis.baf")],
)
def test_what_cannot_be_checked_ends_by_an_hour_of_silence_and_says_so(sizes, name):
    assert judge(3599, sizes).kind is VerdictKind.GROWING
    judged = judge(3600, sizes)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert f"nothing in {name} says when it is whole" in judged.evidence


def test_an_index_that_cannot_be_understood_is_said_and_a_small_one_is_doubted():
    unknown = {"unknown": "its index could not be read within 0.5 s", "seen": index_facts()["seen"]}
    judged = judge(3600, probes={"q/a.d/analysis.tdf": Probe(facts=unknown)})
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert "its index could not be read within 0.5 s" in judged.evidence
    small = {"analysis.tsf": 20_000, "analysis.tsf_bin": 10**6}
    judged = judge(3600, small)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "analysis.tsf has only 20.0 kB (finished ones have 50 KiB and more)" in judged.evidence


def test_an_empty_file_of_data_is_never_done():
    judged = judge(3600, {"analysis.baf": 0})
    assert judged.kind is VerdictKind.TRUNCATED
    assert "analysis.baf is empty" in judged.evidence


def test_metadata_is_what_the_index_says():
    (dataset,) = group(Listing("q", (), tree_of(SIZES)), "bruker-d")
    said = Probe(facts=index_facts(instrument="timsTOF", run_time_min=12.5))
    assert BRUKER.metadata(dataset, {"q/a.d/analysis.tdf": said}) == {
        "instrument": "timsTOF",
        "frames": 900,
        "run_time_min": 12.5,
    }
    assert BRUKER.metadata(dataset, {}) == {}


# the header of SQLite, and a frame


def header(*, page=4096, pages=2, formats=(1, 1), changes=(7, 7), size=8192, magic=bruker_tdf.SIGNATURE):
    head = bytearray(size)
    head[:16] = magic
    struct.pack_into(">H2B", head, 16, page, *formats)
    struct.pack_into(">2I", head, 24, changes[0], pages)
    struct.pack_into(">I", head, 92, changes[1])
    return bytes(head)


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "is empty"),
        (b"SQLite", "ends inside its signature"),
        (header()[:99], "ends inside its header"),
        (bytes(8192), "is no SQLite database, so no Bruker index"),
        (b"<html>login</html>", "is no SQLite database, so no Bruker index"),
        (header(page=1000), "has pages of 1000 bytes in its header, which no SQLite database has"),
        (header(page=0), "has pages of 0 bytes"),
        (header(formats=(3, 1)), "has the SQLite file format 3, 1, which is not known"),
        (header(pages=3), "ends 4,096 bytes early"),
        (header(page=1, pages=1), "ends 57,344 bytes early"),
    ],
)
def test_a_header_says_what_is_wrong(content, problem):
    found = guarded(lambda: Probe(facts={"wal": bruker_tdf.check_header(content[:100], len(content))}))
    assert problem in found.problem


def test_a_header_says_whether_a_write_ahead_log_may_follow():
    assert not bruker_tdf.check_header(header()[:100], 8192)
    assert bruker_tdf.check_header(header(formats=(2, 2))[:100], 8192)
    # where the change counters differ, the number of pages is not valid (an old SQLite wrote last)
    assert not bruker_tdf.check_header(header(pages=99, changes=(7, 6))[:100], 8192)


def test_a_database_whose_last_page_is_zeros_was_never_written_unless_pages_were_freed():
    def check(content):
        return guarded(
            lambda: Probe(
                facts={"wal": bruker_tdf.check_database(lambda at, count: content[at : at + count], len(content))}
            )
        ).problem

    assert check(header()) == "ends in 4,096 bytes of zeros: its end was never written"
    assert check(header()[:-1] + b"\x0d") is None
    freed = bytearray(header())
    freed[39] = 1
    assert check(bytes(freed)) is None


def test_a_frame_is_read_where_the_index_has_it():
    content = b"\0" * 64 + struct.pack("<2I", 5000, 709) + b"\3" * 4992

    def read_at(offset, count):
        return content[offset : offset + count]

    assert bruker_tdf.last_frame(read_at, len(content), 64) == {
        "last_bytes": 5000,
        "last_scans_found": 709,
        "last_blank": False,
    }
    assert bruker_tdf.last_frame(read_at, len(content), len(content) - 7) == {}
    assert bruker_tdf.last_frame(read_at, len(content), 1 << 62) == {}
    content = content[:72] + bytes(4992)
    assert bruker_tdf.last_frame(read_at, len(content), 64)["last_blank"]


@pytest.mark.parametrize(
    ("path", "uri"),
    [
        ("/a/b.d/analysis.tdf", "file:///a/b.d/analysis.tdf?mode=ro&immutable=1"),
        ("//x", "file:////x?mode=ro&immutable=1"),
        ("/a?mode=rwc#%20\udcff\n", "file:///a%3Fmode%3Drwc%23%2520%FF%0A?mode=ro&immutable=1"),
    ],
)
def test_no_name_can_change_how_a_database_is_opened(path, uri):
    assert bruker_tdf.database_uri(path) == uri
