"""A small internet in network namespaces, whose links and names can be cut, and a daemon in a hurry."""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Self

from mounts_support import NAMESPACE

HURRIED = """
import sys
from depositd.destinations import http, transport
http.CONNECT_TIMEOUT_S, http.READ_TIMEOUT_S = 2.0, 4.0
transport.GONE_AFTER_S, transport._ASK_AFTER_S, transport._ASK_EVERY_S = 6, 2, 1
from depositd.cli import main
sys.argv[0] = "depositd"
main()
"""
"""The installed daemon, where a minute of the network's patience takes two seconds."""


class Names(threading.Thread):
    """A name server on a datagram socket that knows some addresses, and nothing else."""

    def __init__(self, sock: socket.socket, known: Mapping[str, tuple[str, ...]]) -> None:
        super().__init__(daemon=True)
        self._sock, self.known = sock, dict(known)
        self.asked: list[str] = []

    def run(self) -> None:
        while True:
            try:
                question, asker = self._sock.recvfrom(2048)
                self._sock.sendto(self._answer(question), asker)
            except (OSError, IndexError):  # closed, or nothing came because of that
                return

    def close(self) -> None:
        """Be gone."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def _answer(self, question: bytes) -> bytes:
        labels, at = [], 12
        while length := question[at]:
            labels.append(question[at + 1 : at + 1 + length].decode())
            at += 1 + length
        name = ".".join(labels).lower()
        self.asked.append(name)
        kind = int.from_bytes(question[at + 1 : at + 3], "big")
        family, number = (socket.AF_INET6, 28) if kind == 28 else (socket.AF_INET, 1)
        found = [one for one in self.known.get(name, ()) if (":" in one) == (kind == 28)] if kind in (1, 28) else []
        records = [
            b"\xc0\x0c" + struct.pack(">HHIH", number, 1, 0, len(packed)) + packed
            for packed in (socket.inet_pton(family, one) for one in found)
        ]
        code = 0 if name in self.known else 3
        head = question[:2] + struct.pack(">HHHHH", 0x8180 | code, 1, len(records), 0, 0)
        return head + question[12 : at + 5] + b"".join(records)


# --- namespaces -------------------------------------------------------------------------------------------------------

SERVER, OTHER, RESOLVER = "10.77.2.2", "10.77.2.3", "10.77.2.4"
SERVER_6 = "fd77:2::2"
_BEAMLINE = "10.77.1.2"

_BUILD = """
set -e
mount --bind "$1/resolv.conf" /etc/resolv.conf
mount --bind "$1/nsswitch.conf" /etc/nsswitch.conf
touch "$1/router" "$1/server"
unshare --net="$1/router" true
unshare --net="$1/server" true
router="nsenter --net=$1/router" server="nsenter --net=$1/server"
ip link add name beam0 type veth peer name net0 netns "$1/router"
$router ip link add name net1 type veth peer name srv0 netns "$1/server"
for lo in "" "$router" "$server"; do $lo ip link set lo up; done
link() { # where, device, address and address of IPv6
  $1 ip address add "$3" dev "$2"
  $1 ip -6 address add "$4" dev "$2" nodad
  $1 ip link set "$2" up
}
link "" beam0 10.77.1.2/24 fd77:1::2/64
link "$router" net0 10.77.1.1/24 fd77:1::1/64
link "$router" net1 10.77.2.1/24 fd77:2::1/64
link "$server" srv0 10.77.2.2/24 fd77:2::2/64
for other in 3 4; do $server ip address add "10.77.2.$other/24" dev srv0; done
$router sh -c 'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/forwarding'
ip route add default via 10.77.1.1
ip -6 route add default via fd77:1::1
$server ip route add default via 10.77.2.1
$server ip -6 route add default via fd77:2::1
echo ready
exec cat
"""

_BIND = """
import socket, sys
way = socket.socket(fileno=int(sys.argv[1]))
kind = socket.SOCK_DGRAM if sys.argv[2] == "datagrams" else socket.SOCK_STREAM
one = socket.socket(socket.AF_INET6 if ":" in sys.argv[3] else socket.AF_INET, kind)
one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
one.bind((sys.argv[3], int(sys.argv[4])))
if kind == socket.SOCK_STREAM:
    one.listen()
