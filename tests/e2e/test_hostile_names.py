"""Names that somebody chose to harm a terminal, a page or a server, all the way from the disk to the archive."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import socket
import stat
import subprocess
import tarfile
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

import pytest
import zstandard
from beamline_support import COMMAND, Beamline, until, write_run, write_series

from depositd.sandbox import running
from depositd.units import printable

pytestmark = pytest.mark.fault(13)

NAMES = [
    b"new\nline",
    b"\r\rover",
    b"\x1b[7;5;31mred",
    b"\x1b]8;;http:evil\x07link\x1b]8;;\x07",
    b"\x1b]52;c;ZXZpbA==\x07",
    b"\x1bPq\x1b\\",
    b"c1\xc2\x9b7;5mred",
    b"\xe2\x80\xaefbc.nogib",
    b"zero\xe2\x80\x8bwidth",
    b"\xe2\x80\xa8line",
    b"\xff\xfe\x80no text",
    b"\xed\xb2\x80surrogate",
    b"<img src=x onerror=alert(1)>",
    b"quote'\"`$(id);&|",
    b"-rf",
    b"--config=x",
    b"trailing ",
    b" leading",
    b"x..",
    b"x/../".replace(b"/", b"\xe2\x88\x95"),
    b"CON",
    b"{name}{x.__class__}{0}{{",
    b"%s%n%(x)s",
    b"[bold red]x[!]",
    b"=1+1,;\tcsv",
    b"\\..\\..\\up",
    b"\x7f\x08\x08del",
    "ä".encode() * 60,
]
LONGEST = b"n" * 251
"""With .dat, all that a name can be."""

RULES = """
  - {{name: files, watch: {data}/files, format: file, settle: 1s, deliver: [vault],
     archive: {{name: "{{name}}-{{rule}}"}}}}
  - {{name: trees, watch: {data}/trees, format: directory, settle: 1s, deliver: [vault]}}
  - {{name: px, watch: {data}/px, format: frames, settle: 1s, metadata: {{set: {{pdb_code: 1ABC}}}},
     deliver: [{{to: irrmc, approve: auto}}]}}
  - {{name: ms, watch: {data}/ms, format: thermo-raw, settle: 1s, deliver: [qc]}}
  - {{name: links, watch: {data}/links, format: file, settle: 1s, on_incomplete: deliver, deliver: [vault]}}
"""
SPOKEN = re.compile(r"\x1b\[[0-9;]*m|\x1b\[\?25[lh]|\x1b\[[0-9]*[ABKJH]|\r(?=\x1b\[)")
"""What a terminal may be told: colours, and where to write."""


def harm_in(text, *, newlines=True):
    """Return what must not be in a text that a terminal or a log shows."""
    rest = SPOKEN.sub("", text)
    found = {character for character in rest if not character.isprintable() and not (newlines and character == "\n")}
    found |= {code for code in ("\x1b[7;5", "\x1b]8", "\x1b]52", "\x1bP") if code in text}
    return found


def on_a_terminal(beamline, *words):
    """Return what a command writes to a terminal."""
    ours, theirs = pty.openpty()
    environment = {**beamline.environment, "TERM": "xterm-256color", "COLUMNS": "200"}
    command = [*COMMAND, "--config", str(beamline.config), *words]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said, deadline_s = b"", time.monotonic() + 60
        while time.monotonic() < deadline_s:
            if select.select([ours], [], [], 0.1)[0]:
                try:
                    said += os.read(ours, 1 << 16)
                except OSError:  # nobody writes any more
                    break
            elif process.poll() is not None:
                break
        process.kill()
    os.close(ours)
    return said.decode().replace("\r\n", "\n")


def below(name):
    """Return a member's name; of a file that is a dataset, without the directory that it unpacks into."""
    return name.partition(b"/")[2] if name.endswith(b".dat") else name


def members(archive):
    """Return what an archive holds, by the bytes of its names."""
    unpacker = zstandard.ZstdDecompressor()
    with (
        archive.open("rb") as file,
        unpacker.stream_reader(file, read_across_frames=True) as plain,
        tarfile.open(fileobj=plain, mode="r|", encoding="utf-8", errors="surrogateescape") as tar,
    ):
        return {
            below(os.fsencode(member.name)): tar.extractfile(member).read() if member.isreg() else member.type
            for member in tar
            if not member.isdir()
        }


def archives_in(directory):
    return [path for path in directory.rglob("*") if path.name.endswith(".tar.zst")]


