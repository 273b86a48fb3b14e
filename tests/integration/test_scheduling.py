"""Who is next: the crew's real archivers and deliverers, and a spool that has room or not."""

from __future__ import annotations

import json
import os
import threading
import time
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import pytest
from depot_support import Depot, irrmc, uploads_of, write_secret
from engine_support import FakeDestination, plan_of
from mounts_support import run_on_tmpfs

from depositd.archive import dataset_directory
from depositd.config import parse_config
from depositd.destinations.base import Outcome
from depositd.engine.retention import remove_expired
from depositd.journal import Journal, PlannedDelivery, Sighting
from depositd.model import Dataset, DatasetState, DeliveryState, FileStat, Verdict, VerdictKind
from depositd.sandbox import running
from depositd.service.clock import utc_now
from depositd.service.crew import Crew
from depositd.service.daemon import Daemon, Options
from depositd.service.heartbeats import Heartbeats
from depositd.states import DeliveryEvent
from depositd.systemd import NoSupervisor
from depositd.watch.quiet import fingerprint

S, E = DeliveryState, DeliveryEvent
DONE = Outcome(E.DELIVERED, remote_id="there")
KB, MIB = 1000, 1 << 20
QUICK = "retry: {first: 200ms, longest: 500ms}"
DRIVE_WITHIN_S = 30.0


class Depository:
    """A journal, a plan and a crew that is driven tick by tick, as the daemon's loop does it."""

    def __init__(self, directory: Path, *destinations, settings="", spool="{min_free: 0}", rule="", more="", **crew):
        self.directory, self.root = directory, directory / "data"
        self.root.mkdir(parents=True, exist_ok=True)
        names = [one.name for one in destinations] or ["vault"]
        where = ", ".join(f"{name}: {{type: directory, path: {directory}/{name}{settings}}}" for name in names)
        for name in names:
            (directory / name).mkdir(exist_ok=True)
        self.config = parse_config(
            f"state_dir: {directory}/state\nspool: {spool}\n{QUICK}\n{more}\ndestinations: {{{where}}}\n"
            f"rules: [{{name: r, watch: {self.root}, format: file, deliver: [{', '.join(names)}]{rule}}}]\n",
            "test.yaml",
        )
        (directory / "state").mkdir()
        self.journal = Journal(directory / "state" / "journal.db")
        self.plan = plan_of(self.config, *destinations) if destinations else _real_plan(self.config)
        self._crew = crew
        self._clock = utc_now() - timedelta(hours=1)

    def see(self, name: str, content: bytes) -> int:
        """Write a file and record it as a dataset that has ended, each a minute after the one before."""
        (self.root / name).write_bytes(content)
        now = os.lstat(self.root / name)
        file = FileStat(name, now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino)
        dataset = Dataset(name, "file", "", name, name, (file,))
        verdict = Verdict(VerdictKind.COMPLETE, ("1 file",))
        digest = fingerprint(dataset.files, dataset.directory)
        sighting = Sighting("r", str(self.root), dataset, verdict, digest, {}, {}, None, {})
        planned = [PlannedDelivery(one, "auto") for one in self.config.destinations]
        self._clock += timedelta(minutes=1)
        return self.journal.datasets.record(sighting, planned, self._clock).record.id

    @contextmanager
    def crew(self):
        """Let a crew work for as long as the block lasts."""
        stopping, wake = threading.Event(), threading.Event()
        crew = Crew(self.plan, self.journal, Heartbeats(time.monotonic), stopping=stopping, wake=wake.set, **self._crew)
        try:
            yield partial(drive, crew, wake)
        finally:
            stopping.set()
            crew.stop(time.monotonic() + 10)

    def dataset(self, number: int):
        return self.journal.datasets.get(number)

    def state(self, number: int) -> DeliveryState:
        (standing,) = self.journal.deliveries.of_dataset(number)
        return standing.delivery.state

    def history(self, number: int) -> list[str]:
        return [line["event"] for line in self.journal.view.show(number)["history"]]


def _real_plan(config):
    from depositd.destinations import build
    from depositd.engine.planning import Plan

    return Plan(config, {name: build(name, one) for name, one in config.destinations.items()})


def drive(crew, wake, until, within_s=DRIVE_WITHIN_S):
    """Hand out what is due until something is so."""
    deadline_s = time.monotonic() + within_s
    while not until():
        assert time.monotonic() < deadline_s, "it took too long"
        wake.clear()
        crew.dispatch(utc_now())
        wake.wait(0.02)


