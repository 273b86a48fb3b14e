"""Whether every worker moves."""

from __future__ import annotations

import threading
from contextlib import suppress

from depositd.service.heartbeats import Heartbeats


class Time:
    def __init__(self):
        self.now_s = 100.0
        self.beats = Heartbeats(lambda: self.now_s)

    def silent(self):
        return [str(one) for one in self.beats.silent()]


def test_a_worker_that_keeps_to_its_own_budget_is_well():
    time = Time()
    time.beats.beat("watcher", 10)
    time.beats.beat("deliverer", 100)
    time.now_s += 10
    assert time.silent() == []
    time.now_s += 1
    assert time.silent() == ["watcher has not moved for 11 s (allowed 10 s)"]
    time.beats.beat("watcher", 10)
    assert time.silent() == []


def test_a_worker_that_rests_may_be_silent():
    time = Time()
    time.beats.beat("watcher", 10)
    time.beats.rest("watcher")
    time.beats.rest("never seen")
    time.now_s += 1000
    assert time.silent() == []


def test_work_that_ended_however_it_did_is_not_watched_any_more():
    time = Time()
    with suppress(ZeroDivisionError), time.beats.working("archiver", 10):
        assert time.beats.threads() == [threading.current_thread()]
        _ = 1 / 0
    time.now_s += 1000
    assert (time.silent(), time.beats.threads()) == ([], [])


def test_a_wait_with_an_end_of_its_own_comes_on_top_of_the_budget_and_ends_with_the_next_sign_of_life():
    time = Time()
    with time.beats.working("deliverer", 10):
        time.beats.waits(3600)
        time.now_s += 3610
        assert time.silent() == []
        time.now_s += 1
        assert time.silent() == ["deliverer has not moved for 1 h (allowed 1 h)"]
        time.beats.waits(3600)
        time.beats.moved()
        time.now_s += 11
        assert time.silent() == ["deliverer has not moved for 11 s (allowed 10 s)"]


def test_a_thread_that_is_no_worker_can_give_signs_of_life_which_nobody_minds():
    time = Time()
    time.beats.moved()
    time.beats.waits(10)
    assert time.beats.threads() == []
    with time.beats.working("deliverer", 10):
        stranger = threading.Thread(target=time.beats.waits, args=(1000,))
        stranger.start()
        stranger.join()
        time.now_s += 11
        assert time.silent() == ["deliverer has not moved for 11 s (allowed 10 s)"]


def test_a_watcher_that_was_left_behind_does_not_end_the_watch_over_its_successor():
    """After a reload, where the former thread stands before a file server that is gone."""
    time = Time()
    former = threading.Thread(target=time.beats.beat, args=("watcher of /data", 10))
    former.start()
    former.join()
    time.beats.beat("watcher of /data", 10)
    returns = threading.Thread(target=time.beats.rest, args=("watcher of /data",))
    returns.start()
    returns.join()
    time.now_s += 11
    assert time.silent() == ["watcher of /data has not moved for 11 s (allowed 10 s)"]
