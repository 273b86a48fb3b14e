"""What an operator said, and what lies in the spool, when a journal was lost: nothing becomes public on an old word."""

from __future__ import annotations

from contextlib import ExitStack, closing

import pytest
from engine_support import NOW, FakeDestination, archived, config_of, frames, plan_of, record, tools_of

from depositd.destinations.base import Outcome
from depositd.engine.delivering import deliver
from depositd.engine.idle import Rest
from depositd.engine.recovering import recover
from depositd.journal import FILE_NAME, Fact, Journal
from depositd.model import DeliveryState, HoldKind, VerdictKind
from depositd.states import DeliveryEvent as E


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / FILE_NAME)
    yield opened
    opened.close()


@pytest.fixture
def public():
    destination = FakeDestination(idempotent=True)
    destination.publishes = True
    return destination


@pytest.fixture
def restored(tmp_path, journal):
    """Return what gives the journal back as a backup of this moment has it."""
    with ExitStack() as closing_time:

        def restore():
            journal.close()
            recover(config_of(tmp_path), "by hand", NOW, made_of=tmp_path / FILE_NAME)
            opened = Journal(tmp_path / FILE_NAME)
            closing_time.callback(opened.close)
            return opened

        yield restore


def stepped(tmp_path, journal, delivery_id, destination, *answers):
    """Take steps of a delivery, as many as it takes until it is held or ended, and return it."""
    destination.script = list(answers)
    plan = plan_of(config_of(tmp_path), destination)
    for _ in range(6):
        standing = journal.deliveries.get(delivery_id)
        if standing.delivery.state in (DeliveryState.HELD, DeliveryState.DELIVERED, DeliveryState.FAILED):
            break
        deliver(plan, journal, standing, tools_of(lambda: NOW))
    return journal.deliveries.get(delivery_id).delivery


def uploaded(journal, one):
    journal.deliveries.begin_send(one.id, {"md5": "b"}, NOW)
    journal.deliveries.apply(one.id, Fact(E.UPLOADED, remote_id="t1", remote_status="uploaded", attempt=True), NOW)


def answer_lost(journal, one):
    journal.deliveries.begin_send(one.id, {"md5": "b"}, NOW)
    journal.deliveries.apply(one.id, Fact(E.LOST, "no answer", attempt=True), NOW)


def being_sent(journal, one):
    journal.deliveries.begin_send(one.id, {"md5": "b"}, NOW)


def released_and_away(journal, one):
    journal.deliveries.apply(one.id, Fact(E.HOLD, "waits for you", hold=HoldKind.APPROVAL), NOW)
    journal.deliveries.word(one.id, E.WORD_RELEASE, {}, NOW)


THERE = Outcome(E.UPLOADED, remote_id="t1", remote_status="uploaded")
ABSENT = Outcome(E.ABSENT, reason="it does not have it")
PUBLISHED = Outcome(E.DELIVERED, remote_id="t1")


@pytest.mark.fault(29)
@pytest.mark.parametrize(
    ("before", "answer"),
    [(uploaded, THERE), (answer_lost, ABSENT), (answer_lost, THERE), (being_sent, ABSENT), (released_and_away, ABSENT)],
)
def test_nothing_becomes_public_on_a_word_from_before_the_loss(tmp_path, journal, restored, public, before, answer):
    made = archived(journal)
    (one,) = journal.deliveries.of_dataset(made.id)
    before(journal, one.delivery)
    # since the backup somebody may have said hold or skip
    again = restored()
    again.deliveries.recover(NOW)
    after = stepped(tmp_path, again, one.delivery.id, public, answer, PUBLISHED, PUBLISHED)
    assert (after.state, after.hold) == (DeliveryState.HELD, HoldKind.APPROVAL)
    assert "with it whether somebody had held or skipped this" in after.error
    # a word of now is one
    again.deliveries.word(after.id, E.WORD_RELEASE, {}, NOW)
    assert stepped(tmp_path, again, after.id, public, PUBLISHED).state is DeliveryState.DELIVERED


@pytest.mark.fault(29)
def test_a_word_to_send_again_is_not_followed_once_more_by_a_restored_journal(tmp_path, journal, restored):
    destination = FakeDestination()
    made = archived(journal)
    (one,) = journal.deliveries.of_dataset(made.id)
    answer_lost(journal, one.delivery)
    journal.deliveries.apply(one.delivery.id, Fact(E.HOLD, "not seen", hold=HoldKind.UNCONFIRMED), NOW)
    journal.deliveries.word(one.delivery.id, E.WORD_RETRY, {}, NOW)
    again = restored()
    not_yet = Outcome(E.POSTPONE, reason="does not show it yet", again_s=30.0)
    after = stepped(tmp_path, again, one.delivery.id, destination, *[not_yet] * 6)
    assert after.state is DeliveryState.UNCONFIRMED


@pytest.mark.fault(29)
def test_what_waits_behind_a_failed_namesake_that_may_have_been_sent_asks_for_somebody(tmp_path, journal, restored):
    destination = FakeDestination()
    destination.tells_apart = False
    failed = archived(journal, frames(name="a_1"))
    waits = archived(journal, frames(name="b_1", directory="other"), sha="f" * 64)
    (first,), (second,) = (journal.deliveries.of_dataset(one.id) for one in (failed, waits))
    journal.deliveries.apply(first.delivery.id, Fact(E.FAILED, "refused", attempt=True), NOW)
    again = restored()
    sends = destination.sending(Outcome(E.DELIVERED))
    after = stepped(tmp_path, again, second.delivery.id, destination, ABSENT, *[sends] * 5)
    assert (after.state, after.hold, destination.sends) == (DeliveryState.WAITING, HoldKind.NAMESAKE, 0)
    assert f"skip {failed.id}" in after.hint
    assert Rest(again).idle


@pytest.mark.fault(29)
def test_a_recovery_that_is_cut_short_costs_no_archive(tmp_path, journal):
    config = config_of(tmp_path)
    place = config.spool.path / "depositd-7"
    place.mkdir(parents=True)
    (place / "only_copy.tar.zst").write_bytes(b"data")
    record(journal, frames(), VerdictKind.COMPLETE, "one")
    journal.close()
    # the spool cannot be written at this moment
    (config.spool.path / "set-aside-20261121T021407Z").write_text("in the way")
    with pytest.raises(OSError, match="set-aside"):
        recover(config, "by hand", NOW, anew=True)
    # so nothing was put in place, and the next start finds the old journal, which knows what it knew
    assert (place / "only_copy.tar.zst").exists()
    with closing(Journal(tmp_path / FILE_NAME)) as again:
        assert again.datasets.get(1) is not None
