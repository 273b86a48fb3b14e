"""The installed daemon at a beamline whose network fails: links that are cut, narrow links, names that are gone.

Beamline, router and servers are network namespaces; what goes over the wire is what would go over a real one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import socket
import subprocess
import sys
import time

import pytest
from beamline_support import COMMAND, Beamline, Running, until, write_series
from network_support import HURRIED, OTHER, SERVER, SERVER_6, Internet, named
from relay_support import Manner, Relay
from tls_support import Authority

from depositd.sandbox import running

pytestmark = pytest.mark.netns

MAGIC = b"\x01\xa1F\0i\0n\0n\0i\0g\0a\0n\0"
RULES = """
  - {{name: px, watch: {data}/px, format: directory, include: ["*"], settle: 1s,
     metadata: {{set: {{pdb_code: 1ABC}}}}, deliver: [{{to: irrmc, approve: auto}}]}}
  - {{name: ms, watch: {data}/ms, format: file, include: ["*.raw"], settle: 1s, deliver: [qc]}}
"""
NAME = "pqc.example.org"
MB = 1_000_000
CONNECT_S, ANSWER_S, GONE_S = 2.0, 4.0, 6.0
"""The patience of the daemon that is started here: see network_support.HURRIED."""


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def sandbox(authority):
    certificate, key = authority.issue(f"DNS:{NAME},IP:127.0.0.1,IP:{SERVER},IP:{OTHER}")
    with running(pace_s=0.2, ssl_certfile=certificate, ssl_keyfile=key) as box:
        yield box


@pytest.fixture
def internet(tmp_path):
    with Internet(tmp_path / "net") as net:
        yield net


class Site:
    """A beamline, and both servers behind addresses of the internet."""

    def __init__(self, line: Beamline, internet: Internet, sandbox, authority: Authority) -> None:
        self.line, self.internet, self.sandbox = line, internet, sandbox
        self.ca_file = authority.certificate
        self.port = int(re.search(r":(\d+)/", sandbox.url)[1])
        self.relays: list[Relay] = []
        for name in ("px", "ms"):
            (line.data / name).mkdir()

    def relay(self, host: str, port: int = 0) -> Relay:
        """Return a way from an address of the internet to the servers."""
        self.relays.append(Relay(("127.0.0.1", self.port), self.internet.bound(host, port)))
        return self.relays[-1]

    def configure(self, *, qc: str, irrmc: str = f"{OTHER}:9") -> None:
        """Write the config, with the servers' names or addresses and their ports."""
        self.line.configure(RULES.format(data=self.line.data))
        text = self.line.config.read_text(encoding="utf-8")
        text = re.sub(r"type: prote\w+,", rf"\g<0> ca_file: {self.ca_file},", text)
        for kind, where in (("proteomicsqc", qc), ("proteindiffraction", irrmc)):
            text = re.sub(rf"({kind}.* url: 'https://)[^/]*", rf"\g<1>{where}", text)
        self.line.config.write_text(text, encoding="utf-8")

    def start(self, *arguments: str, hurried: bool = True) -> Running:
        command = [sys.executable, "-c", HURRIED] if hurried else COMMAND
        return Running(
            self.line, [*self.internet.enter, *command, "--config", str(self.line.config), "run", *arguments]
        )

    def write_run(self, name: str, size_bytes: int) -> str:
        """Write a run that nothing can compress; return its MD5."""
        content = MAGIC + os.urandom(size_bytes)
        (self.line.data / "ms" / f"{name}.raw").write_bytes(content)
        return hashlib.md5(content).hexdigest()

    def write_series(self, name: str, size_bytes: int) -> None:
        """Write a directory with a frame, and with so much that nothing can compress."""
        write_series(self.line.data / "px" / name, name, 1)
        (self.line.data / "px" / name / "noise.bin").write_bytes(os.urandom(size_bytes))

    def says(self, name: str, words: str) -> bool:
        """Say whether ``status`` shows words at the delivery of a dataset."""
        found = [one for one in self.line.status()["datasets"] if one["name"] == name]
        return any(re.search(words, str(one["error"])) for data in found for one in data["deliveries"])

    def is_delivered(self, name: str, to: str) -> bool:
        return self.line.delivery_state(name, to) == "delivered"


