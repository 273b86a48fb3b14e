"""The process that reads HDF5 files for the daemon: started by :mod:`depositd.formats.hdf5_reader`, never by hand.

The HDF5 library crashes on some damaged files and never returns from others, so it has a process of its own.  That
one gets open descriptors through a socket, answers each with a probe as JSON, and lives within limits: less than a
second of processor time for one file, 64 MiB above what it needs for itself, no core dump.  It ends with its socket,
or after a minute without work.
"""

from __future__ import annotations

import io
import json
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any

from depositd import portable
from depositd.formats import eiger_files
from depositd.formats.hdf5_reader import LENGTH, REQUEST_BYTES
from depositd.formats.reading import PARSE_ERRORS, Malformed
from depositd.model import Probe
from depositd.units import printable

READERS: Mapping[str, Callable[[Any], dict[str, Any]]] = {
    "data": eiger_files.data_facts,
    "master": eiger_files.master_facts,
    "meta": eiger_files.other_facts,
}
"""What can be read out of an open ``h5py.File``, by the name that a request gives."""

_LONGEST_S = 0.8
_MOST_BYTES = 64 << 20
_IDLE_S = 60.0
_LIBRARY_ERRORS = (OSError, RuntimeError, AttributeError, MemoryError, SystemError, *PARSE_ERRORS)
"""What h5py raises for what a file contains; a failed read inside the library surfaces as any of them."""


class Window(io.RawIOBase):
    """A file as the library may see it: read-only, and so many bytes of reading in all.

    A damaged index can send the library in circles or ask it for gigabytes.
    """

    def __init__(self, descriptor: int, most_bytes: int = _MOST_BYTES) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._size_bytes = os.fstat(descriptor).st_size
        self._position = 0
        self._left_bytes = most_bytes
        self.exhausted = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to an offset from the beginning or from the end."""
        self._position = offset if whence == os.SEEK_SET else self._size_bytes + offset
        return self._position

    def tell(self) -> int:
        """Return the offset of the next read."""
        return self._position

    def readinto(self, buffer: Any) -> int:
        """Fill a buffer from the current offset; raises OSError at the end of the file or of the window."""
        self._left_bytes -= len(buffer)
        if self._left_bytes < 0:
            self.exhausted = True
            raise OSError("too much to read")
        done = portable.read_into_at(self._descriptor, buffer, self._position)
        if done < len(buffer):
            raise OSError(f"nothing at byte {self._position + done:,}")
        self._position += done
        return done


def read_probe(descriptor: int, what: str) -> Probe:
    """Return the facts that an open HDF5 file gives to a reader, or what is wrong with the file."""
    import h5py

    read = READERS[what]
    window = Window(descriptor)
    try:
        with window, h5py.File(window, "r") as opened:
            return Probe(facts=read(opened))
    except Malformed as error:
        return Probe(str(error), error.retry, error.facts)
    except _LIBRARY_ERRORS as error:
        if window.exhausted:
            return Probe(f"takes more than {_MOST_BYTES >> 20} MiB of reading to understand")
        # h5py raises OSError for structure as well as for reading: either may be a writer's or a mount's doing
        said = str(error.args[0] if error.args else error)  # a KeyError's own text has quotes around it
        return Probe(f"cannot be read as HDF5: {printable(said, 160)}", retry=True)


def main(descriptor: int) -> None:
    """Answer requests from a socket until it closes."""
    import h5py  # noqa: F401 - before the first request, whose time it would use up, and below the memory limit

    live_within_limits()
    with socket.socket(fileno=descriptor) as link:
        link.settimeout(_IDLE_S)
        while (request := _next_request(link)) is not None:
            what, asked = request
            try:
                portable.end_after(_LONGEST_S)
                probe = read_probe(asked, what)
                portable.end_after(0.0)
            finally:
                os.close(asked)
            answer = _answer(probe)
            try:
                link.sendall(LENGTH.pack(len(answer)) + answer)
            except ConnectionError:  # whoever asked was killed meanwhile
                return


def answer_once(what: str) -> None:
    """Answer one request about the file on standard input: for systems that give a process no file while it runs."""
    import h5py  # noqa: F401 - below the memory limit, as above

    live_within_limits()
    portable.end_after(_LONGEST_S)
    sys.stdout.buffer.write(_answer(read_probe(sys.stdin.fileno(), what)))
    sys.stdout.buffer.flush()


def _answer(probe: Probe) -> bytes:
    return json.dumps([probe.problem, probe.retry, dict(probe.facts)]).encode()


def _next_request(link: socket.socket) -> tuple[str, int] | None:
    """Return the reader that is asked for and the descriptor to read; None where no more will come."""
    try:
        said, descriptor = portable.receive_descriptor(link, REQUEST_BYTES)
    except (TimeoutError, ConnectionError):
        return None
    return (said.decode(), descriptor) if said and descriptor is not None else None


def live_within_limits(most_bytes: int = _MOST_BYTES) -> None:
    """Let this process outlive the daemon's signals, but neither dump its memory nor take more than so much more."""
    for meant_for_the_daemon in (*portable.STOP_SIGNALS, *portable.RELOAD_SIGNALS):
        signal.signal(meant_for_the_daemon, signal.SIG_IGN)  # it ends with its socket, and answers until then
    portable.dump_no_memory()
    portable.limit_memory(most_bytes)  # elsewhere than on Linux the window alone limits it


if __name__ == "__main__":
    if sys.argv[1].isdecimal():
        main(int(sys.argv[1]))
    else:
        answer_once(sys.argv[1])
