"""Curves of ion current over time, and the indices that they come from."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from PIL import Image

from depositd.preview.bruker import traces_of
from depositd.preview.chromatogram import draw, is_plausible, thinned, tick_text, ticks
from depositd.preview.reading import Trace
from depositd.preview.waters import trace_of


def index_of(*scans):
    return b"".join(struct.pack("<IIff6x", 0, 0x0800_0001, counts, minutes) for minutes, counts in scans)


def test_a_waters_index_gives_times_and_ion_currents():
    trace = trace_of("function 1", index_of((0.5, 10.0), (0.75, 0.0), (1.0, 4e6)))
    assert trace.minutes.tolist() == [0.5, 0.75, 1.0]
    assert trace.counts.tolist() == [10.0, 0.0, 4e6]


@pytest.mark.parametrize(
    "index",
    [
        b"",
        index_of((0.5, 1.0)) + b"x",
        index_of((0.5, 1.0), (0.4, 1.0)),
        index_of((-0.5, 1.0)),
        index_of((0.5, -1.0)),
        index_of((0.5, float("nan"))),
        index_of((float("inf"), 1.0)),
    ],
)
def test_what_is_no_list_of_scans_gives_no_curve(index):
    assert trace_of("function 1", index) is None


def test_bruker_frames_are_split_into_ms_and_fragments():
    traces = traces_of([(60.0, 0, 5), (90.0, 9, 7.5), (120.0, 0, 6)])
    assert [(trace.label, trace.minutes.tolist(), trace.counts.tolist()) for trace in traces] == [
        ("MS", [1.0, 2.0], [5.0, 6.0]),
        ("MS/MS", [1.5], [7.5]),
    ]
    assert traces_of([]) == []
    assert traces_of([(-1.0, 0, 5)]) == []


def test_times_must_be_in_order():
    assert is_plausible(np.array([0.0, 1.0, 1.0]), np.zeros(3))
    assert not is_plausible(np.array([1.0, 0.0]), np.zeros(2))
    assert not is_plausible(np.array([]), np.array([]))


def test_a_peak_of_one_scan_stays_among_a_hundred_thousand():
    x, y = np.linspace(0, 1000, 100_000), np.full(100_000, 400.0)
    y[54_321] = 3.0
    few_x, few_y = thinned(x, y)
    assert len(few_x) <= 1001
    assert few_y.min() == 3.0
    assert abs(few_x[few_y.argmin()] - x[54_321]) < 1


def test_few_scans_are_all_drawn():
    x = np.array([1.2, 5.5, 9.0])
    assert thinned(x, x)[0].tolist() == [1.2, 5.5, 9.0]


@pytest.mark.parametrize("high", [0.0013, 1.0, 7.49, 12.9, 99.0, 1e6, 4.3e13])
def test_ticks_are_round_few_and_in_range(high):
    values = ticks(high, 8)
    assert 3 <= len(values) <= 9
    assert values[0] == 0
    assert values[-1] <= high * 1.000001
    assert len({tick_text(value) for value in values}) == len(values)


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (2.5, "2.5"), (0.3, "0.3"), (40_000.0, "40,000"), (1e6, "1,000,000"), (1.5e9, "1.5e9")],
)
def test_ticks_are_written_as_people_write_them(value, text):
    assert tick_text(value) == text


@pytest.mark.parametrize("count", [1, 2, 8])
def test_the_curves_are_in_the_picture_in_their_colours(count):
    minutes = np.linspace(0.1, 5, 50)
    traces = [Trace(f"function {n}", minutes, np.full(50, 10.0 * (n + 1))) for n in range(count)]
    image = Image.open(io.BytesIO(draw(traces, "run", {})))
    assert image.width == 1000
    colours = {colour for _count, colour in image.convert("RGB").getcolors(1 << 24)}
    assert (25, 113, 194) in colours
    assert ((214, 40, 40) in colours) == (count > 1)


@pytest.mark.parametrize(
    ("minutes", "counts"), [([0.0], [0.0]), ([0.0], [5.0]), ([3.0], [1e30]), ([0.0, 0.0], [1.0, 2.0])]
)
def test_the_smallest_runs_are_drawn(minutes, counts):
    assert draw([Trace("MS", np.array(minutes), np.array(counts))], "run", {}).startswith(b"\x89PNG")
