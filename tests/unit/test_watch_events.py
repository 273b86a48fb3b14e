"""How a source is watched by events, walked through its troubles by hand: a listener that the test plays."""

from __future__ import annotations

import errno
import threading

import pytest

from depositd.watch.events import (
    COUNT_EVERY_S,
    ECHO_WITHIN_S,
    MOST_DIRECTORIES,
    RETRY_EVERY_S,
    SENTINEL_EVERY_S,
    ChangedDirectories,
    Events,
    Surroundings,
    watch,
)
from depositd.watch.inotify import WatchLimit
from depositd.watch.pace import LONGEST_PAUSE_S, SHORTEST_PAUSE_S, Pace, Tempo

LIMIT = WatchLimit("fs.inotify.max_user_watches", 10)


class FakeListener:
    def __init__(self, held):
        self.events = self.lost = self.asked = 0
        self.alive = self.answers = self.room = True
        self.held = held
        self.ask_error = None
        self.closed = False

    def is_alive(self):
        return self.alive

    def ask(self):
        if self.ask_error is not None:
            raise self.ask_error
        self.asked += 1

    def has_answered(self):
        return self.answers

    def watches(self):
        return self.held

    def has_room(self):
        return self.room

    def close(self):
        self.closed = True


class Source:
    """Events over fake listeners; ``prepare`` changes each new one, or raises as watchdog would."""

    def __init__(self, *, below=None, prepare=lambda _listener: None):
        self.listeners, self.below, self.prepare = [], below or {}, prepare
        self.now_s, self.directories, self.held = 1000.0, 40, 40
        around = Surroundings(listen=self.listen, below=lambda _root: self.below, limit=lambda: LIMIT)
        self.events = Events("/data", ChangedDirectories(threading.Event()), around)

    def listen(self, root, add):
        listener = FakeListener(self.held)
        self.prepare(listener)
        self.listeners.append(listener)
        return listener

    @property
    def listener(self):
        return self.listeners[-1]

    def pulse(self, after_s=1.0):
        self.now_s += after_s
        return self.events.pulse(self.now_s, self.directories)

    def pass_time(self, seconds, each_s=1.0, events_per_s=0.0):
        """Pulse through some time; return how many sweeps were asked for."""
        sweeps = 0
        for _ in range(round(seconds / each_s)):
            if not self.listener.closed:
                self.listener.events += round(events_per_s * each_s)
            sweeps += self.pulse(each_s)
        return sweeps


def deaf(listener):
    listener.answers = False


def test_a_source_that_is_heard_asks_for_nothing():
    source = Source()
    assert source.pass_time(3600) == 0
    assert (source.events.means, source.events.problem, source.events.hears) == ("events and sweeps", None, True)
    assert len(source.listeners) == 1
    assert source.listener.asked == pytest.approx(3600 / SENTINEL_EVERY_S, abs=4)


def test_lost_events_are_swept_once():
    source = Source()
    source.pass_time(5)
    source.listener.lost += 3
    assert [source.pulse(), source.pulse(), source.pulse()] == [True, False, False]
    assert source.events.hears


def test_a_dead_thread_is_noticed_at_once_and_replaced():
    source = Source()
    source.pass_time(5)
    source.listener.alive = False
    assert source.pulse()
    assert source.listeners[0].closed
    assert len(source.listeners) == 2
    assert source.pass_time(60) == 0
    assert source.events.means == "events and sweeps"
    assert source.events.problem is None


def test_a_watcher_that_hangs_is_noticed_by_its_silence():
    source = Source()
    source.pass_time(5)
    source.listener.answers = False
    waited_s = 0
    while not source.pulse():
        waited_s += 1
        assert waited_s < SENTINEL_EVERY_S + ECHO_WITHIN_S + 3
    assert len(source.listeners) == 2
    assert source.events.problem is None


def test_a_process_that_stood_still_gives_the_reader_time_before_it_is_called_deaf():
    source = Source()
    source.pulse()
    source.listener.answers = False
    assert not source.pulse(3600)
    source.listener.answers = True
    assert not source.pulse(0.2)
    assert len(source.listeners) == 1


