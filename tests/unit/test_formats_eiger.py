import pytest
from format_files import listing_of, superblock
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import FORMATS, group
from depositd.formats.hdf5 import OPEN_FACT, check_closed
from depositd.formats.reading import Malformed
from depositd.model import FileStat, Frames, Listing, Probe, Quiet, Terms, VerdictKind

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
        "u": ["u_meta.h5"],
    }
    assert {d.path for d in found} == {"run1"}


def test_diamonds_names_share_a_stem_and_a_nexus_master_may_stand_alone():
    names = ("i03_1.nxs", "i03_1_meta.h5", "i03_1_000001.h5", "I03_1_master.h5", "i03_1_master.H5", "other.NXS")
    found = group(listing_of(*names), "eiger")
    assert {d.name: sorted(file.name for file in d.files) for d in found} == {
        "i03_1": ["i03_1.nxs", "i03_1_000001.h5", "i03_1_master.H5", "i03_1_meta.h5"],
        "I03_1": ["I03_1_master.h5"],
        "other": ["other.NXS"],
    }


names = st.builds(
    "{}{}".format,
    st.sampled_from(["x", "x_1", "x_000001", "x_data", "x_master"]),
    st.sampled_from(["_master.h5", ".nxs", "_meta.h5", "_data_000001.h5", "_000002.h5", ".h5", ".cbf", "_MASTER.H5"]),
)


@given(st.sets(names), st.sets(names))
def test_grouping_is_local(some, others):
    """What a file belongs to follows from its own name: groups of all files are the groups of any parts, merged."""

    def groups(found):
        listing = listing_of(*sorted(found)) if found else Listing("run1")
        return {d.key: {file.name for file in d.files} for d in EIGER.group(listing)}

    merged = groups(some)
    for key, files in groups(others).items():
        merged[key] = merged.get(key, set()) | files
    assert groups(some | others) == merged


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


@pytest.mark.parametrize("link", ["/data/other/x_data_000001.h5", "../x_data_000001.h5", "../../../x.h5", ".."])
def test_a_link_that_leaves_the_directory_is_refused_by_name(link):
    judged = judge(600, whole(**{MASTER: master(links=[link])}))
    assert judged.kind is VerdictKind.CORRUPT
    assert f"the master links to {link}, outside the dataset's directory" in judged.evidence


def test_a_link_to_a_directory_below_says_which_rule_would_take_it():
    judged = judge(30, {MASTER: master(links=[f"data/{data(1)}"])})
    assert judged.kind is VerdictKind.CORRUPT
    assert f"the master links to data/{data(1)}, in a directory below it" in judged.sentence
    assert "gather:" in judged.sentence


def gathered(links, *paths):
    """Judge files of several directories that a rule takes together."""
    files = tuple(FileStat(path, 9, 1) for path in paths)
    (dataset,) = EIGER.group(Listing("run1", files))
    probes = {path: counted() for path in paths}
    probes["run1/m/x_1_master.h5"] = master(links=links)
    return EIGER.judge(dataset, probes, Quiet(600, 600), Terms(30.0))


def test_links_are_compared_by_their_way_from_the_master():
    links = [f"../data/{data(n)}" for n in (1, 2, 3)]
    paths = ["run1/m/x_1_master.h5", *(f"run1/data/{data(n)}" for n in (1, 2, 3))]
    assert gathered(links, *paths).kind is VerdictKind.COMPLETE
    judged = gathered(links, *paths[:-1])
    assert judged.kind is VerdictKind.ABORTED
    assert f"{data(3)} never came" in judged.evidence
    assert gathered([f"../../data/{data(1)}"], *paths[:-1]).kind is VerdictKind.CORRUPT


def test_two_masters_of_one_name_are_refused():
    judged = gathered([], "run1/m/x_1_master.h5", "run1/n/x_1_master.h5")
    assert judged.kind is VerdictKind.CORRUPT
    assert "two masters, run1/m/x_1_master.h5 and run1/n/x_1_master.h5" in judged.sentence


def test_an_absolute_link_is_found_beside_the_master_as_hdf5_does():
    links = [f"/dev/shm/detector/{data(n)}" for n in (1, 2, 3)]
    assert judge(30, whole(**{MASTER: master(links=links)})).kind is VerdictKind.COMPLETE


