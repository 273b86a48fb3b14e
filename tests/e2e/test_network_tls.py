"""The installed daemon over TLS, through proxies, and in an environment that means harm."""

from __future__ import annotations

import contextlib
import hashlib
import re
from dataclasses import replace

import pytest
from beamline_support import Beamline, until, write_run, write_series
from relay_support import Manner, Relay
from tls_support import Authority
from wire_support import Said, proxy

from depositd.sandbox import running

RULES = """
  - {{name: px, watch: {data}/px, format: auto, settle: 1s, expect: {{frames: 12}},
     metadata: {{set: {{pdb_code: 1ABC}}}}, deliver: [{{to: irrmc, approve: auto}}, vault]}}
  - {{name: ms, watch: {data}/ms, format: thermo-raw, settle: 1s, deliver: [qc, vault]}}
"""
UPLOADS = ("POST /api/v1/upload/", "POST /api/upload/raw")


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def sandbox(authority):
    certificate, key = authority.issue()
    with running(pace_s=0.2, ssl_certfile=certificate, ssl_keyfile=key) as box:
        yield box


@pytest.fixture
def beamline(tmp_path, sandbox, authority):
    line = Beamline(tmp_path, sandbox)
    for name in ("px", "ms"):
        (line.data / name).mkdir()
    configure(line, f"ca_file: {authority.certificate}")
    write_series(line.data / "px", "lyso_1", 12)
    write_run(line.data / "ms", "sample1")
    return line


def configure(line: Beamline, servers_have: str, *, port: int | None = None) -> None:
    """Write the config, with more settings of both servers, and another port than theirs."""
    line.configure(RULES.format(data=line.data))
    text = re.sub(r"type: prote\w+,", rf"\g<0> {servers_have},", line.config.read_text(encoding="utf-8"))
    if port is not None:
        text = re.sub(r"(https://127\.0\.0\.1:)\d+", rf"\g<1>{port}", text)
    line.config.write_text(text, encoding="utf-8")


def said_of(line: Beamline) -> dict[str, str]:
    """Return what ``status`` says of each delivery to a server that has not ended."""
    deliveries = [one for data in line.status()["datasets"] for one in data["deliveries"]]
    return {
        one["destination"]: f"{one['state']}: {one['error']} ({one['hint']})"
        for one in deliveries
        if one["destination"] != "vault" and one["state"] != "delivered"
    }


def both_say(line: Beamline, words: str) -> bool:
    said = said_of(line)
    return said.keys() == {"irrmc", "qc"} and all(re.search(words, sentence) for sentence in said.values())


def assert_all_is_there_once(line: Beamline, sandbox) -> None:
    assert [one["state"] for data in line.status()["datasets"] for one in data["deliveries"]] == ["delivered"] * 4
    assert len(sandbox.submissions) == len(sandbox.uploads) == 1
    assert sandbox.uploads[0].sent_md5 == line.dataset("lyso_1")["archive"]["md5"]
    assert [one.name for one in sandbox.runs] == ["sample1.raw"]
    assert sandbox.runs[0].md5 == hashlib.md5((line.data / "ms" / "sample1.raw").read_bytes()).hexdigest()


@pytest.mark.fault(23, 24)
def test_a_certificate_that_is_not_right_is_said_nothing_is_sent_and_once_it_is_mended_all_goes_on(
    beamline, sandbox, authority, tmp_path
):
    (tmp_path / "strangers").mkdir()
    stranger = Authority(tmp_path / "strangers")
    wrong = {
        "certificate has expired": authority.issue(days=-1),
        "not valid for '127.0.0.1'": authority.issue("DNS:other.example"),
        "unable to get local issuer certificate": stranger.issue(),
    }
    right = (sandbox.options.ssl_certfile, sandbox.options.ssl_keyfile)

    def show(certificate: str, key: str) -> None:
        sandbox.stop()
        sandbox.options = replace(sandbox.options, ssl_certfile=certificate, ssl_keyfile=key)
        sandbox.start()

    show(*next(iter(wrong.values())))
    with beamline.start() as daemon:
        for words, certificate in wrong.items():
            show(*certificate)
            sentence = rf"^waiting: .*127\.0\.0\.1:\d+ shows a TLS certificate that is not trusted: .*{words}.*ca_file"
            until(lambda told=sentence: both_say(beamline, told), what=f"status says: {words}")
        assert beamline.delivery_state("sample1", "vault") == "delivered"
        assert sandbox.requests == {}
        assert daemon.process.poll() is None
        show(*right)
        until(lambda: not said_of(beamline), what="both are delivered")
        assert daemon.stop() == 0
    assert_all_is_there_once(beamline, sandbox)
    assert [sandbox.requests[one] for one in UPLOADS] == [1, 1]


