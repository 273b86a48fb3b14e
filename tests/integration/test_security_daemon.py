"""The installed daemon against servers that repeat what they are sent and say what harms a terminal."""

from __future__ import annotations

import html
import json
import re
import unicodedata
import urllib.parse
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import pytest
from beamline_support import Beamline, Running, until, write_run, write_series
from wire_support import Asked, Said, wire

TOKEN = "kanarienvogel-0123456789abcdef"
PASSWORD = 'zeisig pa  ss/w+rd%&"ü"\\<x>'
MINTED = "stieglitz-0123456789abcdef"
CSRF, SESSION = "girlitz-csrf-0123456789", "girlitz-session-0123456789"
BIRDS = ("kanarienvogel", "zeisig", "stieglitz", "girlitz")
"""A part of each secret that every spelling of it has."""

PAGE, PLAIN = {"Content-Type": "text/html"}, {"Content-Type": "text/plain"}
HARM = "\x1b]0;owned\x07\x1b[2J\x9b31m\r\nforged: line\u202e\u2066\u200b\u2028<script>alert(1)</script>"
EVIL = HARM + "A" * 1_000_000
FINAL = "header_not_readable"


class Parrot:
    """Both servers at once; what goes wrong is told with all that was sent, each time in another way."""

    def __init__(self) -> None:
        self._turn, self._echoes = count(), count()
        self.kinds: set[str] = set()

    def __call__(self, asked: Asked) -> Said:
        path = urllib.parse.urlsplit(asked.target).path
        if path == "/":
            return self._login(asked)
        if path == "/api/v1/auth/token/" and next(self._turn) % 3:
            return _json({"token": MINTED, "user_id": 1, "email": "you@lab.edu"})
        if asked.method == "GET" and next(self._turn) % 3:
            return _json([])
        return self._echo(asked)

    def _login(self, asked: Asked) -> Said:
        cookie = {"Set-Cookie": f"sessionid={SESSION}; Path=/"}
        if asked.method == "POST":
            return Said(302, b"", {"Location": "/", **cookie})
        return Said(200, f'<form><input name="csrfmiddlewaretoken" value="{CSRF}"></form>'.encode(), PAGE)

    def _echo(self, asked: Asked) -> Said:
        said = asked.text
        answers = {
            "json": _json({"error": said}, 401),
            "list": _json({"orig_file": [said], said: "x"}, 400),
            "title": Said(500, f"<title>{html.escape(said)}</title>".encode(), PAGE),
            "page": Said(502, f"<pre>{html.escape(said)}</pre>".encode(), PAGE),
            "plain": Said(503, said.encode(), PLAIN),
            "redirect": Said(302, b"", {"Location": f"http://127.0.0.1:9/?{urllib.parse.quote(said)}"}),
            "header": Said(401, b"", {"Content-Type": said.replace("\n", " "), "Retry-After": said}),
            "broken header": Said(403, b"{}", {}, head=f"{asked.headers}\r\n".encode()),
            "body": Said(200, said.encode()),
        }
        kind = sorted(answers)[next(self._echoes) % len(answers)]
        self.kinds.add(kind)
        return answers[kind]


def _json(document: object, status: int = 200) -> Said:
    return Said(status, json.dumps(document).encode())


def configure(beamline: Beamline, url: str, rules: str) -> None:
    pqc = f"url: '{url}', project: a, pipeline: b"
    destinations = {
        "pdi_token": f"type: proteindiffraction, url: '{url}api/v1/', token: {{file: {beamline.directory}/token}}",
        "pdi_login": f"type: proteindiffraction, url: '{url}api/v1/', username: you@lab.edu, password: {{env: PW}}",
        "pqc_token": f"type: proteomicsqc, {pqc}, token: {{file: {beamline.directory}/token}}",
        "pqc_login": f"type: proteomicsqc, {pqc}, username: you, password: {{env: PW}}",
    }
    lines = "".join(f"  {name}: {{{keys}}}\n" for name, keys in destinations.items())
    (beamline.directory / "token").write_text(f"{TOKEN}\n")
    (beamline.directory / "token").chmod(0o600)
    beamline.environment["PW"] = PASSWORD
    beamline.config.write_text(
        f"state_dir: {beamline.state}\nspool: {{min_free: 1MiB}}\nretry: {{first: 100ms, longest: 200ms}}\n"
        f"sweep_every: 1s\nweb: {{listen: '127.0.0.1:0'}}\ndestinations:\n{lines}rules:\n{rules}"
    )


RULES = """
  - {{name: px, watch: {data}/px, format: frames, settle: 1s, metadata: {{set: {{pdb_code: 1ABC}}}},
     deliver: [{{to: pdi_token, approve: auto}}, {{to: pdi_login, approve: auto}}]}}
  - {{name: ms, watch: {data}/ms, format: thermo-raw, settle: 1s, deliver: [pqc_token, pqc_login]}}
"""


SECRETS = {TOKEN, urllib.parse.quote_plus(PASSWORD), MINTED, CSRF, SESSION}


def _secrets_in(requests: list[Asked]) -> set[str]:
    """Return which secrets were sent: what was never sent cannot have been kept."""
    sent = "".join(asked.text for asked in requests)
    return {secret for secret in SECRETS if secret in sent}


