"""The server of the uploads: reads a body, forgets or hashes it, and answers as the real server's document says.

It is a process of its own, so that it takes nothing from either client, and one thread for each connection over
plain sockets, so that it is faster than both.  It takes any token, and keeps no more than what it answered.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

_LARGEST_HEAD_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_PREFIX = "/api/v1/"


@contextlib.contextmanager
def running(*, hashing: bool = False) -> Iterator[str]:
    """Start a sink on loopback and yield its URL; one that is ``hashing`` answers with the MD5 of what it was sent."""
    command = [sys.executable, "-P", "-m", "bench.sink", *(["--hash"] if hashing else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}{_PREFIX}"
        finally:
            process.stdin.close()  # the sink ends with its standard input


def main() -> None:
    """Listen on a free port, print it, and serve until standard input ends."""
    sink = _Sink(hashing="--hash" in sys.argv[1:])
    with socket.create_server(("127.0.0.1", 0)) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=sink.accept, args=(server,), daemon=True).start()
        sys.stdin.read()


@dataclass(frozen=True, slots=True)
class _Head:
    """A request's head; ``began`` are the bytes of its body that came along."""

    method: str
    path: str
    text: bytes
    began: bytes

    @property
    def length(self) -> int:
        found = re.search(rb"(?im)^content-length:\s*(\d+)", self.text)
        return int(found[1]) if found else 0

    @property
    def boundary(self) -> bytes:
        found = re.search(rb"(?im)^content-type:.*boundary=\"?([^\s\";]+)", self.text)
        return found[1] if found else b""


@dataclass(slots=True)
class _Sink:
    hashing: bool
    statuses: dict[str, str] = field(default_factory=dict)
    md5s: dict[str, str] = field(default_factory=dict)

    def accept(self, server: socket.socket) -> None:
        while True:
            connection, _ = server.accept()
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            while (head := _head(connection)) is not None:
                if re.search(rb"(?im)^expect:\s*100-continue", head.text):
                    connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
                try:
                    status, answer = self._answer(connection, head)
                except ConnectionError:
                    return
                content = json.dumps(answer).encode()
                connection.sendall(
                    b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
                    % (status, len(content), content)
                )

    def _answer(self, connection: socket.socket, head: _Head) -> tuple[bytes, Any]:
        path = head.path.removeprefix(_PREFIX).split("/")
        match head.method, path:
            case "POST", ["upload", ""]:
                return b"201 Created", self._upload(connection, head)
            case "POST", ["submit", ""]:
                token = json.loads(b"".join(map(bytes, _body(connection, head))))["token"]
                self.statuses[token] = "submitted"
                return b"200 OK", {"status": "submitted", "token": token}
            case "GET", ["submissions", ""]:
                return b"200 OK", [self._submission(token) for token in reversed(tuple(self.statuses))]
            case "GET", ["submissions", token, ""] if token in self.statuses:
                return b"200 OK", self._submission(token)
            case "GET", ["equipment", ""]:
                return b"200 OK", []
        return b"404 Not Found", {"detail": "Not found."}

    def _upload(self, connection: socket.socket, head: _Head) -> dict[str, Any]:
        body = _body(connection, head)
        md5 = _file_md5(body, head) if self.hashing else None
        for _ in body:
            pass
        token = secrets.token_hex(20)
        self.md5s[token] = md5 or hashlib.md5(usedforsecurity=False).hexdigest()
        self.statuses[token] = "uploaded"
        return {**self._submission(token), "filename": "bench.tar.zst", "size": head.length, "is_pdb_exists": False}

    def _submission(self, token: str) -> dict[str, Any]:
        return {"token": token, "md5hash": self.md5s[token], "status": self.statuses[token], "pdbid": None}


def _file_md5(body: Iterator[memoryview], head: _Head) -> str:
    """Return the MD5 of the file in a multipart body, which is its last part."""
    began = b""
    while (starts := re.search(rb"filename=.*?\r\n\r\n", began, re.DOTALL)) is None:
        began += next(body)
    tail_bytes = len(head.boundary) + 8  # two line ends, and two dashes before it and after it
    left_bytes = head.length - starts.end() - tail_bytes
    digest = hashlib.md5(usedforsecurity=False)
    for block in chain([memoryview(began)[starts.end() :]], body):
        digest.update(block[:left_bytes])
        left_bytes -= min(len(block), left_bytes)
    return digest.hexdigest()


def _body(connection: socket.socket, head: _Head) -> Iterator[memoryview]:
    """Yield the blocks of a body, each only until the next one; raises ConnectionError where the client has gone."""
    if head.began:
        yield memoryview(head.began)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    left_bytes = head.length - len(head.began)
    while left_bytes > 0:
        count = connection.recv_into(buffer, min(left_bytes, len(buffer)))
        if count == 0:
            raise ConnectionAbortedError("the client has gone")
        left_bytes -= count
        yield buffer[:count]


def _head(connection: socket.socket) -> _Head | None:
    """Return a request's head; None once the client has gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(_LARGEST_HEAD_BYTES)
        if not block:
            return None
        received += block
    text, _, began = received.partition(b"\r\n\r\n")
    method, path, _ = text.split(b"\r\n")[0].decode().split(" ")
    return _Head(method, path, text, began)


if __name__ == "__main__":
    main()
