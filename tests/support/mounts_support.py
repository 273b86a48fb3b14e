"""Where tests can mount file systems of their own, seen by nobody else."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from pathlib import Path

_AS_ROOT = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
NAMESPACE = ["unshare", *_AS_ROOT, "--mount", "--propagation", "private", "--"]
"""Runs a command in a mount namespace of its own, which ends with it."""


@functools.cache
def why_no_mounts() -> str | None:
    """Return why nothing can be mounted here, None where it can."""
    if shutil.which("unshare") is None:
        return "unshare not installed"
    probe = [*NAMESPACE, "mount", "-t", "tmpfs", "tmpfs", "/run"]
    outcome = subprocess.run(probe, capture_output=True, check=False, timeout=20)
    return None if outcome.returncode == 0 else "mount namespaces are not allowed here"


def run_on_tmpfs(directory: Path, size: str, script: str, *arguments: str) -> str:
    """Run a Python script with a tmpfs of ``size`` at ``directory`` and return what it prints.

    The script finds the modules beside this one; ``sys.argv[1:]`` are the directory and the arguments.
    """
    mount = f'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$0" -c "$2" "$1" "${{@:3}}"'
    command = [*NAMESPACE, "bash", "-c", mount, sys.executable, str(directory), script, *arguments]
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60).stdout
