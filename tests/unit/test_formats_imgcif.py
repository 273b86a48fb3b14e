from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from depositd.formats import cif, frame_probe, imgcif
from depositd.simulate.writers import full_cbf_frame

# rows as beamlines' templates have them: an axis of which only the start is told, units as in the dictionary
EXPERIMENT = """\
###CBF: VERSION 1.5
data_image_1
_diffrn.id I99
loop_
_diffrn_detector.diffrn_id
_diffrn_detector.type
 I99 'PILATUS 6M, S/N 60-0100'   # a comment
_diffrn_source.type  "Beamline's own"
loop_
_diffrn_radiation_wavelength.id
_diffrn_radiation_wavelength.wavelength
W0 0.5
W1 0.97950(3)
_diffrn_radiation.wavelength_id W1
_diffrn_data_frame.id FRAME2
loop_
_diffrn_scan_frame.frame_id
_diffrn_scan_frame.integration_time
_diffrn_scan_frame.date
FRAME1 0.1 2026-11-21T02:14:07
FRAME2 0.2 2026-11-21T02:14:08
loop_
_diffrn_scan_axis.axis_id
_diffrn_scan_axis.displacement_start
_diffrn_scan_axis.angle_increment
_diffrn_scan_axis.angle_start
_diffrn_scan_axis.angle_range
KAPPA 0.0 0.0 40.0 0.0
OMEGA 0.0 0.25 90.0 180.0
DET_X 12.5 . . .
DET_Z 103.75 . . .
loop_
_diffrn_scan_frame_axis.axis_id
_diffrn_scan_frame_axis.frame_id
_diffrn_scan_frame_axis.displacement
_diffrn_scan_frame_axis.angle
KAPPA FRAME2 0.0 40.0
OMEGA FRAME1 0.0 90.0
OMEGA FRAME2 0.0 90.25
DET_Z FRAME2 103.8 0.0
loop_
_axis.id _axis.type _axis.equipment
_axis.vector[1] _axis.vector[2] _axis.vector[3]
_axis.offset[1] _axis.offset[2] _axis.offset[3]
OMEGA rotation goniometer 1 0 0 . . .
SOURCE general source 0 0 1 . . .
DET_Z translation detector 0 0 -1 0 0 0
DET_X translation detector 1 0 0 0 0 0
ELEMENT_X translation detector 1 0 0 -211.8 217.3 0
loop_
_array_element_size.index
_array_element_size.size
2 100e-6
1 172e-6
"""


def told(text, *keys):
    facts = imgcif.facts_of(text)
    return tuple(facts[key] for key in keys)


def test_each_fact_is_found_by_its_axis_frame_or_key():
    assert imgcif.facts_of(EXPERIMENT) == {
        "detector": "PILATUS 6M",
        "detector_serial": "60-0100",
        "header_beamline": "Beamline's own",
        "date": "2026-11-21T02:14:08",
        "wavelength_A": 0.9795,
        "distance_mm": 103.8,
        "exposure_s": 0.2,
        "start_angle_deg": 90.25,
        "increment_deg": 0.25,
        "pixel_x_um": 172.0,
    }


def test_the_distance_that_is_told_comes_before_the_one_of_an_axis():
    assert told(EXPERIMENT + "_diffrn_measurement.sample_detector_distance 250.5\n", "distance_mm") == (250.5,)


@pytest.mark.parametrize(
    ("old", "new", "distance_mm"),
    [
        ("DET_Z FRAME2 103.8 0.0\n", "", 103.75),
        ("DET_Z translation detector 0 0 -1 0 0 0", "DET_Z translation detector 0 1 -1 0 0 0", None),
        ("DET_Z translation detector 0 0 -1 0 0 0", "DET_Z translation detector 0 0 -1 0 0 5", None),
        ("DET_X translation detector 1 0 0", "DET_X translation detector 0 0 1", None),
        ("DET_Z translation detector", "DET_Z translation goniometer", None),
    ],
)
def test_an_axis_gives_the_distance_only_where_no_other_could(old, new, distance_mm):
    assert old in EXPERIMENT
    assert told(EXPERIMENT.replace(old, new), "distance_mm") == (distance_mm,)


