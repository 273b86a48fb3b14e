"""Requests to the status page that were made to fill the memory or to hold it up."""

from __future__ import annotations

import contextlib
import socket
from contextlib import ExitStack

import pytest
import requests

from depositd.web import serve_in_background

pytestmark = pytest.mark.fault(34)

HOST = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
ENDLESS = {
    "a path": b"GET /" + b"a" * (4 << 20),
    "a header": HOST + b"X: " + b"a" * (4 << 20),
    "headers": HOST + b"X: a\r\n" * 700_000,
    "nothing known": b"\x16\x03\x01" + b"\x00" * (4 << 20),
}


@pytest.fixture
def server():
    running = serve_in_background("127.0.0.1", 0, lambda: ['{"datasets": []}'], list)
    yield running
    running.stop()


def connected(server):
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_request_without_end_is_cut_off(server, kind):
    with connected(server) as connection:
        answer = b""
        with contextlib.suppress(ConnectionError):  # it hangs up before all of it is sent
            connection.sendall(ENDLESS[kind])
        with contextlib.suppress(ConnectionError):
            answer = connection.recv(1 << 16)
    assert not answer or answer.startswith(b"HTTP/1.1 4")
    assert requests.get(f"{server.url}healthz", timeout=10).status_code == 200


def test_a_body_is_never_read(server):
    with connected(server) as connection:
        connection.sendall(b"POST /api/status HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999\r\n\r\nx")
        assert connection.recv(1 << 16).startswith(b"HTTP/1.1 405")


def test_whoever_is_slow_keeps_nobody_waiting(server):
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connected(server)).sendall(HOST)
        assert requests.get(f"{server.url}healthz", timeout=10).status_code == 200
