"""The daemon's side of :mod:`depositd.formats.hdf5_child`: one process for all HDF5 files, renewed when it ends.

What a file did to that process is the file's problem: a crash and an endless loop become sentences, and the next file
is read by a new process.  Nothing of it can reach the daemon, which keeps the library out of its own memory too.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping

from depositd import io_priority, portable
from depositd.model import Probe

REQUEST_BYTES = 64
LENGTH = struct.Struct("<I")
"""Stands before each answer: its length in bytes."""

# named, not imported: what the package imports would run twice in the child (runpy warns of it)
_CHILD = "depositd.formats.hdf5_child"
_LONGEST_S = 20.0
_MOST_ANSWER_BYTES = 64 << 20
_ATTEMPTS = 2
_NEEDED = re.compile(r"(?i)PATH|LANG|LC_\w+|(?:LD|DYLD|HDF5)_\w*PATH|PYTHON\w*|TMPDIR|TEMP|TMP|SYSTEMROOT|WINDIR|HOME")
"""What Python and the libraries are found by, and where facilities keep them."""


class Reader:
    """Asks a child process for probes of open files, one at a time; any thread may ask."""

    def __init__(self, longest_s: float = _LONGEST_S, command: tuple[str, ...] | None = None) -> None:
        self._longest_s = longest_s
        self._command = command or (sys.executable, "-P", "-m", _CHILD)
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None
        self._link: socket.socket | None = None

    def ask(self, descriptor: int, what: str) -> Probe:
        """Return the probe of an open file; ``what`` is a key of ``READERS``."""
        if not portable.PASSES_DESCRIPTORS:
            return self._ask_another(descriptor, what)
        with self._lock:
            for _ in range(_ATTEMPTS):
                try:
                    return self._ask(descriptor, what)
                except TimeoutError:
                    self._end()
                    return self._took_too_long()
                except OSError:  # it ended: for the file's sake, or it had nothing to do for a while
                    ended = self._end()
                if (problem := died_of(ended)) is not None:
                    return Probe(problem)
        return _ended_with(ended)

    def _ask_another(self, descriptor: int, what: str) -> Probe:
        """Have a file read by a process that is started for it: slower, and nothing needs to be passed on to it."""
        try:
            ended = subprocess.run(  # noqa: S603 - our own interpreter and module
                (*self._command, what),
                check=False,
                stdin=descriptor,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=self._longest_s,
                env=reader_environment(os.environ),
            )
        except subprocess.TimeoutExpired:
            return self._took_too_long()
        if not ended.returncode:
            return Probe(*json.loads(ended.stdout))
        problem = died_of(ended.returncode)
        return Probe(problem) if problem else _ended_with(ended.returncode)

    def _took_too_long(self) -> Probe:
        return Probe(f"could not be read within {self._longest_s:.0f} s", retry=True)

    def close(self) -> None:
        """End the process; the next question starts another."""
        with self._lock:
            self._end()

    def _ask(self, descriptor: int, what: str) -> Probe:
        link = self._link or self._start()
        if self._child is not None:
            io_priority.lend(self._child.pid)  # it reads for this thread
        portable.send_descriptor(link, what.encode(), descriptor)
        (length,) = LENGTH.unpack(_receive(link, LENGTH.size))
        problem, retry, facts = json.loads(_receive(link, min(length, _MOST_ANSWER_BYTES)))
        return Probe(problem, retry, facts)

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            self._link = ours
            ours.settimeout(self._longest_s)
            self._child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                (*self._command, str(theirs.fileno())),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=reader_environment(os.environ),
            )
        return ours

    def _end(self) -> int:
        """Close the link, see the process ended, and return its exit status (minus the signal that ended it)."""
        link, child = self._link, self._child
        self._link = self._child = None
        if link is not None:
            link.close()
        if child is None:
            return 0
        # with its link closed an idle one ends by itself, and one that crashed has ended already
        with contextlib.suppress(subprocess.TimeoutExpired):
            return child.wait(timeout=0.5)
        child.kill()
        return child.wait()


def _receive(link: socket.socket, count: int) -> bytes:
    """Return exactly ``count`` bytes; raises ConnectionError where the other side has gone."""
    received = bytearray()
    while len(received) < count:
        block = link.recv(count - len(received))
        if not block:
            raise ConnectionError("the reader ended")
        received += block
    return bytes(received)


def died_of(status: int) -> str | None:
    """Return what a file did to the library, by the exit status; None where the file need not have done it."""
    if portable.ran_too_long(status):
        return "leads the HDF5 library in circles: its structure is damaged"
    if (crash := portable.crash_of(status)) is not None:
        return f"makes the HDF5 library crash ({crash}): its structure is damaged"
    return None


def _ended_with(status: int) -> Probe:
    return Probe(f"could not be read: the reader of HDF5 files ended (exit status {status})", retry=True)


def reader_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what a process that reads damaged files needs of the environment, which may hold secrets besides."""
    needed = {name: value for name, value in environ.items() if _NEEDED.fullmatch(name)}
    return {**needed, "OPENBLAS_NUM_THREADS": "1"}  # numpy's threads would only cost memory


READER = Reader()
"""The reader that every probe shares."""

atexit.register(READER.close)
