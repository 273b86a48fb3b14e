"""What takes long is told to stop, and does: compression at slow levels, and whoever waits for it."""

from __future__ import annotations

import random
import threading
import time

import pytest

from depositd.archive.encoders import EncodingStopped, ZstdEncoder, decode
from depositd.archive.lanes import Lane
from depositd.archive.workshop import Workshop


class Enough(Exception):
    """Nobody wants it any more."""


def enough() -> None:
    raise Enough


def test_a_slow_level_gives_the_same_bytes_each_time_and_they_are_a_whole_frame():
    frame = memoryview(random.Random(1).randbytes(200_000) + bytes(200_000))
    once, again = ZstdEncoder(12).encode(frame), ZstdEncoder(12).encode(frame)
    assert once == again
    assert b"".join(decode("zstd", [once])) == bytes(frame)


def test_a_slow_frame_is_given_up_between_two_pieces_and_a_quick_one_is_not():
    frame = memoryview(bytes(300_000))
    slow, quick = ZstdEncoder(19), ZstdEncoder(3)
    for encoder in (slow, quick):
        encoder.stop()
    with pytest.raises(EncodingStopped):
        slow.encode(frame)
    assert quick.encode(frame)


def test_who_waits_for_a_lane_hears_that_it_is_not_wanted_any_more():
    may_end = threading.Event()
    began_s = time.monotonic()
    with Lane("test", 4) as lane:
        lane.put(lambda: may_end.wait(10) and None)
        with pytest.raises(Enough):
            lane.drain(enough)
        may_end.set()
    assert time.monotonic() - began_s < 5


def test_who_waits_for_memory_hears_that_it_is_not_wanted_any_more():
    with Workshop(1, still_wanted=enough) as workshop:
        for _ in range(workshop.workers + 4):
            workshop.take_frame()
        with pytest.raises(Enough):
            workshop.take_frame()
