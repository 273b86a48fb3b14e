from __future__ import annotations

import hashlib
import re
from dataclasses import replace

import pytest
from clock_support import ManualClock
from http_support import CANARY, FakeServer, Recorder, Reply, lost, texts_of

from depositd.destinations.proteindiffraction import Client, ProteinDiffraction
from depositd.destinations.proteindiffraction.metadata import payload, problems
from depositd.destinations.proteindiffraction.records import DELETABLE, MEANING, NEXT_ACTION, Submission, Upload
from depositd.errors import (
    ArchiveInvalid,
    AuthError,
    DepositdError,
    NotFound,
    Rejected,
    Unavailable,
    Unconfirmed,
)
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Packing
from depositd.states import DELIVERY_TRANSITIONS, DeliveryEvent

BASE = "/api/v1"
AUTH = f"POST {BASE}/auth/token/"
UPLOAD = f"POST {BASE}/upload/"
SUBMIT = f"POST {BASE}/submit/"
LIST = f"GET {BASE}/submissions/"
ONE = f"GET {BASE}/submissions/tok1/"
EQUIPMENT = f"GET {BASE}/equipment/"
DELETE = f"DELETE {BASE}/submissions/tok1/"

CONTENT = b"an archive"
MD5 = hashlib.md5(CONTENT).hexdigest()
INNER = "1" * 32
METADATA = {"pdb_code": "1abc"}
SYNCHROTRONS = [
    {
        "id": 25,
        "short": "APS",
        "fullname": "Advanced Photon Source",
        "url": None,
        "beamlines": [{"id": 42, "short": "24-ID-C", "fullname": None, "url": None}, {"id": 43, "short": "24-ID-E"}],
    },
    {
        "id": 7,
        "short": "ESRF",
        "fullname": "European Synchrotron Radiation Facility",
        "url": None,
        "beamlines": [{"id": 71, "short": "ID23-1", "fullname": None, "url": None}],
    },
    {"id": 8, "short": "Home", "fullname": None, "url": None, "beamlines": []},
]


def submission(status: str = "uploaded", md5hash: str = INNER, token: str = "tok1", **more):
    return {"token": token, "status": status, "md5hash": md5hash, "pdbid": None, "status_details": None, **more}


def uploaded(**more) -> Reply:
    answer = {
        "token": "tok1",
        "md5hash": INNER,
        "filename": "a.tar",
        "size": 9,
        "pdbid": "1ABC",
        "is_pdb_exists": False,
    }
    return Reply(201, {**answer, **more})


@pytest.fixture
def archive(tmp_path) -> Archive:
    path = tmp_path / "a.tar.zst"
    path.write_bytes(CONTENT)
    return Archive(
        str(path), "a.tar.zst", Packing.ARCHIVE, len(CONTENT), MD5, INNER, hashlib.sha256(CONTENT).hexdigest()
    )


def client(server: FakeServer, **options) -> Client:
    options = {"now": ManualClock(), **(options or {"token": CANARY})}
    return Client(f"https://pdi.example{BASE}/", adapter=server, **options)


def delivery(state: DeliveryState, **more) -> Delivery:
    return Delivery(id=1, dataset_id=12, destination="irrmc", state=state, **more)


def step(server, archive, state=DeliveryState.WAITING, metadata=METADATA, report=None, existing="hold", **more):
    destination = ProteinDiffraction("irrmc", client(server), existing=existing, poll_every_s=60.0)
    outcome = destination.step(delivery(state, **more), archive, metadata, report or Recorder())
    assert (state, outcome.event) in DELIVERY_TRANSITIONS
    assert outcome.reason
    if outcome.event in (DeliveryEvent.HOLD, DeliveryEvent.FAILED):
        assert outcome.hint
    return outcome


# --- the client ------------------------------------------------------------------------------------------


def test_an_upload_is_sent_as_documented(archive):
    server = FakeServer().on(UPLOAD, uploaded(new_field=1))
    told = []
    result = client(server).upload(archive.path, dataset_type="other", on_progress=lambda *done: told.append(done))
    seen = server.last(UPLOAD)
    assert seen.headers["Authorization"] == f"Token {CANARY}"
    assert seen.headers["Content-Length"] == str(len(seen.body))
    assert b'name="dataset_type"\r\n\r\nother' in seen.body
    assert re.search(rb'name="dataset_file"; filename="a.tar.zst"\r\n.*\r\n\r\nan archive\r\n--', seen.body)
    assert (result.token, result.md5hash, result.size_bytes, result.pdbid) == ("tok1", INNER, 9, "1ABC")
    assert result.raw["new_field"] == 1
    assert told == [(10, 10)]


def test_submit_sends_json_without_what_is_not_known():
    server = FakeServer().on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    client(server).submit("tok1", pdb_code="1ABC", project_title=None)
    assert server.last(SUBMIT).json == {"token": "tok1", "pdb_code": "1ABC"}
    assert server.last(SUBMIT).headers["Content-Type"] == "application/json"


def test_the_list_keeps_its_order_and_unknown_fields():
    server = FakeServer().on(LIST, Reply(200, [submission(token="new", extra=1), submission("odd", token="old")]))
    listed = client(server).submissions()
    assert [one.token for one in listed] == ["new", "old"]
    assert listed[0].raw["extra"] == 1


def test_records_tell_the_next_action_and_keep_what_nobody_knows():
    known = {status: Submission.read(submission(status, new=1)) for status in [*NEXT_ACTION, "curated"]}
    assert {status: one.next_action for status, one in known.items()} == {**NEXT_ACTION, "curated": None}
    assert {status for status, one in known.items() if one.deletable} == DELETABLE
    assert {status for status, one in known.items() if one.ended} == {"published", *MEANING}
    assert all(one.raw["new"] == 1 for one in known.values())


@pytest.mark.parametrize("odd", [None, 5, [], {}, True, ""])
def test_an_optional_field_of_a_wrong_type_is_none(odd):
    fields = (
        "original_filename",
        "md5hash",
        "pdbid",
        "dataset_type",
        "project_title",
        "synchrotron",
        "equipment_other",
    )
    read = Submission.read({"token": "t", "status": "s", **dict.fromkeys(fields, odd)})
    assert all(getattr(read, field) in (None, {}) for field in fields)
    answer = Upload.read({"token": "t", "md5hash": "ABC", "size": odd, "filename": odd, "pdbid": odd})
    assert (answer.md5hash, answer.filename, answer.pdbid, answer.is_pdb_exists) == ("abc", None, None, False)


def test_a_content_is_found_by_either_hash():
    listed = [submission("error_no_data", INNER, "new"), submission("pending", MD5.upper(), "old")]
    server = FakeServer().on(LIST, Reply(200, listed))
    assert client(server).find(MD5.upper(), INNER).token == "old"
    assert client(server).find("0" * 32, INNER).token == "new"
    assert client(server).find("0" * 32) is None


