"""Results that come back: a real journal, and a server in memory that measures what it was sent."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest
from clock_support import ManualClock
from engine_support import FakeDestination, archived, config_of, frames, history, plan_of, tools_of

from depositd.cli.show_text import show_lines
from depositd.cli.status_text import Picture, status_lines
from depositd.destinations.base import MeasuredRun, Outcome, RunAction
from depositd.engine.delivering import deliver
from depositd.engine.idle import Rest
from depositd.engine.interrupt import Interrupted
from depositd.engine.measuring import MOST, look
from depositd.engine.results import want_delivered
from depositd.errors import AuthError, ConfigError, NotFound, Rejected, Unavailable, Unconfirmed
from depositd.journal import Fact, Journal
from depositd.model import DeliveryState
from depositd.states import DeliveryEvent

DAY_S = 86_400


class FakeMeasures:
    """A server's runs by the name of what was sent; it refuses, or is away, as it is told."""

    def __init__(self) -> None:
        self.runs: dict[str, MeasuredRun] = {}
        self.asked, self.marks = [], []
        self.says: Exception | None = None
        self.mark_says: list[Exception | None] = []
        self.loses_answers = False

    def measure(self, name, key="rf1", *, flagged=False, rejected=False, **columns):
        self.runs[name] = MeasuredRun(0, name.removesuffix(".raw"), key, columns, flagged, rejected)

    def measured(self, awaited, columns, taken):
        self.asked.append((list(awaited), list(columns), taken))
        if self.says is not None:
            raise self.says
        found = []
        for one in awaited:
            run = self.runs.get(one.archive_name)
            if run is not None:
                shown = {name: run.columns[name] for name in columns if name in run.columns}
                found.append(MeasuredRun(one.delivery_id, run.raw_file, run.run_key, shown, run.flagged, run.rejected))
        return found

    def mark(self, run, action):
        said = self.mark_says.pop(0) if self.mark_says else None
        if said is None or self.loses_answers:
            self.marks.append((run.run_key, action))
            name = f"{run.raw_file}.raw"
            old = self.runs[name]
            flagged, rejected = old.flagged or action is RunAction.FLAG, old.rejected or action is RunAction.REJECT
            self.runs[name] = MeasuredRun(0, old.raw_file, old.run_key, old.columns, flagged, rejected)
        if said is not None:
            raise said


class Bench:
    """Delivered runs, a clock and a rule."""

    def __init__(self, tmp_path, qc="qc: {columns: [N], reject_if: N < 500, flag_if: M < 30}"):
        self.qc = FakeDestination("qc")
        self.server = self.qc.measures = FakeMeasures()
        self.other = FakeDestination("other")
        self.clock = ManualClock()
        self.journal = Journal(tmp_path / "journal.db")
        self.paused, self.unforeseen = [], []
        self.tmp_path = tmp_path
        self.follow(qc)

    def follow(self, qc):
        known = (
            "qc: {type: proteomicsqc, url: 'http://127.0.0.1', token: {env: T}, project: p, pipeline: q},"
            f" other: {{type: directory, path: {self.tmp_path}/x}}"
        )
        rule = f"{{name: r, watch: /data, format: auto, settle: 0s, deliver: [qc, other]{', ' if qc else ''}{qc}}}"
        self.plan = plan_of(config_of(self.tmp_path, rules=rule, destinations=known), self.qc, self.other)

    def sent(self, name="a.raw", to="qc"):
        """Deliver one dataset, the way the daemon does."""
        number = name.removesuffix(".raw")
        record = archived(self.journal, frames(name=number), to, path=f"/spool/{name}", sha=number.ljust(64, "0"))
        standing = self.journal.deliveries.of_dataset(record.id)[0]
        destination = self.plan.destinations[to]
        destination.script.append(Outcome(DeliveryEvent.DELIVERED, remote_id=name, remote_status="uploaded"))
        after = deliver(self.plan, self.journal, standing, self.tools())
        assert after.state is DeliveryState.DELIVERED
        return after

    def tools(self, **instead):
        given = {"unforeseen": self.unforeseen.append, "paused": self.paused.append, **instead}
        return tools_of(self.clock, **given)

    def look(self, after_s=0.0, **tools):
        self.clock.advance(after_s)
        return [(one.event, one.sentence) for one in look(self.plan, self.journal, self.qc, self.tools(**tools))]

    def run(self, delivery):
        shown = self.journal.view.show(delivery.dataset_id)
        assert json.dumps(shown)
        return shown["deliveries"][0]["run"]

    def result(self, delivery):
        return self.journal.results.get(delivery.id)

    def status(self):
        view = self.journal.view.status()
        return "\n".join(line.plain for line in status_lines(Picture(view, self.clock(), 1)))

    def shown(self, delivery):
        return "\n".join(line.plain for line in show_lines(self.journal.view.show(delivery.dataset_id), self.clock()))


