"""The instruments' data is only ever read: the installed command on every simulated format, watched from inside."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote

import pytest
from beamline_support import Beamline
from typer.testing import CliRunner

from depositd.cli.app import program
from depositd.simulate import SIMULATORS

OPENED = Path(__file__).parents[1] / "support" / "opened.py"
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ALIASES = {"frames"}
"""Another name for what is there already."""
FAST = ("--rate", "100000", "--frames", "4", "--shape", "20x30", "--frame-bytes", "100")


class Opened:
    """What the processes of a command opened and changed, by the names that they gave to the system."""

    def __init__(self, log: Path, root: Path) -> None:
        records = log.read_bytes().decode("utf-8", "surrogateescape").split("\n\0")[:-1]
        self.all = [record.split("\0") for record in records]
        self._root = str(root)

    def _is_ours(self, path: str) -> bool:
        # a name alone is opened below a directory that is held open, which the daemon does in sources only
        return unquote(path).removeprefix("file://").startswith(self._root) or not path.startswith(("/", "file:"))

    @property
    def opens(self) -> list[tuple[int, str]]:
        found = [(int(flags), path) for event, flags, path, *_ in self.all if event == "open"]
        return [(flags, path) for flags, path in found if self._is_ours(path) and not path.isdigit()]

    @property
    def databases(self) -> list[str]:
        return [path for event, _, path, *_ in self.all if event == "sqlite3.connect" and self._is_ours(path)]

    @property
    def changes(self) -> list[list[str]]:
        others = [record for record in self.all if record[0] not in ("open", "sqlite3.connect")]
        return [record for record in others if any(part.startswith(self._root) for part in record[2:])]


def everything_below(root: Path) -> dict[str, tuple[int, ...]]:
    """Return of every file and directory what a change to it would change; reading may move the access time."""
    found = {}
    for directory, _, names in os.walk(root):
        for path in [directory, *(os.path.join(directory, name) for name in names)]:
            now = os.lstat(path)
            found[path] = (now.st_ino, now.st_mode, now.st_nlink, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
    return found


@pytest.fixture
def watched(tmp_path):
    beamline = Beamline(tmp_path)
    beamline.environment |= {"OPENED_LOG": str(tmp_path / "opened"), "PYTHONPATH": str(tmp_path / "site")}
    (tmp_path / "site").mkdir()
    shutil.copy(OPENED, tmp_path / "site" / "sitecustomize.py")
    return beamline


def rules(data: Path, gentle: str) -> str:
    common = f"settle: 300ms, gentle: {gentle}, deliver: [vault]"
    return (
        f"  - {{name: all, watch: {data}, format: auto, exclude: [file/**, directory/**, sciex/**], {common}}}\n"
        f"  - {{name: file, watch: {data}, format: file, include: ['file/**'], {common}}}\n"
        f"  - {{name: directory, watch: {data}, format: directory, include: ['directory/**'], {common}}}\n"
        # a Sciex dataset is waited for for an hour, unless somebody says that it has ended
        f"  - {{name: sciex, watch: {data}/sciex, format: sciex, marker: '*.done', {common}}}\n"
    )


@pytest.mark.parametrize("gentle", ["false", "{read_rate: 50MB/s}"])
def test_no_file_of_any_format_is_opened_for_writing(watched, gentle):
    names = [name for name in SIMULATORS if name not in ALIASES]
    for name in names:
        done = CliRunner().invoke(
            program(["simulate"]), ["simulate", name, str(watched.data / name), "--name", f"{name}_1", *FAST]
        )
        assert done.exit_code == 0, done.output
    (watched.data / "sciex" / "sciex_1.done").touch()
    watched.configure(rules(watched.data, gentle))
    before = everything_below(watched.data)
    for words in (["check"], ["scan"], ["explain", str(watched.data / "bruker-d")], ["run", "--until-idle"]):
        done = watched.run(*words)
        assert done.returncode == 0, done.stderr
    found = watched.status()["datasets"]
    assert {one["name"]: one["state"] for one in found} == {f"{name}_1": "archived" for name in names}

    opened = Opened(watched.directory / "opened", watched.data)
    assert [(oct(flags), path) for flags, path in opened.opens if flags & WRITES] == []
    assert opened.changes == []
    assert everything_below(watched.data) == before
    # SQLite must not even take a lock
    assert opened.databases
    assert [path for path in opened.databases if "mode=ro" not in path or "immutable=1" not in path] == []
    # and the log is worth something: it holds every file that was archived
    read = {os.path.basename(path) for _, path in opened.opens}
    written = {os.path.basename(path) for path in before if os.path.isfile(path)}
    assert written - read <= {"sciex_1.done"}


def test_what_would_be_a_write_is_seen(watched):
    """The same log of a process that does what depositd never does."""
    (watched.data / "a").write_bytes(b"")
    code = (
        "import os, sqlite3, sys\n"
        "path = sys.argv[1]\n"
        "open(path, 'r+').close()\n"
        "os.close(os.open('a', os.O_WRONLY, dir_fd=os.open(os.path.dirname(path), os.O_RDONLY)))\n"
        "os.utime(path)\n"
        "sqlite3.connect(f'file://{path}?mode=ro', uri=True)\n"
    )
    subprocess.run(
        [sys.executable, "-c", code, str(watched.data / "a")], env=watched.environment, check=True, timeout=60
    )
    opened = Opened(watched.directory / "opened", watched.data)
    assert len([path for flags, path in opened.opens if flags & WRITES]) == 2
    assert [record[0] for record in opened.changes] == ["os.utime"]
    assert [path for path in opened.databases if "immutable=1" not in path] == [f"file://{watched.data}/a?mode=ro"]