def put(directory, name, content):
    os.makedirs(directory, exist_ok=True)
    with open(os.path.join(os.fsencode(directory), name), "wb") as file:
        file.write(content)


@pytest.fixture
def sandbox():
    with running(pace_s=0.1) as box:
        yield box


def test_no_name_harms_anybody_on_its_way(tmp_path, sandbox):
    beamline = Beamline(tmp_path, sandbox)
    data = beamline.data
    for number, name in enumerate(NAMES):
        put(data / "files", name + b".dat", b"file %d" % number)
        put(os.fsencode(data / "trees") + b"/" + name + b"_", name + b"_", b"tree %d" % number)
    put(data / "files", LONGEST + b".dat", b"longest")
    for number in (0, 2, 10, 12, 13):
        name = os.fsdecode(NAMES[number])
        write_series(data / "px" / name, f"{name}_1", 2, seed=number)
        write_run(data / "ms", name, scans=20 + number)
    (data / "links").mkdir()
    beamline.configure(RULES.format(data=data), more="web: {listen: '127.0.0.1:0'}\n")
    shown = {}
    with beamline.start("--log-level", "debug") as daemon:
        until(lambda: settled(beamline) == 2 * len(NAMES) + 11, timeout_s=60, what=settled(beamline))
        page = re.findall(r"http://127\.0\.0\.1:\d+/", daemon.log)[-1]
        with urllib.request.urlopen(f"{page}api/status") as answer:
            assert answer.headers["Content-Type"] == "application/json"
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            shown["page"] = answer.read().decode()
        assert daemon.stop() == 0
    document = beamline.status()
    states = {
        (one["name"], to["destination"]): (to["state"], to["error"])
        for one in document["datasets"]
        for to in one["deliveries"]
    }
    assert {state for state, _why in states.values()} == {"delivered"}, states

    # the archives hold exactly the bytes that were there, under exactly the names
    found = {}
    for archive in archives_in(beamline.vault):
        assert len(os.fsencode(archive.name)) <= 255
        found |= members(archive)
    expected = {name + b".dat": b"file %d" % number for number, name in enumerate(NAMES)}
    expected |= {name + b"_/" + name + b"_": b"tree %d" % number for number, name in enumerate(NAMES)}
    assert found == expected | {LONGEST + b".dat": b"longest"}

    # every name is told whole in JSON, and harms no terminal elsewhere
    names = {os.fsencode(one["name"]) for one in document["datasets"]}
    assert names >= {*NAMES, LONGEST}
    commands = [
        "status --all",
        "scan",
        "journal export",
        "scan --json",
        "status --json",
        "show 1",
        "show 1 --json",
        "check",
    ]
    commands += [f"show {one['id']}" for one in document["datasets"][::16]]
    with ThreadPoolExecutor(4) as pool:
        done = pool.map(lambda one: beamline.run(*one.split()), commands)
        shown |= {command: one.stdout + one.stderr for command, one in zip(commands, done, strict=True)}
        explained = [data / "files" / os.fsdecode(name + b".dat") for name in NAMES[::7]]
        for path, one in zip(
            explained, pool.map(lambda path: beamline.run("explain", str(path)), explained), strict=True
        ):
            shown[f"explain {printable(str(path))}"] = one.stdout + one.stderr
            assert "the journal knows nothing" not in one.stdout
        watched = ["status --all", "scan", "show 3"]
        shown |= {
            f"{one} on a terminal": said
            for one, said in zip(
                watched, pool.map(lambda one: on_a_terminal(beamline, *one.split()), watched), strict=True
            )
        }
    shown["log"] = daemon.log
    for place, text in shown.items():
        assert not harm_in(text), (place, harm_in(text))
        if "json" in place or place in ("page", "journal export"):
            assert text.isascii(), place
    assert len(shown["journal export"].splitlines()) >= len(document["datasets"])
    assert all(json.loads(line) for line in shown["journal export"].splitlines())
    for name in ("new\\nline", "\\x1b[7;5;31mred", "\\xff\\xfe\\x80no text", "[bold red]x[!]", "\\u202efbc"):
        assert name in shown["status --all"], name
        assert name in shown["status --all on a terminal"].replace("\n", ""), name


def settled(beamline):
    found = beamline.run("status", "--json")
    datasets = json.loads(found.stdout)["datasets"] if found.returncode == 0 else []
    return sum(
        1
        for one in datasets
        if one["deliveries"] and all(to["state"] in ("delivered", "held", "failed") for to in one["deliveries"])
    )


