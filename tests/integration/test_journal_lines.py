"""What the journal gives to those who ask what is next, and what it knows of the spool."""

from datetime import timedelta

import pytest
from engine_support import NOW, an_archive, archived, frames, record
from engine_support import history as history_of

from depositd.journal import Fact, Journal, PackWait
from depositd.model import VerdictKind
from depositd.states import DeliveryEvent

E, K = DeliveryEvent, VerdictKind
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def journal(tmp_path):
    made = Journal(tmp_path / "journal.db")
    yield made
    assert made.database.problems() == []
    made.close()


def ids(found):
    return [one.id for one in found]


def sent_ids(found):
    return [one.delivery.id for one in found]


def test_what_ended_is_given_in_either_order_and_up_to_a_size(journal):
    for number in range(1, 5):
        kind = K.GAPPED if number == 3 else K.COMPLETE
        record(journal, frames(number, name=f"d_{number}"), kind, "one")
    assert ids(journal.datasets.packable(NOW)) == [1, 2, 3, 4]
    assert ids(journal.datasets.packable(NOW, newest_first=True)) == [4, 3, 2, 1]
    assert ids(journal.datasets.packable(NOW, 2)) == [1, 2]
    assert ids(journal.datasets.packable(NOW, 3, newest_first=True)) == [4, 3, 2]
    assert ids(journal.datasets.packable(NOW, at_most_bytes=300)) == [1, 2, 3]
    assert ids(journal.datasets.packable(NOW, at_most_bytes=0)) == []


def test_an_incomplete_dataset_that_several_want_is_given_once(journal):
    record(journal, frames(), K.GAPPED, "one", "two")
    assert ids(journal.datasets.packable(NOW)) == [1]


def test_what_is_sent_comes_in_either_order_and_what_was_put_off_in_turn_with_it(journal):
    for number in range(1, 6):
        archived(journal, frames(number, name=f"d_{number}"))
    for number, minutes in ((2, 1), (4, 2)):
        retry = Fact(E.POSTPONE, "503", retry_at=NOW - timedelta(minutes=minutes), failure=True)
        journal.deliveries.apply(number, retry, NOW)
    ask = journal.deliveries.sends_due
    assert sent_ids(ask(NOW, "one", 9)) == [1, 4, 3, 2, 5]
    assert sent_ids(ask(NOW, "one", 9, newest_first=True)) == [5, 4, 3, 2, 1]
    assert sent_ids(ask(NOW, "one", 2, newest_first=True)) == [5, 4]
    assert sent_ids(ask(NOW, "one", 9, at_most_bytes=300)) == [1, 2, 3]
    assert [one.dataset_bytes for one in ask(NOW, "one", 2)] == [100, 400]
    assert ask(NOW, "two", 9) == []


def test_questions_and_what_is_sent_are_two_lines(journal):
    for number in range(1, 5):
        archived(journal, frames(name=f"d_{number}"))
    journal.deliveries.apply(2, Fact(E.UPLOADED, remote_id="two"), NOW)
    journal.deliveries.apply(3, Fact(E.SUBMITTED, remote_id="three", retry_at=NOW - timedelta(minutes=1)), NOW)
    journal.deliveries.apply(4, Fact(E.SUBMITTED, remote_id="four", retry_at=LATER), NOW)
    assert sent_ids(journal.deliveries.asks_due(NOW, "one", 9)) == [2, 3]
    assert sent_ids(journal.deliveries.sends_due(NOW, "one", 9)) == [1]
    assert sent_ids(journal.deliveries.due(NOW)) == [1, 2, 3]


def test_strays_are_found_behind_any_number_of_others(journal):
    for number in range(1, 5):
        archived(journal, frames(name=f"d_{number}"))
    archived(journal, frames(name="stray"), "gone-from-config")
    assert sent_ids(journal.deliveries.due_elsewhere(NOW, ["one"], most=2)) == [5]
    assert journal.deliveries.due_elsewhere(NOW, ["one", "gone-from-config"]) == []