@pytest.fixture
def depository(tmp_path):
    made = []

    def make(*destinations, **more):
        made.append(Depository(tmp_path / f"site{len(made)}", *destinations, **more))
        return made[-1]

    yield make
    for one in made:
        assert one.journal.database.problems() == []
        one.journal.close()


class Slow(FakeDestination):
    """Takes what is sent once it may, and remembers what came in which order and how many came at once."""

    def __init__(self, name="one", **more):
        super().__init__(name, **more)
        self.order, self.most_at_once = [], 0
        self.may_end = {}
        self._lock, self._now = threading.Lock(), 0

    def step(self, delivery, archive, metadata, report):
        with self._lock:
            self.order.append(delivery.dataset_id)
            self._now += 1
            self.most_at_once = max(self.most_at_once, self._now)
        try:
            gate = self.may_end.get(delivery.dataset_id)
            assert gate is None or gate.wait(DRIVE_WITHIN_S)
        finally:
            with self._lock:
                self._now -= 1
        return DONE


# archiving


def test_a_small_dataset_passes_two_huge_ones_that_are_archived(depository):
    d = depository(Slow(), rule=", gentle: {read_rate: 300kB/s}", huge_bytes=500 * KB)
    first, second = (d.see(name, os.urandom(900 * KB)) for name in ("huge_1", "huge_2"))
    small = d.see("small", b"small")
    with d.crew() as until:
        until(lambda: d.dataset(small).state is DatasetState.ARCHIVED)
        assert d.dataset(first).state is DatasetState.COMPLETE
        begun = {transfer.subject for transfer in d.journal.surroundings.transfers()}
        assert f"dataset {second}" not in begun
        until(lambda: d.dataset(second).state is DatasetState.ARCHIVED)
    assert d.dataset(first).state is DatasetState.ARCHIVED


@pytest.mark.parametrize(("order", "expected"), [("oldest-first", [1, 2, 3, 4]), ("newest-first", [4, 3, 2, 1])])
def test_what_waits_is_archived_and_sent_in_the_order_of_the_config(depository, order, expected):
    server = Slow()
    d = depository(server, settings=", parallel: 1", more=f"order: {order}")
    numbers = [d.see(f"d_{number}", b"%d" % number) for number in range(4)]
    assert [one.id for one in d.journal.datasets.packable(utc_now(), newest_first=d.config.newest_first)] == expected
    for number in numbers:
        d.journal.datasets.pack_waits([_wait(number)], utc_now() + timedelta(hours=1), utc_now())
    with d.crew() as until:
        for number in numbers:
            d.journal.datasets.pack_begins(number)
            server.may_end[number] = threading.Event()
        until(lambda: all(d.dataset(number).state is DatasetState.ARCHIVED for number in numbers))
        blocked = server.order[0]
        for gate in server.may_end.values():
            gate.set()
        until(lambda: all(d.state(number) is S.DELIVERED for number in numbers))
    # the first was on its way before the others were archived
    assert server.order == [blocked, *(number for number in expected if number != blocked)]


def _wait(number):
    from depositd.journal import PackWait

    return PackWait(number, "no room in the spool: for a test", "")


# uploads


def test_with_two_uploads_at_once_one_is_kept_for_what_is_small(depository):
    server = Slow()
    d = depository(server, settings=", parallel: 2", huge_bytes=10 * KB)
    first, second = (d.see(name, os.urandom(20 * KB)) for name in ("huge_1", "huge_2"))
    server.may_end = {first: threading.Event(), second: threading.Event()}
    small = [d.see(f"small_{number}", b"%d" % number) for number in range(5)]
    with d.crew() as until:
        until(lambda: all(d.state(number) is S.DELIVERED for number in small))
        until(lambda: d.dataset(second).state is DatasetState.ARCHIVED)
        assert [number for number in server.order if number in (first, second)] == [first]
        server.may_end[first].set()
        until(lambda: second in server.order)
        server.may_end[second].set()
        until(lambda: d.state(second) is S.DELIVERED)
    assert sorted(server.order) == [first, second, *small]
    assert server.most_at_once == 2


def test_questions_never_make_more_uploads_than_are_allowed(depository):
    server = Slow()
    d = depository(server, settings=", parallel: 1")
    numbers = [d.see(f"d_{number}", b"%d" % number) for number in range(4)]
    with d.crew() as until:
        until(lambda: all(d.state(number) is S.DELIVERED for number in numbers))
    assert server.most_at_once == 1