def test_equipment_and_delete():
    server = FakeServer().on(EQUIPMENT, Reply(200, SYNCHROTRONS))
    server.on(f"DELETE {BASE}/submissions/tok1/", Reply(204))
    assert client(server).equipment()[0].beamlines[0].short == "24-ID-C"
    assert client(server).delete("tok1") is None


def test_a_token_cannot_leave_its_place_in_the_path():
    server = FakeServer().on(f"GET {BASE}/submissions/..%2Fx%3Fy/", Reply(200, submission()))
    assert client(server).submission("../x?y").token == "tok1"
    for token in ("", ".", ".."):
        with pytest.raises(ValueError, match="not a submission's token"):
            client(server).delete(token)


def test_another_users_submission_does_not_pause_the_destination():
    server = FakeServer().on(ONE, Reply(403, {"error": "belongs to another user"}))
    with pytest.raises(Rejected):
        client(server).submission("tok1")


def test_a_wrong_url_is_no_statement_about_our_data():
    with pytest.raises(Unavailable):
        client(FakeServer().on(LIST, Reply(404, b"<title>Not Found</title>"))).submissions()
    with pytest.raises(NotFound):
        client(FakeServer().on(ONE, Reply(404, {"error": "no"}))).submission("tok1")


@pytest.mark.parametrize(
    "body", [b"<html>", {}, {"token": ""}, {"token": 5, "md5hash": "x"}, [], None, {"token": "t"}, "text"]
)
def test_a_success_without_the_documented_body_is_unconfirmed(body, archive):
    with pytest.raises(Unconfirmed):
        client(FakeServer().on(UPLOAD, Reply(201, body))).upload(archive.path)


@pytest.mark.parametrize("body", [{"results": []}, {"0": {"token": "x"}}, 1, None, b"[", "x"])
def test_a_list_that_is_none_is_unavailable(body):
    with pytest.raises(Unavailable):
        client(FakeServer().on(LIST, Reply(200, body))).submissions()


ODD_ROWS = [None, 7, "text", [], {}, {"token": None, "status": "pending"}, {"token": 5}, {"status": "published"}]


def test_an_odd_row_hides_no_other():
    listed = [
        submission(token="first"),
        *ODD_ROWS,
        {"token": "no-status"},
        submission(None),
        submission(5, token="last"),
    ]
    found = client(FakeServer().on(LIST, Reply(200, listed))).submissions()
    assert [(one.token, one.status) for one in found] == [
        ("first", "uploaded"),
        ("no-status", "unknown"),
        ("tok1", "unknown"),
        ("last", "unknown"),
    ]


@pytest.mark.parametrize("status", [None, 5, ""])
def test_a_status_that_is_none_is_polled_on(status, archive):
    server = FakeServer().on(LIST, Reply(200, [None, submission(status)]))
    outcome = step(server, archive, DeliveryState.SUBMITTED, remote_id="tok1")
    assert (outcome.event, outcome.remote_status, outcome.again_s) == (DeliveryEvent.SUBMITTED, "unknown", 60.0)
    assert "'unknown', a status that no document names" in outcome.reason


def test_username_and_password_are_exchanged_once_and_once_more_when_refused():
    server = FakeServer()
    server.on(AUTH, Reply(200, {"token": "first"}), Reply(200, {"token": "second", "email": "you@lab.edu"}))
    server.on(LIST, Reply(200, []), Reply(401, {"error": "expired"}), Reply(200, []))
    one = client(server, username="you@lab.edu", password="pass word")
    one.submissions()
    assert server.last(AUTH).body == b"username=you%40lab.edu&password=pass+word"
    one.submissions()
    assert [seen.headers.get("Authorization") for seen in server.seen] == [
        None,
        "Token first",
        "Token first",
        None,
        "Token second",
    ]
    assert one.token == "second"


def test_an_upload_that_is_refused_with_401_is_sent_whole_with_the_new_token(archive):
    server = FakeServer().on(AUTH, Reply(200, {"token": "first"}), Reply(200, {"token": "second"}))
    server.on(UPLOAD, Reply(401, {"error": "expired"}), uploaded())
    client(server, username="you", password="pw").upload(archive.path)
    first, second = [seen for seen in server.seen if seen.path.endswith("/upload/")]
    assert first.body == second.body


def test_a_token_that_is_refused_twice_is_refused():
    server = FakeServer().on(AUTH, Reply(200, {"token": "t"})).on(LIST, Reply(401, {"error": "no"}))
    with pytest.raises(AuthError):
        client(server, username="you", password="pw").submissions()
    assert server.count(LIST) == 2


@pytest.mark.parametrize("status", [400, 401, 403])
def test_a_wrong_password_is_an_auth_error_that_does_not_show_it(status):
    server = FakeServer().on(AUTH, Reply(status, {"error": f"no user with password {CANARY}"}))
    with pytest.raises(AuthError) as caught:
        client(server, username="you", password=CANARY).submissions()
    assert CANARY not in texts_of(caught.value)


@pytest.mark.parametrize("token", [f"{CANARY}\n", f" {CANARY}", f"{CANARY}\u00e9", ""])
def test_a_token_that_cannot_stand_in_a_header_is_not_shown(token):
    with pytest.raises(AuthError) as caught:
        client(FakeServer(), token=token).submissions()
    assert CANARY not in texts_of(caught.value)


def test_without_any_credentials_it_says_so():
    with pytest.raises(AuthError, match="neither a token nor"):
        client(FakeServer(), username="you").submissions()


def test_results_do_not_show_the_token():
    server = FakeServer().on(AUTH, Reply(200, {"token": CANARY, "user_id": 42, "email": "you@lab.edu"}))
    account = client(server, username="you", password="pw").login()
    assert account.token == CANARY
    assert CANARY not in repr(account)
    assert CANARY not in repr(client(server))


def test_waiting_polls_over_unknown_statuses_to_the_end():
    server = FakeServer().on(
        ONE, *[Reply(200, submission(status)) for status in ("submitted", "curated", "validated", "published")]
    )
    slept, told = [], []
    final = client(server).wait("tok1", on_progress=lambda one: told.append(one.status), sleep=slept.append, poll_s=5)
    assert final.status == "published"
    assert told == ["submitted", "curated", "validated", "published"]
    assert slept == [5, 5, 5]


def test_waiting_has_an_end():
    server = FakeServer().on(ONE, Reply(200, submission("pending")))
    time = Time()
    with pytest.raises(Unavailable, match="no final status after 2 min; it is 'pending'"):
        client(server).wait("tok1", longest_s=120, sleep=time.sleep, clock=time.now_s)
    assert server.count(ONE) == 3


