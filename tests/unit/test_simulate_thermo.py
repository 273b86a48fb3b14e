from datetime import UTC, datetime, timedelta

import pytest
from reference_parsers import parse_thermo

from depositd.simulate.thermo import thermo_header_size, thermo_raw_bytes

START = datetime(2026, 11, 21, 2, 14, 7, 250_000, tzinfo=UTC)


def test_a_finished_file_says_so_wherever_a_parser_looks():
    blob = thermo_raw_bytes(
        in_acquisition=False, scans=77, size_bytes=100_000, name="hela_1", start=START, run_time_min=9.5
    )
    said = parse_thermo(blob)
    assert len(blob) == 100_000
    assert said["version"] == 66
    assert said["file"] == "hela_1.raw"
    assert said["started"] == START
    assert said["ended"] == START + timedelta(minutes=9.5)
    assert said["date"] == (2026, 11, 6, 21, 2, 14, 7, 250)
    assert said["in_acquisition"] == 0
    assert said["controllers"] == 1
    assert 0 < said["run_header"] < len(blob)
    assert said["scans"] == (1, 77)
    assert said["minutes"] == (0.005, 9.5)
    assert said["expected_min"] == 9.5


def test_only_the_flag_tells_a_growing_file_and_it_stands_in_the_header():
    growing = thermo_raw_bytes(in_acquisition=True, scans=5)
    ended = thermo_raw_bytes(in_acquisition=False, scans=5)
    assert parse_thermo(growing)["in_acquisition"] == 1
    differing = [index for index, (a, b) in enumerate(zip(growing, ended, strict=True)) if a != b]
    assert len(differing) == 1
    assert differing[0] < thermo_header_size()


def test_a_run_can_be_shorter_than_expected():
    said = parse_thermo(thermo_raw_bytes(in_acquisition=False, scans=5, run_time_min=30.0, expected_run_time_min=60.0))
    assert (said["minutes"][1], said["expected_min"]) == (30.0, 60.0)


def test_a_size_without_room_for_the_structures_is_refused():
    with pytest.raises(ValueError, match="1,000 bytes are too few for a Thermo file"):
        thermo_raw_bytes(in_acquisition=False, scans=1, size_bytes=1000)
