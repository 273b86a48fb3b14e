from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qsl

import pytest
from clock_support import ManualClock
from http_support import CANARY, FakeServer, Recorder, Reply, lost, texts_of

from depositd.destinations.proteomicsqc import Client, ProteomicsQC
from depositd.destinations.proteomicsqc.pages import csrf_token, has_login_form, page_runs
from depositd.destinations.proteomicsqc.records import qc_runs, sanitised, stem_of
from depositd.destinations.proteomicsqc.runs import Known, arrived, new_keys, own_key
from depositd.errors import AuthError, DepositdError, NotFound, Rejected, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Packing
from depositd.states import DELIVERY_TRANSITIONS, DeliveryEvent

NOW = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
UUID = "0a1b2c3d-0000-4000-8000-000000000001"
PROJECTS = "POST /api/projects"
PIPELINES = "POST /api/pipelines"
UPLOAD = "POST /api/upload/raw"
QC = "POST /api/qc-data"
HOME = "GET /"
LOGIN = "POST /"
PAGE = "GET /proteomics/detail/demo-project/tmt-qc-demo"
PAGE_2 = f"{PAGE}?page=2"
CONTENT = b"thermo"
NAME = "with space (1).raw"
KEPT = "with_space_1.raw"


def form(token: str, login: bool = True) -> bytes:
    password = '<input type="password" name="password">' if login else ""
    return f'<form><input type="hidden" name="csrfmiddlewaretoken" value="{token}">{password}</form>'.encode()


def rows(*names: str, status: str = "queued") -> Reply:
    cells = "".join(f'<tr data-run-name="{name}" data-overall-status="{status}"><td>{name}</td></tr>' for name in names)
    return Reply(200, f"<table><tbody>{cells}</tbody></table>".encode())


def columns(*runs: tuple[str, str], uploader: str = "you@lab.edu") -> Reply:
    return Reply(
        200,
        {
            "RawFile": [stem for stem, _ in runs],
            "RunKey": [key for _, key in runs],
            "Uploader": [uploader for _ in runs],
        },
    )


def server_with(*, pipelines=None, qc=None, page=None) -> FakeServer:
    server = FakeServer()
    server.on(PROJECTS, Reply(201, [{"pk": 1, "slug": "demo-project", "name": "Demo Project", "description": ""}]))
    pipeline = {"uuid": UUID, "slug": "tmt-qc-demo", "name": "TMT QC Demo", "path_as_str": "/p", "pk": 1}
    server.on(PIPELINES, Reply(201, [pipeline] if pipelines is None else pipelines))
    server.on(QC, qc or columns())
    server.on(PAGE, page or rows())
    server.on(PAGE_2, Reply(404, b""))
    server.on(UPLOAD, Reply(201, {"orig_file": f"/media/upload/{KEPT}", "pipeline": 1, "created_by": 2}))
    return server


@pytest.fixture
def archive(tmp_path) -> Archive:
    path = tmp_path / "spooled"
    path.write_bytes(CONTENT)
    md5 = hashlib.md5(CONTENT).hexdigest()
    return Archive(str(path), NAME, Packing.FILE, len(CONTENT), md5, md5, hashlib.sha256(CONTENT).hexdigest())


def client(server: FakeServer, **options) -> Client:
    return Client("https://qc.example/", adapter=server, **(options or {"token": CANARY}))


def by_password(server: FakeServer, password: str = "pass word") -> Client:
    return client(server, username="you@lab.edu", password=password)


def step(
    server, archive, state=DeliveryState.WAITING, report=None, via=None, config=None, started_ago_s=86_400.0, **more
):
    settings = {"project": "demo-project", "pipeline": "tmt-qc-demo", "confirm_within_s": 1800.0}
    clock = ManualClock(NOW - timedelta(seconds=started_ago_s))
    destination = ProteomicsQC("qc", via or client(server), now=clock, **(config or settings))
    clock.advance(started_ago_s)
    delivery = Delivery(id=1, dataset_id=12, destination="qc", state=state, **more)
    outcome = destination.step(delivery, archive, {}, report or Recorder())
    assert (state, outcome.event) in DELIVERY_TRANSITIONS
    assert outcome.reason
    if outcome.event in (DeliveryEvent.HOLD, DeliveryEvent.FAILED):
        assert outcome.hint
    return outcome


def look(server, archive, baseline, sent_ago_s: float | None = 60.0, **more):
    sent_at = None if sent_ago_s is None else NOW - timedelta(seconds=sent_ago_s)
    return step(server, archive, DeliveryState.UNCONFIRMED, baseline=baseline, sent_at=sent_at, **more)


# --- the client, by token --------------------------------------------------------------------------------


def test_lists_are_read_with_either_status():
    server = server_with()
    one = client(server)
    assert [project.slug for project in one.projects()] == ["demo-project"]
    assert server.last(PROJECTS).headers["Authorization"] == f"Token {CANARY}"
    assert server.last(PROJECTS).headers["Accept"] == "application/json"
    assert one.pipelines("demo-project")[0].uuid == UUID
    assert server.last(PIPELINES).json == {"project": "demo-project"}
    server.on(PIPELINES, Reply(200, [{"slug": "old", "name": "Old", "path_as_str": "/p"}]))
    assert one.pipelines("demo-project")[0].uuid is None
    server.on("POST /api/pipeline-uploaders", Reply(200, [{"label": "you@lab.edu", "value": "you@lab.edu"}]))
    assert one.uploaders("demo-project", "tmt-qc-demo")[0].value == "you@lab.edu"


