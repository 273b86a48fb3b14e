"""uvicorn, with connections that can end without an answer, and an end that waits for nobody."""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import threading
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from depositd.sandbox.gate import CONNECTION, Ending

logger = logging.getLogger("depositd.sandbox")


class AbortableProtocol(H11Protocol):
    """uvicorn's protocol, with a way for the application to end a connection without an answer."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.logger = logger
        self.access_log = False
        inner = self.app

        async def app(scope: Any, receive: Any, send: Any) -> None:
            scope.setdefault("extensions", {})[CONNECTION] = self.end
            await inner(scope, receive, send)

        self.app = app

    def end(self, how: Ending) -> None:
        """End the connection at once; over TLS, which knows no half-closed connections, half-close is close."""
        if how == "half-close" and self.transport.can_write_eof():
            self.transport.write_eof()
            return
        if how == "reset":
            connection = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()


class Server(uvicorn.Server):
    """uvicorn's server, telling when it has started and ending without waiting for slow clients."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.running = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.running.set()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop all connections, then shut down; tasks end because their connections have."""
        for connection in list(self.server_state.connections):
            if isinstance(connection, AbortableProtocol):
                connection.end("close")
        await super().shutdown(sockets)