@pytest.fixture
def bench(tmp_path):
    made = Bench(tmp_path)
    yield made
    made.journal.close()


def test_a_run_is_looked_for_until_it_is_there_and_then_no_more(bench):
    sent = bench.sent()
    assert bench.look() == []
    assert bench.server.asked == []
    assert bench.run(sent) is None
    bench.look(60)
    awaited, columns, taken = bench.server.asked[0]
    assert [(one.delivery_id, one.archive_name, one.run_key) for one in awaited] == [(sent.id, "a.raw", None)]
    assert (columns, taken) == (["N", "M"], frozenset())
    assert bench.run(sent) is None
    bench.server.measure("a.raw", "rf7", N=900, M=41.5, K=1)
    assert bench.look(60) == []
    found_at = bench.clock().strftime("%Y-%m-%dT%H:%M:%SZ")
    assert bench.run(sent) == {
        "key": "rf7",
        "raw_file": "a",
        "columns": {"N": 900, "M": 41.5},
        "action": None,
        "reason": None,
        "hint": None,
        "found_at": found_at,
        "marked_at": None,
    }
    assert history(bench.journal, sent.dataset_id)[-2:] == ["delivered", "measured"]
    assert bench.look(2 * DAY_S) == []
    assert len(bench.server.asked) == 2
    assert "run rf7 of a, found now" in bench.shown(sent) or "run rf7 of a, found" in bench.shown(sent)
    assert "run" not in bench.status().replace("running", "")


def test_nothing_is_looked_for_where_nothing_is_measured_or_wanted(bench):
    elsewhere = bench.sent("b.raw", "other")
    assert bench.result(elsewhere) is None
    bench.follow("qc: off")
    assert bench.result(bench.sent("c.raw")) is None


