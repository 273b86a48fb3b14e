"""The web server on a real socket."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests

from depositd.errors import DepositdError
from depositd.web import Server, serve_in_background

STATUS: dict[str, Any] = {"datasets": [], "sources": [], "destinations": [], "transfers": []}


@pytest.fixture
def server() -> Iterator[Server]:
    running = serve_in_background("127.0.0.1", 0, lambda: [json.dumps(STATUS)], list)
    yield running
    running.stop()


def raw_request(port: int, text: str) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(text.encode("latin-1"))
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return answer


def test_a_monitor_and_a_script_are_answered(server):
    assert requests.get(f"{server.url}healthz", timeout=10).json() == {"ok": True}
    answer = requests.get(f"{server.url}api/status", timeout=10)
    assert answer.json() == STATUS
    assert answer.headers["Cache-Control"] == "no-store"
    assert "server" not in {key.lower() for key in answer.headers}


def test_head_has_the_headers_and_no_body(server):
    answer = requests.head(f"{server.url}api/status", timeout=10)
    assert answer.status_code == 200
    assert answer.content == b""


@pytest.mark.fault(34)
def test_a_foreign_host_is_misdirected(server):
    answer = requests.get(f"{server.url}api/status", headers={"Host": "evil.example"}, timeout=10)
    assert answer.status_code == 421
    assert "evil.example" in answer.json()["error"]


@pytest.mark.fault(34)
def test_a_request_without_host_is_bad(server):
    assert raw_request(server.port, "GET /healthz HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.1 400 ")


def test_an_ephemeral_port_is_told_and_reached():
    first, second = (serve_in_background("127.0.0.1", 0, lambda: [json.dumps(STATUS)], list) for _ in range(2))
    try:
        assert 0 < first.port != second.port > 0
    finally:
        first.stop()
        second.stop()


def test_a_name_is_listened_on_and_is_ours():
    server = serve_in_background("localhost", 0, lambda: [json.dumps(STATUS)], list)
    try:
        assert requests.get(f"http://localhost:{server.port}/healthz", timeout=10).status_code == 200
    finally:
        server.stop()


def test_a_port_that_is_taken_is_said_at_once(server):
    with pytest.raises(DepositdError, match=rf"cannot listen on 127\.0\.0\.1:{server.port}: ") as caught:
        serve_in_background("127.0.0.1", server.port, lambda: [json.dumps(STATUS)], list)
    assert "another port" in caught.value.hint


@pytest.mark.parametrize("host", ["192.0.2.1", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_said_at_once(host):
    with pytest.raises(DepositdError, match="cannot listen on") as caught:
        serve_in_background(host, 0, lambda: [json.dumps(STATUS)], list)
    assert "web.listen" in caught.value.hint


def test_after_a_stop_the_port_is_free_again(server):
    kept = requests.Session()
    kept.get(f"{server.url}healthz", timeout=10)  # a monitor's connection that stays open
    with closing(kept):
        server.stop()
        server.stop()
        again = serve_in_background("127.0.0.1", server.port, lambda: [json.dumps(STATUS)], list)
    try:
        assert requests.get(f"{again.url}healthz", timeout=10).status_code == 200
    finally:
        again.stop()


def test_health_is_told_while_a_status_takes_long():
    begun, go_on = threading.Event(), threading.Event()

    def slow() -> list[str]:
        begun.set()
        go_on.wait(30)
        return [json.dumps(STATUS)]

    server = serve_in_background("127.0.0.1", 0, slow, list)
    answers: list[int] = []
    asking = threading.Thread(
        target=lambda: answers.append(requests.get(f"{server.url}api/status", timeout=30).status_code)
    )
    asking.start()
    try:
        assert begun.wait(10)
        assert requests.get(f"{server.url}healthz", timeout=10).status_code == 200
    finally:
        go_on.set()
        asking.join(30)
        server.stop()
    assert answers == [200]


def test_a_stop_does_not_wait_for_a_client_that_says_nothing(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        connection.sendall(b"GET /healthz HT")
        began_s = time.monotonic()
        server.stop()
        assert time.monotonic() - began_s < 3.0
        assert connection.recv(100) == b""


def test_nothing_is_printed(server, capfd):
    requests.get(f"{server.url}healthz", timeout=10)
    requests.get(f"{server.url}nothing", timeout=10)
    server.stop()
    assert capfd.readouterr() == ("", "")