def test_waiting_outlasts_a_server_that_is_away_and_follows_its_wish():
    away = (
        Reply(503, b"<title>Down</title>", {"Retry-After": "7"}),
        lost(),
        Reply(429, {"error": "slow"}),
        Reply(502, b""),
    )
    server = FakeServer().on(ONE, Reply(200, submission("pending")), *away, Reply(200, submission("published")))
    time, told = Time(), []
    final = client(server).wait("tok1", on_unavailable=told.append, poll_s=60, sleep=time.sleep, clock=time.now_s)
    assert final.status == "published"
    assert time.slept == [60, 7, 60, 60, 60]
    assert [error.status for error in told] == [503, None, 429, 502]


def test_waiting_for_a_server_that_stays_away_ends_with_what_it_said_last():
    server = FakeServer().on(ONE, Reply(503, {"error": "down for the night"}, {"Retry-After": "0"}))
    time = Time()
    with pytest.raises(Unavailable, match=r"no final status after 5 s; last: .*down for the night"):
        client(server).wait("tok1", longest_s=5, sleep=time.sleep, clock=time.now_s)
    assert time.slept == [1, 1, 1, 1, 1]


@pytest.mark.parametrize(("status", "error"), [(401, AuthError), (403, Rejected), (404, NotFound)])
def test_waiting_ends_at_once_where_time_mends_nothing(status, error):
    time = Time()
    with pytest.raises(error):
        client(FakeServer().on(ONE, Reply(status, {"error": "no"}))).wait("tok1", sleep=time.sleep, clock=time.now_s)
    assert not time.slept


class Time:
    """A monotonic clock that passes while somebody sleeps."""

    def __init__(self):
        self.slept = []

    def sleep(self, seconds):
        self.slept.append(seconds)

    def now_s(self):
        return float(sum(self.slept))


# --- waiting ---------------------------------------------------------------------------------------------


def test_an_upload_asks_first_and_is_announced_before_its_first_byte(archive):
    report = Recorder()

    def accept(_seen):
        assert len(report.baselines) == 1
        return uploaded()

    server = FakeServer().on(LIST, Reply(200, [submission(md5hash="f" * 32)])).on(UPLOAD, accept)
    outcome = step(server, archive, report=report)
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (DeliveryEvent.UPLOADED, "tok1", "uploaded")
    assert report.progressed == [(10, 10)]
    assert [seen.path for seen in server.seen] == [f"{BASE}/submissions/", f"{BASE}/upload/"]


@pytest.mark.parametrize("hash_of_server", [MD5, INNER, INNER.upper()])
def test_either_hash_is_ours(hash_of_server, archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(md5hash=hash_of_server))
    assert step(server, archive).event is DeliveryEvent.UPLOADED


def test_a_third_hash_is_refused_with_all_of_them_shown(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(md5hash="e" * 32))
    outcome = step(server, archive)
    assert outcome.event is DeliveryEvent.FAILED
    assert all(one in outcome.reason for one in ("e" * 32, MD5, INNER))
    assert outcome.remote_id == "tok1"


def test_a_refused_token_costs_nothing(archive):
    server, report = FakeServer().on(LIST, Reply(401, {"error": f"bad {CANARY}"})), Recorder()
    with pytest.raises(AuthError) as caught:
        step(server, archive, report=report)
    assert not report.baselines
    assert CANARY not in texts_of(caught.value)


def test_a_lost_answer_is_unconfirmed_and_sent_once(archive):
    for reply in (lost(), Reply(500, b"x"), Reply(502, b"<title>Bad Gateway</title>"), Reply(200, {"token": "tok1"})):
        server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, reply)
        with pytest.raises(Unconfirmed):
            step(server, archive)
        assert server.count(UPLOAD) == 1


def test_an_archive_that_changed_is_not_stored(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded())
    with pytest.raises(ArchiveInvalid):
        step(server, replace(archive, sha256="2" * 64))
    assert server.count(UPLOAD) == 0


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_refused_upload_is_rejected(status, archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, Reply(status, {"error": "wrong file format"}))
    with pytest.raises(Rejected, match="wrong file format"):
        step(server, archive)


def test_a_duplicate_of_ours_is_adopted(archive):
    listed = Reply(200, []), Reply(200, [submission("validated")])
    server = FakeServer().on(LIST, *listed).on(UPLOAD, Reply(409, {"error": "duplicate"}))
    outcome = step(server, archive)
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (DeliveryEvent.SUBMITTED, "tok1", "validated")


def test_a_duplicate_that_is_not_listed_is_looked_for_and_never_sent_again(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, Reply(409, {"error": "duplicate"}))
    outcome = step(server, archive)
    assert (outcome.event, outcome.remote_status, outcome.again_s) == (DeliveryEvent.LOST, "conflict", 30.0)
    assert outcome.reason == "pdi.example has it already (409), and none of our 0 submissions there shows it yet"
    assert "10 min; nothing is sent again meanwhile" in outcome.hint


def test_a_duplicate_of_somebody_else_is_said_so_after_a_long_look(archive):
    *meanwhile, last = looks(FakeServer().on(LIST, Reply(200, [])), archive, remote_status="conflict")
    assert {one.event for one in meanwhile} == {DeliveryEvent.POSTPONE}
    assert sum(one.again_s for one in meanwhile) == 600.0
    assert last.event is DeliveryEvent.FAILED
    assert "somebody else has deposited the same file" in last.hint


def test_a_duplicate_that_is_listed_at_last_is_adopted(archive):
    late = [*[Reply(200, [])] * 15, Reply(200, [submission()])]
    *_, last = looks(FakeServer().on(LIST, *late), archive, remote_status="conflict")
    assert (last.event, last.remote_id) == (DeliveryEvent.UPLOADED, "tok1")


def test_missing_metadata_is_held_before_gigabytes_are_sent(archive):
    server = FakeServer().on(LIST, Reply(200, []))
    outcome = step(server, archive, metadata={})
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.METADATA)
    assert "release 12 --set pdb_code=" in outcome.hint


# --- an entry that has data already ----------------------------------------------------------------------


YES = "qc.example found PDB ID 2XYZ in it, and our pdb_code is 1ABC, and has a dataset for 1ABC already; ours is …"
"""The sentence of a hold that the operator released."""


@pytest.mark.parametrize("released", [None, "the config has no destination irrmc any more", YES])
def test_an_existing_entry_is_held_after_the_upload(released, archive):
    """A release that came before the upload approved the sending, not a second dataset for the entry."""
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(is_pdb_exists=True))
    outcome = step(server, archive, released=released)
    assert (outcome.event, outcome.hold, outcome.remote_id) == (DeliveryEvent.HOLD, HoldKind.SERVER, "tok1")
    assert "1ABC" in outcome.reason
    assert "depositd release 12" in outcome.hint


