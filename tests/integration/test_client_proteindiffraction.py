"""The diffraction server's client and deliveries over real sockets: every endpoint, every documented answer."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import textwrap
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clock_support import ManualClock
from sandbox_clients import CBF, TAR
from wire_support import Asked, Said, wire

from depositd.archive import compress
from depositd.destinations import proteindiffraction
from depositd.destinations.proteindiffraction import Client, ProteinDiffraction
from depositd.errors import AuthError, Conflict, NotFound, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, Packing
from depositd.sandbox import Sandbox, running
from depositd.sandbox.state import Inspection, Upload
from depositd.states import DeliveryEvent

TOKEN = "canary0123456789canary0123456789canary01"
POLL_S = 60.0
LIST = "GET /api/v1/submissions/"

# --- every endpoint, every documented status --------------------------------------------------------------

UPLOADED = {
    "token": "abc123",
    "md5hash": "d41d8cd98f00b204e9800998ecf8427e",
    "filename": "dataset.tar",
    "size": 1234567,
    "pdbid": "1ABC",
    "is_pdb_exists": False,
}
SUBMISSION = {
    "token": "abc123",
    "original_filename": "dataset.tar",
    "md5hash": "d41d8cd98f00b204e9800998ecf8427e",
    "pdbid": "1ABC",
    "dataset_type": "pdb",
    "project_title": "High-resolution structure of protein X",
    "project_authors": "Smith J., Doe A.",
    "synchrotron": {"id": 25, "short": "APS"},
    "beamline": {"id": 42, "short": "24-ID-C"},
    "equipment_other": None,
    "status": "validated",
    "status_details": None,
    "inserted": "2026-06-02T10:15:30Z",
    "updated": "2026-06-02T10:18:45Z",
}
EQUIPMENT = [
    {
        "id": 25,
        "short": "APS",
        "fullname": "Advanced Photon Source",
        "url": "http://www.aps.anl.gov",
        "beamlines": [{"id": 42, "short": "24-ID-C", "fullname": None, "url": None}],
    }
]
ACCOUNT = {"token": TOKEN, "user_id": 42, "email": "you@lab.edu"}

Call = Callable[[Client, str], Any]
CALLS: dict[str, tuple[str, int, Any, Call]] = {
    "token": ("POST /api/v1/auth/token/", 200, ACCOUNT, lambda client, _: client.login()),
    "upload": ("POST /api/v1/upload/", 201, UPLOADED, lambda client, path: client.upload(path)),
    "submit": (
        "POST /api/v1/submit/",
        200,
        {"status": "submitted", "token": "abc123"},
        lambda client, _: client.submit("abc123", pdb_code="1ABC"),
    ),
    "list": (LIST, 200, [SUBMISSION], lambda client, _: client.submissions()),
    "one": ("GET /api/v1/submissions/abc123/", 200, SUBMISSION, lambda client, _: client.submission("abc123")),
    "delete": ("DELETE /api/v1/submissions/abc123/", 204, None, lambda client, _: client.delete("abc123")),
    "equipment": ("GET /api/v1/equipment/", 200, EQUIPMENT, lambda client, _: client.equipment()),
}
MEANS: dict[str, dict[int, type[RemoteError]]] = {
    "token": {400: AuthError, 401: AuthError, 403: AuthError, 404: Unavailable, 409: Unavailable, 500: Unavailable},
    "upload": {400: Rejected, 401: AuthError, 403: AuthError, 404: Unavailable, 409: Conflict, 500: Unconfirmed},
    "submit": {400: Rejected, 401: AuthError, 403: Rejected, 404: NotFound, 409: Conflict, 500: Unconfirmed},
    "list": {400: Unavailable, 401: AuthError, 403: AuthError, 404: Unavailable, 409: Unavailable, 500: Unavailable},
    "one": {400: Unavailable, 401: AuthError, 403: Rejected, 404: NotFound, 409: Unavailable, 500: Unavailable},
    "delete": {400: Rejected, 401: AuthError, 403: Rejected, 404: NotFound, 409: Conflict, 500: Unavailable},
    "equipment": {
        400: Unavailable,
        401: AuthError,
        403: Unavailable,
        404: Unavailable,
        409: Unavailable,
        500: Unavailable,
    },
}
NOT_AGAIN = {"upload", "submit"}
"""What must not happen twice: an answer to it that is none leaves open whether it happened."""

BODIES = {name: call[2] for name, call in CALLS.items() if call[2] is not None}


@pytest.fixture
def sent(tmp_path: Path) -> str:
    path = tmp_path / "dataset.tar.zst"
    path.write_bytes(b"an archive")
    return str(path)


def ask(name: str, said: Said, path: str) -> tuple[Any, Asked]:
    """Make the one call against a server that answers with ``said``, and return what came of it."""
    with (
        wire(lambda _: said) as there,
        Client(f"{there.url}api/v1/", token=TOKEN, username="u", password="p") as client,
    ):
        try:
            result = CALLS[name][3](client, path)
        except RemoteError as error:
            result = error
    return result, there.asked[0]


def in_json(status: int, value: Any) -> Said:
    return Said(status, b"" if value is None else json.dumps(value).encode())


@pytest.mark.parametrize("name", CALLS)
def test_the_documented_success(name, sent):
    request, status, answer, _ = CALLS[name]

    result, asked = ask(name, in_json(status, answer), sent)

    assert f"{asked.method} {asked.target}" == request
    assert not isinstance(result, RemoteError)
    assert asked.headers.get("Authorization") == (None if name == "token" else f"Token {TOKEN}")
    assert [one.raw for one in result] == answer if isinstance(result, list) else getattr(result, "raw", None) == answer


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 500])
@pytest.mark.parametrize("name", CALLS)
def test_a_documented_error(name, status, sent):
    error, _ = ask(name, in_json(status, {"error": f"Description of what went wrong with {TOKEN}\x1b[2J."}), sent)

    assert type(error) is MEANS[name][status]
    assert error.status == status
    assert error.hint
    assert "Description of what went wrong" in str(error)
    assert str(error).isprintable()
    if name != "token":  # nobody has told it yet
        assert TOKEN not in f"{error} {error.body} {error.hint}"


PAGE = b"<html><head><title>Sign in to the Wi-Fi</title></head><body>welcome</body></html>"
HOSTILE = {
    "a page": PAGE,
    "nothing": b"",
    "no JSON": b"\xff\xfe\x00",
    "brackets": b"[" * 100_000,
    "null": b"null",
    "a text": b'"text"',
    "a number": b"1e999",
    "another thing": b'{"results": []}',
    "a list of nulls": b"[null]",
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=list(HOSTILE))
@pytest.mark.parametrize("name", BODIES)
def test_a_success_with_another_body_is_none(name, body, sent):
    if name == "list" and body == HOSTILE["a list of nulls"]:
        assert ask(name, Said(CALLS[name][1], body), sent)[0] == []  # a row that says nothing hides no other
        return
    error, _ = ask(name, Said(CALLS[name][1], body), sent)

    assert type(error) is (Unconfirmed if name in NOT_AGAIN else Unavailable)
    assert len(str(error)) < 600


@pytest.mark.parametrize("name", BODIES)
def test_a_success_that_is_cut_short_or_has_holes_is_none(name, sent):
    whole = json.dumps(BODIES[name]).encode()
    required = {"token": "token", "upload": "token", "submit": "status", "equipment": "id"}.get(name, "token")
    hollow = json.loads(whole)
    (hollow[0] if isinstance(hollow, list) else hollow)[required] = None

    cut = (whole[:-1], whole[: len(whole) // 2])
    # of a list, the others of an odd row are still there
    for body in cut if name == "list" else (*cut, json.dumps(hollow).encode()):
        error, _ = ask(name, Said(CALLS[name][1], body), sent)
        assert type(error) is (Unconfirmed if name in NOT_AGAIN else Unavailable)


@pytest.mark.parametrize("name", ["upload", "list", "one", "equipment"])
def test_optional_fields_that_are_null_or_odd_cost_nothing(name, sent):
    def hollow(value: Any, odd: Any) -> Any:
        if isinstance(value, list):
            return [hollow(item, odd) for item in value]
        needed = {"token", "status", "id", "md5hash"} if name == "upload" else {"token", "status", "id"}
        return {key: item if key in needed else odd for key, item in value.items()}

    for odd in (None, 7, [None], {"a": 1}, True, "x" * 1_000_000):
        result, _ = ask(name, in_json(CALLS[name][1], hollow(BODIES[name], odd)), sent)
        assert not isinstance(result, RemoteError), odd


@pytest.mark.parametrize("name", CALLS)
def test_a_gateways_page_is_no_word_of_the_server(name, sent):
    for status in (302, 405, 502, 503, 504):
        error, _ = ask(name, Said(status, PAGE, {"Content-Type": "text/html", "Retry-After": "3"}), sent)
        assert type(error) is (Unconfirmed if name in NOT_AGAIN else Unavailable), status
    gone, _ = ask(name, Said(404, PAGE, {"Content-Type": "text/html"}), sent)
    assert type(gone) is (Unconfirmed if name == "submit" else Unavailable)


def test_too_many_requests_tell_when_to_come_again(sent):
    for name in CALLS:
        error, _ = ask(name, Said(429, b'{"error": "slow down"}', {"Retry-After": "41"}), sent)
        assert type(error) is Unavailable
        assert error.retry_after_s == 41


# --- in a notebook ----------------------------------------------------------------------------------------


def example() -> str:
    """Return the code of the package's own docstring."""
    lines = inspect.getdoc(proteindiffraction).splitlines()
    begin = next(number for number, line in enumerate(lines) if line.endswith("::")) + 1
    end = next(number for number, line in enumerate(lines) if line.startswith(":mod:"))
    return textwrap.dedent("\n".join(lines[begin:end]))


