"""The daemon with its threads, on real directories."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time

import pytest
from engine_support import NOW, archived, config_of, frames
from format_files import cbf_bytes

from depositd.engine.scheduling import Job
from depositd.errors import ConfigError, LockedError, Unavailable
from depositd.journal import Fact, Journal
from depositd.model import DatasetState, DeliveryState
from depositd.service.daemon import Daemon, Options
from depositd.service.lock import StateLock, running_pid
from depositd.service.workers import Pool
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor, redact

QUICK = "retry: {first: 200ms, longest: 1s}\nsweep_every: 1s"


class Recorder(NoSupervisor):
    """A supervisor that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[dict] = []

    def notify(self, **told):
        self.told.append(told)

    def heard(self, word):
        return [told for told in self.told if told.get(word)]


class Site:
    """A source, a vault, a journal and a daemon that can be run in a thread."""

    def __init__(self, tmp_path):
        self.state, self.root, self.vault = tmp_path / "state", tmp_path / "data", tmp_path / "vault"
        for directory in (self.state, self.root, self.vault):
            directory.mkdir()
        self.journal = Journal(self.state / "journal.db")
        self.supervisor = Recorder()
        self.status = None
        self.thread = None

    def config(self, *, rule="", settings="", more=QUICK, form="frames"):
        return config_of(
            self.state,
            rules=f"{{name: r, watch: {self.root}, format: {form}, settle: 0s, deliver: [vault]{rule}}}",
            destinations=f"vault: {{type: directory, path: {self.vault}{settings}}}",
            more=more,
        )

    def write(self, name="lyso_1", count=3, content=None):
        for number in range(1, count + 1):
            (self.root / f"{name}_{number:05}.cbf").write_bytes(content or cbf_bytes(number))

    def daemon(self, config=None, **options):
        return Daemon(config or self.config(), self.journal, self.supervisor, Options(**options))

    def start(self, daemon):
        def run():
            self.status = daemon.run()

        self.thread = threading.Thread(target=run, daemon=True)
        self.thread.start()

    def until(self, what, within_s=20.0):
        deadline_s = time.monotonic() + within_s
        while not what():
            assert time.monotonic() < deadline_s, "it took too long"
            time.sleep(0.02)

    def end(self, daemon, within_s=10.0):
        began_s = time.monotonic()
        daemon.stop()
        self.thread.join(within_s)
        assert not self.thread.is_alive()
        return time.monotonic() - began_s

    def states(self):
        return [
            (one["name"], one["state"], [to["state"] for to in one["deliveries"]])
            for one in self.journal.view.status()["datasets"]
        ]


@pytest.fixture
def site(tmp_path):
    made = Site(tmp_path)
    yield made
    assert made.journal.database.problems() == []
    made.journal.close()


def test_until_idle_delivers_what_is_there_and_ends_well(site):
    site.write()
    assert site.daemon(until_idle=True).run() == 0
    assert site.states() == [("lyso_1", "archived", ["delivered"])]
    assert [path.name for path in site.vault.iterdir()] == ["lyso_1.tar.zst"]
    assert len(site.supervisor.heard("ready")) == 1
    assert len(site.supervisor.heard("stopping")) == 1
    assert site.daemon(until_idle=True).run() == 0
    assert site.states() == [("lyso_1", "archived", ["delivered"])]


def test_until_idle_says_that_something_needs_an_operator(site):
    site.write()
    assert site.daemon(site.config(rule=", expect: {frames: 9}"), until_idle=True).run() == 3
    assert site.states() == [("lyso_1", "incomplete", ["held"])]


def test_until_idle_waits_for_retries_that_are_due_later(site):
    site.write()
    os.rename(site.vault, f"{site.vault}-away")
    daemon = site.daemon(until_idle=True)
    site.start(daemon)
    site.until(lambda: site.journal.deliveries.get(1) and site.journal.deliveries.get(1).delivery.failures > 0)
    assert site.thread.is_alive()
    os.rename(f"{site.vault}-away", site.vault)
    site.thread.join(20)
    assert site.status == 0
    assert site.states() == [("lyso_1", "archived", ["delivered"])]


def test_until_idle_ends_where_there_is_nothing_and_where_the_source_is_missing(site):
    assert site.daemon(until_idle=True).run() == 0
    site.root.rmdir()
    assert site.daemon(until_idle=True).run() == 0
    assert site.journal.surroundings.sources()[0].state == "unavailable"


def test_a_delivery_to_a_destination_that_the_config_does_not_have_is_held_and_ends_the_wait(site):
    archived(site.journal, frames(), "gone-from-config")
    assert site.daemon(until_idle=True).run() == 3
    assert site.journal.deliveries.get(1).delivery.state is DeliveryState.HELD


