"""ProteomicsQC's client over real sockets: every endpoint, every status, by token and by web session.

The good days are the sandbox's; every other answer is scripted, with the bodies of the server's API page or of what
stands in between.
"""

from __future__ import annotations

import json
import re
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from clock_support import ManualClock
from http_support import texts_of

from depositd.destinations import proteomicsqc
from depositd.destinations.base import AwaitedRun, MeasuredRun, RunAction
from depositd.destinations.proteomicsqc import Client, ProteomicsQC
from depositd.errors import AuthError, NotFound, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.sandbox import Sandbox, running

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
TOKEN = "canary0123456789canary0123456789canary01"
PASSWORD = "pass-word-canary"
DROP = "drop"
"""An answer that never comes."""


# --- a scripted server -----------------------------------------------------------------------------------


@dataclass
class Said:
    """One answer: ``headers`` are added to the type of the body."""

    status: int
    body: Any = b""
    headers: Mapping[str, str] = field(default_factory=dict)


HTML = "text/html; charset=utf-8"
LOGIN_PAGE = (
    '<title>Login</title><input name="csrfmiddlewaretoken" value="csrf"><input type="password" name="password">'
)
HOME = '<title>ProteomicsQC</title><input name="csrfmiddlewaretoken" value="csrf-of-the-session">'


class Scripted(ThreadingHTTPServer):
    """Logs everybody in who knows the password, and answers one endpoint as it is told."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: dict[str, list[Said | str]] = {}
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.trace: list[Mapping[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"

    def on(self, request: str, *answers: Said | str) -> Scripted:
        self.answers[request] = list(answers)
        return self


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def handle_one(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        request = f"{self.command} {self.path}"
        self.server.asked.append(request)
        self.server.bodies.append(body)
        self.server.trace.append(dict(self.headers))
        queue = self.server.answers.get(request)
        if queue is None:
            self.reply(self.by_default(request, body))
            return
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, str):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()
        else:
            self.reply(answer)

    def do_GET(self) -> None:
        self.handle_one()

    def do_POST(self) -> None:
        self.handle_one()

    def do_DELETE(self) -> None:
        self.handle_one()

    def by_default(self, request: str, body: bytes) -> Said:
        known = "sessionid=of-a-user" in self.headers.get("Cookie", "")
        if request == "GET /":
            anonymous = {} if known else {"Set-Cookie": "sessionid=anonymous; Path=/"}
            return Said(200, (HOME if known else LOGIN_PAGE).encode(), anonymous)
        if request == "POST /" and f"password={PASSWORD}".encode() in body:
            return Said(302, b"", {"Location": "/", "Set-Cookie": "sessionid=of-a-user; Path=/; HttpOnly"})
        return Said(200, LOGIN_PAGE.encode())

    def reply(self, said: Said) -> None:
        is_json = not isinstance(said.body, bytes)
        content = json.dumps(said.body).encode() if is_json else said.body
        self.send_response(said.status)
        headers = {"Content-Type": "application/json" if is_json else HTML, **said.headers}
        for name, value in headers.items():
            self.send_header(name, value)
        if said.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if said.status != 204:
            self.wfile.write(content)

    def handle(self) -> None:
        with suppress(OSError):
            super().handle()

    def finish(self) -> None:
        with suppress(OSError, ValueError):
            super().finish()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Scripted]:
    with Scripted() as scripted:
        thread = threading.Thread(target=scripted.serve_forever, kwargs={"poll_interval": 0.005}, daemon=True)
        thread.start()
        yield scripted
        scripted.shutdown()
        thread.join()


BY: Mapping[str, Mapping[str, str]] = {
    "token": {"token": TOKEN},
    "session": {"username": "you@lab.edu", "password": PASSWORD},
}


@pytest.fixture
def one(server: Scripted, by: str) -> Iterator[Client]:
    client = Client(server.url, **BY[by])
    yield client
    client.close()


# --- every endpoint --------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: how it is asked, and what the server's API page says it answers."""

    request: str
    call: Callable[[Client, str], Any]
    good: Said
    check: Callable[[Any], bool]
    is_list: bool = True


