from __future__ import annotations

import io
import socket
import ssl
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import requests
import urllib3
from http_support import CANARY, FakeServer, Reply, lost, texts_of

from depositd.destinations.body import Body, FilePart
from depositd.destinations.classify import Sent, meaning_of_status, retry_after_s, server_sentence
from depositd.destinations.http import CONNECT_TIMEOUT_S, LONGEST_READ_TIMEOUT_S, Session, read_timeout_s
from depositd.destinations.transport import Adapter
from depositd.errors import (
    ArchiveInvalid,
    AuthError,
    ConfigError,
    Conflict,
    NotFound,
    Rejected,
    RemoteError,
    Unavailable,
    Unconfirmed,
)

NOW = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
POST = "POST /api/thing"
GET = "GET /api/thing"


def session(server: FakeServer, url: str = "https://srv.example/api/", **options) -> Session:
    one = Session(url, adapter=server, now=lambda: NOW, **options)
    one.keep_secret(CANARY)
    return one


def upload(server: FakeServer, *, sha256: str | None = None, size_bytes: int = 3, repeatable: bool = False):
    file = FilePart("x", "x.tar", size_bytes, sha256, lambda _path: io.BytesIO(b"abc"))
    return session(server).request(
        "POST", "thing", expected=(201,), body=Body.multipart([], "f", file), repeatable=repeatable
    )


def get(server: FakeServer):
    return session(server).request("GET", "thing", expected=(200,))


STATUSES = [
    # status, for a question, for an upload that was sent whole
    (200, Unavailable, Unconfirmed),
    (202, Unavailable, Unconfirmed),
    (301, Unavailable, Unconfirmed),
    (302, Unavailable, Unconfirmed),
    (307, Unavailable, Unconfirmed),
    (400, Rejected, Rejected),
    (401, AuthError, AuthError),
    (403, AuthError, AuthError),
    (404, NotFound, NotFound),
    (408, Unavailable, Unavailable),
    (409, Conflict, Conflict),
    (413, Rejected, Rejected),
    (415, Rejected, Rejected),
    (422, Rejected, Rejected),
    (429, Unavailable, Unavailable),
    (500, Unavailable, Unconfirmed),
    (502, Unavailable, Unconfirmed),
    (503, Unavailable, Unconfirmed),
    (504, Unavailable, Unconfirmed),
]


@pytest.mark.parametrize(("status", "question", "sent_whole"), STATUSES)
def test_every_status_means_what_the_table_says(status, question, sent_whole):
    with pytest.raises(RemoteError) as caught:
        upload(FakeServer().on(POST, Reply(status, {"error": "because"}, {"Location": "https://elsewhere/"})))
    assert type(caught.value) is sent_whole
    assert caught.value.status == status
    assert caught.value.hint
    assert "because" in str(caught.value)
    if status != 200:
        with pytest.raises(RemoteError) as caught:
            get(FakeServer().on(GET, Reply(status, {"error": "because"})))
        assert type(caught.value) is question


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_5xx_before_the_body_was_whole_stored_nothing(status):
    with pytest.raises(Unavailable):
        upload(FakeServer().on(POST, Reply(status, b"busy", take=20)))


def test_an_endpoint_can_give_a_status_another_meaning():
    assert meaning_of_status(403, Sent("h", "GET /"), {403: Rejected}) is Rejected


def refused() -> BaseException:
    reason = urllib3.exceptions.NewConnectionError(None, "no")
    reason.__cause__ = ConnectionRefusedError(111, "Connection refused")
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", reason))


def unresolved() -> BaseException:
    reason = urllib3.exceptions.NameResolutionError("srv.example", None, socket.gaierror(-2, "unknown"))
    return requests.exceptions.ConnectionError(urllib3.exceptions.MaxRetryError(None, "/", reason))


