"""Large uploads over real sockets: whole or not at all, with flat memory, long patience and one limit for all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from clock_support import ManualClock
from engine_support import config_of, frames, plan_of, record, tools_of
from http_support import CANARY
from tls_support import Authority
from wire_support import Said, proxy, wire

from depositd.destinations.checked import BLOCK_BYTES
from depositd.destinations.directory import DirectoryDestination
from depositd.destinations.http import CONNECT_TIMEOUT_S
from depositd.destinations.proteindiffraction import Client
from depositd.destinations.transport import Adapter
from depositd.engine.delivering import deliver
from depositd.errors import ArchiveInvalid, Unavailable, Unconfirmed
from depositd.journal import Journal
from depositd.model import Archive, Block, DeliveryState, Packing
from depositd.rate_limit import RateLimit

UPLOADED = json.dumps({"token": "t", "md5hash": "0" * 32, "filename": "x.tar.zst", "size": 0}).encode()
BIG_BYTES = 24 * BLOCK_BYTES
MOST_MEMORY_BYTES = 64 << 20


def take(_asked: Any) -> Said:
    return Said(201, UPLOADED)


def packed(path: Path, content: bytes, block_bytes: int = 3 * BLOCK_BYTES) -> Archive:
    path.write_bytes(content)
    pieces = [content[at : at + block_bytes] for at in range(0, len(content), block_bytes)]
    blocks = tuple(Block(len(piece), hashlib.sha256(piece).hexdigest()) for piece in pieces)
    md5, sha256 = hashlib.md5(content).hexdigest(), hashlib.sha256(content).hexdigest()
    return Archive(str(path), "x.tar.zst", Packing.ARCHIVE, len(content), md5, md5, sha256, (), blocks)


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    return packed(tmp_path / "spooled", os.urandom(BIG_BYTES))


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def certificate(authority: Authority) -> tuple[str, str]:
    return authority.issue()


@dataclass
class Way:
    """One way from a client to a server."""

    client: Client
    server: Any

    def live_socket(self) -> tuple[Any, int]:
        """Return the socket that the last request left open, and the size of the blocks that it is sent."""
        adapter = self.client._session._requests.get_adapter(self.server.url)
        managers = [adapter.poolmanager, *adapter.proxy_manager.values()]
        pools = [manager.pools[key] for manager in managers for key in manager.pools.keys()]  # noqa: SIM118 - no dict
        connection = next(one for pool in pools for one in pool.pool.queue if one is not None)
        sock = connection.sock
        return getattr(sock, "socket", sock), connection.blocksize


@pytest.fixture(params=["plain", "tls", "proxy", "tunnel", "tunnel in tls"])
def way(request: pytest.FixtureRequest, authority: Authority, certificate: tuple[str, str]) -> Iterator[Way]:
    secure = request.param in ("tls", "tunnel", "tunnel in tls")
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(wire(take, certificate if secure else None))
        between = None
        if request.param in ("proxy", "tunnel", "tunnel in tls"):
            between = stack.enter_context(proxy(certificate=certificate if "in tls" in request.param else None)).url
        client = Client(server.url, token=CANARY, ca_file=authority.certificate, proxy=between)
        yield Way(stack.enter_context(client), server)


def leftovers(path: str) -> tuple[list[str], list[str]]:
    """Return the threads of uploads that still run, and the descriptors that are open on a file."""
    threads = [thread.name for thread in threading.enumerate() if thread.name.startswith("upload-")]
    links = (f"/proc/self/fd/{number}" for number in os.listdir("/proc/self/fd"))
    return threads, [link for link in links if os.path.exists(link) and os.readlink(link) == path]


# --- what goes over the wire ------------------------------------------------------------------------------------------


@pytest.mark.fault(16, 22)
def test_an_upload_is_whole_and_its_length_exact_whatever_the_way(way, archive):
    told: list[tuple[int, int]] = []
    assert way.client.upload(archive, on_progress=lambda *done: told.append(done)).token == "t"
    (asked,) = [asked for asked in way.server.asked if asked.method == "POST"]
    assert "Transfer-Encoding" not in asked.headers
    assert int(asked.headers["Content-Length"]) == len(asked.body)
    assert Path(archive.path).read_bytes() in asked.body
    assert told == sorted(told)
    assert told[-1] == (BIG_BYTES, BIG_BYTES)
    assert len(told) >= BIG_BYTES // BLOCK_BYTES
    assert leftovers(archive.path) == ([], [])


@pytest.mark.fault(17, 18)
def test_a_live_connection_takes_large_blocks_and_notices_a_dead_peer(way, archive):
    way.client.upload(archive)
    live, block_bytes = way.live_socket()
    assert block_bytes == BLOCK_BYTES
    assert live.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
    assert live.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1
    idle_s = live.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
    every_s = live.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
    times = live.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
    assert idle_s + times * every_s <= 180


# --- what changed after it was packed ---------------------------------------------------------------------------------


@pytest.mark.parametrize("with_blocks", [True, False])
@pytest.mark.parametrize("at", [0, BIG_BYTES // 2, BIG_BYTES - 1])
@pytest.mark.fault(22)
def test_an_archive_that_was_altered_never_arrives_whole(archive, at, with_blocks):
    with open(archive.path, "r+b") as file:
        byte = os.pread(file.fileno(), 1, at)[0]
        os.pwrite(file.fileno(), bytes([byte ^ 1]), at)
    one = archive if with_blocks else Archive(**{**fields(archive), "blocks": ()})
    with wire(take) as server:
        with Client(server.url, token=CANARY) as client, pytest.raises(ArchiveInvalid, match="broken off") as caught:
            client.upload(one)
        assert "packed again" in caught.value.hint
        arrived = eventually(lambda: server.asked and server.asked[0].body)
    assert len(arrived) < BIG_BYTES + 200
    assert not arrived.endswith(b"--\r\n")
    if with_blocks:
        begin = at // (3 * BLOCK_BYTES) * 3 * BLOCK_BYTES
        assert len(arrived) <= begin + 400, "nothing of the wrong block was sent"
    assert leftovers(archive.path) == ([], [])


def fields(archive: Archive) -> dict[str, Any]:
    return {name: getattr(archive, name) for name in Archive.__dataclass_fields__}


def eventually(look: Any, within_s: float = 10.0) -> Any:
    end_s = time.monotonic() + within_s
    while not (found := look()) and time.monotonic() < end_s:
        time.sleep(0.01)
    return found


@pytest.mark.parametrize("after_bytes", [BLOCK_BYTES, 10 * BLOCK_BYTES, BIG_BYTES])
def test_an_upload_that_is_stopped_leaves_nothing_behind(way, archive, after_bytes):
    class Stopped(Exception):
        pass

    def stop(done_bytes: int, _total: int) -> None:
        if done_bytes >= after_bytes:
            raise Stopped

    with pytest.raises(Stopped):
        way.client.upload(archive, on_progress=stop)
    assert leftovers(archive.path) == ([], [])
    assert not any(asked.body.endswith(b"--\r\n") for asked in way.server.asked)


# --- patience ---------------------------------------------------------------------------------------------------------


class Hurried(Adapter):
    """The network, where a minute takes a second; ``asked_s`` are the timeouts that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_s: list[tuple[float, float]] = []

    def send(self, request: Any, **details: Any) -> Any:
        connect_s, read_s = details["timeout"]
        self.asked_s.append((connect_s, read_s))
        return super().send(request, **{**details, "timeout": (connect_s / 60, read_s / 60)})


