"""Backups on a schedule, histories that are pruned, and what a journal that was lost asks for."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
from engine_support import NOW, archived, config_of, frames, history, record

from depositd.cli.journals import require_owner, working
from depositd.engine.recovering import open_or_recover, recover
from depositd.errors import DepositdError, JournalError, JournalLost
from depositd.journal import FILE_NAME, Fact, Journal
from depositd.journal.files import backups_in, keep_newest, make_backup, newest_sound, unsound
from depositd.journal.invariants import contradictions
from depositd.journal.mark import Mark
from depositd.model import DeliveryState, VerdictKind
from depositd.service.journal_care import JournalCare, first_backup_in_s
from depositd.states import DeliveryEvent as E


@pytest.fixture
def journal(tmp_path):
    opened = Journal(tmp_path / FILE_NAME)
    yield opened
    opened.close()


def delivered(journal, name="lyso_1", ended=NOW):
    made = archived(journal, frames(name=name), "one")
    (one,) = journal.deliveries.of_dataset(made.id)
    journal.deliveries.begin_send(one.delivery.id, {}, ended)
    journal.deliveries.apply(one.delivery.id, Fact(E.DELIVERED, remote_id="x", attempt=True), ended)
    return made


# backups


@pytest.mark.fault(29)
def test_backups_are_numbered_private_whole_and_only_the_newest_stay(journal, tmp_path):
    folder = tmp_path / "backups"
    for day in range(4):
        record(journal, frames(name=f"s_{day}"), VerdictKind.COMPLETE, "one")
        # a clock that jumps back does not make a new backup an old one
        make_backup(tmp_path / FILE_NAME, folder, NOW - timedelta(days=365 * day), sleep=lambda _s: None)
    keep_newest(folder, 2)
    found = backups_in(folder)
    assert [one.number for one in found] == [3, 4]
    assert all(one.path.stat().st_mode & 0o777 == 0o600 for one in found)
    assert sorted(os.listdir(folder)) == [one.path.name for one in found]
    assert found[1].path.name == "journal-000004-20231122T021407Z.db"
    newest, passed_over = newest_sound(folder)
    assert (newest, passed_over) == (found[1], [])
    with closing(sqlite3.connect(found[1].path)) as copy:
        assert copy.execute("SELECT count(*) FROM datasets").fetchone()[0] == 4


@pytest.mark.fault(29)
def test_a_damaged_backup_is_passed_over_and_named(journal, tmp_path):
    folder = tmp_path / "backups"
    for _ in range(2):
        make_backup(tmp_path / FILE_NAME, folder, NOW)
    first, second = backups_in(folder)
    second.path.write_bytes(b"nothing" * 1000)
    newest, passed_over = newest_sound(folder)
    assert newest == first
    assert len(passed_over) == 1
    assert second.path.name in passed_over[0]


def test_who_writes_does_not_wait_for_a_backup_and_does_not_begin_it_anew(journal, tmp_path):
    for number in range(40):
        archived(journal, frames(2000, name=f"s_{number}"))
    steps = []

    def step():
        # a write in the middle of the copy: by another connection, as the daemon's is
        record(journal, frames(name=f"late_{len(steps)}"), VerdictKind.COMPLETE, "one")
        steps.append(1)
        assert len(steps) < 100, "each write begins the copy anew"

    made = make_backup(tmp_path / FILE_NAME, tmp_path / "backups", NOW, progress=step, sleep=lambda _s: None)
    assert steps
    assert unsound(made.path) is None
    with closing(sqlite3.connect(made.path)) as copy:
        assert copy.execute("SELECT count(*) FROM datasets").fetchone()[0] == 40


SLOW_BACKUP = """
import sys, time
from datetime import UTC, datetime
from pathlib import Path
from depositd.journal.files import make_backup
def slowly():
    print("copying", flush=True)
    time.sleep(60)
