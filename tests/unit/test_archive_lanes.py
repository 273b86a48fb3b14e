from __future__ import annotations

import threading
from functools import partial

import pytest

from depositd.archive.lanes import Ahead, Lane


def fail() -> None:
    raise OSError("the disk is gone")


def test_work_is_done_in_order():
    done: list[int] = []
    with Lane("test", 3) as lane:
        for number in range(200):
            lane.put(partial(done.append, number))
        lane.drain()
        assert done == list(range(200))


def test_no_more_work_waits_than_allowed():
    go = threading.Event()
    put: list[int] = []

    def put_ten(lane: Lane) -> None:
        for number in range(10):
            lane.put(lambda: go.wait(30) and None)
            put.append(number)

    with Lane("test", 4) as lane:
        caller = threading.Thread(target=put_ten, args=(lane,))
        caller.start()
        caller.join(0.2)
        assert len(put) == 4
        go.set()
        caller.join(30)
        lane.drain()
    assert len(put) == 10


def test_an_error_is_raised_by_drain():
    with Lane("test", 100) as lane:
        lane.put(fail)
        with pytest.raises(OSError, match="the disk is gone"):
            lane.drain()


def test_an_error_is_raised_by_a_later_put():
    with Lane("test", 1) as lane:
        lane.put(fail)
        with pytest.raises(OSError, match="the disk is gone"):
            lane.put(fail)


def test_after_an_error_nothing_more_is_done():
    done: list[int] = []
    with Lane("test", 10) as lane:
        go = threading.Event()
        lane.put(lambda: go.wait(30) and None)
        lane.put(fail)
        lane.put(partial(done.append, 1))
        go.set()
        with pytest.raises(OSError, match="the disk is gone"):
            lane.drain()
    assert done == []


def test_leaving_drops_what_has_not_begun():
    begun = threading.Event()
    go = threading.Event()
    done: list[str] = []

    def first() -> None:
        begun.set()
        go.wait(30)
        done.append("first")

    with Lane("test", 10) as lane:
        lane.put(first)
        lane.put(partial(done.append, "second"))
        begun.wait(30)
        threading.Timer(0.05, go.set).start()
    assert done == ["first"]


def test_what_is_made_ahead_comes_in_order():
    with Ahead("test", iter(range(200)), 3) as ahead:
        assert list(ahead) == list(range(200))


def test_items_that_are_false_do_not_end_it():
    with Ahead("test", iter([b"", None, 0, b"x"]), 2) as ahead:
        assert list(ahead) == [b"", None, 0, b"x"]


def test_no_more_is_made_ahead_than_allowed():
    made: list[int] = []

    def make():
        for number in range(100):
            made.append(number)
            yield number

    with Ahead("test", make(), 3) as ahead:
        taken = iter(ahead)
        assert [next(taken) for _ in range(5)] == [0, 1, 2, 3, 4]
    assert len(made) <= 5 + 3


def test_an_error_is_raised_where_its_item_was_due():
    def make():
        yield 1
        raise OSError("the disk is gone")

    with Ahead("test", make(), 4) as ahead:
        taken = iter(ahead)
        assert next(taken) == 1
        with pytest.raises(OSError, match="the disk is gone"):
            next(taken)
