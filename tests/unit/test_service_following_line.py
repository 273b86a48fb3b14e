from __future__ import annotations

from format_files import stat_of

from depositd.archive import Followed
from depositd.engine.following import FOLLOW_BYTES, FOLLOW_LEAST_AFTER_S, FOLLOW_LEAST_BYTES
from depositd.engine.scheduling import Job
from depositd.service.following_line import FORGOTTEN_AFTER_S, MOST_LOSSES, FollowingLine

FRAME_BYTES = FOLLOW_BYTES


class OneThread:
    """A pool whose work is done when the test says so."""

    def __init__(self):
        self.under_way: list[Job] = []

    @property
    def is_free(self):
        return not self.under_way

    def submit(self, job):
        self.under_way.append(job)
        return True

    def finish(self):
        (job,) = self.under_way
        job.work()
        self.under_way.clear()


class Line:
    def __init__(self, may_begin=lambda _dataset_id, _size_bytes: True):
        self.pool, self.now_s, self.steps = OneThread(), 1000.0, []
        self.answer = Followed(1)
        self.line = FollowingLine(self.pool, self.follow, may_begin, monotonic=lambda: self.now_s)

    def follow(self, dataset_id, files):
        self.steps.append((dataset_id, len(files)))
        return self.answer

    def closed(self, dataset_id, count, size=FRAME_BYTES):
        self.line.closed(dataset_id, tuple(stat_of(f"lyso_{number:05}.cbf", size) for number in range(count)))

    def dispatch(self):
        """Let the line begin what it wants, and do that; return the steps that were taken."""
        self.line.dispatch()
        before = len(self.steps)
        if self.pool.under_way:
            self.pool.finish()
        return self.steps[before:]


def test_nothing_is_begun_where_nothing_grows():
    assert Line().dispatch() == []


def test_what_is_closed_is_followed_and_not_twice():
    line = Line()
    line.closed(1, 1)
    assert line.dispatch() == [(1, 1)]
    assert line.dispatch() == []
    line.closed(1, 1)
    assert line.dispatch() == []
    line.closed(1, 2)
    assert line.dispatch() == [(1, 2)]


def test_little_that_is_new_waits_until_it_seems_to_be_the_end():
    line = Line()
    line.closed(1, 1)
    line.dispatch()
    line.now_s += 100
    line.closed(1, 9, FRAME_BYTES // 9 + FOLLOW_LEAST_BYTES // 9 + 1)
    assert line.dispatch() == [], "what is new has waited for no time yet, however long nothing came before"
    line.now_s += FOLLOW_LEAST_AFTER_S + 1
    assert line.dispatch() == [(1, 9)]


def test_the_dataset_with_the_most_to_do_comes_first_and_one_at_a_time():
    line = Line()
    line.closed(1, 1)
    line.closed(2, 3)
    line.line.dispatch()
    line.line.dispatch()
    assert [job.key for job in line.pool.under_way] == [2]
    assert line.line.is_at(2)
    assert not line.line.is_at(1)
    line.pool.finish()
    assert line.dispatch() == [(1, 1)]


def test_what_may_not_begin_lets_others_pass():
    asked = []

    def may_begin(dataset_id, size_bytes):
        asked.append((dataset_id, size_bytes))
        return dataset_id == 1

    line = Line(may_begin)
    line.closed(1, 1)
    line.closed(2, 3)
    assert line.dispatch() == [(1, 1)]
    assert asked == [(2, 3 * FRAME_BYTES), (1, FRAME_BYTES)]


def test_a_dataset_that_is_not_followed_any_more_is_forgotten():
    line = Line()
    line.answer = None
    line.closed(1, 1)
    assert line.dispatch() == [(1, 1)]
    assert line.dispatch() == []


def test_a_dataset_whose_files_come_in_another_order_is_left_alone_in_the_end():
    line = Line()
    line.answer = Followed(1, lost_bytes=1)
    for count in range(1, 10):
        line.closed(1, count)
        line.dispatch()
    assert len(line.steps) == MOST_LOSSES


def test_what_has_ended_with_little_to_do_is_not_remembered_for_ever():
    line = Line()
    line.closed(1, 1, size=10)
    line.closed(2, 1, size=10)
    line.now_s += FORGOTTEN_AFTER_S - 1
    line.closed(2, 2, size=10)
    line.now_s += 1
    assert line.dispatch() == []
    line.now_s += FOLLOW_LEAST_AFTER_S
    line.closed(1, 3)
    assert line.dispatch() == [(1, 3)]
    assert line.line.known == {1, 2}
    line.now_s += FORGOTTEN_AFTER_S
    assert line.dispatch() == []
    assert line.line.known == set()


def test_what_was_thrown_away_needs_room_for_all_of_it_again():
    asked = []
    line = Line(lambda _dataset_id, size_bytes: not asked.append(size_bytes))
    line.closed(1, 1)
    line.dispatch()
    line.line.forget(1)
    line.closed(1, 2)
    line.dispatch()
    assert asked == [FRAME_BYTES, 2 * FRAME_BYTES]