@pytest.mark.fault(18)
def test_a_server_may_think_for_longer_than_it_may_take_to_connect(archive):
    def think(_asked: Any) -> Said:
        time.sleep(1.1)
        return Said(201, UPLOADED)

    hurried = Hurried()
    with wire(think) as server, Client(server.url, token=CANARY, adapter=hurried) as client:
        assert client.upload(archive).token == "t"
    ((connect_s, read_s),) = hurried.asked_s
    assert connect_s == CONNECT_TIMEOUT_S
    assert read_s > 120 + BIG_BYTES / 10e6


def test_a_server_that_never_answers_is_not_waited_for_for_ever(tmp_path):
    small = packed(tmp_path / "small", b"abc")
    said = threading.Event()

    def never(_asked: Any) -> Said:
        said.wait(30)
        return Said(201, UPLOADED)

    with wire(never) as server, Client(server.url, token=CANARY, adapter=Hurried()) as client:
        try:
            with pytest.raises(Unconfirmed, match="did not answer within 2 min"):
                client.upload(small)
        finally:
            said.set()


def test_a_server_that_takes_nothing_for_a_minute_is_given_up(archive):
    """Behind a full socket: what was begun may have been stored, so the server is asked before anything else."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}/"
        with Client(url, token=CANARY, adapter=Hurried()) as client, pytest.raises(Unconfirmed) as caught:
            client.upload(archive)
    assert "stopped taking or sending data" in str(caught.value)
    assert leftovers(archive.path) == ([], [])


# --- limits and hours -------------------------------------------------------------------------------------------------


def test_two_uploads_at_once_share_the_limit_of_their_destination(tmp_path):
    files = [packed(tmp_path / str(number), os.urandom(1_000_000)) for number in range(2)]
    with wire(take) as server, Client(server.url, token=CANARY, rate_limit=RateLimit(2e6)) as client:
        before_s = time.monotonic()
        with ThreadPoolExecutor(2) as uploads:
            assert [upload.token for upload in uploads.map(client.upload, files)] == ["t", "t"]
        took_s = time.monotonic() - before_s
    # alone, each would take 0.4 s; the first quarter of a second's worth moves at once
    assert 0.7 <= took_s <= 10.0


@pytest.mark.parametrize("hour", [5, 12])
def test_a_transfer_that_began_in_its_hours_goes_on_to_its_end(hour, tmp_path):
    """No server can resume: a transfer that were stopped at six would begin anew each evening."""
    clock = ManualClock()
    clock.now = clock.now.astimezone().replace(hour=hour, minute=59)
    began = clock.now
    (tmp_path / "vault").mkdir()
    began_s = began.timestamp()
    # a sleep of less than this clock can show would last for ever
    limit = RateLimit(
        1000.0, clock=lambda: clock.now.timestamp() - began_s, sleep=lambda seconds: clock.advance(seconds + 0.001)
    )
    vault = DirectoryDestination("vault", tmp_path / "vault", rate_limit=limit)
    settings = f'vault: {{type: directory, path: {tmp_path}/vault, window: "20:00-06:00"}}'
    rule = "{name: r, watch: /data, format: frames, settle: 0s, deliver: [vault]}"
    plan = plan_of(config_of(tmp_path, rules=rule, destinations=settings), vault)
    with contextlib.closing(Journal(tmp_path / "journal.db")) as journal:
        complete = record(journal, frames(), "complete", "vault")
        spooled = packed(tmp_path / "spooled", os.urandom(500_000))
        assert journal.datasets.archived(complete.id, complete.fingerprint, [spooled], clock())
        (standing,) = journal.deliveries.due(clock())
        after = deliver(plan, journal, standing, tools_of(clock))
    assert after is not None
    if hour == 12:
        assert (after.state, clock.now) == (DeliveryState.WAITING, began)
        return
    assert after.state is DeliveryState.DELIVERED
    assert clock.now - began > timedelta(minutes=5)


# --- memory -----------------------------------------------------------------------------------------------------------

_UPLOAD = """
import json, re, sys
from depositd.destinations.proteindiffraction import Client
from depositd.model import Archive, Block, Packing

