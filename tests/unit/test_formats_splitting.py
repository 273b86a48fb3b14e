"""One series of numbered frames, and the datasets that it turns out to be."""

from __future__ import annotations

import time
from collections import Counter

import pytest
from format_files import listing_of, stat_of
from hypothesis import example, given
from hypothesis import strategies as st

from depositd.formats import FORMATS, facts, group
from depositd.formats.gaps import shared_out
from depositd.model import Listing, Probe, Quiet, Terms, VerdictKind

FRAMES = FORMATS["frames"]
K = VerdictKind
LONG_S = 1e6
FIRST = {"detector": "P", "wavelength_A": 1.0, "distance_mm": 200.0}
SECOND = FIRST | {"wavelength_A": 1.1}


def frame(number, said=None, *, prefix="x_", width=4, mtime_s=None, directory="r", problem=None):
    """Return one frame and what its header says; the later the number, the later it was written."""
    file = stat_of(f"{directory}/{prefix}{number:0{width}}.cbf", mtime_s=number if mtime_s is None else mtime_s)
    return file, Probe(problem, facts=facts.shared(said) if said else {})


def split(frames):
    """Return the parts of the one series that the frames are, and their probes by path."""
    files = tuple(file for file, _probe in sorted(frames, key=lambda one: one[0].path))
    (series,) = group(Listing("r", files), "frames")
    probes = {file.path: probe for file, probe in frames}
    return FRAMES.split(series, probes), probes


def parts_of(frames):
    """Return {name: its frames' numbers} of the parts."""
    return {part.name: numbers_of(part) for part in split(frames)[0]}


def numbers_of(part):
    return [int(file.name.partition(".")[0].rpartition("_")[2]) for file in part.files]


def verdicts_of(frames, **terms):
    parts, probes = split(frames)
    quiet = Quiet(LONG_S, LONG_S)
    return {part.name: FRAMES.judge(part, probes, quiet, Terms(30.0, **terms)) for part in parts}


def sweep(numbers, said=FIRST, begun_min=0, **more):
    """Return frames a second apart, dated from so many minutes after two."""
    return [
        frame(n, {**said, "date": f"2026-11-21T{2 + begun_min // 60:02}:{begun_min % 60:02}:00"}, **more)
        for n in numbers
    ]


# --- settings ---------------------------------------------------------------------------------------------------------


def test_frames_of_one_setting_are_one_dataset_without_a_part():
    parts, _probes = split([frame(n, FIRST) for n in range(1, 9)])
    (part,) = parts
    assert (part.name, part.key, part.part) == ("x", "x_*.cbf", None)


def test_two_wavelengths_in_blocks():
    frames = [frame(n, FIRST) for n in range(1, 5)] + [frame(n, SECOND) for n in range(5, 8)]
    assert parts_of(frames) == {"x": [1, 2, 3, 4], "x-2": [5, 6, 7]}
    first, second = split(frames)[0]
    assert (first.key, second.key) == ("x_*.cbf", "x_*.cbf\0wavelength_A=1.1 Å")
    assert first.part.why == "the wavelength is 1 Å here, but 1.1 Å in frame 5: 2 datasets share this series"
    assert second.part.why == "the wavelength is 1.1 Å here, but 1 Å in frame 1: 2 datasets share this series"
    for verdict in verdicts_of(frames).values():
        assert verdict.kind is K.COMPLETE
        assert "2 datasets share this series" in verdict.sentence


def test_two_wavelengths_that_take_turns():
    frames = [frame(n, FIRST if n % 2 else SECOND) for n in range(1, 9)]
    assert parts_of(frames) == {"x": [1, 3, 5, 7], "x-2": [2, 4, 6, 8]}
    assert {verdict.kind for verdict in verdicts_of(frames).values()} == {K.COMPLETE}


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [
        ("detector", "PILATUS 2M", "EIGER 4M"),
        ("detector_serial", "24-0107", "24-0108"),
        ("width_px", 487, 981),
        ("height_px", 195, 619),
        ("pixel_x_um", 172.0, 75.0),
        ("distance_mm", 200.0, 200.11),
        ("distance_mm", 200.0, 199.89),
        ("wavelength_A", 1.0, 1.00011),
        ("wavelength_A", 1.0, 0.99989),
        ("increment_deg", 0.1, 0.2),
    ],
)
def test_what_differs_is_another_dataset(key, one, other):
    frames = [frame(n, {key: one}) for n in (1, 2)] + [frame(n, {key: other}) for n in (3, 4)]
    assert parts_of(frames) == {"x": [1, 2], "x-2": [3, 4]}
    assert len({part.key for part in split(frames)[0]}) == 2


