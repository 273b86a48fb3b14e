from __future__ import annotations

from dataclasses import replace

import pytest

from depositd.archive import PackPlan
from depositd.model import FileStat, Packing

PLAN = PackPlan(
    root="/data",
    files=(FileStat("mx1/b.cbf", 2, 0), FileStat("mx1/a.cbf", 1, 0), FileStat("mx1/\udcff", 4, 0)),
    top="mx1",
    dataset_name="lyso_1",
    file_name="lyso_1.tar.zst",
)


def test_members_lie_below_the_datasets_name_sorted_by_the_bytes_of_their_paths():
    assert [path for path, _ in PLAN.in_order()] == ["lyso_1/a.cbf", "lyso_1/b.cbf", "lyso_1/\udcff"]
    # by bytes: 0xff comes after the UTF-8 of é (0xc3 0xa9), by code points a lone surrogate would too, but not U+1F600
    files = tuple(FileStat(name, 0, 0) for name in ("\U0001f600", "\udcff", "\udc80", "z"))
    in_order = [file.path for _, file in replace(PLAN, files=files, top="").in_order()]
    assert in_order == ["z", "\udc80", "\U0001f600", "\udcff"]


def test_without_a_top_the_whole_path_is_kept():
    assert replace(PLAN, top="").in_order()[0][0] == "lyso_1/mx1/a.cbf"


def test_sizes_and_the_automatic_level():
    assert PLAN.size_bytes == 7
    assert PLAN.actual_level == 1
    assert [replace(PLAN, level=level).actual_level for level in (-7, 0, 19)] == [-7, 0, 19]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"files": ()}, "without files"),
        ({"files": (FileStat("mx1/a", 1, 0), FileStat("mx1/a", 1, 0))}, "same path"),
        ({"files": (FileStat("mx2/a", 1, 0),)}, "does not lie in"),
        ({"files": (FileStat("mx1/../../etc/passwd", 1, 0),)}, "not a path below the root"),
        ({"files": (FileStat("/etc/passwd", 1, 0),)}, "not a path below the root"),
        ({"dataset_name": ".."}, "not a file name"),
        ({"file_name": "a/b.tar.zst"}, "not a file name"),
        ({"file_name": "lyso_1.zip"}, "does not end in .tar.zst"),
        ({"file_name": "é" * 124 + ".tar.zst"}, "longer than 255 bytes"),
        ({"level": 20}, "zstd has no level 20"),
        ({"level": -8}, "-7 to 19"),
        ({"packing": Packing.FILE}, "3 files cannot be sent as one file"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(change, says):
    with pytest.raises(ValueError, match=says):
        replace(PLAN, **change)


def test_one_file_keeps_its_name():
    plan = replace(PLAN, files=(FileStat("mx1/run.raw", 1, 0),), packing=Packing.FILE, file_name="run.raw")
    assert plan.member_paths == ["run.raw"]