def test_two_silences_are_an_alarm_until_it_hears_again():
    source = Source(prepare=deaf)
    assert source.pass_time(2 * ECHO_WITHIN_S + 6) == 2
    assert source.events.means == "sweeps alone: the watcher fell silent twice"
    assert "fell silent twice" in source.events.problem
    assert "10 min" in source.events.problem
    assert not source.events.hears
    assert len(source.listeners) == 2
    assert all(listener.closed for listener in source.listeners)
    # tried again every ten minutes, in vain
    assert source.pass_time(RETRY_EVERY_S) == 1
    assert len(source.listeners) == 3
    assert source.pass_time(ECHO_WITHIN_S + 5) == 1
    assert source.listeners[2].closed
    assert source.events.problem is not None
    # and with success: not before the echo
    source.prepare = lambda listener: setattr(listener, "answers", False)
    assert source.pass_time(RETRY_EVERY_S) == 1
    assert source.events.problem is not None
    source.listener.answers = True
    source.pulse()
    assert (source.events.means, source.events.problem, source.events.hears) == ("events and sweeps", None, True)


def test_silences_that_lie_far_apart_are_no_alarm():
    source = Source()
    for _ in range(3):
        assert source.pass_time(RETRY_EVERY_S + 60) == 0
        source.listener.alive = False
        assert source.pulse()
        assert source.events.problem is None
    assert len(source.listeners) == 4


def test_a_sentinel_that_was_removed_is_made_anew_and_a_full_disk_proves_nothing():
    source = Source()
    source.pass_time(5)
    source.listener.ask_error = OSError(errno.ENOSPC, "No space left on device")
    assert source.pass_time(120) == 0
    source.listener.ask_error = FileNotFoundError(errno.ENOENT, "No such file or directory")
    assert source.pulse()
    assert len(source.listeners) == 2


def test_whatever_watchdog_raises_ends_in_a_sweep():
    source = Source()
    source.pulse()
    source.listener.ask_error = KeyError("watchdog")
    assert source.pulse(SENTINEL_EVERY_S)
    assert len(source.listeners) == 2


@pytest.mark.parametrize(
    ("error", "told", "remedy"),
    [
        (OSError(errno.ENOSPC, "inotify watch limit reached"), "watch limit reached", "max_user_watches=1048576"),
        (OSError(errno.EMFILE, "inotify instance limit reached"), "instance limit reached", "max_user_instances=512"),
        (OSError(errno.EACCES, "Permission denied"), "Permission denied", None),
        (RuntimeError("can't start new thread"), "can't start new thread", None),
    ],
)
def test_events_that_cannot_be_had_are_tried_again(error, told, remedy):
    def refuse(_listener):
        raise error

    source = Source(prepare=refuse)
    assert told in source.events.means
    assert source.events.means.startswith("sweeps alone: events cannot be had")
    assert (remedy in source.events.problem) if remedy else (source.events.problem is None)
    assert not source.events.hears
    assert not source.pulse()
    source.prepare = lambda _listener: None
    assert not source.pulse(RETRY_EVERY_S - 1)
    assert source.pulse(1)
    assert source.events.means == "events and sweeps"
    assert source.events.problem is None


# --- watches ----------------------------------------------------------------------------------------------------------


def test_a_watch_limit_is_shown_with_figures_and_its_end_is_noticed():
    source = Source()
    source.listener.room, source.listener.held = False, 10
    assert not source.pulse()
    assert source.events.means == (
        "sweeps alone: 10 of 40 directories could be watched (fs.inotify.max_user_watches is 10; raise it with sysctl)"
    )
    assert "sysctl fs.inotify.max_user_watches=1048576" in source.events.problem
    assert not source.events.hears
    assert not source.listener.closed
    # raised: the directories that were refused get their watches only from a new listener
    source.listener.room = True
    assert source.pass_time(COUNT_EVERY_S + 1) == 1
    assert len(source.listeners) == 2
    assert source.events.means == "events and sweeps"
    assert source.events.problem is None


def test_a_limit_that_is_reached_is_told_even_where_directories_are_watched_that_no_sweep_walks():
    source = Source()
    source.listener.room, source.listener.held = False, 60
    source.pulse()
    assert source.events.means.startswith("sweeps alone: no more than 40 directories can be watched")


def test_directories_that_come_and_go_are_no_shortage():
    source = Source()
    source.directories = 1000
    source.listener.held = 985
    assert source.pass_time(600) == 0
    assert source.events.hears


def test_directories_that_were_missed_are_watched_anew():
    source = Source()
    source.listener.held = 20
    assert source.pulse()
    assert source.pass_time(600) == 0
    assert len(source.listeners) == 2
    assert source.events.hears


def test_a_lasting_shortage_without_a_limit_is_shown_and_seldom_tried_again():
    source = Source(prepare=lambda listener: setattr(listener, "held", 20))
    assert source.pass_time(RETRY_EVERY_S) == 1
    assert source.events.means == "sweeps alone: 20 of 40 directories watched"
    assert not source.events.hears
    assert source.pass_time(RETRY_EVERY_S) == 1