def test_tables_are_asked_for_with_all_that_an_older_server_needs():
    table = {"RawFile": ["a"], "TMT1_peptide_count": [5]}
    server = server_with(qc=Reply(200, table))
    one = client(server)
    assert one.qc_data("p", "q", data_range=3, columns=["RawFile"]) == table
    assert server.last(QC).json == {"project": "p", "pipeline": "q", "data_range": 3, "columns": ["RawFile"]}
    server.on("POST /api/protein-names", Reply(200, {"protein_names": ["QC1"]}))
    one.protein_names("p", "q", data_range=3)
    assert server.last("POST /api/protein-names").json == {
        "project": "p",
        "pipeline": "q",
        "data_range": 3,
        "raw_files": None,
        "remove_contaminants": True,
        "remove_reversed_sequences": True,
    }
    server.on("POST /api/protein-groups", Reply(200, '{"RawFile": {"0": "a"}}'))
    groups = one.protein_groups("p", "q", protein_names=["QC1"], columns=["Reporter intensity corrected"])
    assert groups == {"RawFile": {"0": "a"}}


def test_what_an_older_server_answers_with_500_is_not_sent():
    one = client(FakeServer())
    for call in (
        lambda: one.pipelines(""),
        lambda: one.qc_data("p", "q", data_range=0),
        lambda: one.qc_data("p", ""),
        lambda: one.protein_groups("p", "q", protein_names=[], columns=["x"]),
        lambda: one.uploaders("p", ""),
        lambda: one.protein_names("p", "q", data_range=-1),
        lambda: one.protein_groups("p", "q", protein_names="QC1", columns=["x"]),
        lambda: one.protein_groups("p", "q", protein_names=["QC1"], columns=[""]),
        lambda: one.protein_names("p", "q", raw_files="a.raw"),
        lambda: one.qc_data("p", "q", columns="RawFile"),
        lambda: one.upload_raw("x.raw", pid=""),
        lambda: one.upload_raw("x.raw", pid="tmt-qc-demo"),
        lambda: one.flag_create("p", "q", run_keys="rf1"),
        lambda: one.flag_delete("p", "", run_keys=["rf1"]),
        lambda: one.flag_delete("p", "q", raw_files=["a.raw", ""]),
        lambda: one.rawfile("delete", "p", "q", run_keys=["rf1"]),
        lambda: one.flag_create("p", "q"),
        lambda: one.flag_create("p", "q", run_keys=["rf1"], raw_files=["a.raw"]),
    ):
        with pytest.raises(ValueError, match=r"."):
            call()


def test_flags_are_sent_as_forms():
    server = FakeServer().on("POST /api/rawfile", Reply(200, {"status": "success"}))
    server.on("POST /api/flag/create", Reply(200, {})).on("POST /api/flag/delete", Reply(200, {}))
    one = client(server)
    assert one.rawfile("accept", "p", "q", run_keys=["rf1", "rf2"]) == {"status": "success"}
    seen = server.last("POST /api/rawfile")
    assert seen.headers["Content-Type"] == "application/x-www-form-urlencoded"
    fields = [("project", "p"), ("pipeline", "q"), ("run_keys", "rf1"), ("run_keys", "rf2"), ("action", "accept")]
    assert parse_qsl(seen.body.decode()) == fields
    one.flag_create("p", "q", raw_files=["a.raw"])
    assert ("raw_files", "a.raw") in parse_qsl(server.last("POST /api/flag/create").body.decode())
    one.flag_delete("p", "q", raw_file_ids=[7])
    assert ("raw_file_ids", "7") in parse_qsl(server.last("POST /api/flag/delete").body.decode())


def test_an_upload_is_sent_as_documented(archive):
    server = server_with()
    result = client(server).upload_raw(archive.path, pid=UUID)
    assert f'name="pid"\r\n\r\n{UUID}'.encode() in server.last(UPLOAD).body
    assert b'name="orig_file"; filename="spooled"' in server.last(UPLOAD).body
    assert (result.orig_file, result.pipeline, result.created_by) == (f"/media/upload/{KEPT}", 1, 2)


# --- the client, by web session --------------------------------------------------------------------------


def session_server(**options) -> FakeServer:
    server = server_with(**options)
    server.on(HOME, Reply(200, form("first")), Reply(200, form("second", login=False)))
    server.on(LOGIN, Reply(302, b"", {"Location": "/"}, ["sessionid=abc; Path=/; HttpOnly"]))
    return server


def test_a_web_session_is_opened_as_documented():
    server = session_server()
    by_password(server).projects()
    login = dict(parse_qsl(server.last(LOGIN).body.decode()))
    assert login == {
        "username": "you@lab.edu",
        "password": "pass word",
        "csrfmiddlewaretoken": "first",
        "next": "/",
    }
    assert server.last(LOGIN).headers["Referer"] == "https://qc.example/"
    request = server.last(PROJECTS)
    assert request.headers["X-CSRFToken"] == "second"
    assert request.headers["Cookie"] == "sessionid=abc"
    assert "Authorization" not in request.headers


def test_a_wrong_password_is_a_200_with_a_form():
    server = session_server().on(LOGIN, Reply(200, form(CANARY)))
    with pytest.raises(AuthError, match="does not accept the username or the password") as caught:
        by_password(server, CANARY).projects()
    assert CANARY not in texts_of(caught.value)