def test_what_is_no_plain_file_is_refused_by_its_name(tmp_path):
    beamline = Beamline(tmp_path)
    links, secret = beamline.data / "links", tmp_path / "secret"
    secret.write_text("kept")
    trap = links / "evil\x1b[2J"
    trap.mkdir(parents=True)
    (trap / "out.dat").symlink_to(secret)
    (trap / "up.dat").symlink_to("../../../secret")
    (trap / "dir.dat").symlink_to("/etc")
    (trap / "gone.dat").symlink_to("nowhere\n")
    os.mkfifo(trap / "pipe\n.dat")
    os.mknod(trap / "null.dat", stat.S_IFCHR | 0o600, os.makedev(1, 3))
    here = os.getcwd()
    os.chdir(trap)  # the name of a socket has room for 100 bytes
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind("sock.dat")
        os.chdir(here)
        (trap / "one.dat").write_text("hard")
        os.link(trap / "one.dat", trap / "two.dat")
        beamline.configure(one_rule(beamline.data))
        with beamline.start("--until-idle") as daemon:
            assert daemon.wait() == 3, daemon.log
    found = {one["name"]: (one["verdict"], "; ".join(one["evidence"])) for one in beamline.status()["datasets"]}
    kinds = {"out": "symbolic link", "up": "symbolic link", "dir": "symbolic link", "gone": "symbolic link"}
    kinds |= {"pipe\n": "named pipe", "null": "device", "sock": "socket"}
    for name, kind in kinds.items():
        verdict, evidence = found[name]
        assert verdict == "corrupt"
        assert f"{printable(name)}.dat is a" in evidence
        assert kind.lower() in evidence.lower(), evidence
    sent = {name: content for archive in archives_in(beamline.vault) for name, content in members(archive).items()}
    # a hard link is a file like any other: each is whole in its own archive
    assert sent == {b"one.dat": b"hard", b"two.dat": b"hard"}
    assert "kept" not in json.dumps(beamline.status())
    assert secret.read_text() == "kept"


def one_rule(data):
    keys = "format: file, settle: 1s, on_incomplete: deliver, deliver: [vault]"
    return f"  - {{name: links, watch: {data}/links, {keys}}}\n"


@pytest.mark.long
def test_a_name_that_stops_an_expression_is_held_and_stops_nothing_else(tmp_path):
    beamline = Beamline(tmp_path)
    stopper = "a" * 60 + "!"
    for name in (stopper, "aaa", stopper[:-1] + "?"):
        put(beamline.data, os.fsencode(name), b"x" + name.encode())
    rule = f"name: f, watch: {beamline.data}, format: file, settle: 500ms, deliver: [vault]"
    beamline.configure(f"  - {{{rule}, metadata: {{path: '(?P<sample>(a|aa)+)$'}}}}\n")
    with beamline.start() as daemon:
        until(lambda: beamline.delivery_state("aaa", "vault") == "delivered", what=daemon.log)
        until(lambda: beamline.delivery_state(stopper, "vault") == "held", what=daemon.log)
        until(lambda: beamline.delivery_state(stopper[:-1] + "?", "vault") == "held", what=daemon.log)
        held = beamline.dataset(stopper)
        (delivery,) = held["deliveries"]
        assert delivery["error"] == (
            "metadata: metadata.path: '(?P<sample>(a|aa)+)$' took more than 0.2 s on a path of 61 characters"
            " and was given up, so the path gave nothing"
        )
        assert delivery["hint"].startswith("write a simpler metadata.path, reload the config and release it, or give")
        assert beamline.dataset("aaa")["metadata"]["sample"] == "aaa"
        assert beamline.run("release", str(held["id"]), "--set", "sample=lyso").returncode == 0
        until(lambda: beamline.delivery_state(stopper, "vault") == "delivered", what=daemon.log)
        beamline.configure(f"  - {{{rule}, metadata: {{path: '(?P<sample>a+)'}}}}\n")
        daemon.process.send_signal(signal.SIGHUP)
        until(lambda: "config reloaded" in daemon.log, what=daemon.log)
        other = beamline.dataset(stopper[:-1] + "?")
        assert beamline.run("release", str(other["id"])).returncode == 0
        until(lambda: beamline.delivery_state(stopper[:-1] + "?", "vault") == "delivered", what=daemon.log)
        assert daemon.stop() == 0
