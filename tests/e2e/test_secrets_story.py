"""A night with secrets of every kind, and where they may not be found the morning after."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from beamline_support import Beamline, Running, until, write_run, write_series
from canary_support import files_below, forms, found_in, processes_below
from tls_support import Authority
from wire_support import Said, wire

from depositd.sandbox import running

pytestmark = pytest.mark.fault(33)

NOTIFY = "zilpzalp-0123456789-passwort"
RULES = """
  - {{name: px, watch: {data}/px, format: auto, settle: 1s, metadata: {{set: {{pdb_code: 1ABC}}}},
     deliver: [{{to: irrmc, approve: auto}}, vault]}}
  - {{name: lo, watch: {data}/lo, format: frames, settle: 1s, metadata: {{set: {{pdb_code: 2ABC}}}},
     deliver: [{{to: irrmc_login, approve: auto}}]}}
  - {{name: ms, watch: {data}/ms, format: thermo-raw, settle: 1s, deliver: [qc]}}
  - {{name: ms2, watch: {data}/ms2, format: thermo-raw, settle: 1s, deliver: [qc_login]}}
  - {{name: held, watch: {data}/held, format: file, settle: 1s, deliver: [{{to: irrmc, approve: manual}}]}}
"""
VERBS = [
    *("status", "status --json", "show 1", "show 1 --json", "explain 1 --json", "scan --json", "check --online"),
    *("journal check", "journal export", "pdi list --to irrmc --json", "pdi equipment --to irrmc_login --json"),
    *("pqc projects --to qc --json", "pqc pipelines --to qc_login --json", "pqc uploaders --to qc --json"),
    *("pqc qc-data --to qc --json", "pdi list --to irrmc", "pqc projects --to qc_login"),
]


@pytest.fixture
def sandbox():
    with running(pace_s=0.2) as box:
        yield box


@pytest.fixture
def receiver():
    """A service that takes notifications and keeps what it was told."""
    told = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told.append(self.rfile.read(int(self.headers["Content-Length"])).decode())
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.told = told
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def private(path, text):
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o600)
    return path


def with_every_kind_of_secret(beamline, sandbox, receiver):
    """Configure a token from systemd, one from the environment, passwords from a file, and a notification's URL."""
    box, secrets, poll = sandbox, beamline.directory / "secrets", "poll_every: 300ms"
    private(secrets / "irrmc", sandbox.pdi_token + "\n")
    private(secrets / "password", sandbox.password + "\n")
    port = receiver.server_port
    private(secrets / "notify", f"json://you:{NOTIFY}@127.0.0.1:{port}/?-X={NOTIFY}")
    temporary = beamline.directory / "tmp"
    temporary.mkdir()
    login = f"username: {sandbox.username}, password: {{file: {secrets}/password}}"
    pqc = f"type: proteomicsqc, url: '{box.pqc_url}', project: {box.project}, pipeline: {box.pipeline}"
    beamline.environment |= {
        "QC": sandbox.pqc_token,
        "CREDENTIALS_DIRECTORY": str(secrets),
        "TMPDIR": str(temporary),
        "PYTHONFAULTHANDLER": "1",
    }
    del beamline.environment["PDI_TOKEN"], beamline.environment["PQC_TOKEN"]
    beamline.config.write_text(
        f"state_dir: {beamline.state}\nspool: {{min_free: 1MiB}}\nretry: {{first: 200ms, longest: 1s}}\n"
        f"sweep_every: 2s\nweb: {{listen: '127.0.0.1:0'}}\n"
        f"notify: [{{url: {{file: {secrets}/notify}}, on: [needs_you, release, paused], at_most_every: 1s}}]\n"
        "destinations:\n"
        f"  irrmc: {{type: proteindiffraction, url: '{box.pdi_url}', token: {{credential: irrmc}}, {poll}}}\n"
        f"  irrmc_login: {{type: proteindiffraction, url: '{box.pdi_url}', {login}, {poll}}}\n"
        f"  qc: {{{pqc}, token: {{env: QC}}, confirm_within: 20s}}\n"
        f"  qc_login: {{{pqc}, {login}, confirm_within: 20s}}\n"
        f"  vault: {{type: directory, path: {beamline.vault}}}\nrules:{RULES.format(data=beamline.data)}"
    )
    return temporary


def states(beamline):
    return {
        (one["name"], to["destination"]): to["state"]
        for one in beamline.status()["datasets"]
        for to in one["deliveries"]
    }


