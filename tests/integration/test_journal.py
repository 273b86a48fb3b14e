"""The journal in a real file: every fact, every word, and what becomes of it when things go wrong."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from engine_support import NOW, ROOT, an_archive, archived, changed, frames, history, record, sighting
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from mounts_support import run_on_tmpfs

from depositd.errors import IllegalTransition, JournalError
from depositd.journal import Fact, Journal, Pause, PlannedDelivery, Progress, SourceStatus, refuse_network_file_system
from depositd.model import (
    DatasetState,
    DeliveryState,
    FileKind,
    FileStat,
    Frames,
    HoldKind,
    Member,
    Packing,
    Verdict,
    VerdictKind,
)
from depositd.states import DELIVERY_TRANSITIONS, ENDED, DatasetEvent, DeliveryEvent

K, S, E, H = VerdictKind, DeliveryState, DeliveryEvent, HoldKind
LATER = NOW + timedelta(hours=1)


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.db")
    yield opened
    assert opened.database.problems() == []
    opened.close()


def delivery_of(journal, record_, number=0):
    return journal.deliveries.of_dataset(record_.id)[number].delivery


def apply(journal, delivery, event, **fact):
    return journal.deliveries.apply(delivery.id, Fact(event, **fact), NOW)


def word(journal, delivery, event, **values):
    return journal.deliveries.word(delivery.id, event, values, NOW)


# datasets


def test_a_dataset_grows_ends_and_is_archived(journal):
    growing = record(journal, frames(2), K.GROWING, "one", "two:manual")
    assert (growing.state, growing.completed_at, growing.generation) == (DatasetState.GROWING, None, 1)
    assert journal.datasets.growing() == 0
    journal.surroundings.source(SourceStatus(ROOT, "watched", "sweeps alone"))
    assert journal.datasets.growing() == 1
    journal.surroundings.source(SourceStatus(ROOT, "unavailable", "not watched"))
    assert journal.datasets.growing() == 0
    assert journal.datasets.packable(NOW) == []
    complete = record(journal, frames(3), K.COMPLETE)
    assert (complete.id, complete.state, complete.file_count, complete.size_bytes) == (1, DatasetState.COMPLETE, 3, 300)
    assert journal.datasets.files(complete.id) == frames(3).files
    assert [one.id for one in journal.datasets.packable(NOW)] == [complete.id]
    assert journal.datasets.archived(complete.id, complete.fingerprint, [an_archive()], NOW)
    assert journal.datasets.get(1).state is DatasetState.ARCHIVED
    assert journal.datasets.packable(NOW) == []
    assert history(journal, 1) == ["seen", "completed", "archived"]
    assert [one.approve for one in journal.deliveries.of_dataset(1)] == ["auto", "manual"]


def test_a_second_look_at_the_same_changes_nothing(journal):
    record(journal, frames(), K.COMPLETE)
    again = journal.datasets.record(sighting(frames()), [], LATER)
    assert (again.event, again.is_new) == (None, False)
    assert again.record.completed_at == NOW
    assert history(journal, 1) == ["seen", "completed"]


def test_after_a_restart_an_ended_dataset_that_has_not_changed_has_still_ended(journal):
    record(journal, frames(), K.COMPLETE)
    again = journal.datasets.record(sighting(frames(), K.GROWING), [], LATER)
    assert (again.event, again.record.state, again.record.verdict) == (None, DatasetState.COMPLETE, "complete")


def test_an_ended_dataset_that_changes_grows_again(journal):
    record(journal, frames(2), K.COMPLETE)
    again = journal.datasets.record(sighting(frames(3), K.GROWING), [], LATER)
    assert (again.event, again.record.state, again.is_new) == (DatasetEvent.CHANGED, DatasetState.GROWING, False)


@pytest.mark.parametrize("kind", [K.TRUNCATED, K.GAPPED, K.ABORTED, K.CORRUPT])
def test_what_ended_but_is_not_whole_is_incomplete_and_packed_only_where_a_delivery_is_let_through(journal, kind):
    first = record(journal, frames(), kind, "one")
    assert (first.state, first.verdict) == (DatasetState.INCOMPLETE, kind)
    apply(journal, delivery_of(journal, first), E.HOLD, hold=H.INCOMPLETE, reason="gapped")
    assert journal.datasets.packable(NOW) == []
    word(journal, delivery_of(journal, first), E.WORD_RELEASE)
    assert H.INCOMPLETE in journal.deliveries.of_dataset(first.id)[0].consents
    assert [one.id for one in journal.datasets.packable(NOW)] == [first.id]
    assert journal.datasets.archived(first.id, first.fingerprint, [an_archive()], NOW)
    journal.deliveries.withdraw_consent(first.id, H.INCOMPLETE)
    assert journal.deliveries.of_dataset(first.id)[0].consents == {H.APPROVAL}


def test_an_archived_dataset_that_changes_is_a_new_generation_beside_the_old(journal):
    archived(journal, frames(2))
    again = journal.datasets.record(sighting(frames(3), K.GROWING), [PlannedDelivery("one", "auto")], LATER)
    assert (again.record.id, again.record.generation, again.is_new) == (2, 2, True)
    assert journal.datasets.get(1).current is False
    assert journal.datasets.get(1).state is DatasetState.ARCHIVED
    assert journal.datasets.find(ROOT, frames()).id == 2
    assert "generation 2" in journal.view.show(2)["history"][0]["detail"]
    journal.deliveries.set_aside_superseded(LATER)
    assert delivery_of(journal, journal.datasets.get(1)).state is S.SKIPPED
    assert delivery_of(journal, again.record).state is S.WAITING


def test_a_superseded_delivery_that_may_have_been_sent_is_not_set_aside(journal):
    first = archived(journal, frames(2))
    journal.deliveries.begin_send(delivery_of(journal, first).id, {}, NOW)
    record(journal, frames(3), K.GROWING, "one")
    journal.deliveries.set_aside_superseded(LATER)
    assert delivery_of(journal, first).state is S.WAITING


def test_what_a_clean_up_leaves_of_an_archived_dataset_is_no_new_generation(journal):
    first = archived(journal, frames(3))
    again = journal.datasets.record(sighting(changed(frames(), *frames(3).files[:1]), K.GROWING), [], LATER)
    assert (again.record.id, again.event) == (first.id, None)


def test_a_part_that_cannot_be_seen_for_a_while_is_no_new_generation(journal):
    first = archived(journal, frames(3))
    locked = FileStat("run/below", 0, 0, kind=FileKind.UNREADABLE)
    again = journal.datasets.record(sighting(changed(frames(), frames(3).files[0], locked), K.CORRUPT), [], LATER)
    assert again.record.id == first.id


def test_gone_and_back_with_the_same_files(journal):
    first = record(journal, frames(), K.COMPLETE, "one")
    assert [one.id for one in journal.datasets.vanish([first.id], NOW)] == [first.id]
    assert journal.datasets.vanish([first.id], NOW) == []
    assert journal.datasets.get(first.id).state is DatasetState.GONE
    back = journal.datasets.record(sighting(frames(), K.GROWING), [], LATER)
    assert (back.event, back.record.state) == (DatasetEvent.CHANGED, DatasetState.GROWING)


def test_what_is_back_and_judged_whole_at_once_is_complete(journal):
    first = record(journal, frames(), K.COMPLETE, "one")
    journal.datasets.vanish([first.id], NOW)
    back = journal.datasets.record(sighting(frames(), K.COMPLETE), [], LATER)
    assert (back.event, back.record.state) == (DatasetEvent.COMPLETED, DatasetState.COMPLETE)
    assert history(journal, first.id)[-2:] == ["changed", "completed"]


AT_TWO, AT_THREE = "2026-11-21T02:00:00.000", "2026-11-21T03:30:00.000"


def look(journal, dataset, origin, kind=K.GROWING):
    planned = [PlannedDelivery("one", "auto")]
    return journal.datasets.record(replace(sighting(dataset, kind), origin=origin), planned, LATER)


@pytest.mark.parametrize("kind", [K.GROWING, K.COMPLETE, K.GAPPED])
def test_an_acquisition_that_is_begun_again_before_it_was_archived_is_a_new_generation(journal, kind):
    look(journal, frames(5), AT_TWO, kind)
    again = look(journal, frames(1), AT_THREE)
    assert (again.record.id, again.record.generation, again.is_new) == (2, 2, True)
    first = journal.datasets.get(1)
    assert (first.state, first.current, again.overwritten.id) == (DatasetState.GONE, False, 1)
    detail = journal.view.show(1)["history"][-1]["detail"]
    assert detail == (
        f"overwritten by another acquisition under the same name ({AT_THREE}, before: {AT_TWO}); last seen: 5 files"
    )
    assert (
        "generation 2: the acquisition was begun again under the same name"
        in (journal.view.show(2)["history"][0]["detail"])
    )
    assert journal.datasets.find(ROOT, frames()).id == 2


INODES = ("inode 7 of lyso_1_00001.cbf", "inode 8 of lyso_1_00001.cbf")


@pytest.mark.parametrize(
    ("before", "after", "again"),
    [
        (AT_TWO, AT_THREE, True),
        (AT_THREE, AT_TWO, False),  # the first frame came late
        (AT_TWO, "2026-11-21T02:00:59.000", False),
        (AT_TWO, "2026-11-21T02:01:01.000", True),
        (AT_TWO, "2026-11-21T03:00:30.000", False),  # the clock of summer time
        (*INODES, True),
        (INODES[0], INODES[0], False),
        (INODES[0], "inode 6 of lyso_1_00000.cbf", False),  # another first frame came late
        (INODES[0], AT_THREE, False),  # a mixture of both says nothing
        (AT_THREE, INODES[0], False),
        (None, AT_THREE, False),
        (AT_TWO, None, False),
    ],
)
def test_what_tells_one_acquisition_from_another(journal, before, after, again):
    look(journal, frames(5), before)
    recorded = look(journal, frames(6), after)
    assert (recorded.record.generation, recorded.overwritten is not None) == ((2, True) if again else (1, False))


def test_what_is_not_known_for_a_moment_is_not_forgotten(journal):
    look(journal, frames(5), AT_TWO)
    look(journal, frames(6), None)
    assert look(journal, frames(2), AT_THREE).record.generation == 2


def test_the_same_files_are_the_same_acquisition_whatever_is_said_of_them(journal):
    look(journal, frames(5), INODES[0])
    assert look(journal, frames(5), INODES[1]).record.generation == 1


def test_a_restart_after_archiving_is_a_new_generation_and_the_old_one_stays_archived(journal):
    first = look(journal, frames(5), AT_TWO, K.COMPLETE).record
    assert journal.datasets.archived(first.id, first.fingerprint, [an_archive()], NOW)
    again = look(journal, frames(1, size=101), AT_THREE)
    assert (again.record.generation, again.overwritten) == (2, None)
    assert journal.datasets.get(1).state is DatasetState.ARCHIVED
    journal.deliveries.set_aside_superseded(LATER)
    assert delivery_of(journal, first).state is S.SKIPPED


def test_a_restart_after_delivery_leaves_what_was_delivered(journal):
    first = look(journal, frames(5), AT_TWO, K.COMPLETE).record
    assert journal.datasets.archived(first.id, first.fingerprint, [an_archive()], NOW)
    apply(journal, delivery_of(journal, first), E.DELIVERED)
    again = look(journal, frames(1, size=101), AT_THREE)
    journal.deliveries.set_aside_superseded(LATER)
    assert delivery_of(journal, first).state is S.DELIVERED
    assert delivery_of(journal, again.record).state is S.WAITING


def test_another_acquisition_in_the_place_of_one_that_vanished_is_not_the_old_one_come_back(journal):
    first = look(journal, frames(5), AT_TWO, K.COMPLETE).record
    journal.datasets.vanish([first.id], NOW)
    back = changed(frames(), *(file._replace(mtime_ns=99) for file in frames(5).files))
    again = look(journal, back, AT_THREE, K.COMPLETE)
    assert (again.record.id, again.record.generation, again.overwritten) == (2, 2, None)
    assert history(journal, 1) == ["seen", "completed", "vanished"]


def test_two_restarts_are_three_generations(journal):
    for generation, hour in enumerate((2, 4, 6), 1):
        recorded = look(journal, frames(generation), f"2026-11-21T0{hour}:00:00", K.COMPLETE)
        assert recorded.record.generation == generation
    assert [journal.datasets.get(number).current for number in (1, 2, 3)] == [False, False, True]


def test_an_archived_dataset_does_not_vanish(journal):
    first = archived(journal)
    assert journal.datasets.vanish([first.id], NOW) == []


def test_condemned_content_stays_corrupt_until_it_changes(journal):
    first = record(journal, frames(), K.COMPLETE, "one")
    journal.datasets.condemn(first.id, "frame 2 contradicts its checksum", NOW)
    assert (journal.datasets.get(1).state, journal.datasets.get(1).verdict) == (DatasetState.INCOMPLETE, "corrupt")
    assert journal.datasets.record(sighting(frames()), [], LATER).event is None
    assert journal.datasets.get(1).evidence == ("frame 2 contradicts its checksum",)
    mended = journal.datasets.record(sighting(frames(size=101)), [], LATER)
    assert (mended.event, mended.record.state) == (DatasetEvent.COMPLETED, DatasetState.COMPLETE)


@pytest.mark.parametrize("moved", ["changed", "vanish"])
def test_condemned_content_that_grew_or_was_away_meanwhile_ends_as_corrupt_again(journal, moved):
    first = record(journal, frames(), K.COMPLETE, "one")
    journal.datasets.condemn(first.id, "frame 2 contradicts its checksum", NOW)
    if moved == "changed":
        journal.datasets.changed(first.id, "it was replaced", NOW)
    else:
        journal.datasets.vanish([first.id], NOW)
    again = journal.datasets.record(sighting(frames()), [], LATER)
    assert (again.record.state, again.record.verdict) == (DatasetState.INCOMPLETE, "corrupt")


def test_an_archive_of_something_else_is_refused(journal):
    first = record(journal, frames(), K.COMPLETE, "one")
    assert not journal.datasets.archived(first.id, "another fingerprint", [an_archive()], NOW)
    journal.datasets.changed(first.id, "it grew", NOW)
    assert not journal.datasets.archived(first.id, first.fingerprint, [an_archive()], NOW)
    assert journal.datasets.archive(first.id) is None


def test_archiving_waits_and_says_why_once(journal):
    first = record(journal, frames(), K.COMPLETE, "one")
    for _ in range(3):
        journal.datasets.pack_failed(first.id, "the spool is full", "make space", LATER, NOW)
    assert journal.datasets.packable(NOW) == []
    assert [one.id for one in journal.datasets.packable(LATER)] == [first.id]
    assert history(journal, first.id).count("archiving waits") == 1
    shown = journal.view.show(first.id)["waits_for"]
    assert shown == {"reason": "the spool is full", "hint": "make space", "next_attempt_at": "2026-11-21T03:14:07Z"}
    assert journal.datasets.get(first.id).pack_failures == 3
    assert journal.datasets.archived(first.id, first.fingerprint, [an_archive()], NOW)
    assert (journal.datasets.get(first.id).pack_failures, journal.datasets.get(first.id).pack_error) == (0, None)


def test_a_lost_archive_is_built_again_and_its_hashes_stay_known(journal):
    first = archived(journal)
    journal.datasets.archive_lost(first.id, "the file is gone", NOW)
    assert journal.datasets.get(first.id).state is DatasetState.COMPLETE
    kept = journal.datasets.archive(first.id)
    assert (kept.path, kept.sha256) == ("", "a" * 64)
    assert journal.datasets.spool_paths() == set()
    assert [one.id for one in journal.datasets.unsettled_of(ROOT)] == [first.id]


def test_each_packing_is_kept_by_itself(journal):
    first = record(journal, frames(1), K.COMPLETE, "one")
    both = [an_archive(packing=Packing.FILE, path="/spool/x.raw", sha="f" * 64), an_archive()]
    assert journal.datasets.archived(first.id, first.fingerprint, both, NOW)
    assert journal.datasets.archive(first.id, Packing.FILE).sha256 == "f" * 64
    assert journal.datasets.archive(first.id).sha256 == "a" * 64
    assert journal.view.status()["datasets"][0]["archive"]["name"] == "lyso_1.tar.zst"


def test_files_members_and_frames_come_back_as_they_were(journal):
    odd = FileStat("run/a\udcff\n", 2**40, -5, 6, 7, 8, FileKind.SYMLINK)
    dataset = changed(frames(), odd, *frames().files)
    seen = sighting(dataset)
    verdict = Verdict(K.GAPPED, ("one", "two"), Frames(3, 5, (2, 4)))
    first = journal.datasets.record(replace(seen, verdict=verdict), [PlannedDelivery("one", "auto")], NOW).record
    assert journal.datasets.files(first.id) == dataset.files
    assert first.frames == Frames(3, 5, (2, 4))
    member = Member("lyso/a\udcff", 5, 6, "d" * 64)
    assert journal.datasets.archived(first.id, first.fingerprint, [replace(an_archive(), members=(member,))], NOW)
    assert journal.datasets.archive(first.id).members == (member,)


def test_names_that_are_not_utf8_are_found_again_and_shown(journal):
    dataset = frames(name="l\udcff\n_1", directory="ru\udcfe")
    first = record(journal, dataset, K.COMPLETE, "one")
    assert journal.datasets.find(ROOT, dataset).name == "l\udcff\n_1"
    assert [one.id for one in journal.datasets.at_path(f"{ROOT}/ru\udcfe")] == [first.id]
    assert journal.view.status()["datasets"][0]["path"] == f"{ROOT}/ru\udcfe"


def test_the_same_place_below_two_roots_is_one_dataset(journal):
    record(journal, frames(directory="visitor/run"), K.GROWING, root="/data")
    again = record(journal, frames(directory="run"), K.COMPLETE, root="/data/visitor")
    assert again.id == 1


def test_retention_finds_what_ended_well_and_long_ago(journal):
    first = archived(journal, frames(), "one", "two")
    one, two = (standing.delivery for standing in journal.deliveries.of_dataset(first.id))
    apply(journal, one, E.DELIVERED)
    assert journal.datasets.rules_with_archives() == ["r"]
    assert journal.datasets.removable_archives("r", LATER) == []
    apply(journal, two, E.FAILED, reason="refused")
    assert journal.datasets.removable_archives("r", LATER) == []
    word(journal, two, E.WORD_SKIP)
    assert journal.datasets.removable_archives("r", NOW - timedelta(seconds=1)) == []
    assert journal.datasets.removable_archives("other", LATER) == []
    ((dataset_id, archive),) = journal.datasets.removable_archives("r", LATER)
    journal.datasets.archive_removed(dataset_id, archive.path, LATER)
    assert journal.datasets.removable_archives("r", LATER) == []
    assert journal.datasets.rules_with_archives() == []
    assert history(journal, first.id)[-1] == "archive removed"


def test_the_history_can_only_grow(journal):
    record(journal, frames(), K.COMPLETE)
    with pytest.raises(JournalError, match="append-only"), journal.database.transaction() as connection:
        connection.execute("UPDATE history SET detail = 'nothing happened'")
    with pytest.raises(JournalError, match="append-only"), journal.database.transaction() as connection:
        connection.execute("DELETE FROM history")
    assert history(journal, 1) == ["seen", "completed"]


# deliveries


def test_a_delivery_goes_its_way_and_each_step_is_told(journal):
    first = archived(journal)
    delivery = delivery_of(journal, first)
    assert [one.delivery.id for one in journal.deliveries.due(NOW)] == [delivery.id]
    assert journal.deliveries.begin_send(delivery.id, {"runs": 3}, NOW)
    assert delivery_of(journal, first).sent_at == NOW
    assert delivery_of(journal, first).baseline == {"runs": 3}
    uploaded = apply(journal, delivery, E.UPLOADED, remote_id="token", remote_status="uploaded", attempt=True)
    assert (uploaded.state, uploaded.sent_at, uploaded.attempts) == (S.UPLOADED, None, 1)
    apply(journal, delivery, E.SUBMITTED, remote_status="queued", retry_at=LATER)
    assert journal.deliveries.due(NOW) == []
    done = apply(journal, delivery, E.DELIVERED, remote_status="published", reason="it is there")
    assert (done.state, done.remote_id, done.remote_status, done.error) == (S.DELIVERED, "token", "published", None)
    assert history(journal, first.id)[-4:] == ["sending", "uploaded", "submitted", "delivered"]
    assert journal.deliveries.counts() == {S.DELIVERED: 1}
    assert journal.deliveries.unfinished() == []


def test_a_failure_is_waited_out_and_counts(journal):
    first = archived(journal)
    delivery = delivery_of(journal, first)
    for count in (1, 2):
        waiting = apply(
            journal, delivery, E.POSTPONE, reason="503", hint="later", retry_at=LATER, attempt=True, failure=True
        )
        assert (waiting.state, waiting.failures, waiting.attempts) == (S.WAITING, count, count)
    assert (waiting.error, waiting.hint, waiting.next_attempt_at) == ("503", "later", LATER)
    assert journal.deliveries.due(NOW) == []
    assert len(journal.deliveries.due(LATER)) == 1
    assert apply(journal, delivery, E.POSTPONE).failures == 0


def test_those_due_longest_come_first_and_waiting_ones_need_their_archive(journal):
    first = archived(journal, frames(name="a_1"), "one", "two", "three")
    one, two, three = (standing.delivery for standing in journal.deliveries.of_dataset(first.id))
    apply(journal, one, E.POSTPONE, retry_at=NOW - timedelta(minutes=1))
    apply(journal, two, E.POSTPONE, retry_at=NOW - timedelta(minutes=2))
    assert [due.delivery.id for due in journal.deliveries.due(NOW)] == [three.id, two.id, one.id]
    apply(journal, two, E.LOST)
    journal.datasets.archive_lost(first.id, "gone", NOW)
    assert [due.delivery.id for due in journal.deliveries.due(NOW)] == [two.id]


def test_an_operators_word_that_comes_before_the_first_byte_stops_the_send(journal):
    delivery = delivery_of(journal, archived(journal))
    word(journal, delivery, E.WORD_HOLD)
    assert not journal.deliveries.begin_send(delivery.id, {}, NOW)
    assert journal.deliveries.get(delivery.id).delivery.sent_at is None


@pytest.mark.parametrize("said", [E.WORD_HOLD, E.WORD_SKIP])
def test_a_word_during_a_send_keeps_what_the_send_made_true(journal, said):
    first = archived(journal)
    delivery = delivery_of(journal, first)
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    spoken = word(journal, delivery, said)
    uploaded = apply(journal, delivery, E.UPLOADED, remote_id="token", remote_status="uploaded")
    assert (uploaded.state, uploaded.remote_id, uploaded.sent_at) == (spoken.state, "token", None)
    assert (uploaded.error, uploaded.hold) == (spoken.error, spoken.hold)


@pytest.mark.parametrize("said", [E.WORD_HOLD, E.WORD_SKIP])
@pytest.mark.parametrize("lost", [E.LOST, None])
def test_a_lost_answer_is_not_forgotten_by_hold_or_skip_and_release(journal, said, lost):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    word(journal, delivery, said)
    if lost:
        apply(journal, delivery, lost, reason="the answer was lost")
    released = word(journal, delivery, E.WORD_RELEASE)
    assert (released.state, released.sent_at) == (S.WAITING, NOW)


def test_retry_during_a_send_does_not_make_it_forgotten(journal):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    assert word(journal, delivery, E.WORD_RETRY).sent_at == NOW
    assert [one.state for one in journal.deliveries.recover(NOW)] == [S.UNCONFIRMED]


def test_retry_of_an_unconfirmed_delivery_asks_at_once_and_sends_nothing(journal):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    apply(journal, delivery, E.LOST, retry_at=LATER, attempt=True, failure=True)
    asked = word(journal, delivery, E.WORD_RETRY)
    assert (asked.state, asked.sent_at, asked.next_attempt_at, asked.failures) == (S.UNCONFIRMED, NOW, None, 0)


@pytest.mark.parametrize("said", [E.WORD_RETRY, E.WORD_RELEASE])
def test_a_send_that_nobody_could_confirm_is_repeated_only_by_a_word(journal, said):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    apply(journal, delivery, E.LOST)
    held = apply(journal, delivery, E.HOLD, hold=H.UNCONFIRMED, reason="no new run within 30 min")
    assert (held.state, held.sent_at) == (S.HELD, NOW)
    again = word(journal, delivery, said)
    # it is asked for once more before anything is sent
    assert (again.state, again.sent_at) == (S.WAITING, NOW)
    assert H.UNCONFIRMED in journal.deliveries.get(delivery.id).consents


@pytest.mark.parametrize("said", [E.WORD_HOLD, E.WORD_SKIP])
def test_what_could_not_be_asked_while_a_word_came_is_still_in_doubt(journal, said):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    apply(journal, delivery, E.LOST)
    word(journal, delivery, said)
    apply(journal, delivery, E.POSTPONE, reason="no connection", in_doubt=True)
    assert word(journal, delivery, E.WORD_RELEASE).sent_at == NOW


def test_a_refused_question_leaves_the_doubt(journal):
    delivery = delivery_of(journal, archived(journal))
    journal.deliveries.begin_send(delivery.id, {}, NOW)
    apply(journal, delivery, E.LOST)
    failed = apply(journal, delivery, E.FAILED, reason="400", in_doubt=True)
    assert failed.sent_at == NOW
    assert word(journal, delivery, E.WORD_RETRY).sent_at == NOW


@pytest.mark.parametrize("kind", [H.OPERATOR, H.APPROVAL, H.METADATA, H.INCOMPLETE, H.CHANGED, H.DUPLICATE])
def test_retry_does_not_free_what_asks_for_a_release(journal, kind):
    delivery = delivery_of(journal, archived(journal))
    apply(journal, delivery, E.HOLD, hold=kind, reason="because")
    with pytest.raises(IllegalTransition, match="retry does not free it") as refused:
        word(journal, delivery, E.WORD_RETRY)
    assert refused.value.hint == "depositd release 1"
    released = word(journal, delivery, E.WORD_RELEASE)
    assert (released.state, released.hold, released.error) == (S.WAITING, None, None)
    assert journal.deliveries.get(delivery.id).consents == {kind, H.APPROVAL}


def test_release_carries_values_that_add_up(journal):
    delivery = delivery_of(journal, archived(journal))
    apply(journal, delivery, E.HOLD, hold=H.METADATA)
    word(journal, delivery, E.WORD_RELEASE, pdb_code="1ABC", title="x")
    assert word(journal, delivery, E.WORD_RELEASE, title="y").values == {"pdb_code": "1ABC", "title": "y"}
    assert "title=y" in journal.view.show(1)["history"][-1]["detail"]


def test_a_yes_to_what_the_server_said_counts_for_that_alone(journal):
    delivery = delivery_of(journal, archived(journal))
    apply(journal, delivery, E.HOLD, hold=H.SERVER, reason="an entry exists", remote_id="token")
    assert word(journal, delivery, E.WORD_RELEASE).released == "an entry exists"
    again = apply(journal, delivery, E.HOLD, hold=H.SERVER, reason="something else")
    assert (again.released, again.remote_id) == (None, "token")


@pytest.mark.parametrize("event", [E.WORD_HOLD, E.WORD_RELEASE, E.WORD_RETRY, E.WORD_SKIP])
def test_a_word_that_comes_too_late_is_refused_in_a_sentence_and_changes_nothing(journal, event):
    delivery = delivery_of(journal, archived(journal))
    apply(journal, delivery, E.DELIVERED)
    before = history(journal, 1)
    with pytest.raises(IllegalTransition, match=f"the delivery to one is delivered: {event} changes nothing"):
        word(journal, delivery, event)
    assert history(journal, 1) == before


def test_after_a_crash_every_send_without_an_answer_is_unconfirmed(journal):
    first = archived(journal, frames(), "one", "two", "three")
    one, two, _three = (standing.delivery for standing in journal.deliveries.of_dataset(first.id))
    journal.deliveries.begin_send(one.id, {}, NOW)
    journal.deliveries.begin_send(two.id, {}, NOW)
    apply(journal, two, E.UPLOADED)
    (lost,) = journal.deliveries.recover(LATER)
    assert (lost.id, lost.state, lost.sent_at, lost.attempts) == (one.id, S.UNCONFIRMED, NOW, 1)
    assert journal.deliveries.recover(LATER) == []


@pytest.mark.fault(30)
def test_a_jump_of_the_clock_does_not_make_a_wait_longer_than_any_backoff(journal):
    first = archived(journal, frames(), "one", "two")
    one, two = (standing.delivery for standing in journal.deliveries.of_dataset(first.id))
    apply(journal, one, E.POSTPONE, retry_at=NOW + timedelta(days=365))
    apply(journal, two, E.POSTPONE, retry_at=NOW + timedelta(minutes=1))
    other = record(journal, frames(name="b_1"), K.COMPLETE, "one")
    journal.datasets.pack_failed(other.id, "full", "", NOW + timedelta(days=365), NOW)
    journal.deliveries.clamp_waits(NOW, 3600)
    assert journal.deliveries.get(one.id).delivery.next_attempt_at == LATER
    assert journal.deliveries.get(two.id).delivery.next_attempt_at == NOW + timedelta(minutes=1)
    assert journal.datasets.get(other.id).next_pack_at == LATER


def test_the_same_bytes_are_known_at_the_same_destination_once_they_may_have_been_sent(journal):
    first = archived(journal, frames(name="a_1"), "one", "two")
    second = archived(journal, frames(name="b_1"), "one")
    mine = delivery_of(journal, second)
    assert journal.deliveries.same_content(mine, "a" * 64, ["one"]) is None
    apply(journal, delivery_of(journal, first, 1), E.DELIVERED)
    assert journal.deliveries.same_content(mine, "a" * 64, ["one"]) is None
    journal.deliveries.begin_send(delivery_of(journal, first).id, {}, NOW)
    assert journal.deliveries.same_content(mine, "a" * 64, ["one"]).dataset_id == first.id
    apply(journal, delivery_of(journal, first), E.DELIVERED)
    assert journal.deliveries.same_content(mine, "a" * 64, ["one"]).dataset_id == first.id
    assert journal.deliveries.same_content(mine, "e" * 64, ["one"]) is None
    assert journal.deliveries.same_content(delivery_of(journal, first), "a" * 64, ["one"]) is None


def test_an_earlier_generation_is_known_once_it_may_have_been_sent(journal):
    first = archived(journal, frames(2))
    second = record(journal, frames(3), K.COMPLETE, "one")
    assert journal.deliveries.earlier_generation(delivery_of(journal, second)) is None
    apply(journal, delivery_of(journal, first), E.DELIVERED)
    assert journal.deliveries.earlier_generation(delivery_of(journal, second)).dataset_id == first.id
    assert journal.deliveries.earlier_generation(delivery_of(journal, first)) is None


def test_a_delivery_by_hand_is_added_once_and_given_the_values(journal):
    first = record(journal, frames(), K.COMPLETE, "one:manual", rule="")
    added = journal.deliveries.add(first.id, "two", {"pdb_code": "1ABC"}, NOW)
    assert (added.state, added.values) == (S.WAITING, {"pdb_code": "1ABC"})
    assert journal.deliveries.add(first.id, "two", {"title": "x"}, NOW).values == {"pdb_code": "1ABC", "title": "x"}
    released = journal.deliveries.add(first.id, "one", {}, NOW)
    assert journal.deliveries.get(released.id).consents == {H.APPROVAL}
    assert len(journal.deliveries.of_dataset(first.id)) == 2


def test_the_view_is_the_contracts_json(journal):
    first = archived(journal, frames(), "one", "two")
    delivery = delivery_of(journal, first)
    journal.surroundings.pause(Pause("two", "two is paused: 401", "mend it", NOW, 1, LATER))
    journal.surroundings.source(SourceStatus(ROOT, "watched", "sweeps alone", None, NOW, 3, 0.1))
    journal.surroundings.progress(Progress("delivery 1", "sending", 5, 10, NOW))
    (shown,) = journal.view.status()["datasets"]
    assert list(shown)[:4] == ["id", "name", "rule", "format"]
    assert {"state", "verdict", "evidence", "files", "bytes", "frames", "first_seen", "completed_at"} <= shown.keys()
    assert shown["archive"] == {
        "path": "/spool/lyso_1.tar.zst",
        "name": "lyso_1.tar.zst",
        "bytes": 1234,
        "md5": "b" * 32,
        "inner_md5": "c" * 32,
        "sha256": "a" * 64,
        "packing": "archive",
        "level": None,
        "why": "",
    }
    assert shown["deliveries"][0]["error"] is None
    assert shown["deliveries"][1]["error"] == "two is paused: 401"
    assert shown["first_seen"] == "2026-11-21T02:14:07Z"
    status = journal.view.status()
    assert [one["name"] for one in status["destinations"]] == ["two"]
    assert [one["path"] for one in status["sources"]] == [ROOT]
    assert [one["done_bytes"] for one in status["transfers"]] == [5]
    apply(journal, delivery, E.FAILED, reason="gone wrong")
    record(journal, frames(5), K.GROWING, "one")
    assert [one["generation"] for one in journal.view.status()["datasets"]] == [1, 2]
    assert journal.view.show(99) is None
    assert len(list(journal.view.everything())) == 2


def test_a_pause_is_said_once_and_begins_when_it_began(journal):
    pause = Pause("one", "401", "mend it", NOW, 1, LATER)
    assert journal.surroundings.pause(pause) is True
    assert journal.surroundings.pause(replace(pause, since=LATER, failures=2)) is False
    assert journal.surroundings.pauses()["one"].since == NOW
    assert journal.surroundings.resume("one") is True
    assert journal.surroundings.resume("one") is False
    assert journal.surroundings.pauses() == {}


def test_sources_and_transfers_are_forgotten(journal):
    for root in ("/a", "/b\udcff"):
        journal.surroundings.source(SourceStatus(root, "watched", "events"))
    journal.surroundings.forget_sources({"/b\udcff"})
    assert [one.root for one in journal.surroundings.sources()] == ["/b\udcff"]
    for number in (1, 2):
        journal.surroundings.progress(Progress(f"delivery {number}", "x", 1, 2, NOW))
    journal.surroundings.progress_ended("delivery 1")
    assert [one.subject for one in journal.surroundings.transfers()] == ["delivery 2"]
    journal.surroundings.progress_ended()
    assert journal.surroundings.transfers() == []


def test_an_illegal_fact_changes_nothing(journal):
    first = archived(journal)
    before = journal.view.show(first.id)
    with pytest.raises(IllegalTransition):
        apply(journal, delivery_of(journal, first), E.CLEAR, reason="never")
    assert journal.view.show(first.id) == before


# the file


def pragma(path, name):
    with sqlite3.connect(path) as connection:
        value = connection.execute(f"PRAGMA {name}").fetchone()[0]
    connection.close()
    return value


@pytest.mark.fault(27)
def test_every_commit_is_on_the_disk_before_it_is_acknowledged(journal, tmp_path):
    with journal.database.reading() as connection:
        assert connection.execute("PRAGMA synchronous").fetchone()[0] == 2
        assert connection.execute("PRAGMA foreign_keys").fetchone()[0] == 1
    assert pragma(tmp_path / "journal.db", "journal_mode") == "wal"
    assert (tmp_path / "journal.db").stat().st_mode & 0o777 == 0o600


def test_an_exception_undoes_all_of_a_transaction(journal):
    def broken():
        with journal.database.transaction() as connection:
            connection.execute("INSERT INTO progress VALUES ('x', 'y', 1, 2, '2026')")
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        broken()
    assert journal.surroundings.transfers() == []


def test_what_belongs_together_becomes_true_at_once_or_not_at_all(journal):
    def half_done():
        with journal.database.transaction():
            record(journal, frames(), K.COMPLETE, "one")
            assert len(journal.view.status()["datasets"]) == 1
            raise RuntimeError("in the middle")

    with pytest.raises(RuntimeError):
        half_done()
    assert journal.view.status()["datasets"] == []
    with journal.database.transaction():
        record(journal, frames(), K.COMPLETE, "one")
    assert len(journal.view.status()["datasets"]) == 1


def test_a_fact_inside_a_reading_is_refused_and_not_lost_in_silence(journal):
    with journal.database.reading(), pytest.raises(JournalError, match="within a transaction"):
        journal.surroundings.progress_ended()
    assert journal.view.status()["datasets"] == []


def test_a_newer_journal_is_refused_also_for_reading(tmp_path):
    path = tmp_path / "journal.db"
    Journal(path).close()
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    for read_only in (False, True):
        with pytest.raises(
            JournalError, match=r"was written by a newer depositd .schema 99, this one knows"
        ) as refused:
            Journal(path, read_only=read_only)
        assert "install that version again" in refused.value.hint
    assert pragma(path, "user_version") == 99


@pytest.mark.parametrize("damage", ["text", "page"])
def test_a_damaged_journal_is_refused_with_a_sentence_and_left_as_it_is(tmp_path, damage):
    path = tmp_path / "journal.db"
    Journal(path).close()
    with path.open("r+b") as file:
        file.seek(0 if damage == "text" else 100)
        file.write(b"this is no database at all" * 100)
    content = path.read_bytes()

    def using():
        Journal(path).view.status()

    with pytest.raises(JournalError, match="cannot be used: ") as refused:
        using()
    assert "journal restore" in refused.value.hint
    assert path.read_bytes() == content


def test_a_journal_that_cannot_be_opened_says_where_to_look(tmp_path):
    with pytest.raises(JournalError, match="unable to open") as refused:
        Journal(tmp_path / "missing" / "journal.db")
    assert str(tmp_path / "missing") in refused.value.hint


def test_a_network_file_system_is_refused():
    refuse_network_file_system(Path("/var"), "ext4")
    refuse_network_file_system(Path("/var"), None)
    with pytest.raises(JournalError, match=r"network file system \(nfs4\)"):
        refuse_network_file_system(Path("/var"), "nfs4")


def test_reading_alone_writes_nothing(journal, tmp_path):
    record(journal, frames(), K.COMPLETE)
    reader = Journal(tmp_path / "journal.db", read_only=True)
    assert len(reader.view.status()["datasets"]) == 1
    with pytest.raises(JournalError, match="readonly"):
        reader.surroundings.progress_ended()
    record(journal, frames(name="b_1"), K.COMPLETE)
    assert len(reader.view.status()["datasets"]) == 2
    reader.close()


def test_a_backup_is_a_journal_of_its_own(journal, tmp_path):
    record(journal, frames(), K.COMPLETE)
    journal.database.backup(tmp_path / "copy.db")
    copy = Journal(tmp_path / "copy.db")
    assert list(copy.view.everything()) == list(journal.view.everything())
    copy.close()
    with pytest.raises(JournalError, match="exists already"):
        journal.database.backup(tmp_path / "copy.db")


def test_a_closed_journal_says_so_as_every_other_trouble(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    journal.close()
    with pytest.raises(JournalError, match="closed"):
        journal.view.status()
    with pytest.raises(JournalError, match="closed"):
        journal.surroundings.progress_ended()


def test_two_who_open_a_new_journal_at_once_both_can(tmp_path):
    problems, barrier = [], threading.Barrier(8)

    def opening(path):
        barrier.wait()
        try:
            Journal(path).close()
        except JournalError as error:
            problems.append(error)

    for attempt in range(5):
        threads = [threading.Thread(target=opening, args=(tmp_path / f"{attempt}.db",)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert problems == []


WRITER = """
import sys
from pathlib import Path
from engine_support import NOW
from depositd.journal import Journal
from depositd.states import DeliveryEvent
journal = Journal(Path(sys.argv[1]))
for number in range(int(sys.argv[2])):
    event = DeliveryEvent.WORD_HOLD if number % 2 == 0 else DeliveryEvent.WORD_RELEASE
    journal.deliveries.word(1, event, {}, NOW)
