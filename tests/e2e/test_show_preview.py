"""``depositd show ID --preview``: from a shell, against a journal that the daemon wrote."""

from __future__ import annotations

import json
import os
import subprocess
import sysconfig
from datetime import datetime
from pathlib import Path

import pytest

from depositd.simulate import writers

DEPOSITD = str(Path(sysconfig.get_path("scripts")) / "depositd")
PNG = b"\x89PNG\r\n\x1a\n"
CONFIG = """\
state_dir: {home}/state
spool: {{min_free: 1MB}}
sweep_every: 500ms
destinations:
  vault: {{type: directory, path: {home}/vault}}
rules:
  - {{name: frames, watch: {home}/data, format: frames, settle: 100ms, expect: {{frames: 2}}, deliver: [vault]}}
  - {{name: plain, watch: {home}/plain, format: file, settle: 100ms, deliver: [vault]}}
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Return a directory with a config, and a journal that knows a series (1) and a plain file (2)."""
    home = tmp_path_factory.mktemp("preview")
    for name in ("data", "plain", "vault"):
        (home / name).mkdir()
    (home / "depositd.yaml").write_text(CONFIG.format(home=home))
    for number in (1, 2):
        content = writers.cbf_frame(number, date=datetime(2026, 11, 21, 2, 14, number))  # noqa: DTZ001 - as detectors do
        (home / "data" / f"lyso_1_{number:04}.cbf").write_bytes(content)
    run(home, "run", "--until-idle")
    (home / "plain" / "a.dat").write_bytes(b"data")
    run(home, "run", "--until-idle")
    return home


def run(home, *words, status=0):
    environ = {key: value for key, value in os.environ.items() if not key.startswith(("DEPOSITD", "XDG_"))}
    done = subprocess.run(
        [DEPOSITD, *words], cwd=home, env={**environ, "HOME": str(home)}, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == status, done
    assert b"Traceback" not in done.stderr
    return done


def test_the_picture_is_written_and_where_is_said(home):
    done = run(home, "show", "1", "--preview", "lyso.png")
    assert (home / "lyso.png").read_bytes().startswith(PNG)
    assert f"its picture was written to {home}/lyso.png" in done.stdout.decode()
    assert "HISTORY" in done.stdout.decode()
    run(home, "show", "1", "--preview", "lyso.png")  # a picture may be made again
    assert sorted(path.name for path in home.iterdir() if path.name.startswith(".")) == []


def test_with_json_there_is_one_document_that_names_it(home):
    shown = json.loads(run(home, "show", "1", "--json", "--preview", "json.png").stdout)
    assert shown["preview"] == f"{home}/json.png"
    assert Path(shown["preview"]).read_bytes().startswith(PNG)
    assert "preview" not in json.loads(run(home, "show", "1", "--json").stdout)


def test_a_picture_can_go_to_stdout_alone(home):
    content = run(home, "show", "1", "--preview", "-").stdout
    assert content.startswith(PNG)
    assert content.endswith(b"IEND\xaeB`\x82")
    assert b"--json" in run(home, "show", "1", "--json", "--preview", "-", status=2).stderr


@pytest.mark.parametrize("target", ["data/x.png", "data/below/../x.png", "linked/x.png", "plain/x.png"])
def test_nothing_is_written_among_source_data(home, target):
    if not (home / "linked").is_symlink():
        (home / "linked").symlink_to(home / "data")
    (home / "data" / "below").mkdir(exist_ok=True)
    done = run(home, "show", "1", "--preview", target, status=1)
    assert b"lies in the watched directory" in done.stderr
    assert done.stdout == b""
    assert not (home / target).exists()


def test_what_is_no_picture_is_never_replaced(home):
    (home / "notes.txt").write_text("precious")
    (home / "to_notes.png").symlink_to(home / "notes.txt")
    assert b"is no PNG" in run(home, "show", "1", "--preview", "notes.txt", status=1).stderr
    assert b"no regular file" in run(home, "show", "1", "--preview", "to_notes.png", status=1).stderr
    assert b"no regular file" in run(home, "show", "1", "--preview", "vault", status=1).stderr
    assert (home / "notes.txt").read_text() == "precious"


def test_a_directory_that_is_not_there_is_said(home):
    done = run(home, "show", "1", "--preview", "nowhere/x.png", status=1)
    assert b"cannot be written: No such file or directory" in done.stderr


def test_what_has_no_picture_is_said_and_leaves_no_file(home):
    done = run(home, "show", "2", "--preview", "plain.png", status=1)
    assert done.stderr.decode().splitlines() == [
        "depositd: no picture of this kind of data can be made (file)",
        "hint: there are pictures of frames, eiger, waters-raw, bruker-d",
    ]
    assert not (home / "plain.png").exists()


def test_files_that_are_gone_are_said_to_be(home):
    frame = home / "data" / "lyso_1_0001.cbf"
    frame.rename(home / "kept.cbf")
    try:
        done = run(home, "show", "1", "--preview", "gone.png", status=1)
    finally:
        (home / "kept.cbf").rename(frame)
    assert b"the files are no longer there" in done.stderr
    assert not (home / "gone.png").exists()
