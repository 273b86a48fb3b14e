"""Connections that break in every way that a socket can break: found in bounded time, and never taken for a success."""

from __future__ import annotations

import hashlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from http_support import CANARY, texts_of
from relay_support import Manner, Relay
from tls_support import Authority
from wire_support import Said, wire

from depositd.destinations.checked import BLOCK_BYTES
from depositd.destinations.http import CONNECT_TIMEOUT_S, LONGEST_READ_TIMEOUT_S
from depositd.destinations.proteindiffraction import Client
from depositd.destinations.transport import GONE_AFTER_S, Adapter, socket_options
from depositd.errors import Unavailable, Unconfirmed
from depositd.model import Archive, Packing

UPLOADED = json.dumps({"token": "t", "md5hash": "0" * 32, "filename": "x.tar.zst", "size": 0}).encode()
MORE_THAN_SOCKETS_HOLD_BYTES = 24 * BLOCK_BYTES
MIDDLE_BYTES = 2 * BLOCK_BYTES
HURRY = 60.0
"""A minute takes a second."""


class Hurried(Adapter):
    """The network in a hurry."""

    def send(self, request: Any, **details: Any) -> Any:
        connect_s, read_s = details["timeout"]
        return super().send(request, **{**details, "timeout": (connect_s / HURRY, read_s / HURRY)})


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Archive:
    content = os.urandom(MORE_THAN_SOCKETS_HOLD_BYTES)
    path = tmp_path_factory.mktemp("spool") / "x.tar.zst"
    path.write_bytes(content)
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    return Archive(str(path), path.name, Packing.ARCHIVE, len(content), md5, md5, sha256)


def server_says(asked):
    return Said(201, UPLOADED) if asked.method == "POST" else Said(200, b"[]")


@pytest.fixture(params=["plain", "tls"])
def way(request, authority):
    """Yield a client, the relay on its way and the server behind."""
    certificate = authority.issue() if request.param == "tls" else None
    with wire(server_says, certificate) as server, Relay(("127.0.0.1", server.port)) as relay:
        url = server.url.replace(str(server.port), str(relay.address[1]))
        with Client(url, token=CANARY, ca_file=authority.certificate, adapter=Hurried()) as client:
            yield client, relay, server


@pytest.mark.fault(20, 21, 24)
@pytest.mark.parametrize(
    ("kind", "after_bytes", "says"),
    [
        ("reset", MIDDLE_BYTES, "broke the connection off"),
        ("end", MIDDLE_BYTES, "stopped taking or sending data|broke the connection off"),
        ("deaf", MIDDLE_BYTES, "stopped taking or sending data"),
        ("mute", MIDDLE_BYTES, "did not answer within 2 min"),
        ("lose answer", MIDDLE_BYTES, "broke the connection off"),
        ("drip", MIDDLE_BYTES, "did not answer within 2 min|stopped taking or sending data"),
    ],
)
def test_an_upload_whose_connection_breaks_is_in_doubt_in_bounded_time_and_sent_once(
    way, archive, kind, after_bytes, says
):
    client, relay, server = way
    relay.manner = Manner(kind, after_bytes, every_s=0.05)
    began_s = time.monotonic()
    with pytest.raises(Unconfirmed, match=says) as caught:
        client.upload(archive)
    # at most the connect timeout for a block, or the time for the answer: 1 and 2 s here
    assert time.monotonic() - began_s < 10.0
    assert "asked before anything is sent again" in caught.value.hint
    assert CANARY not in texts_of(caught.value)
    assert relay.met == 1, "a second connection was made"
    assert len([asked for asked in server.asked if asked.body.endswith(b"--\r\n")]) == (kind in ("lose answer", "drip"))


@pytest.mark.fault(24)
@pytest.mark.parametrize("kind", ["reset", "end", "mute", "lose answer"])
def test_a_question_whose_connection_breaks_is_asked_again_later(way, kind):
    client, relay, _ = way
    client.submissions()  # over TLS, so that it is no handshake which breaks
    relay.manner = Manner(kind, 0, every_s=0.05)
    with pytest.raises(Unavailable) as caught:
        client.submissions()
    assert caught.value.hint == "it is tried again by itself"
    assert relay.met == 1
    relay.manner = Manner()
    assert client.submissions() == []