PIPELINE = ("demo-project", "tmt-qc-demo")
SELECTED: Mapping[str, Any] = {"run_keys": ["rf1"]}
ENDPOINTS = {
    "token": Endpoint(
        "POST /api/token",
        lambda one, _: one.token(),
        Said(200, {"token": "x" * 40, "created": True, "expires": None}),
        lambda minted: (minted.token, minted.created, minted.raw["expires"]) == ("x" * 40, True, None),
        is_list=False,
    ),
    "revoke": Endpoint("DELETE /api/token", lambda one, _: one.revoke_token(), Said(204), lambda it: it is None, False),
    "projects": Endpoint(
        "POST /api/projects",
        lambda one, _: one.projects(),
        Said(
            201,
            [
                {
                    "pk": 1,
                    "name": "Demo Project",
                    "description": "Seeded demo project for first-run onboarding.",
                    "slug": "demo-project",
                    "colour": "red",
                }
            ],
        ),
        lambda got: (
            [(p.pk, p.name, p.slug, p.raw["colour"]) for p in got] == [(1, "Demo Project", "demo-project", "red")]
        ),
    ),
    "pipelines": Endpoint(
        "POST /api/pipelines",
        lambda one, _: one.pipelines("demo-project"),
        Said(
            201,
            [{"uuid": UUID, "slug": "tmt-qc-demo", "name": "TMT QC Demo", "path_as_str": "/path/to/pipeline", "pk": 7}],
        ),
        lambda got: (
            [(p.uuid, p.slug, p.number, p.path_as_str) for p in got] == [(UUID, "tmt-qc-demo", 7, "/path/to/pipeline")]
        ),
    ),
    "uploaders": Endpoint(
        "POST /api/pipeline-uploaders",
        lambda one, _: one.uploaders(*PIPELINE),
        Said(201, [{"label": "user@email.com", "value": "user@email.com", "runs": 3}]),
        lambda got: [(u.label, u.value, u.raw["runs"]) for u in got] == [("user@email.com", "user@email.com", 3)],
    ),
    "upload": Endpoint(
        "POST /api/upload/raw",
        lambda one, path: one.upload_raw(path, pid=UUID),
        Said(201, {"orig_file": "/media/upload/sample1.raw", "pipeline": 1, "created_by": 2, "id": 9}),
        lambda got: (
            (got.orig_file, got.pipeline, got.created_by, got.raw["id"]) == ("/media/upload/sample1.raw", 1, 2, 9)
        ),
        is_list=False,
    ),
    "qc-data": Endpoint(
        "POST /api/qc-data",
        lambda one, _: one.qc_data(*PIPELINE, data_range=3, columns=["RawFile"]),
        Said(200, {"RawFile": ["a", "b"], "TMT1_peptide_count": [1, None]}),
        lambda got: got == {"RawFile": ["a", "b"], "TMT1_peptide_count": [1, None]},
    ),
    "protein-names": Endpoint(
        "POST /api/protein-names",
        lambda one, _: one.protein_names(*PIPELINE, data_range=3),
        Said(200, {"protein_names": ["QC1|Peptide1"], "Score": [12.5]}),
        lambda got: got == {"protein_names": ["QC1|Peptide1"], "Score": [12.5]},
    ),
    "protein-groups": Endpoint(
        "POST /api/protein-groups",
        lambda one, _: one.protein_groups(
            *PIPELINE, data_range=3, protein_names=["QC1|Peptide1"], columns=["Reporter intensity corrected"]
        ),
        Said(200, '{"RawFile": {"0": "a"}}'),  # JSON inside a JSON text, as the public server code sends it
        lambda got: got == {"RawFile": {"0": "a"}},
    ),
    "rawfile": Endpoint(
        "POST /api/rawfile",
        lambda one, _: one.rawfile("accept", *PIPELINE, **SELECTED),
        Said(200, {"status": "success"}),
        lambda got: got == {"status": "success"},
        is_list=False,
    ),
    "flag-create": Endpoint(
        "POST /api/flag/create",
        lambda one, _: one.flag_create(*PIPELINE, **SELECTED),
        Said(200, {}),
        lambda got: got == {},
        is_list=False,
    ),
    "flag-delete": Endpoint(
        "POST /api/flag/delete",
        lambda one, _: one.flag_delete(*PIPELINE, raw_file_ids=[1, 2]),
        Said(200, {}),
        lambda got: got == {},
        is_list=False,
    ),
}