def test_an_existing_entry_goes_on_where_the_rule_says_so(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(is_pdb_exists=True))
    assert step(server, archive, existing="submit").event is DeliveryEvent.UPLOADED


def test_an_existing_entry_goes_on_once_released(archive):
    there = submission(pdbid="1ABC", is_pdb_exists=True)
    server = FakeServer().on(LIST, Reply(200, [there]))
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    adopted = step(server, archive, released=YES, remote_id="tok1")
    assert (adopted.event, adopted.remote_id) == (DeliveryEvent.UPLOADED, "tok1")
    server.on(ONE, Reply(200, there))
    outcome = step(server, archive, DeliveryState.UPLOADED, released=YES, remote_id="tok1")
    assert (outcome.event, outcome.remote_id) == (DeliveryEvent.SUBMITTED, "tok1")


@pytest.mark.parametrize(
    "listed",
    [
        [submission(is_pdb_exists=True)],
        [submission(pdbid="1ABC"), submission("published", "a" * 32, "other", pdbid="1ABC")],
    ],
)
def test_an_adopted_upload_of_an_existing_entry_is_held(listed, archive):
    outcome = step(FakeServer().on(LIST, Reply(200, listed)), archive, DeliveryState.UNCONFIRMED, released=YES)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)


# --- a PDB ID that is not ours ---------------------------------------------------------------------------

OTHER_ID = {"pdbid": "2XYZ"}
SUBMITS = Reply(200, {"status": "submitted", "token": "tok1"})


def ways_to_submit(found, archive, **more):
    """Yield the outcome on each way to a submission of an upload in which the server found ``found``."""
    flags = {"is_pdb_exists": found.pop("is_pdb_exists", False)}
    there = submission(**found, **flags)
    sent = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(**found, **flags))
    yield "the answer to the upload", sent, step(sent, archive, **more)
    for state in (DeliveryState.WAITING, DeliveryState.UNCONFIRMED):
        listed = FakeServer().on(LIST, Reply(200, [there])).on(SUBMIT, SUBMITS)
        yield f"adopted while {state}", listed, step(listed, archive, state, **more)
    refused = FakeServer().on(LIST, Reply(200, []), Reply(200, [there])).on(UPLOAD, Reply(409, {"error": "duplicate"}))
    yield "adopted after 409", refused, step(refused, archive, **more)
    known = FakeServer().on(ONE, Reply(200, there)).on(SUBMIT, SUBMITS)
    yield "uploaded", known, step(known, archive, DeliveryState.UPLOADED, **{**more, "remote_id": "tok1"})


@pytest.mark.parametrize("released", [None, "has a dataset for 2xyz already"])
@pytest.mark.parametrize("existing", ["hold", "submit"])
def test_another_pdb_id_is_held_on_every_way_with_both_shown(existing, released, archive):
    """A release that came before the finding is none of it."""
    for way, server, outcome in ways_to_submit({"pdbid": "2xyz"}, archive, existing=existing, released=released):
        assert (outcome.event, outcome.hold, outcome.remote_id) == (DeliveryEvent.HOLD, HoldKind.SERVER, "tok1"), way
        assert "found PDB ID 2xyz in it, and our pdb_code is 1ABC" in outcome.reason
        assert "depositd release 12 submits it all the same, as 1ABC" in outcome.hint
        assert "depositd release 12 --set pdb_code=2xyz" in outcome.hint
        assert "depositd skip 12" in outcome.hint
        assert server.count(SUBMIT) == 0


@pytest.mark.parametrize(
    "found", [{"pdbid": "1abc"}, {"pdbid": " 1ABC "}, {"pdbid": None}, {"pdbid": ""}, {"pdbid": 7}]
)
def test_our_own_pdb_id_or_none_at_all_is_no_finding(found, archive):
    for way, _, outcome in ways_to_submit(found, archive):
        assert outcome.event in (DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED), way


def test_a_pdb_id_in_a_dataset_that_has_none_is_no_contradiction(archive):
    for way, _, outcome in ways_to_submit({"pdbid": "2XYZ"}, archive, metadata=WITHOUT_CODE):
        assert outcome.event in (DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED), way


@pytest.mark.parametrize("flag", [True, "true", "True", 1])
def test_both_findings_are_one_hold_with_both_in_the_sentence(flag, archive):
    for way, _, outcome in ways_to_submit({"pdbid": "2XYZ", "is_pdb_exists": flag}, archive):
        assert outcome.event is DeliveryEvent.HOLD, way
        assert "our pdb_code is 1ABC, and has a dataset for 2XYZ already" in outcome.reason


def released_from(found, archive):
    """Return the sentence with which an upload is held for what was found in it."""
    server = FakeServer().on(ONE, Reply(200, submission(**found)))
    held = step(server, archive, DeliveryState.UPLOADED, remote_id="tok1")
    assert held.event is DeliveryEvent.HOLD
    return held.reason


@pytest.mark.parametrize("metadata", [METADATA, {"pdb_code": "2xyz"}])
def test_a_release_submits_with_our_code_or_with_the_one_that_was_shown(metadata, archive):
    found = {**OTHER_ID, "is_pdb_exists": True}
    server = FakeServer().on(ONE, Reply(200, submission(**found))).on(SUBMIT, SUBMITS)
    yes = released_from(found, archive)
    outcome = step(server, archive, DeliveryState.UPLOADED, metadata=metadata, released=yes, remote_id="tok1")
    assert outcome.event is DeliveryEvent.SUBMITTED
    assert server.last(SUBMIT).json["pdb_code"] == metadata["pdb_code"].upper()


def test_a_yes_to_one_finding_is_none_to_another(archive):
    """A code that is mistyped with the release contradicts the server in a way that nobody has seen."""
    yes = released_from({"pdbid": "1ABC", "is_pdb_exists": True}, archive)
    server = FakeServer().on(ONE, Reply(200, submission(pdbid="1ABC", is_pdb_exists=True)))
    mistyped = {"pdb_code": "2XYZ"}
    outcome = step(server, archive, DeliveryState.UPLOADED, metadata=mistyped, released=yes, remote_id="tok1")
    assert outcome.event is DeliveryEvent.HOLD
    assert "found PDB ID 1ABC in it, and our pdb_code is 2XYZ;" in outcome.reason
    assert "has a dataset" not in outcome.reason
    assert server.count(SUBMIT) == 0


