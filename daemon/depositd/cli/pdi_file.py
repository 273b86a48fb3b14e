"""What ``pdi upload`` is given: whether a file can be an archive, before it is sent."""

from __future__ import annotations

import os
import tarfile
import zipfile

from depositd.archive import READY_SUFFIXES, is_ready
from depositd.errors import SourceUnreadable
from depositd.units import printable

_FIRST_BYTES = {
    ".zst": b"\x28\xb5\x2f\xfd",
    ".gz": b"\x1f\x8b",
    ".tgz": b"\x1f\x8b",
    ".bz2": b"BZh",
    ".tbz2": b"BZh",
}
"""How a file with such a suffix begins (RFC 8878, RFC 1952, bzip2)."""


def refuse_no_archive(path: str) -> None:
    """Raise SourceUnreadable for a file that is no archive by its name or its first bytes, or that cannot be read."""
    shown = printable(path)
    if not is_ready(path):
        raise SourceUnreadable(
            f"{shown} is no archive by its name ({', '.join(READY_SUFFIXES)}, or one of these with .zst)",
            hint=f"depositd pdi submit {shown} packs and sends it",
        )
    suffix = os.path.splitext(path)[1].lower()
    try:
        fits = _begins_as(path, suffix)
    except OSError as error:
        raise SourceUnreadable(f"{shown} cannot be read: {error.strerror}", hint=f"ls -l {shown}") from error
    if not fits:
        raise SourceUnreadable(
            f"{shown} does not begin as a {suffix} file does", hint=f"file {shown} says what it is; pack it again"
        )


def _begins_as(path: str, suffix: str) -> bool:
    if not os.path.isfile(path):
        return True  # what that is, the reading of it says without blocking
    with open(path, "rb") as file:
        if suffix == ".zip":
            return zipfile.is_zipfile(file)
        if suffix == ".tar":
            return tarfile.is_tarfile(file)
        magic = _FIRST_BYTES[suffix]
        return file.read(len(magic)) == magic