ANSWERS: Mapping[str, Said | str] = {
    "400": Said(400, {"orig_file": ["Unsupported file extension."]}),
    "401": Said(401, {"detail": "Invalid token."}),
    "403": Said(403, {"detail": "Authentication credentials were not provided."}),
    "403-csrf": Said(403, {"detail": "CSRF Failed: CSRF token incorrect."}),
    "403-permission": Said(403, {"detail": "You do not have permission to perform this action."}),
    "404": Said(404, b"<h1>Not Found</h1>"),
    "409": Said(409, b"<title>Conflict</title>"),
    "413": Said(413, b"Request body exceeded the limit.", {"Content-Type": "text/plain"}),
    "415": Said(415, {"detail": 'Unsupported media type "application/json" in request.'}),
    "429": Said(429, {"detail": "Request was throttled."}, {"Retry-After": "17"}),
    "500": Said(500, b"<title>Server Error (500)</title>"),
    "502": Said(502, b"<html><title>502 Bad Gateway</title></html>"),
    "503": Said(503, b"<html><title>Down</title></html>", {"Retry-After": "9"}),
    "504": Said(504, b"<html><title>Gateway Time-out</title></html>"),
    "login-page": Said(200, LOGIN_PAGE.encode()),
    "to-the-login": Said(302, b"", {"Location": "/?next=/api/"}),
    "moved": Said(301, b"", {"Location": "https://elsewhere.example/"}),
    "nonsense": Said(200, b"{"),
    DROP: DROP,
}


def meaning(endpoint: str, answer: str) -> type[RemoteError]:
    """Return what an answer means at an endpoint, as the server behaves and the table of meanings has it."""
    if answer.startswith(("401", "403")):
        return AuthError
    if answer == "429":
        return Unavailable
    if not answer.startswith("4"):
        return Unconfirmed if endpoint == "upload" else Unavailable
    if endpoint == "projects" or (ENDPOINTS[endpoint].is_list and answer not in ("400", "404")):
        return Unavailable
    if (endpoint, answer) == ("upload", "404"):
        return Unavailable
    return {"404": NotFound, "409": RemoteError}.get(answer, Rejected)


@pytest.fixture
def raw(tmp_path) -> str:
    path = tmp_path / "sample1.raw"
    path.write_bytes(b"\x01\xa1F\0i\0n\0" + bytes(5000))
    return str(path)


CASES = [(name, by) for name in ENDPOINTS for by in BY if (name, by) != ("token", "token")]
"""Every endpoint in both ways; a token is made through a web session alone."""


@pytest.mark.parametrize(("name", "by"), CASES)
def test_the_documented_answer_is_read_and_what_no_document_names_is_kept(name, server, one, raw):
    endpoint = ENDPOINTS[name]
    server.on(endpoint.request, endpoint.good)
    assert endpoint.check(endpoint.call(one, raw))
    assert server.asked.count(endpoint.request) == 1


