"""What a delivery must pass before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_support import NOW

from depositd.engine.gates import Facts, closed, may_be_judged
from depositd.journal import DatasetRecord, Standing
from depositd.model import DatasetState, Delivery, DeliveryState, HoldKind, Packing, Problem, VerdictKind

K, D, H = VerdictKind, DatasetState, HoldKind

RECORD = DatasetRecord(
    id=7,
    rule="r",
    format="frames",
    root="/data",
    directory="run",
    key="k",
    generation=1,
    current=True,
    name="lyso_1",
    path="/data/run",
    relative_path="run/lyso_1_00001.cbf",
    state=D.COMPLETE,
    verdict=K.COMPLETE,
    evidence=("1800 of 1800 frames",),
    file_count=1800,
    size_bytes=5,
    frames=None,
    fingerprint="f",
    condemned=None,
    header={},
    sidecar={},
    sidecar_problem=None,
    metadata={},
    first_seen=NOW,
    completed_at=NOW,
    archived_at=None,
    pack_failures=0,
    next_pack_at=None,
    pack_error=None,
    pack_hint=None,
)
DELIVERY = Delivery(1, 7, "irrmc", DeliveryState.WAITING)
OTHER = Delivery(2, 3, "irrmc", DeliveryState.DELIVERED)
FACTS = Facts(RECORD, Standing(DELIVERY, "auto", frozenset(), D.COMPLETE), (), Packing.ARCHIVE, hold_incomplete=True)
TRUNCATED = replace(RECORD, state=D.INCOMPLETE, verdict=K.TRUNCATED, evidence=("1700 of 1800 frames",))


def standing(approve="auto", *consents):
    return Standing(DELIVERY, approve, frozenset(consents), D.COMPLETE)


def test_where_nothing_speaks_against_it_the_delivery_may_go():
    assert closed(FACTS) is None


@pytest.mark.parametrize(
    ("changes", "kind", "says", "hints"),
    [
        ({"packing": None}, H.SERVER, "irrmc takes single files, and lyso_1 is 1,800 files", "skip 7"),
        ({"record": TRUNCATED}, H.INCOMPLETE, "truncated: 1700 of 1800 frames", "release 7 sends it as it is"),
        ({"earlier": OTHER}, H.CHANGED, "changed after dataset 3 went to irrmc (delivered)", "release 7"),
        ({"twin": OTHER}, H.DUPLICATE, "the same bytes went to irrmc as dataset 3", "skip 7"),
        (
            {"problems": (Problem("pdb_code", "is missing", "such as 1ABC"), Problem("title", "is missing"))},
            H.METADATA,
            "pdb_code: is missing; title: is missing",
            "release 7 --set pdb_code=…",
        ),
        ({"standing": standing("manual")}, H.APPROVAL, "waits for your approval to go to irrmc", "release 7"),
        ({"standing": standing("manual"), "public": True}, H.APPROVAL, "becomes public", "release 7"),
    ],
)
def test_each_gate_says_why_and_what_to_do(changes, kind, says, hints):
    hold = closed(replace(FACTS, **changes))
    assert hold is not None
    assert hold.kind is kind
    assert says in hold.reason
    assert hints in hold.hint


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"record": TRUNCATED}, H.INCOMPLETE),
        ({"earlier": OTHER}, H.CHANGED),
        ({"twin": OTHER}, H.DUPLICATE),
        ({}, H.APPROVAL),
    ],
)
def test_a_yes_opens_its_own_gate_and_no_other(changes, kind):
    approve = "manual" if kind is H.APPROVAL else "auto"
    assert closed(replace(FACTS, **changes, standing=standing(approve, kind))) is None
    others = set(H) - {kind}
    assert closed(replace(FACTS, **changes, standing=standing(approve, *others))).kind is kind


def test_missing_metadata_and_a_wrong_destination_are_opened_by_no_yes():
    everything = standing("manual", *H)
    assert closed(replace(FACTS, standing=everything, problems=(Problem("x", "is missing"),))).kind is H.METADATA
    assert closed(replace(FACTS, standing=everything, packing=None)).kind is H.SERVER


def test_all_closed_gates_are_told_at_once_under_the_kind_of_the_first():
    hold = closed(
        replace(FACTS, record=TRUNCATED, problems=(Problem("title", "is missing"),), standing=standing("manual"))
    )
    assert hold.kind is H.INCOMPLETE
    assert [word in hold.reason for word in ("truncated", "title", "approval")] == [True, True, True]


def test_an_incomplete_dataset_passes_where_the_rule_says_deliver():
    assert closed(replace(FACTS, record=TRUNCATED, hold_incomplete=False)) is None


def test_names_from_disk_are_escaped():
    hold = closed(replace(FACTS, packing=None, record=replace(RECORD, name="a\x1b[31m\udcff")))
    assert "a\\x1b[31m\\xff" in hold.reason


def test_only_what_has_ended_is_judged():
    judged = {state for state in D if may_be_judged(replace(RECORD, state=state))}
    assert judged == {D.COMPLETE, D.INCOMPLETE, D.ARCHIVED}
