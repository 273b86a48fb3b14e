"""When systemd's watchdog is fed, and what is said when it is not."""

from __future__ import annotations

import threading

import pytest
from structlog.testing import capture_logs

from depositd.service.heartbeats import Heartbeats
from depositd.service.watchdog import Looks, Watchdog
from depositd.systemd import NoSupervisor


class Supervisor(NoSupervisor):
    def __init__(self):
        self.pings = 0

    def notify(self, **told):
        self.pings += told == {"watchdog": True}


class House:
    """Some workers with threads that never run, and what the kernel says of each."""

    def __init__(self, interval_s=90.0):
        self.now_s = 0.0
        self.at_files, self.in_journal, self.helpers = set(), set(), []
        self.beats = Heartbeats(lambda: self.now_s)
        self.supervisor = Supervisor()
        looks = Looks(
            waits_for_files=lambda thread: thread.name in self.at_files,
            has_journal=lambda thread: thread.name in self.in_journal,
            stack=lambda thread: f"where {thread.name} stands",
            all_threads=lambda: [*self.beats.threads(), *self.helpers],
        )
        self.dog = Watchdog(self.beats, self.supervisor, interval_s=interval_s, looks=looks)

    def worker(self, name, budget_s=10.0):
        thread = threading.Thread(target=self.beats.beat, args=(name, budget_s), name=name)
        thread.start()
        thread.join()

    def later(self, seconds):
        self.now_s += seconds


@pytest.fixture
def house():
    return House()


def test_while_everybody_moves_it_is_fed_at_each_look(house):
    house.worker("archiver")
    house.worker("deliverer")
    assert house.dog.look()
    house.later(10)
    assert house.dog.look()
    assert house.supervisor.pings == 2


@pytest.mark.fault(35)
def test_one_that_hangs_starves_it_and_is_named_once_with_the_place_where_it_stands(house):
    house.worker("archiver")
    house.worker("deliverer", 100)
    house.later(11)
    with capture_logs() as said:
        assert not house.dog.look()
        assert not house.dog.look()
    assert house.supervisor.pings == 0
    assert said == [
        {
            "event": "archiver has not moved for 11 s (allowed 10 s): it hangs, and the watchdog is not fed",
            "hint": "systemd starts depositd again, which goes on where it was",
            "stack": "where archiver stands",
            "log_level": "error",
        }
    ]


def test_one_that_moves_again_is_forgiven_and_named_anew_the_next_time(house):
    house.worker("archiver")
    house.later(11)
    with capture_logs() as said:
        house.dog.look()
        house.worker("archiver")
        assert house.dog.look()
        house.later(11)
        house.dog.look()
    assert len(said) == 2


@pytest.mark.fault(35)
def test_who_waits_for_a_disk_or_a_file_server_is_said_and_does_not_starve_it(house):
    house.worker("watcher of /data")
    house.at_files.add("watcher of /data")
    house.later(11)
    with capture_logs() as said:
        assert house.dog.look()
        assert house.dog.look()
    assert [(one["log_level"], one["event"]) for one in said] == [
        ("warning", "watcher of /data has not moved for 11 s (allowed 10 s): it waits for a disk or a file server")
    ]


def test_a_source_that_is_gone_excuses_nobody_else(house):
    house.worker("watcher of /data")
    house.worker("archiver")
    house.at_files.add("watcher of /data")
    house.later(11)
    assert not house.dog.look()


def test_what_waited_for_a_disk_and_then_hangs_is_named_as_that(house):
    house.worker("archiver")
    house.at_files.add("archiver")
    house.later(11)
    assert house.dog.look()
    house.at_files.clear()
    with capture_logs() as said:
        assert not house.dog.look()
    assert [one["log_level"] for one in said] == ["error"]


def test_behind_a_journal_whose_disk_crawls_everybody_may_wait(house):
    house.worker("watcher of /data")
    house.worker("archiver")
    house.at_files.add("watcher of /data")
    house.in_journal.add("watcher of /data")
    house.later(11)
    assert house.dog.look()


@pytest.mark.parametrize(
    ("worker", "name", "is_fed"),
    [
        ("archiver, at dataset 1", "archive-write_0", True),
        ("follower, at dataset 1", "verify-read_0", True),
        ("deliverer to one, at delivery 1", "upload-read_0", True),
        ("archiver, at dataset 1", "notifier", False),
        # while much is archived, some such thread is always at a disk: nobody else may hang meanwhile
        ("main loop", "archive-write_0", False),
        ("deliverer to one, at delivery 1", "archive-write_0", False),
    ],
)
def test_a_thread_that_works_for_others_may_keep_them_waiting_for_its_disk(house, worker, name, is_fed):
    house.worker(worker)
    house.helpers.append(threading.Thread(name=name))
    house.at_files.add(name)
    house.later(11)
    assert house.dog.look() is is_fed


def test_without_a_supervisor_it_looks_all_the_same():
    house = House(interval_s=None)
    house.worker("archiver")
    assert house.dog.look()
    house.later(11)
    with capture_logs() as said:
        assert not house.dog.look()
    assert [one["hint"] for one in said] == ["restart depositd"]
    assert house.supervisor.pings == 0