@pytest.fixture
def site(tmp_path, internet, sandbox, authority):
    (tmp_path / "line").mkdir()
    one = Site(Beamline(tmp_path / "line", sandbox), internet, sandbox, authority)
    yield one
    for relay in one.relays:
        relay.refuse()


@pytest.mark.fault(18, 21, 24)
def test_a_link_that_is_cut_in_mid_body_is_noticed_others_go_on_and_once_it_is_back_it_is_there_once(site):
    """Nothing comes back, not even a reset: without limits of our own that would last for a quarter of an hour."""
    way, other = site.relay(SERVER), site.relay(OTHER)
    site.configure(irrmc=f"{SERVER}:{way.address[1]}", qc=f"{OTHER}:{other.address[1]}")
    site.write_series("lyso_1", 12 * MB)
    site.internet.narrow(2 * MB)
    with site.start() as daemon:
        until(lambda: way.passed_bytes > 1 * MB, what="the upload is under way")
        site.internet.cut(SERVER)
        cut_s = time.monotonic()
        md5 = site.write_run("sample1", 1000)
        until(lambda: "delivery unconfirmed" in daemon.log, what="it is noticed")
        assert time.monotonic() - cut_s < CONNECT_S + GONE_S + 4.0
        until(lambda: site.is_delivered("sample1", "qc"), what="the other server gets its dataset meanwhile")
        (unconfirmed,) = (line for line in daemon.log.splitlines() if "delivery unconfirmed" in line)
        assert re.search("stopped taking or sending data|did not answer within|broke the connection off", unconfirmed)
        assert site.sandbox.uploads == ()
        site.internet.mend(SERVER)
        until(lambda: site.is_delivered("lyso_1", "irrmc"), what="it goes on")
        assert daemon.stop() == 0
    assert [run.md5 for run in site.sandbox.runs] == [md5]
    assert len(site.sandbox.submissions) == len(site.sandbox.uploads) == 1
    assert site.sandbox.uploads[0].sent_md5 == site.line.dataset("lyso_1")["archive"]["md5"]


_ASK = """
import sys, time
from depositd.destinations import http, transport
from depositd.destinations.proteindiffraction import Client
from depositd.errors import RemoteError
from depositd.rate_limit import RateLimit
http.CONNECT_TIMEOUT_S = http.READ_TIMEOUT_S = 600.0
transport.GONE_AFTER_S, transport._ASK_AFTER_S, transport._ASK_EVERY_S = 6, 2, 1
client = Client(sys.argv[1], token="t", insecure_http=True, rate_limit=RateLimit(50_000))
began_s = time.monotonic()
try:
    client.upload(sys.argv[2]) if len(sys.argv) > 2 else client.submissions()
except RemoteError as error:
    print(time.monotonic() - began_s, type(error).__name__, error)
"""


@pytest.mark.fault(18, 24)
def test_a_link_that_is_cut_while_an_answer_may_take_hours_is_noticed_by_tcp(internet, tmp_path):
    """With bytes on their way, which Linux would repeat for a quarter of an hour, and with none, for ever."""
    (tmp_path / "small.tar").write_bytes(bytes(400_000))
    with contextlib.ExitStack() as stack:
        deaf = stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()
        ways = [stack.enter_context(Relay(deaf, internet.bound(host))) for host in (SERVER, OTHER)]
        for way in ways:
            way.manner = Manner("mute", after_bytes=-1)
        urls = [f"http://{way.address[0]}:{way.address[1]}/" for way in ways]
        asking = [
            subprocess.Popen([*internet.enter, sys.executable, "-c", _ASK, *words], stdout=subprocess.PIPE, text=True)
            for words in ((urls[0],), (urls[1], str(tmp_path / "small.tar")))
        ]
        until(lambda: all(way.met for way in ways), what="both are under way")
        time.sleep(0.5)
        for host in (SERVER, OTHER):
            internet.cut(host)
        question, upload = (one.communicate(timeout=40)[0].split(maxsplit=2) for one in asking)
    assert (question[1], upload[1]) == ("Unavailable", "Unconfirmed")
    for seconds, _, sentence in (question, upload):
        assert GONE_S - 1 < float(seconds) < 3 * GONE_S
        assert "is gone: nothing at all came back from it any more" in sentence


