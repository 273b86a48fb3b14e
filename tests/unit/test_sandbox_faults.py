from __future__ import annotations

import pytest

from depositd.sandbox.faults import FAULTS, Fault, FaultBox, fault_from_json


def test_a_fault_is_met_as_often_as_it_says_and_then_no_more():
    box = FaultBox((Fault("/api/v1/upload/", "500", times=2),))

    met = [box.take("POST", "/api/v1/upload/") is not None for _ in range(3)]

    assert met == [True, True, False]
    assert box.met == (("500", "/api/v1/upload/"),) * 2


def test_requests_pass_unharmed_before_after_is_used_up():
    box = FaultBox((Fault("/api/*", "503", after=1),))

    assert box.take("GET", "/api/v1/submissions/") is None
    assert box.take("GET", "/api/v1/submissions/") is not None


def test_other_paths_and_methods_do_not_meet_a_fault():
    box = FaultBox((Fault("/api/v1/*", "500", method="DELETE", times=None),))

    assert box.take("GET", "/api/v1/submissions/x/") is None
    assert box.take("DELETE", "/api/qc-data") is None
    assert all(box.take("DELETE", "/api/v1/submissions/x/") for _ in range(5))


def test_a_cleared_box_harms_nobody():
    box = FaultBox((Fault("*", "500", times=None),))
    box.clear()

    assert box.take("GET", "/") is None


def test_what_is_armed_shows_what_is_left_of_it():
    box = FaultBox((Fault("/a", "500", times=3),))
    box.take("GET", "/a")

    shown = box.as_json()

    assert [(each["path"], each["kind"], each["left"]) for each in shown["armed"]] == [("/a", "500", 2)]
    assert shown["kinds"] == FAULTS


@pytest.mark.parametrize(
    ("document", "problem"),
    [
        ({"kind": "500"}, "path: missing"),
        ({"path": "/a"}, "kind: missing"),
        ({"path": "a", "kind": "500"}, "path: 'a' does not begin with /"),
        ({"path": 5, "kind": "500"}, "path: 5 does not begin with /"),
        ({"path": "/a", "kind": "418"}, "kind: there is no fault '418'"),
        ({"path": "/a", "kind": "500", "times": 0}, "times: 0 is not a whole number above 0"),
        ({"path": "/a", "kind": "500", "times": True}, "times: True"),
        ({"path": "/a", "kind": "slow", "bytes_per_s": 0}, "bytes_per_s: 0 is not a number of at least 1"),
        ({"path": "/a", "kind": "slow-answer", "delay_s": "5"}, "delay_s: '5' is not a number"),
        ({"path": "/a", "kind": "500", "tims": 3}, "tims: unknown key"),
    ],
)
def test_a_wrong_fault_is_refused_with_the_key_that_is_wrong(document, problem):
    with pytest.raises(ValueError) as refused:
        fault_from_json(document)

    assert problem in str(refused.value)


def test_every_fault_is_explained_in_one_sentence():
    assert all(sentence.endswith(".") and "\n" not in sentence for sentence in FAULTS.values())
