from __future__ import annotations

import pytest

from depositd.engine.following import (
    FOLLOW_BYTES,
    FOLLOW_LEAST_AFTER_S,
    FOLLOW_LEAST_BYTES,
    FOLLOW_LEAST_PER_S,
    FOLLOW_SHARE,
    expected_bytes,
    is_worth_a_step,
)
from depositd.model import Frames


@pytest.mark.parametrize(
    ("new_bytes", "waited_s", "packed_bytes", "worth"),
    [
        (FOLLOW_BYTES, 0.0, 0, True),
        (FOLLOW_BYTES - 1, 0.0, 0, False),
        (FOLLOW_LEAST_BYTES, FOLLOW_LEAST_AFTER_S, 0, True),
        (FOLLOW_LEAST_BYTES, FOLLOW_LEAST_AFTER_S - 0.1, 0, False),
        (FOLLOW_LEAST_BYTES - 1, 3600.0, 0, False),
        (0, 3600.0, 0, False),
        (-FOLLOW_BYTES, 3600.0, 0, False),
        (FOLLOW_BYTES, 0.0, FOLLOW_SHARE * FOLLOW_BYTES, True),
        (FOLLOW_BYTES, 0.0, FOLLOW_SHARE * (FOLLOW_BYTES + 1), False),
        (FOLLOW_LEAST_BYTES, FOLLOW_LEAST_AFTER_S + 1.9, 2 * FOLLOW_LEAST_PER_S, False),
        (FOLLOW_LEAST_BYTES, FOLLOW_LEAST_AFTER_S + 2.0, 2 * FOLLOW_LEAST_PER_S, True),
    ],
)
def test_a_step_is_worth_it_by_size_or_by_waiting(new_bytes, waited_s, packed_bytes, worth):
    assert is_worth_a_step(new_bytes, waited_s, packed_bytes) is worth


@pytest.mark.parametrize(
    ("closed_bytes", "closed", "frames", "expected"),
    [
        (600, 100, Frames(100, 1800), 10_800),
        (600, 100, Frames(120, 1800), 9_000),  # 20 are there and not closed yet
        (600, 2, Frames(200, 1800), 5_400),  # 100 frames in each file
        (600, 100, Frames(100, None), 600),
        (600, 100, Frames(100, 50), 600),  # more than were to come
        (600, 100, Frames(0, 1800), 600),
        (600, 100, None, 600),
        (0, 0, Frames(0, 1800), 0),
    ],
)
def test_what_is_there_tells_how_large_it_will_be(closed_bytes, closed, frames, expected):
    assert expected_bytes(closed_bytes, closed, frames) == expected
