import pytest
from format_files import listing_of, stat_of

from depositd.formats import AUTO, FORMATS, claims, group
from depositd.formats.facts import LONGEST_TEXT, clean, iso_date, number
from depositd.formats.names import stem_of_directory
from depositd.model import FileKind, Listing, Probe, Quiet, Terms, VerdictKind


def judge(name, listing, quiet_s, probe=None, **terms):
    (dataset,) = group(listing, name)
    probes = {file.path: probe or Probe(facts={"hole_at_end": False}) for file in dataset.files}
    return FORMATS[name].judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


def tree(count, kind=FileKind.REGULAR):
    return Listing("", (), {"run1": tuple(stat_of(f"run1/{n}", kind=kind) for n in range(count))})


# any file, any directory


def test_every_file_is_a_dataset_of_its_own():
    found = group(listing_of("a.tar.gz", "b.part", ".c", "d"), "file")
    assert [(d.name, d.path) for d in found] == [("a.tar", "run1/a.tar.gz"), ("d", "run1/d")]
    assert found[0].top == "run1"


def test_a_file_is_complete_by_quiescence_or_by_its_marker():
    judged = judge("file", listing_of("a.bin"), 30)
    assert judged.kind is VerdictKind.COMPLETE
    assert "complete by quiescence" in judged.sentence
    assert judge("file", listing_of("a.bin"), 30, marker_pattern="*.done").kind is VerdictKind.GROWING
    marked = judge("file", listing_of("a.bin"), 30, marker_pattern="*.done", marker_present=True)
    assert marked.kind is VerdictKind.COMPLETE


@pytest.mark.parametrize(
    ("stat", "probe", "said"),
    [
        (stat_of("r/a.bin", size=10**6, allocated=4096), None, "is sparse or preallocated (4.10 kB of 1.00 MB)"),
        (stat_of("r/a.bin", size=10**6), Probe(facts={"hole_at_end": True}), "is sparse or preallocated (1.00 MB)"),
    ],
)
def test_a_preallocated_file_grows_until_it_has_settled_and_is_said(stat, probe, said):
    assert judge("file", Listing("r", (stat,)), 29, probe).kind is VerdictKind.GROWING
    judged = judge("file", Listing("r", (stat,)), 30, probe)
    assert judged.kind is VerdictKind.COMPLETE
    assert said in judged.sentence


@pytest.mark.parametrize(("size", "allocated"), [(100, 0), (10**6, 0), (4000, 512)])
def test_small_and_fresh_files_are_not_called_sparse(size, allocated):
    judged = judge("file", Listing("r", (stat_of("r/a", size=size, allocated=allocated),)), 30)
    assert "sparse" not in judged.sentence


def test_an_unreadable_file_is_corrupt_and_named():
    judged = judge("file", listing_of("a.bin"), 30, Probe("cannot be read: Permission denied", retry=True))
    assert judged.kind is VerdictKind.CORRUPT
    assert "a.bin cannot be read: Permission denied" in judged.evidence


def test_a_directory_counts_its_files():
    assert judge("directory", tree(3), 30).kind is VerdictKind.COMPLETE
    met = judge("directory", tree(3), 30, expected_frames=3)
    assert met.evidence[0] == "3 of 3 files"
    assert "quiescence" not in met.sentence
    short = judge("directory", tree(3), 30, expected_frames=4)
    assert short.kind is VerdictKind.TRUNCATED
    assert "1 file fewer than expected" in short.evidence
    assert "complete by quiescence" in judge("directory", tree(4), 30, expected_frames=3).sentence


def test_a_directory_with_a_socket_is_refused_by_name():
    judged = judge("directory", tree(1, FileKind.SOCKET), 30)
    assert judged.kind is VerdictKind.CORRUPT
    assert "0 is a socket, not a regular file" in judged.evidence


# the registry


def test_each_format_is_registered_under_its_own_name():
    assert {name: format_.name for name, format_ in FORMATS.items()} == {name: name for name in FORMATS}
    assert set(AUTO) < set(FORMATS)


def test_auto_offers_each_file_to_one_format_only():
    listing = listing_of(
        "a_master.h5",
        "a_data_000001.h5",
        "b.raw",
        "c_00001.cbf",
        "d.txt",
        trees={"run1/e.raw": (stat_of("run1/e.raw/_FUNC001.DAT"),)},
    )
    found = group(listing, "auto")
    assert [(d.format, d.name) for d in found] == [
        ("waters-raw", "e"),
        ("eiger", "a"),
        ("thermo-raw", "b"),
        ("frames", "c"),
    ]


@pytest.mark.parametrize("name", ["bruker", "tdf", "nonsense"])
def test_a_format_that_is_not_there_is_a_key_error(name):
    with pytest.raises(KeyError):
        group(listing_of(), name)
    with pytest.raises(KeyError):
        claims("x", name)


# facts and names


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2011-07-14T12:45:19.719", "2011-07-14T12:45:19.719"),
        ("2011/Jul/14 12:45:19.719", "2011-07-14T12:45:19.719"),
        ("Tue Jun 26 09:43:09 2007", "2007-06-26T09:43:09"),
        ("2011-07-14T12:45:19Z", "2011-07-14T12:45:19"),
        ("2011-13-14T12:45:19", None),
        ("0000-01-01T00:00:00", None),
        ("yesterday", None),
        ("", None),
        (None, None),
    ],
)
def test_dates_as_detectors_write_them(text, date):
    assert iso_date(text) == date


def test_numbers_keep_their_digits_when_scaled():
    assert number("0.172 m", 1e3) == 172.0
    assert number("172e-6 m x 172e-6 m", 1e6) == 172.0
    assert number("none") is None
    assert number(None) is None


def test_facts_that_say_nothing_are_left_out():
    assert clean({"a": None, "b": "  ", "c": float("nan"), "d": float("inf"), "e": 0.0, "f": 0, "g": ()}) == {
        "e": 0.0,
        "f": 0,
        "g": (),
    }
    assert clean({"a": "x\x1b[31m"}) == {"a": "x\\x1b[31m"}
    assert len(clean({"a": "x" * 1000})["a"]) == LONGEST_TEXT


@pytest.mark.parametrize(("directory", "stem"), [("q/a.raw", "a"), ("a.b.raw", "a.b"), ("a", "a"), (".raw", ".raw")])
def test_a_directory_is_named_without_its_suffix(directory, stem):
    assert stem_of_directory(directory) == stem