journal.close()
"""


@pytest.mark.fault(26)
def test_the_daemon_and_commands_write_at_the_same_time_and_nothing_is_lost(tmp_path):
    path, words = tmp_path / "journal.db", 40
    journal = Journal(path)
    archived(journal, frames(), "one", "two")
    support = os.pathsep.join([str(Path(__file__).parents[1] / "support"), *sys.path])
    command = [sys.executable, "-c", WRITER, str(path), str(words)]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": support}) for _ in range(1)]
    facts = 0
    while writers[0].poll() is None:
        journal.deliveries.apply(2, Fact(E.POSTPONE, f"attempt {facts}", attempt=True, failure=True), NOW)
        record(journal, frames(3 + facts % 2, name="b_1"), K.GROWING, "one")
        facts += 1
    assert [writer.wait() for writer in writers] == [0]
    assert facts > 0
    told = history(journal, 1)
    assert (told.count("hold"), told.count("release"), told.count("postponed")) == (words / 2, words / 2, facts)
    assert journal.deliveries.get(2).delivery.attempts == facts
    assert journal.database.problems() == []
    journal.close()


FILL = """
import os, sys
from pathlib import Path
from engine_support import NOW, frames, record, sighting
from depositd.errors import JournalError
from depositd.journal import Journal
from depositd.model import VerdictKind
journal = Journal(Path(sys.argv[1]) / "journal.db")
filler = os.path.join(sys.argv[1], "filler")
acknowledged = 0
with open(filler, "wb") as file:
    try:
        while True:
            file.write(bytes(65536))
            file.flush()
    except OSError:
        pass
