"""uvicorn in a daemon thread, on a socket that was bound before: a port that is taken is said at once."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import threading
from collections.abc import Callable, Iterable

import uvicorn

from depositd.errors import DepositdError
from depositd.units import printable
from depositd.web.app import create_app

STOP_WITHIN_S = 3.0
"""How long a stop waits for the thread; requests under way are given one second of it."""
START_WITHIN_S = 10.0
BACKLOG = 64

_HINTS = {
    errno.EADDRINUSE: "choose another port for web.listen, or web: off; `ss -ltnp` shows who has this one",
    errno.EACCES: "choose a port of 1024 or above for web.listen",
    errno.EADDRNOTAVAIL: "web.listen must name an address of this machine, such as 127.0.0.1:8471",
}
_HINT = "look at web.listen in the config: an address of this machine and a port, such as 127.0.0.1:8471"


class Server:
    """A web server that runs until :meth:`stop`; made by :func:`serve_in_background`."""

    def __init__(self, listener: socket.socket, server: _Uvicorn) -> None:
        self._server = server
        self._host, self._port = listener.getsockname()[:2]
        self._thread = threading.Thread(target=self._run, args=(listener,), name="web", daemon=True)
        self._thread.start()
        server.up.wait(START_WITHIN_S)

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self._port)

    @property
    def url(self) -> str:
        """Where it is, with a trailing slash."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"

    def stop(self) -> None:
        """End within three seconds; a second stop does nothing."""
        self._server.should_exit = True
        self._thread.join(STOP_WITHIN_S)

    def _run(self, listener: socket.socket) -> None:
        with listener:
            asyncio.run(self._server.serve([listener]))


class _Uvicorn(uvicorn.Server):
    """uvicorn's server, telling when it is up: stopped before that, it would leave its sockets open."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.up = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        self.up.set()


def serve_in_background(
    host: str, port: int, status: Callable[[], Iterable[str]], silent: Callable[[], list[str]]
) -> Server:
    """Serve :func:`create_app` on an address; port 0 takes any that is free.

    Raises DepositdError where it cannot be listened there.  ``status`` and ``silent`` are called from other threads.
    """
    listener = _listen(host, port)
    try:
        config = uvicorn.Config(
            create_app(status, silent, _hosts(host)),
            http="h11",
            ws="none",
            loop="asyncio",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=1,
        )
        config.load()
    except BaseException:
        listener.close()
        raise
    return Server(listener, _Uvicorn(config))


def _hosts(host: str) -> set[str]:
    """Return the names that may be asked for; who listens on every address is reached by the machine's name."""
    return {socket.gethostname()} if host in ("0.0.0.0", "::") else {host}  # noqa: S104 - compared, not bound


def _listen(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # a name that has both gets IPv4, which is what people type
        family, kind, protocol, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.socket(family, kind, protocol)
    except (OSError, UnicodeError) as error:
        raise _cannot_listen(host, port, error) from error
    try:
        if os.name == "posix":  # elsewhere it lets two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _cannot_listen(host, port, error) from error
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> DepositdError:
    where = printable(f"[{host}]:{port}" if ":" in host else f"{host}:{port}", 200)
    number = error.errno if isinstance(error, OSError) and not isinstance(error, socket.gaierror) else None
    reason = getattr(error, "strerror", None) or str(error)
    return DepositdError(f"the web page cannot listen on {where}: {reason}", hint=_HINTS.get(number or 0, _HINT))