def page_of(daemon):
    return re.findall(r"http://127\.0\.0\.1:\d+/", daemon.log)[-1]


def test_the_morning_after_no_secret_is_found_anywhere(tmp_path, sandbox, receiver):
    beamline = Beamline(tmp_path, sandbox)
    temporary = with_every_kind_of_secret(beamline, sandbox, receiver)
    secrets = {sandbox.pdi_token, sandbox.pqc_token, sandbox.password, NOTIFY}
    assert (
        beamline.run("simulate", "eiger", str(beamline.data / "px"), "--rate", "1000", "--frames", "4").returncode == 0
    )
    write_series(beamline.data / "lo", "thau_2", 3)
    write_run(beamline.data / "ms", "sample1")
    write_run(beamline.data / "ms2", "sample3", scans=25)
    (beamline.data / "held").mkdir()
    (beamline.data / "held" / "a.dat").write_bytes(b"x")
    shown = {}
    with beamline.start("--log-level", "debug", "--log-format", "json") as daemon:
        until(lambda: len(found := states(beamline)) == 6 and sorted(found.values())[:5] == ["delivered"] * 5)
        shown |= processes_below(daemon.process.pid)
        # a revoked token pauses both servers and is told; a crash with all of it in memory leaves its traces
        sandbox.revoke_tokens()
        write_series(beamline.data / "px" / "later", "lyso_9", 2)
        write_run(beamline.data / "ms", "sample2", scans=30)
        until(lambda: sum("answer" in told or "401" in told for told in receiver.told) >= 1, what=daemon.log[-3000:])
        for path in ("api/status", "healthz"):
            with urllib.request.urlopen(page_of(daemon) + path) as answer:
                shown[path] = answer.read().decode() + str(answer.headers)
        daemon.process.send_signal(signal.SIGABRT)
        daemon.process.wait(20)
    verbs = [*VERBS, f"journal backup {tmp_path}/copy.db"]
    with ThreadPoolExecutor(4) as pool:
        for verb, done in zip(verbs, pool.map(lambda one: beamline.run(*one.split()), verbs), strict=True):
            shown[verb] = done.stdout + done.stderr
    assert '"sources"' in shown["api/status"]
    assert "Fatal Python error: Aborted" in daemon.log
    assert any("depositd.formats.hdf5_child" in text for text in shown.values()), "no child was looked at"
    assert "sample1" in shown["journal export"]
    shown |= {"log": daemon.log, "told": json.dumps(receiver.told)}
    shown |= files_below(beamline.state, beamline.vault, temporary, beamline.home)
    shown |= {"backup": (tmp_path / "copy.db").read_bytes().decode("latin-1")}
    found = {place: hits for place, text in shown.items() if (hits := found_in(text, secrets))}
    assert not found


def test_that_test_can_fail():
    secret = "open sesame, please"
    for form in (secret, secret[:13], "b3BlbiBzZXNhbWUsIHBsZWFzZQ", "open%20sesame%2C%20please", "OPEN SESAME, PLEASE"):
        assert found_in(f"before {form} after", [secret]), form
    assert not found_in("open season", [secret])
    assert all(len(form) >= 6 for form in forms("short pw"))


CRASH = """
import sys
import requests

def broken(self, method, url, **options):
    sent = {**self.headers, **(options.get("headers") or {})}
    everything = f"{sent} {options.get('data')} {self.cookies}"
    raise RuntimeError("nobody foresaw this: " + everything)

requests.Session.request = broken
from depositd.cli import main
sys.argv[0] = "depositd"
main()
"""


@pytest.mark.long
def test_a_bug_that_shows_everything_it_has_shows_no_secret(tmp_path, sandbox):
    beamline = Beamline(tmp_path, sandbox)
    beamline.configure(
        f"  - {{name: px, watch: {beamline.data}, format: frames, settle: 1s, metadata: {{set: {{pdb_code: 1ABC}}}},\n"
        "     deliver: [{to: irrmc, approve: auto}]}\n"
    )
    write_series(beamline.data, "lyso_1", 2)
    command = [sys.executable, "-c", CRASH, "--config", str(beamline.config)]
    with Running(beamline, [*command, "run", "--log-level", "debug"]) as daemon:
        until(lambda: "nobody foresaw this" in daemon.log, what=daemon.log)
        shown = {"status": beamline.run("status", "--json").stdout, "show": beamline.run("show", "1").stdout}
        daemon.stop()
    shown["log"] = daemon.log
    for verb in ("pdi list --to irrmc", "pqc projects --to qc", "check --online"):
        done = subprocess.run(
            [*command, *verb.split()], capture_output=True, text=True, env=beamline.environment, check=False
        )
        shown[verb] = done.stdout + done.stderr
    assert "RuntimeError" in shown["pdi list --to irrmc"]
    found = {
        place: hits for place, text in shown.items() if (hits := found_in(text, {sandbox.pdi_token, sandbox.pqc_token}))
    }
    assert not found