@pytest.mark.parametrize(
    ("key", "one", "other"),
    [("distance_mm", 200.0, 200.1), ("wavelength_A", 1.0, 1.0001), ("wavelength_A", 1.0, 0.9999), ("exposure_s", 1, 2)],
)
def test_what_differs_by_no_more_than_its_tolerance_is_one_dataset(key, one, other):
    assert parts_of([frame(n, {key: one if n % 2 else other}) for n in range(1, 7)]) == {"x": [1, 2, 3, 4, 5, 6]}


@given(st.floats(0.5, 2.0), st.floats(-3e-4, 3e-4))
@example(1.0001, 1e-4)
@example(1.0, -9.999999999e-05)
def test_a_setting_at_the_edge_of_its_tolerance_is_one_or_two_datasets_and_no_exception(wavelength, off):
    frames = [frame(n, {"wavelength_A": wavelength * (1 + off * (n > 3))}) for n in range(1, 7)]
    assert sum(len(numbers) for numbers in parts_of(frames).values()) == 6


def test_a_setting_that_drifts_within_its_tolerance_of_the_first_frame_is_one_dataset():
    assert len(parts_of([frame(n, {"distance_mm": 200 + n * 0.009}) for n in range(1, 11)])) == 1


def test_one_stray_frame_in_the_middle_is_no_dataset_and_the_series_is_corrupt():
    frames = [frame(n, SECOND if n == 4 else FIRST) for n in range(1, 9)]
    assert parts_of(frames) == {"x": list(range(1, 9))}
    (verdict,) = verdicts_of(frames).values()
    assert verdict.kind is K.CORRUPT
    assert "the wavelength is 1.1 Å in frame 4, but 1 Å in frame 1" in verdict.evidence


def test_one_stray_frame_leaves_the_other_datasets_of_the_series_alone():
    frames = [frame(n, FIRST if n < 5 else SECOND) for n in range(1, 10)]
    frames[6] = frame(7, FIRST | {"distance_mm": 500.0})
    assert parts_of(frames) == {"x": [1, 2, 3, 4], "x-2": [5, 6, 7, 8, 9]}
    verdicts = verdicts_of(frames)
    assert (verdicts["x"].kind, verdicts["x-2"].kind) == (K.COMPLETE, K.CORRUPT)


def test_a_stray_frame_before_the_second_dataset_is_not_what_the_first_one_is_compared_with():
    frames = [frame(n, FIRST if n < 5 else SECOND) for n in range(1, 8)]
    frames[1] = frame(2, FIRST | {"distance_mm": 500.0})
    parts, _probes = split(frames)
    assert parts[0].part.why == "the wavelength is 1 Å here, but 1.1 Å in frame 5: 2 datasets share this series"


