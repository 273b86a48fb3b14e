"""The journal's disk fails: the ballast, I/O errors, read-only; and the answer that is recorded all the same."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys

import pytest
from engine_support import NOW, archived, frames

from depositd.errors import JournalError
from depositd.journal import Ballast, Fact, Journal
from depositd.model import DeliveryState
from depositd.service.journal_guard import JournalGuard
from depositd.states import DeliveryEvent

MIB = 1 << 20
pytestmark = pytest.mark.fault(28)


class Disk:
    """A disk of which the test says how much is free."""

    def __init__(self, free_bytes: int) -> None:
        self.free_bytes = free_bytes

    def __call__(self, _directory: str) -> int:
        return self.free_bytes


def ballast_of(tmp_path, free_mib):
    disk = Disk(free_mib * MIB)
    return Ballast(tmp_path, size_bytes=MIB * 2, free=disk), disk


def test_the_ballast_is_really_there_and_private(tmp_path):
    ballast, _disk = ballast_of(tmp_path, 100)
    assert not ballast.is_held
    assert ballast.make()
    found = ballast.path.stat()
    assert found.st_blocks * 512 >= 2 * MIB
    assert found.st_mode & 0o077 == 0
    assert Ballast(tmp_path, size_bytes=2 * MIB).is_held


def test_it_is_made_only_where_as_much_again_stays_free_and_given_up_where_little_is(tmp_path):
    ballast, disk = ballast_of(tmp_path, 3)
    assert not ballast.make()
    assert "3.15 MB are free" in (ballast.shortage() or "")
    assert "nothing is archived until" in (ballast.shortage() or "")
    assert not ballast.is_exhausted
    disk.free_bytes = 4 * MIB
    assert ballast.make()
    assert ballast.shortage() is None
    ballast.spend_when_low()
    assert ballast.is_held
    disk.free_bytes = MIB - 1
    ballast.spend_when_low()
    assert not ballast.is_held
    assert not ballast.path.exists()
    assert ballast.is_exhausted
    assert "nothing is archived or sent" in (ballast.shortage() or "")


def test_one_that_cannot_be_written_whole_leaves_nothing(tmp_path):
    def fails(_count: int) -> bytes:
        raise OSError(28, "No space left on device")

    ballast = Ballast(tmp_path, free=Disk(100 * MIB), fill=fails)
    assert not ballast.make()
    assert os.listdir(tmp_path) == []


@pytest.fixture
def journal(tmp_path):
    ballast, disk = ballast_of(tmp_path, 100)
    ballast.make()
    made = Journal(tmp_path / "journal.db", ballast=ballast)
    made.disk = disk
    yield made
    made.close()


def test_before_the_disk_is_full_a_transaction_frees_the_ballast_and_no_more_is_archived(journal):
    archived(journal, frames())
    assert journal.may_archive
    journal.disk.free_bytes = MIB // 2
    archived(journal, frames(name="b_1"), "two")
    assert not journal.database.ballast.is_held
    assert not journal.may_archive
    assert not journal.may_send
    assert journal.problem() is not None
    journal.disk.free_bytes = 2 * MIB
    assert not journal.may_archive
    assert journal.may_send, "there is room for answers"
    journal.disk.free_bytes = 100 * MIB
    journal.database.recover()
    assert journal.may_archive
    assert journal.problem() is None


FULL_ONCE = """
import resource, signal, sys
from pathlib import Path
from engine_support import NOW, archived, frames
from depositd.errors import JournalError
from depositd.journal import Ballast, Fact, Journal
from depositd.states import DeliveryEvent
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
state = Path(sys.argv[1])
ballast = Ballast(state, size_bytes=1 << 20)
assert ballast.make()
journal = Journal(state / "journal.db", ballast=ballast)
archived(journal, frames())
def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
def record():
    return journal.deliveries.apply(1, Fact(DeliveryEvent.DELIVERED, "arrived"), NOW)
# every write beyond this fails, as on a disk that gives I/O errors
limit(1)
try:
    record()
    raise SystemExit("it was written")
except JournalError as error:
    print(error.made_room, ballast.is_held, journal.may_archive, journal.may_send)
