"""What leads somewhere else, by its ``lstat``."""

from __future__ import annotations

import errno
import os
import stat

_JUNCTION = 0xA0000003
"""IO_REPARSE_TAG_MOUNT_POINT: for Windows, Python counts a junction among the directories, and it is a link to one."""


def is_link(status: os.stat_result) -> bool:
    """Say whether an ``lstat`` is of a link, or of a junction of Windows."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == _JUNCTION


def refuse_link(path: str | os.PathLike[str]) -> None:
    """Raise OSError (ELOOP) for a link; what is not there is no link."""
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return
    if is_link(status):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(path))