socket.send_fds(way, [b"x"], [one.fileno()])
"""


class Internet:
    """A beamline, a router and a server, each in a network namespace of its own; the beamline asks a resolver by name.

    Sockets that are bound there are served by threads of the test: a socket stays where it was made.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        directory.mkdir(parents=True)
        self._resolv_conf = directory / "resolv.conf"
        self.resolve_by(RESOLVER)
        (directory / "nsswitch.conf").write_text("passwd: files\ngroup: files\nhosts: files dns\n")
        command = [*NAMESPACE[:-1], "--net", "--", "bash", "-c", _BUILD, "bash", str(directory)]
        self._held = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        assert self._held.stdout is not None
        assert self._held.stderr is not None
        if self._held.stdout.readline() != b"ready\n":
            raise OSError(self._held.stderr.read().decode().strip())

    @property
    def enter(self) -> list[str]:
        """What runs the command behind it at the beamline."""
        as_root = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
        nsenter = shutil.which("nsenter")
        assert nsenter is not None
        return [nsenter, "--target", str(self._held.pid), *as_root, "--mount", "--net", "--"]

    def _at(self, where: str) -> list[str]:
        return [*self.enter, "nsenter", f"--net={self._directory}/{where}", "--"]

    def _router(self, *command: str) -> None:
        subprocess.run([*self._at("router"), *command], check=True, capture_output=True, timeout=20)

    def bound(self, host: str, port: int = 0, kind: str = "streams") -> socket.socket:
        """Return a socket that listens at the server."""
        ours, theirs = socket.socketpair()
        with ours, theirs:
            command = [*self._at("server"), sys.executable, "-c", _BIND, str(theirs.fileno()), kind, host, str(port)]
            subprocess.run(command, check=True, pass_fds=[theirs.fileno()], timeout=20)
            _, (fileno,), *_ = socket.recv_fds(ours, 1, 1)
        return socket.socket(fileno=fileno)

    def resolve_by(self, *servers: str) -> None:
        """Let the beamline ask these servers for names."""
        lines = [f"nameserver {one}\n" for one in servers]
        self._resolv_conf.write_text("options timeout:1 attempts:1\n" + "".join(lines))

    def cut(self, address: str = SERVER) -> None:
        """Let the router drop what goes to an address, and tell nobody."""
        self._router("ip", "route", "add", "blackhole", address)

    def mend(self, address: str = SERVER) -> None:
        """Let it pass again."""
        self._router("ip", "route", "del", "blackhole", address)

    def narrow(self, bytes_per_s: int) -> None:
        """Let no more pass to the server than so much."""
        shape = ["burst", "64k", "latency", "200ms", "rate", f"{bytes_per_s * 8}bit"]
        self._router("tc", "qdisc", "replace", "dev", "net1", "root", "tbf", *shape)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held.kill()
        self._held.communicate(timeout=20)


@functools.cache
def why_no_netns() -> str | None:
    """Return why no network can be built here, None where it can."""
    for tool in ("unshare", "nsenter", "ip", "tc"):
        if shutil.which(tool) is None:
            return f"{tool} not installed"
    probe = "ip link add name a type veth peer name b && tc qdisc add dev a root tbf rate 8mbit burst 64k latency 50ms"
    command = [*NAMESPACE[:-1], "--net", "--", "sh", "-c", probe]
    outcome = subprocess.run(command, capture_output=True, check=False, timeout=20)
    return None if outcome.returncode == 0 else "network namespaces with veth and tbf are not allowed here"


@contextlib.contextmanager
def named(internet: Internet, known: Mapping[str, tuple[str, ...]]) -> Iterator[Names]:
    """Serve names at the resolver."""
    names = Names(internet.bound(RESOLVER, 53, "datagrams"), known)
    names.start()
    try:
        yield names
    finally:
        names.close()
