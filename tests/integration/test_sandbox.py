"""The sandbox over real sockets: faults on request, starting and stopping, TLS, and memory."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import re
import socket
import ssl
import tarfile
import threading
import time
from collections.abc import Iterator

import pytest
import requests
from clock_support import ManualClock
from sandbox_clients import CBF, TAR, TIMEOUT_S, UPLOAD, Pdi, Pqc
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

    def test_a_half_closed_connection_stores_and_says_nothing(self, sandbox, send):
        sandbox.fault("*/upload/*", "half-close")

        with pytest.raises(requests.ConnectionError) as lost:
            send()

        assert "Remote end closed connection without response" in str(lost.value)
        assert self.stored(sandbox) == 1

    def test_a_stalled_body_is_reset_in_the_end_and_stores_nothing(self, sandbox, send):
        sandbox.fault("*/upload/*", "stall", delay_s=0.3)

        started = time.monotonic()
        with pytest.raises(requests.ConnectionError):
            send(bytes(10_000_000))

        assert time.monotonic() - started > 0.25
        assert self.stored(sandbox) == 0

    def test_an_answer_that_drips_never_ends_by_itself(self, sandbox, pdi):
        sandbox.fault(UPLOAD, "drip")

        url, files = f"{sandbox.pdi_url}upload/", {"dataset_file": ("a.tar", TAR)}
        with requests.post(url, headers=pdi.headers, files=files, timeout=TIMEOUT_S, stream=True) as answer:
            drops = list(itertools.islice(answer.iter_content(1), 5))

        assert (answer.status_code, drops) == (201, [b" "] * 5)
        assert "Content-Length" not in answer.headers
        assert self.stored(sandbox) == 1

    def test_a_wrong_body_has_the_right_status(self, sandbox, send):
        sandbox.fault("*/upload/*", "wrong-body")

        answer = send()

        assert (answer.status_code, answer.json()) == (201, {"ok": True})
        assert self.stored(sandbox) == 1

    def test_a_wrong_hash_is_wrong_in_answers_and_lists_and_nowhere_else(self, sandbox, pdi, modern):
        sandbox.fault("*", "wrong-hash", times=3)

        answer = pdi.upload().json()
        listed = pdi.ask("GET", "submissions/").json()
        run = modern.upload().json()

        [stored] = sandbox.uploads
        assert answer["md5hash"] == listed[0]["md5hash"]
        assert answer["md5hash"] not in (stored.md5, stored.sent_md5)
        assert answer["token"] == stored.token
        assert run["pipeline"] == 2

    def test_a_stale_list_leaves_out_what_is_fresh(self, clock, sandbox, pdi):
        sandbox.fault("/api/v1/submissions/", "stale-list", times=3, delay_s=30)
        token = pdi.upload().json()["token"]

        seen = []
        for _ in range(3):
            seen.append(len(pdi.ask("GET", "submissions/").json()))
            clock.advance(20)

        assert seen == [0, 0, 1]
        assert pdi.status(token) == "uploaded"

    def test_stale_qc_data_and_pages_leave_out_fresh_runs(self, clock):
        with running(clock, pqc_mode="older") as sandbox:
            pqc = Pqc(sandbox, with_token=False)
            pqc.login()
            pqc.upload()
            clock.advance(5)
            seen = []
            for path in ("/api/qc-data", "/proteomics/*"):
                sandbox.fault(path, "stale-list", delay_s=30)
            for _ in range(2):
                page = pqc.page(f"proteomics/detail/{sandbox.project}/{sandbox.pipeline}").text
                seen.append((len(pqc.qc_data()["RawFile"]), page.count("data-run-name")))

        assert seen == [(0, 0), (1, 1)]

    @pytest.mark.parametrize("mode", ["modern", "older"])
    def test_with_its_queue_down_the_server_stores_fails_and_never_processes(self, clock, mode):
        with running(clock, pqc_mode=mode) as sandbox:
            pqc = Pqc(sandbox, with_token=mode == "modern")
            if mode == "older":
                pqc.login()
            sandbox.fault("/api/upload/raw", "queue-down")
            answer = pqc.upload()
            clock.advance(3600)
            shown = pqc.qc_data()["RawFile"]

        assert (answer.status_code, answer.headers["Content-Type"]) == (500, "text/html; charset=utf-8")
        assert [run.name for run in sandbox.runs] == ["sample1.raw"]
        assert shown == []

    @pytest.mark.parametrize(
        ("kind", "status"),
        [("commit-then-500", 500), ("commit-then-502", 502), ("commit-then-504", 504), ("queue-down", 500)],
    )
    def test_an_error_after_the_commit_does_not_mean_not_stored(self, sandbox, send, kind, status):
        sandbox.fault("*/upload/*", kind)

        assert send().status_code == status
        assert self.stored(sandbox) == 1

    @pytest.mark.parametrize("kind", ["401", "403", "409", "413", "429", "500", "502", "503", "504"])
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
            (UPLOAD, "504", "text/html; charset=utf-8"),
            ("/api/projects", "403", "application/json"),
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

    def test_a_captive_portal_answers_200_in_html(self, sandbox, send):
        sandbox.fault("*", "portal")

        answer = send()

        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert 'type="password"' in answer.text
        assert self.stored(sandbox) == 0

    def test_a_server_is_away_for_as_many_requests_as_one_says(self, sandbox, pdi):
        sandbox.fault("/api/*", "503", times=3)

        assert [pdi.ask("GET", "equipment/").status_code for _ in range(4)] == [503, 503, 503, 200]

    def test_every_fault_has_a_test_here(self):
        with open(__file__, encoding="utf-8") as source:
            text = source.read()

        assert [kind for kind in FAULTS if f'"{kind}"' not in text] == []

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

    def test_a_page_shows_it_all_to_a_person(self, sandbox, pdi, modern):
        pdi.upload(name="<b>1abc.tar")
        modern.upload("Sample1.raw")
        sandbox.fault("/api/v1/*", "409", times=None)

        answer = requests.get(f"{sandbox.url}sandbox/", timeout=TIMEOUT_S)

        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
        for shown in ("&lt;b&gt;1abc.tar", "Sample1.raw", "/api/v1/*", "POST /api/upload/raw", FAULTS["drip"]):
            assert shown in answer.text
        assert "GET /sandbox/" not in sandbox.requests

    def test_revoked_tokens_are_worthless_and_a_password_gets_new_ones(self, sandbox, pdi, modern):
        requests.post(f"{sandbox.url}sandbox/revoke", timeout=TIMEOUT_S)

        refused = (pdi.ask("GET", "submissions/").status_code, modern.post("projects").status_code)
        login = {"username": sandbox.username, "password": sandbox.password}
        token = pdi.ask("POST", "auth/token/", data=login).json()["token"]

        assert refused == (401, 403)
        assert token != sandbox.pdi_token
        assert Pdi(sandbox, token).ask("GET", "submissions/").status_code == 200

    @pytest.mark.parametrize("name", ["proteindiffraction", "proteomicsqc"])
    def test_each_api_is_described(self, sandbox, name):
        described = requests.get(f"{sandbox.url}sandbox/openapi/{name}.json", timeout=TIMEOUT_S).json()

        assert described["openapi"] == "3.1.0"
        assert len(described["paths"]) > 5

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
            last = next(number for number in range(first, len(lines)) if lines[number].startswith("  depositd "))
            snippet = "\n".join(lines[lines.index("3. By the daemon, with this as depositd.yaml:") + 1 : last])
            config = parse_config(snippet, "pasted.yaml")
            for name, settings in config.destinations.items():
                destination = build(name, settings)
                assert destination.whoami()
                destination.close()

        assert list(config.destinations) == ["sandbox-pdi", "sandbox-pqc"]
        assert [rule.name for rule in config.rules] == ["frames", "runs"]

    def test_large_raw_files_pass_in_constant_memory(self, sandbox):
        fields = f'--bb\r\nContent-Disposition: form-data; name="pid"\r\n\r\n{sandbox.pid}\r\n'
        most = send_large(sandbox, "/api/upload/raw", sandbox.pqc_token, fields, ("orig_file", "big.raw"), b"")

        assert sandbox.runs[0].size_bytes == LARGE_BYTES
        assert most < 64 << 20

    def test_large_archives_are_looked_into_in_constant_memory(self, sandbox):
        head = tarfile.TarInfo("set/00001.cbf")
        head.size = LARGE_BYTES - 3 * 512
        most = send_large(sandbox, UPLOAD, sandbox.pdi_token, "", ("dataset_file", "big.tar"), head.tobuf() + CBF)

        [stored] = sandbox.uploads
        assert (stored.size_bytes, stored.inspection.images, stored.inspection.problem) == (LARGE_BYTES, 1, None)
        assert most < 64 << 20


LARGE_BYTES = 300 << 20


def send_large(sandbox: Sandbox, path: str, token: str, fields: str, file: tuple[str, str], beginning: bytes) -> int:
    """Send 300 MiB that begin like this; return by how much the sandbox's memory grew while they came."""
    block = bytes(1 << 20)
    disposition = f'Content-Disposition: form-data; name="{file[0]}"; filename="{file[1]}"'
    head = f"{fields}--bb\r\n{disposition}\r\n\r\n".encode()
    tail = b"\r\n--bb--\r\n"
    before = resident_bytes()
    connection = http.client.HTTPConnection("127.0.0.1", int(sandbox.url.rsplit(":", 1)[1].strip("/")))
    connection.putrequest("POST", path)
    connection.putheader("Authorization", f"Token {token}")
    connection.putheader("Content-Type", "multipart/form-data; boundary=bb")
    connection.putheader("Content-Length", str(len(head) + LARGE_BYTES + len(tail)))
    connection.endheaders()
    connection.send(head + beginning)
    connection.send(bytes(len(block) - len(beginning)))
    most = 0
    for _ in range(LARGE_BYTES // len(block) - 1):
        connection.send(block)
        most = max(most, resident_bytes())
    connection.send(tail)
    answer = connection.getresponse()
    most = max(most, resident_bytes())
    connection.close()
    assert answer.status == 201
    return most - before


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