def test_the_example_of_the_docstring_runs_as_it_stands(tmp_path, monkeypatch, capsys):
    """Word for word, save for where the server is and that nobody is there to type the password."""
    directory = tmp_path / "raw_data"
    directory.mkdir()
    (directory / "lyso_1_00001.cbf").write_bytes(CBF)
    monkeypatch.chdir(tmp_path)
    with running(pace_s=0.0) as sandbox:
        monkeypatch.setattr("getpass.getpass", lambda: sandbox.password)
        code = example().replace("https://proteindiffraction.org/api/v1/", sandbox.pdi_url)
        assert sandbox.pdi_url in code
        names: dict[str, Any] = {}
        exec(code, names)  # our own words
        names["client"].close()
        [submission] = sandbox.submissions

    assert capsys.readouterr().out == "published\n"
    assert submission.metadata["pdb_code"] == "1ABC"
    assert submission.metadata["equipment_other"] == "APS 24-ID-C beamline"


def test_the_whole_api_against_the_sandbox(tmp_path):
    archive = compress(data_directory(tmp_path))
    with running(pace_s=0.0) as sandbox, Client(sandbox.pdi_url, token=sandbox.pdi_token) as client:
        told: list[tuple[int, int]] = []
        upload = client.upload(archive, on_progress=lambda *done: told.append(done))
        assert upload.md5hash == archive.inner_md5
        assert told[-1] == (archive.size_bytes, archive.size_bytes)
        assert client.find(archive.md5, archive.inner_md5).token == upload.token
        assert client.find(archive.md5) is None
        one = client.submission(upload.token)
        assert (one.status, one.deletable, one.next_action) == ("uploaded", True, "Call POST /submit/")
        with pytest.raises(Conflict):
            client.upload(archive)
        client.delete(upload.token)
        with pytest.raises(NotFound):
            client.delete(upload.token)
        again = client.upload(archive, dataset_type="other")
        synchrotron = client.equipment()[0]
        client.submit(
            again.token,
            dataset_type="other",
            project_title="A title that is long enough",
            project_authors="Smith J.",
            synchrotron_id=synchrotron.id,
            beamline_id=synchrotron.beamlines[0].id,
        )
        with pytest.raises(Conflict):
            client.submit(again.token, pdb_code="1ABC")
        assert client.wait(again.token).status == "published"
        with pytest.raises(Conflict):
            client.delete(again.token)