@pytest.mark.parametrize(
    "detail", ["CSRF Failed: CSRF token incorrect.", "Authentication credentials were not provided."]
)
def test_a_session_that_ended_is_opened_once_more_and_the_upload_sent_whole(detail, archive):
    server = session_server()
    server.on(UPLOAD, Reply(403, {"detail": detail}), Reply(201, {"orig_file": "/m/x.raw", "pipeline": 1}))
    server.on(
        HOME,
        Reply(200, form("a")),
        Reply(200, form("b", login=False)),
        Reply(200, form("c")),
        Reply(200, form("d", login=False)),
    )
    by_password(server).upload_raw(archive.path, pid=UUID)
    first, second = [seen for seen in server.seen if seen.path == "/api/upload/raw"]
    assert (first.headers["X-CSRFToken"], second.headers["X-CSRFToken"]) == ("b", "d")
    assert first.body == second.body


def test_a_session_that_is_refused_twice_is_refused():
    server = session_server().on(PROJECTS, Reply(403, {"detail": "Authentication credentials were not provided."}))
    with pytest.raises(AuthError):
        by_password(server).projects()
    assert server.count(PROJECTS) == 2


def test_a_token_is_minted_and_revoked_through_the_session():
    server = session_server().on("POST /api/token", Reply(200, {"token": CANARY, "created": True}))
    server.on("DELETE /api/token", Reply(204))
    one = by_password(server)
    minted = one.token()
    assert (minted.token, minted.created) == (CANARY, True)
    assert CANARY not in repr(minted)
    one.revoke_token()
    assert server.last("DELETE /api/token").headers["X-CSRFToken"] == "second"


@pytest.mark.parametrize(("request_", "call"), [("POST", Client.token), ("DELETE", Client.revoke_token)])
def test_an_older_server_has_no_tokens_and_the_hint_says_what_it_knows(request_, call):
    server = session_server().on(f"{request_} /api/token", Reply(404, b"<title>Not Found</title>"))
    with pytest.raises(NotFound, match="has no /api/token: it is an older server") as caught:
        call(by_password(server))
    assert caught.value.hint.startswith("it knows web sessions only: set username (the e-mail address) and password")
    assert caught.value.status == 404


def test_an_older_server_that_ignores_a_token_is_hinted_at():
    reply = Reply(403, {"detail": "Authentication credentials were not provided."})
    with pytest.raises(AuthError) as caught:
        client(server_with().on(PROJECTS, reply)).projects()
    assert "an older server knows no tokens, only username and password" in caught.value.hint


def test_a_token_can_revoke_itself():
    server = FakeServer().on("DELETE /api/token", Reply(204))
    client(server).revoke_token()
    assert server.last("DELETE /api/token").headers["Authorization"] == f"Token {CANARY}"


@pytest.mark.parametrize("status", [401, 403])
def test_the_web_session_takes_over_from_a_token_that_is_refused(status, archive):
    server = session_server()
    server.on(UPLOAD, Reply(status, {"detail": "Invalid token."}), Reply(201, {"orig_file": "/m/x.raw", "pipeline": 1}))
    one = client(server, token=CANARY, username="you@lab.edu", password="pass word")
    one.upload_raw(archive.path, pid=UUID)
    first, second = [seen for seen in server.seen if seen.path == "/api/upload/raw"]
    assert first.headers["Authorization"] == f"Token {CANARY}"
    assert second.headers["X-CSRFToken"] == "second"
    assert "Authorization" not in second.headers
    assert first.body == second.body
    one.projects()
    assert "Authorization" not in server.last(PROJECTS).headers


def test_with_a_token_and_a_password_the_page_is_seen_through_a_session():
    one = client(session_server(page=rows("a.raw")), token=CANARY, username="you@lab.edu", password="pass word")
    assert [run.name for run in one.runs_on_page("demo-project", "tmt-qc-demo")] == ["a.raw"]


def test_a_refusal_of_the_thing_itself_is_not_sent_again(archive):
    server = session_server().on(UPLOAD, Reply(403, {"detail": "You do not have permission to perform this action."}))
    with pytest.raises(AuthError):
        by_password(server).upload_raw(archive.path, pid=UUID)
    assert (server.count(UPLOAD), server.count(LOGIN)) == (1, 1)


@pytest.mark.parametrize(
    "reply",
    [Reply(302, b"", {"Location": "https://sso.example/"}), Reply(200, b"<title>Back soon</title>"), Reply(409)],
)
def test_what_stands_in_the_way_of_the_login_is_no_wrong_password(reply):
    server = session_server().on(LOGIN, reply)
    with pytest.raises(Unavailable):
        by_password(server).projects()
    assert server.count(PROJECTS) == 0


def test_a_302_that_keeps_the_anonymous_session_is_no_login():
    server = session_server().on(LOGIN, Reply(302, b"", {"Location": "/login"}))
    server.on(HOME, Reply(200, form("first"), cookies=["sessionid=anonymous; Path=/"]))
    with pytest.raises(Unavailable, match="opened no session"):
        by_password(server).projects()


@pytest.mark.parametrize("reply", [Reply(302, b"", {"Location": "/?next=/api/projects"}), Reply(200, form("x"))])
def test_after_a_login_page_the_next_request_opens_a_new_session(reply):
    server = session_server()
    server.on(PROJECTS, reply, Reply(201, []))
    one = by_password(server)
    with pytest.raises(Unavailable):
        one.projects()
    assert one.projects() == []
    assert server.count(LOGIN) == 2


def test_without_any_credentials_it_says_so():
    with pytest.raises(AuthError, match="neither a token nor"):
        client(FakeServer(), username="you@lab.edu").projects()