@pytest.mark.long
@pytest.mark.fault(18)
def test_a_link_of_one_megabyte_a_second_is_no_stall(site):
    """All of it takes five times as long as any single send may."""
    way = site.relay(SERVER)
    site.configure(qc=f"{SERVER}:{way.address[1]}")
    md5 = site.write_run("sample1", 10 * MB)
    site.internet.narrow(1 * MB)
    began_s = time.monotonic()
    with site.start("--until-idle") as daemon:
        assert daemon.wait() == 0, daemon.log
    assert time.monotonic() - began_s > 4 * CONNECT_S, "the link was not that narrow"
    assert "delivery waits" not in daemon.log
    assert [run.md5 for run in site.sandbox.runs] == [md5]
    assert site.sandbox.requests["POST /api/upload/raw"] == 1
    assert site.line.deliveries("sample1")["qc"]["attempts"] == 1


@pytest.mark.long
@pytest.mark.fault(24)
def test_names_that_are_gone_are_said_to_be_a_stop_is_heard_and_once_they_are_back_all_goes_on(site):
    way = site.relay(SERVER, 8443)
    site.configure(qc=f"{NAME}:{way.address[1]}")
    md5 = site.write_run("sample1", 1000)
    with site.start(hurried=False) as daemon:
        until(lambda: "cannot be resolved" in daemon.log, what="it is noticed")
        assert site.says("sample1", f"{NAME}:8443 is a name that cannot be resolved")
        site.internet.cut("10.77.2.9")
        site.internet.resolve_by("10.77.2.9")  # from now on nobody even says that there is no name server
        time.sleep(0.3)
        began_s = time.monotonic()
        assert daemon.stop() == 0
        assert time.monotonic() - began_s < 10.0
    with site.start(hurried=False) as daemon, named(site.internet, {NAME: (SERVER,)}) as names:
        until(lambda: "cannot be resolved" in daemon.log, what="it is still away")
        assert names.asked == []
        site.internet.resolve_by("10.77.2.4")
        until(lambda: site.is_delivered("sample1", "qc"), what="it is delivered")
        assert set(names.asked) == {NAME}
        assert daemon.stop() == 0
    assert [run.md5 for run in site.sandbox.runs] == [md5]


@pytest.mark.fault(24)
@pytest.mark.parametrize("dead", ["refused", "cut"])
def test_of_a_name_with_two_addresses_the_one_that_lives_is_found(site, dead):
    """IPv6 comes first, and is dead."""
    way = site.relay(SERVER, 8443)
    if dead == "cut":
        site.internet.cut(SERVER_6)
    site.configure(qc=f"{NAME}:{way.address[1]}")
    site.write_run("sample1", 1000)
    with contextlib.ExitStack() as stack:
        names = stack.enter_context(named(site.internet, {NAME: (SERVER_6, SERVER)}))
        daemon = stack.enter_context(site.start("--until-idle"))
        assert daemon.wait() == 0, daemon.log
        assert names.asked
    assert "delivery waits" not in daemon.log
    assert len(site.sandbox.runs) == 1


@pytest.mark.fault(24)
def test_a_machine_without_a_way_to_the_server_says_so(internet):
    for route in (["-4"], ["-6"]):
        subprocess.run([*internet.enter, "ip", *route, "route", "del", "default"], check=True)
    command = [*internet.enter, sys.executable, "-c", _ASK, f"http://{SERVER}:80/"]
    said = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, timeout=30).stdout
    assert "Unavailable" in said
    assert f"{SERVER}:80 cannot be reached: no way through the network leads to it" in said
