"""A delivery without a journal: which steps it takes, when it waits and when it gives up."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from depositd.destinations.base import Outcome
from depositd.engine.unrecorded import Patience, Tools, deliver_unrecorded, poll_wait_s
from depositd.errors import AuthError, NotFound, Rejected, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Packing
from depositd.states import DeliveryEvent as E

S = DeliveryState
ARCHIVE = Archive("/a.tar", "a.tar", Packing.ARCHIVE, 3, "m", "i", "s")
NOW = datetime(2026, 11, 21, tzinfo=UTC)
LOST = Unconfirmed("the answer was lost")
AWAY = Unavailable("the server is away")


class Server:
    """A destination that does what it is told, in turn, and notes in which state it was asked."""

    name = "server"

    def __init__(self, *script):
        self.script = list(script)
        self.asked = []
        self.sent = 0

    def step(self, delivery, archive, metadata, report):
        self.asked.append(delivery.state)
        told = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if delivery.state is S.WAITING and told is not AWAY and getattr(told, "event", None) is not E.HOLD:
            report.sending({"md5": archive.md5})
            self.sent += 1
        if isinstance(told, Exception):
            raise told
        return told


class Surroundings:
    def __init__(self):
        self.slept = []
        self.changes = []
        self.troubles = []

    def tools(self):
        return Tools(
            clock=lambda: NOW,
            sleep=self.slept.append,
            chance=lambda: 0.5,
            changed=lambda delivery: self.changes.append((delivery.state, delivery.remote_status)),
            trouble=lambda sentence, wait_s: self.troubles.append((sentence, wait_s)),
        )


def uploaded():
    return Outcome(E.UPLOADED, remote_id="t1", remote_status="uploaded")


def submitted(status="submitted", again_s=0.5):
    return Outcome(E.SUBMITTED, remote_id="t1", remote_status=status, again_s=again_s)


PUBLISHED = Outcome(E.DELIVERED, remote_id="t1", remote_status="published")
ABSENT = Outcome(E.ABSENT, reason="not among 3 submissions")


def go(server, state=S.WAITING, archive=ARCHIVE, **how):
    around = Surroundings()
    delivery = Delivery(0, 0, "server", state, remote_id=None if state is S.WAITING else "t1")
    return deliver_unrecorded(server, delivery, archive, {}, around.tools(), **how), around


def test_the_whole_way_waits_only_between_looks():
    server = Server(uploaded(), submitted(), submitted("pending"), submitted("pending"), PUBLISHED)
    ended, around = go(server)
    assert (ended.state, ended.remote_id, ended.remote_status) == (S.DELIVERED, "t1", "published")
    assert server.asked == [S.WAITING, S.UPLOADED, S.SUBMITTED, S.SUBMITTED, S.SUBMITTED]
    assert around.slept == [1.0, 1.0, 2.0]  # short again after each change
    assert around.changes == [
        (S.UPLOADED, "uploaded"),
        (S.SUBMITTED, "submitted"),
        (S.SUBMITTED, "pending"),
        (S.DELIVERED, "published"),
    ]


def test_it_ends_where_it_is_asked_to():
    ended, around = go(Server(uploaded(), submitted()), until=frozenset({S.SUBMITTED}))
    assert ended.state is S.SUBMITTED
    assert around.slept == []


def test_a_lost_answer_is_asked_about_and_what_is_there_is_adopted():
    server = Server(LOST, uploaded(), submitted(), PUBLISHED)
    ended, around = go(server)
    assert ended.state is S.DELIVERED
    assert server.asked[:2] == [S.WAITING, S.UNCONFIRMED]
    assert server.sent == 1
    assert around.troubles == [("the answer was lost", 2.0)]


def test_what_did_not_arrive_is_sent_again_and_not_for_ever():
    server = Server(LOST, ABSENT, LOST, ABSENT, LOST, ABSENT, LOST, ABSENT)
    with pytest.raises(Unavailable, match="not among 3 submissions"):
        go(server)
    assert server.sent == 3
    assert S.UNCONFIRMED in server.asked


MISSED = Outcome(E.POSTPONE, reason="none of our 3 submissions has it yet", again_s=30.0)


def test_what_is_lost_is_looked_for_and_a_person_sees_that():
    server = Server(LOST, MISSED, MISSED, uploaded(), submitted(), PUBLISHED)
    ended, around = go(server)
    assert ended.state is S.DELIVERED
    assert server.sent == 1
    assert around.troubles[1:] == [("none of our 3 submissions has it yet", 30.0)] * 2
    assert around.slept[1:3] == [30.0, 30.0]


def test_what_is_lost_looked_for_and_lost_again_is_not_sent_for_ever():
    server = Server(*[LOST, MISSED, MISSED, ABSENT] * 9)
    with pytest.raises(Unavailable, match="not among 3 submissions"):
        go(server)
    assert server.sent == 3


def test_a_conflict_that_is_not_listed_yet_is_looked_for_and_not_sent_again():
    conflict = Outcome(E.LOST, remote_status="conflict", reason="it is there", again_s=30.0)
    server = Server(conflict, *[MISSED] * 20, Outcome(E.FAILED, reason="somebody else", hint="look"))
    ended, around = go(server)
    assert (ended.state, ended.remote_status, ended.error) == (S.FAILED, "conflict", "somebody else")
    assert server.sent == 1
    assert sum(around.slept) >= 600.0
    assert len(around.troubles) == 20


def test_a_question_that_gets_no_answer_leaves_it_unconfirmed():
    server = Server(LOST, AWAY)
    ended, around = go(server, patience=Patience(failures=3))
    assert (ended.state, ended.error) == (S.UNCONFIRMED, "the server is away")
    assert ended.baseline == {"md5": "m"}
    assert ended.sent_at == NOW
    assert server.sent == 1
    assert around.slept == [2.0, 4.0, 8.0]


def test_a_server_that_is_away_before_anything_was_sent_is_an_error():
    server = Server(AWAY)
    with pytest.raises(Unavailable, match="away"):
        go(server, patience=Patience(failures=2))
    assert len(server.asked) == 3


def test_what_the_server_asks_for_is_waited():
    around_wait = Unavailable("too many requests", retry_after_s=33.0)
    _ended, around = go(Server(around_wait, uploaded(), submitted(), PUBLISHED))
    assert around.slept[0] == 33.0


@pytest.mark.parametrize("error", [AuthError("who?"), Rejected("no")])
def test_a_refusal_before_anything_is_there_is_raised_at_once(error):
    server = Server(error)
    with pytest.raises(type(error)):
        go(server)
    assert len(server.asked) == 1


@pytest.mark.parametrize("error", [AuthError("who?"), Rejected("no")])
def test_a_refusal_of_what_is_there_leaves_it_as_it_is(error):
    ended, around = go(Server(uploaded(), error))
    assert (ended.state, ended.remote_id, ended.error) == (S.UPLOADED, "t1", str(error))
    assert around.slept == []


def test_a_hold_ends_it():
    ended, around = go(Server(Outcome(E.HOLD, reason="no pdb_code", hint="set it", hold=HoldKind.METADATA)))
    assert (ended.state, ended.error, ended.hold) == (S.HELD, "no pdb_code", HoldKind.METADATA)
    assert around.slept == []


def test_a_server_that_contradicts_itself_is_not_asked_for_ever():
    server = Server(uploaded())
    ended, around = go(server, patience=Patience(failures=4))
    assert ended.state is S.UPLOADED
    assert len(around.slept) == 4


def test_a_server_that_forgets_every_upload_is_not_sent_it_for_ever():
    server = Server(uploaded(), ABSENT, uploaded(), ABSENT, uploaded(), ABSENT, uploaded(), ABSENT)
    with pytest.raises(Unavailable):
        go(server, patience=Patience(failures=2))
    assert server.sent == 3


def test_an_archive_without_a_path_is_never_sent():
    server = Server(ABSENT)
    with pytest.raises(NotFound, match="nothing here"):
        go(server, S.UPLOADED, archive=replace(ARCHIVE, path=""))
    assert server.asked == [S.UPLOADED, S.WAITING]


def test_a_look_is_not_taken_before_the_destination_says_that_it_would_show_anything():
    _ended, around = go(Server(submitted(again_s=7.0), PUBLISHED), S.SUBMITTED)
    assert around.slept == [7.0]


def test_looks_bear_more_failures_than_sends():
    server = Server(submitted(), *[AWAY] * 9, PUBLISHED)
    ended, around = go(server, S.SUBMITTED, patience=Patience(failures=1, failed_looks=9))
    assert ended.state is S.DELIVERED
    assert max(around.slept) == 60.0


def test_looks_grow_rarer_up_to_the_longest():
    assert [poll_wait_s(polls, 10.0) for polls in (0, 1, 2, 3, 4, 99)] == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
