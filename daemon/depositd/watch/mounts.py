"""What a directory is mounted from, and whether it is still the directory that it was."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from depositd.portable import kernel_text

WITHOUT_EVENTS = frozenset(
    {
        # shares of another machine
        "nfs",
        "nfs4",
        "cifs",
        "smb3",
        "smbfs",
        "ncpfs",
        "afs",
        "coda",
        "9p",
        "virtiofs",
        "vboxsf",
        "vmhgfs",
        "prl_fs",
        "drvfs",
        # of many machines
        "gpfs",
        "lustre",
        "beegfs",
        "ceph",
        "glusterfs",
        "orangefs",
        "pvfs2",
        "panfs",
        "wekafs",
        "quobyte",
        # one disk, written by several machines
        "gfs2",
        "ocfs2",
        # whatever is mounted there later
        "autofs",
        # by programs; every other fuse.* is taken for one of these
        "fuse",
        "fuse.ceph",
        "fuse.cvmfs",
        "fuse.cvmfs2",
        "fuse.glusterfs",
        "fuse.rclone",
        "fuse.sshfs",
    }
)
"""File systems where watches are accepted and events of other machines never come."""

WITH_EVENTS = frozenset(
    {
        "aufs",
        "bcachefs",
        "btrfs",
        "ecryptfs",
        "exfat",
        "ext2",
        "ext3",
        "ext4",
        "f2fs",
        "fuseblk",  # NTFS and exFAT on a disk of this machine
        "hfsplus",
        "iso9660",
        "jfs",
        "msdos",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "overlay",
        "ramfs",
        "reiserfs",
        "rootfs",
        "squashfs",
        "tmpfs",
        "udf",
        "vfat",
        "xfs",
        "zfs",
    }
)
"""File systems that only this machine writes; one that stands in neither list is not trusted."""

# mounted inside what people watch as their root only when they watch "/": no detector writes there
_OF_THE_KERNEL = frozenset(
    {
        "binfmt_misc",
        "bpf",
        "cgroup",
        "cgroup2",
        "configfs",
        "debugfs",
        "devpts",
        "devtmpfs",
        "efivarfs",
        "fusectl",
        "hugetlbfs",
        "mqueue",
        "nsfs",
        "proc",
        "pstore",
        "securityfs",
        "selinuxfs",
        "sysfs",
        "tracefs",
    }
)


def sends_events(file_system: str | None) -> bool:
    """Say whether all changes in a file system are told by events.

    Not those of other machines and of programs, and not those that nobody has heard of; None, where the system
    does not tell what it is, is taken for a disk.
    """
    return file_system is None or file_system in WITH_EVENTS


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
        mount_table = kernel_text("self/mounts")
        if mount_table is None:
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


def file_systems_below(path: str, mount_info: str | None = None) -> dict[str, str]:
    """Return what is mounted below ``path``: the type of the file system by its mount point, in order of the points.

    Those of the kernel itself (``proc`` and the like) are left out.  ``mount_info`` is the text of
    ``/proc/self/mountinfo``; without it that file is read.
    """
    if mount_info is None:
        mount_info = kernel_text("self/mountinfo")
        if mount_info is None:
            return {}
    below = os.path.realpath(path).rstrip("/") + "/"
    found: dict[str, str] = {}
    for line in mount_info.splitlines():
        fields, _, rest = line.partition(" - ")
        names = fields.split(" ")
        if len(names) > 4 and rest and (point := _unescaped(names[4])).startswith(below) and point != "/":
            # a later line for the same point covers the earlier one
            found[point] = rest.split(" ", 1)[0]
    return {point: kind for point, kind in sorted(found.items()) if kind not in _OF_THE_KERNEL}


def _unescaped(point: str) -> str:
    """Return a mount point with the octal escapes of spaces, tabs, newlines and backslashes undone."""
    return os.fsdecode(re.sub(rb"\\([0-7]{3})", lambda match: bytes([int(match[1], 8)]), os.fsencode(point)))
