from pathlib import Path

import pytest

from depositd.simulate import FAULTS, SIMULATORS, Plan
from depositd.simulate.instruments import _INSTRUMENTS
from depositd.simulate.plan import LATE_PERIODS, Fault, Take, faults_of, takes

HERE = Path("data")


def plan(format_name="pilatus", **fields):
    return Plan(format_name, HERE, **fields)


def test_every_name_leads_to_an_instrument():
    assert {plan(name).instrument for name in SIMULATORS} == set(_INSTRUMENTS)


def test_rules_own_format_names_are_known():
    assert {"frames", "eiger", "thermo-raw", "waters-raw", "file", "directory"} <= set(SIMULATORS)


def test_every_fault_is_described_in_one_sentence():
    assert list(FAULTS) == list(Fault)
    assert all(sentence.endswith(".") and sentence.count(". ") == 0 for sentence in FAULTS.values())


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"format_name": "bruker-d"}, "'bruker-d' cannot be simulated (one of pilatus, cbf"),
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
        "(one of abort, truncated, rename, old-mtimes, preallocated, slow)"
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