def test_a_master_that_was_renamed_alone_is_refused():
    judged = judge(30, {MASTER: master(links=["y_data_000001.h5"])})
    assert judged.kind is VerdictKind.CORRUPT
    assert "the master links to y_data_000001.h5, which by its name is no part of x_1" in judged.sentence


def test_a_master_that_links_to_itself_awaits_images():
    judged = judge(600, {MASTER: master(links=[MASTER, f"./{MASTER}"])})
    assert judged.kind is VerdictKind.ABORTED
    assert "no frame was written" in judged.evidence


def test_data_files_that_no_link_names_count_only_where_they_are_needed():
    stale = judge(30, whole(**{data(4): counted()}))
    assert stale.kind is VerdictKind.COMPLETE
    assert f"1 data file is not linked by the master, {data(4)} first" in stale.evidence
    assert judge(30, whole(**{MASTER: master(files=1)})).kind is VerdictKind.COMPLETE


def test_the_rungs_say_what_was_found_and_what_is_awaited():
    judged = judge(30, {MASTER: master(), data(1): counted(98)})
    assert judged.kind is VerdictKind.GROWING
    assert judged.awaits.startswith("202 more frames in 2 more files or ")
    findings = [rung.finding for rung in judged.ladder]
    assert findings[:3] == [
        "the master has no end_time (only NXmx has one, once it has finished)",
        "1 of 3 linked files closed and as long as told",
        "98 of 300 frames",
    ]
    writing = judge(30, whole(**{data(3): Probe("is still open for writing", retry=True, facts={OPEN_FACT: True})}))
    assert writing.awaits.startswith(f"100 more frames, {data(3)} closed or ")
    assert writing.ladder[1].finding == "2 of 3 linked files closed and as long as told"


def test_end_time_is_the_flag_of_nexus():
    judged = judge(30, whole(**{MASTER: master(expected=None, end_time="2026-11-21T02:14:07")}))
    assert "2026-11-21T02:14:07: the acquisition has finished" in judged.ladder[0].finding


def test_diamonds_two_masters_are_one_and_its_meta_file_is_awaited():
    nexus = Probe(facts={"links": [data(1)], "also_links": ["x_1_meta.h5"], "own_frames": 0, "end_time": "now"})
    plain = Probe(facts={"links": [data(1)], "expected_frames": 100, "own_frames": 0})
    judged = judge(600, {MASTER: plain, "x_1.nxs": nexus, data(1): counted()})
    assert judged.kind is VerdictKind.ABORTED
    assert "x_1_meta.h5 never came" in judged.evidence
    with_meta = {MASTER: plain, "x_1.nxs": nexus, "x_1_meta.h5": Probe(), data(1): counted()}
    assert judge(30, with_meta).kind is VerdictKind.COMPLETE


@pytest.mark.parametrize(
    ("in_master", "in_file", "said"),
    [
        ({"width_px": 30}, {"image_width_px": 40}, f"images of {data(1)} are 40 pixels wide, but the master says 30"),
        ({"height_px": 30}, {"image_height_px": 9}, f"images of {data(1)} are 9 pixels high, but the master says 30"),
        ({"header_bits": 16}, {"image_bits": 32}, f"images of {data(1)} are 32 bits deep, but the master says 16"),
    ],
)
def test_a_master_that_disagrees_with_the_images_is_corrupt(in_master, in_file, said):
    probes = whole(**{MASTER: master(**in_master), data(1): Probe(facts={"frames": 100, **in_file})})
    judged = judge(30, probes)
    assert judged.kind is VerdictKind.CORRUPT
    assert said in judged.evidence


def test_data_files_of_two_sizes_are_corrupt():
    sizes = {data(n): Probe(facts={"frames": 100, "image_width_px": 10 * n}) for n in (1, 2, 3)}
    judged = judge(30, whole(**sizes))
    assert judged.kind is VerdictKind.CORRUPT
    assert f"images of {data(2)} are 20 pixels wide, but those of {data(1)} are 10" in judged.evidence


