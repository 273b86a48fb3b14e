"""One daemon for each state directory."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from depositd.errors import DepositdError, LockedError
from depositd.portable import is_running
from depositd.units import printable

ASKING_S = 0.5


class StateLock:
    """The lock on a state directory; raises LockedError, which names the process that holds it.

    Raises DepositdError where the directory cannot be written.
    """

    def __init__(self, state_dir: Path) -> None:
        self._pid_file = state_dir / "depositd.pid"
        self._lock = FileLock(state_dir / "lock")
        try:
            # a command that asks whether a daemon runs holds the lock for a moment
            self._lock.acquire(timeout=ASKING_S)
        except Timeout:
            pid = _read_pid(self._pid_file)
            raise LockedError(
                f"another depositd is running on {state_dir} (pid {pid or 'unknown'})",
                hint="stop it first, or give this one a state_dir of its own",
            ) from None
        except OSError as error:
            raise DepositdError(
                f"the state directory {printable(str(state_dir))} cannot be written: {error.strerror}",
                hint="check that it is not mounted read-only, and give it to the user who runs depositd",
            ) from error
        with suppress(OSError):  # on a full disk, say; who holds the lock is one word less in a sentence
            self._pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")

    def release(self) -> None:
        """Let another daemon have it."""
        with suppress(OSError):  # the disk may have become read-only
            self._pid_file.unlink(missing_ok=True)
        self._lock.release()


def running_pid(state_dir: Path) -> int | None:
    """Return the pid of the daemon that runs on a state directory, None where none does."""
    lock = FileLock(state_dir / "lock")
    if not Path(lock.lock_file).exists():
        return None
    try:
        lock.acquire(timeout=0)
    except Timeout:
        return _read_pid(state_dir / "depositd.pid") or 0
    except OSError:  # not ours to open: its pid file says who, and the system whether that one still lives
        pid = _read_pid(state_dir / "depositd.pid")
        return pid if pid is not None and is_running(pid) else None
    lock.release()
    return None


def _read_pid(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
