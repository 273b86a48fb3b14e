import pytest
from format_files import compound_bytes, listing_of, sciex_files, stat_of

from depositd.formats import FORMATS, compound_file, group
from depositd.formats.reading import guarded
from depositd.model import Listing, Probe, Quiet, Terms, VerdictKind

SCIEX = FORMATS["sciex"]


def read_at(content):
    return lambda offset, count: content[offset : offset + count]


def probe(name, content):
    check = compound_file.compound_facts if name.lower().endswith(".wiff") else compound_file.written_facts
    return guarded(check, read_at(content), len(content))


def judge(files, quiet_s, next_name=None, **terms):
    stats = tuple(stat_of(f"q/{name}", size=len(content)) for name, content in sorted(files.items()))
    (dataset,) = group(Listing("q", stats), "sciex")
    probes = {f"q/{name}": probe(name, content) for name, content in files.items()}
    quiet = Quiet(quiet_s, quiet_s, next_name=next_name)
    return SCIEX.judge(dataset, probes, quiet, Terms(**{"settle_s": 30.0} | terms))


def test_files_are_grouped_by_the_name_before_their_suffix():
    found = group(
        listing_of(
            "a.wiff",
            "a.wiff.scan",
            "A.b.WIFF2",
            "A.b.timeseries.data",
            "A.b.dad.scan",
            "c.wiff2.scan",
            ".d.wiff",
            "e.wiff.tmp",
            "wiff",
            "f.scan",
            "g.data",
        ),
        "auto",
    )
    assert {(d.name, d.format, d.path, len(d.files)) for d in found} == {
        ("a", "sciex", "run1", 2),
        ("A.b", "sciex", "run1", 3),
        ("c", "sciex", "run1", 1),
    }


def test_an_hour_of_silence_is_the_end_and_the_verdict_says_so():
    assert judge(sciex_files(), 3599).kind is VerdictKind.GROWING
    judged = judge(sciex_files(), 3600)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.by_quiescence
    assert judged.evidence[0] == "3 files"


def test_the_next_sample_ends_the_wait():
    assert judge(sciex_files(), 29, next_name="lyso_2").kind is VerdictKind.GROWING
    judged = judge(sciex_files(), 30, next_name="lyso_2")
    assert judged.kind is VerdictKind.COMPLETE
    assert "lyso_2 has begun on the same instrument" in judged.evidence


@pytest.mark.parametrize(
    ("change", "kind", "said"),
    [
        ({"lyso_1.wiff.scan": b"\3" * 44}, "aborted", "lyso_1.wiff.scan has 44 bytes: not converted yet"),
        ({"lyso_1.wiff.scan": b"\3" * 144}, "aborted", "lyso_1.wiff.scan has 144 bytes: not converted yet"),
        ({"lyso_1.wiff": compound_bytes(sectors=60)}, "truncated", "lyso_1.wiff has only 31.2 kB"),
        ({"lyso_1.wiff": b""}, "truncated", "lyso_1.wiff is empty"),
        ({"lyso_1.wiff": bytes(80_000)}, "corrupt", "lyso_1.wiff is no compound file, which every .wiff is"),
        ({"lyso_1.wiff": b"<html>login</html>"}, "corrupt", "lyso_1.wiff is no compound file"),
        ({"lyso_1.wiff": compound_bytes()[:40_000]}, "truncated", "lyso_1.wiff ends "),
        ({"lyso_1.wiff.scan": bytes(80_000)}, "truncated", "lyso_1.wiff.scan begins with 4,096 bytes of zeros"),
        ({"lyso_1.timeseries.data": b""}, "truncated", "lyso_1.timeseries.data is empty"),
    ],
)
def test_what_lacks_is_waited_for_an_hour_also_when_the_next_sample_has_begun(change, kind, said):
    files = sciex_files() | change
    assert judge(files, 3599, next_name="lyso_2").kind is VerdictKind.GROWING
    judged = judge(files, 3600)
    assert judged.kind == kind
    assert said in judged.sentence


def test_the_acquisition_itself_must_be_there_and_a_lone_wiff_is_said():
    files = sciex_files()
    del files["lyso_1.wiff"]
    judged = judge(files, 3600)
    assert judged.kind is VerdictKind.TRUNCATED
    assert "its .wiff or .wiff2 is missing" in judged.evidence
    judged = judge({"lyso_1.wiff": compound_bytes()}, 3600)
    assert judged.kind is VerdictKind.COMPLETE
    assert "no .wiff.scan beside it" in judged.evidence
    small = judge({"lyso_1.wiff2": b"\1" * 51_199, "lyso_1.wiff.scan": b"\3" * 500}, 3600)
    assert small.kind is VerdictKind.TRUNCATED
    assert "(finished ones have 50 KiB and more)" in small.sentence


# compound files


@pytest.mark.parametrize("shift", [9, 12])
def test_a_compound_file_must_reach_the_last_sector_that_its_table_has_in_use(shift):
    content = compound_bytes(sectors=120, shift=shift)
    last = len(content) - (1 << shift)
    assert probe("a.wiff", content).facts == {"needed_bytes": last + 1}
    assert probe("a.wiff", content[: last + 1]).problem is None
    assert probe("a.wiff", content[:last]).problem == "ends 1 byte early"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (compound_bytes()[:7], "ends inside its signature"),
        (compound_bytes()[:511], "ends inside its header"),
        (compound_bytes()[:600], "ends 424 bytes early"),
        (compound_bytes()[:30] + b"\x40\0" + compound_bytes()[32:], "has sectors of 2 to the power of 64 bytes"),
    ],
)
def test_a_compound_file_says_what_is_wrong(content, problem):
    assert problem in probe("a.wiff", content).problem


def test_written_is_what_does_not_begin_with_zeros():
    assert probe("a.wiff2", b"\0" * 100 + b"x") == Probe()