def data_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "raw_data"
    directory.mkdir()
    (directory / "a_00001.cbf").write_bytes(CBF + os.urandom(1000))
    return directory


# --- many deliveries --------------------------------------------------------------------------------------

MANY = 1000


class Nothing:
    """A report that nobody reads."""

    def sending(self, baseline: Any) -> None:
        raise AssertionError("nothing is to be sent")

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        raise AssertionError("nothing is to be sent")


def stored(sandbox: Sandbox, clock: ManualClock, number: int) -> Upload:
    """Put a submitted archive into the sandbox, as if it had been there for long."""
    upload = Upload(
        token=f"{number:040}",
        user_id=42,
        filename="a.tar",
        size_bytes=1,
        md5=f"{number:032}",
        sent_filename="a.tar.zst",
        sent_size_bytes=1,
        sent_md5=f"{number:032}",
        pdb_id=None,
        dataset_type="pdb",
        inspection=Inspection(1),
        inserted_at=clock(),
        submitted_at=clock(),
    )
    assert sandbox.proteindiffraction.uploads.add(upload)
    return upload


def submitted(number: int) -> Delivery:
    return Delivery(number, number, "irrmc", DeliveryState.SUBMITTED, remote_id=f"{number:040}")


def an_archive(content: bytes = b"", path: str = "") -> Archive:
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    return Archive(path, "a.tar", Packing.ARCHIVE, len(content), md5, md5, sha256)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def irrmc(sandbox: Sandbox, clock: ManualClock, **options: Any) -> ProteinDiffraction:
    client = Client(sandbox.pdi_url, token=sandbox.pdi_token, now=clock)
    return ProteinDiffraction("irrmc", client, poll_every_s=POLL_S, **options)