def untrusted() -> BaseException:
    cause = ssl.SSLCertVerificationError(1, "certificate verify failed")
    cause.verify_code, cause.verify_message = 18, "self-signed certificate"
    return requests.exceptions.SSLError(urllib3.exceptions.MaxRetryError(None, "/", urllib3.exceptions.SSLError(cause)))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (refused(), "refused the connection"),
        (unresolved(), "cannot be resolved"),
        (untrusted(), "not trusted: self-signed certificate"),
        (requests.exceptions.ConnectTimeout("slow"), "did not accept a connection"),
        (requests.exceptions.ReadTimeout("slow"), "did not answer within 2 min"),
        (requests.exceptions.ConnectionError("reset"), "broke the connection off"),
        (requests.exceptions.ConnectionError(TimeoutError("timed out")), "stopped taking or sending"),
        (requests.exceptions.ChunkedEncodingError("cut"), "broke the connection off"),
    ],
)
def test_before_the_first_byte_of_the_body_nothing_was_stored(error, words):
    with pytest.raises(Unavailable, match=words) as caught:
        upload(FakeServer().on(POST, lost(take=0, error=error)))
    assert caught.value.hint
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("take", [1, 150, None])
@pytest.mark.parametrize(
    "error",
    [
        requests.exceptions.ConnectionError("reset"),
        requests.exceptions.ReadTimeout("slow"),
        requests.exceptions.SSLError("eof"),
        requests.exceptions.ChunkedEncodingError("cut"),
        ConnectionResetError(104, "reset"),
    ],
)
def test_after_the_first_byte_only_a_question_can_tell(take, error):
    with pytest.raises(Unconfirmed, match="may or may not"):
        upload(FakeServer().on(POST, lost(take, error)))
    with pytest.raises(Unavailable):
        upload(FakeServer().on(POST, lost(take, error)), repeatable=True)


def test_an_answer_that_breaks_off_is_lost():
    class Broken(io.BytesIO):
        def read(self, *args):
            raise ConnectionResetError(104, "reset")

    class Breaking(FakeServer):
        def send(self, request, **options):
            response = super().send(request, **options)
            response.raw._fp = Broken()
            return response

    with pytest.raises(Unconfirmed):
        upload(Breaking().on(POST, Reply(201, {"token": "x"})))


def test_a_wrong_file_breaks_the_request_and_says_so():
    server = FakeServer().on(POST, Reply(201, {}))
    with pytest.raises(ArchiveInvalid):
        upload(server, sha256="0" * 64)
    assert not server.seen


@pytest.mark.fault(21)
def test_each_request_is_sent_once():
    server = FakeServer().on(POST, lost(), Reply(201, {}))
    with pytest.raises(Unconfirmed):
        upload(server)
    assert server.count(POST) == 1


@pytest.mark.fault(19)
def test_a_redirect_is_not_followed():
    server = FakeServer().on(GET, Reply(302, b"", {"Location": "https://srv.example/api/other"}))
    with pytest.raises(Unavailable, match="302") as caught:
        get(server)
    assert "redirects" in caught.value.hint
    assert len(server.seen) == 1


def test_a_body_that_is_not_documented_is_no_success():
    server = FakeServer().on(GET, Reply(200, b"<html><title>Sign in to the hotel</title>"))
    one = session(server)
    answer = one.request("GET", "thing", expected=(200,))
    with pytest.raises(Unavailable, match="the body is not JSON: Sign in to the hotel"):
        one.read(answer, lambda value: value)


@pytest.mark.parametrize(
    ("content_type", "content", "sentence"),
    [
        ("application/json", b'{"error": "wrong format"}', "wrong format"),
        ("application/json", b'{"detail": "Invalid token."}', "Invalid token."),
        (
            "application/json",
            b'{"orig_file": ["Unsupported file extension."]}',
            "orig_file: Unsupported file extension.",
        ),
        ("text/html", b"<html><head><title>502\nBad &amp; Gateway</title></head><body>x", "502 Bad & Gateway"),
        ("text/html", b"<style>p{}</style><p>Server <b>Error</b></p>", "Server Error"),
        ("text/plain", b"too large\x1b[31m", "too large\\x1b[31m"),
        ("text/plain", b"", ""),
        ("application/json", b"[" * 100_000, None),
    ],
)
def test_a_servers_words_become_one_harmless_line(content_type, content, sentence):
    if sentence is None:
        assert len(server_sentence(content_type, content)) <= 300
    else:
        assert server_sentence(content_type, content) == sentence


