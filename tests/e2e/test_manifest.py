"""What is in an archive, proven with the tools that everybody has: tar, zstd, sha256sum, jq."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys

import pytest
from archive_support import write_tree
from command_support import DEPOSITD, Command

CONFIG = """\
state_dir: {home}/state
spool: {{min_free: 1MB}}
sweep_every: 500ms
destinations: {{vault: {{type: directory, path: {home}/vault}}}}
rules:
  - name: trees
    watch: {home}/data
    format: directory
    settle: 200ms
    deliver: [vault]
    {more}
"""
CONTENTS = {
    b"tree/plain.dat": b"1",
    b"tree/empty": b"",
    b"tree/ with  spaces ": b"2",
    b"tree/new\nline": b"3",
    b"tree/back\\slash": b"4",
    b"tree/back\\new\nline\\": b"5",
    b"tree/return\r": b"6",
    b"tree/\\n": b"7",
    b"tree/-dash": b"8",
    b"tree/*star": b"9",
    b"tree/#hash": b"10",
    b"tree/tab\tand\x1bescape": b"11",
    b"tree/not-utf8-\xff\xfe": b"12",
    "tree/Größe µm".encode(): b"13",
    b"tree/" + b"x" * 255: b"14",
    b"tree/" + b"/".join([b"d" * 150] * 4) + b"/leaf": b"15",
}


@pytest.fixture
def place(tmp_path):
    """Return a command whose config watches ``data`` for directories."""
    for name in ("data", "vault", "unpacked"):
        (tmp_path / name).mkdir()
    configure(tmp_path)
    return Command(tmp_path)


def configure(home, more=""):
    (home / "depositd.yaml").write_text(CONFIG.format(home=home, more=more))


def output(place, *words):
    """Return the bytes that a command writes."""
    done = subprocess.run([DEPOSITD, *words], cwd=place.home, env=place.env({}), check=False, capture_output=True)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


def sha256sum_c(manifest, directory):
    """Return what ``sha256sum -c`` finds wrong in ``directory``; every line has to be well formed."""
    done = subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "-"],
        cwd=directory,
        input=manifest,
        check=False,
        capture_output=True,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert b"improperly formatted" not in done.stderr
    assert (done.returncode == 0) == (done.stdout == b"")
    return done.stdout


def unpack(place):
    (archive,) = (place.home / "vault").iterdir()
    subprocess.run(["tar", "-I", "zstd", "-xf", archive, "-C", place.home / "unpacked"], check=True)


def test_sha256sum_finds_whole_what_tar_unpacked_and_what_still_lies_at_the_source(place):
    write_tree(place.home / "data", CONTENTS)
    place.run("run", "--until-idle")
    unpack(place)
    manifest = output(place, "show", "1", "--manifest")
    assert manifest.count(b"\n") == len(CONTENTS)
    assert sha256sum_c(manifest, place.home / "unpacked") == b""
    # line for line what sha256sum itself writes of these files
    names = sorted(CONTENTS)
    theirs = subprocess.run(
        ["sha256sum", "--", *names], cwd=place.home / "unpacked", check=True, capture_output=True
    ).stdout
    assert manifest == theirs
    # the source is checked from anywhere
    at_source = output(place, "show", "1", "--manifest", "--at-source")
    assert sha256sum_c(at_source, "/") == b""
    bad = os.path.join(os.fsencode(place.home / "data"), b"tree/new\nline")
    with open(bad, "wb") as file:
        file.write(b"x")
    assert sha256sum_c(at_source, "/").endswith(b"tree/new\\nline: FAILED\n")
    assert sha256sum_c(manifest, place.home / "unpacked") == b""


def test_the_manifest_outlives_the_archive_in_the_spool_and_is_json_too(place):
    configure(place.home, "keep_archive: 0s")
    write_tree(place.home / "data", {b"tree/a": b"one", b"tree/\xff": b"two"})
    place.run("run", "--until-idle")
    unpack(place)
    place.run("run", "--until-idle")  # the next start cleans up
    shown = place.json("show", "1")
    assert shown["archive"]["path"] is None
    assert sha256sum_c(output(place, "show", "1", "--manifest"), place.home / "unpacked") == b""
    manifest = place.json("show", "1", "--manifest")
    assert {key: manifest[key] for key in ("id", "name", "archive")} == {
        "id": 1,
        "name": "tree",
        "archive": shown["archive"],
    }
    assert [set(member) for member in manifest["members"]] == [{"path", "bytes", "mtime", "sha256"}] * 2
    assert [os.fsencode(member["path"]) for member in manifest["members"]] == [b"tree/a", b"tree/\xff"]
    there = os.stat(place.home / "data" / "tree" / "a")
    assert manifest["members"][0]["mtime"].endswith(f".{there.st_mtime_ns % 1_000_000_000:09}Z")
    assert manifest["members"][0]["bytes"] == 3
    at_source = place.json("show", "1", "--manifest", "--at-source")["members"]
    assert at_source[0]["path"] == f"{place.home}/data/tree/a"


def test_what_was_not_packed_has_no_manifest_and_says_why(place):
    write_tree(place.home / "data", {b"tree/a": b"one"})
    os.mkfifo(place.home / "data" / "tree" / "pipe")
    place.run("run", "--until-idle", status=3)
    done = place.run("show", "1", "--manifest", status=1)
    assert done.stdout == ""
    assert done.stderr.startswith(
        "depositd: dataset 1 (tree) has no archive, and so no manifest: it is incomplete (corrupt): "
    )
    assert "hint: depositd explain 1 says why" in done.stderr
    assert "there is no dataset 9" in place.run("show", "9", "--manifest", status=1).stderr
    for words in (["--at-source"], ["--manifest", "--preview", "x.png"]):
        assert place.run("show", "1", *words, status=2).stdout == ""


def test_each_line_of_an_export_is_a_whole_document_with_all_that_is_needed_to_check_the_archive(place):
    for name in ("one", "two"):
        write_tree(
            place.home / "data", {path.replace(b"tree/", name.encode() + b"/"): b for path, b in CONTENTS.items()}
        )
    place.run("run", "--until-idle")
    exported = output(place, "journal", "export")
    lines = [json.loads(line) for line in exported.splitlines()]
    assert [line["name"] for line in lines] == ["one", "two"]
    for line in lines:
        shown = place.json("show", str(line["id"]))
        manifest = place.json("show", str(line["id"]), "--manifest")
        (archive,) = line.pop("archives")
        assert line == shown
        assert archive == {**shown["archive"], "members": manifest["members"]}
        assert len(archive["members"]) == len(CONTENTS)
        assert archive["sha256"] == sha256_of(place.home / "vault" / archive["name"])
    if shutil.which("jq"):  # as the README does it
        words = ["jq", "-r", r'select(.name == "two").archives[].members[] | "\(.bytes)  \(.sha256)"']
        made = subprocess.run(words, input=exported, check=True, capture_output=True).stdout
        assert made.decode().splitlines() == [f"{one['bytes']}  {one['sha256']}" for one in archive["members"]]
    tool = [sys.executable, "-m", "json.tool", "--json-lines", "--no-indent"]
    assert subprocess.run(tool, input=exported, check=True, capture_output=True).stdout.count(b"\n") == len(lines)


def sha256_of(path):
    return subprocess.run(["sha256sum", path], check=True, capture_output=True, text=True).stdout.split()[0]
