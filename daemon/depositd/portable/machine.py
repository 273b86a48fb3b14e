"""Processors, users, what the kernel tells, C libraries, and the I/O priority of threads."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import sys
from collections.abc import Callable

from depositd.portable.modules import optional

HAS_OWNERS = hasattr(os, "geteuid")
"""Whether files have an owner and permission bits; elsewhere (Windows) access lists decide, and nothing is said."""

_M_MMAP_THRESHOLD = -3


def usable_cores() -> int:
    """Return how many processors this process may use: an affinity (CPUAffinity=, a container) may leave fewer."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1  # not every system can say


# --- users ----------------------------------------------------------------------------------------------------------


def user_id() -> int | None:
    """Return the number of the user whose rights we have, None where users have none."""
    if hasattr(os, "geteuid"):
        number: int = os.geteuid()
        return number
    return None


def user_name(number: int) -> str:
    """Return the name of a user, or the number where it has no name."""
    users = optional("pwd")
    try:
        return str(users.getpwuid(number).pw_name) if users else str(number)
    except KeyError:
        return str(number)


def current_user() -> str:
    """Return the name of the user whose rights we have."""
    number = user_id()
    if number is None:
        return os.environ.get("USERNAME") or "unknown"
    return user_name(number)


def keep_private(descriptor: int) -> None:
    """Let nobody but the owner use an open file, whatever the umask says; raises OSError.

    Windows has no such bits: a file there has the access list of its directory.
    """
    if hasattr(os, "fchmod"):
        os.fchmod(descriptor, 0o600)


def private_from_now_on() -> None:
    """Let nobody but the owner use what this process makes from now on; nothing on Windows, as above."""
    os.umask(0o077)


# --- the kernel's own files -----------------------------------------------------------------------------------------


def kernel_text(name: str) -> str | None:
    """Return a file of Linux's ``/proc`` (such as ``self/mounts``), None where there is none or it cannot be read."""
    try:
        with open(f"/proc/{name}", encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return None


def kernel_link(name: str) -> str | None:
    """Return where a link of ``/proc`` leads to, None where there is none or it cannot be read."""
    try:
        return os.readlink(f"/proc/{name}")
    except OSError:
        return None


# --- C libraries ----------------------------------------------------------------------------------------------------


def load_library(path: str | None) -> ctypes.CDLL | None:
    """Return a C library, or what this process is linked with for None; None where it cannot be had."""
    try:
        return ctypes.CDLL(path)
    except (OSError, TypeError):
        return None


def return_large_memory(from_bytes: int) -> None:
    """Have memory of that size and above given back to the system once it is free; only glibc needs to be told."""
    mallopt = getattr(load_library(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, from_bytes)


_IO_PRIORITY_CALLS = {
    "x86_64": (251, 252),
    "aarch64": (30, 31),
    "riscv64": (30, 31),
    "loongarch64": (30, 31),
    "ppc64le": (273, 274),
    "s390x": (282, 283),
}
"""The numbers of ``ioprio_set`` and ``ioprio_get``, for which the C library has no names."""


@functools.cache
def io_priority_calls() -> tuple[Callable[[int, int, int], int], Callable[[int, int], int]] | None:
    """Return Linux's ``ioprio_set`` and ``ioprio_get``, None on a system whose numbers are not known."""
    numbers = _IO_PRIORITY_CALLS.get(platform.machine())
    # a 32-bit program on a 64-bit kernel has other numbers
    is_known = sys.platform == "linux" and sys.maxsize >= 2**32
    library = load_library(None) if is_known else None
    if numbers is None or library is None:
        return None
    system_call = library.syscall
    # a variadic function takes its numbers as they are given: a plain int would be cut to 32 bits
    system_call.argtypes = (ctypes.c_long,) * 4
    system_call.restype = ctypes.c_long
    number_set, number_get = numbers

    def ioprio_set(which: int, who: int, priority: int) -> int:
        return int(system_call(number_set, which, who, priority))

    def ioprio_get(which: int, who: int) -> int:
        return int(system_call(number_get, which, who, 0))

    return ioprio_set, ioprio_get
