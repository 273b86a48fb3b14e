"""From counts to grey: spots survive, what was not measured is told apart."""

from __future__ import annotations

import numpy as np
import pytest

from depositd.preview.scaling import enlargement, pool, pooling_factor, shades


@pytest.mark.parametrize(
    ("shape", "factor", "larger"),
    [
        ((195, 487), 1, 2),
        ((1065, 1030), 1, 1),
        ((1200, 10), 1, 1),
        ((1201, 10), 2, 1),
        ((4371, 4150), 4, 1),
        ((1, 1), 1, 1200),
    ],
)
def test_an_image_comes_near_the_longest_side_in_whole_pixels(shape, factor, larger):
    assert pooling_factor(shape) == factor
    assert enlargement(shape) == larger
    assert -(-max(shape) // factor) * larger <= 1200


def test_a_spot_of_one_pixel_survives_at_full_height():
    pixels = np.zeros((1000, 999), dtype=np.int32)
    pixels[123, 998] = 5000
    pooled = pool(pixels, 7)
    assert pooled.counts.shape == (143, 143)
    assert pooled.counts[123 // 7, 998 // 7] == 5000
    assert np.count_nonzero(pooled.counts) == 1


def test_each_pixel_is_the_largest_of_its_square():
    pixels = np.random.default_rng(1).poisson(3, (211, 97)).astype(np.int32)
    pooled = pool(pixels, 4).counts
    expected = np.array([[pixels[y : y + 4, x : x + 4].max() for x in range(0, 97, 4)] for y in range(0, 211, 4)])
    assert np.array_equal(pooled, expected)


def test_an_image_larger_than_a_band_is_pooled_to_its_last_row():
    pixels = np.zeros((5000, 2000), dtype=np.uint16)
    pixels[4999, 1999] = 9
    counts = pool(pixels, 5).counts
    assert counts.shape == (1000, 400)
    assert counts[-1, -1] == 9


def test_negative_pixels_are_not_measured_and_hide_no_neighbour():
    counts = pool(np.array([[-1, -2, -1, 7], [-2, -1, -1, -1]], dtype=np.int32), 2).counts
    assert np.isnan(counts[0, 0])
    assert counts[0, 1] == 7


def test_what_a_detector_masks_is_not_measured_and_what_it_cannot_count_is_overloaded():
    pixels = np.array([[65535, 65534, 3]], dtype=np.uint16)
    masked = pool(pixels, 1, unmeasured=65535).counts
    assert np.isnan(masked[0, 0])
    assert masked[0, 1] == 65534
    assert np.isposinf(pool(pixels, 1, overloaded=65535).counts[0, 0])


def test_a_mask_of_32_bits_is_told_from_its_neighbour():
    pixels = np.array([[2**32 - 1, 2**32 - 2]], dtype=np.uint32)
    counts = pool(pixels, 1, unmeasured=2**32 - 1).counts
    assert np.isnan(counts[0, 0])
    assert np.isfinite(counts[0, 1])


def test_numbers_that_are_none_are_not_measured():
    counts = pool(np.array([[np.nan, np.inf, 2.5]]), 1).counts
    assert np.isnan(counts[0, :2]).all()
    assert counts[0, 2] == 2.5


def test_background_is_light_and_spots_are_dark_in_order_of_their_counts():
    counts = np.random.default_rng(2).poisson(10, (300, 300)).astype(np.float32)
    counts[5, 5], counts[6, 6] = 200, 100_000
    grey = shades(counts)
    assert np.median(grey) > 180
    assert grey[6, 6] == 0
    assert grey[6, 6] <= grey[5, 5] < np.median(grey)


def test_noise_without_spots_stays_grey():
    grey = shades(np.random.default_rng(3).poisson(10, (300, 300)).astype(np.float32))
    assert np.median(grey) > 150
    assert grey.min() > 60


def test_a_few_single_counts_on_nothing_are_seen():
    counts = np.zeros((300, 300), dtype=np.float32)
    counts[10, 10] = 1
    grey = shades(counts)
    assert grey[10, 10] == 0
    assert grey[0, 0] == 255


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 7.0])
def test_an_image_without_contrast_is_white(value):
    assert (shades(np.full((4, 4), value, dtype=np.float32)) == 255).all()
