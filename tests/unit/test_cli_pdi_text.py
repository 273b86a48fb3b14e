"""What pdi says."""

from __future__ import annotations

import pytest

from depositd.cli import pdi_text
from depositd.cli.pdi_follow import MOST_FAILURES, follow
from depositd.cli.pdi_submit import refuse_wrong_metadata
from depositd.destinations.proteindiffraction.records import NEXT_ACTION, Submission, Synchrotron
from depositd.errors import NotFound, Unavailable
from depositd.model import Delivery, DeliveryState, HoldKind

AGAIN = "--to irrmc"
EQUIPMENT = [
    Synchrotron.read(
        {"id": 25, "short": "APS", "fullname": "Advanced Photon Source", "beamlines": [{"id": 42, "short": "24-ID-C"}]}
    ),
    Synchrotron.read({"id": 7, "short": "ESRF", "fullname": None, "beamlines": []}),
]


def submission(status="published", **more):
    return Submission.read({"token": "t1", "status": status, **more})


def shown(found):
    return [each.plain for each in pdi_text.fact_lines(pdi_text.submission_facts(found, AGAIN))]


def test_facts_leave_out_what_is_not_known():
    assert shown(submission(pdbid="1ABC")) == ["token   t1", "status  published", "next    Done", "pdbid   1ABC"]


def test_facts_name_the_equipment_and_are_harmless():
    found = submission(synchrotron={"id": 25, "short": "APS"}, beamline={"id": 42}, project_title="a\x1b[2Jb\nc")
    assert "equipment  APS 42" in shown(found)
    assert "title      a\\x1b[2Jb\\nc" in shown(found)


@pytest.mark.parametrize("status", NEXT_ACTION)
def test_every_status_of_the_document_has_its_next_action(status):
    assert pdi_text.next_action(status, "t1", AGAIN).startswith(NEXT_ACTION[status])


def test_a_next_action_names_the_command_where_there_is_one():
    assert "depositd pdi submit t1 --to irrmc --set pdb_code=…" in pdi_text.next_action("uploaded", "t1", AGAIN)
    assert "depositd pdi delete t1 --to irrmc" in pdi_text.next_action("error_no_data", "t1", AGAIN)
    assert "no document names" in pdi_text.next_action("on_fire", "t1", AGAIN)


def test_equipment_has_a_row_for_each_beamline_and_for_a_synchrotron_without():
    assert pdi_text.equipment_rows(EQUIPMENT) == [
        [25, "APS", 42, "24-ID-C", "Advanced Photon Source"],
        [7, "ESRF", None, None, None],
    ]


@pytest.mark.parametrize(
    ("name", "found"), [("aps", ["APS"]), ("photon", ["APS"]), ("24-id", ["APS"]), ("ESRF", ["ESRF"]), ("x", [])]
)
def test_equipment_is_found_by_any_of_its_names(name, found):
    assert [one.short for one in pdi_text.named_equipment(EQUIPMENT, name)] == found


def test_the_nearest_equipment_is_named():
    assert "24-ID-C" in pdi_text.nearest_equipment(EQUIPMENT, "24-ID-D")


@pytest.mark.parametrize(
    ("delivery", "hint"),
    [
        ({"state": DeliveryState.HELD, "hold": HoldKind.METADATA}, "pdi submit ./data --to irrmc --set pdb_code"),
        ({"state": DeliveryState.HELD, "hold": HoldKind.SERVER, "remote_id": "t1"}, "pdi submit t1 --to irrmc --set …"),
        ({"state": DeliveryState.UNCONFIRMED}, "pdi list --to irrmc"),
        ({"state": DeliveryState.WAITING}, "pdi list --to irrmc"),
        ({"state": DeliveryState.UPLOADED, "remote_id": "t1"}, "pdi submit t1 --to irrmc"),
        ({"state": DeliveryState.SUBMITTED, "remote_id": "t1"}, "pdi status t1 --to irrmc --poll"),
        (
            {"state": DeliveryState.FAILED, "remote_id": "t1", "remote_status": "error_no_data"},
            "Delete and re-upload a corrected archive: depositd pdi delete t1",
        ),
        ({"state": DeliveryState.FAILED, "remote_id": "t1", "remote_status": "uploaded"}, "pdi delete t1"),
    ],
)
def test_each_end_says_which_command_goes_on(delivery, hint):
    told = pdi_text.hint_of(Delivery(0, 0, "irrmc", **delivery), "./data", AGAIN)
    assert hint in told
    assert "release" not in told


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ({"pdb_cod": "1ABC"}, "pdb_code"),
        ({"pdb_code": "ABCD"}, "is no PDB code"),
        ({"pdb_code": "1ABC", "dataset_type": "none"}, "dataset type"),
        ({"pdb_code": "1ABC", "project_title": "short"}, "characters"),
    ],
)
def test_what_the_server_would_refuse_is_a_usage_error(metadata, says):
    with pytest.raises(Exception, match=says) as raised:
        refuse_wrong_metadata(metadata)
    assert type(raised.value).__name__ == "BadParameter"


def test_what_is_merely_missing_is_no_usage_error():
    assert refuse_wrong_metadata({"pdb_code": "1ABC"}) == []
    assert refuse_wrong_metadata({})[0].where == "pdb_code"


class Looks:
    def __init__(self, *script):
        self.script = list(script)
        self.slept = []
        self.changes = []

    def look(self):
        told = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(told, Exception):
            raise told
        return submission(told)

    def follow(self, longest_s=60.0):
        return follow(
            self.look,
            lambda found: self.changes.append(found.status),
            sleep=self.slept.append,
            longest_s=longest_s,
            chance=lambda: 0.5,
        )


def test_following_tells_each_change_once_and_looks_less_often_when_nothing_changes():
    looks = Looks("submitted", "pending", "pending", "pending", "on_fire", "published")
    assert looks.follow(longest_s=3.0).status == "published"
    assert looks.changes == ["submitted", "pending", "on_fire", "published"]
    assert looks.slept == [1.0, 1.0, 2.0, 3.0, 1.0]


def test_a_server_that_is_away_for_a_while_is_waited_for(capsys):
    looks = Looks("pending", *[Unavailable("away")] * MOST_FAILURES, "error_no_data")
    assert looks.follow().failed
    assert "away; asked again in 2 s" in capsys.readouterr().err


def test_one_that_never_answers_is_given_up_soon():
    looks = Looks(Unavailable("away"))
    with pytest.raises(Unavailable):
        looks.follow()
    assert len(looks.slept) == 1


def test_one_that_stays_away_is_given_up_in_the_end():
    looks = Looks("pending", Unavailable("away"))
    with pytest.raises(Unavailable):
        looks.follow()
    assert len(looks.slept) == 1 + MOST_FAILURES


def test_an_unknown_token_is_told_at_once():
    with pytest.raises(NotFound):
        Looks(NotFound("no such submission")).follow()
