"""Whether every worker moves."""

from depositd.service.heartbeats import Heartbeats


def test_a_worker_that_keeps_to_its_own_budget_is_well():
    now = [100.0]
    beats = Heartbeats(lambda: now[0])
    beats.beat("watcher", 10)
    beats.beat("deliverer", 100)
    now[0] += 10
    assert beats.silent() == []
    now[0] += 1
    assert beats.silent() == ["watcher has not moved for 11 s (allowed 10 s)"]
    beats.beat("watcher", 10)
    assert beats.silent() == []


def test_a_worker_that_rests_may_be_silent():
    now = [0.0]
    beats = Heartbeats(lambda: now[0])
    beats.beat("watcher", 10)
    beats.rest("watcher")
    beats.rest("never seen")
    now[0] += 1000
    assert beats.silent() == []