# --- pages -----------------------------------------------------------------------------------------------


def test_forms():
    assert csrf_token('<input value="x&amp;y" name="csrfmiddlewaretoken">') == "x&y"
    assert csrf_token("<p>nothing") is None
    assert has_login_form(form("t").decode())
    assert not has_login_form(form("t", login=False).decode())


def test_rows_of_a_page():
    html = """<table><tr><th>Name</th></tr>
    <tr data-run-name="sample1.raw" data-overall-status="done"><td><a href="/run/7">open</a></td></tr>
    <tr data-run-name="a&amp;b.raw"><td data-overall-status="queued"><button data-url="/delete/8"></td>
    <tr><td>a row of something else <a href="/x"></a></td></tr>
    <tr data-run-name="last.raw">"""
    assert [(run.name, run.status, set(run.links)) for run in page_runs(html)] == [
        ("sample1.raw", "done", {"/run/7"}),
        ("a&b.raw", "queued", {"/delete/8"}),
        ("last.raw", None, set()),
    ]


def linked(*names_and_links: tuple[str, str]) -> Reply:
    return Reply(
        200, "".join(f'<tr data-run-name="{n}"><td><a href="{k}"></a></tr>' for n, k in names_and_links).encode()
    )


def test_pages_are_followed_and_repeated_rows_counted_once():
    """Rows without a result stand on every page, and a number beyond the last page repeats it."""
    first = linked(("a.raw", "/1"), ("a.raw", "/2"), ("missing.raw", "/9"))
    second = linked(("a.raw", "/3"), ("missing.raw", "/9"))
    server = server_with(page=first).on(PAGE_2, second).on(f"{PAGE}?page=3", second)
    runs = client(server).runs_on_page("demo-project", "tmt-qc-demo")
    assert [run.name for run in runs] == ["a.raw", "a.raw", "missing.raw", "a.raw"]


def test_a_repeated_page_without_links_ends_the_list():
    server = server_with(page=rows("a.raw", "a.raw")).on(PAGE_2, rows("a.raw", "a.raw"))
    assert len(client(server).runs_on_page("demo-project", "tmt-qc-demo")) == 2


@pytest.mark.parametrize("reply", [Reply(302, b"", {"Location": "/"}), Reply(403, b"no"), Reply(200, form("x"))])
def test_of_pages_that_cannot_all_be_seen_none_counts(reply):
    """A part of the rows, noted before a send, would make old runs new ones afterwards."""
    server = server_with(page=rows("a.raw")).on(PAGE_2, reply)
    assert client(server).runs_on_page("demo-project", "tmt-qc-demo") is None


@pytest.mark.parametrize(
    "reply", [Reply(404, b""), Reply(302, b"", {"Location": "/"}), Reply(403, b"no"), Reply(200, form("x"))]
)
def test_a_page_that_cannot_be_seen_is_none(reply):
    assert client(server_with(page=reply)).runs_on_page("demo-project", "tmt-qc-demo") is None


@pytest.mark.parametrize("status", [409, 413, 418, 429, 500, 502])
def test_a_page_that_is_down_is_not_absent(status):
    with pytest.raises(Unavailable):
        client(server_with(page=Reply(status, b""))).runs_on_page("demo-project", "tmt-qc-demo")


@pytest.mark.parametrize(
    ("name", "kept", "stem"),
    [
        (NAME, KEPT, "with_space_1"),
        ("Sample1.RAW", "Sample1.RAW", "sample1"),
        ("/media/upload/a.raw", "mediauploada.raw", "a"),
        ("C:\\data\\a.raw", "Cdataa.raw", "a"),
        ("a.raw.RAW", "a.raw.RAW", "a"),
        ("stra\u00dfe.raw", "stra\u00dfe.raw", "strasse"),
        ("gl\u00fcck.raw", "gl\u00fcck.raw", "gl\u00fcck"),
    ],
)
def test_names_as_the_server_keeps_them(name, kept, stem):
    assert sanitised(name) == kept
    assert stem_of(name) == stem


@pytest.mark.parametrize("name", [NAME, KEPT, "WITH space 1.RAW", "with_space_1"])
def test_names_that_the_server_could_confuse_are_known_as_one(name):
    destination = ProteomicsQC("qc", client(FakeServer()), pid=UUID)
    assert destination.known_as(name) == "with_space_1"
    assert destination.known_as("with_space_2.raw") != "with_space_1"


def test_runs_of_a_table_without_newer_columns():
    assert [(run.stem, run.key) for run in qc_runs({"RawFile": ["a", "b"], "RunKey": ""})] == [("a", None), ("b", None)]
    assert qc_runs({}) == []


# --- waiting ---------------------------------------------------------------------------------------------


def test_a_file_is_sent_after_asking_who_we_are_and_what_is_there(archive):
    report = Recorder()
    server = server_with(qc=columns(("with_space_1", "rf3"), ("other", "rf4")), page=rows(KEPT, "other.raw"))
    outcome = step(server, archive, report=report)
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (
        DeliveryEvent.DELIVERED,
        f"/media/upload/{KEPT}",
        "uploaded",
    )
    assert report.baselines == [{"keys": ["rf3"], "unkeyed": 0, "others": 0, "rows": 1}]
    assert report.progressed == [(6, 6)]
    assert server.seen[0].path == "/api/projects"
    assert server.seen[-1].path == "/api/upload/raw"
    assert f'filename="{NAME}"'.encode() in server.last(UPLOAD).body