def everything_shown(beamline: Beamline, daemon: Running) -> dict[str, str]:
    """Return what a person, a page, a log or a thief of the journal can see."""
    page = re.findall(r"http://127\.0\.0\.1:\d+/", daemon.log)[0]
    with urllib.request.urlopen(f"{page}api/status") as answer:
        shown = {"/api/status": answer.read().decode()}
    shown["argv"] = Path(f"/proc/{daemon.process.pid}/cmdline").read_text()
    commands = ["status", "status --json", "journal export", "check --online", "show 1 --json", "explain 1"]
    commands += [f"show {number}" for number in (1, 2, 3)]
    with ThreadPoolExecutor(4) as pool:
        for command, done in zip(commands, pool.map(lambda one: beamline.run(*one.split()), commands), strict=True):
            shown[command] = done.stdout + done.stderr
    daemon.stop()
    shown["log"] = daemon.log
    for file in beamline.state.iterdir():
        if file.is_file():
            shown[file.name] = file.read_bytes().decode("latin-1")
    return shown


@pytest.fixture
def beamline(tmp_path):
    line = Beamline(tmp_path)
    write_series(line.data / "px", "lyso_1", 3)
    write_run(line.data / "ms", "sample1")
    return line


@pytest.mark.fault(33)
def test_no_secret_is_shown_whatever_the_servers_repeat(beamline):
    parrot = Parrot()
    with wire(parrot) as server:
        configure(beamline, server.url, RULES.format(data=beamline.data))
        with beamline.start("--log-level", "debug") as daemon:
            until(lambda: len(parrot.kinds) == 9 and _secrets_in(server.asked) == SECRETS, what=parrot.kinds)
            shown = everything_shown(beamline, daemon)
    assert "***" in shown["journal export"] + shown["log"] + shown["status"]
    for place, text in shown.items():
        for bird in BIRDS:
            assert bird not in text.lower(), f"{bird} in {place}: {_around(text, bird)}"


class Vandal:
    """Both servers at once; every text in every answer is one that harms a terminal."""

    def __init__(self) -> None:
        self.uploaded = False

    def __call__(self, asked: Asked) -> Said:
        path = urllib.parse.urlsplit(asked.target).path
        listed = {"token": "tok1", "md5hash": EVIL, "filename": EVIL, "status": FINAL, "status_details": EVIL}
        listed |= {"pdbid": EVIL, "project_title": EVIL, "inserted_at": EVIL, "is_pdb_exists": False}
        answers = {
            "GET /api/v1/submissions/": [listed] if self.uploaded else [],
            "POST /api/v1/upload/": {**listed, "filesize": 3, "status": "uploaded"},
            "GET /api/v1/submissions/tok1/": {**listed, "status": EVIL},
            "GET /api/v1/equipment/": [{"id": 1, "name": EVIL, "beamlines": [{"id": 2, "name": EVIL}]}],
            "POST /api/projects": [{"pk": 1, "name": EVIL, "slug": EVIL, "description": EVIL}],
            "POST /api/pipelines": [{"pk": 1, "name": EVIL, "slug": EVIL}],
        }
        self.uploaded |= asked.target == "/api/v1/upload/"
        known = f"{asked.method} {path}"
        if known in answers:
            return _json(answers[known], 201 if path.endswith("upload/") else 200)
        if path == "/":
            return Said(500, f"<title>{EVIL}</title>".encode(), PAGE)
        return Said(400, EVIL.encode(), PLAIN)


VANDALIZED = """
  - {{name: px, watch: {data}/px, format: frames, settle: 1s, metadata: {{set: {{pdb_code: 1ABC}}}},
     deliver: [{{to: pdi_token, approve: auto}}]}}
  - {{name: eq, watch: {data}/eq, format: frames, settle: 1s, deliver: [{{to: pdi_login, approve: auto}}],
     metadata: {{set: {{project_title: raw diffraction, project_authors: Smith J., synchrotron: APS}}}}}}
  - {{name: ms, watch: {data}/ms, format: thermo-raw, settle: 1s, deliver: [pqc_token, pqc_login]}}
"""
HARMFUL = ("Cc", "Cf", "Cs", "Zl", "Zp")


def deliveries(beamline: Beamline) -> dict[str, str | None]:
    found = {}
    for dataset in beamline.status()["datasets"]:
        found |= {one["destination"]: one["error"] for one in dataset["deliveries"]}
    return found


@pytest.mark.fault(13, 33)
def test_what_servers_say_harms_no_terminal_and_fills_nothing(beamline):
    write_series(beamline.data / "eq", "thau_2", 3)
    with wire(Vandal()) as server:
        configure(beamline, server.url, VANDALIZED.format(data=beamline.data))
        with beamline.start("--log-level", "debug") as daemon:
            until(lambda: len(told := deliveries(beamline)) == 4 and all(told.values()), what=daemon.log)
            shown = everything_shown(beamline, daemon)
    assert "owned" in shown["journal export"] + shown["log"], "no server's text was shown: this test tests nothing"
    for place, text in shown.items():
        assert "A" * 3_000 not in text, place
        if place.startswith("journal.db") or place in ("argv", "ballast", "lock"):
            continue
        harm = {character for character in text if unicodedata.category(character) in HARMFUL} - {"\n"}
        assert not harm, f"{harm} in {place}: {_around(text, next(iter(harm)))}"
        assert not any(line.startswith("forged") for line in text.splitlines()), place


def _around(text: str, word: str) -> str:
    at = text.lower().index(word)
    return repr(text[max(at - 200, 0) : at + 100])


@pytest.mark.fault(33)
def test_no_command_takes_a_secret_as_an_argument():
    import typer.main

    from depositd.cli.app import program

    def options_of(command):
        for parameter in command.params:
            yield from (option for option in parameter.opts if option.startswith("-"))
        for inner in getattr(command, "commands", {}).values():
            yield from options_of(inner)

    options = set(options_of(typer.main.get_command(program([]))))
    assert "--set" in options
    assert not {option for option in options if re.search("token$|password|secret|auth", option)} - {"--token-file"}
