"""What a delivery must pass before anything is sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from engine_support import NOW

from depositd.engine.gates import SIDECAR, Facts, closed, may_be_judged
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


# every sentence, whole: it stands in status, log, mail and page

GONE_ON = replace(RECORD, current=False, generation=2)
SECOND = replace(RECORD, generation=2)
REFUSED = replace(OTHER, state=DeliveryState.FAILED)
CORRUPT = replace(RECORD, state=D.INCOMPLETE, verdict=K.CORRUPT, evidence=("frame 3 is empty",))
LEAVE = "depositd skip 7 leaves it"
REPLACE = (
    f"depositd retry 7 --replace deletes that one there and sends this one, depositd release 7 sends it beside, {LEAVE}"
)


@pytest.mark.parametrize(
    ("changes", "reason", "hint"),
    [
        (
            {"packing": None},
            "irrmc takes single files, and lyso_1 is 1,800 files (frames)",
            "depositd skip 7, or deliver it to another destination",
        ),
        ({"record": TRUNCATED}, "truncated: 1700 of 1800 frames", f"depositd release 7 sends it as it is, {LEAVE}"),
        (
            {"record": CORRUPT, "unsendable": "x", "hold_incomplete": False},
            "corrupt: frame 3 is empty",
            "exclude x in the rule, or depositd skip 7: it cannot be sent as it is",
        ),
        (
            {"record": GONE_ON},
            "generation 2: the dataset changed since, and a newer generation has taken its place",
            f"depositd release 7 sends this one all the same, {LEAVE}",
        ),
        (
            {"record": SECOND, "earlier": OTHER},
            "generation 2: it changed after dataset 3 went to irrmc (delivered)",
            f"depositd release 7 sends this one as well, {LEAVE}",
        ),
        (
            {"record": SECOND, "earlier": REFUSED},
            "generation 2: it changed after irrmc refused dataset 3",
            REPLACE,
        ),
        (
            {"record": SECOND, "earlier": replace(REFUSED, remote_status="rejected")},
            "generation 2: it changed after irrmc refused dataset 3 as rejected",
            REPLACE,
        ),
        (
            {"twin": OTHER},
            "the same bytes went to irrmc as dataset 3 (delivered)",
            "depositd skip 7, or depositd release 7 to send them once more",
        ),
        (
            {"problems": (Problem("title of it", "is missing"), Problem("pdb", "is odd", "such as 1ABC"))},
            "metadata: title of it: is missing; pdb: is odd",
            "depositd release 7 --set title=…, or a sidecar file (such as 1ABC)",
        ),
        (
            {"problems": (Problem("title", "is missing"),)},
            "metadata: title: is missing",
            "depositd release 7 --set title=…, or a sidecar file",
        ),
        (
            {"problems": (Problem(SIDECAR, "is no YAML", "mend it"),)},
            "metadata: sidecar: is no YAML",
            "mend it",
        ),
        ({"standing": standing("manual")}, "waits for your approval to go to irrmc", "depositd release 7"),
        (
            {"standing": standing("manual"), "public": True},
            "waits for your approval to go to irrmc (what is sent there becomes public)",
            "depositd release 7",
        ),
        (
            {"record": TRUNCATED, "problems": (Problem("title", "is missing"),)},
            "truncated: 1700 of 1800 frames; metadata: title: is missing",
            "depositd release 7 --set title=…, or a sidecar file",
        ),
    ],
)
def test_a_closed_gate_is_told_in_these_words(changes, reason, hint):
    hold = closed(replace(FACTS, **changes))
    assert (hold.reason, hold.hint) == (reason, hint)


def test_a_corrupt_dataset_is_held_whatever_the_rule_says():
    assert closed(replace(FACTS, record=CORRUPT, hold_incomplete=False)).kind is H.INCOMPLETE


def test_what_grows_is_not_held_for_being_incomplete():
    assert closed(replace(FACTS, record=replace(RECORD, state=D.GROWING, verdict=K.GROWING))) is None


def test_what_replaces_an_earlier_one_by_the_operators_word_is_not_held_for_that():
    replacing = Standing(replace(DELIVERY, replaces="17"), "auto", frozenset(), D.COMPLETE)
    assert closed(replace(FACTS, record=SECOND, earlier=REFUSED, standing=replacing)) is None


def test_a_superseded_one_passes_with_the_yes_to_the_change():
    assert closed(replace(FACTS, record=GONE_ON, standing=standing("auto", H.CHANGED))) is None


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"record": GONE_ON}, H.CHANGED),
        ({"record": SECOND, "earlier": OTHER}, H.CHANGED),
        ({"record": SECOND, "earlier": REFUSED}, H.CHANGED),
        ({"problems": (Problem(SIDECAR, "is no YAML", "mend it"),)}, H.METADATA),
    ],
)
def test_every_hold_is_of_the_kind_that_its_own_yes_ends(changes, kind):
    assert closed(replace(FACTS, **changes)).kind is kind
