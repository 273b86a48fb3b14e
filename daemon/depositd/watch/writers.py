"""Whether a program on this machine holds a file open for writing (the fourth rung of the ladder of evidence).

A read lease (``fcntl(2)``, F_SETLEASE) is refused while any process of this machine has the file open for writing.
It is given back at once.  Writers on other machines cannot be seen, and only the file's owner or root may ask: an
answer "no" or "unknown" proves nothing, an answer "yes" does.
"""

from __future__ import annotations

import errno
import os
import signal
import sys

_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


def prepare() -> None:
    """Make asking safe; call it once in the main thread.

    Whoever opens the file in the instant in which we hold the lease makes the kernel send SIGIO, which ends a process
    that does not ignore it.
    """
    if sys.platform == "linux":
        signal.signal(signal.SIGIO, signal.SIG_IGN)


def open_for_writing(path: str) -> bool | None:
    """Say whether a writer on this machine has a file open, None where that cannot be asked."""
    if sys.platform != "linux" or signal.getsignal(signal.SIGIO) is not signal.SIG_IGN:
        return None
    import fcntl

    try:
        descriptor = os.open(path, _FLAGS)
    except OSError:
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    else:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return False
    finally:
        os.close(descriptor)