@pytest.mark.parametrize("answer", list(ANSWERS))
@pytest.mark.parametrize(("name", "by"), CASES)
def test_every_other_answer_is_an_error_with_a_hint_and_without_a_secret(name, answer, server, one, by, raw):
    endpoint = ENDPOINTS[name]
    server.on(endpoint.request, ANSWERS[answer])
    kind = meaning(name, answer)
    with pytest.raises(kind) as caught:
        endpoint.call(one, raw)
    assert caught.value.hint
    assert caught.value.status == (None if answer == DROP else ANSWERS[answer].status)
    for secret in (TOKEN, PASSWORD, "csrf-of-the-session"):
        assert secret not in texts_of(caught.value)
    if isinstance(caught.value, Unavailable):
        assert caught.value.retry_after_s == {"429": 17.0, "503": 9.0}.get(answer)
    # what a session is refused is sent once more with a new one; nothing else is sent twice
    renewed = by == "session" and answer in ("401", "403", "403-csrf")
    assert server.asked.count(endpoint.request) == (2 if renewed else 1)


def test_an_upload_that_is_sent_again_after_a_session_ended_is_whole(server, raw):
    server.on(
        "POST /api/upload/raw",
        ANSWERS["403-csrf"],
        Said(201, {"orig_file": "/media/upload/sample1.raw", "pipeline": 1, "created_by": 2}),
    )
    seen: list[tuple[int, int]] = []
    client = Client(server.url, **BY["session"])
    client.upload_raw(raw, pid=UUID, on_progress=lambda done, total: seen.append((done, total)))
    client.close()
    sent = [body for asked, body in zip(server.asked, server.bodies, strict=True) if asked.endswith("/upload/raw")]
    assert len(sent) == 2
    assert sent[0] == sent[1]
    assert sent[0].endswith(b"--\r\n")
    assert seen.count((5008, 5008)) == 2


def test_an_answer_that_is_lost_after_a_renewed_session_is_unconfirmed(server, raw):
    server.on("POST /api/upload/raw", ANSWERS["403-csrf"], DROP)
    client = Client(server.url, **BY["session"])
    with pytest.raises(Unconfirmed):
        client.upload_raw(raw, pid=UUID)
    client.close()


@pytest.mark.parametrize("by", list(BY))
def test_no_page_is_asked_for_with_a_wish_for_html(server, one):
    """With text/html in Accept the server stores the file and then answers 500."""
    server.on("POST /api/projects", Said(201, []))
    one.projects()
    assert {headers["Accept"] for headers in server.trace} == {"application/json"}


# --- the sandbox, in both modes --------------------------------------------------------------------------


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


WAYS = {"newer-by-token": ("modern", "token"), "newer-by-session": ("modern", "session"), "older": ("older", "session")}


@dataclass(frozen=True)
class Way:
    """A running sandbox and a client of it."""

    sandbox: Sandbox
    client: Client
    clock: ManualClock
    older: bool

    @property
    def where(self) -> tuple[str, str]:
        return self.sandbox.project, self.sandbox.pipeline

    def destination(self) -> ProteomicsQC:
        project, pipeline = self.where
        return ProteomicsQC("qc", self.client, project=project, pipeline=pipeline, pid=self.sandbox.pid, now=self.clock)


@pytest.fixture(params=list(WAYS))
def way(request, clock: ManualClock) -> Iterator[Way]:
    mode, by = WAYS[request.param]
    with running(clock, pqc_mode=mode) as sandbox:
        account = {"username": sandbox.username, "password": sandbox.password}
        client = Client(sandbox.pqc_url, **({"token": sandbox.pqc_token} if by == "token" else account))
        yield Way(sandbox, client, clock, mode == "older")
        client.close()


def test_what_there_is_is_listed(way):
    project, pipeline = way.where
    assert project in [one.slug for one in way.client.projects()]
    found = {one.slug: one.uuid for one in way.client.pipelines(project)}
    assert found[pipeline] == (None if way.older else way.sandbox.pid)
    assert way.client.uploaders(project, "tmt-qc-demo")[0].value == way.sandbox.username


def test_the_demo_pipeline_can_be_read(way):
    where = ("demo-project", "tmt-qc-demo")
    table = way.client.qc_data(*where, data_range=2)
    assert len(table["RawFile"]) == 2
    assert table["RunKey"] == ["rf2", "rf3"]
    names = way.client.protein_names(*where, data_range=3)["protein_names"]
    assert names
    groups = way.client.protein_groups(
        *where, data_range=3, protein_names=names[:1], columns=["Reporter intensity corrected"]
    )
    assert len([name for name in groups if name.startswith("Reporter intensity corrected")]) > 1


