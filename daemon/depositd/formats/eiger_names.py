"""Which file of an Eiger dataset a name stands for: all that grouping knows.

DECTRIS: ``P_master.h5``, ``P_data_000001.h5`` …; Diamond: ``P.nxs``, ``P_master.h5``, ``P_meta.h5``, ``P_000001.h5`` ….
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

from depositd.formats.names import is_temporary


class Role(enum.Enum):
    """What a file is to its dataset."""

    MASTER = "master"
    NEXUS = "NeXus master"
    META = "meta file"
    DATA = "data file"


@dataclass(frozen=True, slots=True)
class Named:
    """What a file's name says: the dataset's stem, the file's role, and a data file's number."""

    stem: str
    role: Role
    number: int = 0


_NAMES = (
    (Role.MASTER, re.compile(r"(?P<stem>.+)_(?i:master\.h5)", re.DOTALL)),
    (Role.META, re.compile(r"(?P<stem>.+)_(?i:meta\.h5)", re.DOTALL)),
    (Role.NEXUS, re.compile(r"(?P<stem>.+)(?i:\.nxs)", re.DOTALL)),
    (Role.DATA, re.compile(r"(?P<stem>.+?)(?:_data)?_(?P<number>[0-9]{6})(?i:\.h5)", re.DOTALL)),
)


def parse_name(name: str) -> Named | None:
    """Return what a file name says, None for one that is no Eiger's."""
    if is_temporary(name):
        return None
    for role, pattern in _NAMES:
        if match := pattern.fullmatch(name):
            return Named(match["stem"], role, int(match["number"]) if role is Role.DATA else 0)
    return None


def role_of(name: str) -> Role | None:
    """Return the role that a file name stands for, None for one that is no Eiger's."""
    named = parse_name(name)
    return None if named is None else named.role
