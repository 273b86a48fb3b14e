"""A relay on the way to a server, whose manners change while it runs."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
import time
from dataclasses import dataclass
from typing import Self

ALL = 1 << 62


@dataclass(frozen=True)
class Manner:
    """How a relay treats a connection once the client has sent more than ``after_bytes`` on it.

    ``reset``: it is reset.  ``lose answer``: whatever the server answers from then on is lost, with a reset.
    ``end``: our side is closed in the middle, without an answer, and nothing more is read.  ``deaf``: nothing more is
    read, nothing is said.  ``mute``: all is read, nothing is passed on or said.  ``drip``: the server's answer comes
    one byte every ``every_s``.  ``pass``: all goes through.
    """

    kind: str = "pass"
    after_bytes: int = 0
    times: int = ALL
    every_s: float = 0.1


class Relay:
    """A way to a server, over which bytes pass unseen (TLS as well), until it is told otherwise.

    ``manner`` and ``target`` can be changed while it runs; ``refuse`` closes its port, ``listen`` opens it again.
    """

    def __init__(self, target: tuple[str, int], listener: socket.socket | None = None) -> None:
        self.target = target
        self.manner = Manner()
        self.met = 0
        self.passed_bytes = 0
        self._given = listener is not None
        self._listener = listener or socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._accept()

    def _accept(self) -> None:
        threading.Thread(target=self._serve, args=(self._listener,), daemon=True).start()

    def refuse(self) -> None:
        """Close the port, and what is open."""
        # who waits in accept() would keep the socket listening
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.reset()

    def listen(self) -> None:
        """Open the same port again."""
        assert not self._given
        self._listener = socket.create_server(self.address)
        self._accept()

    def reset(self) -> None:
        """Reset every connection."""
        with self._lock:
            for one in list(self._open):
                _reset(one)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.refuse()

    def _serve(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(client)
            threading.Thread(target=self._relay, args=(client,), daemon=True).start()

    def _relay(self, client: socket.socket) -> None:
        try:
            # ValueError: a socket that was reset meanwhile has no number to be waited for
            with contextlib.suppress(OSError, ValueError), socket.create_connection(self.target, 10) as server:
                self._shovel(client, server)
        finally:
            with self._lock:
                self._open.discard(client)
            client.close()

    def _shovel(self, client: socket.socket, server: socket.socket) -> None:
        sent, came_to_it = 0, False
        while True:
            manner = self.manner
            met = manner.kind != "pass" and (came_to_it or (sent > manner.after_bytes and self.met < manner.times))
            if met and not came_to_it:
                self.met, came_to_it = self.met + 1, True
            if met and self._misbehave(manner, client, server):
                return
            for source in select.select([client, server], [], [], 0.2)[0]:
                block = source.recv(65536)
                if not block:
                    return
                if source is client:
                    sent += len(block)
                    self.passed_bytes += len(block)
                    server.sendall(block)
                elif came_to_it and manner.kind == "lose answer":
                    _reset(client)
                    return
                elif came_to_it and manner.kind == "drip":
                    _drip(client, block, manner.every_s)
                else:
                    client.sendall(block)

    def _misbehave(self, manner: Manner, client: socket.socket, server: socket.socket) -> bool:
        """Do what needs no answer of the server; True where the connection is at its end."""
        if manner.kind in ("lose answer", "drip"):
            return False
        if manner.kind == "reset":
            _reset(client)
            return True
        _reset(server)
        if manner.kind == "end":
            client.shutdown(socket.SHUT_WR)
        while self.manner is manner and client.fileno() >= 0:
            if manner.kind == "mute" and select.select([client], [], [], 0.1)[0]:
                if not client.recv(65536):
                    break
            else:
                time.sleep(0.05)
        return True


def _reset(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # a thread that waits for this socket would keep it open
        fileno = one.detach()
        os.close(fileno)


def _drip(client: socket.socket, block: bytes, every_s: float) -> None:
    for number in range(len(block)):
        client.sendall(block[number : number + 1])
        time.sleep(every_s)