@pytest.fixture
def sandbox():
    with running(pace_s=0.05) as box:
        yield box


def _depot(tmp_path, box, more):
    secret = tmp_path / "secret"
    settings = irrmc(box, secret, more=more).replace("poll_every: 60s", "poll_every: 100ms")
    write_secret(secret, box.pdi_token)
    return Depot(tmp_path / "depot", [settings], utc_now, more=QUICK)


@contextmanager
def _crew_of(depot, **more):
    stopping, wake = threading.Event(), threading.Event()
    crew = Crew(depot.plan, depot.journal, Heartbeats(time.monotonic), stopping=stopping, wake=wake.set, **more)
    try:
        yield partial(drive, crew, wake)
    finally:
        stopping.set()
        crew.stop(time.monotonic() + 10)
        depot.close()


def _slow(box, times):
    box.fault("/api/v1/upload/", "slow", times=times, bytes_per_s=100 * KB)


def test_polls_and_submits_go_on_during_a_long_upload_also_with_one_upload_at_a_time(sandbox, tmp_path):
    depot = _depot(tmp_path, sandbox, ", parallel: 1")
    asked = depot.dataset("asked", b"asked", "irrmc")
    with _crew_of(depot) as until:
        until(lambda: depot.delivery(asked).state is S.UPLOADED or depot.delivery(asked).remote_id is not None)
        _slow(sandbox, times=1)
        large = depot.dataset("large", os.urandom(400 * KB), "irrmc")
        until(lambda: depot.delivery(large).sent_at is not None)
        until(lambda: depot.delivery(asked).state is S.DELIVERED)
        assert (depot.delivery(large).state, depot.delivery(large).sent_at is not None) == (S.WAITING, True)
        until(lambda: depot.delivery(large).state is S.DELIVERED)
        for number in (asked, large):
            assert len(uploads_of(sandbox, depot.archives[number])) == 1
            assert depot.events(number).count("sending") == 1
    assert sandbox.requests["POST /api/v1/upload/"] == 2


def test_a_small_dataset_passes_two_huge_ones_on_the_wire(sandbox, tmp_path):
    _slow(sandbox, times=2)  # to the small one it makes no difference
    depot = _depot(tmp_path, sandbox, ", parallel: 2")
    first, second = (depot.dataset(name, os.urandom(400 * KB), "irrmc") for name in ("huge_1", "huge_2"))
    small = depot.dataset("small", b"small", "irrmc")
    with _crew_of(depot, huge_bytes=100 * KB) as until:
        until(lambda: depot.delivery(small).state is S.DELIVERED)
        assert depot.delivery(first).sent_at is not None
        assert (depot.delivery(second).state, depot.delivery(second).sent_at) == (S.WAITING, None)
        until(lambda: depot.delivery(second).state is S.DELIVERED)
        assert depot.delivery(first).state is S.DELIVERED
    assert sandbox.requests["POST /api/v1/upload/"] == 3


# room in the spool


def test_what_has_no_room_waits_and_goes_on_when_archives_are_removed(depository):
    d = depository(spool="{min_free: 0, quota: 1MB}", rule=", keep_archive: 0s")
    first, second, third = (d.see(f"d_{number}", os.urandom(400 * KB)) for number in range(3))
    small = d.see("small", b"small")
    with d.crew() as until:
        until(lambda: all(d.state(number) is S.DELIVERED for number in (first, second, small)))
        until(lambda: d.dataset(third).pack_error is not None)
        assert d.dataset(third).pack_error.startswith("no room in the spool: about 467 kB are needed, and ")
        assert "of the quota of 1.00 MB" in d.dataset(third).pack_error
        waited = d.dataset(third).next_pack_at
        until(lambda: d.dataset(third).next_pack_at > waited)
        assert d.history(third) == ["seen", "completed", "archiving waits"]
        assert d.dataset(third).pack_failures == 0
        until(
            lambda: "of delivered archives are kept by keep_archive, and enough of them" in d.dataset(third).pack_hint
        )
        assert len(remove_expired(d.plan, d.journal, utc_now())) == 3
        until(lambda: d.state(third) is S.DELIVERED)
    assert d.dataset(third).pack_error is None
    assert d.history(third)[3:] == ["archived", "delivered"]
    assert sorted(path.name for path in (d.directory / "vault").iterdir()) == [
        "d_0.tar.zst", "d_1.tar.zst", "d_2.tar.zst", "small.tar.zst"
    ]  # fmt: skip


