from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from clock_support import ManualClock

from depositd.destinations.proteindiffraction.listing import SHARED_FAILURE_S, Listing
from depositd.destinations.proteindiffraction.records import Submission
from depositd.errors import AuthError, Unavailable

POLL_S = 60.0


def submission(status: str = "pending", token: str = "tok1") -> Submission:
    return Submission.read({"token": token, "status": status})


class Server:
    """Answers with what it is told, and counts."""

    def __init__(self, *answers) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self):
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_one_look_serves_all_until_the_next_poll(clock):
    server = Server([submission("pending")], [submission("published")])
    listing = Listing(server, clock, POLL_S)
    for _ in range(1000):
        assert listing.recent("tok1").status == "pending"
        assert listing.recent("another") is None
    clock.advance(POLL_S)
    assert listing.recent("tok1").status == "published"
    assert server.asked == 2


def test_all_who_wait_come_back_when_the_list_is_due(clock):
    listing = Listing(Server([submission()]), clock, POLL_S)
    assert listing.due_in_s() == POLL_S
    listing.recent("tok1")
    clock.advance(50)
    assert listing.due_in_s() == 10
    clock.advance(10)
    assert listing.due_in_s() == POLL_S


def test_who_comes_a_rounding_too_early_is_on_time(clock):
    server = Server([submission()])
    listing = Listing(server, clock, POLL_S)
    listing.recent("tok1")
    clock.advance(POLL_S - 0.01)
    listing.recent("tok1")
    assert server.asked == 2


def test_a_fresh_look_is_never_shared_but_spares_the_others_theirs(clock):
    server = Server([submission("pending")], [submission("published")])
    listing = Listing(server, clock, POLL_S)
    listing.recent("tok1")
    clock.advance(59)
    assert listing.fresh()[0].status == "published"
    clock.advance(59)
    assert listing.recent("tok1").status == "published"
    assert server.asked == 2


def test_a_clock_that_is_set_back_makes_no_list_hold_for_a_year(clock):
    server = Server([submission()])
    listing = Listing(server, clock, POLL_S)
    listing.recent("tok1")
    clock.advance(-86_400)
    assert listing.due_in_s() == POLL_S
    listing.recent("tok1")
    assert server.asked == 2


def test_a_failure_is_shared_for_a_short_while_with_all_that_it_says(clock):
    away = Unavailable("gone", hint="wait", status=503, body="down", retry_after_s=1.0)
    server = Server(away, [submission()])
    listing = Listing(server, clock, POLL_S)
    for _ in range(1000):
        with pytest.raises(Unavailable) as shared:
            listing.recent("tok1")
        said = shared.value
        assert (str(said), said.hint, said.status, said.body, said.retry_after_s) == ("gone", "wait", 503, "down", 1.0)
    assert server.asked == 1
    clock.advance(SHARED_FAILURE_S)
    assert listing.recent("tok1").status == "pending"
    assert server.asked == 2


@pytest.mark.parametrize(("asked_s", "shared_s"), [(None, 10), (30.0, 30), (86_400.0, POLL_S)])
def test_a_server_that_asks_for_time_gets_it_but_no_more_than_a_poll(asked_s, shared_s, clock):
    server = Server(Unavailable("slow", retry_after_s=asked_s))
    listing = Listing(server, clock, POLL_S)
    for wait_s, asked in ((0, 1), (shared_s - 1, 1), (1, 2)):
        clock.advance(wait_s)
        with pytest.raises(Unavailable):
            listing.recent("tok1")
        assert server.asked == asked


def test_a_failed_look_takes_nothing_from_those_who_have_a_list(clock):
    server = Server([submission()], Unavailable("gone"))
    listing = Listing(server, clock, POLL_S)
    listing.recent("tok1")
    clock.advance(1)
    with pytest.raises(Unavailable):
        listing.fresh()
    assert listing.recent("tok1").status == "pending"


def test_refused_credentials_are_not_shared_for_they_may_be_mended(clock):
    server = Server(AuthError("refused"), [submission()])
    listing = Listing(server, clock, POLL_S)
    with pytest.raises(AuthError):
        listing.recent("tok1")
    assert listing.recent("tok1").status == "pending"


@pytest.mark.parametrize("fails", [False, True])
def test_of_many_threads_one_asks_and_the_others_wait_for_its_answer(fails, clock):
    together = threading.Barrier(8)
    answer_now = threading.Event()
    asked = []

    def ask():
        asked.append(1)
        assert answer_now.wait(10)
        if fails:
            raise Unavailable("gone")
        return [submission()]

    listing = Listing(ask, clock, POLL_S)

    def look():
        together.wait(10)
        try:
            return listing.recent("tok1").status
        except Unavailable as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        looks = [pool.submit(look) for _ in range(8)]
        answer_now.set()
        assert {look.result(10) for look in looks} == {"gone" if fails else "pending"}
    assert len(asked) == 1
