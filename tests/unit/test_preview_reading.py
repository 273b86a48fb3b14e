"""The bounds of what is read for a picture."""

from __future__ import annotations

import pytest
from format_files import stat_of

from depositd.errors import NoPicture
from depositd.model import Dataset, FileKind
from depositd.preview.reading import check_pixels, regular


def test_an_image_may_have_a_hundred_million_pixels_and_no_more():
    check_pixels(stat_of("run/x_001.cbf"), (10_000, 10_000))
    with pytest.raises(NoPicture, match=r"^x_001\.cbf has images of 100,020,001 pixels, too many"):
        check_pixels(stat_of("run/x_001.cbf"), (10_001, 10_001))


def test_only_regular_files_are_read():
    link, file = stat_of("a_1.cbf", kind=FileKind.SYMLINK), stat_of("a_2.cbf")
    assert regular(Dataset("a", "frames", "", "a_%d.cbf", "", (link, file))) == [file]
    with pytest.raises(NoPicture, match="no file to make a picture of"):
        regular(Dataset("a", "frames", "", "a_%d.cbf", "", (link,)))
