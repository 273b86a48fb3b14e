"""The installed command ``depositd demo``, from an empty home directory."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

DEPOSITD = str(Path(sys.executable).with_name("depositd"))
WITHIN_S = 110
DATASETS = ("lyso_1", "insulin_1", "hela_07", "plasma_3", "thau_1")


@pytest.fixture
def environment(tmp_path) -> dict[str, str]:
    """Return an environment in which nobody has ever run anything."""
    (tmp_path / "home").mkdir()
    (tmp_path / "tmp").mkdir()
    return {
        "HOME": str(tmp_path / "home"),
        "TMPDIR": str(tmp_path / "tmp"),
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
    }


def everything_in(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*"))


@pytest.mark.timeout(WITHIN_S + 30)
def test_the_demo_proves_each_ending_and_leaves_nothing_behind(tmp_path, environment):
    svg = tmp_path / "demo.svg"
    ended = subprocess.run(
        [DEPOSITD, "demo", "--svg", str(svg)],
        check=False,
        env=environment,
        capture_output=True,
        text=True,
        timeout=WITHIN_S,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr

    rows = {line.split()[3]: line for line in ended.stdout.splitlines() if line.startswith("│ ✔")}
    assert tuple(rows) == DATASETS
    assert "✘" not in ended.stdout
    assert [("delivered" in rows[name]) for name in DATASETS] == [True, True, True, True, False]
    assert "held" in rows["thau_1"]
    assert ended.stdout.count("published, sent once, MD5 ") == 2
    assert "processed, once, MD5 " in ended.stdout
    assert "vault/plasma_3.tar.zst, SHA-256 " in ended.stdout
    assert "truncated: 24 of 48 frames" in ended.stdout
    assert "Proven: " in ended.stdout

    # it was watched while it grew, and the upload whose answer was lost was asked for, not sent again
    lines = ended.stderr.splitlines()
    order = [next(number for number, line in enumerate(lines) if text in line) for text in (
        "lyso_1: the Pilatus begins",
        "lyso_1: found while it grows",
        "lyso_1: the Pilatus ends after 48 of 48 frames",
        "lyso_1: archived as lyso_1.tar.zst",
        "lyso_1: delivery to irrmc is delivered, there it is published",
    )]  # fmt: skip
    assert order == sorted(order)
    assert ended.stderr.count(" is unconfirmed: ") == 1

    assert everything_in(tmp_path / "home") == []
    assert everything_in(tmp_path / "tmp") == []
    text = "".join(ET.parse(svg).getroot().itertext())
    assert all(name in text for name in DATASETS)


def test_ctrl_c_stops_everything_and_is_130(tmp_path, environment):
    """On a terminal, where Ctrl-C comes from."""
    controller, terminal = pty.openpty()
    process = subprocess.Popen(
        [DEPOSITD, "demo"],
        env={**environment, "TERM": "xterm", "COLUMNS": "120"},
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    )
    os.close(terminal)
    try:
        shown = read_until(controller, b"growing", within_s=60)
        process.send_signal(signal.SIGINT)
        shown += read_until(controller, b"everything is stopped", within_s=30)
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        process.wait()
        os.close(controller)
    assert b"Traceback" not in shown
    assert everything_in(tmp_path / "tmp") == []


def read_until(descriptor: int, text: bytes, within_s: float) -> bytes:
    """Read a terminal until a text has come."""
    deadline_s = time.monotonic() + within_s
    read = b""
    while text not in read:
        ready, _, _ = select.select([descriptor], [], [], max(deadline_s - time.monotonic(), 0))
        assert ready, read.decode(errors="replace")
        read += os.read(descriptor, 65536)
    return read


@pytest.mark.parametrize("options", [["--dir", "full"], ["--svg", "nowhere/demo.svg"], ["--svg", "full"]])
def test_what_cannot_be_used_is_said_before_anything_starts(tmp_path, environment, options):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "data.cbf").write_bytes(b"precious")
    ended = subprocess.run(
        [DEPOSITD, "demo", *options],
        check=False,
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert options[0] in ended.stderr
    assert everything_in(tmp_path / "full") == ["data.cbf"]
    assert ended.stdout == ""