def test_a_run_that_is_bad_is_rejected_once(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", "rf7", N="412", M=20)
    assert bench.look(60) == [("rejected", "rejected by the rule: N < 500 (412)")]
    assert bench.server.marks == [("rf7", RunAction.REJECT)]
    run = bench.run(sent)
    assert (run["action"], run["reason"]) == ("reject", "rejected by the rule: N < 500 (412)")
    assert run["marked_at"] == run["found_at"]
    assert history(bench.journal, sent.dataset_id)[-3:] == ["measured", "decided", "rejected"]
    assert bench.look(DAY_S) == []
    assert len(bench.server.marks) == 1
    assert bench.journal.deliveries.get(sent.id).delivery.state is DeliveryState.DELIVERED
    for text in (bench.status(), bench.shown(sent)):
        assert "run rf7 rejected by the rule: N < 500 (412)" in text


def test_columns_that_come_late_are_waited_for_and_a_decision_is_not(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", M=20)
    assert bench.look(60) == []
    assert bench.run(sent)["columns"] == {"N": None, "M": 20}
    # it may yet be rejected: only then is it too late for that
    bench.server.measure("a.raw", N=900, M=20)
    assert bench.look(60) == [("flagged", "flagged by the rule: M < 30 (20)")]
    assert bench.server.marks == [("rf1", RunAction.FLAG)]
    assert history(bench.journal, sent.dataset_id).count("measured") == 2


def test_columns_are_completed_after_a_mark(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", N=1)
    assert bench.look(60) == [("rejected", "rejected by the rule: N < 500 (1)")]
    bench.server.measure("a.raw", N=1, M=5, rejected=True)
    assert bench.look(60) == []
    assert bench.run(sent)["columns"] == {"N": 1, "M": 5}
    assert bench.result(sent).ended_at is not None
    assert len(bench.server.marks) == 1


def test_what_is_never_measured_ends_with_a_sentence(bench):
    sent = bench.sent()
    assert bench.look(DAY_S) == []
    sentence = "qc shows no results of a.raw 2 d after it was delivered"
    assert bench.look(DAY_S) == [("not measured", sentence)]
    assert sentence in bench.status()
    assert "its processing may have failed" in bench.run(sent)["hint"]
    assert bench.look(DAY_S) == []
    assert len(bench.server.asked) == 2
    assert bench.run(sent)["found_at"] is None


def test_a_question_that_nobody_can_answer_is_said(tmp_path):
    bench = Bench(tmp_path, "qc: {columns: [N], reject_if: Missing < 500, wait: 1h}")
    sent = bench.sent()
    bench.server.measure("a.raw", N=900)
    assert bench.look(60) == []
    assert bench.look(3600) == [("not judged", "could not be judged: reject_if Missing < 500 (not measured)")]
    assert bench.result(sent).ended_at is not None
    bench.journal.close()


def test_a_rule_can_ask_for_a_message_alone(tmp_path):
    bench = Bench(tmp_path, "qc: {columns: [N, M], notify_if: N < 500}")
    sent = bench.sent()
    bench.server.measure("a.raw", N=412)
    assert bench.look(60) == [("noticed", "noticed by the rule: N < 500 (412)")]
    assert bench.look(60) == []
    bench.server.measure("a.raw", N=412, M=1)
    assert bench.look(60) == []
    assert bench.server.marks == []
    assert history(bench.journal, sent.dataset_id).count("noticed") == 1
    assert bench.result(sent).ended_at is not None
    bench.journal.close()


@pytest.mark.parametrize("there", ["flagged", "rejected"])
def test_what_somebody_decided_there_is_left_as_it_is(bench, there):
    sent = bench.sent()
    bench.server.measure("a.raw", N=412, **{there: True})
    sentence = f"left as it is, for it was {there} at qc before: N < 500 (412)"
    assert bench.look(60) == [("left as it is", sentence)]
    assert bench.run(sent)["reason"] == sentence
    assert bench.run(sent)["action"] is None
    # and also when they take it back
    bench.server.measure("a.raw", N=412)
    assert bench.look(60) == []
    assert bench.server.marks == []


def test_a_mark_whose_answer_was_lost_is_known_to_be_ours(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", N=412, M=50)
    bench.server.mark_says, bench.server.loses_answers = [Unconfirmed("the answer was lost")], True
    assert bench.look(60) == []
    assert bench.run(sent)["reason"] == "to be rejected by the rule: N < 500 (412)"
    assert bench.run(sent)["hint"] == "it is tried again by itself: the answer was lost"
    assert bench.look(60) == [("rejected", "rejected by the rule: N < 500 (412)")]
    assert len(bench.server.marks) == 1
    assert bench.run(sent)["hint"] is None


def test_a_mark_of_ours_does_not_undo_what_somebody_did_meanwhile(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", N=900, M=20)
    bench.server.mark_says = [Unavailable("away")]
    assert bench.look(60) == []
    bench.server.measure("a.raw", N=900, M=20, rejected=True)
    assert bench.look(60) == [("left as it is", "left as it is, for it was rejected at qc before: M < 30 (20)")]
    assert bench.server.marks == []
    assert bench.result(sent).ended_at is not None


def test_a_mark_is_tried_again_with_growing_waits(bench):
    bench.sent()
    sent = bench.sent("b.raw")
    for name, key in (("a.raw", "rf1"), ("b.raw", "rf2")):
        bench.server.measure(name, key, N=412, M=50)
    bench.server.mark_says = [Unavailable("away")] * 6
    waits = []
    bench.look(60)
    for _ in range(3):
        result = bench.result(sent)
        waits.append((result.next_look_at - bench.clock()).total_seconds())
        assert bench.look(waits[-1] - 1) == []
        bench.look(1)
    assert waits == [10, 20, 40]
    assert len(bench.server.asked) == 4
    assert bench.server.marks == [("rf1", RunAction.REJECT), ("rf2", RunAction.REJECT)]
    assert history(bench.journal, sent.dataset_id).count("decided") == 1


def test_a_server_that_is_away_is_not_asked_to_mark_hundreds(bench):
    sent = []
    for number in range(9):
        sent.append(bench.sent(f"n{number}.raw"))
        bench.server.measure(f"n{number}.raw", f"rf{number}", N=412, M=50)
    away = [Unavailable("away")] * 3
    bench.server.mark_says = list(away)
    bench.look(60)
    assert bench.server.marks == []
    assert [bench.result(one).failures for one in sent] == [1, 1, 1, 0, 0, 0, 0, 0, 0]
    # and those that it cannot bear do not stop the others
    bench.server.mark_says = away
    bench.look(10)
    assert bench.server.marks == []
    bench.look(10)
    bench.look(30)
    assert len(bench.server.marks) == 9


@pytest.mark.parametrize(
    "error", [Rejected("no such run"), NotFound("gone"), AuthError("you can only mutate your own runs", status=403)]
)
def test_a_mark_that_is_refused_is_said_and_not_tried_again(bench, error):
    sent = bench.sent()
    bench.server.measure("a.raw", "rf7", N=412, M=50)
    bench.server.mark_says = [error]
    assert bench.look(60) == [("not marked", f"could not be rejected (N < 500 (412)): {error}")]
    assert bench.run(sent)["hint"] == "do it by hand: depositd pqc reject rf7"
    assert bench.look(DAY_S) == []
    assert bench.paused == []


@pytest.mark.parametrize("error", [AuthError("token refused", status=401), ConfigError(["the token file is gone"])])
@pytest.mark.parametrize("where", ["asking", "marking"])
def test_credentials_that_are_refused_pause_the_destination(bench, error, where):
    sent = bench.sent()
    bench.server.measure("a.raw", N=412, M=50)
    if where == "asking":
        bench.server.says = error
    else:
        bench.server.mark_says = [error]
    assert bench.look(60) == []
    assert [pause.reason for pause in bench.paused] == [f"qc is paused: {error}"]
    assert list(bench.journal.surroundings.pauses()) == ["qc"]
    bench.server.says = None
    bench.journal.surroundings.resume("qc")
    assert bench.look() == [("rejected", "rejected by the rule: N < 500 (412)")]
    assert bench.result(sent).ended_at is not None


def test_a_server_that_is_away_is_asked_again_and_not_without_end(bench):
    sent = bench.sent()
    bench.server.says = Unavailable("qc does not answer", retry_after_s=120)
    assert bench.look(60) == []
    result = bench.result(sent)
    assert (result.failures, (result.next_look_at - bench.clock()).total_seconds()) == (1, 120)
    assert bench.run(sent) is None
    # longer than the rule waits for a server that measures: it may be mended, and then has the results
    assert bench.look(3 * DAY_S) == []
    assert bench.look(30 * DAY_S) == [("not measured", "qc could not be asked for its results: qc does not answer")]
    assert bench.result(sent).ended_at is not None


def test_a_question_that_is_refused_ends_when_the_rule_has_waited(bench):
    bench.sent()
    bench.server.says = NotFound("qc has no pipeline q", hint="correct it")
    assert bench.look(60) == []
    assert bench.look(2 * DAY_S) == [("not measured", "qc could not be asked for its results: qc has no pipeline q")]


@pytest.mark.parametrize("error", [ZeroDivisionError("oops"), OSError("no route")])
def test_a_bug_costs_a_wait(bench, error):
    sent = bench.sent()
    bench.server.says = error
    assert bench.look(60) == []
    assert bench.unforeseen == ([error] if isinstance(error, ZeroDivisionError) else [])
    bench.server.says = None
    bench.server.measure("a.raw", N=900, M=50)
    assert bench.look(10) == []
    assert bench.run(sent)["key"] == "rf1"
    assert bench.run(sent)["hint"] is None


def test_all_that_are_awaited_are_asked_for_in_one_go_and_keys_of_others_are_told(bench):
    first = bench.sent()
    bench.server.measure("a.raw", "rf1", N=900, M=50)
    bench.look(60)
    for number in range(5):
        bench.sent(f"b{number}.raw")
        bench.clock.advance(5)
    assert bench.look(34) == []
    bench.look(1)
    assert len(bench.server.asked) == 2
    awaited, _columns, taken = bench.server.asked[1]
    assert [one.archive_name for one in awaited] == [f"b{number}.raw" for number in range(5)]
    assert taken == {"rf1"}
    assert first.id not in {one.delivery_id for one in awaited}


def test_others_of_which_nobody_knows_the_run_are_asked_for_so_that_theirs_is_not_taken_for_ours(bench):
    bench.follow("qc: off")
    nobody_asks = bench.sent("a.raw")
    bench.follow("qc: {columns: [N]}")
    bench.clock.advance(1)
    ours = bench.sent("b.raw")
    in_doubt = archived(bench.journal, frames(name="c"), "qc", path="/spool/c.raw", sha="c" * 64)
    delivery = bench.journal.deliveries.of_dataset(in_doubt.id)[0].delivery
    bench.clock.advance(1)
    assert bench.journal.deliveries.begin_send(delivery.id, {"keys": ["rf1"]}, bench.clock())
    bench.server.measure("a.raw", "rf1", N=1)
    bench.server.measure("c.raw", "rf3", N=1)
    bench.look(60)
    ((awaited, _columns, taken),) = bench.server.asked
    assert [one.delivery_id for one in awaited] == [nobody_asks.id, ours.id, delivery.id]
    assert awaited[2].baseline == {"keys": ["rf1"]}
    assert not taken
    assert bench.result(ours).found_at is None
    assert bench.journal.results.get(nobody_asks.id) is None


def test_a_look_is_bounded(bench):
    for number in range(MOST + 3):
        record = archived(bench.journal, frames(1, name=f"n{number}"), "qc", path=f"/spool/n{number}.raw")
        delivery = bench.journal.deliveries.of_dataset(record.id)[0].delivery
        bench.journal.deliveries.apply(delivery.id, Fact(DeliveryEvent.DELIVERED), bench.clock())
        bench.journal.results.want(delivery.id, bench.clock(), bench.clock())

    def due():
        rows = bench.journal.results.awaited("qc", 2 * MOST)
        return sum(1 for row in rows if row.next_look_at <= bench.clock())

    assert due() == MOST + 3
    bench.look()
    assert due() == 3
    bench.look()
    assert due() == 0


def test_a_stop_between_two_marks_loses_nothing(bench):
    for name, key in (("a.raw", "rf1"), ("b.raw", "rf2")):
        bench.sent(name)
        bench.server.measure(name, key, N=412, M=50)

    def stop(done, _total):
        if done:
            raise Interrupted

    with pytest.raises(Interrupted):
        bench.look(60, progress=stop)
    assert [key for key, _action in bench.server.marks] == ["rf1"]
    assert bench.look() == [("rejected", "rejected by the rule: N < 500 (412)")]
    assert [key for key, _action in bench.server.marks] == ["rf1", "rf2"]


def test_what_was_delivered_before_is_looked_for_as_well(bench):
    bench.follow("qc: off")
    old = bench.sent("old.raw")
    bench.clock.advance(3 * DAY_S)
    new = bench.sent("new.raw")
    bench.clock.advance(60)
    assert want_delivered(bench.plan, bench.journal, bench.clock()) == 0
    bench.follow("")
    assert want_delivered(bench.plan, bench.journal, bench.clock()) == 1
    assert want_delivered(bench.plan, bench.journal, bench.clock()) == 0
    assert bench.result(old) is None
    assert bench.result(new).wanted_since == bench.clock() - timedelta(seconds=60)
    bench.server.measure("new.raw", N=1)
    bench.look()
    assert bench.run(new)["key"] == "rf1"


def test_a_clock_that_jumps_costs_no_more_than_a_wait(bench):
    sent = bench.sent()
    bench.clock.advance(-365 * DAY_S)
    bench.journal.results.clamp_waits(bench.clock(), 900)
    assert bench.result(sent).next_look_at == bench.clock() + timedelta(seconds=900)
    bench.look(900)
    assert bench.result(sent).ended_at is None
    assert bench.result(sent).next_look_at == bench.clock() + timedelta(seconds=60)


def test_results_do_not_keep_a_journal_from_resting(bench):
    bench.sent()
    assert Rest(bench.journal).idle
    assert Rest(bench.journal).needs_operator == 0


def test_what_a_server_says_cannot_harm_a_terminal(bench):
    sent = bench.sent()
    bench.server.measure("a.raw", "rf\x1b[2J", N="\x1b[31m" + "9" * 5000, M=float("nan"))
    bench.look(60)
    bench.look(2 * DAY_S)
    run = bench.run(sent)
    assert run["key"] == "rf\\x1b[2J"
    assert run["columns"]["M"] is None
    for text in (bench.status(), bench.shown(sent), json.dumps(bench.journal.view.status())):
        assert "\x1b" not in text
        assert len(text) < 9000