def _unreadable(file):
    file.chmod(0o644)


def _two_lines(file):
    file.write_text(file.read_text() * 2)


def _not_text(file):
    file.write_bytes(file.read_bytes() + b"\xff\xfe")


def _no_header(file):
    file.write_text(file.read_text().strip() + " ü\n")


@pytest.mark.parametrize("spoil", [_unreadable, _two_lines, _not_text, _no_header])
def test_a_secret_that_cannot_be_used_is_named_by_its_place(tmp_path, spoil):
    """Of the wrong mode, of several lines, not text, not fit for a header: only the name of its file is said."""
    beamline = Beamline(tmp_path)
    token = "dompfaff-0123456789abcdef"
    file = private(tmp_path / "secrets" / "t", token + "\n")
    beamline.config.write_text(
        f"state_dir: {beamline.state}\nspool: {{min_free: 1MiB}}\ndestinations:\n"
        f"  irrmc: {{type: proteindiffraction, url: 'http://127.0.0.1:9/', token: {{file: {file}}}}}\n"
        f"rules: [{{name: px, watch: {beamline.data}, format: frames, deliver: [irrmc]}}]\n"
    )
    spoil(file)
    for verb in ("check --online", "pdi list --json"):
        done = beamline.run(*verb.split())
        assert done.returncode in (1, 2)
        assert "token" in done.stdout + done.stderr or "secret" in done.stdout + done.stderr
        assert not found_in(done.stdout + done.stderr, [token]), verb


def test_a_certificate_that_is_not_trusted_gets_no_token_and_repeats_none(tmp_path):
    beamline = Beamline(tmp_path)
    token = "dompfaff-0123456789abcdef"
    file = private(tmp_path / "secrets" / "t", token)
    with wire(lambda _: Said(200, b"[]"), Authority(tmp_path).issue()) as server:
        beamline.config.write_text(
            f"state_dir: {beamline.state}\nspool: {{min_free: 1MiB}}\ndestinations:\n"
            f"  irrmc: {{type: proteindiffraction, url: '{server.url}', token: {{file: {file}}}}}\n"
            f"rules: [{{name: px, watch: {beamline.data}, format: frames, deliver: [irrmc]}}]\n"
        )
        done = beamline.run("pdi", "list")
    assert "not trusted" in done.stderr
    assert not found_in(done.stdout + done.stderr, [token])
    assert not any(token in asked.text for asked in server.asked)


def test_a_proxy_with_a_password_is_refused_without_repeating_it(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.config.write_text(
        f"state_dir: {beamline.state}\ndestinations:\n"
        "  irrmc: {type: proteindiffraction, url: 'https://srv.example/', token: {env: T},\n"
        "          proxy: 'http://me:girlitz-0123456789@proxy.example:3128'}\n"
        f"rules: [{{name: px, watch: {beamline.data}, format: frames, deliver: [irrmc]}}]\n"
    )
    done = beamline.run("check")
    assert done.returncode == 2
    assert "a proxy is sent none" in done.stderr
    assert not found_in(done.stdout + done.stderr, ["girlitz-0123456789"])


def test_the_process_that_reads_damaged_files_is_given_no_secret():
    from depositd.formats.hdf5_reader import reader_environment

    given = {"PATH": "/bin", "LD_LIBRARY_PATH": "/x", "HDF5_PLUGIN_PATH": "/y", "LC_ALL": "C"}
    secret = {"DEPOSITD_TOKEN": "t", "MY_PATH_TO_HEAVEN": "t", "CREDENTIALS_DIRECTORY": "/run", "NOTIFY_SOCKET": "@"}
    assert reader_environment(given | secret) == {**given, "OPENBLAS_NUM_THREADS": "1"}
    assert "PATH" in reader_environment(os.environ)
