from dataclasses import replace

import pytest
from format_files import cbf_bytes, listing_of, stat_of

from depositd.formats import FORMATS, frame_probe, group
from depositd.model import FileKind, Listing, Probe, Quiet, Terms, VerdictKind

FRAMES = FORMATS["frames"]


def groups(*names, directory="run1"):
    found = group(listing_of(*names, directory=directory), "frames")
    parts = [part for dataset in found for part in FRAMES.split(dataset, {})]
    return {(d.name, d.key): [file.name for file in d.files] for d in parts}


def series_of(numbers, interval_s=0.1, prefix="lyso_1_"):
    files = tuple(stat_of(f"run1/{prefix}{n:05}.cbf", mtime_s=1000 + n * interval_s) for n in numbers)
    (dataset,) = group(Listing("run1", files), "frames")
    (whole,) = FRAMES.split(dataset, {})
    return whole


def facts_of(number):
    return {"start_angle_deg": (number - 1) * 0.1, "increment_deg": 0.1, "frame_period_s": 0.1, "wavelength_A": 0.98}


def judge(dataset, quiet_s, probes=None, **terms):
    if probes is None:
        numbers = [int(file.name[-9:-4]) for file in dataset.files]
        probes = {file.path: Probe(facts=facts_of(n)) for n, file in zip(numbers, dataset.files, strict=True)}
    return FRAMES.judge(dataset, probes, Quiet(quiet_s, quiet_s), Terms(**{"settle_s": 30.0} | terms))


# names


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("lyso_1_00001.cbf", "lyso_1"),
        ("lyso_1_00001.CBF.GZ", "lyso_1"),
        ("x-12.img", "x"),
        ("x.001.mccd", "x"),
        ("a b\n_7.osc", "a b\n"),
        ("thaumatin__0001.cbf.bz2", "thaumatin"),
        ("00001.cbf", "run1"),
        ("lyso_001.mar2300", "lyso"),
        ("x_1.tiff", "x"),
        ("x_1.rodhypix", "x"),
    ],
)
def test_a_frame_is_named_by_its_prefix(file, name):
    ((found, _key),) = groups(file)
    assert found == name


@pytest.mark.parametrize(
    "file",
    [
        ".lyso_00001.cbf",
        ".lyso_00001.cbf.X4f2sA",
        "lyso_00001.cbf.part",
        "lyso_00001.cbf.tmp",
        "lyso_00001.cbf~",
        "lyso.cbf",
        "lyso_00001.txt",
        "messages.0001",
        "lyso_\u0661.cbf",
    ],
)
def test_what_is_no_frame_is_left_out(file):
    assert groups(file) == {}


def test_padded_widths_split_and_unpadded_do_not():
    found = groups("x_1.cbf", "x_9.cbf", "x_10.cbf", "x_001.cbf", "x_0001.cbf")
    assert sorted(len(files) for files in found.values()) == [1, 1, 3]
    assert len({key for _name, key in found}) == 3


def test_numbers_that_reach_or_outgrow_their_padding_stay_in_the_series():
    assert list(groups("x_0998.cbf", "x_0999.cbf", "x_1000.cbf").values()) == [
        ["x_0998.cbf", "x_0999.cbf", "x_1000.cbf"]
    ]
    assert list(groups("x_099.cbf", "x_999.cbf", "x_1000.cbf").values()) == [["x_099.cbf", "x_999.cbf", "x_1000.cbf"]]


def test_frames_are_in_the_order_of_their_numbers():
    assert list(groups("x_10.cbf", "x_9.cbf", "x_100.cbf").values()) == [["x_9.cbf", "x_10.cbf", "x_100.cbf"]]


def test_the_same_frame_plain_and_compressed_are_two_datasets():
    found = groups("lyso_1_00001.cbf", "lyso_1_00001.cbf.gz")
    assert [name for name, _key in found] == ["lyso_1", "lyso_1"]
    assert len(found) == 2


def test_a_special_file_with_a_frames_name_belongs_to_the_series():
    files = (stat_of("r/x_1.cbf"), stat_of("r/x_2.cbf", kind=FileKind.FIFO))
    (dataset,) = group(Listing("r", files), "frames")
    judged = judge(dataset, 1e6, probes={"r/x_1.cbf": Probe()})
    assert judged.kind is VerdictKind.CORRUPT
    assert "x_2.cbf is a named pipe, not a regular file" in judged.evidence


def test_the_path_is_the_directory():
    (dataset,) = group(listing_of("x_1.cbf", directory="mx1/lyso"), "frames")
    assert (dataset.path, dataset.top) == ("mx1/lyso", "mx1/lyso")
    (at_root,) = group(listing_of("x_1.cbf", directory=""), "frames")
    assert (at_root.path, at_root.top) == ("", "")


# verdicts


