"""Every fault of the sandbox at every request of a delivery: whatever happens, each dataset is there once.

The table of what became of each is printed at the end of the test run.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from clock_support import ManualClock
from depot_support import (
    METADATA,
    Depot,
    Impatient,
    PowerCut,
    asked,
    assert_nothing_was_sent_blindly,
    irrmc,
    qc,
    runs_of,
    stopping_aside,
    uploads_of,
    watched,
)

from depositd.engine.words import speak
from depositd.model import Delivery, DeliveryState, HoldKind, Metadata
from depositd.sandbox import FAULTS, Sandbox
from depositd.states import ENDED

S, H = DeliveryState, HoldKind
BODY_BYTES = 200_000
DETAILS: Mapping[str, Any] = {"slow": {"bytes_per_s": 4_000_000}, "stale-list": {"delay_s": 3600.0}}
"""What makes a fault quick, or outlast the test."""
ANSWER_WITHIN_S: Mapping[str, float] = {"stall": 0.2, "drip": 0.2, "slow-answer": 0.2}
"""How long an answer is waited for, where it never comes; others have time even on a busy machine."""
PATIENCE_S = 5.0
ROUND_S = 200.0
"""How long at least the time between two looks is: what is not shown within ten minutes is given up after a few."""
REFUSALS = frozenset({"400", "403", "404", "409", "413", "415", "422", "wrong-hash"})
"""Answers that a server gives for good: a dataset that meets one is not delivered, and somebody is told."""
ANSWERED = frozenset({"wrong-hash"})
"""Faults of requests that are acted on and answered all the same."""

PDI_UPLOAD, PQC_UPLOAD = "/api/v1/upload/", "/api/upload/raw"
PAGE = "/proteomics/detail/*"
EQUIPMENT = {"dataset_type": "other", "synchrotron": "APS", "beamline": "24-ID-C"}


@dataclass(frozen=True)
class Request:
    """One request of a delivery; ``after`` harms only later ones, ``lost`` first loses the answer to the upload."""

    name: str
    path: str
    method: str | None = None
    after: int = 0
    lost: bool = False
    metadata: Metadata = field(default_factory=lambda: METADATA)

    @property
    def about_one(self) -> bool:
        """Whether an answer may be a verdict on the dataset; of a list it never is."""
        return self.path in (PDI_UPLOAD, PQC_UPLOAD, "/api/v1/submit/", "/api/v1/submissions/?*")


@dataclass(frozen=True)
class Server:
    """One server and the way in which we are known there."""

    name: str
    requests: tuple[Request, ...]
    upload: str
    questions: frozenset[str]
    mode: str = "modern"
    by: str = "password"

    @property
    def is_pdi(self) -> bool:
        return self.upload == PDI_UPLOAD

    def settings(self, box: Sandbox, secret: Any) -> str:
        return (irrmc if self.is_pdi else qc)(box, secret, by=self.by)

    def things(self, box: Sandbox, archive: Any) -> list[Any]:
        return (uploads_of if self.is_pdi else runs_of)(box, archive)


DIFFRACTION = Server(
    "proteindiffraction",
    (
        Request("auth/token", "/api/v1/auth/token/"),
        Request("list", "/api/v1/submissions/"),
        Request("equipment", "/api/v1/equipment/", metadata={**METADATA, **EQUIPMENT}),
        Request("upload", PDI_UPLOAD),
        Request("list, upload lost", "/api/v1/submissions/", after=1, lost=True),
        Request("one", "/api/v1/submissions/?*"),
        Request("submit", "/api/v1/submit/"),
        Request("list, polled", "/api/v1/submissions/", after=1),
    ),
    PDI_UPLOAD,
    frozenset({"GET /api/v1/submissions/"}),
)
_PQC = (
    Request("projects", "/api/projects"),
    Request("pipelines", "/api/pipelines"),
    Request("qc-data", "/api/qc-data"),
    Request("page", PAGE),
    Request("upload", PQC_UPLOAD),
    Request("projects, upload lost", "/api/projects", after=1, lost=True),
    Request("qc-data, upload lost", "/api/qc-data", after=1, lost=True),
)
_ASKED = frozenset({"POST /api/qc-data", "POST /"})
PROTEOMICS = Server("proteomicsqc, token", _PQC, PQC_UPLOAD, _ASKED, by="token")
OLDER = Server(
    "proteomicsqc, older, session",
    (
        Request("form", "/", "GET"),
        Request("login", "/", "POST"),
        *_PQC,
        Request("page, upload lost", PAGE, after=1, lost=True),
    ),
    PQC_UPLOAD,
    _ASKED,
    mode="older",
)
SERVERS = (DIFFRACTION, PROTEOMICS, OLDER)
CELLS = [(server, request, kind) for server in SERVERS for request in server.requests for kind in FAULTS]


@pytest.fixture(scope="module")
def stop() -> Iterator[Callable[[Sandbox], None]]:
    with stopping_aside() as stop_aside:
        yield stop_aside


class Way:
    """One dataset on its way to one server, driven to its end."""

    def __init__(self, tmp_path: Path, server: Server, **more: Any) -> None:
        clock = ManualClock()
        self.box, self.server = watched(clock, pqc_mode=server.mode), server
        self.box.start()
        self.depot = Depot(tmp_path, [server.settings(self.box, tmp_path / "secret")], clock, **more)
        self.to = next(iter(self.depot.destinations))
        self.retries = 0

    def send(self, metadata: Metadata = METADATA) -> None:
        raw = not self.server.is_pdi
        self.depot.dataset("lyso_x", os.urandom(BODY_BYTES), self.to, raw=raw, metadata=metadata)

    @property
    def delivery(self) -> Delivery:
        return self.depot.delivery(1)

    @property
    def things(self) -> list[Any]:
        return self.server.things(self.box, self.depot.archives[1])

    def finish(self) -> None:
        """Go to the end; of what is held because nobody knows whether it arrived, an operator looks once and says."""
        self.depot.run(at_least_s=ROUND_S)
        if self.delivery.hold is H.UNCONFIRMED and not self.things:
            self.retries += 1
            speak(self.depot.journal, "retry", 1, None, {}, self.depot.clock())
            self.depot.run(at_least_s=ROUND_S)

    # what became of it

    def became(self) -> str:
        """Return what the journal tells in a word or two; ``?`` is the time in which the delivery was unconfirmed."""
        events, state = self.depot.events(1), self.delivery.state
        told = ["paused"] if self.depot.paused else []
        after_lost = events[events.index("answer lost") :] if "answer lost" in events else None
        if after_lost is not None:
            told.append("?")
        if self.retries:
            told.append("held, retry")
        if state is not S.DELIVERED:
            told.append(state)
        elif after_lost is not None:
            told.append("sent again" if "sending" in after_lost else "adopted")
        else:
            told.append("asked again" if "postponed" in events else "delivered")
        return " → ".join(told)

    def check(self) -> None:
        """Assert what is true however it went."""
        assert self.delivery.state in {*ENDED, S.HELD}
        things = self.things
        everything = self.box.uploads if self.server.is_pdi else self.box.runs
        assert len(everything) == len(things) <= 1, "something is there twice, or is not what was sent"
        if self.delivery.state is S.DELIVERED:
            assert len(things) == 1
            if self.server.is_pdi:
                assert [one.metadata["project_title"] for one in self.box.submissions] == [METADATA["project_title"]]
        else:
            assert self.delivery.error
            assert self.delivery.hint
        self.check_questions()

    def check_questions(self) -> None:
        """Assert that between two sends of the same thing somebody asked, and that the journal knows of each send."""
        sends = self.depot.events(1).count("sending")
        asked_since = True
        posted = 0
        for request in asked(self.box):
            if request == f"POST {self.server.upload}":
                assert asked_since, "sent twice without a question in between"
                asked_since = False
                posted += 1
            asked_since |= request in self.server.questions or request == "POST /api/v1/auth/token/"
        # a session that is refused is opened again and the same send goes on
        assert posted <= 2 * sends
        assert_nothing_was_sent_blindly(self.depot.history(1))


@pytest.fixture
def way(tmp_path, stop):
    made: list[Way] = []

    def make(server: Server, **more: Any) -> Way:
        made.append(Way(tmp_path / str(len(made)), server, **more))
        return made[-1]

    yield make
    for one in made:
        one.depot.close()
        stop(one.box)


def cell_id(cell: tuple[Server, Request, str]) -> str:
    server, request, kind = cell
    return re.sub(r"[^\w]+", "_", f"{server.name} {request.name} {kind}")


@pytest.mark.parametrize("cell", CELLS, ids=cell_id)
def test_whatever_goes_wrong_it_is_there_once_or_somebody_is_told(way, record_property, cell):
    server, request, kind = cell
    one = way(server, adapter=Impatient(ANSWER_WITHIN_S.get(kind, PATIENCE_S)))
    if request.lost:
        one.box.fault(server.upload, "commit-then-drop")
    details = DETAILS.get(kind, {"delay_s": 1.0})
    one.box.fault(request.path, kind, method=request.method, after=request.after, **details)
    one.send(request.metadata)
    one.finish()
    record_property("fault matrix", (CELLS.index(cell), server.name, kind, request.name, one.became()))

    assert kind in [met for met, _ in one.box.faults.met], "no request met the fault"
    one.check()
    lost = request.path == server.upload and "acted on" in FAULTS[kind] and kind not in ANSWERED
    if request.lost or lost:
        assert "answer lost" in one.depot.events(1)
    if lost or (request.lost and (server.is_pdi or kind != "stale-list")):
        assert asked(one.box).count(f"POST {server.upload}") == 1, "sent again although it was there"
    if one.delivery.state is not S.DELIVERED:
        never_shown = one.delivery.hold is H.UNCONFIRMED and one.things
        assert never_shown or (request.about_one and kind in REFUSALS), one.delivery.error


# our own end

DEATHS = {
    "before sending": "nothing was sent, and nobody has to ask",
    "sending committed": "nothing was sent, but only the server knows",
    "in the body": "half of it was sent",
    "answer lost": "the server has it, and nobody read its answer",
    "answer read": "the answer was read, and not recorded",
}
NOTHING_THERE = ("sending committed", "in the body")


@pytest.mark.parametrize("moment", DEATHS)
@pytest.mark.parametrize("server", SERVERS, ids=lambda server: re.sub(r"\W+", "_", server.name))
def test_a_power_cut_leads_to_a_question_and_then_to_one_thing(way, record_property, server, moment):
    one = way(server)
    if moment == "answer lost":
        one.box.fault(server.upload, "commit-then-drop")
    one.depot.moments.end_at(moment)
    one.send()
    with pytest.raises(PowerCut):
        one.depot.run()
    assert len(one.things) == (moment in ("answer lost", "answer read"))
    one.depot.die()
    assert one.delivery.state is (S.WAITING if moment == "before sending" else S.UNCONFIRMED)
    one.finish()
    record_property(
        "fault matrix", (len(CELLS) + list(DEATHS).index(moment), "our own end", moment, server.name, one.became())
    )

    one.check()
    assert one.delivery.state is S.DELIVERED
    asks = not server.is_pdi and moment in NOTHING_THERE
    assert one.retries == asks, "who cannot be asked by content is never sent anything again without a word"
    assert asked(one.box).count(f"POST {server.upload}") == (2 if moment == "in the body" else 1)


@pytest.mark.parametrize("server", SERVERS, ids=lambda server: re.sub(r"\W+", "_", server.name))
def test_power_cuts_after_every_step_change_nothing(way, server):
    """The outcome of each step is lost once: of the first, then of the second that is taken, and so on."""
    one = way(server)
    one.send()
    cuts = 0
    while one.delivery.state not in ENDED:
        one.depot.moments.end_at("answer read")
        with pytest.raises(PowerCut):
            one.depot.run(at_least_s=ROUND_S)
        cuts += 1
        one.depot.die()
        one.depot.moments.do.clear()
        one.depot.wait(ROUND_S)
        one.depot.tick()

    one.check()
    assert one.delivery.state is S.DELIVERED
    assert cuts == (2 if server.is_pdi else 1), "the upload, and the submit"
    assert asked(one.box).count(f"POST {server.upload}") == 1
    assert asked(one.box).count("POST /api/v1/submit/") == server.is_pdi
