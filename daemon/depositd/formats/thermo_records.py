"""Where a Thermo file below version 64 must end: behind the record of its last scan's parameters.

The parameters of the scans stand last, where no other instrument recorded: as many records of one length as there are
scans, then 4 bytes.  How long a record is, its description says, somewhere between the error log and the scan index:
u32 number of fields, and for each u32 type, u32 length and a label (u32 count, UTF-16).  It is searched for, since
nothing points to it, and other lists of that shape (the tune file's) stand beside it; so a length is believed only
where one of the descriptions has it.  Where none is found, what is there must at least divide by the number of scans.

Source: unfinnigan's GenericDataHeader.  Checked on finished files of versions 57 and 63: 48 records of 254 bytes and 33
of 279, each as its description says, and 4 bytes.
"""

from __future__ import annotations

import re
import struct

MOST_SEARCHED_BYTES = 1 << 20
END_BYTES = 4
_FEWEST_FIELDS = 5
_SIZES = {0: 0, 1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 2, 7: 2, 8: 4, 9: 4, 10: 4, 11: 8}
_TEXT, _WIDE_TEXT = 12, 13
_LONGEST_LABEL = 255
_NO_FIELD = (0, 0)
_MOST_WALKED_FIELDS = 100_000
# number of fields below 1,024; type, length and label's length of the first; looking ahead, since a match may be none
_BEGINS = re.compile(rb"(?=[\x00-\xff][\x00-\x03]\0\0[\x00-\x0d]\0\0\0[\x00-\xff]{2}\0\0[\x00-\xff]\0\0\0)", re.DOTALL)


def ends_in_record(found_bytes: int, scans: int, lengths: frozenset[int]) -> bool:
    """Say whether what stands behind the address of the parameters is no whole number of records for every scan."""
    length, rest = divmod(found_bytes - END_BYTES, scans)
    return bool(rest) or length < 1 or (bool(lengths) and length not in lengths)


def described_lengths(raw: bytes) -> frozenset[int]:
    """Return the lengths of the records that descriptions in these bytes describe."""
    found: set[int] = set()
    position, walked = 0, 0
    while walked < _MOST_WALKED_FIELDS and (match := _BEGINS.search(raw, position)) is not None:
        fields = _fields(raw, match.start())
        walked += len(fields) + 1
        whole = fields[-1:] != [_NO_FIELD] and len(fields) >= _FEWEST_FIELDS
        if whole:
            found.add(sum(length for length, _end in fields))
        position = fields[-1][1] if whole else match.start() + 1
    return frozenset(found)


def _fields(raw: bytes, start: int) -> list[tuple[int, int]]:
    """Return length and end of each field of a description at this place; ``_NO_FIELD`` is last where it is none."""
    fields: list[tuple[int, int]] = []
    position = start + 4
    for _ in range(struct.unpack_from("<I", raw, start)[0]):
        if position + 12 > len(raw):
            return [*fields, _NO_FIELD]
        kind, size, characters = struct.unpack_from("<3I", raw, position)
        position += 12 + 2 * characters
        if kind > _WIDE_TEXT or size >= 1 << 16 or characters > _LONGEST_LABEL or position > len(raw):
            return [*fields, _NO_FIELD]
        if not raw[position - 2 * characters : position].decode("utf-16-le", "replace").isprintable():
            return [*fields, _NO_FIELD]
        length = size if kind == _TEXT else 2 * size if kind == _WIDE_TEXT else _SIZES[kind]
        fields.append((length, position))
    return fields
