"""Servers on loopback that misbehave as they are told, and a proxy: all that they are sent is kept."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import requests


@dataclass(frozen=True)
class Asked:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """All that was said, as a hostile server would repeat it."""
        return f"{self.method} {self.target} {self.headers} {self.body.decode('utf-8', 'replace')}"


@dataclass(frozen=True)
class Said:
    """An answer; ``head`` are lines that go out as they are."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})
    head: bytes = b""


@dataclass
class Wire:
    """What stands on a port of loopback, and what it was asked."""

    url: str
    asked: list[Asked]

    @property
    def port(self) -> int:
        """The port."""
        port = urlsplit(self.url).port
        assert port is not None
        return port


@contextlib.contextmanager
def wire(answer: Callable[[Asked], Said], certificate: tuple[str, str] | None = None) -> Iterator[Wire]:
    """Answer every request by ``answer``; over TLS with the files of a certificate and its key."""

    class Handler(_Quiet):
        def handle_any(self) -> None:
            asked = Asked(self.command, self.path, dict(self.headers), _body(self))
            found.asked.append(asked)
            _send(self, answer(asked))

    with _listening(Handler, certificate) as url:
        found = Wire(url, [])
        yield found


@contextlib.contextmanager
def proxy(refuse: Said | None = None, certificate: tuple[str, str] | None = None) -> Iterator[Wire]:
    """Tunnel what asks for CONNECT and pass on the rest, or refuse all of it."""

    class Handler(_Quiet):
        def handle_any(self) -> None:
            asked = Asked(self.command, self.path, dict(self.headers), _body(self))
            found.asked.append(asked)
            if refuse is not None:
                _send(self, refuse)
            elif self.command == "CONNECT":
                self._tunnel()
            else:
                _send(self, _passed_on(asked))

        def _tunnel(self) -> None:
            host, _, port = self.path.rpartition(":")
            with socket.create_connection((host, int(port)), 10) as beyond:
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                _shovel(self.connection, beyond)
            self.close_connection = True

    with _listening(Handler, certificate) as url:
        found = Wire(url.rstrip("/"), [])
        yield found


def _passed_on(asked: Asked) -> Said:
    with requests.Session() as session:
        session.trust_env = False
        answer = session.request(
            asked.method, asked.target, data=asked.body, headers=asked.headers, allow_redirects=False, timeout=10
        )
    return Said(answer.status_code, answer.content, {"Content-Type": answer.headers.get("Content-Type", "")})


class _Quiet(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        """Answer one request."""

    def __getattr__(self, name: str) -> Callable[[], None]:
        # do_GET, do_CONNECT and the rest
        if name.startswith("do_"):
            return self.handle_any
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def _send(handler: BaseHTTPRequestHandler, said: Said) -> None:
    lines = [f"{name}: {value}\r\n".encode() for name, value in said.headers.items()]
    lines += [said.head, f"Content-Length: {len(said.body)}\r\n\r\n".encode()]
    handler.wfile.write(f"HTTP/1.1 {said.status} So\r\n".encode() + b"".join(lines) + said.body)


def _shovel(one: socket.socket, other: socket.socket) -> None:
    while True:
        # what TLS has decrypted already is seen by no select
        waiting = isinstance(one, ssl.SSLSocket) and one.pending()
        ready = [one] if waiting else select.select([one, other], [], [], 10)[0]
        if not ready:
            return
        for source in ready:
            block = source.recv(65536)
            if not block:
                return
            (other if source is one else one).sendall(block)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients that hang up are what is tested."""


@contextlib.contextmanager
def _listening(handler: type[_Quiet], certificate: tuple[str, str] | None) -> Iterator[str]:
    server = _Server(("127.0.0.1", 0), handler)
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join(5)
