"""Archives and what is in them as JSON: for ``show``, ``show --manifest`` and ``journal export``; pure."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any

from depositd.journal.records import unpack_members
from depositd.model import Member

ARCHIVE_COLUMNS = "dataset_id, packing, path, name, bytes, md5, inner_md5, sha256, level, why"
"""What :func:`archive_json` reads: all but the members, which may be 100,000."""

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - its text is written without an offset, and the Z put behind


def archive_json(row: sqlite3.Row) -> dict[str, Any]:
    """Return an archive as the contract's JSON, with how it was packed and why so."""
    return {
        "path": os.fsdecode(row["path"]) if row["path"] is not None else None,
        "name": os.fsdecode(row["name"]),
        "bytes": row["bytes"],
        "md5": row["md5"],
        "inner_md5": row["inner_md5"],
        "sha256": row["sha256"],
        "packing": row["packing"],
        "level": row["level"],
        "why": row["why"],
    }


def manifest_json(row: sqlite3.Row) -> dict[str, Any]:
    """Return an archive with its members, in their order inside it."""
    return {**archive_json(row), "members": _members_json(unpack_members(row["members"]))}


def _members_json(members: Iterable[Member]) -> list[dict[str, Any]]:
    return [
        {
            "path": member.path,
            "bytes": member.size_bytes,
            "mtime": _time_text(member.mtime_ns),
            "sha256": member.sha256,
        }
        for member in members
    ]


def _time_text(time_ns: int) -> str | None:
    """Return a file's time as UTC ISO 8601 with nanoseconds; None outside the years 1 to 9999, which disks can hold."""
    seconds, nanoseconds = divmod(time_ns, 1_000_000_000)
    text = _seconds_text(seconds)
    return None if text is None else f"{text}.{nanoseconds:09}Z"


@lru_cache(maxsize=1024)
def _seconds_text(seconds: int) -> str | None:
    # remembered, because a fast detector writes 1,000 files a second
    try:
        return (_EPOCH + timedelta(seconds=seconds)).isoformat()
    except OverflowError:
        return None