def test_the_start_of_a_scan_is_that_of_its_only_frame_and_of_no_other():
    keys = ("start_angle_deg", "increment_deg")
    unsaid = EXPERIMENT.replace("OMEGA FRAME2 0.0 90.25\n", "")
    assert told(unsaid, *keys) == (None, 0.25)
    assert told(unsaid.replace("0.25 90.0 180.0", "0.25 90.0 0.25"), *keys) == (90.0, 0.25)


def test_two_turning_axes_are_ambiguous_and_a_still_has_none():
    keys = ("start_angle_deg", "increment_deg")
    assert told(EXPERIMENT.replace("KAPPA 0.0 0.0 40.0", "KAPPA 0.0 0.1 40.0"), *keys) == (None, None)
    assert told(EXPERIMENT.replace("0.25 90.0 180.0", "0.0 90.0 0.0"), *keys) == (None, None)


def test_without_a_frames_own_time_the_scans_counts():
    text = "_diffrn_scan.id S\n_diffrn_scan.integration_time 0.5\n"
    assert told(text, "exposure_s", "date", "distance_mm") == (0.5, None, None)


def test_what_the_simulator_writes_is_what_the_probe_reads():
    frame = full_cbf_frame(
        4,
        date=datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC),
        shape=(20, 30),
        distance_m=0.1875,
        wavelength_A=1.0332,
        exposure_s=0.25,
        start_angle_deg=90.0,
        increment_deg=0.5,
    )
    probe = frame_probe.probe_bytes(frame)
    assert probe.problem is None
    assert probe.facts == {
        "kind": "CBF",
        "detector": "PILATUS 300K",
        "header_beamline": "Simulated Light Source SIM-1",
        "date": "2026-11-21T02:14:07.000",
        "wavelength_A": 1.0332,
        "distance_mm": 187.5,
        "exposure_s": 0.25,
        "start_angle_deg": 91.5,
        "increment_deg": 0.5,
        "pixel_x_um": 172.0,
        "width_px": 30,
        "height_px": 20,
    }


# the text


def test_values_are_words_quoted_texts_and_lines_between_semicolons():
    text = "_A 'it''s' _b \"a 'b' c\"\r\n_c\r\n;two\r\nlines _d 4\r\n;\r\n_e ? _f '.' #_g 7\r\n_a again\r\n"
    assert {name: list(values) for name, values in cif.read(text).items()} == {
        "_a": ["it''s"],
        "_b": ["a 'b' c"],
        "_c": ["two\r\nlines _d 4\r\n"],
        "_e": [""],
        "_f": ["."],
    }


def test_a_loop_ends_at_the_next_name_loop_or_block():
    text = "loop_ _a.x _a.y 1 2\n3\n4 loop_ _b.x 5 6 data_next _c 7 LOOP_ _d 8"
    found = {name: list(values) for name, values in cif.read(text).items()}
    assert found == {"_a.x": ["1", "3"], "_a.y": ["2", "4"], "_b.x": ["5", "6"], "_c": ["7"], "_d": ["8"]}


def test_rows_are_filled_up_where_the_last_one_is_cut_off():
    columns = cif.read("loop_ _a.x _a.y 1 2 3")
    assert cif.rows(columns, "a", ("y", "x", "z")) == [{"x": "1", "y": "2", "z": ""}, {"x": "3", "y": "", "z": ""}]
    assert cif.rows(columns, "b", ("x",)) == []


@given(
    st.lists(st.sampled_from(["loop_", "_a", "_axis.id", "'", '"', ";", "\n", " ", "data_", "#", "1", "."])).map(
        "".join
    )
)
def test_no_text_raises(text):
    cif.read(text)
    imgcif.facts_of(text)