print(len(journal.view.status()["datasets"]), journal.deliveries.get(1).delivery.state)
try:
    journal.database.recover()
    raise SystemExit("it was written")
except JournalError:
    pass
calls = []
def later():
    calls.append(1)
    if len(calls) == 2:
        limit(resource.RLIM_INFINITY)
    return record()
limit(resource.RLIM_INFINITY)
assert ballast.make()
limit(1)
print(journal.surely(later).state, len(calls), journal.database.trouble)
limit(resource.RLIM_INFINITY)
print(journal.database.problems())
journal.close()
"""


@pytest.mark.fault(14)
def test_an_i_o_error_of_the_journal_frees_the_ballast_and_the_answer_is_recorded_by_the_second_try(tmp_path):
    support = os.pathsep.join([os.path.join(os.path.dirname(__file__), "..", "support"), *sys.path])
    told = subprocess.run(
        [sys.executable, "-c", FULL_ONCE, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": support},
        check=False,
        timeout=60,
    )
    assert told.stderr == ""
    assert told.stdout.splitlines() == ["True False False False", "1 waiting", "delivered 2 None", "[]"]


def test_a_journal_that_becomes_read_only_stops_work_and_goes_on_by_itself(journal):
    """SQLite itself refuses, in the words that it has for a file system that was mounted read-only."""
    archived(journal, frames())
    now_s = [0.0]
    guard = JournalGuard(journal, monotonic=lambda: now_s[0])
    journal.database._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(JournalError, match="readonly") as refused:
        journal.deliveries.apply(1, Fact(DeliveryEvent.DELIVERED, "arrived"), NOW)
    assert "mounted read-only" in refused.value.hint
    assert not journal.may_send
    assert guard.look()
    assert guard.problem is not None
    assert "nothing is archived or sent" in guard.problem.what
    assert len(journal.view.status()["datasets"]) == 1
    journal.database._connection.execute("PRAGMA query_only = OFF")
    now_s[0] += 60
    assert guard.look()
    assert (guard.problem, journal.may_send) == (None, True)
    assert journal.deliveries.get(1).delivery.state is DeliveryState.WAITING


def test_who_only_reads_cannot_write(tmp_path):
    journal = Journal(tmp_path / "journal.db")
    archived(journal, frames())
    journal.close()
    reading = Journal(tmp_path / "journal.db", read_only=True)
    with pytest.raises(JournalError):
        reading.deliveries.apply(1, Fact(DeliveryEvent.DELIVERED), NOW)
    reading.close()


@pytest.mark.fault(26)
def test_the_daemon_and_commands_at_once_leave_a_sound_journal(tmp_path):
    """Reads, words and facts from several processes; SQLite's own integrity check says what came of it."""
    path = tmp_path / "journal.db"
    journal = Journal(path)
    archived(journal, frames(), "one", "two")
    support = os.pathsep.join([os.path.join(os.path.dirname(__file__), "..", "support"), *sys.path])
    script = (
        "import sys; from contextlib import suppress; from pathlib import Path; from engine_support import NOW\n"
        "from depositd.errors import IllegalTransition; from depositd.journal import Journal\n"
        "from depositd.states import DeliveryEvent as E\n"
        "for n in range(15):\n"
        "    j = Journal(Path(sys.argv[1]))\n"
        "    with suppress(IllegalTransition):\n"
        "        j.deliveries.word(1, E.WORD_RELEASE if n % 2 else E.WORD_HOLD, {}, NOW)\n"
        "    j.close(); r = Journal(Path(sys.argv[1]), read_only=True); r.view.status(); r.close()\n"
    )
    command = [sys.executable, "-c", script, str(path)]
    writers = [subprocess.Popen(command, env={**os.environ, "PYTHONPATH": support}) for _ in range(2)]
    facts = 0
    while any(one.poll() is None for one in writers):
        journal.deliveries.apply(2, Fact(DeliveryEvent.POSTPONE, f"attempt {facts}", attempt=True), NOW)
        facts += 1
    assert [one.returncode for one in writers] == [0, 0]
    assert journal.deliveries.get(2).delivery.attempts == facts
    journal.close()
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
