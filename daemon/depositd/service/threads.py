"""What a thread that does not move is doing: where in the program it stands, and whether the kernel has it.

A call on a file has no time limit: on a file server that is gone it returns when that comes back, be it tomorrow.  No
restart ends it sooner, so the kernel is asked (Linux, ``/proc/self/task``): a thread in uninterruptible sleep waits for
a disk or a file server, and so does one that sleeps inside a system call on files (file systems in user space, Lustre).
Where the kernel cannot be asked, no thread is excused.
"""

from __future__ import annotations

import platform
import sys
import threading
import traceback
from collections.abc import Iterable
from types import FrameType

from depositd.portable import kernel_link, kernel_text

_ON_FILES: dict[str, frozenset[int]] = {
    "x86_64": frozenset(
        {2, 3, 4, 5, 6, 17, 18, 21, 40, 74, 75, 76, 77, 78, 82, 83, 84, 87, 89, 90, 137, 138, 191, 217, 221, 257}
        | {258, 262, 263, 264, 267, 269, 277, 285, 295, 296, 306, 316, 326, 327, 328, 332, 437, 439}
    ),
    "aarch64": frozenset(
        {8, 34, 35, 38, 43, 44, 45, 46, 47, 48, 53, 56, 57, 61, 67, 68, 69, 70, 71, 78, 79, 80, 82, 83, 84, 223}
        | {267, 276, 285, 286, 287, 291, 437, 439}
    ),
}
"""System calls that name a file or a place in one: open, stat, getdents, pread, fsync, rename, statfs, … (unistd.h)."""

_READ_OR_WRITE: dict[str, frozenset[int]] = {"x86_64": frozenset({0, 1, 19, 20}), "aarch64": frozenset(range(63, 67))}
"""Those that also speak to sockets and pipes, whose first argument tells which it is."""


def waits_for_files(thread: threading.Thread) -> bool:
    """Say whether the kernel has a thread in a call on files, which ends when the disk or the file server answers."""
    if thread.native_id is None:
        return False
    task = f"self/task/{thread.native_id}"
    try:
        state = (kernel_text(f"{task}/stat") or "").rpartition(")")[2].split()[0]
        number, *arguments = (kernel_text(f"{task}/syscall") or "").split()
    except (ValueError, IndexError):
        return False
    return state == "D" or _is_on_files(number, arguments)


def _is_on_files(number: str, arguments: list[str]) -> bool:
    if not number.isdigit():
        return False  # "running", or -1
    machine = platform.machine()
    if int(number) in _ON_FILES.get(machine, ()):
        return True
    if int(number) not in _READ_OR_WRITE.get(machine, ()):
        return False
    try:
        return (kernel_link(f"self/fd/{int(arguments[0], 16)}") or "").startswith("/")
    except (ValueError, IndexError):
        return False


def is_in(thread: threading.Thread, package: str) -> bool:
    """Say whether a thread is inside one of our packages (``depositd.journal``), at whatever depth."""
    return any(_is_of(frame, package) for frame in _frames(thread))


def _is_of(frame: FrameType, package: str) -> bool:
    module = str(frame.f_globals.get("__name__", ""))
    return module == package or module.startswith(package + ".")


def _frames(thread: threading.Thread) -> Iterable[FrameType]:
    frame = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - documented, for exactly this
    while frame is not None:
        yield frame
        frame = frame.f_back


def stack_of(thread: threading.Thread) -> str:
    """Return where a thread stands, outermost first; places in the program alone, no values."""
    frames = reversed(list(_frames(thread)))
    summary = traceback.StackSummary.extract((frame, frame.f_lineno) for frame in frames)
    return "".join(summary.format()).rstrip() or "(it has ended)"
