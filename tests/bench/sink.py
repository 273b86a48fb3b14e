"""The server of the uploads: reads a request's body, forgets it, and answers as the real server's document says.

It is a process of its own, so that it takes nothing from either client, and one thread for each connection over
plain sockets, so that it is faster than both.
"""

from __future__ import annotations

import contextlib
import json
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

_LARGEST_HEAD_BYTES = 1 << 16
_BUFFER_BYTES = 1 << 20
_ANSWER = json.dumps(
    {
        "token": "0123456789abcdef",
        "md5hash": "d41d8cd98f00b204e9800998ecf8427e",
        "filename": "bench.tar.zst",
        "size": 0,
        "pdbid": None,
        "is_pdb_exists": False,
    }
).encode()


@contextlib.contextmanager
def running() -> Iterator[str]:
    """Start a sink on loopback and yield its URL."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "bench.sink"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/api/v1/"
        finally:
            process.stdin.close()  # the sink ends with its standard input


def main() -> None:
    """Listen on a free port, print it, and serve until standard input ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        sys.stdout.write(f"{server.getsockname()[1]}\n")
        sys.stdout.flush()
        threading.Thread(target=_accept, args=(server,), daemon=True).start()
        sys.stdin.read()


def _accept(server: socket.socket) -> None:
    while True:
        connection, _ = server.accept()
        threading.Thread(target=_serve, args=(connection,), daemon=True).start()


def _serve(connection: socket.socket) -> None:
    buffer = bytearray(_BUFFER_BYTES)
    with connection:
        while (request := _head(connection)) is not None:
            head, received_bytes = request
            if re.search(rb"(?im)^expect:\s*100-continue", head):
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            length = re.search(rb"(?im)^content-length:\s*(\d+)", head)
            left_bytes = (int(length[1]) if length else 0) - received_bytes
            while left_bytes > 0:
                count = connection.recv_into(buffer, min(left_bytes, len(buffer)))
                if count == 0:
                    return
                left_bytes -= count
            connection.sendall(
                b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(_ANSWER), _ANSWER)
            )


def _head(connection: socket.socket) -> tuple[bytes, int] | None:
    """Return a request's head, and how many bytes of its body came along; None once the client has gone."""
    received = b""
    while b"\r\n\r\n" not in received:
        block = connection.recv(_LARGEST_HEAD_BYTES)
        if not block:
            return None
        received += block
    head, _, body = received.partition(b"\r\n\r\n")
    return head, len(body)


if __name__ == "__main__":
    main()