def test_what_lies_unfinished_in_the_spool_counts_for_the_quota_and_for_what_is_there_already(depository):
    from depositd.engine.room import measure

    d = depository(spool="{min_free: 0, quota: 1MB}")
    spool = d.directory / "state" / "spool"
    for number, size in ((1, 300), (2, 500)):
        (spool / f"depositd-{number}").mkdir(parents=True)
        (spool / f"depositd-{number}" / "archive.part").write_bytes(bytes(size * KB))
    room = measure(d.plan, d.journal, {2: 600 * KB})
    assert (room.own_bytes, room.promised_bytes, room.left_bytes) == (800 * KB, 100 * KB, 100 * KB)


def test_what_was_only_begun_makes_room_for_the_next_in_line(depository):
    d = depository(spool="{min_free: 0, quota: 1MB}")
    spool = d.directory / "state" / "spool"
    begun = []
    for number, size in ((7, 300), (8, 500), (9, 100)):
        (spool / f"depositd-{number}").mkdir(parents=True)
        begun.append(spool / f"depositd-{number}" / "archive.part")
        begun[-1].write_bytes(bytes(size * KB))
    first = d.see("first", os.urandom(300 * KB))
    with d.crew() as until:
        until(lambda: d.state(first) is S.DELIVERED)
    assert [part.exists() for part in begun] == [False, True, True], "no more than is needed"


def test_what_was_only_begun_stays_where_it_would_not_help(depository):
    d = depository(spool="{min_free: 0, quota: 1MB}", rule=", keep_archive: 7d")
    first = d.see("first", os.urandom(700 * KB))
    with d.crew() as until:
        until(lambda: d.state(first) is S.DELIVERED)
    part = d.directory / "state" / "spool" / "depositd-9" / "archive.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(bytes(100 * KB))
    second = d.see("second", os.urandom(600 * KB))
    with d.crew() as until:
        until(lambda: d.dataset(second).pack_error is not None)
    assert part.exists()


def test_smaller_ones_pass_what_has_no_room(depository):
    d = depository(spool="{min_free: 0, quota: 1MB}")
    d.see("first", os.urandom(600 * KB))
    waiting = d.see("waiting", os.urandom(600 * KB))
    small = [d.see(f"small_{number}", b"%d" % number) for number in range(3)]
    with d.crew() as until:
        until(lambda: all(d.state(number) is S.DELIVERED for number in small))
        until(lambda: d.dataset(waiting).pack_error is not None)
    assert d.dataset(waiting).state is DatasetState.COMPLETE


def test_the_head_of_a_long_line_that_has_no_room_costs_a_write_now_and_then_and_not_one_at_every_tick(depository):
    d = depository(spool="{min_free: 0, quota: 1MB}", more="sweep_every: 60s")
    d.see("first", os.urandom(900 * KB))
    numbers = [d.see(f"d_{number}", os.urandom(300 * KB)) for number in range(40)]
    with d.crew() as until:
        until(lambda: d.state(1) is S.DELIVERED)
        end_s = time.monotonic() + 0.4  # less than the wait
        until(lambda: time.monotonic() > end_s)
    said = [number for number in numbers if d.dataset(number).pack_error is not None]
    assert said == numbers[: len(said)]
    assert 1 <= len(said) <= 4


def test_until_idle_does_not_wait_for_what_can_never_fit_and_says_what_would_help(depository):
    d = depository(spool="{min_free: 0, quota: 100kB}")
    large = d.see("large", os.urandom(300 * KB))
    small = d.see("small", b"small")
    status = Daemon(d.config, d.journal, NoSupervisor(), Options(until_idle=True)).run()
    assert (status, d.state(small), d.state(large)) == (3, S.DELIVERED, S.WAITING)
    assert d.dataset(large).pack_error == ("too large for the spool: about 367 kB are needed, and the quota is 100 kB")
    assert d.dataset(large).pack_hint == f"raise spool.quota; depositd skip {large} leaves this dataset"
    assert d.history(large).count("archiving waits") == 1


