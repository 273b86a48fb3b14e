from pathlib import Path

import pytest

from depositd.formats import FORMATS
from depositd.simulate import SIMULATORS, Plan
from depositd.simulate.instruments import _INSTRUMENTS
from depositd.simulate.plan import LATE_PERIODS, Fault, Take, faults_of, series_of, takes

HERE = Path("data")


def plan(format_name="pilatus", **fields):
    return Plan(format_name, HERE, **fields)


def test_every_name_leads_to_an_instrument():
    assert {plan(name).instrument for name in SIMULATORS} == set(_INSTRUMENTS)


def test_every_format_of_a_rule_can_be_simulated_under_its_own_name():
    assert set(FORMATS) <= set(SIMULATORS)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"format_name": "thermo-d"}, "'thermo-d' cannot be simulated (one of pilatus, cbf"),
        ({"fault": "fire"}, "'fire' is not a fault (one of abort, gap"),
        ({"name": "a/b"}, "is not a name for a dataset"),
        ({"name": ".hidden"}, "is not a name for a dataset"),
        ({"frames": 0}, "0 frames cannot be simulated (at least 1)"),
        ({"rate_hz": 0.0}, "0.0 frames per second is not a pace"),
        ({"rate_hz": float("inf")}, "inf frames per second is not a pace"),
        ({"shape": (0, 5)}, "0 by 5 pixels"),
        ({"frames": 2, "fault": "gap"}, "gap needs at least 3 frames, not 2"),
        ({"frame_bytes": 0}, "0 bytes per frame"),
        ({"format_name": "eiger", "images_per_file": 0}, "0 images per file"),
        ({"format_name": "eiger", "images_per_file": 100, "fault": "gap"}, "gap needs at least two data files"),
    ],
)
def test_nonsense_is_refused_with_what_would_be_right(fields, sentence):
    with pytest.raises(ValueError) as caught:
        plan(**fields)
    assert sentence in str(caught.value)


def test_a_fault_that_the_format_cannot_have_names_those_it_can():
    with pytest.raises(ValueError) as caught:
        plan("thermo-raw", fault="gap")
    assert str(caught.value) == (
        "gap makes no sense for thermo-raw: one file has no frame that could be missing "
        "(one of abort, truncated, corrupt, slow, rename, old-mtimes, future-mtimes, preallocated)"
    )


def test_faults_of_an_alias_are_those_of_its_instrument():
    assert faults_of("frames") == faults_of("pilatus") == tuple(Fault)


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (None, (Take((1, 2, 3, 4, 5)),)),
        ("slow", (Take((1, 2, 3, 4, 5)),)),
        ("abort", (Take((1, 2), ends=False),)),
        ("restart", (Take((1, 2), ends=False), Take((1, 2, 3, 4, 5)))),
        ("gap", (Take((1, 2, 4, 5)),)),
        ("late", (Take((1, 2, 4, 5, 3)),)),
    ],
)
def test_faults_change_which_frames_come(fault, expected):
    assert takes(plan(frames=5, fault=fault)) == expected


def test_eiger_misses_a_whole_data_file_and_never_the_last():
    assert takes(plan("eiger", frames=10, images_per_file=3, fault="gap")) == (Take((1, 2, 3, 7, 8, 9, 10)),)
    assert takes(plan("eiger", frames=4, images_per_file=2, fault="late")) == (Take((3, 4, 1, 2)),)


def test_a_late_frame_keeps_everyone_waiting():
    assert list(Take((1, 2, 4, 3)).waits()) == [(1, 1.0), (2, 1.0), (4, 1.0), (3, LATE_PERIODS)]


def test_a_slow_run_does_not_tell_in_its_headers():
    slow = plan(rate_hz=4.0, fault="slow")
    assert (slow.period_s, slow.pace_s) == (0.25, 2.5)


def test_a_gap_at_diamond_needs_a_data_file_that_can_be_missing():
    with pytest.raises(ValueError, match="gap needs at least two data files"):
        plan("diamond", frames=10, images_per_file=10, fault="gap")


@pytest.mark.parametrize(
    ("name", "datasets", "names"),
    [
        ("lyso_1", 3, ["lyso_1", "lyso_2", "lyso_3"]),
        ("lyso_09", 2, ["lyso_09", "lyso_10"]),
        ("lyso_9", 2, ["lyso_9", "lyso_10"]),
        ("lyso", 2, ["lyso_1", "lyso_2"]),
        ("lyso", 1, ["lyso"]),
        ("2026", 2, ["2026", "2027"]),
        ("a\nb_1", 2, ["a\nb_1", "a\nb_2"]),
    ],
)
def test_the_names_of_a_series_count_up(name, datasets, names):
    assert [each.name for each in series_of(plan(name=name), datasets)] == names


def test_the_datasets_of_a_series_take_faults_in_turn_and_have_seeds_of_their_own():
    plans = series_of(plan(seed=7), 5, (None, "abort"))
    assert [each.fault for each in plans] == [None, "abort", None, "abort", None]
    assert [each.seed for each in plans] == [7, 8, 9, 10, 11]


def test_a_series_is_refused_as_a_whole_where_one_of_its_faults_makes_no_sense():
    with pytest.raises(ValueError, match="gap makes no sense for file"):
        series_of(plan("file"), 3, (None, "gap"))
    with pytest.raises(ValueError, match="a series of 0 datasets"):
        series_of(plan(), 0)


def test_interleaved_writes_under_two_names():
    assert plan(fault="interleaved").names == ("sim_1", "sim_1_b")
    assert plan().names == ("sim_1",)


@pytest.mark.parametrize(("frames", "corrupt"), [(1, [1]), (2, [2]), (7, [4])])
def test_one_frame_in_the_middle_is_corrupt(frames, corrupt):
    ill = plan(frames=frames, fault="corrupt")
    assert [number for number in range(1, frames + 1) if ill.is_corrupt(number)] == corrupt
    assert not plan(frames=frames).is_corrupt(corrupt[0])
