"""Names that change all at once, in spite of programs that hold a file for a moment."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable

_HELD = frozenset({5, 32})
"""ERROR_ACCESS_DENIED and ERROR_SHARING_VIOLATION of Windows: a virus scanner or an indexer looks at a new file."""
_WAITS_S = (0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.4)
"""About three seconds in all: whoever holds it longer than that does not do so in passing."""

_LINK_CAN_TELL = os.link in os.supports_follow_symlinks

Path = str | os.PathLike[str]


def replace(
    source: Path,
    target: Path,
    *,
    rename: Callable[[Path, Path], None] = os.replace,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Give a file or directory a name, in one step, over whatever file has it; raises OSError.

    On Windows it is tried again for about three seconds while another program holds one of the two.
    """
    for wait_s in _WAITS_S:
        try:
            rename(source, target)
        except OSError as error:
            if getattr(error, "winerror", None) not in _HELD:
                raise
        else:
            return
        sleep(wait_s)
    rename(source, target)


def link(source: Path, target: Path) -> None:
    """Give a file a second name, following no link; raises OSError, FileExistsError where the name is taken."""
    if _LINK_CAN_TELL:
        os.link(source, target, follow_symlinks=False)
        return
    if stat.S_ISLNK(os.lstat(source).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(source))
    os.link(source, target)