def test_refused_credentials_cost_nothing(archive):
    report = Recorder()
    server = server_with().on(PROJECTS, Reply(403, {"detail": f"Invalid token {CANARY}"}))
    with pytest.raises(AuthError) as caught:
        step(server, archive, report=report)
    assert not report.baselines
    assert CANARY not in texts_of(caught.value)


DISAGREEMENTS = [
    ({"pipelines": [{"slug": "tmt-qc-demo", "name": "x"}]}, {}),
    ({"pipelines": []}, {}),
    ({}, {"project": "demo-projet"}),
    ({}, {"pid": "0" * 36}),
]
SAID = ["does not tell the pid", "no pipeline 'tmt-qc-demo'", "no project 'demo-projet'", f"has pid {UUID}"]


@pytest.mark.parametrize(
    ("options", "config", "words"), [(*one, words) for one, words in zip(DISAGREEMENTS, SAID, strict=True)]
)
def test_a_pipeline_that_the_server_does_not_show_is_held_with_what_to_set(options, config, words, archive):
    settings = {"project": "demo-project", "pipeline": "tmt-qc-demo", **config}
    outcome = step(server_with(**options), archive, config=settings)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)
    assert words in outcome.reason
    assert "config" in outcome.hint


@pytest.mark.parametrize("status", [400, 404])
def test_a_project_whose_pipelines_are_refused_is_held(status, archive):
    outcome = step(server_with().on(PIPELINES, Reply(status, {"detail": "no such project"})), archive)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)
    assert "no such project" in outcome.reason


@pytest.mark.parametrize("status", [400, 404, 409, 413, 500])
def test_a_question_that_is_refused_does_not_fail_the_dataset(status, archive):
    with pytest.raises(Unavailable):
        step(server_with().on(PROJECTS, Reply(status, b"")), archive)


def test_a_pid_alone_is_looked_up_for_its_slugs(archive):
    report = Recorder()
    config = {"pid": UUID.upper().replace("-", "")}
    server = server_with(qc=columns(("with_space_1", "rf3")))
    assert step(server, archive, report=report, config=config).event is DeliveryEvent.DELIVERED
    assert report.baselines[0]["keys"] == ["rf3"]


def test_a_pid_that_is_nowhere_listed_is_sent_to_but_cannot_be_asked_about(archive):
    report = Recorder()
    server = server_with(pipelines=[{"slug": "old", "name": "x"}])
    config = {"pid": UUID}
    assert step(server, archive, report=report, config=config).event is DeliveryEvent.DELIVERED
    assert report.baselines == [{"keys": None, "unkeyed": 0, "others": 0, "rows": None}]
    held = look(server, archive, report.baselines[0], config=config)
    assert (held.event, held.hold) == (DeliveryEvent.HOLD, HoldKind.UNCONFIRMED)
    assert "no list of runs" in held.reason


@pytest.mark.parametrize("question", [PIPELINES, QC, PAGE])
@pytest.mark.parametrize("status", [409, 413, 415, 422])
def test_what_a_proxy_says_to_a_question_is_no_verdict_on_the_dataset(question, status, archive):
    report = Recorder()
    with pytest.raises(Unavailable):
        step(server_with().on(question, Reply(status, b"<title>Blocked</title>")), archive, report=report)
    assert not report.baselines


def test_a_page_of_something_else_is_not_taken_for_an_empty_pipeline(archive):
    """What answers in the place of the pipeline's page would make every old run a new one."""
    report = Recorder()
    portal = Reply(200, b"<title>Accept our terms</title>")
    server = server_with(qc=columns(("with_space_1", "rf3")), page=portal)
    step(server, archive, report=report)
    assert report.baselines == [{"keys": ["rf3"], "unkeyed": 0, "others": 0, "rows": None}]


def older(qc=None, page=None) -> FakeServer:
    return session_server(pipelines=[{"slug": "tmt-qc-demo", "name": "x"}], qc=qc, page=page)


OLDER = {"project": "demo-project", "pipeline": "tmt-qc-demo", "pid": UUID}
UNKEYED = Reply(200, {"RawFile": ["with_space_1"], "RunKey": "", "Uploader": ""})


@pytest.mark.parametrize(
    ("qc", "page"),
    [
        (columns(("with_space_1", "rf3")), rows(KEPT)),
        (columns(("with_space_1", "rf3")), Reply(404, b"")),
        (UNKEYED, rows(KEPT)),
        (UNKEYED, Reply(404, b"")),
        (Reply(500, b""), rows(KEPT)),
    ],
)
def test_an_older_server_is_not_sent_a_name_that_it_has(qc, page, archive):
    """It fails, and what it leaves behind can be taken for the next upload of that name to another pipeline."""
    report = Recorder()
    server = older(qc, page)
    outcome = step(server, archive, report=report, via=by_password(server), config=OLDER)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)
    assert f"has a run of {KEPT} in this pipeline already" in outcome.reason
    assert "depositd skip 12" in outcome.hint
    assert not report.baselines
    assert server.count(UPLOAD) == 0


def test_an_older_server_is_sent_a_name_that_it_has_on_the_operators_word(archive):
    server = older(UNKEYED, rows(KEPT))
    held = step(server, archive, via=by_password(server), config=OLDER, released="another hold")
    assert held.event is DeliveryEvent.HOLD
    outcome = step(server, archive, via=by_password(server), config=OLDER, released=held.reason)
    assert outcome.event is DeliveryEvent.DELIVERED


def test_a_newer_server_takes_a_name_again(archive):
    server = server_with(qc=columns(("with_space_1", "rf3")), page=rows(KEPT))
    assert step(server, archive).event is DeliveryEvent.DELIVERED