def poll_all(destination: ProteinDiffraction, deliveries: list[Delivery]) -> list[Any]:
    def take(delivery: Delivery) -> Any:
        try:
            return destination.step(delivery, an_archive(), {"pdb_code": "1ABC"}, Nothing())
        except RemoteError as error:
            return error

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(take, deliveries))


def test_a_thousand_deliveries_cost_one_request_a_poll_and_stay_together(clock):
    with running(clock, pace_s=2 * POLL_S) as sandbox:
        deliveries = [submitted(number) for number in range(MANY)]
        for number in range(MANY):
            stored(sandbox, clock, number)
        destination = irrmc(sandbox, clock)
        for poll in range(1, 4):
            outcomes = poll_all(destination, deliveries)
            assert sandbox.requests == {LIST: poll}
            assert {outcome.again_s for outcome in outcomes} == {POLL_S}
            clock.advance(POLL_S)
        # one that was retried by hand in between costs nothing, and joins the others
        clock.advance(-20)
        [between] = poll_all(destination, deliveries[:1])
        assert between.again_s == pytest.approx(20)
        clock.advance(7 * POLL_S)
        assert {outcome.event for outcome in poll_all(destination, deliveries)} == {DeliveryEvent.DELIVERED}
        assert sandbox.requests == {LIST: 4}
        destination.close()


def test_a_list_that_fails_is_asked_for_once_by_a_thousand(clock):
    with running(clock) as sandbox:
        sandbox.fault("/api/v1/submissions/", "502", times=None)
        destination = irrmc(sandbox, clock)
        deliveries = [submitted(number) for number in range(MANY)]
        for rounds in (1, 2):
            errors = poll_all(destination, deliveries)
            assert {type(error) for error in errors} == {Unavailable}
            assert sandbox.requests == {LIST: rounds}
            clock.advance(15)
        destination.close()


def test_those_that_the_list_does_not_show_are_asked_for_one_by_one(clock):
    with running(clock, pace_s=0.0) as sandbox:
        for number in range(2):
            stored(sandbox, clock, number)
        theirs = replace(stored(sandbox, clock, 2), user_id=43)
        sandbox.proteindiffraction.uploads.delete(theirs.token)
        assert sandbox.proteindiffraction.uploads.add(theirs)
        destination = irrmc(sandbox, clock)
        first, second, foreign, gone = poll_all(destination, [submitted(number) for number in range(4)])
        destination.close()

    assert {first.event, second.event} == {DeliveryEvent.DELIVERED}
    assert type(foreign) is Rejected
    assert gone.event is DeliveryEvent.FAILED
    assert sandbox.requests[LIST] == 1
    assert sum(sandbox.requests.values()) == 3


# --- one delivery, from its archive to its end ------------------------------------------------------------