def test_the_evidence_of_the_contract():
    judged = judge(series_of(range(1, 1801)), 41, expected_frames=1800)
    assert judged.kind is VerdictKind.COMPLETE
    assert judged.evidence == ("1800 of 1800 frames", "last write 41 s ago")
    assert (judged.frames.present, judged.frames.expected, judged.frames.missing) == (1800, 1800, ())


def test_a_met_count_needs_only_to_settle_and_silence_needs_twenty_periods():
    slow = series_of(range(1, 11), interval_s=5.0)
    assert judge(slow, 30, expected_frames=10).kind is VerdictKind.COMPLETE
    waiting = judge(slow, 30)
    assert waiting.kind is VerdictKind.GROWING
    assert waiting.recheck_s == pytest.approx(70)
    done = judge(slow, 100)
    assert done.kind is VerdictKind.COMPLETE
    assert "complete by quiescence: quiet for 100 s (needs 100 s)" in done.evidence


def test_the_headers_period_counts_where_the_files_were_copied_at_once():
    copied = series_of(range(1, 11), interval_s=0.0)
    probes = {file.path: Probe(facts={"frame_period_s": 10.0}) for file in copied.files}
    assert judge(copied, 199, probes).kind is VerdictKind.GROWING
    assert judge(copied, 200, probes).kind is VerdictKind.COMPLETE


@pytest.mark.parametrize("period", [-1.0, 1e300])
def test_an_impossible_period_is_not_waited_for(period):
    dataset = series_of([1])
    probes = {dataset.files[0].path: Probe(facts={"frame_period_s": period})}
    assert judge(dataset, 119, probes).kind is VerdictKind.GROWING
    assert judge(dataset, 120, probes).kind is VerdictKind.COMPLETE


def test_a_first_frame_whose_header_tells_no_exposure_is_not_cut_off_from_the_second_a_minute_later():
    one = series_of([1])
    nothing = {file.path: Probe(facts={"width_px": 100}) for file in one.files}
    assert judge(one, 61, nothing).kind is VerdictKind.GROWING
    two = series_of([1, 2], interval_s=60)
    nothing = {file.path: Probe(facts={"width_px": 100}) for file in two.files}
    assert judge(two, 1199, nothing).kind is VerdictKind.GROWING
    assert judge(two, 1200, nothing).kind is VerdictKind.COMPLETE


def test_the_pace_at_which_frames_came_to_their_place_counts_where_copying_kept_their_times():
    files = tuple(
        stat_of(f"run1/x_{n:05}.cbf", mtime_s=1000 + n * 0.05)._replace(ctime_ns=int((5000 + n * 2.5) * 1e9))
        for n in range(1, 4)
    )
    (dataset,) = group(Listing("run1", files), "frames")
    judged = judge(dataset, 49, {file.path: Probe(facts={"exposure_s": 0.05}) for file in files})
    assert judged.kind is VerdictKind.GROWING
    assert judged.evidence[-1] == "learnt cadence 2.5 s"


def test_a_hole_is_gapped_with_its_numbers():
    judged = judge(series_of([1, 2, 4, 5, 9]), 30, expected_frames=9)
    assert judged.kind is VerdictKind.GAPPED
    assert "frames 3, 6-8 are missing" in judged.evidence
    assert judged.frames.missing == (3, 6, 7, 8)
    assert "frame 3 is missing" in judge(series_of([1, 2, 4]), 30).evidence


def test_a_very_large_hole_is_counted_and_not_listed():
    judged = judge(series_of([1, 99_999]), 1e5)
    assert len(judged.frames.missing) == 1000
    assert "99,997 frames are missing, the first of them 2-1001" in judged.evidence


def test_fewer_than_expected_is_truncated():
    judged = judge(series_of(range(1, 1001)), 30, expected_frames=1800)
    assert judged.kind is VerdictKind.TRUNCATED
    assert judged.evidence[:2] == ("1000 of 1800 frames", "800 frames fewer than expected, numbers 1 to 1000 are there")


def test_more_than_expected_is_corrupt_and_said():
    judged = judge(series_of(range(1, 1802), interval_s=5), 99, expected_frames=1800)
    assert judged.kind is VerdictKind.GROWING
    judged = judge(series_of(range(1, 1802), interval_s=5), 100, expected_frames=1800)
    assert judged.kind is VerdictKind.CORRUPT
    assert judged.evidence[0] == "1801 frames, 1800 expected: 1 frame too many"


def test_a_broken_frame_is_named():
    dataset = series_of([1, 2, 3])
    probes = {file.path: Probe() for file in dataset.files}
    probes[dataset.files[1].path] = Probe("ends 1,024 bytes early", retry=True)
    judged = judge(dataset, 30, probes, expected_frames=3)
    assert judged.kind is VerdictKind.CORRUPT
    assert "lyso_1_00002.cbf ends 1,024 bytes early" in judged.evidence
    assert judge(dataset, 29, probes, expected_frames=3).kind is VerdictKind.GROWING


