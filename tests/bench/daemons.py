"""The real daemon in a process of its own, and what that process uses."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.measuring import memory_bytes
from depositd.config import Rule, parse_config
from depositd.journal import FILE_NAME

DESTINATION = "vault"
SERVER = "irrmc"
READY_WITHIN_S = 300.0
_STOPS_WITHIN_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_NO_SPACE_IS_ENOUGH = "1000000TiB"
"""As the floor of free space it leaves all archiving out: what is complete waits for room."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon that runs; ``config`` is its file."""

    pid: int
    config: Path

    @property
    def journal(self) -> Path:
        """The journal's file."""
        return self.config.with_name("state") / FILE_NAME

    def cpu_s(self) -> float:
        """Return the seconds of processor time that it has used, with its threads and ended children."""
        # the command's name, in parentheses, can hold anything: what follows the last one is numbers
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS_PER_S

    def memory_bytes(self, what: str = "VmRSS") -> int:
        """Return the memory that it holds (``VmRSS``), or the most that it ever held (``VmHWM``)."""
        return memory_bytes(what, self.pid)

    def status(self) -> dict[str, Any]:
        """Return what ``depositd status --json`` says."""
        command = [sys.executable, "-P", "-m", "depositd", "--config", str(self.config), "status", "--json"]
        found: dict[str, Any] = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        return found


def write_config(directory: Path, watch: Sequence[Path], **rule: Any) -> Path:
    """Write a config whose one rule watches some directories; nothing of what it finds is archived."""
    (directory / DESTINATION).mkdir()
    return _written(directory, _config(directory, list(map(str, watch)), rule))


def write_uploading_config(directory: Path, watch: Path, url: str, **rule: Any) -> Path:
    """Write a config whose one rule sends all that it finds to a server, without asking anybody."""
    token = directory / "token"
    token.touch(0o600)
    token.write_text("bench")
    server = {"type": "proteindiffraction", "url": url, "token": {"file": str(token)}}
    config = _config(directory, [str(watch)], {"deliver": [{"to": SERVER, "approve": "auto"}], **rule})
    return _written(directory, {**config, "spool": {"min_free": "1MB"}, "destinations": {SERVER: server}})


def _written(directory: Path, config: Mapping[str, Any]) -> Path:
    file = directory / "depositd.yaml"
    file.write_text(json.dumps(config))
    (directory / "state").mkdir()
    return file


def parsed_rule(watch: str, **rule: Any) -> Rule:
    """Return a rule as a config gives it."""
    return parse_config(json.dumps(_config(Path("/nowhere"), [watch], rule)), "bench.yaml").rules[0]


def _config(directory: Path, watch: list[str], rule: Mapping[str, Any]) -> dict[str, Any]:
    deliver = [{"to": DESTINATION, "approve": "manual"}]
    return {
        "state_dir": str(directory / "state"),
        "spool": {"min_free": _NO_SPACE_IS_ENOUGH},
        "destinations": {DESTINATION: {"type": "directory", "path": str(directory / DESTINATION)}},
        "rules": [{"name": "bench", "watch": watch, "deliver": deliver, **rule}],
    }


@contextlib.contextmanager
def running(config: Path) -> Iterator[Daemon]:
    """Run the daemon, and yield it once it says that it is ready."""
    log = config.with_suffix(".log")
    address = config.with_suffix(".notify")
    command = [sys.executable, "-P", "-m", "depositd", "--config", str(config), "run", "--log-level", "warning"]
    with (
        log.open("wb") as output,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify,
    ):
        notify.bind(str(address))
        environment = {**os.environ, "NOTIFY_SOCKET": str(address)}
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=output, env=environment) as process:
            try:
                _await_ready(process, notify, log)
                yield Daemon(process.pid, config)
            finally:
                _end(process)
    address.unlink()


def _await_ready(process: subprocess.Popen[bytes], notify: socket.socket, log: Path) -> None:
    notify.settimeout(0.5)
    deadline_s = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline_s and process.poll() is None:
        with contextlib.suppress(TimeoutError):
            if "READY=1" in notify.recv(4096).decode().splitlines():
                return
    raise RuntimeError(f"the daemon did not become ready:\n{log.read_text(errors='replace')}")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(_STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