def test_a_servers_words_are_cut():
    assert len(server_sentence("text/plain", b"x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("soon", None),
        (format_datetime(datetime(2026, 11, 21, 2, 15, 7, tzinfo=UTC), usegmt=True), 60.0),
        (format_datetime(datetime(2026, 11, 21, 2, 13, 7, tzinfo=UTC), usegmt=True), 0.0),
        ("-5", None),
        ("9" * 30, None),
    ],
)
def test_retry_after(value, seconds):
    assert retry_after_s(value, NOW) == seconds


def test_retry_after_reaches_the_error():
    with pytest.raises(Unavailable) as caught:
        get(FakeServer().on(GET, Reply(429, b"slow down", {"Retry-After": "77"})))
    assert caught.value.retry_after_s == 77.0


@pytest.mark.parametrize("status", [302, 400, 401, 409, 500])
def test_our_token_is_never_shown_even_when_the_server_repeats_it(status):
    with pytest.raises(RemoteError) as caught:
        get(FakeServer().on(GET, Reply(status, {"error": f"token {CANARY} is wrong"})))
    assert CANARY not in texts_of(caught.value)
    assert "***" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "fine"),
    [
        ("https://srv.example/api/v1/", True),
        ("http://127.0.0.1:8000/", True),
        ("http://[::1]:8000", True),
        ("http://localhost:8000", True),
        ("http://srv.example/", False),
        ("http://127.0.0.1.evil.example/", False),
        ("ftp://srv.example/", False),
        ("srv.example", False),
        ("https://you:secret@srv.example/", False),
        ("https://srv.example:notaport/", False),
        ("https://srv.example/?a=b", False),
    ],
)
def test_urls(url, fine):
    if fine:
        assert not Session(url, adapter=FakeServer()).url.endswith("/")
        return
    with pytest.raises(ConfigError) as caught:
        Session(url, adapter=FakeServer())
    assert "secret" not in str(caught.value)


def test_http_in_the_clear_can_be_asked_for():
    assert Session("http://srv.example/", insecure_http=True, adapter=FakeServer()).host == "srv.example"


def test_the_environment_is_not_asked(monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nonexistent")
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    server = FakeServer().on(GET, Reply(200, {}))
    one = session(server, ca_file="/etc/own-ca.pem")
    one.request("GET", "thing", expected=(200,), headers={"Authorization": "Token t"})
    assert server.verify == ["/etc/own-ca.pem"]
    assert server.seen[0].headers["Authorization"] == "Token t"
    assert server.seen[0].headers["Accept"] == "application/json"
    get(server)
    assert server.verify[1] is True


def test_timeouts_are_long_and_grow_with_the_body():
    server = FakeServer().on(POST, Reply(201, {}))
    upload(server)
    connect_s, read_s = server.timeouts[0]
    assert connect_s == CONNECT_TIMEOUT_S >= 60
    assert read_s == pytest.approx(120, abs=1)
    assert read_timeout_s(100 * 10**9) == pytest.approx(10_120)
    assert read_timeout_s(10**15) == LONGEST_READ_TIMEOUT_S == 6 * 3600


def test_the_answer_to_a_large_upload_is_waited_for_accordingly():
    server = FakeServer().on(POST, lost(take=20))
    with pytest.raises(Unconfirmed):
        upload(server, size_bytes=50 * 10**9)
    assert server.timeouts == [(CONNECT_TIMEOUT_S, pytest.approx(120 + 5000, abs=1))]


def test_the_real_adapter_sends_large_blocks_with_keepalive_and_never_retries():
    adapter = Adapter()
    options = adapter.poolmanager.connection_pool_kw
    assert options["blocksize"] == 1 << 20
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in options["socket_options"]
    assert adapter.max_retries.total == 0
    pool = adapter.poolmanager.connection_from_url("https://srv.example/")
    assert pool._new_conn().blocksize == 1 << 20


def test_an_endless_answer_is_cut_off():
    one = Session("https://srv.example/api/", adapter=FakeServer().on(GET, Reply(200, b"x" * 50_000)), clock=Ticking())
    with pytest.raises(Unavailable, match="does not end"):
        one.request("GET", "thing", expected=(200,))


class Ticking:
    """A clock on which a minute passes at every look."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        self.now_s += 60
        return self.now_s
