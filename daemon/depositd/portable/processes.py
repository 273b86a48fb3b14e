"""Signals, limits, how a process ended, what other processes have open, and descriptors for another process."""

from __future__ import annotations

import errno
import os
import signal
import socket
from contextlib import suppress

from depositd.portable.machine import kernel_text
from depositd.portable.modules import optional


def _signals(*names: str) -> tuple[signal.Signals, ...]:
    return tuple(signal.Signals[name] for name in names if name in signal.Signals.__members__)


STOP_SIGNALS = _signals("SIGTERM", "SIGINT", "SIGBREAK")
"""What asks a program to end; SIGBREAK is Ctrl-Break, and what managers of Windows services send."""

RELOAD_SIGNALS = _signals("SIGHUP")
"""What asks a program to read its config again; none on Windows."""

_CRASHES = frozenset(_signals("SIGSEGV", "SIGBUS", "SIGABRT", "SIGFPE", "SIGILL", "SIGTRAP"))
_WINDOWS_CRASHES = {
    0xC0000005: "access violation",
    0xC000001D: "illegal instruction",
    0xC0000094: "division by zero",
    0xC00000FD: "stack overflow",
    0xC0000374: "heap corruption",
    0xC0000409: "buffer overrun",
}


def crash_of(status: int) -> str | None:
    """Return what a process crashed of, by its exit status as ``subprocess`` has it; None where it did not crash."""
    if -status in _CRASHES:
        return signal.Signals(-status).name
    return _WINDOWS_CRASHES.get(status & 0xFFFF_FFFF) if status > 0 or status < -255 else None


# --- limits of this process -----------------------------------------------------------------------------------------


def ran_too_long(status: int) -> bool:
    """Say by the exit status whether a process ended because of :func:`end_after`."""
    return -status in _signals("SIGPROF")


def end_after(processor_s: float) -> None:
    """End this process, wherever it is, after so many seconds of processor time; 0 takes that back.

    Without such a timer (Windows) whoever waits for the process has to end it.
    """
    for number in _signals("SIGPROF"):
        timer: int | None = getattr(signal, "ITIMER_PROF", None)
        if timer is not None and hasattr(signal, "setitimer"):
            signal.signal(number, signal.SIG_DFL)
            signal.setitimer(timer, processor_s)


def dump_no_memory() -> None:
    """Keep a crash of this process from leaving its memory in a file; Windows leaves none unless told to."""
    _limit("RLIMIT_CORE", 0)


def limit_memory(more_bytes: int) -> None:
    """Let this process take at most so much more memory; nothing where it cannot be known or limited."""
    used = (kernel_text("self/statm") or "").split()
    page_bytes = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 0
    if used and page_bytes:
        _limit("RLIMIT_AS", int(used[0]) * page_bytes + more_bytes)


def _limit(name: str, most: int) -> None:
    resource = optional("resource")
    kind: int | None = getattr(resource, name, None)
    if resource is not None and kind is not None:
        with suppress(OSError, ValueError):  # a system call filter, or a lower limit that stands already
            resource.setrlimit(kind, (most, most))


# --- other processes ------------------------------------------------------------------------------------------------


def is_running(process_id: int) -> bool:
    """Say whether a process exists; True on Windows, where to ask might end it."""
    if kernel_text("self/stat") is not None:
        return os.path.exists(f"/proc/{process_id}")
    if not hasattr(os, "kill") or not hasattr(signal, "SIGKILL"):
        return True
    try:
        os.kill(process_id, 0)
    except OSError as error:
        return error.errno != errno.ESRCH
    return True


def prepare_to_ask_for_writers() -> None:
    """Make :func:`has_writer` safe, where there are leases (Linux); to be called once, in the main thread.

    Whoever opens the file in the instant in which we hold the lease makes the kernel send SIGIO, which ends a process
    that does not ignore it.
    """
    if hasattr(optional("fcntl"), "F_SETLEASE"):
        for number in _signals("SIGIO"):
            signal.signal(number, signal.SIG_IGN)


def can_ask_for_writers() -> bool:
    """Say whether :func:`has_writer` can answer: there are leases, and this process is prepared for them."""
    prepared = all(signal.getsignal(number) is signal.SIG_IGN for number in _signals("SIGIO"))
    return prepared and hasattr(optional("fcntl"), "F_SETLEASE")


def has_writer(descriptor: int) -> bool | None:
    """Say whether a process of this machine has a file open for writing, by asking for a read lease.

    The descriptor must be open for reading alone.  None where it cannot be asked, or :func:`prepare_to_ask_for_writers`
    was not called.
    """
    fcntl = optional("fcntl")
    if fcntl is None or not can_ask_for_writers():
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except OSError as error:
        return True if error.errno == errno.EAGAIN else None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


# --- between processes ----------------------------------------------------------------------------------------------


PASSES_DESCRIPTORS = hasattr(socket, "send_fds")
"""Whether an open file can be given to a process that runs already; if not, one is started for each file."""


def send_descriptor(link: socket.socket, message: bytes, descriptor: int) -> None:
    """Send a message with an open descriptor; raises OSError, also where that is not possible."""
    if not hasattr(socket, "send_fds"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    socket.send_fds(link, [message], [descriptor])


def receive_descriptor(link: socket.socket, most_bytes: int) -> tuple[bytes, int | None]:
    """Return a message and the descriptor that came with it, if one did; raises OSError."""
    if not hasattr(socket, "recv_fds"):
        raise OSError(errno.EOPNOTSUPP, os.strerror(errno.EOPNOTSUPP))
    message, descriptors, _flags, _address = socket.recv_fds(link, most_bytes, 1)
    return message, descriptors[0] if descriptors else None


def local_datagrams() -> socket.socket:
    """Return a socket for datagrams to another process by the name of a file; raises OSError where there are none."""
    if not hasattr(socket, "AF_UNIX"):
        raise OSError(errno.EAFNOSUPPORT, os.strerror(errno.EAFNOSUPPORT))
    return socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | getattr(socket, "SOCK_CLOEXEC", 0))
