"""What a directory is mounted from, and whether it is still the directory that it was."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

WITHOUT_EVENTS = frozenset(
    {
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "gpfs",
        "lustre",
        "beegfs",
        "ceph",
        "9p",
        "afs",
        "glusterfs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "fuse.rclone",
        "vboxsf",
        "drvfs",
    }
)
"""File systems where watches are accepted and events of other machines never come."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which directory a path leads to; another device or inode is another directory."""

    device: int
    inode: int


def identity_of(path: str) -> Identity:
    """Return a directory's identity; raises OSError, NotADirectoryError included."""
    status = os.stat(path)
    if not os.path.isdir(path):
        raise NotADirectoryError(20, "Not a directory", path)
    return Identity(status.st_dev, status.st_ino)


def file_system_of(path: str, mount_table: str | None = None) -> str | None:
    """Return the type of the file system that holds ``path``, None where the system does not tell.

    ``mount_table`` is the text of ``/proc/self/mounts``; without it that file is read.
    """
    if mount_table is None:
        try:
            mount_table = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="surrogateescape")
        except OSError:
            return None
    best, found = -1, None
    real = os.path.realpath(path)
    for line in mount_table.splitlines():
        fields = line.split(" ")
        if len(fields) < 3:
            continue
        point = _unescaped(fields[1])
        inside = real == point or real.startswith(point.rstrip("/") + "/")
        # a later line for the same point covers the earlier one
        if inside and len(point) >= best:
            best, found = len(point), fields[2]
    return found


def _unescaped(point: str) -> str:
    """Return a mount point with the octal escapes of spaces, tabs, newlines and backslashes undone."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), os.fsencode(point)))
