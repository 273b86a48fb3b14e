"""Beam centre and rings of resolution."""

from __future__ import annotations

import itertools
import math

import pytest

from depositd.preview.diffraction import label_place
from depositd.preview.geometry import beam_centre, radius_px, rings

PILATUS = {"wavelength_A": 0.9763, "distance_mm": 250.0, "pixel_x_um": 172.0, "beam_x_px": 737.5, "beam_y_px": 839.5}
SHAPE = (1679, 1475)


def test_a_ring_has_the_radius_of_braggs_law():
    radius = radius_px(2.0, PILATUS)
    two_theta = 2 * math.asin(0.9763 / 4)
    assert radius == pytest.approx(250.0 * math.tan(two_theta) / 0.172)
    assert radius == pytest.approx(781.6, abs=0.5)  # worked out by hand


def test_a_resolution_beyond_a_right_angle_has_no_ring():
    assert radius_px(0.69, PILATUS) is None
    assert radius_px(0.4, PILATUS) is None
    assert radius_px(0.7, PILATUS) > 10_000


@pytest.mark.parametrize("key", ["wavelength_A", "distance_mm", "pixel_x_um", "beam_x_px", "beam_y_px"])
@pytest.mark.parametrize("value", [None, "none", float("nan"), float("inf")])
def test_without_one_of_its_numbers_there_is_no_ring(key, value):
    assert rings(PILATUS | {key: value}, SHAPE) == []


@pytest.mark.parametrize("key", ["wavelength_A", "distance_mm", "pixel_x_um"])
@pytest.mark.parametrize("value", [0, -1.0])
def test_an_impossible_number_gives_no_ring(key, value):
    assert rings(PILATUS | {key: value}, SHAPE) == []


def test_rings_are_few_apart_and_in_the_image():
    shown = rings(PILATUS, SHAPE)
    assert 2 <= len(shown) <= 4
    radii = [ring.radius_px for ring in shown]
    assert radii == sorted(radii, reverse=True)
    assert all(outer - inner >= 0.13 * 1679 for outer, inner in itertools.pairwise(radii))
    assert radii[0] <= 839.5
    assert [ring.radius_px for ring in shown] == [radius_px(ring.d_A, PILATUS) for ring in shown]


def test_a_beam_outside_the_image_has_rings_that_cross_it():
    shown = rings(PILATUS | {"beam_x_px": -500.0}, SHAPE)
    assert shown
    assert all(ring.radius_px <= 1975 for ring in shown)


def test_zeros_are_no_beam_centre():
    assert beam_centre({"beam_x_px": 0.0, "beam_y_px": 0}) is None
    assert beam_centre({"beam_x_px": 0.0, "beam_y_px": 3}) == (0.0, 3.0)


def test_a_label_lies_in_the_image_or_nowhere():
    x, y = label_place((400, 300), (200, 150), 140, (20, 8))
    assert math.hypot(x - 200, y - 150) == pytest.approx(140)
    assert 20 <= x <= 380
    assert 8 <= y <= 292
    assert label_place((400, 300), (200, 150), 1000, (20, 8)) is None
