"""The sandbox over real sockets: faults on request, starting and stopping, TLS, and memory."""

from __future__ import annotations

import contextlib
import http.client
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator

import pytest
import requests
from clock_support import ManualClock
from sandbox_clients import TAR, TIMEOUT_S, UPLOAD, Pdi, Pqc
from tls_support import make_certificate

from depositd.config import parse_config
from depositd.destinations import build
from depositd.errors import ConfigError
from depositd.sandbox import FAULTS, Fault, Options, Sandbox, running, serve


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def sandbox(clock: ManualClock) -> Iterator[Sandbox]:
    with running(clock) as sandbox:
        yield sandbox


@pytest.fixture
def pdi(sandbox: Sandbox) -> Pdi:
    return Pdi(sandbox)


@pytest.fixture
def modern(sandbox: Sandbox) -> Pqc:
    return Pqc(sandbox)


class TestFaults:
    """Each fault, on the upload of either server."""

    @pytest.fixture(params=["proteindiffraction", "proteomicsqc"])
    def send(self, request, pdi, modern):
        def to_diffraction(content: bytes = TAR) -> requests.Response:
            return pdi.upload(content)

        def to_proteomics(content: bytes = TAR) -> requests.Response:
            return modern.upload(content=content)

        return to_diffraction if request.param == "proteindiffraction" else to_proteomics

    def stored(self, sandbox: Sandbox) -> int:
        return len(sandbox.uploads) + len(sandbox.runs)

    @pytest.mark.parametrize("kind", ["drop-before-body", "drop-mid-body"])
    def test_a_connection_that_is_dropped_early_stores_nothing(self, sandbox, send, kind):
        sandbox.fault("*/upload/*", kind)

        with pytest.raises(requests.ConnectionError):
            send(bytes(10_000_000))

        assert self.stored(sandbox) == 0
        assert send().status_code == 201

    def test_commit_then_drop_stores_and_resets_the_connection(self, sandbox, send):
        sandbox.fault("*/upload/*", "commit-then-drop")

        with pytest.raises(requests.ConnectionError) as lost:
            send()

        assert "Connection reset by peer" in str(lost.value)
        assert self.stored(sandbox) == 1

    def test_half_an_answer_stores_and_breaks_off(self, sandbox, send):
        sandbox.fault("*/upload/*", "half-answer")

        with pytest.raises(requests.exceptions.ChunkedEncodingError):
            send()

        assert self.stored(sandbox) == 1

    @pytest.mark.parametrize(("kind", "status"), [("commit-then-500", 500), ("commit-then-502", 502)])
    def test_an_error_after_the_commit_does_not_mean_not_stored(self, sandbox, send, kind, status):
        sandbox.fault("*/upload/*", kind)

        assert send().status_code == status
        assert self.stored(sandbox) == 1

    @pytest.mark.parametrize("kind", ["401", "409", "413", "429", "500", "502", "503"])
    def test_an_error_stores_nothing_and_goes_away(self, sandbox, send, kind):
        sandbox.fault("*/upload/*", kind)

        assert send().status_code == int(kind)
        assert self.stored(sandbox) == 0
        assert send().status_code == 201

    def test_an_early_answer_breaks_off_a_large_body(self, sandbox, send):
        sandbox.fault("*/upload/*", "413", early=True)

        # whoever is still sending may or may not see the answer
        with contextlib.suppress(requests.RequestException):
            assert send(bytes(100_000_000)).status_code == 413

        assert self.stored(sandbox) == 0
        assert sandbox.body_bytes(UPLOAD) + sandbox.body_bytes("/api/upload/raw") < 50_000_000
        assert send().status_code == 201

    @pytest.mark.parametrize(
        ("path", "kind", "media"),
        [
            (UPLOAD, "500", "application/json"),
            (UPLOAD, "409", "application/json"),
            (UPLOAD, "502", "text/html; charset=utf-8"),
            (UPLOAD, "503", "text/html; charset=utf-8"),
            ("/api/projects", "500", "text/html; charset=utf-8"),
            ("/api/projects", "413", "text/plain; charset=utf-8"),
            ("/api/projects", "401", "application/json"),
        ],
    )
    def test_each_error_is_in_the_words_of_who_sends_it(self, sandbox, path, kind, media):
        sandbox.fault(path, kind)

        answer = requests.post(sandbox.url.rstrip("/") + path, timeout=TIMEOUT_S)

        assert answer.headers["Content-Type"] == media
        if media == "application/json":
            assert list(answer.json()) == ["error" if path == UPLOAD else "detail"]

    @pytest.mark.parametrize("kind", ["429", "503"])
    def test_a_busy_server_says_when_to_come_back(self, sandbox, pdi, kind):
        sandbox.fault("/api/v1/*", kind, retry_after_s=17)

        assert pdi.upload().headers["Retry-After"] == "17"

    def test_a_redirect_leads_where_every_get_succeeds(self, sandbox, pdi):
        sandbox.fault(UPLOAD, "redirect")

        answer = pdi.upload()
        followed = requests.get(sandbox.url.rstrip("/") + answer.headers["Location"], timeout=TIMEOUT_S)

        assert (answer.status_code, followed.status_code, followed.json()) == (302, 200, {})
        assert sandbox.uploads == ()

    def test_a_slow_server_takes_its_time_for_the_body(self, sandbox, send):
        sandbox.fault("*/upload/*", "slow", bytes_per_s=len(TAR) * 5)

        started = time.monotonic()
        answer = send()

        assert answer.status_code == 201
        assert time.monotonic() - started > 0.15

    def test_a_slow_answer_comes_after_the_commit(self, sandbox, pdi):
        sandbox.fault(UPLOAD, "slow-answer", delay_s=0.3)

        started = time.monotonic()
        answer = pdi.upload()

        assert answer.status_code == 201
        assert time.monotonic() - started > 0.25

    def test_who_does_not_wait_for_a_slow_answer_finds_it_stored(self, sandbox, pdi):
        sandbox.fault(UPLOAD, "slow-answer", delay_s=60)

        with pytest.raises(requests.ReadTimeout):
            requests.post(
                f"{sandbox.pdi_url}upload/", headers=pdi.headers, files={"dataset_file": ("a.tar", TAR)}, timeout=0.5
            )

        assert len(sandbox.uploads) == 1

    def test_faults_are_there_from_the_start_where_the_options_say_so(self):
        with running(faults=(Fault("/api/v1/equipment/", "503"),)) as sandbox:
            pdi = Pdi(sandbox)
            statuses = [pdi.ask("GET", "equipment/").status_code for _ in range(2)]

        assert statuses == [503, 200]

    def test_a_person_plays_over_http(self, sandbox, pdi):
        control = f"{sandbox.url}sandbox/faults"

        wrong = requests.post(control, json={"path": "/api/*", "kind": "nonsense"}, timeout=TIMEOUT_S)
        armed = requests.post(control, json={"path": "/api/*", "kind": "500", "times": 2}, timeout=TIMEOUT_S)
        failed = pdi.ask("GET", "equipment/")
        left = requests.get(control, timeout=TIMEOUT_S).json()
        cleared = requests.delete(control, timeout=TIMEOUT_S)

        assert (wrong.status_code, armed.status_code, failed.status_code, cleared.status_code) == (400, 201, 500, 204)
        assert "there is no fault 'nonsense'" in wrong.json()["error"]
        assert [each["left"] for each in left["armed"]] == [1]
        assert left["kinds"] == dict(FAULTS)
        assert pdi.ask("GET", "equipment/").status_code == 200

    def test_the_state_is_told_over_http(self, sandbox, pdi, modern):
        token = pdi.upload().json()["token"]
        modern.upload()

        state = requests.get(f"{sandbox.url}sandbox/state", timeout=TIMEOUT_S).json()

        assert [each["token"] for each in state["uploads"]] == [token]
        assert [each["key"] for each in state["runs"]] == ["rf4"]
        assert state["requests"] == {"POST /api/v1/upload/": 1, "POST /api/upload/raw": 1}

    def test_requests_and_their_bytes_are_counted(self, sandbox, pdi):
        pdi.ask("GET", "equipment/")
        pdi.ask("GET", "equipment/")
        pdi.upload()

        assert sandbox.requests == {"GET /api/v1/equipment/": 2, "POST /api/v1/upload/": 1}
        assert sandbox.body_bytes(UPLOAD) > len(TAR)