def test_one_frame_of_another_dataset_in_the_middle_makes_the_series_corrupt():
    dataset = series_of([1, 2, 3])
    probes = {file.path: Probe(facts=facts_of(n)) for n, file in enumerate(dataset.files, 1)}
    probes[dataset.files[1].path] = Probe(facts=facts_of(2) | {"wavelength_A": 1.1})
    assert FRAMES.split(dataset, probes) == [dataset]
    judged = judge(dataset, 30, probes)
    assert judged.kind is VerdictKind.CORRUPT
    assert "the wavelength is 1.1 Å in frame 2, but 0.98 Å in frame 1" in judged.evidence


def test_frames_not_read_yet_keep_the_series_growing():
    dataset = series_of([1, 2, 3])
    judged = judge(dataset, 1e6, probes={dataset.files[0].path: Probe()}, expected_frames=3)
    assert judged.kind is VerdictKind.GROWING
    assert "2 files not read yet" in judged.evidence


def test_metadata_is_the_first_frames():
    dataset = series_of([1, 2])
    probes = {file.path: frame_probe.probe_bytes(cbf_bytes(n)) for n, file in enumerate(dataset.files, 1)}
    metadata = FRAMES.metadata(dataset, probes)
    assert (metadata["wavelength_A"], metadata["start_angle_deg"], metadata["frames"]) == (0.9795, 10.0, 2)
    assert "kind" not in metadata
    assert FRAMES.metadata(dataset, {}) == {"frames": 2}


# the rungs, and what is awaited


def test_the_rungs_say_what_is_proven_and_the_wait_what_is_missing():
    short = judge(series_of([1, 2, 3]), 5, expected_frames=5)
    assert [rung.finding for rung in short.ladder][1:3] == [
        "3 of 3 frames proven whole by what their headers say",
        "3 of 5 frames",
    ]
    assert short.awaits == "2 more frames or 25 s more without any change"
    holed = judge(series_of([1, 3]), 5)
    assert holed.awaits == "1 missing frame or 25 s more without any change"
    assert holed.ladder[2].finding == "nothing says how many there should be"
    unread = judge(series_of([1, 2]), 5, probes={})
    assert unread.ladder[1].finding == "the format has no index that could be compared"


def test_what_makes_a_series_corrupt_is_its_agreement_too():
    dataset = series_of([1, 2])
    judged = judge(dataset, 99, {file.path: Probe("is empty") for file in dataset.files})
    assert judged.ladder[1].finding == "lyso_1_00001.cbf is empty (and 1 more file)"


def test_too_many_frames_are_said_to_be_another_series():
    judged = judge(series_of([1, 2, 3]), 99, expected_frames=2)
    assert "it is not the series that was expected, or two of them" in judged.evidence


def test_the_headers_tell_how_many_frames_there_should_be_and_the_rule_knows_better():
    dataset = series_of([1, 2, 3])
    probes = {file.path: Probe(facts={"expected_frames": 5}) for file in dataset.files}
    assert judge(dataset, 5, probes).evidence[0] == "3 of 5 frames"
    assert judge(dataset, 5, probes, expected_frames=3).evidence[0] == "3 of 3 frames"


def test_a_frame_that_is_there_twice_is_named_with_both_its_places():
    dataset = series_of([1, 2])
    first, second = dataset.files
    twice = replace(dataset, files=(first, second, second._replace(path="run2/lyso_1_00002.cbf")))
    judged = judge(twice, 1e6, {file.path: Probe() for file in twice.files})
    assert judged.kind is VerdictKind.CORRUPT
    assert "frame 2 is there twice: run1/lyso_1_00002.cbf and run2/lyso_1_00002.cbf" in judged.evidence


def test_the_exposure_stands_in_for_a_period_that_no_header_tells():
    one = series_of([1])
    probes = {one.files[0].path: Probe(facts={"exposure_s": 10.0})}
    assert judge(one, 199, probes).kind is VerdictKind.GROWING
    assert judge(one, 200, probes).kind is VerdictKind.COMPLETE


def test_frames_that_are_whole_are_closed():
    dataset = series_of([1, 2, 3])
    first, second, _third = dataset.files
    assert FRAMES.closed(dataset, {first.path: Probe(), second.path: Probe("is empty")}) == [first]


def test_metadata_of_a_later_frame_leaves_out_what_is_the_first_ones_own():
    dataset = series_of([1, 2])
    metadata = FRAMES.metadata(dataset, {dataset.files[1].path: frame_probe.probe_bytes(cbf_bytes(2))})
    assert (metadata["wavelength_A"], metadata["frames"]) == (0.9795, 2)
    assert "start_angle_deg" not in metadata