def test_what_a_crash_left_is_asked_about_and_swept_up(site):
    site.write()
    assert site.daemon(until_idle=True).run() == 0
    orphan = site.state / "spool" / "depositd-1" / "half.tar.zst.part"
    orphan.write_bytes(b"half")
    site.write("lyso_2", content=cbf_bytes(5))
    site.journal.deliveries.add(1, "other", {}, NOW)
    site.journal.deliveries.begin_send(2, {}, NOW)
    site.daemon(until_idle=True).run()
    assert not orphan.exists()
    assert ("lyso_2", "archived", ["delivered"]) in site.states()
    assert "answer lost" in [line["event"] for line in site.journal.view.show(1)["history"]]


def test_a_stop_during_a_slow_transfer_ends_within_seconds_and_the_next_start_goes_on(site):
    site.write(content=os.urandom(300_000))
    daemon = site.daemon(site.config(settings=", rate_limit: 100kB/s", form="file"))
    site.start(daemon)
    site.until(lambda: any(path.suffix == ".part" for path in site.vault.iterdir()))
    assert site.end(daemon) < 9
    assert site.status == 0
    assert site.journal.deliveries.counts().get(DeliveryState.DELIVERED, 0) < 3
    assert all(path.suffix != ".part" for path in site.vault.iterdir())
    assert site.daemon(site.config(form="file"), until_idle=True).run() == 0
    assert site.journal.deliveries.counts() == {DeliveryState.DELIVERED: 3}


def test_a_new_config_is_taken_up_and_a_bad_one_is_refused_while_work_goes_on(site):
    def bad():
        raise ConfigError(["config.yaml:1:1: rules: is empty (at least one)"])

    answers = [bad, lambda: site.config(rule=", exclude: ['bad*']", settings=", parallel: 4")]

    def reload():
        return answers.pop(0)()

    daemon = site.daemon(reload=reload)
    site.start(daemon)
    site.until(lambda: site.supervisor.heard("ready"))
    daemon.ask_reload()
    site.until(lambda: len(answers) == 1)
    site.write("good_1")
    site.until(lambda: ("good_1", "archived", ["delivered"]) in site.states())
    daemon.ask_reload()
    site.until(lambda: len(site.supervisor.heard("ready")) == 3)
    assert len(site.supervisor.heard("reloading")) == 2
    site.write("bad_1", content=cbf_bytes(7))
    site.write("late_1", content=cbf_bytes(8))
    site.until(lambda: ("late_1", "archived", ["delivered"]) in site.states())
    assert "bad_1" not in [name for name, *_ in site.states()]
    site.end(daemon)


def test_the_state_directory_cannot_move_while_the_daemon_runs(site, tmp_path):
    daemon = site.daemon(reload=lambda: config_of(tmp_path / "elsewhere", root=site.root))
    site.start(daemon)
    site.until(lambda: site.supervisor.heard("ready"))
    daemon.ask_reload()
    site.until(lambda: len(site.supervisor.heard("ready")) == 2)
    site.write()
    site.until(lambda: site.states() and site.states()[0][2] == ["delivered"])
    site.end(daemon)
    assert (site.vault / "lyso_1.tar.zst").exists()


def test_only_what_was_asked_for_is_delivered(site):
    first = archived(site.journal, frames(name="a_1"), "vault")
    archived(site.journal, frames(name="b_1"), "vault")
    site.journal.deliveries.apply(1, Fact(DeliveryEvent.FAILED, "refused"), NOW)
    site.write()
    assert site.daemon(until_idle=True, only=frozenset({1})).run() == 3
    assert site.journal.deliveries.get(2).delivery.attempts == 0
    assert site.journal.datasets.get(first.id).state is DatasetState.ARCHIVED
    assert len(site.states()) == 2


def test_an_operators_word_is_heard_while_the_daemon_runs(site):
    site.write()
    daemon = site.daemon(site.config(rule=", expect: {frames: 9}"))
    site.start(daemon)
    site.until(lambda: site.states() == [("lyso_1", "incomplete", ["held"])])
    cli = Journal(site.state / "journal.db")
    cli.deliveries.word(1, DeliveryEvent.WORD_RELEASE, {}, NOW)
    cli.close()
    site.until(lambda: site.states() == [("lyso_1", "archived", ["delivered"])])
    site.end(daemon)
    assert daemon.healthy == []