class Sends:
    """A report of which nothing is kept."""

    def sending(self, baseline: Any) -> None:
        """Let it begin."""

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Let it go on."""


def run(
    destination: ProteinDiffraction, delivery: Delivery, archive: Archive, metadata: dict[str, Any], clock: ManualClock
) -> tuple[Delivery, list[Any]]:
    """Take steps until something ends or is held, and return the delivery and all outcomes."""
    states = {
        DeliveryEvent.UPLOADED: DeliveryState.UPLOADED,
        DeliveryEvent.SUBMITTED: DeliveryState.SUBMITTED,
        DeliveryEvent.ABSENT: DeliveryState.WAITING,
    }
    outcomes: list[Any] = []
    for _ in range(20):
        outcome = destination.step(delivery, archive, metadata, Sends())
        outcomes.append(outcome)
        delivery = replace(
            delivery, remote_id=outcome.remote_id or delivery.remote_id, state=states.get(outcome.event, delivery.state)
        )
        if outcome.event not in states:
            return delivery, outcomes
        clock.advance(outcome.again_s or 0.0)
    raise AssertionError([outcome.event for outcome in outcomes])


def waiting() -> Delivery:
    return Delivery(7, 3, "irrmc", DeliveryState.WAITING)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    (tmp_path / "a.tar").write_bytes(TAR)
    return an_archive(TAR, str(tmp_path / "a.tar"))


@pytest.mark.parametrize("code", ["1ABC", "2XYZ"])
def test_another_pdb_id_is_held_until_somebody_says_which(code, archive, clock):
    with running(clock, detect_pdb_id="2XYZ", existing_pdb_ids=frozenset({"2XYZ"})) as sandbox:
        destination = irrmc(sandbox, clock)
        held, outcomes = run(destination, waiting(), archive, {"pdb_code": "1abc"}, clock)
        assert "found PDB ID 2XYZ in it, and our pdb_code is 1ABC, and has a dataset for 2XYZ" in outcomes[-1].reason
        assert sandbox.submissions == ()
        # it is a fact of the upload: whoever asks again without a yes is told again
        again, outcomes = run(destination, held, archive, {"pdb_code": "1abc"}, clock)
        assert outcomes[-1].event is DeliveryEvent.HOLD
        released = replace(again, state=DeliveryState.WAITING, released=outcomes[-1].reason)
        _, outcomes = run(destination, released, archive, {"pdb_code": code}, clock)
        destination.close()

    assert outcomes[-1].event is DeliveryEvent.DELIVERED
    assert sandbox.submissions[0].metadata["pdb_code"] == code
    assert sandbox.requests["POST /api/v1/submit/"] == 1


@pytest.mark.parametrize("status", ["curated", "odd\x1b[2J\u202e", "x" * 10_000])
def test_an_unknown_status_is_polled_on_until_it_is_a_known_one(status, archive, clock):
    with running(clock, final_status=status) as sandbox:
        destination = irrmc(sandbox, clock)
        with pytest.raises(AssertionError):
            run(destination, waiting(), archive, {"pdb_code": "1ABC"}, clock)
        [upload] = sandbox.uploads
        [outcome] = poll_all(destination, [replace(submitted(7), remote_id=upload.token)])
        assert outcome.event is DeliveryEvent.SUBMITTED
        assert outcome.remote_status.isprintable()
        sandbox.proteindiffraction.uploads.delete(upload.token)
        ends_well = replace(upload, inspection=Inspection(1))
        assert sandbox.proteindiffraction.uploads.add(replace(ends_well, submitted_at=clock() - timedelta(days=1)))
        clock.advance(POLL_S)
        [outcome] = poll_all(destination, [replace(submitted(7), remote_id=upload.token)])
        destination.close()

    assert outcome.event is DeliveryEvent.DELIVERED


@pytest.mark.parametrize(
    ("status", "removable"), [("error_no_data", True), ("inconsistent_datasets", False), ("header_not_readable", False)]
)
def test_what_was_refused_is_removed_where_the_server_lets_it_be(status, removable, archive, clock):
    with running(clock, final_status=status) as sandbox:
        destination = irrmc(sandbox, clock)
        failed, outcomes = run(destination, waiting(), archive, {"pdb_code": "1ABC"}, clock)
        assert outcomes[-1].event is DeliveryEvent.FAILED
        assert "depositd retry 3 --replace" in outcomes[-1].hint
        if removable:
            destination.remove(failed.remote_id)
            destination.remove(failed.remote_id)
        else:
            with pytest.raises(Rejected, match=f"while it is '{status}'") as refused:
                destination.remove(failed.remote_id)
            assert "support" in refused.value.hint
        assert len(sandbox.uploads) == (0 if removable else 1)
        destination.close()
