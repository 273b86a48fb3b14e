"""A small beamline for end-to-end tests: the installed command, a config, real frames, both servers."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from depositd.sandbox.server import Sandbox
from depositd.simulate.writers import cbf_frame, thermo_raw_bytes

BEGAN = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)


def write_series(directory: Path, prefix: str, frames: int, *, first: int = 1, seed: int = 0) -> None:
    """Write whole miniCBF frames, as a Pilatus names them."""
    directory.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + frames):
        content = cbf_frame(number, shape=(64, 64), seed=seed, exposure_s=0.01, period_s=0.01, date=BEGAN)
        (directory / f"{prefix}_{number:05d}.cbf").write_bytes(content)


def write_run(directory: Path, name: str, scans: int = 20) -> Path:
    """Write one finished Thermo-like file; another number of scans is another content."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{name}.raw"
    path.write_bytes(thermo_raw_bytes(in_acquisition=False, scans=scans))
    return path


class Beamline:
    """One state directory with its config and the command that works on it."""

    def __init__(self, directory: Path, sandbox: Sandbox | None = None) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.vault = directory / "vault"
        self.state = directory / "state"
        self.home = directory / "home"
        for path in (self.data, self.vault, self.home):
            path.mkdir()
        self.config = directory / "depositd.yaml"
        self.sandbox = sandbox
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.home),
            "LANG": "C.UTF-8",
            "PDI_TOKEN": sandbox.pdi_token if sandbox else "",
            "PQC_TOKEN": sandbox.pqc_token if sandbox else "",
        }
        self.environment = {key: value for key, value in self.environment.items() if value}

    def configure(self, rules: str, *, more: str = "") -> None:
        """Write a config with the sandbox's servers (irrmc, qc) and the vault, and the given rules."""
        servers = ""
        if self.sandbox is not None:
            box = self.sandbox
            servers = (
                f"  irrmc: {{type: proteindiffraction, url: '{box.pdi_url}', token: {{env: PDI_TOKEN}},"
                f" poll_every: 300ms}}\n"
                f"  qc: {{type: proteomicsqc, url: '{box.pqc_url}', token: {{env: PQC_TOKEN}},"
                f" project: {box.project}, pipeline: {box.pipeline}, confirm_within: 20s}}\n"
            )
        self.config.write_text(
            f"state_dir: {self.state}\n"
            "spool: {min_free: 1MiB}\n"
            "retry: {first: 200ms, longest: 1s}\n"
            f"sweep_every: 2s\n{more}"
            f"destinations:\n{servers}"
            f"  vault: {{type: directory, path: {self.vault}}}\n"
            f"rules:\n{rules}",
            encoding="utf-8",
        )

    def run(self, *arguments: str, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [*COMMAND, "--config", str(self.config), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            env=self.environment,
            cwd=self.directory,
            errors="surrogateescape",
            check=False,
        )

    def start(self, *arguments: str) -> Running:
        """Start the daemon."""
        return Running(self, [*COMMAND, "--config", str(self.config), "run", *arguments])

    def status(self) -> dict[str, Any]:
        """Return the JSON of ``status``."""
        result = self.run("status", "--json")
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def dataset(self, name: str) -> dict[str, Any]:
        """Return one current dataset by its name."""
        found = [one for one in self.status()["datasets"] if one["name"] == name]
        assert len(found) == 1, found
        return found[0]

    def delivery_state(self, name: str, destination: str) -> str | None:
        """Return the state of one delivery, None while there is none."""
        found = [one for one in self.status()["datasets"] if one["name"] == name]
        return next(
            (one["state"] for data in found for one in data["deliveries"] if one["destination"] == destination), None
        )

    def deliveries(self, name: str) -> Mapping[str, dict[str, Any]]:
        """Return a dataset's deliveries by destination."""
        return {one["destination"]: one for one in self.dataset(name)["deliveries"]}


COMMAND = [sys.executable, "-m", "depositd"]


class Running:
    """A daemon under way; its log goes to a file."""

    def __init__(self, beamline: Beamline, command: list[str]) -> None:
        self.log_file = beamline.directory / "daemon.log"
        self._log = self.log_file.open("ab")
        self.process = subprocess.Popen(
            command,
            stdout=self._log,
            stderr=self._log,
            stdin=subprocess.DEVNULL,
            env=beamline.environment,
            cwd=beamline.directory,
        )

    @property
    def log(self) -> str:
        """What it has logged so far, over all starts."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait(10)

    def stop(self, timeout_s: float = 15.0) -> int:
        """Ask it to end, and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout_s)

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait until it ends by itself."""
        try:
            return self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the daemon does not end:\n{self.log[-4000:]}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.kill()
        self._log.close()


def until(condition: Callable[[], bool], timeout_s: float = 30.0, what: str = "") -> None:
    """Wait until something is so; fails with what was waited for."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"it is still not so after {timeout_s} s: {what}"
        time.sleep(0.05)