@pytest.mark.fault(21)
def test_what_was_stored_before_the_answer_was_lost_and_the_daemon_killed_is_there_once(beamline, sandbox):
    """Over TLS: both servers keep it, their answers are lost, and the daemon ends as by a power cut; twice."""
    port = int(re.search(r":(\d+)/", sandbox.url)[1])
    with Relay(("127.0.0.1", port)) as relay:
        ca_file = re.search(r"ca_file: ([^,]+)", beamline.config.read_text(encoding="utf-8"))[1]
        configure(beamline, f"ca_file: {ca_file}", port=relay.address[1])
        for path in ("/api/v1/upload/", "/api/upload/raw"):
            sandbox.fault(path, "slow-answer", delay_s=5.0, times=1)
        with beamline.start() as daemon:
            until(lambda: len(sandbox.uploads) == len(sandbox.runs) == 1, what="both servers have it")
            daemon.kill()
        # what is asked after the start is answered, and the answers are lost as well
        relay.manner = Manner("lose answer", after_bytes=600, times=4)
        with beamline.start() as daemon:
            until(lambda: relay.met == 4, what="answers to questions are lost")
            daemon.kill()
        relay.manner = Manner()
        with beamline.start("--until-idle") as daemon:
            assert daemon.wait() == 0, daemon.log
    assert_all_is_there_once(beamline, sandbox)
    assert [sandbox.requests[one] for one in UPLOADS] == [1, 1]


@pytest.mark.fault(23)
def test_no_variable_and_no_file_at_home_changes_whom_the_daemon_trusts_and_talks_to(beamline, sandbox, tmp_path):
    (tmp_path / "others").mkdir()
    others = Authority(tmp_path / "others").certificate
    netrc = beamline.home / ".netrc"
    netrc.write_text("machine 127.0.0.1 login mallory password wrong\ndefault login mallory password wrong\n")
    netrc.chmod(0o600)
    with proxy() as listening:
        for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
            beamline.environment[name] = beamline.environment[name.lower()] = listening.url
        for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR"):
            beamline.environment[name] = others
        beamline.environment["NETRC"] = str(netrc)
        with beamline.start("--until-idle") as daemon:
            assert daemon.wait() == 0, daemon.log
        assert listening.asked == []
    assert_all_is_there_once(beamline, sandbox)


@pytest.mark.long
@pytest.mark.fault(24)
def test_a_proxy_that_refuses_answers_in_html_or_is_gone_is_named_and_once_it_is_back_all_goes_on(
    beamline, sandbox, authority
):
    page = Said(503, b"<html><title>Proxy says no</title></html>", {"Content-Type": "text/html"})
    with contextlib.ExitStack() as stack:
        refusing = stack.enter_context(proxy(page))
        passing = stack.enter_context(proxy())
        way = stack.enter_context(Relay(("127.0.0.1", refusing.port)))
        url = f"http://127.0.0.1:{way.address[1]}"
        configure(beamline, f"ca_file: {authority.certificate}, proxy: '{url}'")
        daemon = stack.enter_context(beamline.start())
        named = f"^waiting: .*cannot be reached: the proxy {url} "
        until(lambda: both_say(beamline, f"{named}answered with 503"), what="status says that the proxy refuses")
        way.refuse()
        until(lambda: both_say(beamline, f"{named}refused the connection"), what="status says that the proxy is gone")
        assert beamline.delivery_state("lyso_1", "vault") == "delivered"
        assert sandbox.requests == {}
        way.target = ("127.0.0.1", passing.port)
        way.listen()
        until(lambda: not said_of(beamline), what="both are delivered")
        assert {asked.method for asked in passing.asked} == {"CONNECT"}
        assert daemon.stop() == 0
    assert_all_is_there_once(beamline, sandbox)
