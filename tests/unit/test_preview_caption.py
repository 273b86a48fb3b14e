"""What stands below a picture."""

from __future__ import annotations

import pytest

from depositd.preview import canvas
from depositd.preview.caption import frame_caption, plain, run_caption

SAID = {
    "detector": "PILATUS 2M, S/N 24-0107",
    "sample": "crystal 7",
    "wavelength_A": 0.9763,
    "distance_mm": 250.0,
    "exposure_s": 0.099,
    "increment_deg": 0.1,
    "frames": 1800,
}


def test_a_frame_says_what_it_was_measured_with():
    assert frame_caption("lyso_1", SAID, 1) == [
        "PILATUS 2M, S/N 24-0107",
        "crystal 7",
        "0.9763 A",
        "250 mm",
        "0.099 s",
        "0.1° per frame",
        "frame 1 of 1,800",
    ]


@pytest.mark.parametrize("frames", [None, "many", 0])
def test_without_a_count_it_is_the_first_frame(frames):
    assert frame_caption("lyso_1", {"frames": frames}, 1) == ["first frame"]


def test_the_name_is_not_said_twice():
    assert "lyso_1" not in frame_caption("lyso_1", {"sample": "lyso_1"}, 1)


def test_a_run_says_its_instrument_and_length():
    said = {"instrument": "ZQ", "sample": "blc", "date": "2011-12-03T18:34:05", "run_time_min": 7.4901}
    assert run_caption(said) == ["ZQ", "blc", "2011-12-03T18:34:05", "7.4901 min"]
    assert run_caption({"run_time_min": "long"}) == []


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("lyso\n\x1b[31m", "lyso\\n\\x1b[31m"),
        ("\udcff", "\\xff"),
        ("Ångström", "Angstrom"),
        ("日本", "??"),
        ("0.1° · …", "0.1° · …"),
    ],
)
def test_names_are_shown_in_the_letters_that_the_font_has(text, shown):
    assert plain(text) == shown


def test_a_long_name_is_cut():
    assert len(plain("x" * 10_000)) <= 160


def test_pieces_fold_into_lines_that_fit():
    pieces = ["PILATUS3 6M, S/N 60-0123", "0.9763 A", "250 mm", "frame 1 of 1,800", "w" * 400]
    lines = canvas.folded(pieces, 300)
    assert len(lines) > 1
    assert all(canvas.text_width_px(line) <= 300 for line in lines)
    assert lines[0].startswith("PILATUS3 6M")
    assert lines[-1].endswith("…")