def test_a_file_is_uploaded_under_the_name_that_the_server_gives_it(way, tmp_path):
    path = tmp_path / "with space (1).raw"
    path.write_bytes(b"\x01\xa1content")
    upload = way.client.upload_raw(path, pid=way.sandbox.pid.upper())
    assert upload.orig_file == "/media/upload/with_space_1.raw"
    assert [run.name for run in way.client.runs_on_page(*way.where) or ()] == (
        ["with_space_1.raw"] if way.client.username else []
    )


def test_a_file_that_is_no_raw_file_is_rejected_in_the_servers_words(way, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("no RAW file")
    with pytest.raises(Rejected, match="Unsupported file extension") as caught:
        way.client.upload_raw(path, pid=way.sandbox.pid)
    assert caught.value.status == 400


def test_a_pipeline_that_is_not_there_is_an_error(way):
    with pytest.raises((NotFound, Rejected, Unavailable)):
        way.client.qc_data("demo-project", "nonsense", data_range=1)


def test_tokens_are_made_and_revoked_where_the_server_has_them(clock):
    with running(clock) as sandbox:
        owner = Client(sandbox.pqc_url, username=sandbox.username, password=sandbox.password)
        minted = owner.token()
        assert minted.created is False
        by_token = Client(sandbox.pqc_url, token=minted.token)
        assert by_token.projects()
        owner.revoke_token()
        with pytest.raises(AuthError):
            by_token.projects()
        fresh = owner.token()
        assert fresh.created is True
        assert fresh.token != minted.token
        owner.close()
        by_token.close()


def test_the_older_server_has_no_tokens(clock):
    with running(clock, pqc_mode="older") as sandbox:
        owner = Client(sandbox.pqc_url, username=sandbox.username, password=sandbox.password)
        with pytest.raises(NotFound, match="older server") as caught:
            owner.token()
        assert "web sessions only" in caught.value.hint
        owner.close()
        stranger = Client(sandbox.pqc_url, token="x" * 40)
        with pytest.raises(AuthError) as refused:
            stranger.projects()
        stranger.close()
        assert "older server knows no tokens" in refused.value.hint


# --- results ---------------------------------------------------------------------------------------------


def uploaded(way: Way, directory, name: str, content: bytes) -> str:
    path = directory / name
    path.write_bytes(b"\x01\xa1" + content)
    way.client.upload_raw(path, pid=way.sandbox.pid)
    return way.sandbox.runs[-1].key


def awaited(delivery_id: int, name: str, **baseline: Any) -> AwaitedRun:
    return AwaitedRun(delivery_id, name, {"keys": [], "unkeyed": 0, "others": 0, "rows": None, **baseline})


def test_results_come_once_a_run_was_processed_and_marks_are_read_back(way, tmp_path):
    measures = way.destination().measures
    key = uploaded(way, tmp_path, "a b.raw", b"first")
    wanted = [awaited(1, "a b.raw"), awaited(2, "never sent.raw")]
    assert measures.measured(wanted, ["N_peptides"], frozenset()) == []
    way.clock.advance(60)

    [run] = measures.measured(wanted, ["N_peptides", "no such column"], frozenset())
    assert (run.delivery_id, run.raw_file, run.run_key) == (1, "a_b", key)
    assert list(run.columns) == ["N_peptides"]
    assert run.columns["N_peptides"] > 0
    assert run.flagged is False
    for action in (RunAction.FLAG, RunAction.REJECT, RunAction.REJECT):
        measures.mark(run, action)
    [marked] = measures.measured(wanted, [], frozenset())
    assert (marked.flagged, marked.rejected) == (True, True)
    for action in (RunAction.UNFLAG, RunAction.ACCEPT):
        measures.mark(run, action)
    [unmarked] = measures.measured(wanted, [], frozenset())
    assert (unmarked.flagged, unmarked.rejected) == (False, False)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "older"], indirect=True)