def test_a_scan_of_the_energy_is_no_set_of_datasets_and_costs_no_time():
    frames = [frame(n, FIRST | {"wavelength_A": 0.9 + (n // 2) * 1e-3}) for n in range(1, 6001)]
    began_s = time.perf_counter()
    parts, probes = split(frames)
    assert time.perf_counter() - began_s < 5
    (part,) = parts
    assert FRAMES.judge(part, probes, Quiet(LONG_S, LONG_S), Terms(30.0)).kind is K.CORRUPT


def test_datasets_that_differ_from_the_first_in_the_same_value_have_keys_of_their_own():
    other = {"detector_serial": "B"}
    frames = [frame(n, {"detector_serial": "A"}) for n in (1, 2)]
    frames += [frame(n, other | {"wavelength_A": 1.0}) for n in (3, 4)]
    frames += [frame(n, other | {"wavelength_A": 1.1}) for n in (5, 6)]
    parts, _probes = split(frames)
    assert [numbers_of(part) for part in parts] == [[1, 2], [3, 4], [5, 6]]
    assert len({part.key for part in parts}) == 3


def test_a_header_that_says_more_later_changes_no_key():
    short, full = {"wavelength_A": 1.1}, {"wavelength_A": 1.1, "detector": "Q"}
    early = [frame(1, FIRST), frame(2, FIRST), frame(3, short), frame(4, short)]
    later = [*early, frame(5, full), frame(6, full)]
    assert [part.key for part in split(early)[0]] == [part.key for part in split(later)[0]]
    assert parts_of(later) == {"x": [1, 2], "x-2": [3, 4, 5, 6]}


def test_frames_without_headers_belong_where_they_stand():
    nothing = {n: frame(n) for n in (1, 4, 7)}
    frames = [nothing.get(n) or frame(n, FIRST if n < 5 else SECOND) for n in range(1, 9)]
    assert parts_of(frames) == {"x": [1, 2, 3, 4], "x-2": [5, 6, 7, 8]}
    assert len(parts_of([frame(n) for n in range(1, 5)])) == 1


def test_a_frame_that_is_broken_belongs_where_it_stands_and_makes_its_own_dataset_corrupt_alone():
    frames = [frame(n, FIRST if n < 4 else SECOND) for n in range(1, 8)]
    frames[5] = frame(6, problem="is empty")
    verdicts = verdicts_of(frames)
    assert (verdicts["x"].kind, verdicts["x-2"].kind) == (K.COMPLETE, K.CORRUPT)


# --- numbering --------------------------------------------------------------------------------------------------------


def test_padded_widths_are_datasets_and_the_one_that_was_there_first_keeps_the_key():
    narrow = [frame(n, FIRST, width=3) for n in range(1, 4)]
    wide = [frame(n, FIRST, width=5, mtime_s=100 + n) for n in range(1, 4)]
    assert [part.key for part in split(narrow)[0]] == ["x_*.cbf"]
    first, second = split([*narrow, *wide])[0]
    assert (first.key, len(first.files[0].name)) == ("x_*.cbf", len("x_001.cbf"))
    assert (second.key, second.name) == ("x_*.cbf\x005 digits", "x-2")
    assert "its numbers are written with 5 digits" in second.part.why


def test_parts_are_numbered_over_widths_and_settings():
    narrow = [frame(n, FIRST if n < 3 else SECOND, width=3) for n in range(1, 5)]
    wide = [frame(n, FIRST, width=5, mtime_s=100 + n) for n in range(1, 4)]
    assert [part.name for part in split([*narrow, *wide])[0]] == ["x", "x-2", "x-3"]


@pytest.mark.parametrize(
    ("numbers", "width", "in_order"),
    [
        ([9998, 9999, 0, 1], 4, [9998, 9999, 0, 1]),
        ([9998, 9999, 1, 2], 4, [9998, 9999, 1, 2]),
        ([998, 999, 0], 3, [998, 999, 0]),
    ],
)
def test_a_counter_that_wraps_round_goes_on(numbers, width, in_order):
    frames = [frame(n, width=width, mtime_s=at) for at, n in enumerate(numbers)]
    (part,) = split(frames)[0]
    assert numbers_of(part) == in_order
    (verdict,) = verdicts_of(frames).values()
    assert verdict.kind is K.COMPLETE
    assert verdict.frames.missing == ()


def test_a_gap_after_a_counter_has_wrapped_round_is_a_gap():
    frames = [frame(n, mtime_s=at) for at, n in enumerate([9996, 9997, 9999, 0, 1, 3])]
    (verdict,) = verdicts_of(frames).values()
    assert verdict.kind is K.GAPPED
    assert verdict.frames.missing == (9998, 10_002)


@pytest.mark.parametrize(
    ("numbers", "width"),
    [
        ([0, 1, 2, 7, 8, 9], 1),
        ([1, 2, 7, 8, 9], 1),
        ([1, 2, 98, 99], 2),
        ([1, 2, 9998, 9999], 4),
    ],
)
@pytest.mark.parametrize("times", ["copied at once", "copied backwards", "written one by one"])
def test_a_hole_is_not_taken_for_a_counter_that_wrapped_round(numbers, width, times):
    """Where it cannot be told, what is absent is missing: a false alarm costs a look, a half dataset a retraction."""
    at = {"copied at once": lambda n: 5, "copied backwards": lambda n: -n % 7, "written one by one": lambda n: n}[times]
    frames = [frame(n, width=width, mtime_s=at(n)) for n in numbers]
    assert [verdict.kind for verdict in verdicts_of(frames).values()] == [K.GAPPED]


@pytest.mark.parametrize("first", [0, 1, 1001, 9990])
def test_numbering_may_begin_anywhere(first):
    frames = [frame(n, FIRST) for n in range(first, first + 10)]
    assert parts_of(frames) == {"x": list(range(first, first + 10))}
    (verdict,) = verdicts_of(frames, expected_frames=10).values()
    assert (verdict.kind, verdict.evidence[0]) == (K.COMPLETE, "10 of 10 frames")


def test_digits_elsewhere_in_the_name_are_no_frame_number():
    files = [stat_of(f"r/lyso2.native_{n:04}.cbf", mtime_s=n) for n in (1, 2, 4)]
    (series,) = group(Listing("r", tuple(files)), "frames")
    probes = {file.path: Probe(facts=FIRST) for file in files}
    (part,) = FRAMES.split(series, probes)
    verdict = FRAMES.judge(part, probes, Quiet(LONG_S, LONG_S), Terms(30.0))
    assert (verdict.kind, verdict.frames.missing) == (K.GAPPED, (3,))


def test_the_same_number_twice_is_corrupt_and_both_files_are_named():
    frames = [frame(n, FIRST, directory="r/a") for n in (1, 2, 3)] + [frame(3, FIRST, directory="r/b")]
    (verdict,) = verdicts_of(frames).values()
    assert verdict.kind is K.CORRUPT
    assert "frame 3 is there twice: r/a/x_0003.cbf and r/b/x_0003.cbf" in verdict.evidence


def test_ten_thousand_series_of_one_frame_are_grouped_and_split_in_a_moment():
    listing = listing_of(*(f"p{n}_0001.cbf" for n in range(10_000)))
    began_s = time.perf_counter()
    parts = [part for series in group(listing, "frames") for part in FRAMES.split(series, {})]
    assert time.perf_counter() - began_s < 5
    assert Counter(len(part.files) for part in parts) == {1: 10_000}


# --- acquisitions -----------------------------------------------------------------------------------------------------


def test_what_a_restart_has_left_is_kept_apart_and_aborted():
    frames = sweep(range(1, 4), begun_min=90) + sweep(range(4, 7))
    assert parts_of(frames) == {"x": [1, 2, 3], "x-remains": [4, 5, 6]}
    verdicts = verdicts_of(frames)
    assert (verdicts["x"].kind, verdicts["x-remains"].kind) == (K.COMPLETE, K.ABORTED)
    assert "3 frames (4 to 6) are left from an acquisition before 2026-11-21T03:30:00" in verdicts["x"].sentence
    assert "the rest of it was overwritten" in verdicts["x-remains"].sentence


def test_one_frame_that_a_restart_has_left_is_said_in_the_singular():
    verdicts = verdicts_of(sweep(range(1, 4), begun_min=90) + sweep([4]))
    assert "frame 4 is left from an acquisition before" in verdicts["x"].sentence


def test_what_a_restart_with_other_settings_has_left_is_no_dataset_either():
    verdicts = verdicts_of(sweep(range(1, 4), SECOND, begun_min=90) + sweep(range(4, 7), FIRST))
    assert verdicts["x"].kind is K.COMPLETE
    (left,) = (verdict for name, verdict in verdicts.items() if name != "x")
    assert left.kind is K.ABORTED


def test_what_is_left_of_two_wavelengths_is_one_remainder():
    old = [*sweep(range(4, 8), FIRST), *sweep(range(8, 12), SECOND)]
    parts, _probes = split(sweep(range(1, 4), FIRST, begun_min=90) + old)
    assert [numbers_of(part) for part in parts] == [[1, 2, 3], [4, 5, 6, 7, 8, 9, 10, 11]]


def test_what_two_restarted_numberings_have_left_has_two_names_and_two_keys():
    frames = [one for width in (3, 5) for one in sweep([1, 2], begun_min=90, width=width) + sweep([3], width=width)]
    parts, _probes = split(frames)
    assert len({part.key for part in parts}) == len({part.name for part in parts}) == 4
    assert [part.part.remains for part in parts] == [False, True, False, True]


@pytest.mark.parametrize("minutes", range(50, 71, 5))
def test_what_an_acquisition_of_an_hour_ago_has_left_is_kept_apart_whole(minutes):
    """An hour back is the end of summer time only from one frame to the next, not in the midst of the old ones."""
    old = [frame(n, FIRST | {"date": f"2026-11-21T02:{n:02}:00"}, mtime_s=n) for n in range(4, 40)]
    begun = f"2026-11-21T03:{minutes - 50:02}:00"
    new = [frame(n, FIRST | {"date": begun}, mtime_s=4000 + n) for n in range(1, 4)]
    assert parts_of(new + old) == {"x": [1, 2, 3], "x-remains": list(range(4, 40))}


def test_the_end_of_summer_time_is_no_restart_however_long_the_acquisition_goes_on():
    dates = [f"2026-10-25T02:{50 + n // 6}:{n % 6}0" for n in range(60)] + [
        f"2026-10-25T0{2 + n // 360}:{n // 6 % 60:02}:{n % 6}0" for n in range(500)
    ]
    frames = [frame(n, FIRST | {"date": date}) for n, date in enumerate(dates, 1)]
    assert list(parts_of(frames)) == ["x"]
    assert [verdict.kind for verdict in verdicts_of(frames).values()] == [K.COMPLETE]


def test_a_minute_of_jitter_between_parallel_writers_is_no_restart():
    dates = ["03:00:00", "02:59:01", "03:00:02", "02:59:03", "03:00:59"]
    assert list(parts_of([frame(n, FIRST | {"date": f"2026-11-21T{at}"}) for n, at in enumerate(dates)])) == ["x"]


def test_more_than_a_minute_back_is_a_restart():
    frames = [frame(1, FIRST | {"date": "2026-11-21T03:00:00"}), frame(2, FIRST | {"date": "2026-11-21T02:58:59"})]
    assert list(parts_of(frames)) == ["x", "x-remains"]


# --- gaps -------------------------------------------------------------------------------------------------------------


def test_what_lies_in_another_dataset_is_not_missing_here():
    frames = [frame(n, SECOND if 4 <= n <= 6 else FIRST) for n in range(1, 10) if n != 8]
    verdicts = verdicts_of(frames)
    assert (verdicts["x"].frames.missing, verdicts["x"].kind) == ((8,), K.GAPPED)
    assert (verdicts["x-2"].frames.missing, verdicts["x-2"].kind) == ((), K.COMPLETE)


@pytest.mark.parametrize(("absent", "whose"), [(5, "x"), (6, "x-2"), (8, "x-2"), (2, "x-2"), (9, "x")])
def test_where_datasets_take_turns_a_missing_frame_is_missed_by_the_one_whose_turn_it_was(absent, whose):
    frames = [frame(n, FIRST if n % 2 else SECOND) for n in range(1, 10 + absent // 9) if n != absent]
    verdicts = verdicts_of(frames)
    assert {name: verdict.kind for name, verdict in verdicts.items()} == {
        "x": K.GAPPED if whose == "x" else K.COMPLETE,
        "x-2": K.GAPPED if whose == "x-2" else K.COMPLETE,
    }
    assert verdicts[whose].frames.missing == (absent,)


def test_a_very_large_hole_beside_another_dataset_costs_no_time():
    frames = [frame(n, FIRST if n < 4 else SECOND, width=9) for n in (1, 2, 3, 99_999_999, 100_000_000)]
    began_s = time.perf_counter()
    verdicts = verdicts_of(frames)
    assert time.perf_counter() - began_s < 1
    assert "99,999,995 frames are missing, the first of them 4-1003" in verdicts["x"].evidence


def test_a_hundred_thousand_frames_of_two_datasets_are_split_in_seconds():
    frames = [frame(n, FIRST if n % 2 else SECOND, width=6) for n in range(1, 100_001) if n % 10]
    series, probes = tuple(file for file, _ in frames), {file.path: probe for file, probe in frames}
    (dataset,) = group(Listing("r", series), "frames")
    began_s = time.perf_counter()
    first, second = FRAMES.split(dataset, probes)
    assert time.perf_counter() - began_s < 10
    assert (first.part.missing_total, second.part.missing_total) == (0, 9999)
    assert second.part.missing[:2] == (10, 20)


numbers = st.lists(st.integers(1, 60), unique=True, min_size=1, max_size=40)


@given(numbers, st.integers(2, 4), st.data())
def test_every_number_that_is_absent_is_missed_by_exactly_one(present, count, data):
    parts = [[] for _ in range(count)]
    for number in sorted(present):
        parts[data.draw(st.integers(0, count - 1))].append(number)
    parts = [part for part in parts if part]
    missing = [number for numbers_, _total in shared_out(parts) for number in numbers_]
    assert sorted(missing) == sorted(set(range(min(present), max(present) + 1)) - set(present))
    assert sum(total for _numbers, total in shared_out(parts)) == len(missing)


# --- whatever comes ---------------------------------------------------------------------------------------------------

SETTINGS = st.sampled_from(
    [
        None,
        {"wavelength_A": 1.0},
        {"wavelength_A": 1.1},
        {"wavelength_A": 1.1, "detector": "Q"},
        {"detector": "P", "distance_mm": 200.0},
        {"detector": "Q", "distance_mm": 300.0},
        {"detector": "Q"},
        {"date": "2026-11-21T02:00:00", "wavelength_A": 1.0},
        {"date": "2026-11-21T05:00:00", "wavelength_A": 1.0},
        {"date": "2026-11-21T05:00:00", "wavelength_A": 1.1},
    ]
)
SERIES = st.lists(st.tuples(st.integers(0, 1100), st.sampled_from([1, 3, 4]), SETTINGS), min_size=1, max_size=30)


@given(SERIES)
def test_all_files_are_in_exactly_one_part_and_each_part_has_a_key_and_a_name_of_its_own(drawn):
    made = {file.path: (file, probe) for n, width, said in drawn for file, probe in [frame(n, said, width=width)]}
    parts, probes = split(list(made.values()))
    assert Counter(file.path for part in parts for file in part.files) == Counter(made.keys())
    assert len({part.key for part in parts}) == len({part.name for part in parts}) == len(parts)
    assert parts[0].key == "x_*.cbf"
    assert all(part.key.partition("\0")[0] == "x_*.cbf" for part in parts)
    for part in parts:
        verdict = FRAMES.judge(part, probes, Quiet(LONG_S, LONG_S), Terms(30.0))
        assert verdict.kind is not K.GROWING
        present = {int(file.name[2:-4]) for other in parts for file in other.files}
        if part.part is not None and max(present) < 1000:
            widths = {len(file.name) for other in parts for file in other.files}
            assert len(widths) > 1 or not set(verdict.frames.missing) & present


@given(st.lists(SETTINGS, min_size=2, max_size=14), st.integers(1, 13))
def test_frames_that_come_later_never_change_the_key_of_what_is_there(said, so_many):
    """A part whose only frame turns out to be a stray one is taken back; no other ever is."""
    frames = [frame(n, facts_, width=4) for n, facts_ in enumerate(said, 1)]
    before, after = split(frames[:so_many])[0], split(frames)[0]
    now = {file.path: part.key for part in after for file in part.files}
    for part in before:
        if len(part.files) > 1 or part is before[0]:
            assert now[part.files[0].path] == part.key


@given(st.lists(st.sampled_from([1, 3, 4]), min_size=2, max_size=14), st.integers(1, 13))
def test_frames_of_another_width_that_come_later_never_change_a_key(widths, so_many):
    frames = [frame(n, FIRST, width=width) for n, width in enumerate(widths, 1)]
    now = {file.path: part.key for part in split(frames)[0] for file in part.files}
    for part in split(frames[:so_many])[0]:
        assert {now[file.path] for file in part.files} == {part.key}