@pytest.mark.fault(24)
def test_a_port_that_is_closed_and_opened_again(way, archive):
    client, relay, server = way
    relay.refuse()
    for ask in (client.submissions, lambda: client.upload(archive)):
        with pytest.raises(Unavailable, match="refused the connection"):
            ask()
    relay.listen()
    assert client.upload(archive).token == "t"
    assert len(server.asked) == 1


@pytest.mark.fault(24)
def test_a_handshake_that_never_ends_is_given_up(authority):
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"https://127.0.0.1:{deaf.getsockname()[1]}/"
        client = Client(url, token=CANARY, ca_file=authority.certificate, adapter=Hurried())
        began_s = time.monotonic()
        with client, pytest.raises(Unavailable):
            client.submissions()
    assert time.monotonic() - began_s < 5.0


@pytest.mark.fault(24)
def test_a_server_that_says_a_byte_now_and_then_is_not_listened_to_for_ever():
    """Each byte comes well within the time limit of a socket; the head alone could take days."""
    with socket.create_server(("127.0.0.1", 0)) as slow:
        client = Client(f"http://127.0.0.1:{slow.getsockname()[1]}/", token=CANARY, adapter=Hurried())

        def loris() -> None:
            with slow.accept()[0] as peer:
                peer.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                try:
                    while True:
                        peer.sendall(b"x")
                        time.sleep(0.02)
                except OSError:
                    return

        thread = threading.Thread(target=loris)
        thread.start()
        began_s = time.monotonic()
        with client, pytest.raises(Unavailable, match="did not answer within 2 min"):
            client.submissions()
        assert time.monotonic() - began_s < 5.0
        thread.join(10)


@pytest.mark.fault(18, 24)
def test_a_peer_that_is_gone_is_noticed_while_data_are_on_their_way_and_while_they_are_not(way, archive):
    client, _, server = way
    client.upload(archive)
    adapter = client._session._requests.get_adapter(server.url)
    pools = adapter.poolmanager.pools
    connection = next(one for key in pools.keys() for one in pools[key].pool.queue if one is not None)  # noqa: SIM118
    for level, option, value in socket_options():
        assert connection.sock.getsockopt(level, option) == value
    assert connection.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == GONE_AFTER_S * 1000
    idle_s, every_s, times = (
        connection.sock.getsockopt(socket.IPPROTO_TCP, option)
        for option in (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT)
    )
    assert idle_s + every_s * times == GONE_AFTER_S
    assert CONNECT_TIMEOUT_S < GONE_AFTER_S < LONGEST_READ_TIMEOUT_S


# --- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.fault(24)
@pytest.mark.parametrize("content", [None, b"", b"no certificate\n"])
def test_a_ca_file_that_cannot_be_used_is_named(authority, tmp_path: Path, content):
    ca_file = tmp_path / "ca.pem"
    if content is not None:
        ca_file.write_bytes(content)
    with wire(lambda _: Said(), authority.issue()) as server:
        with Client(server.url, token=CANARY, ca_file=str(ca_file)) as client, pytest.raises(Unavailable) as caught:
            client.submissions()
        assert "ca_file" in f"{caught.value} {caught.value.hint}"
        assert not server.asked


@pytest.mark.fault(24)
def test_over_ipv6_it_is_the_same(authority, archive):
    certificate = authority.issue("IP:::1")
    listener = socket.create_server(("::1", 0), family=socket.AF_INET6)
    with (
        wire(lambda _: Said(201, UPLOADED), certificate) as server,
        Relay(("127.0.0.1", server.port), listener) as relay,
        Client(f"https://[::1]:{relay.address[1]}/", token=CANARY, ca_file=authority.certificate) as client,
    ):
        assert client.upload(archive).token == "t"
