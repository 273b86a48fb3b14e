import pytest
from format_files import listing_of, superblock
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import FORMATS, group
from depositd.formats.hdf5 import OPEN_FACT, check_closed
from depositd.formats.reading import Malformed
from depositd.model import Probe, Quiet, Terms, VerdictKind

EIGER = FORMATS["eiger"]
MASTER = "x_1_master.h5"


def data(number):
    return f"x_1_data_{number:06}.h5"


def dataset_of(*names):
    (dataset,) = group(listing_of(*names), "eiger")
    return dataset


def master(expected=300, files=3, **facts):
    links = [data(n) for n in range(1, files + 1)]
    said = {"expected_frames": expected, "links": links, "own_frames": 0, "frame_period_s": 0.1} | facts
    return Probe(facts=said)


def counted(frames=100, low=None):
    return Probe(facts={"frames": frames} | ({} if low is None else {"image_low": low, "image_high": low + frames - 1}))


def judge(quiet_s, probes, **terms):
    dataset = dataset_of(*probes)
    by_path = {f"run1/{name}": probe for name, probe in probes.items()}
    return EIGER.judge(dataset, by_path, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


def whole(**changes):
    return {MASTER: master()} | {data(n): counted(low=100 * n - 99) for n in (1, 2, 3)} | changes


def test_names():
    found = group(
        listing_of(
            MASTER, data(1), "y_000001.h5", "y_master.h5", "z_data_000001.h5", ".w_master.h5", "v.h5", "u_meta.h5"
        ),
        "eiger",
    )
    assert {d.name: [file.name for file in d.files] for d in found} == {
        "x_1": [data(1), MASTER],
        "y": ["y_000001.h5", "y_master.h5"],
        "z": ["z_data_000001.h5"],
    }
    assert {d.path for d in found} == {"run1"}


def test_a_nexus_master_joins_its_data_and_makes_no_dataset_alone():
    (dataset,) = group(listing_of("i03_1.nxs", "i03_1_meta.h5", "i03_1_000001.h5", "other.nxs"), "eiger")
    assert [file.name for file in dataset.files] == ["i03_1.nxs", "i03_1_000001.h5", "i03_1_meta.h5"]


def test_all_frames_in_closed_files_are_complete_once_settled():
    assert judge(29, whole()).kind is VerdictKind.GROWING
    judged = judge(30, whole())
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.evidence == ("300 of 300 frames", "last write 30 s ago")
    assert (judged.frames.present, judged.frames.expected) == (300, 300)


def test_linked_files_that_never_come_are_an_abort_after_ten_minutes():
    probes = {MASTER: master(), data(1): counted()}
    waiting = judge(599, probes)
    assert waiting.kind is VerdictKind.GROWING
    assert waiting.recheck_s == pytest.approx(1)
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.ABORTED
    assert f"{data(2)} never came (and 1 more file)" in judged.evidence


def test_slow_acquisitions_are_waited_for_longer():
    probes = {MASTER: master(frame_period_s=2.0, images_per_file=100), data(1): counted()}
    assert judge(1999, probes).kind is VerdictKind.GROWING
    assert judge(2000, probes).kind is VerdictKind.ABORTED


def test_a_marker_ends_the_wait():
    probes = {MASTER: master(), data(1): counted()}
    assert judge(30, probes, marker_pattern="*.done", marker_present=True).kind is VerdictKind.ABORTED


def test_a_master_alone_means_nothing():
    assert judge(599, {MASTER: master()}).kind is VerdictKind.GROWING
    assert judge(600, {MASTER: master()}).kind is VerdictKind.ABORTED
    assert judge(600, {MASTER: master(files=0)}).kind is VerdictKind.ABORTED


def test_data_without_a_master_are_truncated():
    judged = judge(600, {data(1): counted()})
    assert judged.kind is VerdictKind.TRUNCATED
    assert "no master file (x_1_master.h5)" in judged.evidence


def test_a_short_last_file_is_an_abort():
    probes = whole(**{data(3): counted(50, low=201)})
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.ABORTED
    assert judged.evidence[:2] == ("250 of 300 frames", "50 frames never came")


def test_a_file_that_is_open_for_writing_keeps_it_growing_for_an_hour():
    probes = whole(**{data(3): Probe("is still open for SWMR writing", retry=True, facts={OPEN_FACT: True})})
    assert judge(3599, probes).kind is VerdictKind.GROWING
    judged = judge(3600, probes)
    assert judged.kind is VerdictKind.ABORTED
    assert f"{data(3)} is still open for SWMR writing" in judged.evidence


def test_a_broken_file_is_corrupt_and_named():
    judged = judge(600, whole(**{data(2): Probe("ends 9 bytes early", retry=True)}))
    assert judged.kind is VerdictKind.CORRUPT
    assert f"{data(2)} ends 9 bytes early" in judged.evidence


@pytest.mark.parametrize("link", ["/data/other/x_data_000001.h5", "../x_data_000001.h5", "sub/x_data_000001.h5"])
def test_a_link_that_leaves_the_directory_is_refused_by_name(link):
    judged = judge(600, whole(**{MASTER: master(links=[link])}))
    assert judged.kind is VerdictKind.CORRUPT
    assert f"the master links to {link}, outside the dataset's directory" in judged.evidence


def test_a_hole_in_the_image_numbers_is_gapped():
    probes = whole(**{MASTER: master(expected=None, files=0), data(2): counted(98, low=103)})
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.GAPPED
    assert judged.frames.missing == (101, 102)


def test_a_missing_data_file_without_links_is_gapped():
    probes = {MASTER: master(expected=None, files=0), data(1): counted(), data(3): counted()}
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.GAPPED
    assert "data file 2 missing" in judged.evidence


def test_links_beyond_the_count_do_no_harm():
    assert judge(30, whole(**{MASTER: master(files=10)})).kind is VerdictKind.COMPLETE


def test_the_rules_count_and_the_masters_must_both_be_met():
    assert judge(1e4, whole(), expected_frames=100).kind is VerdictKind.COMPLETE
    assert judge(1e4, whole(), expected_frames=400).kind is VerdictKind.ABORTED
    assert judge(1e4, whole(**{MASTER: master(expected=400)}), expected_frames=300).kind is VerdictKind.ABORTED


def test_end_time_proves_the_end_where_no_count_is_known():
    ended = whole(**{MASTER: master(expected=None, end_time="2026-11-21T02:14:07")})
    assert judge(30, ended).kind is VerdictKind.COMPLETE
    unknown = whole(**{MASTER: master(expected=None)})
    assert judge(599, unknown).kind is VerdictKind.GROWING
    assert "complete by quiescence" in judge(600, unknown).sentence


def test_metadata():
    dataset = dataset_of(*whole())
    probes = {f"run1/{name}": probe for name, probe in whole(**{MASTER: master(wavelength_A=1.0)}).items()}
    assert EIGER.metadata(dataset, probes) == {"wavelength_A": 1.0, "frame_period_s": 0.1, "frames": 300}


# the superblock


def problem_of(head, size):
    try:
        check_closed(head, size)
    except Malformed as error:
        return str(error)
    return None


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_a_superblock_of_each_version(version):
    assert problem_of(superblock(version), 64) is None
    assert problem_of(superblock(version, flags=1), 64) == "is still open for writing"
    assert problem_of(superblock(version, flags=5), 64) == "is still open for SWMR writing"
    assert problem_of(superblock(version, end=100), 64) == "ends 36 bytes early"
    assert problem_of(superblock(version, end=60), 64) == "is 4 bytes longer than its superblock says"


@pytest.mark.parametrize(
    ("head", "size", "said"),
    [
        (b"", 0, "is empty"),
        (b"\0" * 64, 64, "is not an HDF5 file"),
        (superblock()[:40], 40, "ends inside its superblock"),
        (superblock(9), 64, "has an HDF5 superblock of the unknown version 9"),
    ],
)
def test_what_is_no_superblock_says_why(head, size, said):
    assert problem_of(head, size) == said


@given(st.binary(max_size=64), st.integers(0, 1 << 40), st.booleans())
def test_random_superblocks_never_raise_anything_else(tail, size, signed):
    problem_of((superblock()[:8] if signed else b"") + tail, size)