def test_results_of_files_of_one_name_are_told_apart(way, tmp_path):
    first, second = (uploaded(way, tmp_path, "hela.raw", content) for content in (b"first", b"second"))
    way.clock.advance(60)
    measures = way.destination().measures
    wanted = [awaited(1, "hela.raw"), awaited(2, "hela.raw", delivered_before=1)]
    found = measures.measured(wanted, ["N_peptides"], frozenset())
    assert [(run.delivery_id, run.run_key) for run in found] == [(1, first), (2, second)]
    assert measures.measured(wanted[:1], [], frozenset()) == []
    assert measures.measured(wanted[1:], [], frozenset({first}))[0].run_key == second


@pytest.mark.parametrize("key", ["rf999", None])
def test_a_mark_of_a_run_that_is_not_there_is_no_success(way, key):
    with pytest.raises(Unavailable, match="but shows no such run"):
        way.destination().measures.mark(MeasuredRun(1, "gone", key), RunAction.FLAG)


@pytest.mark.parametrize("way", ["older"], indirect=True)
def test_the_older_server_is_told_by_name_what_it_ignores_by_key(way, tmp_path):
    key = uploaded(way, tmp_path, "hela.RAW", b"first")
    way.clock.advance(60)
    run = MeasuredRun(1, "hela", key)
    way.destination().measures.mark(run, RunAction.FLAG)
    assert way.sandbox.runs[-1].flagged
    assert way.sandbox.requests["POST /api/rawfile"] == 2


# --- the notebook ----------------------------------------------------------------------------------------


@pytest.fixture
def example(tmp_path, monkeypatch) -> str:
    """The code of the package's own docstring, in a directory with the file that it sends."""
    block = re.search(r"::\n\n((?:    .*\n|\n)+)", proteomicsqc.__doc__ or "")
    assert block is not None
    (tmp_path / "sample1.raw").write_bytes(b"\x01\xa1content")
    monkeypatch.chdir(tmp_path)
    return re.sub(r"(?m)^    ", "", block[1])


def carried_out(example: str, url: str, token: str) -> None:
    assert "https://qc.example.org/" in example
    shown = example.replace("https://qc.example.org/", url).replace("…", token)
    exec(compile(shown, "example", "exec"), names := {})
    names["client"].close()


def test_the_example_of_the_package_works_on_any_server_with_a_pipeline(example, server, capsys):
    server.on("POST /api/projects", Said(201, [{"slug": "lab", "name": "Lab", "pk": 7, "description": ""}]))
    server.on("POST /api/pipelines", Said(201, [{"slug": "dia", "name": "DIA", "uuid": UUID, "path_as_str": "/"}]))
    server.on("POST /api/upload/raw", Said(201, {"orig_file": "/m/sample1.raw", "pipeline": 3, "created_by": 2}))
    server.on("POST /api/qc-data", Said(200, {"RawFile": [], "N_peptides": []}))
    carried_out(example, server.url, TOKEN)
    asked = dict(zip(server.asked, server.bodies, strict=True))
    assert json.loads(asked["POST /api/pipelines"]) == {"project": "lab"}
    assert UUID.encode() in asked["POST /api/upload/raw"]
    assert json.loads(asked["POST /api/qc-data"])["pipeline"] == "dia"
    assert capsys.readouterr().out == "/m/sample1.raw\n{'RawFile': [], 'N_peptides': []}\n"


def test_the_example_of_the_package_does_what_it_says(example, clock, capsys):
    with running(clock) as sandbox:
        carried_out(example, sandbox.pqc_url, sandbox.pqc_token)
        assert [run.name for run in sandbox.runs] == ["sample1.raw"]
    assert capsys.readouterr().out.startswith("/media/upload/sample1.raw\n{'RawFile': [")
    assert len([line for line in example.splitlines() if line.strip() and not line.startswith("from")]) <= 5
