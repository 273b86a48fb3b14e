"""How a file of somebody else's is opened on Windows, so that its owner may go on to write, rename and delete it.

Python's own ``open`` lets others write meanwhile, but neither rename nor delete (it leaves out FILE_SHARE_DELETE): an
instrument's program that moves its file into place would fail because we read it.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from typing import NamedTuple

_GENERIC_READ = 0x8000_0000
_SHARE_READ_WRITE_DELETE = 1 | 2 | 4
_OPEN_EXISTING = 3
_SEQUENTIAL_SCAN = 0x0800_0000


class Calls(NamedTuple):
    """What of Windows is needed: each raises OSError."""

    create_file: Callable[[str, int, int, int, int], int]
    """Path, access, sharing, disposition and flags to a handle."""
    descriptor_of: Callable[[int, int], int]
    """A handle, which it takes over, and flags of ``os.open`` to a descriptor."""
    close_handle: Callable[[int], object]


def open_shared(path: str, flags: int, calls: Callable[[], Calls | None] | None = None) -> int:
    """Open a file for reading that others may write, rename and delete meanwhile; raises OSError.

    Where Windows' own calls cannot be had it is opened as Python does.
    """
    windows = (calls or _windows)()
    if windows is None:
        return os.open(path, flags)
    handle = windows.create_file(path, _GENERIC_READ, _SHARE_READ_WRITE_DELETE, _OPEN_EXISTING, _SEQUENTIAL_SCAN)
    try:
        return windows.descriptor_of(handle, flags | getattr(os, "O_NOINHERIT", 0))
    except BaseException:
        windows.close_handle(handle)
        raise


@functools.cache
def _windows() -> Calls | None:
    if sys.platform == "win32":
        try:
            import msvcrt

            kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        except (ImportError, AttributeError, OSError):
            return None
        from ctypes import wintypes

        kernel.CreateFileW.restype = wintypes.HANDLE
        kernel.CreateFileW.argtypes = (
            wintypes.LPCWSTR,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.LPVOID,
            wintypes.DWORD,
            wintypes.DWORD,
            wintypes.HANDLE,
        )
        kernel.CloseHandle.argtypes = (wintypes.HANDLE,)

        def create_file(path: str, access: int, sharing: int, disposition: int, flags: int) -> int:
            handle = kernel.CreateFileW(path, access, sharing, None, disposition, flags, None)
            if handle == wintypes.HANDLE(-1).value or handle is None:
                number = ctypes.get_last_error()
                # with a number of Windows as its fourth value, OSError finds the errno and the class
                raise OSError(0, ctypes.FormatError(number).strip(), path, number)
            return int(handle)

        return Calls(create_file, msvcrt.open_osfhandle, kernel.CloseHandle)
    else:  # noqa: RET505 - mypy takes what stands behind an if of the platform for unreachable
        return None