def test_nothing_is_missing_before_the_first_sweep_or_where_watches_cannot_be_counted():
    source = Source()
    source.directories, source.listener.held = 0, 0
    assert source.pass_time(300) == 0
    source.directories, source.listener.held = 40, None
    assert source.pass_time(300) == 0
    assert source.events.hears


def test_watches_are_counted_seldom_where_there_are_many():
    class Counting(FakeListener):
        counted = 0

        def watches(self):
            Counting.counted += 1
            return 100_000

    source = Source()
    source.directories = 100_000
    source.events._listener = source.listeners[0] = Counting(100_000)
    source.pass_time(3600)
    assert 5 < Counting.counted <= 13


# --- pauses -----------------------------------------------------------------------------------------------------------


def test_too_many_events_pause_and_a_calm_source_is_heard_again():
    source = Source()
    source.pass_time(10)
    assert source.pass_time(5, events_per_s=1000) == 0
    assert source.events.means == "sweeps for now: 1,000 events a second; events again when it is calmer"
    assert source.events.problem is None
    assert not source.events.hears
    assert source.listener.closed
    # one sweep, when it is known to be calm
    assert source.pass_time(SHORTEST_PAUSE_S + 5) == 1
    assert source.events.means == "events and sweeps"
    assert source.events.hears
    assert len(source.listeners) == 2


def test_while_it_stays_busy_the_pauses_grow_and_nothing_is_swept_for_them():
    source = Source()
    heard_s = 0
    for _ in range(600):
        heard_s += not source.listener.closed
        assert source.pass_time(1, events_per_s=1000) == 0
        assert not source.events.hears or source.now_s < 1010
    assert heard_s < 600 * 0.07
    assert source.events._pace.pause(40) == LONGEST_PAUSE_S


def test_a_burst_is_no_reason_to_pause():
    source = Source()
    source.pass_time(10)
    source.pass_time(1, events_per_s=5000)
    source.pass_time(10)
    assert source.events.hears
    assert len(source.listeners) == 1


def test_many_directories_make_the_pause_longer_since_to_listen_again_costs_more():
    pace = Pace()
    assert pace.pause(100) == SHORTEST_PAUSE_S
    assert pace.pause(100_000) == 250.0


def test_the_pace_is_measured_over_a_second_at_least():
    pace = Pace()
    assert [pace.look(0, 10.0), pace.look(5_000, 10.5)] == [Tempo.UNKNOWN, Tempo.UNKNOWN]
    assert pace.look(100, 11.0) is Tempo.CALM
    assert pace.rate_per_s == 100.0


def test_a_pause_whose_end_fails_says_so():
    source = Source()
    source.pass_time(5, events_per_s=1000)

    def refuse(_listener):
        raise OSError(errno.ENOSPC, "inotify watch limit reached")

    source.prepare = refuse
    source.pass_time(SHORTEST_PAUSE_S + 1)
    assert "events cannot be had" in source.events.means


# --- where events do not come -----------------------------------------------------------------------------------------


@pytest.mark.fault(8)
@pytest.mark.parametrize(
    ("file_system", "means"),
    [
        ("nfs4", "sweeps alone: nfs4 does not tell what other machines write"),
        ("fuse.mine", "sweeps alone: whether fuse.mine tells what other machines write is not known"),
        ("a\x1bfs", "sweeps alone: whether a\\x1bfs tells what other machines write is not known"),
    ],
)
def test_file_systems_of_other_machines_are_swept(file_system, means):
    watching = watch("/nowhere", file_system, ChangedDirectories(threading.Event()))
    assert (watching.means, watching.problem, watching.hears) == (means, None, False)
    assert not watching.pulse(1.0, 40)
    watching.stop()


def test_a_share_mounted_below_a_disk_is_told():
    source = Source(below={"/data/disk": "xfs", "/data/sh\nare": "nfs4"})
    means = "events and sweeps, sweeps alone below /data/sh\\nare: nfs4 does not tell what other machines write"
    assert source.events.means == means
    assert source.events.problem is None
    assert not source.events.hears
    source.below = {}
    source.pass_time(COUNT_EVERY_S + 2)
    assert source.events.hears


def test_stopping_ends_the_listener():
    source = Source()
    source.events.stop()
    source.events.stop()
    assert source.listener.closed


def test_more_directories_than_can_be_named_mean_everything():
    changed = ChangedDirectories(threading.Event())
    for number in range(MOST_DIRECTORIES + 1):
        changed.add(f"/data/{number}")
    found, overflown = changed.take()
    assert (len(found), overflown) == (MOST_DIRECTORIES, True)
    assert changed.take() == (set(), False)