def test_a_release_is_good_for_the_upload_that_was_held_and_for_no_other(archive):
    yes = released_from(OTHER_ID, archive)
    server = FakeServer().on(LIST, Reply(200, [submission(**OTHER_ID)]))
    assert step(server, archive, released=yes, remote_id="another").event is DeliveryEvent.HOLD
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded(**OTHER_ID))
    assert step(server, archive, released=yes, remote_id="deleted-since").event is DeliveryEvent.HOLD


def test_a_released_upload_whose_submission_is_not_answered_is_asked_for_again(archive):
    there = submission(**OTHER_ID)
    yes = released_from(OTHER_ID, archive)
    server = FakeServer().on(ONE, Reply(200, there), Reply(200, {**there, "status": "pending"})).on(SUBMIT, lost())
    with pytest.raises(Unavailable):
        step(server, archive, DeliveryState.UPLOADED, released=yes, remote_id="tok1")
    again = step(server, archive, DeliveryState.UPLOADED, released=yes, remote_id="tok1")
    assert again.remote_status == "pending"
    assert server.count(SUBMIT) == 1


# --- adopting, in each state -----------------------------------------------------------------------------

ADOPTED = [
    ("uploaded", DeliveryEvent.UPLOADED),
    ("submitted", DeliveryEvent.SUBMITTED),
    ("pending", DeliveryEvent.SUBMITTED),
    ("validated", DeliveryEvent.SUBMITTED),
    ("some_new_status", DeliveryEvent.SUBMITTED),
    ("published", DeliveryEvent.DELIVERED),
    ("error_no_data", DeliveryEvent.FAILED),
    ("inconsistent_datasets", DeliveryEvent.FAILED),
    ("header_not_readable", DeliveryEvent.FAILED),
]


@pytest.mark.parametrize("md5hash", [MD5, INNER])
@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.UNCONFIRMED])
@pytest.mark.parametrize(("status", "event"), ADOPTED)
def test_what_is_there_is_adopted_by_its_status(status, event, state, md5hash, archive):
    server = FakeServer().on(LIST, Reply(200, [submission(status, md5hash)]))
    outcome = step(server, archive, state)
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (event, "tok1", status)
    assert server.count(UPLOAD) == 0


def test_of_several_the_newest_that_has_not_failed_is_adopted(archive):
    listed = [
        submission("error_no_data", token="newest"),
        submission("validated", token="newer"),
        submission("published", token="old"),
    ]
    assert step(FakeServer().on(LIST, Reply(200, listed)), archive).remote_id == "newer"
    failed = [submission("error_no_data", token="newest"), submission("error_no_data", token="old")]
    assert step(FakeServer().on(LIST, Reply(200, failed)), archive).remote_id == "newest"


def looks(server, archive, set_clock=lambda _clock: None, **more):
    """Return the outcomes of looks for a lost upload until something else is to be done; the clock is set after two."""
    clock = ManualClock()
    destination = ProteinDiffraction("irrmc", client(server, token=CANARY, now=clock), poll_every_s=60.0)
    lost_one = delivery(DeliveryState.UNCONFIRMED, sent_at=clock(), **more)
    outcomes = []
    while not outcomes or outcomes[-1].event is DeliveryEvent.POSTPONE:
        assert len(outcomes) < 100, "it is looked for without an end"
        outcomes.append(destination.step(lost_one, archive, METADATA, Recorder()))
        clock.advance(outcomes[-1].again_s or 0.0)
        if len(outcomes) == 2:
            set_clock(clock)
    assert server.count(UPLOAD) == 0
    return outcomes


def test_unconfirmed_and_not_there_is_absent_after_two_polls_and_sends_nothing(archive):
    server = FakeServer().on(LIST, Reply(200, [submission(md5hash="f" * 32)]))
    *meanwhile, last = looks(server, archive)
    assert [one.reason for one in meanwhile[:2]] == [
        "none of our 1 submission at pdi.example has it yet, 0 s after sending began; looked for until 2 min",
        "none of our 1 submission at pdi.example has it yet, 30 s after sending began; looked for until 2 min",
    ]
    assert {one.hint for one in meanwhile} == {"nothing is sent again meanwhile"}
    assert sum(one.again_s for one in meanwhile) == 120.0
    assert last.event is DeliveryEvent.ABSENT
    assert len(server.seen) == 5


def test_what_is_listed_late_is_adopted(archive):
    server = FakeServer().on(LIST, *[Reply(200, [])] * 4, Reply(200, [submission("pending")]))
    *_, last = looks(server, archive)
    assert (last.event, last.remote_id) == (DeliveryEvent.SUBMITTED, "tok1")


def test_a_large_archive_is_looked_for_while_the_server_may_be_unpacking_it(archive):
    server = FakeServer().on(LIST, Reply(200, []))
    *meanwhile, _last = looks(server, replace(archive, size_bytes=9_000_000_000))
    assert sum(one.again_s for one in meanwhile) == 120.0 + 900.0
    assert "looked for until 17 min" in meanwhile[0].reason


@pytest.mark.parametrize("remote_status", [None, "conflict"])
@pytest.mark.parametrize("days", [-365, -1 / 1440, 1 / 1440, 365])
def test_a_clock_that_is_set_makes_a_look_neither_endless_nor_short(days, remote_status, archive):
    server = FakeServer().on(LIST, Reply(200, []))
    outcomes = looks(server, archive, lambda clock: clock.advance(days * 86_400), remote_status=remote_status)
    wanted_s = 600.0 if remote_status else 120.0
    assert wanted_s <= sum(one.again_s or 0.0 for one in outcomes) <= wanted_s + 120.0


def test_one_look_after_a_night_is_not_enough(archive):
    """The time in which nobody looked is no time of looking."""
    clock = ManualClock()
    destination = ProteinDiffraction("irrmc", client(FakeServer().on(LIST, Reply(200, [])), token=CANARY, now=clock))
    lost_one = delivery(DeliveryState.UNCONFIRMED, sent_at=clock())
    clock.advance(9 * 3600.0)
    outcome = destination.step(lost_one, archive, METADATA, Recorder())
    assert outcome.event is DeliveryEvent.POSTPONE
    assert "9 h after sending began; looked for 4 more times" in outcome.reason


# --- what is submitted with another PDB ID ---------------------------------------------------------------