make_backup(Path(sys.argv[1]), Path(sys.argv[2]), datetime.now(UTC), progress=slowly)
"""


@pytest.mark.fault(27, 29)
def test_a_backup_that_was_cut_off_is_none_and_is_removed_by_the_next(journal, tmp_path):
    archived(journal, frames())
    folder = tmp_path / "backups"
    command = [sys.executable, "-c", SLOW_BACKUP, str(tmp_path / FILE_NAME), str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert os.listdir(folder) != []
    assert backups_in(folder) == []
    assert newest_sound(folder) == (None, [])
    made = make_backup(tmp_path / FILE_NAME, folder, NOW)
    assert os.listdir(folder) == [made.path.name]


def test_a_backup_is_due_by_the_newest_and_a_clock_that_jumped_makes_none_late():
    day = 86_400.0
    assert first_backup_in_s(None, day, NOW) == 0
    assert first_backup_in_s(NOW - timedelta(hours=1), day, NOW) == day - 3600
    assert first_backup_in_s(NOW - timedelta(days=2), day, NOW) == 0
    assert first_backup_in_s(NOW + timedelta(days=365), day, NOW) == 0


def test_the_daemon_backs_up_on_schedule_and_says_what_fails(journal, tmp_path):
    now_s = 0.0
    config = config_of(tmp_path, more="journal: {backup_every: 1d, keep_backups: 2, keep_history: off}")
    care = JournalCare(journal, threading.Event(), clock=lambda: NOW, monotonic=lambda: now_s)

    def looks():
        care.look(config)
        care.stop(10.0)
        return [one.number for one in backups_in(config.backup_directory)]

    assert looks() == [1]
    now_s = 86_000.0
    assert looks() == [1]
    now_s = 86_401.0
    assert looks() == [1, 2]
    config.backup_directory.rename(tmp_path / "moved")
    config.backup_directory.write_text("in the way")
    now_s = 2 * 86_401.0
    with pytest.raises(NotADirectoryError):
        looks()
    (trouble,) = journal.notes.troubles(NOW)
    assert trouble.text.startswith("the journal cannot be backed up: ")
    assert trouble.hint
    config.backup_directory.unlink()
    now_s += 3_601.0  # sooner than a day: it failed
    assert looks() == [1]
    assert journal.notes.troubles(NOW) == []
    assert journal.notes.json(NOW)["backup_at"] == "2026-11-21T02:14:07Z"


def test_a_backup_that_does_not_end_is_said_once_and_its_end_as_well(journal, tmp_path):
    now_s = 0.0
    config = config_of(tmp_path, more="journal: {keep_history: off}")
    care = JournalCare(journal, threading.Event(), clock=lambda: NOW, monotonic=lambda: now_s)
    with journal.together():  # for which the backup has to wait
        care.look(config)
        now_s = 7_000.0
        care.look(config)
        assert journal.notes.troubles(NOW) == []
        now_s = 7_201.0
        care.look(config)
        (trouble,) = journal.notes.troubles(NOW)
        assert trouble.text == "a backup of the journal has not ended for 2 h, and none is made meanwhile"
        assert str(config.backup_directory) in (trouble.hint or "")
    care.stop(10.0)
    assert journal.notes.troubles(NOW) == []


def test_a_stop_ends_a_backup_and_leaves_nothing(journal, tmp_path):
    stopping = threading.Event()
    stopping.set()
    config = config_of(tmp_path, more="journal: {keep_history: off}")
    care = JournalCare(journal, stopping)
    care.look(config)
    care.stop(10.0)
    assert os.listdir(config.backup_directory) == []
    assert journal.notes.troubles(NOW) == []


# pruning


@pytest.mark.fault(30)
def test_a_clock_that_is_set_years_ahead_for_an_hour_prunes_no_history(journal, tmp_path):
    wall, now_s = NOW, 0.0
    made = delivered(journal)
    config = config_of(tmp_path, more="journal: {backup_every: off, keep_history: 365d}")
    care = JournalCare(journal, threading.Event(), clock=lambda: wall, monotonic=lambda: now_s)
    kept = history(journal, made.id)
    wall, now_s = NOW + timedelta(days=1000), 3_600.0
    care.look(config)
    care.stop(10.0)
    assert history(journal, made.id) == kept
    # one that stays so is believed
    now_s = 3 * 86_400.0
    care.look(config)
    care.stop(10.0)
    assert history(journal, made.id)[-1] == "pruned"


def test_of_what_ended_long_ago_the_last_facts_stay_and_nothing_else_is_touched(journal):
    old, fresh = delivered(journal, "old_1"), delivered(journal, "fresh_1", NOW + timedelta(days=300))
    waiting = archived(journal, frames(name="waiting_1"))
    kept = {one.id: history(journal, one.id) for one in (fresh, waiting)}
    lines = len(history(journal, old.id))
    before = journal.view.show(old.id)
    manifest = journal.view.manifest(old.id)
    pruned = journal.pruning.prune(NOW + timedelta(days=1), 0, NOW + timedelta(days=400))
    assert (pruned.datasets, pruned.lines) == (1, lines - 2)
    assert history(journal, old.id) == ["archived", "delivered", "pruned"]
    assert {one: history(journal, one) for one in kept} == kept
    after = journal.view.show(old.id)
    assert {**after, "history": 0} == {**before, "history": 0}
    assert journal.view.manifest(old.id) == manifest
    again = journal.pruning.prune(NOW + timedelta(days=1), 0, NOW + timedelta(days=401))
    assert (again.datasets, again.lines) == (0, 0)
    assert journal.pruning.prune(NOW, pruned.next_after, NOW).next_after is None
    assert journal.database.problems() == contradictions_but_spool(journal) == []
    # the same bytes are still known, whatever became of the history
    other = archived(journal, frames(name="copy_1"))
    (one,) = journal.deliveries.of_dataset(other.id)
    assert journal.deliveries.same_content(one.delivery, "a" * 64, ["one"]) is not None


def contradictions_but_spool(journal):
    return [line for line in contradictions(journal.database) if "spool" not in line]


@pytest.mark.parametrize("how", ["no note", "with a note"])
def test_nobody_else_can_remove_a_line_of_history(journal, how):
    record(journal, frames(), VerdictKind.COMPLETE, "one")

    def removing():
        with journal.database.transaction() as connection:
            if how == "with a note":
                connection.execute("INSERT INTO notes VALUES ('pruning', '', NULL, '')")
            connection.execute("DELETE FROM history")

    with pytest.raises(JournalError, match="append-only"):
        removing()


# a journal that is lost


@pytest.mark.fault(29)
def test_what_a_backup_does_not_know_is_asked_for_and_what_is_new_is_not(journal, tmp_path):
    config = config_of(tmp_path)
    delivered(journal, "there_1")
    waiting = archived(journal, frames(name="waiting_1"))
    make_backup(tmp_path / FILE_NAME, config.backup_directory, NOW)
    journal.close()
    (tmp_path / FILE_NAME).write_bytes(b"")
    for end in ("-wal", "-shm"):
        Path(f"{tmp_path / FILE_NAME}{end}").unlink(missing_ok=True)
    opened, recovery = open_or_recover(config, NOW)
    assert recovery is not None
    assert recovery.journal.asked == 1
    assert "stands in its place" in recovery.sentences[0]
    (one,) = opened.deliveries.of_dataset(waiting.id)
    assert one.delivery.is_forgotten
    # a start does not take it for a send that was cut off: it may not even be archived
    assert opened.deliveries.recover(NOW) == []
    found = record(opened, frames(name="found_1"), VerdictKind.COMPLETE, "one")
    assert opened.deliveries.of_dataset(found.id)[0].delivery.is_forgotten
    opened.close()
    # the second start finds a sound one
    opened, recovery = open_or_recover(config, NOW)
    assert recovery is None
    opened.close()


@pytest.mark.fault(29)
def test_an_older_copy_of_a_journal_is_known_for_one(journal, tmp_path):
    config = config_of(tmp_path)
    made = archived(journal, frames())
    make_backup(tmp_path / FILE_NAME, tmp_path / "copies", NOW)
    (one,) = journal.deliveries.of_dataset(made.id)
    journal.deliveries.begin_send(one.delivery.id, {}, NOW)
    journal.close()
    (tmp_path / "copies" / backups_in(tmp_path / "copies")[0].path.name).replace(tmp_path / FILE_NAME)
    for end in ("-wal", "-shm"):
        Path(f"{tmp_path / FILE_NAME}{end}").unlink(missing_ok=True)
    with pytest.raises(JournalLost, match=r"an older copy, or its write-ahead log was removed") as lost:
        Journal(tmp_path / FILE_NAME)
    assert lost.value.is_sound
    opened, recovery = open_or_recover(config, NOW)
    assert recovery is not None
    assert opened.deliveries.get(one.delivery.id).delivery.is_forgotten
    opened.close()


@pytest.mark.fault(29)
def test_a_command_does_not_begin_a_journal_beside_the_backups_of_a_lost_one(journal, tmp_path):
    # a new disk: the mark is gone as well, and a daemon that found a new journal would never look for a backup
    config = config_of(tmp_path / "new_disk", more=f"journal: {{backup_to: {tmp_path}/elsewhere}}")
    delivered(journal)
    make_backup(tmp_path / FILE_NAME, config.backup_directory, NOW)
    with pytest.raises(JournalLost, match="there are backups of it"), working(config):
        pass
    assert not (config.state_dir / FILE_NAME).exists()
    opened, recovery = open_or_recover(config, NOW)
    assert recovery is not None
    assert opened.datasets.get(1) is not None
    opened.close()


@pytest.mark.fault(29)
def test_a_newer_journal_is_left_alone(journal, tmp_path):
    journal.close()
    with closing(sqlite3.connect(tmp_path / FILE_NAME)) as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(JournalError, match="newer depositd"):
        open_or_recover(config_of(tmp_path), NOW)
    assert not list(tmp_path.glob("*.set-aside-*"))


@pytest.mark.fault(29)
def test_archives_that_the_new_journal_does_not_know_are_kept(journal, tmp_path):
    config = config_of(tmp_path)
    place = config.spool.path / "depositd-7"
    place.mkdir(parents=True)
    (place / "only_copy.tar.zst").write_bytes(b"data")
    (place / "archive.part").write_bytes(b"begun")
    record(journal, frames(), VerdictKind.COMPLETE, "one")
    journal.close()
    recovery = recover(config, "by hand", NOW, anew=True)
    assert recovery.survivors is not None
    kept = Path(recovery.survivors.directory) / "dataset-7" / "only_copy.tar.zst"
    assert kept.read_bytes() == b"data"
    assert not place.exists()


@pytest.mark.fault(29)
def test_a_restored_journal_does_not_send_what_was_skipped_without_asking(journal, tmp_path):
    made = archived(journal, frames())
    (one,) = journal.deliveries.of_dataset(made.id)
    journal.deliveries.word(one.delivery.id, E.WORD_SKIP, {}, NOW)
    journal.close()
    recover(config_of(tmp_path), "by hand", NOW, made_of=tmp_path / FILE_NAME)
    again = Journal(tmp_path / FILE_NAME)
    found = again.deliveries.get(one.delivery.id).delivery
    assert (found.state, found.is_forgotten) == (DeliveryState.SKIPPED, True)
    again.close()


def test_the_mark_follows_the_history_and_a_lost_one_says_nothing(journal, tmp_path):
    record(journal, frames(), VerdictKind.COMPLETE, "one")
    marked = Mark(tmp_path / FILE_NAME).read()
    assert marked == journal.view.last_happening() > 0
    (tmp_path / "journal.db.mark").write_bytes(b"no number")
    assert Mark(tmp_path / FILE_NAME).read() == 0


# journal check


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("UPDATE datasets SET state = 'strange'", "dataset 1 is 'strange', a state that there is not"),
        ("UPDATE deliveries SET state = 'strange'", "delivery 1 of dataset 1 is 'strange', a state that there is not"),
        ("DELETE FROM archives", "dataset 1 is archived, and no archive of it is known"),
        ("UPDATE deliveries SET ended_at = NULL", "delivery 1 of dataset 1 is delivered, and nothing says since when"),
        (
            "UPDATE deliveries SET ready = 0",
            "delivery 1 is wrong about whether dataset 1, which is archived, is archived",
        ),
        (
            "UPDATE deliveries SET state = 'unconfirmed', ended_at = NULL",
            "delivery 1 of dataset 1 is unconfirmed, and nothing says since when",
        ),
    ],
)
def test_rows_that_contradict_each_other_are_found(journal, change, sentence):
    delivered(journal)
    with journal.database.transaction() as connection:
        connection.execute("UPDATE archives SET path = NULL")
    assert contradictions(journal.database) == []
    with journal.database.transaction() as connection:
        connection.execute(change)
    assert sentence in contradictions(journal.database)


def test_an_archive_that_the_spool_does_not_hold_is_found(journal):
    archived(journal, frames())
    assert "is not in the spool" in contradictions(journal.database)[0]


def test_nobody_but_its_owner_puts_a_journal_in_place(tmp_path):
    """What root makes there, the daemon could not open."""
    require_owner(tmp_path)
    foreign = Path("/")
    if os.geteuid() == 0:
        foreign = tmp_path
        os.chown(foreign, 12345, 12345)
    with pytest.raises(DepositdError, match="belongs to") as raised:
        require_owner(foreign)
    assert raised.value.hint.startswith("sudo -u ")
