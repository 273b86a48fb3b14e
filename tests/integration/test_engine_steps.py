"""Packing and delivering, step by step, with a real journal and spool and a destination in memory."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from clock_support import ManualClock
from engine_support import FakeDestination, config_of, history, plan_of, sighting, tools_of

from depositd.destinations.base import Outcome
from depositd.engine.availability import probe
from depositd.engine.delivering import deliver
from depositd.engine.idle import Rest
from depositd.engine.interrupt import Interrupted
from depositd.engine.packing import pack_dataset
from depositd.engine.planning import after_sighting, after_vanishing
from depositd.engine.retention import remove_expired
from depositd.engine.words import speak
from depositd.errors import (
    ArchiveInvalid,
    AuthError,
    ConfigError,
    Conflict,
    NotFound,
    Rejected,
    Unavailable,
    Unconfirmed,
)
from depositd.journal import Journal
from depositd.model import Dataset, DatasetState, DeliveryState, FileKind, FileStat, HoldKind, VerdictKind
from depositd.states import DeliveryEvent

S, E, K, H = DeliveryState, DeliveryEvent, VerdictKind, HoldKind
DONE = Outcome(E.DELIVERED, remote_id="there", remote_status="published")


class Bench:
    """A source with one series, a journal, and a rule that delivers to fake destinations."""

    def __init__(self, tmp_path, *destinations, rule="", settings="", more="retry: {first: 10s}"):
        self.state, self.root = tmp_path, tmp_path / "data"
        (self.root / "run").mkdir(parents=True)
        self.destinations = destinations or (FakeDestination(),)
        names = ", ".join(one.name for one in self.destinations)
        # what the config says of a destination is its window and its backoff; the destination itself is in memory
        known = ", ".join(f"{one.name}: {{type: directory, path: {tmp_path}/x{settings}}}" for one in self.destinations)
        text = f"{{name: r, watch: {self.root}, format: frames, settle: 0s, deliver: [{names}]{rule}}}"
        self.plan = plan_of(config_of(tmp_path, rules=text, destinations=known, more=more), *self.destinations)
        self.clock = ManualClock()
        self.journal = Journal(tmp_path / "journal.db")
        self.unforeseen, self.paused = [], []

    @property
    def one(self):
        return self.destinations[0]

    def see(self, kind=K.COMPLETE, name="lyso_1", content=b"frame", rule="r", sidecar=None, extra=(), count=3):
        """Write a series, or what is given, and record it as judged so."""
        files = []
        for number in range(1, count + 1):
            path = f"run/{name}_{number:05}.cbf"
            if not (self.root / path).exists() or (self.root / path).read_bytes() != content:
                (self.root / path).write_bytes(content)
            status = os.lstat(self.root / path)
            files.append(FileStat(path, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino))
        dataset = Dataset(name, "frames", "run", f"{name}_#####.cbf", "run", (*files, *extra))
        seen = sighting(dataset, kind, rule=rule, root=str(self.root), sidecar=sidecar or {})
        planned = self.plan.planned(self.plan.rule(rule)) if rule else []
        recorded = self.journal.datasets.record(seen, planned, self.clock())
        after_sighting(self.plan, self.journal, recorded, self.clock())
        return recorded.record

    def pack(self, record, progress=lambda _done, _total: None):
        return pack_dataset(
            self.plan,
            self.journal,
            self.journal.datasets.get(record.id),
            progress=progress,
            clock=self.clock,
            chance=0.5,
            unforeseen=self.unforeseen.append,
        )

    def packed(self, **seen):
        record = self.see(**seen)
        assert self.pack(record).archives
        return self.journal.datasets.get(record.id)

    def step(self, number=None, progress=lambda _done, _total: None):
        """Take the step that is due (of one delivery), None where none is."""
        paused = self.journal.surroundings.pauses()
        for standing in self.journal.deliveries.due(self.clock()):
            if standing.delivery.destination not in paused and number in (None, standing.delivery.id):
                tools = tools_of(
                    self.clock, progress=progress, unforeseen=self.unforeseen.append, paused=self.paused.append
                )
                return deliver(self.plan, self.journal, standing, tools)
        return None

    def delivery(self, number=1):
        return self.journal.deliveries.get(number).delivery

    def speak(self, word, dataset_id=1, **values):
        return speak(self.journal, word, dataset_id, None, values, self.clock())

    def close(self):
        assert self.journal.database.problems() == []
        self.journal.close()


@pytest.fixture
def bench(tmp_path):
    made = []

    def make(*destinations, **more):
        made.append(Bench(tmp_path, *destinations, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_a_complete_dataset_is_archived_once_and_delivered_everywhere(bench):
    b = bench(FakeDestination("one"), FakeDestination("two"))
    record = b.packed()
    assert (record.state, b.pack(record).archives) == (DatasetState.ARCHIVED, ())
    for destination in b.destinations:
        destination.script = [DONE]
    assert [b.step().state, b.step().state, b.step()] == [S.DELIVERED, S.DELIVERED, None]
    ((state, archive, _),) = b.one.seen
    assert state is S.WAITING
    assert os.path.getsize(archive.path) == archive.size_bytes
    assert Rest(b.journal).idle
    assert Rest(b.journal).needs_operator == 0


@pytest.mark.parametrize("there", [True, False])
def test_after_a_lost_answer_the_server_is_asked_and_sent_to_again_only_where_it_has_nothing(bench, there):
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost"))]
    lost = b.step()
    assert (lost.state, lost.attempts, lost.baseline, lost.sent_at) == (S.UNCONFIRMED, 1, {"runs": 0}, b.clock())
    assert b.step() is None
    assert Rest(b.journal).needs_operator == 1
    b.clock.advance(3600)
    b.one.script = [DONE] if there else [Outcome(E.ABSENT, reason="not there"), b.one.sending(DONE)]
    while b.one.script:
        b.step()
    assert (b.delivery().state, b.one.sends) == (S.DELIVERED, 1 if there else 2)
    assert [state for state, *_ in b.one.seen[:2]] == [S.WAITING, S.UNCONFIRMED]


def test_retry_of_what_is_unconfirmed_asks_at_once_and_sends_nothing(bench):
    """Whoever says retry to everything after a bad night means no second copy."""
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost"))]
    b.step()
    b.speak("retry")
    b.one.script = [Outcome(E.POSTPONE, reason="not there yet", again_s=30)]
    assert (b.step().state, b.one.sends) == (S.UNCONFIRMED, 1)


@pytest.mark.parametrize("word", ["retry", "release"])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_word_on_what_was_looked_for_in_vain_asks_once_more_and_sends_what_is_not_there(bench, word, restarted):
    b = bench()
    b.packed()
    given_up = Outcome(E.HOLD, reason="looked for 30 min", hold=H.UNCONFIRMED)
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), given_up]
    b.step()
    b.clock.advance(3600)
    assert b.step().state is S.HELD
    b.speak(word)
    if restarted:
        b.journal.deliveries.recover(b.clock())
    else:
        assert b.step().state is S.UNCONFIRMED
    b.one.script = [given_up, b.one.sending(Unconfirmed("lost again")), given_up]
    assert (b.step().state, b.one.sends) == (S.WAITING, 1)
    b.step()
    b.clock.advance(3600)
    # the word was about the first send: the second is looked for as long as any other
    assert (b.step().state, b.one.sends) == (S.HELD, 2)


@pytest.mark.parametrize("word", ["retry", "release"])
def test_a_word_on_what_was_looked_for_in_vain_adopts_what_came_since(bench, word):
    b = bench()
    b.packed()
    given_up = Outcome(E.HOLD, reason="looked for 30 min", hold=H.UNCONFIRMED)
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), given_up, DONE]
    b.step()
    b.clock.advance(3600)
    b.step()
    b.speak(word)
    b.step()
    assert (b.step().state, b.one.sends) == (S.DELIVERED, 1)


def test_retry_of_what_is_unconfirmed_adopts_what_is_there(bench):
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), DONE]
    b.step()
    b.speak("retry")
    assert (b.step().state, b.one.sends) == (S.DELIVERED, 1)


def test_a_crash_during_a_send_is_asked_about_after_the_next_start(bench):
    class PowerCut(BaseException):
        pass

    def power_cut():
        raise PowerCut

    b = bench()
    b.packed()
    b.one.script = [b.one.sending(power_cut)]
    with pytest.raises(PowerCut):
        b.step()
    b.journal.close()
    b.journal = Journal(b.state / "journal.db")
    assert [one.state for one in b.journal.deliveries.recover(b.clock())] == [S.UNCONFIRMED]
    b.one.script = [DONE]
    assert (b.step().state, b.one.sends) == (S.DELIVERED, 1)


@pytest.mark.fault(25)
def test_a_poison_dataset_does_not_hold_up_good_ones(bench):
    b = bench()
    for number in range(3):
        b.packed(name=f"d_{number}", content=b"%d" % number)
    b.one.script = [Unavailable("502"), DONE, DONE]
    assert [b.step().state for _ in range(3)] == [S.WAITING, S.DELIVERED, S.DELIVERED]
    assert b.step() is None


def test_the_backoff_grows_is_kept_over_a_restart_and_heeds_the_server(bench):
    b = bench()
    b.packed()
    waits = []
    for _ in range(3):
        b.one.script = [Unavailable("503 for a night", hint="wait")]
        waits.append((b.step().next_attempt_at - b.clock()).total_seconds())
        b.journal.close()
        b.journal = Journal(b.state / "journal.db")
        assert b.step() is None
        b.clock.advance(waits[-1])
    assert waits == [10, 20, 40]
    b.one.script = [Unavailable("429", retry_after_s=300)]
    later = b.step()
    assert (later.next_attempt_at - b.clock()).total_seconds() == 300
    assert (later.error, later.hint, later.failures) == ("429", "it is tried again by itself", 4)


@pytest.mark.parametrize("error", [AuthError("401", hint="a new token"), ConfigError(["the token file is gone"])])
def test_refused_credentials_pause_the_destination_once_and_the_probe_takes_it_up_again(bench, error):
    b = bench(FakeDestination("one"), FakeDestination("two"))
    b.packed(name="a_1")
    b.packed(name="b_1", content=b"other")
    one, two = b.destinations
    one.script, two.script = [error], [DONE, DONE]
    states = []
    while (after := b.step()) is not None:
        states.append((after.destination, after.state))
    assert states.count(("two", S.DELIVERED)) == 2
    assert states.count(("one", S.WAITING)) == 1
    assert [pause.destination for pause in b.paused] == ["one"]
    assert Rest(b.journal).idle
    assert Rest(b.journal).needs_operator == 2
    one.whoami_says = error
    pause = b.journal.surroundings.pauses()["one"]
    assert not probe(b.plan, b.journal, pause, b.clock(), 0.5)
    longer = b.journal.surroundings.pauses()["one"]
    assert (longer.failures, longer.since, longer.next_probe_at > pause.next_probe_at) == (2, pause.since, True)
    one.whoami_says, one.script = "me", [DONE, DONE]
    assert probe(b.plan, b.journal, longer, b.clock(), 0.5)
    assert [b.step().state, b.step().state] == [S.DELIVERED, S.DELIVERED]


def test_retry_asks_a_paused_destination_at_once(bench):
    b = bench()
    b.packed()
    b.one.script = [AuthError("401"), DONE]
    b.step()
    assert b.step() is None
    b.speak("retry")
    assert b.step().state is S.DELIVERED


@pytest.mark.parametrize("error", [Rejected("422: no"), Conflict("409"), NotFound("404")])
def test_what_is_refused_for_good_fails_with_the_servers_reason_and_retry_takes_it_up(bench, error):
    b = bench()
    b.packed()
    b.one.script = [error]
    failed = b.step()
    assert (failed.state, failed.error, failed.attempts) == (S.FAILED, str(error), 1)
    assert "depositd retry 1" in failed.hint
    assert Rest(b.journal).needs_operator == 1
    b.speak("retry")
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


def test_a_refused_question_about_a_lost_answer_does_not_lead_to_a_second_copy(bench):
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(Unconfirmed("lost"))]
    b.step()
    b.clock.advance(3600)
    b.one.script = [Rejected("400: cannot list")]
    assert b.step().state is S.FAILED
    b.speak("retry")
    assert b.step().state is S.UNCONFIRMED
    b.one.script = [DONE]
    assert (b.step().state, b.one.sends) == (S.DELIVERED, 1)


@pytest.mark.parametrize("error", [ZeroDivisionError("a bug"), OSError(5, "Input/output error"), KeyError("x")])
@pytest.mark.parametrize("began", [True, False])
def test_an_error_that_nobody_foresaw_costs_a_wait_and_never_a_second_copy(bench, error, began):
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(error) if began else error]
    after = b.step()
    assert after.state is (S.UNCONFIRMED if began else S.WAITING)
    assert after.next_attempt_at > b.clock()
    assert b.unforeseen == ([] if isinstance(error, OSError) else [error])


def test_a_damaged_archive_is_built_again_and_then_sent(bench):
    b = bench()
    record = b.packed()
    b.one.script = [ArchiveInvalid("MD5 differs")]
    waiting = b.step()
    assert (waiting.state, waiting.failures) == (S.WAITING, 1)
    assert b.journal.datasets.get(record.id).state is DatasetState.COMPLETE
    b.clock.advance(60)
    assert b.step() is None
    assert b.pack(record).archives
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


def test_an_archive_that_is_damaged_each_time_is_not_built_in_a_circle_without_a_pause(bench):
    b = bench()
    record = b.packed()
    waits = []
    for _ in range(3):
        b.one.script = [ArchiveInvalid("MD5 differs")]
        waits.append((b.step().next_attempt_at - b.clock()).total_seconds())
        b.pack(record)
        b.clock.advance(waits[-1])
    assert waits == [10, 20, 40]


def test_a_spool_that_lost_its_file_is_noticed_before_anything_is_sent(bench):
    b = bench()
    record = b.packed()
    b.journal.datasets.archive_lost(record.id, "somebody cleaned up", b.clock())
    assert b.step() is None
    assert b.pack(record).archives
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


@pytest.mark.parametrize(("word", "state"), [("hold", S.HELD), ("skip", S.SKIPPED)])
def test_a_word_before_the_first_byte_stops_the_send(bench, word, state):
    b = bench()
    b.packed()

    def spoken_to(delivery, archive, metadata, report):
        b.speak(word)
        return b.one.sending(DONE)(delivery, archive, metadata, report)

    b.one.script = [spoken_to]
    assert (b.step().state, b.one.sends) == (state, 0)


@pytest.mark.parametrize(("word", "state"), [("hold", S.HELD), ("skip", S.SKIPPED)])
def test_a_word_during_a_send_is_kept_together_with_what_the_send_made_true(bench, word, state):
    b = bench()
    b.packed()

    def spoken_to():
        b.speak(word)
        return Outcome(E.UPLOADED, remote_id="token", remote_status="uploaded")

    b.one.script = [b.one.sending(spoken_to)]
    after = b.step()
    assert (after.state, after.remote_id) == (state, "token")
    if word == "hold":
        assert after.error == "held by the operator"


@pytest.mark.parametrize("word", ["hold", "skip"])
def test_a_word_while_a_lost_answer_is_asked_about_does_not_lead_to_a_second_copy(bench, word):
    b = bench()
    b.packed()
    b.one.script = [b.one.sending(Unconfirmed("lost"))]
    b.step()
    b.clock.advance(3600)

    def spoken_to(delivery, archive, metadata, report):
        b.speak(word)
        raise Unavailable("the server is down")

    b.one.script = [spoken_to]
    b.step()
    b.speak("release")
    assert b.step().state is S.UNCONFIRMED
    assert b.one.sends == 1


def test_a_stop_of_the_daemon_in_the_middle_costs_nothing(bench):
    def stop(_done, _total):
        raise Interrupted

    b = bench()
    b.packed()
    b.one.script = [b.one.sending(DONE)]
    after = b.step(progress=stop)
    assert (after.state, after.attempts, after.sent_at, after.next_attempt_at) == (S.WAITING, 0, None, None)
    record = b.see(name="other_1")
    assert b.pack(record, progress=stop).archives == ()
    assert b.journal.datasets.get(record.id).state is DatasetState.COMPLETE
    assert b.pack(record).archives


def test_what_the_server_wants_confirmed_is_held_and_goes_on_after_a_release(bench):
    b = bench()
    b.packed()
    exists = Outcome(E.HOLD, remote_id="token", reason="1ABC has data already", hold=H.SERVER)
    seen = []
    b.one.script = [b.one.sending(exists), lambda delivery, *_: (seen.append(delivery), DONE)[1]]
    held = b.step()
    assert (held.state, held.hold, held.error, held.sent_at) == (S.HELD, H.SERVER, "1ABC has data already", None)
    b.speak("release")
    assert b.step().state is S.DELIVERED
    assert (seen[0].released, seen[0].remote_id) == ("1ABC has data already", "token")


def test_missing_metadata_holds_with_the_keys_named_and_values_free_it(bench):
    b = bench()
    b.one.wanted = ("pdb_code", "title")
    record = b.see()
    held = b.delivery()
    assert (held.state, held.hold) == (S.HELD, H.METADATA)
    assert "pdb_code: is missing" in held.error
    assert "title: is missing" in held.error
    assert "release 1 --set pdb_code=" in held.hint
    assert b.pack(record).archives, "a held delivery must not keep the data on the detector's disk alone"
    b.speak("release", pdb_code="1ABC")
    assert b.step().hold is H.METADATA
    b.speak("release", title="x")
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED
    assert b.one.seen[0][2]["pdb_code"] == "1ABC"


def test_a_sidecar_that_comes_later_frees_what_lacked_metadata(bench):
    b = bench()
    b.one.wanted = ("pdb_code",)
    b.packed()
    assert b.delivery().state is S.HELD
    b.see(sidecar={"pdb_code": "1ABC"})
    assert b.delivery().state is S.WAITING


def test_what_becomes_public_waits_for_a_yes(bench):
    b = bench(rule="")
    manual = config_of(
        b.state,
        rules=f"{{name: r, watch: {b.root}, format: frames, deliver: [{{to: one, approve: manual}}]}}",
        destinations=f"one: {{type: directory, path: {b.state}/x}}",
    )
    b.plan = plan_of(manual, b.one)
    b.packed()
    assert (b.delivery().state, b.delivery().hold) == (S.HELD, H.APPROVAL)
    assert "waits for your approval" in b.delivery().error
    b.speak("release")
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


@pytest.mark.parametrize(("said", "state"), [("hold", S.HELD), ("deliver", S.WAITING), ("ignore", S.SKIPPED)])
def test_what_is_not_whole_follows_the_rule(bench, said, state):
    b = bench(rule=f", on_incomplete: {said}")
    record = b.see(kind=K.TRUNCATED)
    assert b.delivery().state is state
    assert [one.id for one in b.journal.datasets.packable(b.clock())] == ([record.id] if said == "deliver" else [])
    if said != "deliver":
        assert "truncated: 3 frames" in b.delivery().error
        b.speak("release")
    assert b.pack(record).archives
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


@pytest.mark.parametrize("said", ["hold", "ignore"])
def test_what_becomes_whole_after_all_goes_its_way(bench, said):
    b = bench(rule=f", on_incomplete: {said}")
    b.see(kind=K.TRUNCATED)
    b.see(kind=K.COMPLETE, count=4)
    assert b.delivery().state is S.WAITING
    assert b.delivery().hold is None


def test_a_yes_to_an_incomplete_dataset_does_not_count_for_what_it_becomes(bench):
    b = bench()
    b.see(kind=K.TRUNCATED)
    b.speak("release")
    b.see(kind=K.GROWING, count=4)
    b.see(kind=K.GAPPED, count=4)
    assert b.delivery().hold is H.INCOMPLETE


def test_a_changed_dataset_is_held_after_its_earlier_generation_went_out(bench):
    b = bench()
    b.packed()
    b.one.script = [DONE]
    b.step()
    second = b.see(count=4)
    assert (second.generation, b.delivery(2).state, b.delivery(2).hold) == (2, S.HELD, H.CHANGED)
    assert "generation 2: it changed after dataset 1 went to one" in b.delivery(2).error
    b.speak("release", 2)
    assert b.pack(second).archives
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


def test_a_changed_dataset_replaces_its_earlier_generation_that_was_not_sent(bench):
    b = bench()
    b.packed()
    b.see(kind=K.GROWING, count=4)
    assert b.delivery(1).state is S.SKIPPED
    assert "superseded" in b.delivery(1).error
    b.packed(count=4)
    b.one.script = [DONE]
    assert (b.step().id, b.step()) == (2, None)


@pytest.mark.parametrize("idempotent", [True, False])
def test_the_same_bytes_under_another_name_are_held_where_the_server_would_keep_both(bench, idempotent):
    b = bench(FakeDestination("one", idempotent=idempotent), rule=', archive: {compression: none, name: "same"}')
    b.packed(name="a_1")
    b.one.script = [DONE]
    b.step()
    archive = b.journal.datasets.archive(1)
    record = b.see(name="b_1")
    assert b.journal.datasets.archived(record.id, record.fingerprint, [archive], b.clock())
    b.one.script = [DONE]
    assert b.step().state is (S.DELIVERED if idempotent else S.HELD)
    if not idempotent:
        assert b.delivery(2).hold is H.DUPLICATE


def test_the_same_bytes_sent_at_the_same_moment_are_sent_once(bench):
    b = bench()
    b.packed(name="a_1")
    archive = b.journal.datasets.archive(1)
    record = b.see(name="b_1")
    assert b.journal.datasets.archived(record.id, record.fingerprint, [archive], b.clock())

    def while_the_other_is_asked(delivery, archive, metadata, report):
        b.one.script = [b.one.sending(DONE)]
        b.step(2)
        return b.one.sending(DONE)(delivery, archive, metadata, report)

    b.one.script = [while_the_other_is_asked]
    b.step(1)
    assert (b.delivery(2).state, b.delivery(1).state, b.one.sends) == (S.DELIVERED, S.WAITING, 1)
    assert b.step(1).hold is H.DUPLICATE


def confusing(b):
    """Archive two datasets whose archives the destination cannot tell apart by their names."""
    b.one.tells_apart = False
    b.packed(name="a_1", content=b"a")
    b.packed(name="b_1", content=b"b")


def test_what_a_destination_would_confuse_is_not_sent_while_the_other_is_in_doubt(bench):
    b = bench(rule=', archive: {name: "same"}')
    confusing(b)
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), b.one.sending(DONE)]
    assert b.step(1).state is S.UNCONFIRMED
    waiting = b.step(2)
    assert (waiting.state, b.one.sends) == (S.WAITING, 1)
    assert "waits for dataset 1" in waiting.error
    b.clock.advance(60)
    b.one.script = [DONE, b.one.sending(DONE)]
    assert (b.step(1).state, b.step(2).state, b.one.sends) == (S.DELIVERED, S.DELIVERED, 2)


def test_what_waits_behind_a_held_namesake_needs_somebody_and_goes_on_by_itself_afterwards(bench):
    b = bench(rule=', archive: {name: "same"}')
    confusing(b)
    given_up = Outcome(E.HOLD, reason="looked for 30 min", hold=H.UNCONFIRMED)
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), given_up, b.one.sending(DONE)]
    b.step(1)
    b.clock.advance(3600)
    assert b.step(1).state is S.HELD
    waiting = b.step(2)
    assert (waiting.state, waiting.hold) == (S.WAITING, H.NAMESAKE)
    assert waiting.hint == "depositd retry 1, or skip 1: this one goes on by itself then"
    assert Rest(b.journal).idle
    assert Rest(b.journal).needs_operator
    b.speak("skip", 1)
    assert not Rest(b.journal).idle
    assert b.delivery(2).next_attempt_at is None
    b.one.script = [b.one.sending(DONE)]
    assert (b.step(2).state, b.one.sends) == (S.DELIVERED, 2)


def test_what_a_destination_would_confuse_is_noted_before_it_is_sent(bench):
    b = bench(rule=', archive: {name: "same"}')
    confusing(b)
    b.one.script = [b.one.sending(DONE), b.one.sending(Unconfirmed("the answer was lost"))]
    b.step(1)
    assert b.step(2).baseline == {"runs": 1, "delivered_before": 1}


def test_a_baseline_that_a_namesake_has_outdated_is_taken_anew(bench):
    b = bench(rule=', archive: {name: "same"}')
    confusing(b)

    def while_the_other_arrives(delivery, archive, metadata, report):
        b.one.script = [b.one.sending(DONE), b.one.sending(DONE)]
        assert b.step(1).state is S.DELIVERED
        return b.one.sending(DONE)(delivery, archive, metadata, report)

    b.one.script = [while_the_other_arrives]
    assert (b.step(2).state, b.one.sends) == (S.WAITING, 1)
    b.one.script = [b.one.sending(DONE)]
    assert (b.step(2).state, b.one.sends) == (S.DELIVERED, 2)


def test_what_has_other_names_is_sent_side_by_side(bench):
    b = bench()
    confusing(b)
    b.one.script = [b.one.sending(Unconfirmed("the answer was lost")), b.one.sending(DONE)]
    assert (b.step(1).state, b.step(2).state) == (S.UNCONFIRMED, S.DELIVERED)


def test_a_closed_window_is_waited_for(bench):
    b = bench(settings=', window: "20:00-06:00"')
    b.clock.now = b.clock.now.astimezone().replace(hour=12, minute=0)
    b.packed()
    waiting = b.step()
    assert (waiting.state, b.one.seen) == (S.WAITING, [])
    assert "they begin in 8 h" in waiting.error
    b.clock.advance(8 * 3600)
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


def test_a_poll_is_waited_for_and_goes_on_in_any_window(bench):
    b = bench(settings=', window: "20:00-06:00"')
    b.clock.now = b.clock.now.astimezone().replace(hour=5, minute=59)
    b.packed()
    b.one.script = [
        Outcome(E.UPLOADED, remote_id="token"),
        Outcome(E.SUBMITTED, remote_status="queued", again_s=120),
        DONE,
    ]
    assert [b.step().state, b.step().state, b.step()] == [S.UPLOADED, S.SUBMITTED, None]
    b.clock.advance(120)
    assert b.step().state is S.DELIVERED


def test_a_full_spool_is_waited_for_while_what_is_archived_still_goes(bench):
    b = bench()
    b.packed(name="a_1")
    roomy = b.plan.config
    full = roomy.model_copy(update={"spool": roomy.spool.model_copy(update={"min_free_bytes": 2**62})})
    b.plan = plan_of(full, b.one)
    record = b.see(name="b_1")
    assert "spool" in b.pack(record).hint
    assert b.journal.datasets.packable(b.clock()) == []
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED
    b.plan = plan_of(roomy, b.one)
    b.clock.advance(61)
    assert [one.id for one in b.journal.datasets.packable(b.clock())] == [record.id]
    assert b.pack(record).archives


def test_a_frame_that_changed_since_it_was_judged_makes_the_dataset_grow(bench):
    b = bench()
    record = b.see()
    (b.root / "run" / "lyso_1_00002.cbf").write_bytes(b"rewritten")
    assert b.pack(record).archives == ()
    assert b.journal.datasets.get(record.id).state is DatasetState.GROWING
    assert "grew from 5 to 9 bytes" in b.journal.datasets.get(record.id).sentence


def test_a_file_that_came_by_hand_and_changed_fails_with_what_to_do(bench):
    b = bench()
    record = b.see(rule="")
    b.journal.deliveries.add(record.id, "one", {}, b.clock())
    (b.root / "run" / "lyso_1_00002.cbf").write_bytes(b"rewritten")
    b.pack(record)
    assert (b.delivery().state, b.delivery().hint) == (S.FAILED, "submit it again when it is finished")
    assert Rest(b.journal, frozenset({1})).needs_operator == 1


def test_content_that_contradicts_its_checksum_is_held_and_sent_only_by_a_word(bench):
    from format_files import cbf_bytes

    b = bench()
    record = b.see(content=cbf_bytes(md5="AAAAAAAAAAAAAAAAAAAAAA=="))
    assert b.pack(record).archives == ()
    assert b.journal.datasets.get(record.id).verdict is K.CORRUPT
    assert (b.delivery().state, b.delivery().hold) == (S.HELD, H.INCOMPLETE)
    assert b.journal.datasets.packable(b.clock()) == []
    b.speak("release")
    (wanted,) = b.journal.datasets.packable(b.clock())
    assert b.pack(wanted).archives
    b.one.script = [DONE]
    assert b.step().state is S.DELIVERED


def test_a_dataset_with_a_link_in_it_is_held_again_whatever_the_operator_says(bench):
    b = bench()
    os.symlink("/etc/passwd", b.root / "run" / "lyso_1_00004.cbf")
    link = FileStat("run/lyso_1_00004.cbf", 11, 5, kind=FileKind.SYMLINK)
    record = b.see(kind=K.CORRUPT, extra=(link,))
    for _ in range(2):
        b.speak("release")
        packed = b.pack(record)
        assert (packed.archives, "symbolic link" in packed.why) == ((), True)
        assert b.delivery().state is S.HELD
        assert "lyso_1_00004.cbf is a symbolic link" in b.delivery().error
        assert b.journal.datasets.packable(b.clock()) == []
        assert Rest(b.journal).idle


def test_what_a_destination_cannot_take_is_held_and_not_tried_all_the_time(bench):
    b = bench(FakeDestination("one", packing=None))
    record = b.see()
    assert (b.delivery().state, b.delivery().hold) == (S.HELD, H.SERVER)
    assert "takes single files" in b.delivery().error
    assert b.pack(record).archives == ()
    assert b.journal.datasets.packable(b.clock()) == []
    assert Rest(b.journal).idle


@pytest.mark.parametrize("state", [S.WAITING, S.UNCONFIRMED, S.UPLOADED, S.SUBMITTED])
def test_a_destination_that_left_the_config_is_named_and_nothing_is_forgotten(bench, state):
    b = bench()
    b.packed()
    steps = {
        S.WAITING: [],
        S.UNCONFIRMED: [b.one.sending(Unconfirmed("lost"))],
        S.UPLOADED: [Outcome(E.UPLOADED, remote_id="token")],
        S.SUBMITTED: [Outcome(E.SUBMITTED, remote_id="token")],
    }
    b.one.script = steps[state]
    while b.one.script:
        b.step()
    b.clock.advance(3600)
    with_it, b.plan = b.plan, plan_of(b.plan.config)
    after = b.step()
    assert after.state is (S.FAILED if state is S.SUBMITTED else S.HELD)
    assert "the config has no destination one any more" in after.error
    assert Rest(b.journal).idle
    assert (after.sent_at is not None) is (state is S.UNCONFIRMED)
    b.plan = with_it
    b.speak("release")
    sends = b.one.sends
    b.one.script = [DONE]
    while b.one.script:
        b.step()
    assert (b.delivery().state, b.one.sends) == (S.DELIVERED, sends)


def test_a_dataset_that_vanished_after_it_ended_is_missed_and_one_that_still_grew_is_not(bench):
    b = bench()
    ended, growing = b.see(name="a_1"), b.see(kind=K.GROWING, name="b_1")
    for record in b.journal.datasets.vanish([ended.id, growing.id], b.clock()):
        after_vanishing(b.journal, record, b.clock())
    assert (b.delivery(1).state, b.delivery(2).state) == (S.FAILED, S.SKIPPED)
    assert "bring them back" in b.delivery(1).hint
    assert Rest(b.journal).idle
    assert Rest(b.journal).needs_operator == 1
    for name in ("a_1", "b_1"):
        b.see(kind=K.GROWING, name=name)
    assert (b.delivery(1).state, b.delivery(2).state) == (S.WAITING, S.WAITING)


def test_archives_leave_the_spool_when_their_time_is_over(bench):
    b = bench(rule=", keep_archive: 2h")
    record = b.packed()
    path = b.journal.datasets.archive(record.id).path
    b.one.script = [DONE]
    b.step()
    b.clock.advance(7100)
    assert remove_expired(b.plan, b.journal, b.clock()) == []
    b.clock.advance(200)
    assert remove_expired(b.plan, b.journal, b.clock()) == [path]
    assert not os.path.exists(path)
    assert remove_expired(b.plan, b.journal, b.clock()) == []
    assert history(b.journal, record.id)[-1] == "archive removed"


def test_an_archive_is_kept_while_a_delivery_has_not_ended_well(bench):
    b = bench(FakeDestination("one"), FakeDestination("two"), rule=", keep_archive: 1s")
    b.packed()
    b.one.script = [DONE]
    b.destinations[1].script = [Rejected("422")]
    b.step()
    b.step()
    b.clock.now += timedelta(days=30)
    assert remove_expired(b.plan, b.journal, b.clock()) == []