def test_a_reason_to_wait_whose_numbers_change_is_told_once(journal):
    record(journal, frames(), K.COMPLETE, "one")
    first, again = (PackWait(1, f"no room: {free} GB are free", f"{free}") for free in (3, 2))
    other = PackWait(1, "too large: 9 GB", "")
    assert journal.datasets.pack_waits([first], LATER, NOW) == [first]
    assert journal.datasets.pack_waits([again], LATER, NOW) == []
    dataset = journal.datasets.get(1)
    assert (dataset.pack_error, dataset.pack_hint, dataset.next_pack_at) == ("no room: 2 GB are free", "2", LATER)
    assert dataset.pack_failures == 0
    assert journal.datasets.pack_waits([other], LATER, NOW) == [other]
    assert history_of(journal, 1).count("archiving waits") == 2
    assert journal.datasets.packable(NOW) == []
    journal.datasets.pack_begins(1)
    dataset = journal.datasets.get(1)
    assert (dataset.pack_error, dataset.pack_hint, dataset.next_pack_at) == (None, None, None)
    assert ids(journal.datasets.packable(NOW)) == [1]


def test_the_spool_holds_what_was_archived_and_not_removed(journal):
    for number in range(1, 4):
        archived(journal, frames(name=f"d_{number}"), path=f"/spool/{number}")
    journal.datasets.archive_removed(2, "/spool/2", NOW)
    assert journal.spooled.sizes() == {1: 1234, 3: 1234}


def test_what_is_kept_is_what_every_delivery_of_is_over(journal):
    for number in range(1, 4):
        archived(journal, frames(name=f"d_{number}"), "one", "two", path=f"/spool/{number}")
    journal.deliveries.apply(1, Fact(E.DELIVERED), NOW)
    for delivery in (3, 4):
        journal.deliveries.apply(delivery, Fact(E.DELIVERED), NOW + timedelta(minutes=delivery))
    journal.deliveries.apply(5, Fact(E.DELIVERED), NOW)
    journal.deliveries.apply(6, Fact(E.FAILED, "no"), NOW)
    (kept,) = journal.spooled.kept()
    assert (kept.rule, kept.size_bytes, kept.ended_at) == ("r", 1234, NOW + timedelta(minutes=4))


def test_how_much_smaller_archives_are_is_known_by_rule_from_the_last_ones(journal):
    assert journal.spooled.shrinkage("r", 20).datasets == 0
    for number in range(1, 4):
        seen = record(journal, frames(30 * number, name=f"d_{number}"), K.COMPLETE, "one")
        when = NOW + timedelta(minutes=number)
        assert journal.datasets.archived(seen.id, seen.fingerprint, [an_archive(f"/spool/{number}")], when)
    shrinkage = journal.spooled.shrinkage("r", 2)
    assert (shrinkage.datasets, shrinkage.source_bytes, shrinkage.packed_bytes) == (2, 6000 + 9000, 2468)
    assert journal.spooled.shrinkage("other", 2).datasets == 0


def test_what_waits_behind_is_not_read(journal):
    questions = []
    with journal.database.reading() as connection:
        connection.set_trace_callback(questions.append)
        journal.datasets.packable(NOW, newest_first=True)
        journal.deliveries.sends_due(NOW, "one", 4, newest_first=True)
        journal.deliveries.asks_due(NOW, "one", 4)
        connection.set_trace_callback(None)
        plans = {
            question: [row["detail"] for row in connection.execute(f"EXPLAIN QUERY PLAN {question}")]
            for question in questions
        }
    assert len(plans) == 2 + 2 + 6
    for question, plan in plans.items():
        assert not any(line.startswith("SCAN d") or line == "SCAN deliveries" for line in plan), (question, plan)
        is_sorted = any("TEMP B-TREE FOR ORDER BY" in line for line in plan)
        assert is_sorted is ("datasets_incomplete" in question), (question, plan)
