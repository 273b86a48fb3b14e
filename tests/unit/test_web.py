"""The web application, asked through ASGI without a socket."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from typing import Any

import pytest

from depositd.errors import JournalError
from depositd.web.app import create_app, host_of

STATUS: dict[str, Any] = {"datasets": [{"id": 1, "name": "lyso_1"}], "sources": []}


@dataclass(frozen=True, slots=True)
class Answer:
    code: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def ask(
    path="/healthz",
    *,
    method="GET",
    hosts=("localhost:8471",),
    status=lambda: [json.dumps(STATUS)],
    silent=list,
    allowed=(),
    reached=("10.0.0.7", 8471),
) -> Answer:
    sent: list[dict[str, Any]] = []

    asked = iter([{"type": "http.request", "body": b"", "more_body": False}])

    async def receive() -> dict[str, Any]:
        for message in asked:
            return message
        await asyncio.Event().wait()  # whoever asked stays until the answer has ended
        raise AssertionError("it is cancelled")

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "root_path": "",
        "scheme": "http",
        "server": reached,
        "headers": [(b"host", host.encode("latin-1")) for host in hosts],
    }
    try:
        asyncio.run(create_app(status, silent, allowed)(scope, receive, send))
    except RuntimeError:
        # what nobody foresaw is raised again for the log, after it was answered
        assert sent[0]["status"] == 500
    headers = {key.decode(): value.decode() for key, value in sent[0]["headers"]}
    return Answer(sent[0]["status"], headers, b"".join(message.get("body", b"") for message in sent[1:]))


def test_healthz_is_200_while_every_worker_moves():
    answer = ask()
    assert (answer.code, answer.json) == (200, {"ok": True})


def test_healthz_is_503_and_names_each_worker_that_does_not_move():
    sentences = ["watcher of /data has not moved for 700 s (allowed 600 s)"]
    answer = ask(silent=lambda: sentences)
    assert (answer.code, answer.json) == (503, {"ok": False, "problems": sentences})


def test_status_is_the_document_of_the_command_line():
    answer = ask("/api/status")
    assert (answer.code, answer.json) == (200, STATUS)
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.fault(34)
def test_a_path_that_is_not_utf8_comes_through_whole():
    document = {"datasets": [{"path": "/data/caf\udce9/\u202e.cbf"}]}
    answer = ask("/api/status", status=lambda: [json.dumps(document)])
    assert answer.code == 200
    assert answer.body.isascii()
    assert answer.json == document


@pytest.mark.parametrize("path", ["/", "/healthz/", "/api", "/api/status/", "/docs", "/api/../healthz"])
def test_anything_else_is_404_in_json(path):
    answer = ask(path)
    assert answer.code == 404
    assert path in answer.json["error"]
    assert answer.headers["content-type"] == "application/json"


@pytest.mark.fault(34)
def test_the_path_in_a_404_cannot_harm_a_terminal():
    assert "\\x1b[31m" in ask("/\x1b[31m").json["error"]


@pytest.mark.fault(34)
@pytest.mark.parametrize("path", ["/healthz", "/api/status", "/nothing"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_but_get_and_head_is_allowed_anywhere(method, path):
    answer = ask(path, method=method)
    assert answer.code == 405
    assert answer.headers["allow"] == "GET, HEAD"
    assert method in answer.json["error"]


def test_head_is_answered_as_get():
    assert ask(method="HEAD").code == 200


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:80", "localhost.", "127.0.0.1", "127.0.0.1:8471", "[::1]:8471", "[::1]"]
)
def test_loopback_names_are_ours(host):
    assert ask(hosts=(host,)).code == 200


@pytest.mark.parametrize("host", ["beamline-7", "Beamline-7.:8471"])
def test_the_name_in_the_config_is_ours(host):
    assert ask(hosts=(host,), allowed=("Beamline-7",)).code == 200


@pytest.mark.parametrize("reached", ["10.0.0.7", "::ffff:10.0.0.7"])
def test_the_address_that_was_reached_is_ours(reached):
    assert ask(hosts=("10.0.0.7:8471",), reached=(reached, 8471)).code == 200


@pytest.mark.fault(34)
@pytest.mark.parametrize("path", ["/healthz", "/api/status", "/nothing"])
@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example:8471", "[::2]"])
def test_another_name_is_misdirected_before_anything_is_read(path, host):
    def fails() -> Any:
        raise AssertionError("this must not be asked")

    answer = ask(path, hosts=(host,), status=fails, silent=fails)
    assert answer.code == 421
    assert "error" in answer.json


@pytest.mark.parametrize(
    "hosts", [(), ("localhost", "localhost"), ("",), (":80",), ("localhost:http",), ("localhost, evil",), ("[::1]x",)]
)
def test_a_host_that_is_none_is_a_bad_request(hosts):
    # "localhost, evil" names a host, though not ours
    assert ask(hosts=hosts).code == (421 if hosts == ("localhost, evil",) else 400)


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("example.org", "example.org"),
        ("Example.ORG.:80", "example.org"),
        ("[::1]:80", "::1"),
        ("[::1]", "::1"),
        ("example.org:", "example.org"),
        ("[::1", None),
        ("[]", None),
        ("example.org:80:80", None),
        ("", None),
    ],
)
def test_the_host_of_a_header(header, host):
    assert host_of(header) == host


@pytest.mark.fault(34)
def test_no_answer_is_kept_or_shared_across_origins():
    answers = [
        ask(),
        ask("/nothing"),
        ask(method="POST"),
        ask(hosts=()),
        ask(hosts=("evil",)),
        ask(silent=lambda: ["it stands"]),
    ]
    assert {answer.headers["cache-control"] for answer in answers} == {"no-store"}
    assert {answer.headers["x-content-type-options"] for answer in answers} == {"nosniff"}
    assert not any(key.startswith("access-control-") for answer in answers for key in answer.headers)


def test_a_journal_that_cannot_be_read_is_said_with_its_hint():
    def broken() -> dict[str, Any]:
        raise JournalError("the journal is malformed", hint="restore a backup")

    answer = ask("/api/status", status=broken)
    assert (answer.code, answer.json) == (503, {"error": "the journal is malformed", "hint": "restore a backup"})
    assert answer.headers["cache-control"] == "no-store"


def test_an_unforeseen_error_shows_nothing_of_itself():
    def broken() -> dict[str, Any]:
        raise RuntimeError("token abc123")

    answer = ask("/api/status", status=broken)
    assert answer.code == 500
    assert b"abc123" not in answer.body
    assert "log" in answer.json["error"]
