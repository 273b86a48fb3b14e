from __future__ import annotations

import os
import threading

import pytest

from depositd.archive.workshop import FRAME_MOST_BYTES, Workshop
from depositd.portable import usable_cores


def test_there_are_so_many_frames_and_no_more():
    with Workshop(2) as workshop:
        frames = [workshop.take_frame() for _ in range(2 + 4)]
        assert {len(frame) for frame in frames} == {FRAME_MOST_BYTES}
        assert len({id(frame) for frame in frames}) == 6
        got: list[bytearray] = []
        waiting = threading.Thread(target=lambda: got.append(workshop.take_frame()), daemon=True)
        waiting.start()
        waiting.join(0.05)
        assert waiting.is_alive()
        workshop.give_back(frames[3])
        waiting.join(30)
        assert got[0] is frames[3]


def test_the_memory_used_last_is_used_again():
    """What is in the processor's cache is quicker, and memory that nobody needs is never made."""
    with Workshop(3) as workshop:
        first = workshop.take_frame()
        for _ in range(20):
            workshop.give_back(first)
            assert workshop.take_frame() is first


def test_it_has_a_thread_for_each_processor_unless_told_otherwise():
    with Workshop() as workshop:
        assert workshop.workers == usable_cores() >= 1


@pytest.mark.parametrize("workers", [0, -1])
def test_nobody_is_too_few(workers):
    with pytest.raises(ValueError, match=rf"{workers} workers cannot pack anything"):
        Workshop(workers)


def test_closing_drops_what_waits_and_ends_the_threads():
    begun, go = threading.Event(), threading.Event()
    with Workshop(1) as workshop:
        running = workshop.pool.submit(lambda: (begun.set(), go.wait(30)))
        waiting = workshop.pool.submit(os.getpid)
        begun.wait(30)
        threading.Timer(0.05, go.set).start()
    assert running.done()
    assert waiting.cancelled()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("archive-worker")]


def test_a_file_that_is_not_there_is_not_trusted_either(tmp_path):
    with Workshop(1) as workshop:
        workshop.trust(str(tmp_path / "removed"))
        assert not workshop.trusts(str(tmp_path / "removed"))