def test_a_place_in_the_spool_that_cannot_be_read_keeps_nothing_from_being_sent(depository):
    server = Slow()
    d = depository(server)
    bad, good = d.see("bad", b"x"), d.see("good", b"y")
    spool = Path(d.config.spool.path)
    spool.mkdir(parents=True)
    Path(dataset_directory(str(spool), bad)).write_bytes(b"no directory")
    with d.crew() as until:
        until(lambda: d.state(good) is S.DELIVERED)
        until(lambda: d.dataset(bad).pack_error is not None)
    assert d.dataset(bad).pack_error.endswith("File exists")


class Uploads(Slow):
    """Takes the first three in one step, and is asked about each of them in another one."""

    def step(self, delivery, archive, metadata, report):
        if delivery.state is S.WAITING and delivery.dataset_id <= 3:
            return Outcome(E.UPLOADED, remote_id="there")
        return super().step(delivery, archive, metadata, report)


def test_more_is_due_than_questions_leave_places_for_and_the_loop_goes_round(depository):
    """Who hands it out is also who hears of a stop."""
    server = Uploads()
    d = depository(server, settings=", parallel: 2")
    server.may_end = {number: threading.Event() for number in range(1, 6)}

    def all_end():
        for gate in server.may_end.values():
            gate.set()

    with d.crew() as until:
        asked = [d.see(f"d_{number}", b"x") for number in range(3)]
        until(lambda: sorted(server.order) == asked)
        sent = [d.see(f"d_{number}", b"x") for number in range(3, 5)]
        until(lambda: all(d.dataset(number).state is DatasetState.ARCHIVED for number in sent))
        last_resort = threading.Timer(10, all_end)
        last_resort.start()
        server.may_end[3].set()
        until(lambda: len(server.order) == 4)  # of three workers, two ask
        assert not server.may_end[1].is_set()
        last_resort.cancel()
        all_end()
        until(lambda: all(d.state(number) is S.DELIVERED for number in sent))


ON_TMPFS = """
import json, os, sys, threading, time
from datetime import timedelta
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from test_scheduling import DRIVE_WITHIN_S, MIB, S, Depository, Slow, remove_expired, utc_now
import shutil
spool, home = sys.argv[1], Path(sys.argv[2])
server = Slow("vault")
d = Depository(home, server, spool=f"{{path: {spool}, min_free: 10MiB}}", rule=", keep_archive: 0s")
numbers = [d.see(f"d_{number}", os.urandom(11 * MIB)) for number in range(6)]
server.may_end = {number: threading.Event() for number in numbers}
lowest = [2**62]
def free():
    lowest[0] = min(lowest[0], shutil.disk_usage(spool).free)
told = {}
with d.crew() as until:
    def archived():
        free()
        return [n for n in numbers if d.dataset(n).archived_at is not None]
    def waits():
        return [n for n in numbers if d.dataset(n).pack_error is not None]
    until(lambda: archived() == numbers[:3] and waits())
    told["first round"] = [archived(), d.dataset(waits()[0]).pack_error]
    for gate in server.may_end.values():
        gate.set()  # what is archived goes on being sent while the spool is full
    until(lambda: all(d.state(n) is S.DELIVERED for n in numbers[:3]))
    told["still waits"] = len(archived())
    while not all(d.state(n) is S.DELIVERED for n in numbers):
        remove_expired(d.plan, d.journal, utc_now())
        seen = utc_now() + timedelta(seconds=0.5)
        until(lambda: free() or utc_now() > seen)
told["sent"] = sorted(server.order)
told["failures"] = sum(d.dataset(n).pack_failures for n in numbers)
told["lowest"] = lowest[0]
d.journal.close()
print(json.dumps(told))
"""


@pytest.mark.mounts
def test_a_spool_of_fifty_megabytes_takes_what_fits_and_everything_is_sent_once(tmp_path):
    spool = tmp_path / "spool"
    spool.mkdir()
    arguments = (str(tmp_path / "home"), str(Path(__file__).parent))
    told = json.loads(run_on_tmpfs(spool, "50m", ON_TMPFS, *arguments).splitlines()[-1])
    assert told["first round"][0] == [1, 2, 3]
    assert told["first round"][1].startswith("no room in the spool: about 11.6 MB are needed, and ")
    assert "are free above the floor of 10.5 MB" in told["first round"][1]
    assert told["still waits"] == 3
    assert told["sent"] == [1, 2, 3, 4, 5, 6]
    assert told["failures"] == 0
    assert told["lowest"] >= 10 * MIB