def test_a_pid_is_sent_in_the_spelling_of_the_server(archive):
    server = server_with()
    step(server, archive, config={**OLDER, "pid": UUID.upper().replace("-", "")})
    assert f'name="pid"\r\n\r\n{UUID}\r\n'.encode() in server.last(UPLOAD).body


def test_a_server_whose_uuid_is_none_is_held(archive):
    outcome = step(server_with(pipelines=[{"slug": "tmt-qc-demo", "uuid": "17"}]), archive)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)
    assert "pid 17 is not a UUID" in outcome.reason


def test_a_file_that_is_no_raw_file_is_told_what_is_taken(archive):
    reply = Reply(400, {"orig_file": ["Unsupported file extension."]})
    with pytest.raises(Rejected, match="orig_file: Unsupported file extension") as caught:
        step(server_with().on(UPLOAD, reply), archive)
    assert "it takes RAW files (.raw) that are not empty" in caught.value.hint
    assert "depositd skip 12" in caught.value.hint


@pytest.mark.parametrize("status", [401, 403])
def test_a_token_that_is_revoked_in_the_middle_pauses_the_destination(status, archive):
    """The questions before the upload were answered; the next one is not."""
    server = server_with().on(UPLOAD, Reply(status, {"detail": "Invalid token."}))
    projects = server.replies[PROJECTS][0]
    server.on(PROJECTS, projects, Reply(status, {"detail": "Invalid token."}))
    with pytest.raises(AuthError):
        step(server, archive)
    assert server.count(UPLOAD) == 1


@pytest.mark.parametrize(
    "reply",
    [
        Reply(302, b"", {"Location": "/?next=/api/upload/raw"}),
        Reply(200, form("x")),
        Reply(200, {"orig_file": "/m/x.raw"}),
        Reply(201, form("x")),
        Reply(504, b"<html>"),
    ],
)
def test_a_login_page_or_a_gateway_after_the_whole_body_is_unconfirmed(reply, archive):
    for via in (client, by_password):
        server = session_server().on(UPLOAD, reply)
        with pytest.raises(Unconfirmed):
            step(server, archive, via=via(server))
        assert server.count(UPLOAD) == 1


@pytest.mark.parametrize("status", [400, 413, 415])
def test_a_refused_file_is_rejected_with_the_servers_words(status, archive):
    reply = Reply(status, {"orig_file": ["Unsupported file extension."]})
    with pytest.raises(Rejected, match="Unsupported file extension"):
        step(server_with().on(UPLOAD, reply), archive)


def test_a_file_that_is_too_large_is_hinted_at_who_can_raise_the_limit(archive):
    with pytest.raises(Rejected) as caught:
        step(server_with().on(UPLOAD, Reply(413, b"Request body exceeded the limit.")), archive)
    assert "larger than the server takes" in caught.value.hint
    assert "ask whoever runs it to raise its upload limit" in caught.value.hint


@pytest.mark.parametrize(
    "reply", [lost(), lost(take=50), Reply(500, b"<title>Server Error</title>"), Reply(502, b""), Reply(201, {})]
)
def test_an_answer_that_was_lost_is_unconfirmed_and_sent_once(reply, archive):
    server = server_with().on(UPLOAD, reply)
    with pytest.raises(Unconfirmed):
        step(server, archive)
    assert server.count(UPLOAD) == 1


def test_a_refused_connection_is_not_unconfirmed(archive):
    with pytest.raises(Unavailable):
        step(server_with().on(UPLOAD, lost(take=0)), archive)


def test_no_right_to_a_pipeline_does_not_pause_the_destination(archive):
    server = server_with().on(UPLOAD, Reply(403, {"detail": "You do not have permission."}))
    outcome = step(server, archive)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.SERVER)


@pytest.mark.parametrize("answered", [2, "ffffffff-0000-4000-8000-000000000001"])
def test_a_file_in_another_pipeline_is_no_delivery(answered, archive):
    server = server_with().on(UPLOAD, Reply(201, {"orig_file": "/m/x.raw", "pipeline": answered}))
    outcome = step(server, archive)
    assert outcome.event is DeliveryEvent.FAILED
    assert UUID in outcome.reason


def test_an_older_server_without_processed_runs_answers_500_and_is_sent_to(archive):
    report = Recorder()
    assert step(server_with(qc=Reply(500, b"")), archive, report=report).event is DeliveryEvent.DELIVERED
    assert report.baselines == [{"keys": None, "unkeyed": 0, "others": 0, "rows": 0}]


def test_a_server_that_is_down_is_sent_nothing(archive):
    report = Recorder()
    with pytest.raises(Unavailable):
        step(server_with(qc=Reply(503, b"")), archive, report=report)
    assert not report.baselines


# --- unconfirmed -----------------------------------------------------------------------------------------

EMPTY = {"keys": [], "unkeyed": 0, "others": 0, "rows": 0}


def test_a_new_processed_run_is_ours(archive):
    server = server_with(
        qc=columns(("with_space_1", "rf3"), ("with_space_1", "rf12")), page=rows(KEPT, KEPT, status="done")
    )
    outcome = look(server, archive, {"keys": ["rf3"], "unkeyed": 0, "others": 0, "rows": 1})
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (DeliveryEvent.DELIVERED, "rf12", "done")
    assert server.count(UPLOAD) == 0