try:
    while acknowledged < 10_000:
        record(journal, frames(200, name=f"d{acknowledged}_1"), VerdictKind.COMPLETE, "one")
        acknowledged += 1
except JournalError as error:
    print("full" if "full" in str(error) or "disk I/O" in str(error) else error)
    print("make space" in error.hint)
print(len(journal.view.status()["datasets"]) == acknowledged)
os.unlink(filler)
record(journal, frames(200, name="after_1"), VerdictKind.COMPLETE, "one")
print(len(journal.view.status()["datasets"]) == acknowledged + 1, journal.database.problems())
journal.close()
"""


@pytest.mark.fault(28)
@pytest.mark.mounts
def test_a_full_disk_is_a_clear_sentence_and_work_goes_on_once_there_is_space(tmp_path):
    told = run_on_tmpfs(tmp_path, "4m", FILL).split("\n")
    assert told == ["full", "True", "True", "True []", ""]


# whatever happens


class DeliveryLife(RuleBasedStateMachine):
    """Random facts and words on one delivery."""

    directory = ""

    def __init__(self) -> None:
        super().__init__()
        self.path = Path(self.directory) / f"{os.urandom(8).hex()}.db"
        self.journal = Journal(self.path)

    @initialize()
    def begin(self) -> None:
        archived(self.journal)
        self.before = self.delivery
        self.lines = len(history(self.journal, 1))

    @property
    def delivery(self):
        return self.journal.deliveries.get(1).delivery

    @rule(
        event=st.sampled_from(
            [event for event in DeliveryEvent if event is not E.SENDING and "word" not in event.name.lower()]
        ),
        failure=st.booleans(),
        attempt=st.booleans(),
        hold=st.sampled_from(HoldKind),
    )
    def fact(self, event, failure, attempt, hold) -> None:
        state = self.delivery.state
        fact = Fact(event, "because", attempt=attempt, failure=failure, hold=hold if event is E.HOLD else None)
        try:
            self.journal.deliveries.apply(1, fact, NOW)
        except IllegalTransition:
            assert (state, event) not in DELIVERY_TRANSITIONS
        else:
            assert self.delivery.state is DELIVERY_TRANSITIONS[state, event]

    @rule(event=st.sampled_from([E.WORD_HOLD, E.WORD_RELEASE, E.WORD_RETRY, E.WORD_SKIP]))
    def word(self, event) -> None:
        before = self.delivery
        try:
            self.journal.deliveries.word(1, event, {}, NOW)
        except IllegalTransition:
            assert self.delivery == before
            return
        after = self.delivery
        if before.sent_at is not None and after.sent_at is None:
            assert before.hold is H.UNCONFIRMED

    @rule()
    def send(self) -> None:
        began = self.journal.deliveries.begin_send(1, {}, NOW)
        assert began is (self.delivery.state is S.WAITING)

    @rule()
    def crash(self) -> None:
        self.journal.close()
        self.journal = Journal(self.path)
        self.journal.deliveries.recover(NOW)
        assert self.delivery.state is not S.WAITING or self.delivery.sent_at is None

    @invariant()
    def what_always_holds(self) -> None:
        if not hasattr(self, "before"):
            return
        delivery, lines = self.delivery, len(history(self.journal, 1))
        assert delivery.attempts >= self.before.attempts
        assert lines >= self.lines
        if delivery.state is not self.before.state:
            assert lines > self.lines
        if delivery.state is S.UNCONFIRMED:
            assert delivery.sent_at is not None
        if delivery.state in (S.UPLOADED, S.SUBMITTED, S.DELIVERED):
            assert delivery.sent_at is None
        if delivery.state in ENDED:
            assert all(one.delivery.id != 1 for one in self.journal.deliveries.due(LATER))
        self.before, self.lines = delivery, lines

    def teardown(self) -> None:
        assert self.journal.database.problems() == []
        self.journal.close()


def test_any_order_of_facts_words_and_crashes_keeps_the_story_straight(tmp_path):
    class Life(DeliveryLife):
        directory = str(tmp_path)

    unhurried = settings(max_examples=25, stateful_step_count=20, deadline=None)
    run_state_machine_as_test(Life, settings=unhurried)


def test_damage_inside_a_journal_is_found_before_anything_is_decided_on_it(tmp_path):
    path = tmp_path / "journal.db"
    journal = Journal(path)
    for number in range(200):
        archived(journal, frames(name=f"lyso_{number}"))
    journal.database.require_sound()
    journal.close()
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 8192] = bytes(8192)
    path.write_bytes(content)
    damaged = Journal(path)
    with pytest.raises(JournalError, match=r"cannot be used.*malformed"):
        damaged.database.require_sound()
    damaged.close()
