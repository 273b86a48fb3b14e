"""Any order of datasets, faults, power cuts and operator's words: in the end each dataset is there exactly once.

The real engine and journal, and the sandbox over sockets; hypothesis chooses what happens.  The suite runs some
nights, the same ones every time.  More of them, and others::

    DEPOSITD_NIGHTS=500 pytest tests/integration/test_exactly_once_machine.py --hypothesis-seed=0
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from clock_support import ManualClock
from depot_support import (
    METADATA,
    Depot,
    Impatient,
    PowerCut,
    assert_nothing_was_sent_blindly,
    irrmc,
    qc,
    restore_tokens,
    runs_of,
    uploads_of,
    watched,
)
from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import (
    initialize,
    invariant,
    rule,
)
from nights_support import AnyNight, live_through

from depositd.engine.words import speak
from depositd.model import Archive, Delivery, DeliveryState, HoldKind
from depositd.sandbox import FAULTS
from depositd.states import NEEDS_OPERATOR

S, H = DeliveryState, HoldKind

TAKES_ITS_TIME = frozenset({"stall", "drip", "slow", "slow-answer"})
QUICK_FAULTS = sorted(FAULTS.keys() - TAKES_ITS_TIME)
ANSWER_WITHIN_S = 5.0
PATHS = (
    "/api/v1/upload/",
    "/api/v1/submit/",
    "/api/v1/submissions/*",
    "/api/upload/raw",
    "/api/projects",
    "/api/qc-data",
    "/proteomics/detail/*",
    "*",
)
LOSING_FAULTS = [kind for kind in QUICK_FAULTS if "acted on" in FAULTS[kind] or kind.startswith("drop")]
TIMES = st.integers(1, 3)
MOMENTS = ("before sending", "sending committed", "in the body", "answer lost", "answer read")
NAMES = ("hela", "Hela", "blank 1")
DATASETS = st.tuples(st.sampled_from(["new", "new", "one", "two"]), st.sampled_from(NAMES), st.booleans())
"""Which bytes, under which name, and whether it is a file for the proteomics server."""
ROUND_S = 200.0
MOST_ROUNDS, MOST_ANSWERS = 20, 40


@dataclass(frozen=True)
class Item:
    """One dataset, of which others may have the name or the bytes."""

    number: int
    name: str
    raw: bool


class Night(AnyNight):
    """One beam time with both servers, and all that can go wrong in it."""

    def __init__(self) -> None:
        super().__init__()
        self.items: list[Item] = []
        self.sent_once_more: Counter[str] = Counter()
        """Words of an operator that allowed another run of the same bytes, by their MD5."""

    @initialize(
        mode=st.sampled_from(["modern", "older"]),
        hash_of=st.sampled_from(["inner", "sent"]),
        first=st.lists(DATASETS, min_size=2, max_size=5),
    )
    def begins(self, mode: str, hash_of: str, first: list[tuple[str, str, bool]]) -> None:
        place, clock = Path(self.directory.name), ManualClock()
        self.box = watched(clock, pqc_mode=mode, hash_of=hash_of)
        self.box.start()
        by = "token" if mode == "modern" else "password"
        servers = [irrmc(self.box, place / "irrmc"), qc(self.box, place / "qc", by=by)]
        self.depot = Depot(place, servers, clock, adapter=Impatient(ANSWER_WITHIN_S))
        for dataset in first:
            self.a_dataset_ends(dataset)

    # what happens

    @rule(dataset=DATASETS)
    def a_dataset_ends(self, dataset: tuple[str, str, bool]) -> None:
        content, name, raw = dataset
        filling = f"{content} {len(self.items) if content == 'new' else ''}".encode() * 500
        number = self.depot.dataset(name, filling, "qc" if raw else "irrmc", raw=raw)
        self.items.append(Item(number, name, raw))

    @rule(kind=st.sampled_from(QUICK_FAULTS), path=st.sampled_from(PATHS), times=TIMES, after=st.integers(0, 2))
    def something_goes_wrong(self, kind: str, path: str, times: int, after: int) -> None:
        self.box.fault(path, kind, times=times, after=after, delay_s=600.0)
        self.work_is_done(2)

    @rule(dataset=DATASETS, kind=st.sampled_from(LOSING_FAULTS), times=TIMES, question=st.sampled_from(QUICK_FAULTS))
    def an_answer_is_lost(self, dataset: tuple[str, str, bool], kind: str, times: int, question: str) -> None:
        """And the question after it goes wrong as well."""
        self.box.fault("/api*/upload/*", kind, times=times)
        self.a_dataset_ends(dataset)
        self.depot.tick()
        self.box.fault("*", question, delay_s=600.0)
        self.work_is_done(2)

    @rule(name=st.sampled_from(NAMES), kind=st.sampled_from(LOSING_FAULTS), process_s=st.sampled_from([30.0, 2000.0]))
    def a_namesake_is_lost(self, name: str, kind: str, process_s: float) -> None:
        """While the run of a file is not shown yet, the answer to another of its name is lost."""
        self.runs_are_shown_after(process_s)
        self.a_dataset_ends(("new", name, True))
        self.depot.tick()
        self.box.fault("/api/upload/raw", kind)
        self.a_dataset_ends(("new", name, True))
        self.work_is_done(4)

    @rule(rounds=st.integers(1, 6))
    def work_is_done(self, rounds: int) -> None:
        self.depot.work(rounds)

    @rule(seconds=st.sampled_from([0, 1, 20, 60, 700, 4000]))
    def time_passes(self, seconds: int) -> None:
        self.depot.clock.advance(seconds)
        self.depot.tick()

    @rule(dataset=DATASETS, moment=st.sampled_from(MOMENTS))
    def two_workers(self, dataset: tuple[str, str, bool], moment: str) -> None:
        """While one is in the middle of a step, another takes whatever else is due."""
        self.a_dataset_ends(dataset)
        self.depot.moments.do[moment] = self.depot.tick
        self.depot.tick()
        self.depot.moments.do.clear()

    @rule(dataset=DATASETS, moment=st.sampled_from(MOMENTS), after=st.integers(0, 2))
    def the_power_is_cut(self, dataset: tuple[str, str, bool], moment: str, after: int) -> None:
        self.a_dataset_ends(dataset)
        self.depot.moments.end_at(moment, after)
        try:
            self.work_is_done(3)
        except PowerCut:
            note("the power was cut")
        self.depot.moments.do.clear()
        self.depot.die()

    @rule(word=st.sampled_from(["hold", "release", "retry", "skip"]), which=st.integers(0, 50))
    def an_operator_says(self, word: str, which: int) -> None:
        self.say(word, self.items[which % len(self.items)])

    @rule(word=st.sampled_from(["release", "retry", "skip"]))
    def an_operator_answers(self, word: str) -> None:
        """One word to all that is asked, after a bad night."""
        for item in self.items:
            if self.delivery(item).state in NEEDS_OPERATOR:
                self.say(word, item)

    @rule(rounds=st.integers(1, 3))
    def the_servers_are_away(self, rounds: int) -> None:
        self.box.fault("*", "drop-before-body", times=None)
        self.work_is_done(rounds)
        self.box.faults.clear()

    @rule(rounds=st.integers(1, 3))
    def tokens_are_revoked(self, rounds: int) -> None:
        self.box.revoke_tokens()
        self.work_is_done(rounds)
        restore_tokens(self.box)

    @rule(process_s=st.sampled_from([0.0, 30.0, 2000.0]))
    def runs_are_shown_after(self, process_s: float) -> None:
        self.box.proteomicsqc.process_s = process_s

    # what is true all the time

    @invariant()
    def nothing_is_there_twice(self) -> None:
        if not self.items:
            return
        known = {archive.md5: archive for archive in self.depot.archives.values()}
        uploads = Counter(one.sent_md5 for one in self.box.uploads)
        assert all(number == 1 and md5 in known for md5, number in uploads.items()), uploads
        runs = Counter(one.md5 for one in self.box.runs)
        for md5, number in runs.items():
            assert md5 in known, "a run of something else"
            assert number <= 1 + self.sent_once_more[md5], f"{known[md5].name} was measured {number} times"

    @invariant()
    def nothing_is_sent_blindly(self) -> None:
        for item in self.items:
            assert_nothing_was_sent_blindly(self.depot.history(item.number))

    @invariant()
    def whoever_is_to_act_is_told_why(self) -> None:
        for item in self.items:
            delivery = self.depot.delivery(item.number)
            if delivery.state in (S.HELD, S.FAILED):
                assert delivery.error, delivery
                assert delivery.hint, delivery

    # the end

    def morning(self) -> None:
        """Everything is well again; the operator answers what is asked, and all goes to its end."""
        self.box.faults.clear()
        restore_tokens(self.box)
        self.box.proteomicsqc.process_s = 0.0
        for _ in range(MOST_ANSWERS):
            # one may wait for another of its name until that one's question is answered
            self.depot.work(MOST_ROUNDS, ROUND_S)
            left = [item for item in self.items if self.delivery(item).state not in (S.DELIVERED, S.SKIPPED)]
            if not left:
                break
            for item in left:
                if self.delivery(item).state in NEEDS_OPERATOR:
                    self.answer(item)
        for item in self.items:
            delivery = self.delivery(item)
            assert delivery.state in (S.DELIVERED, S.SKIPPED), delivery
            if delivery.state is S.DELIVERED:
                self.check_delivered(item)
        self.nothing_is_there_twice()
        self.nothing_is_sent_blindly()

    def answer(self, item: Item) -> None:
        """Look at the servers, and say what an operator would."""
        delivery = self.delivery(item)
        there = self.things(item)
        taken = any(run.name.lower() == self.stored_name(item) for run in self.box.runs)
        name_is_taken = item.raw and self.box.options.pqc_mode == "older" and taken
        if delivery.hold is H.DUPLICATE or (item.raw and there) or name_is_taken:
            self.say("skip", item)
        elif delivery.state is S.FAILED or delivery.hold is H.UNCONFIRMED:
            self.say("retry", item)
        else:
            self.say("release", item)

    def check_delivered(self, item: Item) -> None:
        assert self.things(item), f"{item} is said to be delivered, and is not there"
        if not item.raw:
            assert [one.submitted_at is not None for one in self.things(item)] == [True]
            assert self.things(item)[0].metadata["project_title"] == METADATA["project_title"]

    # who is asked

    def say(self, word: str, item: Item) -> None:
        before = self.delivery(item)
        spoken = speak(self.depot.journal, word, item.number, None, {}, self.depot.clock())
        note(f"{word} {item}, which was {before.state}: {'done' if spoken.followed else 'refused'}")
        in_doubt = before.state is S.UNCONFIRMED or before.hold is H.UNCONFIRMED
        once_more = (word == "retry" and in_doubt) or (word == "release" and before.state is S.HELD)
        if spoken.followed and once_more and before.hold in (None, H.UNCONFIRMED, H.DUPLICATE):
            self.sent_once_more[self.archive(item).md5] += 1

    def delivery(self, item: Item) -> Delivery:
        return self.depot.delivery(item.number)

    def archive(self, item: Item) -> Archive:
        return self.depot.archives[item.number]

    def things(self, item: Item) -> list[Any]:
        return (runs_of if item.raw else uploads_of)(self.box, self.archive(item))

    def stored_name(self, item: Item) -> str:
        return self.archive(item).name.replace(" ", "_").lower()


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # the power is cut inside this process, and closes nothing
@pytest.mark.timeout(600)
def test_any_night_ends_with_each_dataset_there_exactly_once():
    live_through(Night, usual=15, steps=30)
