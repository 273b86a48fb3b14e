"""A file server that is gone, as a mount: whoever asks it anything waits for ever.  ``gone_file_server.py DIRECTORY``.

A file system in user space (Linux) whose server takes part in the mount and then answers nothing.  It says ``mounted``
and lives until it is ended, or its standard input is; then everybody gets an error, as from a share that was dropped.
"""

from __future__ import annotations

import ctypes
import functools
import os
import struct
import subprocess
import sys

DEVICE = "/dev/fuse"
_INIT = 26
_HEADER = struct.Struct("<IIQ")
"""Length, opcode (error in an answer), and the number of a request (linux/fuse.h)."""


@functools.cache
def why_no_fuse() -> str | None:
    """Return why no such file system can be mounted here, None where it can."""
    if sys.platform != "linux" or os.geteuid() != 0:
        return "not root on Linux"
    try:
        os.close(os.open(DEVICE, os.O_RDWR))
    except OSError as error:
        return f"{DEVICE}: {error.strerror}"
    command = ["unshare", "--mount", "--propagation", "private", "--", sys.executable, __file__, "/mnt"]
    outcome = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=20)
    return None if outcome.returncode == 0 else "file systems in user space cannot be mounted here"


def mount(directory: str) -> int:
    """Mount it and return the descriptor that it lives by; raises OSError."""
    device = os.open(DEVICE, os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}".encode()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"gone", os.fsencode(directory), b"fuse", 0, options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), directory)
    request = os.read(device, 1 << 17)
    _length, opcode, number = _HEADER.unpack_from(request)
    assert opcode == _INIT
    major, minor, read_ahead, _flags = struct.unpack_from("<IIII", request, 40)
    answer = struct.pack("<IIIIHHIIHH", major, minor, read_ahead, 0, 0, 0, 1 << 16, 0, 0, 0) + bytes(28)
    os.write(device, _HEADER.pack(_HEADER.size + len(answer), 0, number) + answer)
    return device


if __name__ == "__main__":
    mount(sys.argv[1])
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    sys.stdin.read()