class TestServing:
    def test_it_ends_within_two_seconds_also_in_the_middle_of_requests(self, sandbox, pdi):
        sandbox.fault("/api/v1/equipment/", "slow-answer", delay_s=60)
        ended = threading.Event()

        def hang() -> None:
            with pytest.raises(requests.ConnectionError):
                pdi.ask("GET", "equipment/")
            ended.set()

        hanging = threading.Thread(target=hang)
        hanging.start()
        while not sandbox.requests:
            time.sleep(0.01)
        idle = socket.create_connection(("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1].strip("/"))))
        started = time.monotonic()
        sandbox.stop()
        took_s = time.monotonic() - started
        hanging.join(timeout=5)
        idle.close()

        assert took_s < 2.0
        assert ended.is_set()
        with pytest.raises(requests.ConnectionError):
            pdi.ask("GET", "equipment/")

    def test_it_keeps_port_and_state_over_a_restart(self, sandbox, pdi):
        token = pdi.upload().json()["token"]
        url = sandbox.url

        sandbox.stop()
        sandbox.start()

        assert sandbox.url == url
        assert pdi.status(token) == "uploaded"

    def test_stopping_twice_does_nothing(self, sandbox):
        sandbox.stop()
        sandbox.stop()

        assert sandbox.uploads == ()

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org", ""])
    def test_it_listens_on_loopback_only(self, host):
        with pytest.raises(ConfigError) as refused:
            Sandbox(Options(host=host))

        assert "loopback addresses only" in str(refused.value)

    def test_a_port_that_is_taken_is_an_os_error(self, sandbox):
        port = int(sandbox.url.rsplit(":", 1)[1].strip("/"))

        with pytest.raises(OSError):
            Sandbox(Options(port=port)).start()

    def test_it_serves_until_it_is_told_to_stop(self):
        greetings: list[str] = []
        stopped = threading.Event()
        server = threading.Thread(target=serve, args=(Options(), greetings.append, stopped))
        server.start()
        while not greetings:
            time.sleep(0.01)
        url = re.search(r"http://127\.0\.0\.1:\d+/", greetings[0])
        answer = requests.get(f"{url[0]}sandbox/state", timeout=TIMEOUT_S)
        stopped.set()
        server.join(timeout=5)

        assert answer.status_code == 200
        assert not server.is_alive()

    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_its_greeting_holds_a_config_that_is_valid_and_works(self, mode, monkeypatch):
        with running(pqc_mode=mode) as sandbox:
            greeting = sandbox.greeting()
            for name, value in re.findall(r"^ *export (\w+)='?([^'\n]*)'?$", greeting, re.MULTILINE):
                monkeypatch.setenv(name, value)
            lines = greeting.splitlines()
            first = lines.index("destinations:")
            snippet = "\n".join(lines[first : lines.index("", first)])
            rule = "{name: all, watch: /data, format: thermo-raw, deliver: [sandbox-pdi, sandbox-pqc]}"
            config = parse_config(f"state_dir: /var/lib/depositd\n{snippet}\nrules: [{rule}]\n", "pasted.yaml")
            for name, settings in config.destinations.items():
                destination = build(name, settings)
                assert destination.whoami()
                destination.close()

        assert list(config.destinations) == ["sandbox-pdi", "sandbox-pqc"]

    def test_large_bodies_pass_in_constant_memory(self, sandbox):
        size, block = 256 << 20, bytes(1 << 20)
        head = (
            f'--bb\r\nContent-Disposition: form-data; name="pid"\r\n\r\n{sandbox.pid}\r\n--bb\r\n'
            'Content-Disposition: form-data; name="orig_file"; filename="big.raw"\r\n\r\n'
        ).encode()
        tail = b"\r\n--bb--\r\n"
        before = resident_bytes()
        connection = http.client.HTTPConnection("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1].strip("/")))
        connection.putrequest("POST", "/api/upload/raw")
        connection.putheader("Authorization", f"Token {sandbox.pqc_token}")
        connection.putheader("Content-Type", "multipart/form-data; boundary=bb")
        connection.putheader("Content-Length", str(len(head) + size + len(tail)))
        connection.endheaders()
        connection.send(head)
        most = 0
        for _ in range(size // len(block)):
            connection.send(block)
            most = max(most, resident_bytes())
        connection.send(tail)
        status = connection.getresponse().status
        connection.close()

        assert status == 201
        assert sandbox.runs[0].size_bytes == size
        assert most - before < 64 << 20


def resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as statm:
        return int(statm.read().split()[1]) * 4096


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class TestTls:
    @pytest.fixture
    def secure(self, certificate) -> Iterator[Sandbox]:
        with running(ssl_certfile=certificate[0], ssl_keyfile=certificate[1], pqc_mode="older") as sandbox:
            yield sandbox

    def test_all_is_served_over_tls(self, secure, certificate):
        answer = requests.get(
            f"{secure.pdi_url}equipment/",
            headers={"Authorization": f"Token {secure.pdi_token}"},
            verify=certificate[0],
            timeout=TIMEOUT_S,
        )

        assert answer.status_code == 200
        assert secure.url.startswith("https://")
        with pytest.raises(requests.exceptions.SSLError):
            requests.get(f"{secure.pdi_url}equipment/", timeout=TIMEOUT_S)

    def test_over_tls_a_session_needs_its_referer(self, secure, certificate):
        pqc = Pqc(secure, with_token=False)
        pqc.session.verify = certificate[0]
        assert pqc.login().status_code == 302

        without = pqc.post("projects")
        wrong = pqc.post("projects", headers={"Referer": "https://evil.org/"})
        right = pqc.post("projects", headers={"Referer": secure.pqc_url})

        assert without.json() == {"detail": "CSRF Failed: Referer checking failed - no Referer."}
        assert (wrong.status_code, right.status_code) == (403, 200)

    def test_a_drop_over_tls_is_a_drop(self, secure, certificate):
        secure.fault(UPLOAD, "commit-then-drop")

        with pytest.raises(requests.ConnectionError):
            requests.post(
                f"{secure.pdi_url}upload/",
                headers={"Authorization": f"Token {secure.pdi_token}"},
                files={"dataset_file": ("a.tar", TAR)},
                verify=certificate[0],
                timeout=TIMEOUT_S,
            )

        assert len(secure.uploads) == 1

    def test_a_client_that_speaks_plainly_gets_nothing(self, secure):
        with pytest.raises(requests.ConnectionError):
            requests.get(secure.url.replace("https", "http"), timeout=TIMEOUT_S)

    def test_the_certificate_is_the_one_that_was_given(self, secure, certificate):
        context = ssl.create_default_context(cafile=certificate[0])
        port = int(secure.url.rsplit(":", 1)[1].strip("/"))
        with (
            socket.create_connection(("127.0.0.1", port)) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as wrapped,
        ):
            subject = dict(pair[0] for pair in wrapped.getpeercert()["subject"])

        assert subject == {"commonName": "sandbox"}