def test_work_that_ended_badly_is_not_taken_for_a_silent_worker(site):
    archived(site.journal, frames(), "vault")
    daemon = site.daemon()
    standing = site.journal.deliveries.get(1)
    site.journal.deliveries.word(1, DeliveryEvent.WORD_HOLD, {}, NOW)
    daemon._crew._deliver(standing)
    assert daemon.heartbeats._beats == {}
    daemon._shut_down()


@pytest.mark.parametrize(
    "kind", ["type: proteindiffraction", "type: proteomicsqc, project: a, pipeline: b, accept_archives: true"]
)
def test_a_token_that_was_used_is_left_out_of_the_log(site, monkeypatch, kind):
    canary = f"canary-{len(kind)}-" + "7" * 33
    monkeypatch.setenv("CANARY_TOKEN", canary)
    server = f"{{{kind}, url: 'http://127.0.0.1:9/api/v1/', token: {{env: CANARY_TOKEN}}}}"
    daemon = site.daemon(config_of(site.state, destinations=f"one: {server}"))
    with pytest.raises(Unavailable):
        daemon._plan.destinations["one"].whoami()
    assert canary not in redact(f"unforeseen: {canary}")
    daemon._shut_down()


# its parts


@pytest.mark.fault(31)
def test_a_second_daemon_is_refused_and_told_who_is_first(tmp_path):
    assert running_pid(tmp_path) is None
    lock = StateLock(tmp_path)
    assert running_pid(tmp_path) == os.getpid()
    with pytest.raises(LockedError, match=rf"another depositd is running on .* \(pid {os.getpid()}\)"):
        StateLock(tmp_path)
    lock.release()
    assert running_pid(tmp_path) is None
    StateLock(tmp_path).release()


@pytest.mark.fault(31)
def test_a_killed_daemon_leaves_no_lock(tmp_path):
    program = (
        "import sys, time; from pathlib import Path; from depositd.service.lock import StateLock\n"
        "lock = StateLock(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    assert running_pid(tmp_path) == holder.pid
    holder.kill()
    holder.wait()
    holder.stdout.close()
    assert running_pid(tmp_path) is None
    StateLock(tmp_path).release()


class Gate:
    """Work that says when it began and goes on when it may."""

    def __init__(self):
        self.began, self.may_end = threading.Event(), threading.Event()

    def __call__(self):
        self.began.set()
        assert self.may_end.wait(10)


def test_a_pool_runs_each_key_once_at_a_time_and_no_more_than_it_has_workers():
    pool = Pool("test", 2, lambda _name, error: pytest.fail(str(error)))
    one, two = Gate(), Gate()
    assert pool.submit(Job("one", one))
    assert not pool.submit(Job("one", one))
    assert pool.submit(Job("two", two))
    assert not pool.submit(Job("three", one))
    assert [job.key for job in pool.under_way] == ["one", "two"]
    for gate in (one, two):
        assert gate.began.wait(5)
        gate.may_end.set()
    assert pool.stop(5)
    assert pool.under_way == []


def test_a_pool_that_is_resized_still_knows_what_is_under_way():
    pool = Pool("test", 1, lambda _name, error: pytest.fail(str(error)))
    first, second = Gate(), Gate()
    assert pool.submit(Job("one", first))
    assert first.began.wait(5)
    pool.resize(2)
    assert not pool.submit(Job("one", second))
    assert pool.submit(Job("two", second))
    assert second.began.wait(5)
    pool.resize(1)
    assert not pool.submit(Job("three", second))
    first.may_end.set()
    second.may_end.set()
    assert pool.stop(5)


def test_failing_work_ends_neither_its_thread_nor_the_next_work():
    failed = []
    pool = Pool("test", 2, lambda name, error: failed.append((name, str(error))))

    def fail():
        raise ZeroDivisionError("a bug")

    done = threading.Event()
    pool.submit(Job("bad", fail))
    pool.submit(Job("good", done.set))
    assert done.wait(5)
    assert pool.stop(5)
    assert failed == [("test", "a bug")]


def test_work_that_was_left_alone_when_the_daemon_stopped_fails_unheard():
    failed, may_end, began = [], threading.Event(), threading.Event()

    def work():
        began.set()
        may_end.wait(20)
        raise OSError("the journal is closed")

    pool = Pool("archiver", 1, lambda _name, error: failed.append(error))
    pool.submit(Job("one", work))
    began.wait(20)
    assert not pool.stop(0.01)
    may_end.set()
    deadline_s = time.monotonic() + 20
    while pool.under_way and time.monotonic() < deadline_s:
        time.sleep(0.01)
    assert (pool.under_way, failed) == ([], [])
