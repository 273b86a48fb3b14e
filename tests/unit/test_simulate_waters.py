from datetime import UTC, datetime

import pytest
from reference_parsers import check_waters, retention_times_min

from depositd.simulate.waters import waters_files


@pytest.mark.parametrize(("functions", "scans"), [(1, 1), (2, 50), (6, 259)])
def test_files_agree_as_those_of_an_instrument_do(functions, scans):
    files = waters_files(functions=functions, scans=scans, run_time_min=7.5)
    data = check_waters(files)
    assert len(data) == functions
    for name in data:
        times_min = retention_times_min(files[name.replace(".DAT", ".IDX")])
        assert len(times_min) == scans
        assert times_min[-1] == pytest.approx(7.5)
    assert b" Run Time: 7.50 min\r\n" in files["_INLET.INF"]


def test_retention_times_rise():
    times_min = retention_times_min(waters_files(functions=1, scans=20)["_FUNC001.IDX"])
    assert times_min == sorted(set(times_min))


def test_the_header_names_the_run():
    header = waters_files(name="hela_1", sample="S-7", date=datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC))["_HEADER.TXT"]
    lines = header.decode("latin-1").split("\r\n")
    assert "$$ Acquired Name: hela_1" in lines
    assert "$$ Acquired Date: 21-Nov-2026" in lines
    assert "$$ Acquired Time: 02:14:07" in lines
    assert "$$ SampleID: S-7" in lines


def test_the_logs_are_finished_last():
    assert list(waters_files())[-2:] == ["_extern.inf", "_INLET.INF"]