def test_a_fresh_run_is_seen_on_the_page_alone(archive):
    outcome = look(server_with(page=rows(KEPT)), archive, EMPTY)
    assert (outcome.event, outcome.remote_id, outcome.remote_status) == (DeliveryEvent.DELIVERED, KEPT, "queued")


def test_without_a_page_the_table_decides(archive):
    server = server_with(qc=columns(("With_Space_1", "rf12")), page=Reply(404, b""))
    assert look(server, archive, {"keys": [], "unkeyed": 0, "others": 0, "rows": None}).remote_id == "rf12"


def test_an_older_run_that_was_processed_meanwhile_is_not_ours(archive):
    server = server_with(qc=columns(("with_space_1", "rf3")), page=rows(KEPT))
    assert look(server, archive, {"keys": [], "unkeyed": 0, "others": 0, "rows": 1}).event is DeliveryEvent.POSTPONE


def test_somebody_elses_run_of_that_name_is_not_ours(archive):
    server = session_server(qc=columns(("with_space_1", "rf3"), uploader="they@lab.edu"), page=Reply(404, b""))
    baseline = {"keys": [], "unkeyed": 0, "others": 0, "rows": None}
    assert look(server, archive, baseline, via=by_password(server)).event is DeliveryEvent.POSTPONE


def test_a_run_of_another_delivery_that_is_shown_only_now_is_not_ours(archive):
    """What we delivered before under that name may have been waiting to be processed."""
    baseline = {"keys": [], "unkeyed": 0, "others": 0, "rows": None, "delivered_before": 1}
    server = server_with(qc=columns(("with_space_1", "rf3")), page=Reply(404, b""))
    assert look(server, archive, baseline).event is DeliveryEvent.POSTPONE
    assert look(server, archive, baseline, 1801.0).hold is HoldKind.UNCONFIRMED
    server.on(QC, columns(("with_space_1", "rf3"), ("WITH_space_1", "rf12")))
    outcome = look(server, archive, baseline)
    assert (outcome.event, outcome.remote_id) == (DeliveryEvent.DELIVERED, "rf12")


def test_where_the_page_shows_every_run_it_alone_decides(archive):
    baseline = {"keys": [], "unkeyed": 0, "others": 0, "rows": 1, "delivered_before": 1}
    server = server_with(qc=columns(("with_space_1", "rf3")), page=rows(KEPT, KEPT))
    outcome = look(server, archive, baseline)
    # rf3 may be the run that was there before
    assert (outcome.event, outcome.remote_id) == (DeliveryEvent.DELIVERED, KEPT)


def test_an_older_servers_runs_without_keys_are_counted(archive):
    server = server_with(qc=Reply(200, {"RawFile": ["with_space_1"] * 2, "RunKey": ""}), page=Reply(404, b""))
    assert look(server, archive, {"keys": [], "unkeyed": 1, "rows": None}).event is DeliveryEvent.DELIVERED
    assert look(server, archive, {"keys": [], "unkeyed": 2, "rows": None}).event is DeliveryEvent.POSTPONE


@pytest.mark.parametrize("sent_ago_s", [0.0, 60.0, 1799.0, -5.0])
def test_not_yet_there_is_looked_for_again(sent_ago_s, archive):
    outcome = look(server_with(), archive, EMPTY, sent_ago_s)
    assert (outcome.event, outcome.again_s) == (DeliveryEvent.POSTPONE, 30.0)
    assert "30 min" in outcome.reason


@pytest.mark.parametrize("sent_ago_s", [1801.0, 10_000.0, -100_000.0, None])
def test_after_a_while_it_is_the_operators_turn(sent_ago_s, archive):
    outcome = look(server_with(), archive, EMPTY, sent_ago_s)
    assert (outcome.event, outcome.hold) == (DeliveryEvent.HOLD, HoldKind.UNCONFIRMED)
    assert (
        "depositd retry 12 looks once more and sends it if it is not there, depositd skip 12 leaves it" in outcome.hint
    )


@pytest.mark.parametrize(("started_ago_s", "held"), [(0.0, False), (60.0, False), (90.0, True)])
def test_after_a_restart_three_looks_are_made_however_long_nobody_looked(started_ago_s, held, archive):
    outcome = look(server_with(), archive, EMPTY, 30_000.0, started_ago_s=started_ago_s)
    assert outcome.event is (DeliveryEvent.HOLD if held else DeliveryEvent.POSTPONE)
    if not held:
        assert "8 h 20 min after sending began; looked for a little longer" in outcome.reason
        assert outcome.again_s == 30.0


def test_one_answer_after_looks_that_failed_does_not_end_the_search(archive):
    assert look(server_with(), archive, EMPTY, 30_000.0, failures=4).event is DeliveryEvent.POSTPONE
    assert look(server_with(), archive, EMPTY, 30_000.0, failures=0).event is DeliveryEvent.HOLD


@pytest.mark.parametrize(("size_bytes", "shown"), [(1_000_000, "5 s"), (4_900_000, "5 s"), (20_000_000, "7 s")])
def test_sentences_show_the_number_of_the_config_unless_the_size_counts(size_bytes, shown, archive):
    config = {"project": "demo-project", "pipeline": "tmt-qc-demo", "confirm_within_s": 5.0}
    sized = replace(archive, size_bytes=size_bytes)
    assert look(server_with(), sized, EMPTY, 1.0, config=config).reason.endswith(f"looked for until {shown}")
    assert f"within {shown} of sending it" in look(server_with(), sized, EMPTY, 60.0, config=config).reason