@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.UNCONFIRMED])
@pytest.mark.parametrize("status", ["submitted", "validated", "published", "curated"])
def test_what_is_there_for_another_entry_is_held_until_released(status, state, archive):
    server = FakeServer().on(LIST, Reply(200, [submission(status, pdbid="2xyz")]))
    held = step(server, archive, state)
    assert (held.event, held.hold, held.remote_id) == (DeliveryEvent.HOLD, HoldKind.SERVER, None)
    assert held.reason == (
        f"pdi.example has these bytes as submission tok1, {status} with PDB ID 2xyz, and our pdb_code is 1ABC"
    )
    assert held.hint == "depositd release 12 takes it as delivered as it is, depositd skip 12 leaves it"
    published = FakeServer().on(LIST, Reply(200, [submission("published", pdbid="2xyz")]))
    taken = step(published, archive, released=held.reason)
    assert (taken.event, taken.remote_id) == (DeliveryEvent.DELIVERED, "tok1")
    # a yes to one finding is none to another
    other = FakeServer().on(LIST, Reply(200, [submission(status, token="tok12", pdbid="2xyz")]))
    assert step(other, archive, released=held.reason).event is DeliveryEvent.HOLD
    assert step(server, archive, metadata={"pdb_code": "3DEF"}, released=held.reason).event is DeliveryEvent.HOLD


@pytest.mark.parametrize(
    ("pdbid", "more"), [("1abc", {}), (None, {}), ("2XYZ", {"remote_id": "tok1"}), ("2XYZ", {"metadata": None})]
)
def test_what_is_ours_or_names_no_other_entry_is_taken_as_it_is(pdbid, more, archive):
    metadata = WITHOUT_CODE if "metadata" in more else METADATA
    server = FakeServer().on(LIST, Reply(200, [submission("published", pdbid=pdbid)]))
    outcome = step(server, archive, metadata=metadata, remote_id=more.get("remote_id"))
    assert outcome.event is DeliveryEvent.DELIVERED


# --- uploaded --------------------------------------------------------------------------------------------


def confirm(server, archive, metadata=METADATA, **more):
    return step(server, archive, DeliveryState.UPLOADED, metadata, remote_id="tok1", **more)


def test_an_upload_is_submitted_with_the_keys_of_the_api_alone(archive):
    server = FakeServer().on(ONE, Reply(200, submission()))
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    outcome = confirm(server, archive, {**METADATA, "wavelength_A": 1.0, "project_title": "Ten characters and more"})
    assert (outcome.event, outcome.remote_status, outcome.again_s) == (DeliveryEvent.SUBMITTED, "submitted", 60.0)
    assert server.last(SUBMIT).json == {
        "token": "tok1",
        "pdb_code": "1ABC",
        "project_title": "Ten characters and more",
    }


@pytest.mark.parametrize(("status", "event"), ADOPTED[1:])
def test_what_was_submitted_before_is_not_submitted_again(status, event, archive):
    server = FakeServer().on(ONE, Reply(200, submission(status)))
    assert confirm(server, archive).event is event
    assert server.count(SUBMIT) == 0


def test_a_submit_that_was_done_before_is_adopted(archive):
    server = FakeServer().on(ONE, Reply(200, submission()), Reply(200, submission("pending")))
    server.on(SUBMIT, Reply(409, {"error": "already processed"}))
    assert confirm(server, archive).remote_status == "pending"


@pytest.mark.parametrize("reply", [lost(), Reply(500, b""), Reply(200, b"<html>"), lost(take=0)])
def test_a_lost_answer_to_submit_leads_to_a_question_first(reply, archive):
    server = FakeServer().on(ONE, Reply(200, submission()), Reply(200, submission("submitted"))).on(SUBMIT, reply)
    with pytest.raises(Unavailable):
        confirm(server, archive)
    assert confirm(server, archive).event is DeliveryEvent.SUBMITTED
    assert server.count(SUBMIT) == 1


@pytest.mark.parametrize("status", [400, 409, 413])
def test_a_question_that_is_refused_does_not_fail_the_dataset(status, archive):
    for request, state in (
        (LIST, DeliveryState.WAITING),
        (ONE, DeliveryState.UPLOADED),
        (LIST, DeliveryState.SUBMITTED),
    ):
        with pytest.raises(Unavailable):
            step(FakeServer().on(request, Reply(status, b"")), archive, state, remote_id="tok1")


def test_an_upload_that_vanishes_while_it_is_submitted_is_absent(archive):
    server = FakeServer().on(ONE, Reply(200, submission())).on(SUBMIT, Reply(404, {"error": "no"}))
    assert confirm(server, archive).event is DeliveryEvent.ABSENT
    assert poll(server.on(LIST, Reply(200, [submission()])), archive).event is DeliveryEvent.FAILED
    server.on(SUBMIT, Reply(409, {"error": "done"})).on(ONE, Reply(200, submission()), Reply(404, {"error": "no"}))
    assert confirm(server, archive).event is DeliveryEvent.ABSENT


def test_an_upload_that_vanished_is_absent(archive):
    assert confirm(FakeServer().on(ONE, Reply(404, {"error": "no"})), archive).event is DeliveryEvent.ABSENT


def test_metadata_that_the_server_refuses_is_held_with_its_sentence(archive):
    server = FakeServer().on(ONE, Reply(200, submission())).on(SUBMIT, Reply(400, {"error": "unknown PDB code"}))
    outcome = confirm(server, archive)
    assert (outcome.event, outcome.hold, outcome.remote_id) == (DeliveryEvent.HOLD, HoldKind.METADATA, "tok1")
    assert "unknown PDB code" in outcome.reason
    server.on(SUBMIT, Reply(400, {"error": "project_title: too plain"}))
    assert "release 12 --set project_title=" in confirm(server, archive).hint


def test_names_become_ids_through_the_servers_list_which_is_asked_once(archive):
    server = FakeServer().on(ONE, Reply(200, submission())).on(EQUIPMENT, Reply(200, SYNCHROTRONS))
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    destination = ProteinDiffraction("irrmc", client(server))
    for name in ("aps", "advanced photon  source"):
        metadata = {**METADATA, "synchrotron": name, "beamline": "24-id-c"}
        destination.step(delivery(DeliveryState.UPLOADED, remote_id="tok1"), archive, metadata, Recorder())
        assert server.last(SUBMIT).json["synchrotron_id"] == 25
        assert server.last(SUBMIT).json["beamline_id"] == 42
    assert server.count(EQUIPMENT) == 1


