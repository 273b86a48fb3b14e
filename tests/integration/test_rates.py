"""Rates, free space and what waits, in a real journal; and who notes and says it."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import pytest
from clock_support import ManualClock
from engine_support import (
    NOW,
    FakeDestination,
    an_archive,
    archived,
    config_of,
    frames,
    plan_of,
    record,
    tools_of,
)
from structlog.testing import capture_logs

from depositd.destinations.base import Outcome
from depositd.engine.delivering import deliver
from depositd.engine.forecast import DiskKind, Level
from depositd.engine.outlook import QUOTA, outlook
from depositd.engine.room import Room, refusal
from depositd.errors import Unavailable, Unconfirmed
from depositd.journal import Fact, Journal, PackWait, Pause, Progress, SpaceSample, Transfer, Waiting
from depositd.journal.rates import MOST_TRANSFERS, TELLING_BYTES
from depositd.model import HoldKind, VerdictKind
from depositd.service.daemon import Daemon, Options
from depositd.service.lookout import Gauge, Lookout
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor

EVER = datetime(2000, 1, 1, tzinfo=UTC)
MB, GB = 10**6, 10**9
NO_ROOM = refusal(Room("/spool", 10 * GB, 2 * GB, GB), 5 * GB, 0, list, "depositd skip 1")


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / "journal.db")
    yield opened
    assert opened.database.problems() == []
    opened.close()


def rows(journal, table):
    with journal.database.reading() as connection:
        return connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]


def ago(**time):
    return NOW - timedelta(**time)


# rates


def test_a_rate_is_all_bytes_by_all_seconds_of_one_destination(journal):
    assert journal.rates.recent("sent", "one", NOW) is None
    journal.rates.note("sent", "one", 90 * MB, 1.0, NOW)
    journal.rates.note("sent", "one", 10 * MB, 1.0, NOW)
    journal.rates.note("sent", "two", 7 * MB, 1.0, NOW)
    journal.rates.note("archived", "", 800 * MB, 2.0, NOW)
    assert journal.rates.recent("sent", "one", NOW) == 50 * MB
    assert journal.rates.recent("sent", "two", NOW) == 7 * MB
    assert journal.rates.recent("archived", "", NOW) == 400 * MB


def test_small_transfers_count_only_where_there_are_no_others(journal):
    journal.rates.note("sent", "one", TELLING_BYTES - 1, 10.0, NOW)
    assert journal.rates.recent("sent", "one", NOW) == (TELLING_BYTES - 1) / 10
    journal.rates.note("sent", "one", 50 * MB, 1.0, ago(hours=20))
    assert journal.rates.recent("sent", "one", NOW) == 50 * MB


def test_the_last_hours_count_and_where_there_were_none_the_day(journal):
    journal.rates.note("sent", "one", 10 * MB, 1.0, ago(hours=10))
    assert journal.rates.recent("sent", "one", NOW) == 10 * MB
    journal.rates.note("sent", "one", 80 * MB, 1.0, ago(hours=1))
    assert journal.rates.recent("sent", "one", NOW) == 80 * MB
    assert journal.rates.transfers("sent", "one", NOW) == [Transfer(80 * MB, 1.0, ago(hours=1))]
    assert journal.rates.recent("sent", "one", NOW + timedelta(hours=24)) is None


@pytest.mark.parametrize(("size", "seconds"), [(0, 1.0), (5 * MB, 0.0), (5 * MB, -3.0)])
def test_what_took_no_time_or_was_empty_tells_nothing(journal, size, seconds):
    journal.rates.note("sent", "one", size, seconds, NOW)
    assert rows(journal, "rates") == 0


def test_rates_are_bounded_and_many_small_ones_do_not_drive_out_a_large_one(journal):
    journal.rates.note("sent", "old", 5 * MB, 1.0, ago(hours=25))
    journal.rates.note("sent", "one", 50 * MB, 1.0, ago(hours=1))
    with journal.together():
        for number in range(MOST_TRANSFERS + 50):
            journal.rates.note("sent", "one", 1000 + number, 1.0, NOW + timedelta(seconds=number))
    assert rows(journal, "rates") == MOST_TRANSFERS + 1
    assert journal.rates.recent("sent", "one", NOW) == 50 * MB


# free space


def test_space_is_sampled_once_a_minute_and_kept_for_a_day(journal):
    for second in range(0, 181, 30):
        journal.rates.sample("/spool\udcff", 1000 - second, NOW + timedelta(seconds=second), device=3)
    found = journal.rates.samples("/spool\udcff", NOW)
    assert found == [SpaceSample(NOW + timedelta(minutes=one), 1000 - 60 * one, 3) for one in range(4)]
    assert journal.rates.samples("/spool\udcff", NOW + timedelta(minutes=3)) == found[-1:]
    assert journal.rates.samples("/other", NOW) == []
    journal.rates.sample("/other", 5, NOW + timedelta(hours=25))
    assert rows(journal, "space") == 1


def test_a_clock_that_was_set_back_leaves_no_samples_of_the_future(journal):
    journal.rates.sample("/spool", 1, NOW + timedelta(days=30))
    journal.rates.sample("/spool", 2, NOW)
    assert [one.free_bytes for one in journal.rates.samples("/spool", NOW)] == [2]


# what waits


def test_what_is_to_be_archived_are_the_packable_ones(journal):
    assert journal.backlog.to_archive() == Waiting()
    record(journal, frames(3, name="a"), VerdictKind.COMPLETE, "one", "two")
    held = record(journal, frames(5, name="b"), VerdictKind.COMPLETE, "one")
    apply_hold(journal, held)
    record(journal, frames(9, name="growing"), VerdictKind.GROWING, "one")
    gapped = record(journal, frames(2, name="gapped"), VerdictKind.GAPPED, "one")
    apply_hold(journal, gapped)
    archived(journal, frames(4, name="done"))
    assert journal.backlog.to_archive() == Waiting(2, 800, 800)
    journal.deliveries.word(delivery_of(journal, gapped).id, DeliveryEvent.WORD_RELEASE, {}, NOW)
    waiting = journal.backlog.to_archive()
    assert waiting == Waiting(3, 1000, 1000)
    assert waiting.datasets == len(journal.datasets.packable(NOW))
    journal.surroundings.progress(Progress("dataset 2", "archiving b", 100, 500, NOW))
    assert journal.backlog.to_archive() == Waiting(3, 900, 1000, under_way=1)


def test_what_is_to_be_sent_to_each_destination(journal):
    archived(journal, frames(3, name="a"), "one", "two")
    record(journal, frames(5, name="b"), VerdictKind.COMPLETE, "one")
    held = archived(journal, frames(4, name="held"), "one")
    apply_hold(journal, held)
    record(journal, frames(9, name="growing"), VerdictKind.GROWING, "two")
    assert journal.backlog.to_send() == {
        "one": Waiting(2, 1234 + 500, 500),
        "two": Waiting(1, 1234),
    }
    journal.surroundings.progress(Progress("delivery 2", "sending to two", 617, 1234, NOW))
    assert journal.backlog.to_send()["two"] == Waiting(1, 617, under_way=1)


def test_a_transfer_that_has_not_begun_or_overshoots_is_counted_rightly(journal):
    archived(journal, frames(3, name="a"), "one")
    for done, total, left in ((0, 0, 1234), (2000, 1234, 0)):
        journal.surroundings.progress(Progress("delivery 1", "sending", done, total, NOW))
        assert journal.backlog.to_send()["one"].size_bytes == left


def delivery_of(journal, dataset):
    return journal.deliveries.of_dataset(dataset.id)[0].delivery


def apply_hold(journal, dataset):
    journal.deliveries.apply(
        delivery_of(journal, dataset).id, Fact(DeliveryEvent.HOLD, "x", hold=HoldKind.METADATA), NOW
    )


def test_why_archiving_is_put_off_as_long_as_it_is(journal):
    for name in ("a", "b"):
        one = record(journal, frames(3, name=name), VerdictKind.COMPLETE, "one")
        journal.datasets.pack_waits([PackWait(one.id, NO_ROOM.reason, NO_ROOM.hint)], NOW, NOW)
    assert journal.backlog.put_off(ago(seconds=30)) == [NO_ROOM.reason]
    assert journal.backlog.put_off(NOW + timedelta(seconds=1)) == []


def test_what_is_held_or_done_is_not_looked_through(journal):
    questions = []
    with journal.database.reading() as connection:
        connection.set_trace_callback(questions.append)
        journal.backlog.to_archive()
        journal.backlog.to_send()
        journal.backlog.put_off(NOW)
        connection.set_trace_callback(None)
        asked = [one for one in questions if one.lstrip().startswith("SELECT")]
        steps = [row["detail"] for one in asked for row in connection.execute(f"EXPLAIN QUERY PLAN {one}")]
    assert len(asked) == 3
    # the sub-queries themselves are gone through, tables never are
    assert [one for one in steps if one.startswith("SCAN") and not one.startswith("SCAN (")] == []
    assert any("deliveries_state" in one for one in steps)


# who notes it


class Sending:
    """A delivery to one destination whose sends take 20 s by the clock of the test."""

    def __init__(self, journal, tmp_path):
        self.journal, self.clock = journal, ManualClock()
        self.one = FakeDestination()
        self.plan = plan_of(config_of(tmp_path), self.one)
        archived(journal, frames(), "one")

    def step(self, *script):
        self.one.script += script
        (standing,) = self.journal.deliveries.of_dataset(1)
        tools = tools_of(self.clock, monotonic=self.monotonic)
        return deliver(self.plan, self.journal, standing, tools)

    def monotonic(self):
        return self.clock.now.timestamp()

    def later(self, then):
        def answer():
            self.clock.advance(20)
            if isinstance(then, Exception):
                raise then
            return then

        return answer

    def noted(self):
        return self.journal.rates.transfers("sent", "one", self.clock.now)


@pytest.fixture
def sending(journal, tmp_path):
    return Sending(journal, tmp_path)


@pytest.mark.parametrize("event", [DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED, DeliveryEvent.DELIVERED])
def test_a_finished_upload_is_noted_with_its_answer(sending, event):
    sending.step(sending.one.sending(sending.later(Outcome(event, remote_id="x"))))
    assert sending.noted() == [Transfer(1234, 20.0, sending.clock.now)]


@pytest.mark.parametrize("error", [Unavailable("503"), Unconfirmed("lost"), RuntimeError("bug")])
def test_an_upload_that_failed_or_whose_answer_was_lost_is_not(sending, error):
    tools = {"unforeseen": lambda _error: None}
    sending.one.script.append(sending.one.sending(sending.later(error)))
    (standing,) = sending.journal.deliveries.of_dataset(1)
    deliver(sending.plan, sending.journal, standing, tools_of(sending.clock, **tools))
    assert sending.noted() == []


def test_what_was_there_already_or_only_asked_for_is_not(sending):
    sending.step(Outcome(DeliveryEvent.UPLOADED, remote_id="x"))
    sending.step(Outcome(DeliveryEvent.SUBMITTED))
    sending.step(Outcome(DeliveryEvent.DELIVERED))
    assert sending.noted() == []


def test_a_copy_that_may_be_taken_twice_is_timed_from_its_first_bytes(sending):
    def copy(_delivery, archive, _metadata, report):
        report.progress(1, archive.size_bytes)
        sending.clock.advance(8)
        report.progress(archive.size_bytes, archive.size_bytes)
        sending.clock.advance(2)
        return Outcome(DeliveryEvent.DELIVERED, remote_id="/vault/x")

    sending.step(copy)
    assert [one.seconds for one in sending.noted()] == [10.0]


def test_a_send_that_was_answered_before_its_end_tells_no_rate(sending):
    def cut_short(_delivery, archive, _metadata, report):
        report.sending({})
        report.progress(1, archive.size_bytes)
        sending.clock.advance(5)
        return Outcome(DeliveryEvent.UPLOADED, remote_id="x")

    sending.step(cut_short)
    assert sending.noted() == []


def test_a_gauge_notes_the_free_space_at_most_once_a_minute(journal, tmp_path):
    seconds = [0.0]
    gauge = Gauge(journal, str(tmp_path), monotonic=lambda: seconds[0])
    gauge.read()
    (sample,) = journal.rates.samples(str(tmp_path), EVER)
    found = os.statvfs(tmp_path)
    assert sample.free_bytes == pytest.approx(found.f_bavail * found.f_frsize, rel=0.2)
    assert sample.device == tmp_path.stat().st_dev
    with journal.database.transaction() as connection:
        connection.execute("DELETE FROM space")
    seconds[0] = 59.0
    gauge.read()
    assert rows(journal, "space") == 0
    seconds[0] = 60.0
    gauge.read()
    assert rows(journal, "space") == 1


def test_a_gauge_of_what_is_not_there_notes_nothing(journal, tmp_path):
    Gauge(journal, str(tmp_path / "none")).read()
    assert rows(journal, "space") == 0


# what is ahead


def fill(journal, what, free_now, rate, *, device=1, minutes=120):
    with journal.together():
        for minute in range(minutes, -1, -1):
            journal.rates.sample(what, free_now + rate * 60 * minute, ago(minutes=minute), device=device)


def config_with(tmp_path, spool="", *, watch="[/a, /b, /c]"):
    rules = f"{{name: r, watch: {watch}, format: frames, settle: 0s, deliver: [one]}}"
    config = config_of(tmp_path, rules=rules)
    return config.model_copy(update={"spool": config.spool.model_copy(update=spool)}) if spool else config


def test_disks_that_are_the_same_are_told_once_and_the_spools_own_first(journal, tmp_path):
    config = config_with(tmp_path)
    fill(journal, str(config.spool.path), 500 * GB, 0, device=7)
    fill(journal, "/a", 100 * GB, 20 * MB, device=8)
    fill(journal, "/b", 500 * GB, 0, device=7)
    fill(journal, "/c", 100 * GB, 20 * MB, device=8)
    spool, source = outlook(config, journal, NOW).disks
    assert (spool.disk.kind, spool.level) == (DiskKind.SPOOL, Level.CALM)
    assert source.disk.directories == ("/a", "/c")
    assert source.sentence.startswith("the disk of /a and 1 other source will be full in 1 h 20 min")


def test_of_a_disk_that_nobody_looked_at_lately_nothing_is_said(journal, tmp_path):
    fill(journal, "/a", 100 * GB, 20 * MB)
    assert outlook(config_with(tmp_path), journal, NOW + timedelta(hours=1)).disks == ()


def test_the_outlook_as_json(journal, tmp_path):
    config = config_with(tmp_path, {"quota_bytes": 50 * GB, "min_free_bytes": 20 * GB})
    fill(journal, str(config.spool.path), 500 * GB, 0)
    fill(journal, QUOTA, 100, 0)
    first = record(journal, frames(3, name="a"), VerdictKind.COMPLETE, "one")
    journal.datasets.pack_waits([PackWait(first.id, NO_ROOM.reason, NO_ROOM.hint)], NOW + timedelta(seconds=10), NOW)
    journal.rates.note("sent", "one", 10 * MB, 1.0, NOW)
    told = outlook(config, journal, NOW).json()
    assert [(one["what"], one["level"], one["sentence"]) for one in told["disks"]] == [
        ("spool", "calm", None),
        ("quota", "calm", None),
    ]
    assert told["disks"][0]["floor_bytes"] == 20 * GB
    assert [(one["what"], one["destination"], one["sentence"]) for one in told["backlog"]] == [
        ("archiving", None, "archiving waits for room in the spool: 1 dataset, 300 B; what is archived goes on"),
        ("sending", "one", "one: 1 dataset, 300 B waits, done in about 60 s at 10.0 MB/s"),
    ]


def test_a_paused_destination_and_one_that_the_config_has_not_have_no_end_to_be_foreseen(journal, tmp_path):
    archived(journal, frames(3, name="a"), "one", "gone")
    assert [one.destination for one in outlook(config_with(tmp_path), journal, NOW).backlog] == ["one"]
    journal.surroundings.pause(Pause("one", "401", "mend it", NOW, 1, NOW))
    assert outlook(config_with(tmp_path), journal, NOW).backlog == ()


def test_the_lookout_logs_and_tells_each_crossing_once(journal, tmp_path):
    config = config_with(tmp_path, watch="/a")
    fill(journal, "/a", 100 * GB, 20 * MB)
    lookout = Lookout(journal, str(config.spool.path))
    with capture_logs() as events:
        (notice,) = lookout.look(config, NOW)
        assert lookout.look(config, NOW + timedelta(seconds=30)) == []
    assert (notice.kind, notice.sentence[:31]) == ("needs_you", "the disk of /a will be full in ")
    assert [(one["log_level"], one["event"], one["hint"]) for one in events] == [
        ("error", notice.sentence, notice.hint)
    ]


def test_the_quota_is_noted_by_what_the_spool_holds(journal, tmp_path):
    config = config_with(tmp_path, {"quota_bytes": 5000})
    lookout = Lookout(journal, str(config.spool.path))
    assert archived(journal, frames(3, name="a")).id
    lookout.look(config, NOW)
    assert journal.rates.samples(QUOTA, NOW) == [SpaceSample(NOW, 5000 - an_archive().size_bytes, 5000)]
    lookout.look(config_with(tmp_path), NOW + timedelta(minutes=2))
    assert len(journal.rates.samples(QUOTA, NOW)) == 1


def test_the_daemon_notes_the_disks_of_the_spool_and_of_sources_that_are_there(journal, tmp_path):
    there, away = tmp_path / "there", tmp_path / "away"
    there.mkdir()
    config = config_with(tmp_path, watch=f"[{there}, {away}]")
    config.spool.path.mkdir()
    daemon = Daemon(config, journal, NoSupervisor(), Options(until_idle=True))
    assert daemon.run() == 0
    sampled = [what for what in (config.spool.path, there, away) if journal.rates.samples(str(what), EVER)]
    assert sampled == [config.spool.path, there]
    status = json.loads("".join(daemon.status()))
    # one file system, told once, as the spool's
    assert [(one["what"], one["level"]) for one in status["disks"]] == [("spool", "calm")]
    assert status["backlog"] == []
    assert status["datasets"] == []
