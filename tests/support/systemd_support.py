"""Where tests that need a real systemd can run."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from pathlib import Path

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
