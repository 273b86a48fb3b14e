"""The layout of a deterministic tar: what stands before, behind and after its members.

It is a function of names, sizes, mtimes and contents alone: members sorted by the bytes of their paths, PAX
format, uid and gid 0 without names, mode 0644, mtimes to the nanosecond (in a PAX record where they have a
fraction), no entries for directories, and two zero blocks at the end, padded to 10,240 bytes.
"""

from __future__ import annotations

import functools
import tarfile
from decimal import Decimal

_NAME_MOST_BYTES = tarfile.LENGTH_NAME
_SIZE_END = 8**11
_LIKE_NS = 1_000_000_000_000_000_001
_LIKE_END_NS = 8**11 * 1_000_000_000
"""mtimes from the one to the other have as many digits, and therefore the same record, but for the digits."""
_BLANK_CHECKSUM = 8 * ord(" ")


def member_header(path: str, size_bytes: int, mtime_ns: int) -> bytes:
    """Return the blocks that stand before a member's content; a function of its arguments alone.

    tarfile knows how, and needs as long for it as all the rest of a small file takes; so what it made once is filled
    in, wherever nothing else than the name, the size and the digits of the mtime would be different.
    """
    is_usual = path.isascii() and 0 < len(path) <= _NAME_MOST_BYTES and size_bytes < _SIZE_END
    if not (is_usual and _LIKE_NS <= mtime_ns < _LIKE_END_NS and mtime_ns % 1_000_000_000):
        return _made_by_tarfile(path, size_bytes, mtime_ns)
    before_digits, before_name, before_numbers, behind, sum_of_others = _pattern()
    seconds, fraction_ns = divmod(mtime_ns, 1_000_000_000)
    name, numbers = path.encode("ascii"), b"%011o\0%011o\0" % (size_bytes, seconds)
    checksum = b"%06o" % (sum_of_others + sum(name) + sum(numbers))
    return b"".join(
        (
            before_digits,
            b"%d.%09d" % (seconds, fraction_ns),
            before_name,
            name.ljust(_NAME_MOST_BYTES, b"\0"),
            before_numbers,
            numbers,
            checksum,
            behind,
        )
    )


@functools.cache
def _pattern() -> tuple[bytes, bytes, bytes, bytes, int]:
    """Return what stands before mtime, name, size with mtime, and behind the checksum; and the sum of all that."""
    header = _made_by_tarfile("", 0, _LIKE_NS)
    digits_at = header.index(b"1000000000.000000001")
    name_at = len(header) - tarfile.BLOCKSIZE
    numbers_at = name_at + 124
    checksum_at = name_at + 148
    before_numbers = header[name_at + _NAME_MOST_BYTES : numbers_at]
    others = before_numbers + header[checksum_at + 8 :]
    return (
        header[:digits_at],
        header[digits_at + 20 : name_at],
        before_numbers,
        header[checksum_at + 6 :],
        sum(others) + _BLANK_CHECKSUM,
    )


def _made_by_tarfile(path: str, size_bytes: int, mtime_ns: int) -> bytes:
    info = tarfile.TarInfo(path)
    info.size = size_bytes
    info.mode = 0o644
    seconds, fraction_ns = divmod(mtime_ns, 1_000_000_000)
    info.mtime = seconds
    if fraction_ns:
        # a float would lose nanoseconds
        info.pax_headers = {"mtime": f"{Decimal(mtime_ns).scaleb(-9):f}"}
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def padding(size_bytes: int, block_bytes: int = tarfile.BLOCKSIZE) -> bytes:
    """Return the zeros that fill the last block."""
    return bytes(-size_bytes % block_bytes)


def end_of_archive(size_bytes: int) -> bytes:
    """Return what ends a tar of ``size_bytes``: two zero blocks, padded to a whole record."""
    end = bytes(2 * tarfile.BLOCKSIZE)
    return end + padding(size_bytes + len(end), tarfile.RECORDSIZE)