def peak():
    return int(re.search(r"VmHWM:\\s*(\\d+) kB", open("/proc/self/status").read())[1]) * 1024

url, path, size, sha256, block_bytes, block_sha256 = json.loads(sys.argv[1])
blocks = (Block(block_bytes, block_sha256),) * (size // block_bytes) if block_bytes else ()
archive = Archive(path, "x.tar.zst", Packing.ARCHIVE, size, "0" * 32, "0" * 32, sha256, (), blocks)
client = Client(url, token="t")
before = peak()
client.upload(archive)
print(peak() - before)
"""


def zeros_sha256(size_bytes: int) -> str:
    digest, block = hashlib.sha256(), bytes(BLOCK_BYTES)
    for _ in range(size_bytes // BLOCK_BYTES):
        digest.update(block)
    return digest.hexdigest()


@contextlib.contextmanager
def drain() -> Iterator[tuple[str, list[int]]]:
    """Take one request, count its body, forget it, and answer as documented."""
    taken: list[int] = []

    def serve() -> None:
        room = bytearray(BLOCK_BYTES)
        with listener.accept()[0] as peer:
            head = b""
            while b"\r\n\r\n" not in head:
                head += peer.recv(65536)
            wanted = int(re.search(rb"(?i)content-length: (\d+)", head)[1])
            got = len(head.partition(b"\r\n\r\n")[2])
            while got < wanted and (count := peer.recv_into(room)):
                got += count
            taken.append(got)
            peer.sendall(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\n")
            peer.sendall(b"Content-Length: %d\r\n\r\n%b" % (len(UPLOADED), UPLOADED))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/", taken
        thread.join(60)


@pytest.mark.parametrize(
    ("size_bytes", "block_bytes"), [(2 << 30, 8 << 20), (1 << 30, 0)], ids=["2 GiB of blocks", "1 GiB without"]
)
@pytest.mark.fault(16)
def test_memory_stays_flat_whatever_is_sent(tmp_path, size_bytes, block_bytes):
    file = tmp_path / "sparse"
    with file.open("wb") as hole:
        hole.truncate(size_bytes)
    sha256 = "unasked" if block_bytes else zeros_sha256(size_bytes)
    with drain() as (url, taken):
        arguments = [url, str(file), size_bytes, sha256, block_bytes, zeros_sha256(block_bytes)]
        command = [sys.executable, "-P", "-c", _UPLOAD, json.dumps(arguments)]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=100)
    assert taken[0] > size_bytes
    assert int(done.stdout) <= MOST_MEMORY_BYTES


def test_a_server_that_is_not_there_costs_no_reading(archive):
    with socket.create_server(("127.0.0.1", 0)) as gone:
        url = f"http://127.0.0.1:{gone.getsockname()[1]}/"
    with Client(url, token=CANARY) as client, pytest.raises(Unavailable, match="refused the connection"):
        client.upload(archive)
    assert leftovers(archive.path) == ([], [])