@pytest.mark.parametrize(
    ("names", "where", "nearest"),
    [
        ({"synchrotron": "APSS", "beamline": "24-ID-C"}, "synchrotron", "APS"),
        ({"synchrotron": "Advanced Proton Source", "beamline": "x"}, "synchrotron", "Advanced Photon Source"),
        ({"synchrotron": "APS", "beamline": "24IDC"}, "beamline", "24-ID-C"),
        ({"synchrotron_id": 25, "beamline": "zzz"}, "beamline", "24-ID-C, 24-ID-E"),
        ({"synchrotron": "ESRF", "beamline": "24-ID-C"}, "beamline", "24-ID-C (42) is at APS (25)"),
        ({"synchrotron": "Home", "beamline": "x"}, "beamline", "equipment_other"),
        ({"synchrotron_id": 99, "beamline_id": 42}, "synchrotron_id", "25 (APS), 7 (ESRF), 8 (Home)"),
        (
            {"synchrotron_id": 7, "beamline_id": 42},
            "beamline_id",
            "24-ID-C (42) is at APS (25); it lists at ESRF 71 (ID23-1)",
        ),
        ({"synchrotron": "ESRF", "beamline_id": 9}, "beamline_id", "it lists at ESRF 71 (ID23-1)"),
    ],
)
@pytest.mark.parametrize("state", [DeliveryState.WAITING, DeliveryState.UPLOADED])
def test_an_unknown_place_is_held_with_the_nearest_ones_before_anything_is_sent(names, where, nearest, state, archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(ONE, Reply(200, submission()))
    server.on(EQUIPMENT, Reply(200, SYNCHROTRONS))
    outcome = step(server, archive, state, {**METADATA, **names}, remote_id="tok1")
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.METADATA)
    assert re.match(f"{where}: the server (knows|lists) no {where.removesuffix('_id')} ", outcome.reason)
    assert nearest in outcome.hint
    assert f"release 12 --set {where}=" in outcome.hint


def test_an_unknown_name_is_called_so_only_by_the_present_list(archive):
    older = [{**SYNCHROTRONS[0], "beamlines": []}]
    server = FakeServer().on(EQUIPMENT, Reply(200, older), Reply(200, SYNCHROTRONS))
    server.on(ONE, Reply(200, submission())).on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    destination = ProteinDiffraction("irrmc", client(server))

    def take(beamline):
        metadata = {**METADATA, "synchrotron": "APS", "beamline": beamline}
        return destination.step(delivery(DeliveryState.UPLOADED, remote_id="tok1"), archive, metadata, Recorder())

    assert take("24-ID-C").event is DeliveryEvent.HOLD
    assert take("24 - id-C").event is DeliveryEvent.SUBMITTED
    assert take("24-ID-D").event is DeliveryEvent.HOLD
    assert server.count(EQUIPMENT) == 3


@pytest.mark.parametrize(
    "reply", [Reply(403, {"error": "no"}), Reply(404, b"<p>"), Reply(500, b""), Reply(200, {}), lost()]
)
def test_a_list_of_equipment_that_fails_costs_no_delivery(reply, archive):
    server = FakeServer().on(ONE, Reply(200, submission())).on(EQUIPMENT, reply)
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    with pytest.raises(Unavailable) as unknown:
        confirm(server, archive, {**METADATA, "synchrotron": "APS", "beamline": "24-ID-C"})
    assert "synchrotron_id and beamline_id instead of names" in unknown.value.hint
    assert (
        confirm(server, archive, {**METADATA, "synchrotron_id": 25, "beamline_id": 42}).event is DeliveryEvent.SUBMITTED
    )
    assert server.last(SUBMIT).json["beamline_id"] == 42


def test_a_list_of_equipment_with_holes_is_good_for_the_rest():
    listed = [
        {"id": 1, "short": None, "fullname": "A Source", "beamlines": [{"id": 2}, {"id": 3, "short": "X1", "new": 1}]},
        {"id": 4, "short": "B", "beamlines": "none"},
        {"id": 5, "beamlines": None},
    ]
    source, other, last = client(FakeServer().on(EQUIPMENT, Reply(200, listed))).equipment()
    assert (source.short, [beamline.short for beamline in source.beamlines]) == ("A Source", ["no. 2", "X1"])
    assert (other.beamlines, last.short, last.beamlines) == ((), "no. 5", ())
    assert source.beamlines[1].raw["new"] == 1


# --- submitted -------------------------------------------------------------------------------------------


def poll(server, archive, **more):
    return step(server, archive, DeliveryState.SUBMITTED, remote_id="tok1", **more)


def shown(one) -> FakeServer:
    return FakeServer().on(LIST, Reply(200, [one])).on(ONE, Reply(200, one))


@pytest.mark.parametrize(("status", "event"), ADOPTED[1:])
def test_polling_follows_the_documents_statuses(status, event, archive):
    server = shown(submission(status, status_details="3 of 4"))
    outcome = poll(server, archive)
    assert (outcome.event, outcome.remote_status) == (event, status)
    assert outcome.again_s == (60.0 if event is DeliveryEvent.SUBMITTED else None)
    assert server.count(ONE) == 0
    if event is DeliveryEvent.FAILED:
        assert outcome.hint.startswith(NEXT_ACTION[status])
        assert "depositd retry 12 --replace deletes it there" in outcome.hint
        assert ("if the server lets it" in outcome.hint) == (status not in DELETABLE)
        assert MEANING[status] in outcome.reason
        assert "3 of 4" in outcome.reason
    else:
        assert outcome.hint == NEXT_ACTION.get(status)


@pytest.mark.parametrize("status", ["odd\x1b[31m\u202e", "x" * 10_000, "Published", " "])
def test_an_unknown_status_survives_and_is_shown_harmlessly(status, archive):
    outcome = poll(shown(submission(status)), archive)
    assert (outcome.event, outcome.again_s) == (DeliveryEvent.SUBMITTED, 60.0)
    assert outcome.remote_status.isprintable()
    assert len(outcome.remote_status) <= 60
    assert "no document names" in outcome.reason
    assert len(outcome.reason) < 200


