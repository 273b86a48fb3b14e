"""The sockets below HTTP: large blocks, peers that are gone are noticed, and no answer drips for ever.

What a broken network costs at most, with the figures of :mod:`depositd.destinations.http`:

=====================================================  =============================================================
what happens                                           noticed after
=====================================================  =============================================================
nothing takes our connection (a dead host)             60 s for each of its addresses
the link goes in mid-body                              60 s: a block of 1 MiB cannot be handed on
the link goes behind the last byte                     180 s (4 min on a slow link), however long the answer may take
the peer lives and takes, or says, nothing             60 s in mid-body; the time for an answer behind its last byte
an answer comes drop by drop                           the time for an answer, from its first byte to its last
a connection is reset, or ended without an answer      at once
=====================================================  =============================================================
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.poolmanager import PoolManager, ProxyManager

from depositd.destinations.checked import BLOCK_BYTES
from depositd.units import printable

GONE_AFTER_S = 180
"""How long a peer may acknowledge nothing, neither data nor the question whether it is still there."""
_ASK_AFTER_S = 60
_ASK_EVERY_S = 15

SocketOption = tuple[int, int, int]


class Adapter(HTTPAdapter):
    """HTTP over our sockets, which repeats nothing (blocks of 1 MiB: three times the throughput of 16 KiB)."""

    def __init__(self) -> None:
        super().__init__(max_retries=0)

    def init_poolmanager(self, connections: int, maxsize: int, block: bool = False, **pool_kwargs: Any) -> None:
        """Make the pool with our blocks, socket options and connections."""
        super().init_poolmanager(
            connections, maxsize, block, blocksize=BLOCK_BYTES, socket_options=socket_options(), **pool_kwargs
        )
        _use_our_connections(self.poolmanager)

    def proxy_manager_for(self, proxy: str, **proxy_kwargs: Any) -> ProxyManager:
        """Make the pool behind a proxy in the same way."""
        options = {"blocksize": BLOCK_BYTES, "socket_options": socket_options(), **proxy_kwargs}
        manager: ProxyManager = super().proxy_manager_for(proxy, **options)
        _use_our_connections(manager)
        return manager


def socket_options() -> list[SocketOption]:
    """Return the options of every socket, as far as this system has them.

    An idle connection is asked for a sign of life; TCP_USER_TIMEOUT counts where data are on their way, for which
    Linux would otherwise wait a quarter of an hour.
    """
    options = [*HTTPConnection.default_socket_options, (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)]
    times = (GONE_AFTER_S - _ASK_AFTER_S) // _ASK_EVERY_S
    for name, value in (
        ("TCP_KEEPIDLE", _ASK_AFTER_S),
        ("TCP_KEEPINTVL", _ASK_EVERY_S),
        ("TCP_KEEPCNT", times),
        ("TCP_USER_TIMEOUT", GONE_AFTER_S * 1000),
    ):
        if hasattr(socket, name):  # named differently, or absent, outside Linux
            options.append((socket.IPPROTO_TCP, getattr(socket, name), value))
    return options


def ca_problem(ca_file: str | None) -> str | None:
    """Return a clause that says why no certificate can be checked with a file, None where it can be."""
    if ca_file is None:
        return None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(ca_file)
    except ssl.SSLError:
        return f"{printable(ca_file, 200)} (its ca_file) holds no certificate"
    except OSError as error:
        return f"{printable(ca_file, 200)} (its ca_file) cannot be read ({error.strerror or type(error).__name__})"
    return None


class _InTime(io.RawIOBase):
    """What comes from a socket, as long as it comes within the socket's time limit, all of it together.

    A time limit of a socket alone counts for each piece: a byte now and then would keep it waiting for days.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._raw = sock.makefile("rb", buffering=0)
        within_s: float | None = sock.gettimeout()
        self._end_s = None if within_s is None else time.monotonic() + within_s

    def readable(self) -> bool:
        return True

    def readinto(self, room: Any, /) -> int | None:
        if self._end_s is not None:
            left_s = self._end_s - time.monotonic()
            if left_s <= 0:
                raise TimeoutError("the answer does not end")
            self._sock.settimeout(left_s)
        count: int | None = self._raw.readinto(room)
        return count

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Answer(http.client.HTTPResponse):
    """An answer that has to be there as a whole, its head included, within the time that the first byte may take."""

    def __init__(self, sock: Any, debuglevel: int = 0, method: str | None = None, url: str | None = None) -> None:
        super().__init__(sock, debuglevel, method, url)
        self.fp.close()
        self.fp = io.BufferedReader(_InTime(sock))


class _Plain(HTTPConnection):
    response_class = _Answer


class _Secure(HTTPSConnection):
    response_class = _Answer


class _PlainPool(HTTPConnectionPool):
    ConnectionCls = _Plain


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _Secure


def _use_our_connections(manager: PoolManager) -> None:
    manager.pool_classes_by_scheme = {"http": _PlainPool, "https": _SecurePool}