def test_a_count_that_cannot_be_is_said_and_proves_nothing():
    odd = "the master asks for an impossible number of frames (nimages 0, ntrigger 1)"
    probes = whole(**{MASTER: master(expected=None, odd_count=odd)})
    assert judge(599, probes).kind is VerdictKind.GROWING
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.COMPLETE
    assert odd in judged.evidence
    assert judged.by_quiescence
    none = judge(1000, {MASTER: master(expected=None, files=0, odd_count=odd)})
    assert none.kind is VerdictKind.ABORTED
    assert "no frame was written" in none.evidence


def test_the_first_data_file_is_missed_too():
    probes = {MASTER: master(expected=None, files=0), data(2): counted(), data(3): counted()}
    assert "data file 1 missing" in judge(600, probes).evidence


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


def test_a_data_file_that_repeats_the_images_of_another_is_corrupt_and_counts_once():
    probes = {MASTER: master(expected=20, files=2), data(1): counted(10, low=1), data(2): counted(10, low=1)}
    assert judge(599, probes).kind is VerdictKind.GROWING
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.CORRUPT
    assert judged.evidence[:2] == ("10 of 20 frames", f"images 1-10 are in two data files: {data(1)} and {data(2)}")
    assert judged.frames == Frames(10, 20, tuple(range(11, 21)))


@pytest.mark.parametrize(
    ("low", "said", "missing"),
    [
        (10, "image 10 is in two data files", (20,)),
        (8, "images 8-10 are in two data files", (18, 19, 20)),
        (-2, "images 1-7 are in two data files", (11, 12, 13, 14, 15, 16, 17)),
    ],
)
def test_data_files_that_share_some_images_are_corrupt(low, said, missing):
    probes = {MASTER: master(expected=20, files=2), data(1): counted(10, low=1), data(2): counted(10, low=low)}
    judged = judge(600, probes)
    assert judged.kind is VerdictKind.CORRUPT
    assert said in judged.sentence
    assert judged.frames.present == 20 - len(missing)


def test_one_data_file_that_holds_the_images_of_two_others_is_named_first():
    probes = {MASTER: master(expected=40), data(1): counted(20, low=1)}
    probes |= {data(n): counted(10, low=10 * n - 19) for n in (2, 3)}
    judged = judge(600, probes)
    assert f"images 1-10 are in two data files: {data(1)} and {data(2)}" in judged.evidence
    assert judged.frames == Frames(20, 40, tuple(range(21, 41)))


def test_data_files_that_do_not_tell_their_images_are_not_said_to_repeat_any():
    assert judge(30, whole(**{data(2): counted()})).kind is VerdictKind.COMPLETE


@pytest.mark.parametrize("terms", [{}, {"expected_frames": 250}])
def test_more_frames_than_expected_are_never_complete(terms):
    probes = whole(**{MASTER: master(expected=None if terms else 250)})
    assert judge(599, probes, **terms).kind is VerdictKind.GROWING
    judged = judge(600, probes, **terms)
    assert judged.kind is VerdictKind.CORRUPT
    assert judged.evidence == ("300 frames, 250 expected: 50 frames too many", "last write 10 min ago")
    assert judged.ladder[2].finding == "300 frames, 250 expected: 50 frames too many"


def ended(**changes):
    return whole(**{MASTER: master(end_time="2026-11-21T02:14:07"), data(3): counted(50, low=201)} | changes)


def test_what_lacks_after_end_time_is_waited_for_no_longer_than_settle():
    assert judge(29, ended()).kind is VerdictKind.GROWING
    judged = judge(30, ended())
    assert judged.kind is VerdictKind.ABORTED
    assert judged.evidence[:2] == ("250 of 300 frames", "50 frames never came")
    assert judge(30, ended(**{MASTER: master()})).kind is VerdictKind.GROWING


def test_end_time_does_not_shorten_the_wait_for_files_that_are_open_or_not_there():
    writing = Probe("is still open for writing", retry=True, facts={OPEN_FACT: True})
    assert judge(3599, ended(**{data(2): writing})).kind is VerdictKind.GROWING
    assert judge(599, ended(**{data(2): Probe("ends 9 bytes early", retry=True)})).kind is VerdictKind.GROWING
    being_copied = ended()
    del being_copied[data(3)]
    assert judge(599, being_copied).kind is VerdictKind.GROWING
    without_meta = ended(**{MASTER: master(end_time="now", also_links=["x_1_meta.h5"])})
    assert judge(599, without_meta).kind is VerdictKind.GROWING


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