def test_a_submission_that_vanished_fails(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(ONE, Reply(404, {"error": "no"}))
    assert poll(server, archive).event is DeliveryEvent.FAILED


def test_a_list_that_does_not_show_it_proves_nothing(archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(ONE, Reply(200, submission("pending")))
    assert poll(server, archive).remote_status == "pending"


def test_a_list_from_before_the_submit_does_not_lead_to_a_second_one(archive):
    server = FakeServer().on(LIST, Reply(200, [submission("uploaded")])).on(ONE, Reply(200, submission("submitted")))
    assert poll(server, archive).remote_status == "submitted"
    assert server.count(SUBMIT) == 0


def test_a_server_that_forgot_the_submit_is_told_again(archive):
    server = shown(submission(pdbid="2XYZ"))  # what was found in it was looked at before it was submitted
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"}))
    assert poll(server, archive).event is DeliveryEvent.SUBMITTED
    server.on(SUBMIT, Reply(400, {"error": "no title"}))
    assert poll(server, archive).event is DeliveryEvent.FAILED
    server.on(SUBMIT, Reply(409, {"error": "already"}))
    with pytest.raises(Unavailable, match=r"submitted before \(409\), and has it as 'uploaded'"):
        poll(server, archive)


@pytest.mark.parametrize(
    "state", [DeliveryState.HELD, DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.SKIPPED]
)
def test_states_that_wait_for_the_operator_have_no_step(state, archive):
    with pytest.raises(ValueError, match="no next step"):
        step(FakeServer(), archive, state)


def test_whoami():
    server = FakeServer().on(LIST, Reply(200, [submission()]))
    destination = ProteinDiffraction("irrmc", client(server))
    assert destination.whoami() == "pdi.example accepts our token and lists 1 submission of ours"


def test_what_is_gone_already_is_removed():
    server = FakeServer().on(DELETE, Reply(204), Reply(404, {"error": "no"}))
    destination = ProteinDiffraction("irrmc", client(server))
    destination.remove("tok1")
    destination.remove("tok1")
    assert server.count(DELETE) == 2


@pytest.mark.parametrize("status", [400, 403, 409])
@pytest.mark.parametrize("known", [Reply(200, submission("header_not_readable")), Reply(500, b""), Reply(404, {})])
def test_what_the_server_does_not_let_be_deleted_is_told_with_what_to_do(status, known):
    server = FakeServer().on(DELETE, Reply(status, {"error": "cannot be deleted"})).on(ONE, known)
    with pytest.raises(Rejected, match=r"does not let submission tok1 be deleted.*: cannot be deleted") as refused:
        ProteinDiffraction("irrmc", client(server)).remove("tok1")
    assert ("while it is 'header_not_readable'" in str(refused.value)) == (known.status == 200)
    assert "support" in refused.value.hint
    assert "without --replace" in refused.value.hint
    assert refused.value.status == status


@pytest.mark.parametrize(("reply", "error"), [(Reply(401, {"error": "no"}), AuthError), (lost(), Unavailable)])
def test_a_removal_that_was_not_answered_is_no_verdict(reply, error):
    with pytest.raises(error):
        ProteinDiffraction("irrmc", client(FakeServer().on(DELETE, reply))).remove("tok1")


@pytest.mark.parametrize("request_", [LIST, UPLOAD, SUBMIT, ONE])
@pytest.mark.parametrize(
    "reply", [Reply(401, {"error": CANARY}), Reply(400, {"error": CANARY}), lost(), Reply(500, CANARY)]
)
def test_no_error_shows_the_token(request_, reply, archive):
    server = FakeServer().on(LIST, Reply(200, [])).on(UPLOAD, uploaded()).on(ONE, Reply(200, submission()))
    server.on(SUBMIT, Reply(200, {"status": "submitted", "token": "tok1"})).on(request_, reply)
    for state in (DeliveryState.WAITING, DeliveryState.UNCONFIRMED, DeliveryState.UPLOADED, DeliveryState.SUBMITTED):
        try:
            shown = repr(step(server, archive, state, remote_id="tok1"))
        except DepositdError as error:
            shown = texts_of(error)
        assert CANARY not in shown


# --- metadata --------------------------------------------------------------------------------------------

WITHOUT_CODE = {"project_title": "A title of ten", "project_authors": "Smith J.", "equipment_other": "APS 24-ID-C"}


@pytest.mark.parametrize(
    ("metadata", "wrong"),
    [
        ({"pdb_code": "1abc"}, []),
        ({"pdb_code": 1234}, []),
        ({"pdb_code": "1abc", "dataset_type": "PDB"}, []),
        (WITHOUT_CODE, []),
        ({**WITHOUT_CODE, "dataset_type": "other"}, []),
        ({**WITHOUT_CODE, "equipment_other": "", "synchrotron": "APS", "beamline_id": "42"}, []),
        ({}, ["pdb_code"]),
        ({"dataset_type": "other"}, ["project_title"]),
        ({"pdb_code": "abcd"}, ["pdb_code"]),
        ({"pdb_code": "1abcd"}, ["pdb_code"]),
        ({"pdb_code": "1ab\u00e9"}, ["pdb_code"]),
        ({"pdb_code": "1abc", "dataset_type": "raw"}, ["dataset_type"]),
        ({"pdb_code": "1abc", "project_title": "short"}, ["project_title"]),
        ({**WITHOUT_CODE, "project_authors": " "}, ["pdb_code"]),
        ({**WITHOUT_CODE, "equipment_other": None}, ["pdb_code"]),
        ({**WITHOUT_CODE, "equipment_other": None, "dataset_type": "other"}, ["equipment_other"]),
        ({"pdb_code": "1abc", "beamline": "24-ID-C"}, ["synchrotron"]),
        ({"pdb_code": "1abc", "synchrotron_id": 25}, ["beamline"]),
        ({"pdb_code": "1abc", "synchrotron_id": "APS", "beamline_id": 1}, ["synchrotron_id"]),
        ({"pdb_code": "1abc", "synchrotron_id": 25, "beamline_id": 4.5}, ["beamline_id"]),
        ({"pdb_code": "1abc", "synchrotron_id": "-1", "beamline_id": True}, ["synchrotron_id", "beamline_id"]),
        ({"pdb_code": "1abc", "project_authors": "M\udcfcller"}, ["project_authors"]),
        ({**WITHOUT_CODE, "project_title": "    short    "}, ["project_title"]),
        ({**WITHOUT_CODE, "dataset_type": "pdb"}, ["pdb_code"]),
    ],
)
def test_problems_name_the_key_and_what_would_be_right(metadata, wrong):
    found = problems(metadata)
    assert [problem.where for problem in found] == wrong
    assert all(problem.what and problem.hint for problem in found)


@pytest.mark.parametrize(
    ("metadata", "wanted", "so"),
    [
        ({}, "pdb_code", "is missing, and so are project_title, project_authors and equipment_other"),
        ({"project_authors": "Smith J."}, "pdb_code", "is missing, and so are project_title and equipment_other"),
        ({**WITHOUT_CODE, "project_authors": ""}, "pdb_code", "is missing, and so is project_authors"),
        (
            {"dataset_type": "other"},
            "project_title",
            "is missing, and so are project_authors and equipment_other",
        ),
        (
            {"dataset_type": "other", **WITHOUT_CODE, "project_authors": ""},
            "project_authors",
            "is missing, and there is no pdb_code",
        ),
    ],
)
def test_of_several_missing_keys_the_usual_answer_is_named_first(metadata, wanted, so):
    (problem,) = problems(metadata)
    assert (problem.where, problem.what) == (wanted, so)


def test_the_payload_is_what_the_api_knows():
    metadata = {**WITHOUT_CODE, "pdb_code": " 1abc", "dataset_type": "PDB", "detector": "EIGER", "synchrotron": "APS"}
    assert payload(metadata) == {**WITHOUT_CODE, "pdb_code": "1ABC", "dataset_type": "pdb"}
