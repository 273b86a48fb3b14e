"""The I/O priority of single threads (Linux, ``ioprio_set(2)``): idle lets the disk serve everybody else first.

Where there is no such call, or it is refused (a system call filter), nothing happens.  It counts where the disk's
scheduler heeds it (bfq, mq-deadline); a file server does not hear of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from depositd import portable

_ONE_TASK = 1
IDLE = 3 << 13
"""The class comes first; an idle thread has no level within its class."""


class _Thread(threading.local):
    before: int | None = None
    """What an idle thread had before, None while it is not idle."""


_thread = _Thread()


@contextmanager
def idle(wanted: bool = True) -> Iterator[bool]:
    """Run a block with this thread's I/O priority idle, where that is ``wanted``, and give it back afterwards.

    Yields False where it was not wanted or is not possible.  Threads that are started meanwhile inherit the priority.
    """
    if not wanted or _thread.before is not None:
        yield wanted
        return
    before = current()
    if before is None or not _set(0, IDLE):
        yield False
        return
    _thread.before = before
    try:
        yield True
    finally:
        _thread.before = None
        _set(0, before)


@contextmanager
def not_idle() -> Iterator[None]:
    """Run a block with what an idle thread had before: whoever holds a lock must not wait behind everybody else."""
    before = _thread.before
    if before is None:
        yield
        return
    _thread.before = None
    _set(0, before)
    try:
        yield
    finally:
        _set(0, IDLE)
        _thread.before = before


def current(task_id: int = 0) -> int | None:
    """Return the I/O priority of a task, or of this thread: 0 where none was ever set, None where nobody can say."""
    calls = portable.io_priority_calls()
    if calls is None:
        return None
    priority = calls[1](_ONE_TASK, task_id)
    return None if priority < 0 else priority


def lend(process_id: int) -> None:
    """Give a child process with one thread the I/O priority of this thread."""
    priority = current()
    if priority is not None:
        _set(process_id, priority)


def _set(task_id: int, priority: int) -> bool:
    calls = portable.io_priority_calls()
    return calls is not None and calls[0](_ONE_TASK, task_id, priority) == 0
