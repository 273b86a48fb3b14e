"""Where tests that need a real systemd can run."""

from __future__ import annotations

import contextlib
import functools
import os
import shlex
import shutil
import subprocess
import time
import uuid
from pathlib import Path
from typing import Self

SYSTEMD_USER = Path(__file__).with_name("systemd-user")
"""Runs a command under a systemd user manager of its own: ``[SYSTEMD_USER, directory, command, ...]``."""


@functools.cache
def why_no_systemd() -> str | None:
    """Return why no systemd manager can be started here, None where one can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [command for command in ("systemctl", "unshare") if shutil.which(command) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    if not any(Path(path).exists() for path in ("/usr/lib/systemd/systemd", "/lib/systemd/systemd")):
        return "systemd not installed"
    probe = ["unshare", "--mount", "--propagation", "private", "--", "mount", "-t", "tmpfs", "tmpfs", "/run"]
    outcome = subprocess.run(probe, capture_output=True, text=True, check=False, timeout=20)
    if outcome.returncode != 0:
        return "mount namespaces are not allowed here"
    return None


UNIT = Path(__file__).parents[2] / "systemd" / "depositd.service"

_NEEDS_A_SYSTEM_MANAGER = frozenset(
    {
        # a user manager runs everything as itself, and knows no directories below /var and /etc
        *("User", "Group", "StateDirectory", "StateDirectoryMode", "ConfigurationDirectory"),
        *("ConfigurationDirectoryMode", "WorkingDirectory", "CapabilityBoundingSet", "AmbientCapabilities"),
        # the tests' own directories lie below these
        *("PrivateTmp", "ProtectHome", "ProtectSystem"),
        # a container has hidden parts of /proc and /sys already, and nothing can be mounted over them
        *("DevicePolicy", "ProtectControlGroups", "ProtectKernelTunables", "ProtectKernelLogs"),
    }
)


def user_unit(exec_start: str, log: Path, **changes: str) -> str:
    """Return our unit as a user manager can run it: the same lines, but for what needs a system manager.

    ``changes`` replace settings or add them to [Service].
    """
    lines = []
    replaced = {
        "ExecStart": exec_start,
        "StandardOutput": f"append:{log}",
        "StandardError": f"append:{log}",
        "RestartSec": "100ms",
        **changes,
    }
    section = ""
    for line in UNIT.read_text(encoding="utf-8").splitlines():
        key = line.partition("=")[0]
        if line.startswith("["):
            section = line
        if section == "[Install]" or line.startswith("#") or key in _NEEDS_A_SYSTEM_MANAGER or key in replaced:
            continue
        lines.append(line)
        if line == "[Service]":
            lines += [f"{key}={value}" for key, value in replaced.items()]
    return "\n".join(lines) + "\n"


class UserManager:
    """A systemd user manager of its own with one unit.

    Managers in one container share its cgroups, and stop whatever has the cgroup of their unit: so its name is its own.
    """

    def __init__(self, directory: Path, unit: str) -> None:
        self.directory = directory
        self.unit = f"depositd-{uuid.uuid4().hex}.service"
        units = directory / "config/systemd/user"
        units.mkdir(parents=True)
        (units / self.unit).write_text(unit, encoding="utf-8")

    def __enter__(self) -> Self:
        self._errors = (self.directory / "shell.log").open("w", encoding="utf-8")
        self._shell = subprocess.Popen(
            [SYSTEMD_USER, self.directory, "bash", "-s"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        with contextlib.suppress(OSError):
            self._shell.stdin.close()
        try:
            self._shell.wait(20)
        except subprocess.TimeoutExpired:
            self._shell.kill()
            self._shell.wait()
        self._shell.stdout.close()
        self._errors.close()

    def run(self, *command: str, background: bool = False) -> tuple[int, str]:
        """Run a command beside the manager; return its exit status and output."""
        assert self._shell.stdin is not None
        assert self._shell.stdout is not None
        end = f"end-{time.monotonic_ns()}"
        how = "&" if background else "2>&1"
        self._shell.stdin.write(f"{shlex.join(command)} </dev/null {how}\nstatus=$?\necho; echo {end} $status\n")
        self._shell.stdin.flush()
        lines: list[str] = []
        for line in self._shell.stdout:
            if line.startswith(end):
                return int(line.split()[1]), "\n".join(lines).strip()
            lines.append(line.rstrip("\n"))
        raise AssertionError(f"the manager ended: {lines}")

    def systemctl(self, *arguments: str) -> str:
        """Run ``systemctl --user`` on our unit; fails with what it says where it fails."""
        status, said = self.run("systemctl", "--user", *arguments, self.unit)
        assert status == 0, f"{arguments}: {said}\n{self.show()}"
        return said

    def start(self, *, wait: bool = True) -> None:
        """Start the service, and wait until it is ready."""
        self.systemctl("start", *([] if wait else ["--no-block"]))

    def show(self) -> dict[str, str]:
        """Return the state of the service."""
        wanted = ("ActiveState", "SubState", "NRestarts", "Result", "StatusText", "MainPID", "ExecMainStatus")
        status, said = self.run("systemctl", "--user", "show", self.unit, *(f"--property={key}" for key in wanted))
        assert status == 0, said
        return dict(line.split("=", 1) for line in said.splitlines() if "=" in line)

    def pid(self) -> int:
        """Return the process of the service, 0 while there is none."""
        return int(self.show()["MainPID"])
