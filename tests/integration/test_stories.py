"""What happens at a beamline, told from the dataset to the servers' last word; hours pass at once.

The engine works on a real journal and real files, over sockets with the sandbox; where a story says so, the daemon
does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from beamline_support import write_run, write_series
from clock_support import ManualClock
from depot_support import (
    METADATA,
    Depot,
    asked,
    irrmc,
    qc,
    runs_of,
    stopping_aside,
    uploads_of,
    watched,
    write_secret,
)

from depositd.destinations.proteindiffraction import Client
from depositd.engine import words
from depositd.engine.by_hand import record_by_hand
from depositd.engine.packing import pack_dataset
from depositd.model import DeliveryState, HoldKind
from depositd.sandbox import Sandbox
from depositd.sandbox.seed import OWNER
from depositd.service.daemon import Daemon, Options
from depositd.systemd import NoSupervisor

S, H = DeliveryState, HoldKind
HOUR_S = 3600.0
UPLOAD = "POST /api/v1/upload/"
NEW_TOKEN = "e" * 40


@pytest.fixture(scope="module")
def stop() -> Iterator[Callable[[Sandbox], None]]:
    with stopping_aside() as stop_aside:
        yield stop_aside


class Site:
    """A sandbox, and a depot that delivers to it."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        # real files look old to whoever asks for the time
        self.clock = ManualClock(datetime.now(UTC).replace(microsecond=0))
        self.clock.advance(HOUR_S)
        self.place = tmp_path
        self.box = watched(self.clock, **options)
        self.box.start()
        self.secrets = {"irrmc": tmp_path / "irrmc.secret", "qc": tmp_path / "qc.secret"}

    def opens(self, *destinations: str, more: str = "retry: {first: 15s, longest: 1h}") -> Depot:
        self.depot = Depot(self.place, destinations, self.clock, more=more)
        return self.depot

    def irrmc(self, **details: Any) -> str:
        return irrmc(self.box, self.secrets["irrmc"], **details)

    def qc(self, **details: Any) -> str:
        return qc(self.box, self.secrets["qc"], **details)

    def submit(self, path: Path, to: str, **values: Any) -> int:
        """Find, judge, record and archive what lies at a path."""
        depot = self.depot
        found = record_by_hand(
            depot.plan, depot.journal, str(path), to, values, clock=self.clock, sleep=self.clock.advance
        )
        record = depot.journal.datasets.get(found.record.id)
        packed = pack_dataset(
            depot.plan,
            depot.journal,
            record,
            progress=lambda _done, _total: None,
            clock=self.clock,
            chance=0.5,
            unforeseen=lambda error: pytest.fail(str(error)),
        )
        (depot.archives[record.id],) = packed.archives
        return record.id

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the installed command on the same journal."""
        config = self.place / "depositd.yaml"
        config.write_text(
            f"state_dir: {self.place}\ndestinations: {{{self.irrmc()}}}\n"
            f"rules: [{{name: r, watch: {self.place}/data, format: auto, deliver: [irrmc]}}]\n",
            encoding="utf-8",
        )
        return subprocess.run(
            [sys.executable, "-m", "depositd", "--config", str(config), *arguments],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def asked(self, request: str) -> int:
        return self.box.requests.get(request, 0)


@pytest.fixture
def site(tmp_path, stop):
    made: list[Site] = []

    def make(**options: Any) -> Site:
        made.append(Site(tmp_path, **options))
        return made[-1]

    yield make
    for one in made:
        one.depot.close()
        stop(one.box)


# one dataset


def test_from_the_password_to_the_publication(site):
    s = site(pace_s=70.0)
    depot = s.opens(s.irrmc(by="password"))
    write_series(s.place / "mx1", "lyso_1", 5)
    number = s.submit(s.place / "mx1", "irrmc", pdb_code="1abc", synchrotron="APS", beamline="24-ID-C")
    began = s.clock()
    depot.run()

    delivery = depot.delivery(number)
    assert (delivery.state, delivery.remote_status, delivery.attempts) == (S.DELIVERED, "published", 1)
    assert 3 * 70 <= (s.clock() - began).total_seconds() < 5 * 70
    (upload,) = uploads_of(s.box, depot.archives[number])
    assert upload.metadata["pdb_code"] == "1ABC"
    assert upload.metadata["beamline"]["short"] == "24-ID-C"
    first_seen = list(dict.fromkeys(request.split(" ")[1] for request in asked(s.box)))
    told = ("auth/token/", "submissions/", "equipment/", "upload/", "submissions/" + upload.token + "/", "submit/")
    assert first_seen[: len(told)] == [f"/api/v1/{each}" for each in told]
    assert [s.asked(f"POST /api/v1/{one}/") for one in ("auth/token", "upload", "submit")] == [1, 1, 1]
    statuses = [detail for event, detail in depot.history(number) if event in ("uploaded", "submitted", "delivered")]
    for status, line in zip(["uploaded", "submitted", "pending", "validated", "published"], statuses, strict=True):
        assert f"irrmc: {status}" in line


@pytest.mark.parametrize("by", ["engine", "command"])
def test_an_archive_without_images_is_replaced_by_a_corrected_one(site, by):
    s = site()
    depot = s.opens(s.irrmc())
    run = s.place / "run"
    run.mkdir()
    (run / "notes.txt").write_text("the images are on the other disk", encoding="utf-8")
    first = s.submit(run, "irrmc", **METADATA)
    depot.run()
    refused = depot.delivery(first)
    assert (refused.state, refused.remote_status) == (S.FAILED, "error_no_data")
    assert "--replace" in refused.hint
    (old,) = s.box.uploads

    write_series(s.place / "spare", "lyso_1", 1)
    os.rename(s.place / "spare" / "lyso_1_00001.cbf", run / "image.cbf")
    s.clock.advance(2 * HOUR_S)
    second = s.submit(run, "irrmc")
    if by == "engine":
        spoken = words.replace_refused(depot.journal, second, None, s.clock())
        assert [one.dataset_id for one in spoken.followed] == [second], spoken.refused
    else:
        command = s.command("retry", str(first), "--replace")
        assert command.returncode == 0, command.stderr
    depot.run()

    assert depot.delivery(second).remote_status == "published"
    assert depot.delivery(first).state is S.SKIPPED
    assert [one.token for one in uploads_of(s.box, depot.archives[second])] == [one.token for one in s.box.uploads]
    assert old.token not in [one.token for one in s.box.uploads]
    assert (s.asked(f"DELETE /api/v1/submissions/{old.token}/"), s.asked(UPLOAD)) == (1, 2)


@pytest.mark.parametrize("kind", ["commit-then-drop", "502", "drop-before-body"])
def test_a_replacement_whose_deletion_is_in_doubt_is_made_once(site, kind):
    s = site()
    depot = s.opens(s.irrmc())
    number = depot.dataset("lyso_1", b"", "irrmc")
    s.box.fault("/api/v1/upload/", "wrong-hash")
    depot.run()
    assert depot.delivery(number).state is S.FAILED
    (old,) = s.box.uploads
    s.box.fault(f"/api/v1/submissions/{old.token}/", kind, method="DELETE")
    assert words.replace_refused(depot.journal, number, None, s.clock()).followed
    depot.run()

    assert depot.delivery(number).state is S.DELIVERED
    (new,) = s.box.uploads
    assert new.token != old.token
    assert s.asked(UPLOAD) == 2


# credentials


@pytest.mark.parametrize("mode", ["modern", "older"])
def test_a_wrong_password_costs_nothing_and_is_said_once(site, mode):
    s = site(pqc_mode=mode)
    to_both = (s.irrmc(by="password"), s.qc(by="password"))
    for secret in s.secrets.values():
        write_secret(secret, "not the password")
    depot = s.opens(*to_both)
    frames = [depot.dataset(f"lyso_{n}", b"%d" % n, "irrmc") for n in range(3)]
    runs = [depot.dataset(f"hela_{n}", b"%d" % n, "qc", raw=True) for n in range(3)]
    depot.run_for(2 * HOUR_S)

    assert sorted(pause.destination for pause in depot.paused) == ["irrmc", "qc"]
    for pause in depot.paused:
        assert pause.reason
        assert "password" in pause.hint
        assert "not the password" not in f"{pause.reason} {pause.hint}"
    assert s.box.body_bytes("/api/v1/upload/") == s.box.body_bytes("/api/upload/raw") == 0
    assert {depot.delivery(number).attempts for number in frames + runs} == {0}

    for secret in s.secrets.values():
        write_secret(secret, s.box.password)
    depot.run()
    assert {depot.delivery(number).state for number in frames + runs} == {S.DELIVERED}
    assert (len(s.box.submissions), len(s.box.runs), len(depot.paused)) == (3, 3, 2)


@pytest.mark.parametrize("to", ["irrmc", "qc"])
def test_a_token_that_is_revoked_in_the_middle_of_the_night(site, to):
    s = site()
    depot = s.opens(s.irrmc() if to == "irrmc" else s.qc())
    raw = to == "qc"
    numbers = [depot.dataset(f"d_{n}", b"%d" % n, to, raw=raw) for n in range(30)]
    for standing in depot.journal.deliveries.due(s.clock())[:5]:
        depot.step(standing)
    s.box.revoke_tokens()
    before = sum(s.box.requests.values())
    depot.run_for(6 * HOUR_S)

    (pause,) = depot.paused
    assert pause.destination == to
    assert "token" in pause.hint
    waiting = [depot.delivery(number) for number in numbers if depot.delivery(number).state is not S.DELIVERED]
    assert len(waiting) >= 25
    assert all(one.state in (S.WAITING, S.UPLOADED) for one in waiting)
    # it is asked who we are every five minutes, not once for each dataset
    assert sum(s.box.requests.values()) - before < 6 * 60 / 5 * 1.5 + 10

    s.box.proteindiffraction.tokens[NEW_TOKEN] = OWNER
    s.box.proteomicsqc.access.tokens[NEW_TOKEN] = OWNER
    write_secret(s.secrets[to], NEW_TOKEN)
    depot.run()
    assert {depot.delivery(number).state for number in numbers} == {S.DELIVERED}
    assert {depot.delivery(number).attempts for number in numbers} == {1}
    things = runs_of if raw else uploads_of
    assert [len(things(s.box, depot.archives[number])) for number in numbers] == [1] * 30
    assert len(depot.paused) == 1


@pytest.mark.parametrize("mode", ["modern", "older"])
def test_with_a_password_at_hand_a_revoked_token_is_exchanged_once_and_nothing_pauses(site, mode):
    s = site(pqc_mode=mode)
    depot = s.opens(s.irrmc(by="password"), s.qc(by="password"))
    numbers = [depot.dataset(f"lyso_{n}", b"%d" % n, "irrmc") for n in range(6)]
    numbers += [depot.dataset(f"hela_{n}", b"%d" % n, "qc", raw=True) for n in range(6)]
    for standing in depot.journal.deliveries.due(s.clock())[3:9]:
        depot.step(standing)
    assert (s.asked("POST /api/v1/auth/token/"), s.asked("POST /")) == (1, 1)
    s.box.revoke_tokens()
    depot.run()

    assert {depot.delivery(number).state for number in numbers} == {S.DELIVERED}
    assert (s.asked("POST /api/v1/auth/token/"), s.asked("POST /")) == (2, 2)
    assert depot.paused == []
    assert (len(s.box.submissions), len(s.box.runs)) == (6, 6)


# the server


@pytest.mark.fault(24)
def test_a_server_that_is_away_for_six_hours_is_waited_for_and_others_go_on(site):
    s = site()
    vault = s.place / "vault"
    vault.mkdir()
    depot = s.opens(s.irrmc(), s.qc(), f"vault: {{type: directory, path: {vault}}}")
    s.box.stop()
    frames = [depot.dataset(f"lyso_{n}", b"%d" % n, "irrmc", "vault") for n in range(5)]
    runs = [depot.dataset(f"hela_{n}", b"%d" % n, "qc", raw=True) for n in range(5)]
    depot.run_for(6 * HOUR_S)

    assert {depot.delivery(number, "vault").state for number in frames} == {S.DELIVERED}
    assert len(list(vault.iterdir())) == 5
    away = [depot.delivery(number, "irrmc") for number in frames] + [depot.delivery(number) for number in runs]
    for delivery in away:
        assert delivery.state is S.WAITING
        assert delivery.attempts <= 1
    assert [pause.destination for pause in depot.paused] == ["irrmc", "qc"]
    assert all("refused the connection" in pause.reason for pause in depot.paused)

    s.box.start()
    back = s.clock()
    depot.run()
    assert {one.delivery.state for number in frames + runs for one in depot.journal.deliveries.of_dataset(number)} == {
        S.DELIVERED
    }
    assert (s.clock() - back).total_seconds() < HOUR_S / 4
    assert (len(s.box.submissions), len(s.box.runs)) == (5, 5)


@pytest.mark.parametrize(("late_s", "bodies"), [(20.0, 1), (100.0, 1), (400.0, 2), (HOUR_S / 8, 2)])
def test_a_list_that_lags_behind_a_lost_answer_makes_no_second_dataset(site, late_s, bodies):
    """Late by less than two polls, it costs no second body; by more, the 409 for that is no end either."""
    s = site()
    depot = s.opens(s.irrmc())
    s.box.fault("/api/v1/upload/", "commit-then-drop")
    s.box.fault("/api/v1/submissions/", "stale-list", times=None, delay_s=late_s)
    number = depot.dataset("lyso_1", b"1", "irrmc")
    depot.run()

    assert depot.delivery(number).state is S.DELIVERED
    assert (len(s.box.uploads), len(s.box.submissions), s.asked(UPLOAD)) == (1, 1, bodies)
    told = [detail for event, detail in depot.history(number) if event == "postponed"]
    assert "no submission of ours at" in told[0]
    assert "looked for until 2 min" in told[0]
    assert not {"failed", "held"} & set(depot.events(number))


@pytest.mark.parametrize("kind", ["commit-then-drop", "commit-then-502"])
def test_a_night_of_lost_answers_and_late_lists_sends_each_body_once(site, kind):
    s = site()
    depot = s.opens(s.irrmc())
    s.box.fault("/api/v1/upload/", kind, times=None)
    s.box.fault("/api/v1/submissions/", "stale-list", times=None, delay_s=20.0)
    numbers = [depot.dataset(f"lyso_{n}", b"%d" % n, "irrmc") for n in range(10)]
    depot.run()
    assert {depot.delivery(number).state for number in numbers} == {S.DELIVERED}
    assert (len(s.box.submissions), s.asked(UPLOAD)) == (10, 10)


def test_a_list_that_lags_behind_for_an_hour_ends_with_a_question_and_retry_adopts_the_first(site):
    s = site()
    depot = s.opens(s.irrmc())
    s.box.fault("/api/v1/upload/", "commit-then-drop")
    s.box.fault("/api/v1/submissions/", "stale-list", times=None, delay_s=HOUR_S)
    number = depot.dataset("lyso_1", b"1", "irrmc")
    began = s.clock()
    depot.run()
    # the server knows the hash and does not list it: whose it is, only somebody who looks later can say
    told = depot.delivery(number)
    assert told.state is S.FAILED
    assert f"depositd retry {number} looks again" in told.hint
    assert (len(s.box.uploads), s.asked(UPLOAD)) == (1, 2)
    assert (s.clock() - began).total_seconds() >= 720.0

    s.clock.advance(2 * HOUR_S)
    assert words.speak(depot.journal, "retry", number, None, {}, s.clock()).followed
    depot.run()
    assert depot.delivery(number).state is S.DELIVERED
    assert (len(s.box.submissions), s.asked(UPLOAD)) == (1, 2)


def test_what_was_published_by_hand_for_another_entry_is_held_and_released_as_it_is(site):
    s = site()
    depot = s.opens(s.irrmc())
    number = depot.dataset("lyso_1", b"1", "irrmc", metadata={"pdb_code": "2XYZ"})
    client = Client(s.box.pdi_url, token=s.box.pdi_token)
    token = client.upload(depot.archives[number]).token
    client.submit(token, pdb_code="1ABC")
    client.close()
    s.clock.advance(HOUR_S)
    depot.run()

    held = depot.delivery(number)
    assert (held.state, held.hold, held.remote_id) == (S.HELD, H.SERVER, None)
    assert f"submission {token}, " in held.error
    assert "with PDB ID 1ABC, and our pdb_code is 2XYZ" in held.error
    assert words.speak(depot.journal, "release", number, None, {}, s.clock()).followed
    depot.run()
    released = depot.delivery(number)
    assert (released.state, released.remote_id) == (S.DELIVERED, token)
    assert s.asked(UPLOAD) == 1


# the same thing twice


@pytest.mark.parametrize("first", ["daemon", "pdi"])
def test_what_pdi_submits_is_known_again_as_what_the_daemon_packs(site, first):
    s = site()
    depot = s.opens(s.irrmc())
    write_series(s.place / "visitor", "lyso_1", 5)
    by_hand = ("pdi", "submit", str(s.place / "visitor"), "--to", "irrmc", "--set", "pdb_code=1ABC")
    if first == "pdi":
        done = s.command(*by_hand)
        assert done.returncode == 0, done.stderr
    number = s.submit(s.place / "visitor", "irrmc", pdb_code="1ABC")
    depot.run()
    assert depot.delivery(number).state is S.DELIVERED
    if first == "daemon":
        done = s.command(*by_hand)
        assert done.returncode == 0, done.stderr
    (upload,) = s.box.uploads
    assert upload.md5 in (depot.archives[number].md5, depot.archives[number].inner_md5)
    assert upload.token == depot.delivery(number).remote_id
    assert (s.asked(UPLOAD), s.asked("POST /api/v1/submit/")) == (1, 1)


def test_two_destinations_of_one_diffraction_server_hold_one_submission(site):
    s = site()
    depot = s.opens(s.irrmc(), s.irrmc(name="again"))
    number = depot.dataset("lyso_1", b"1", "irrmc", "again")
    depot.run()

    one, two = (depot.delivery(number, to) for to in ("irrmc", "again"))
    assert (one.state, two.state) == (S.DELIVERED, S.DELIVERED)
    assert one.remote_id == two.remote_id
    assert (s.asked(UPLOAD), s.asked("POST /api/v1/submit/")) == (1, 1)


@pytest.mark.parametrize("lost", [False, True])
def test_two_destinations_of_one_pipeline_get_one_run(site, lost):
    s = site()
    depot = s.opens(s.qc(), s.qc(name="again"))
    if lost:
        s.box.fault("/api/upload/raw", "commit-then-drop")
    number = depot.dataset("hela", b"1", "qc", "again", raw=True)
    depot.run()

    assert depot.delivery(number, "qc").state is S.DELIVERED
    held = depot.delivery(number, "again")
    assert (held.state, held.hold) == (S.HELD, H.DUPLICATE)
    assert "qc" in held.error
    assert len(s.box.runs) == 1


def test_two_rules_and_two_ways_to_the_same_file_measure_it_once(tmp_path, stop):
    """The whole daemon: one tree lies in the other, and a third holds a hard link of each file."""
    box = watched(lambda: datetime.now(UTC), process_s=0.0)
    box.start()
    data, mirror = tmp_path / "data", tmp_path / "mirror"
    mirror.mkdir()
    os.link(write_run(data / "ms", "hela"), mirror / "hela.raw")
    rules = (
        f"{{name: all, watch: {data}, format: thermo-raw, settle: 0s, deliver: [qc]}}, "
        f"{{name: ms, watch: {data}/ms, format: auto, settle: 0s, deliver: [qc]}}, "
        f"{{name: mirror, watch: {mirror}, format: auto, settle: 0s, deliver: [qc]}}"
    )
    more = "retry: {first: 200ms, longest: 1s}\nsweep_every: 1s"
    depot = Depot(tmp_path / "state", [qc(box, tmp_path / "secret")], ManualClock(), rules=rules, more=more)
    try:
        assert Daemon(depot.config, depot.journal, NoSupervisor(), Options(until_idle=True)).run() == 3
        told = [
            (delivery["state"], delivery["error"])
            for dataset in depot.journal.view.status()["datasets"]
            for delivery in dataset["deliveries"]
        ]
        assert len(box.runs) == 1
        assert [state for state, _ in told].count("delivered") == 1
        assert all(state == "delivered" or "the same bytes went to qc as dataset" in error for state, error in told)
    finally:
        depot.close()
        stop(box)