def test_a_lost_baseline_is_never_taken_for_an_empty_one(archive):
    server = server_with(qc=columns(("with_space_1", "rf3")), page=rows(KEPT))
    assert look(server, archive, {}).event is DeliveryEvent.POSTPONE
    held = look(server, archive, {}, 1801.0)
    assert held.hold is HoldKind.UNCONFIRMED


def test_a_short_search_is_looked_at_often(archive):
    config = {"project": "demo-project", "pipeline": "tmt-qc-demo", "confirm_within_s": 2.0}
    assert look(server_with(), archive, EMPTY, 1.0, config=config).again_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("before", "now", "came"),
    [
        (Known((), rows=0), Known((), rows=1), True),
        (Known((), rows=1), Known(("rf1",), rows=1), False),
        (Known(("rf1",), rows=None), Known(("rf1", "rf2"), rows=5), True),
        (Known(None, rows=None), Known(("rf1",), rows=1), False),
        (Known(("rf1",)), Known(("rf2",)), True),
        (Known(("rf1",)), Known(()), False),
        (Known((), delivered_before=1), Known(("rf1",)), False),
        (Known((), delivered_before=1), Known(("rf1", "rf2")), True),
        (Known((), delivered_before=1), Known(("rf1",), unkeyed=1), True),
        (Known((), unkeyed=0, delivered_before=2), Known((), unkeyed=2), False),
        (Known((), rows=1, delivered_before=1), Known((), rows=2), True),
        (Known((), rows=1), Known(("rf1",)), False),  # a row that was not processed then, and no page now
        (Known((), unkeyed=1), Known(("rf1",)), False),  # the server has learnt to give keys
    ],
)
def test_what_counts_as_arrived(before, now, came):
    assert arrived(before, now) is came


def test_the_newest_key_is_taken():
    assert new_keys(Known(("rf9",)), Known(("rf9", "rf10", "rf11"))) == ["rf11", "rf10"]


@pytest.mark.parametrize(
    ("before", "now", "key"),
    [
        (Known(("rf9",)), Known(("rf9", "rf10")), "rf10"),
        (Known(()), Known(("rf9", "rf10")), None),
        (Known((), delivered_before=1), Known(("rf9", "rf10")), "rf10"),
        (Known((), rows=1), Known(("rf9",), rows=2), None),
        (Known(()), Known((), rows=1), None),
    ],
)
def test_a_key_is_told_only_where_it_is_ours_for_sure(before, now, key):
    assert own_key(before, now) == key


# --- the rest --------------------------------------------------------------------------------------------


def test_what_is_taken():
    plain, archives = (ProteomicsQC("qc", client(FakeServer()), pid=UUID, accept_archives=a) for a in (False, True))
    assert plain.packing(single_file=True) is Packing.FILE
    assert plain.packing(single_file=False) is None
    assert archives.packing(single_file=False) is Packing.ARCHIVE
    assert plain.problems({}) == []
    assert not plain.idempotent


@pytest.mark.parametrize(
    ("url", "config", "place"),
    [
        ("https://qc.example/", {"pid": UUID}, f"qc.example/{UUID.replace('-', '')}"),
        ("https://QC.example:443", {"pid": UUID.upper()}, f"qc.example/{UUID.replace('-', '')}"),
        ("https://qc.example:8443/", {"project": "p", "pipeline": "q"}, "qc.example:8443/p/q"),
        ("https://qc.example/lab1/", {"project": "p", "pipeline": "q"}, "qc.example/lab1/p/q"),
        ("http://[::1]:80/", {"project": "p", "pipeline": "q"}, "::1/p/q"),
    ],
)
def test_one_place_has_one_name_however_it_is_spelled(url, config, place):
    assert ProteomicsQC("qc", Client(url, token=CANARY), **config).place == place


def test_nothing_is_removed():
    with pytest.raises(Rejected, match="no way to delete the run rf3") as caught:
        ProteomicsQC("qc", client(FakeServer()), pid=UUID).remove("rf3")
    assert "pqc reject" in caught.value.hint


def test_whoami():
    one = ProteomicsQC("qc", client(server_with()), pid=UUID)
    assert one.whoami() == "qc.example accepts us and shows 1 project: demo-project"


@pytest.mark.parametrize(("options", "config"), DISAGREEMENTS)
def test_whoami_refuses_where_every_file_would_be_held(options, config, archive):
    settings = {"project": "demo-project", "pipeline": "tmt-qc-demo", **config}
    outcome = step(server_with(**options), archive, config=settings)
    with pytest.raises(Rejected) as caught:
        ProteomicsQC("qc", client(server_with(**options)), **settings).whoami()
    assert (str(caught.value), caught.value.hint) == (outcome.reason, outcome.hint)


@pytest.mark.parametrize(
    "state",
    [state for state in DeliveryState if state not in (DeliveryState.WAITING, DeliveryState.UNCONFIRMED)],
)
def test_other_states_have_no_step(state, archive):
    with pytest.raises(ValueError, match="no next step"):
        step(FakeServer(), archive, state)


@pytest.mark.parametrize("request_", [PROJECTS, PIPELINES, QC, UPLOAD, PAGE])
@pytest.mark.parametrize(
    "reply", [Reply(403, {"detail": CANARY}), Reply(400, {"x": [CANARY]}), lost(), Reply(500, CANARY)]
)
def test_no_error_shows_the_token(request_, reply, archive):
    for state in (DeliveryState.WAITING, DeliveryState.UNCONFIRMED):
        try:
            shown = repr(step(server_with().on(request_, reply), archive, state))
        except DepositdError as error:
            shown = texts_of(error)
        assert CANARY not in shown
