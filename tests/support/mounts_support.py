"""Where tests can mount file systems and set limits of their own, seen by nobody else."""

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


@functools.cache
def why_no_watch_limit() -> str | None:
    """Return why the number of inotify watches cannot be lowered here for one process, None where it can."""
    if shutil.which("unshare") is None:
        return "unshare not installed"
    outcome = subprocess.run(_with_watches(10, "true"), capture_output=True, check=False, timeout=20)
    return None if outcome.returncode == 0 else "user namespaces are not allowed here"


def _with_watches(most: int, *command: str) -> list[str]:
    """Return a command that runs in a user namespace with at most so many inotify watches.

    That limit belongs to the namespace; fs.inotify.* would be the whole machine's.
    """
    lower = 'echo "$0" > /proc/sys/user/max_inotify_watches && exec "$@"'
    return ["unshare", "--user", "--map-root-user", "--", "bash", "-c", lower, str(most), *command]


def run_with_watches(most: int, script: str, *arguments: str) -> str:
    """Run a Python script that may have ``most`` inotify watches and return what it prints."""
    command = _with_watches(most, sys.executable, "-c", script, *arguments)
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def run_on_tmpfs(directory: Path, size: str, script: str, *arguments: str) -> str:
    """Run a Python script with a tmpfs of ``size`` at ``directory`` and return what it prints.

    The script finds the modules beside this one; ``sys.argv[1:]`` are the directory and the arguments.
    """
    mount = f'mount -t tmpfs -o size={size} tmpfs "$1" && exec "$0" -c "$2" "$1" "${{@:3}}"'
    command = [*NAMESPACE, "bash", "-c", mount, sys.executable, str(directory), script, *arguments]
    paths = [str(Path(__file__).parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environment, timeout=60).stdout
