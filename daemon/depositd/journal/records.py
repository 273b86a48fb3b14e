"""Rows to values and back."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from depositd.model import (
    Archive,
    Block,
    DatasetState,
    Delivery,
    DeliveryState,
    FileKind,
    FileStat,
    Frames,
    HoldKind,
    Member,
    Metadata,
    Packing,
    VerdictKind,
    lasting,
)
from depositd.units import printable

LONGEST_TEXT = 2_000
"""Characters of one sentence: a server that answers with a megabyte must not fill the journal, or a terminal."""


@dataclass(frozen=True, slots=True)
class DatasetRecord:
    """One generation of a dataset as the journal knows it.

    ``files`` is empty until the dataset ended once.  ``metadata`` is what was resolved when it was last
    seen; ``header`` and ``sidecar`` are the layers that it was resolved from.  ``forgotten_at`` is when the journal was
    lost, where what was sent of it before is not known.
    """

    id: int
    rule: str
    format: str
    root: str
    directory: str
    key: str
    generation: int
    current: bool
    name: str
    path: str
    relative_path: str
    state: DatasetState
    verdict: VerdictKind
    evidence: tuple[str, ...]
    file_count: int
    size_bytes: int
    frames: Frames | None
    fingerprint: str
    condemned: str | None
    header: Metadata
    sidecar: Metadata
    sidecar_problem: str | None
    metadata: Metadata
    first_seen: datetime
    completed_at: datetime | None
    archived_at: datetime | None
    pack_failures: int
    next_pack_at: datetime | None
    pack_error: str | None
    pack_hint: str | None
    forgotten_at: datetime | None = None

    @property
    def sentence(self) -> str:
        """The verdict's evidence in one line."""
        return "; ".join(self.evidence)

    @property
    def lasting_sentence(self) -> str:
        """The evidence without what is wrong a minute later ("last write 41 s ago"), for reasons that are kept."""
        return "; ".join(lasting(self.evidence))


def time_text(moment: datetime) -> str:
    """Return a time as it is stored: UTC with microseconds, so that text sorts as time does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def time_of(text: str | None) -> datetime | None:
    """Return the aware datetime of a stored time."""
    return datetime.fromisoformat(text) if text else None


def frames_text(frames: Frames | None) -> str | None:
    """Return frame counts as stored JSON."""
    if frames is None:
        return None
    return json.dumps({"present": frames.present, "expected": frames.expected, "missing": list(frames.missing)})


def frames_of(text: str | None) -> Frames | None:
    """Return frame counts from stored JSON."""
    if text is None:
        return None
    stored = json.loads(text)
    return Frames(stored["present"], stored["expected"], tuple(stored["missing"]))


def pack_files(files: tuple[FileStat, ...]) -> bytes:
    """Return a dataset's files as a compressed blob: 100,000 frames take about 1 MB, not 100,000 rows."""
    rows = [[f.path, f.size_bytes, f.mtime_ns, f.ctime_ns, f.inode, f.allocated_bytes, f.kind] for f in files]
    return zlib.compress(json.dumps(rows).encode("ascii"), 1)


def unpack_files(blob: bytes | None) -> tuple[FileStat, ...]:
    """Return the files of :func:`pack_files`."""
    if blob is None:
        return ()
    return tuple(
        FileStat(path, size_bytes, mtime_ns, ctime_ns, inode, allocated_bytes, FileKind(kind))
        for path, size_bytes, mtime_ns, ctime_ns, inode, allocated_bytes, kind in json.loads(zlib.decompress(blob))
    )


def pack_members(members: tuple[Member, ...]) -> bytes:
    """Return an archive's members as a compressed blob."""
    rows = [[m.path, m.size_bytes, m.mtime_ns, m.sha256] for m in members]
    return zlib.compress(json.dumps(rows).encode("ascii"), 1)


def unpack_members(blob: bytes) -> tuple[Member, ...]:
    """Return the members of :func:`pack_members`."""
    return tuple(Member(*row) for row in json.loads(zlib.decompress(blob)))


def pack_blocks(blocks: tuple[Block, ...]) -> bytes:
    """Return an archive's blocks as 40 bytes each: the size, and the SHA-256."""
    return b"".join(block.size_bytes.to_bytes(8, "big") + bytes.fromhex(block.sha256) for block in blocks)


def unpack_blocks(blob: bytes) -> tuple[Block, ...]:
    """Return the blocks of :func:`pack_blocks`."""
    rows = (blob[at : at + 40] for at in range(0, len(blob), 40))
    return tuple(Block(int.from_bytes(row[:8], "big"), row[8:].hex()) for row in rows)


DATASET_COLUMNS = (
    "id, rule, format, root, directory, key, generation, current, name, path, relative_path, state, verdict, evidence,"
    " files, bytes, frames, fingerprint, condemned, header, sidecar, sidecar_problem, metadata, first_seen,"
    " completed_at, archived_at, pack_failures, next_pack_at, pack_error, pack_hint, forgotten_at"
)
"""What :func:`dataset_of` reads: all but the list of files, which may take megabytes."""


def dataset_of(row: sqlite3.Row) -> DatasetRecord:
    """Return a dataset from its row."""
    return DatasetRecord(
        id=row["id"],
        rule=row["rule"],
        format=row["format"],
        root=os.fsdecode(row["root"]),
        directory=os.fsdecode(row["directory"]),
        key=os.fsdecode(row["key"]),
        generation=row["generation"],
        current=bool(row["current"]),
        name=os.fsdecode(row["name"]),
        path=os.fsdecode(row["path"]),
        relative_path=os.fsdecode(row["relative_path"]),
        state=DatasetState(row["state"]),
        verdict=VerdictKind(row["verdict"]),
        evidence=tuple(json.loads(row["evidence"])),
        file_count=row["files"],
        size_bytes=row["bytes"],
        frames=frames_of(row["frames"]),
        fingerprint=row["fingerprint"],
        condemned=row["condemned"],
        header=json.loads(row["header"]),
        sidecar=json.loads(row["sidecar"]),
        sidecar_problem=row["sidecar_problem"],
        metadata=json.loads(row["metadata"]),
        first_seen=_certain(row["first_seen"]),
        completed_at=time_of(row["completed_at"]),
        archived_at=time_of(row["archived_at"]),
        pack_failures=row["pack_failures"],
        next_pack_at=time_of(row["next_pack_at"]),
        pack_error=row["pack_error"],
        pack_hint=row["pack_hint"],
        forgotten_at=time_of(row["forgotten_at"]),
    )


def delivery_of(row: sqlite3.Row) -> Delivery:
    """Return a delivery from its row."""
    return Delivery(
        id=row["id"],
        dataset_id=row["dataset_id"],
        destination=row["destination"],
        state=DeliveryState(row["state"]),
        attempts=row["attempts"],
        failures=row["failures"],
        next_attempt_at=time_of(row["next_attempt_at"]),
        remote_id=row["remote_id"],
        remote_status=row["remote_status"],
        error=row["error"],
        hint=row["hint"],
        hold=HoldKind(row["hold"]) if row["hold"] else None,
        released=row["released"],
        values=json.loads(row["operator_values"]),
        baseline=json.loads(row["baseline"]),
        sent_at=time_of(row["sent_at"]),
        replaces=row["replaces"],
    )


def consents_of(row: sqlite3.Row) -> frozenset[HoldKind]:
    """Return the kinds of hold that the operator has released for a delivery."""
    return frozenset(HoldKind(kind) for kind in json.loads(row["consents"]))


def archive_of(row: sqlite3.Row) -> Archive:
    """Return an archive from its row; ``path`` is empty once it was removed from the spool."""
    return Archive(
        path=os.fsdecode(row["path"]) if row["path"] is not None else "",
        name=os.fsdecode(row["name"]),
        packing=Packing(row["packing"]),
        size_bytes=row["bytes"],
        md5=row["md5"],
        inner_md5=row["inner_md5"],
        sha256=row["sha256"],
        members=unpack_members(row["members"]),
        blocks=unpack_blocks(row["blocks"]),
        level=row["level"],
        why=row["why"],
    )


def harmless(text: str | None) -> str | None:
    """Return what came from disk or a server as text that can be stored and shown: escaped, bounded, always UTF-8."""
    return None if text is None else printable(text, LONGEST_TEXT)


def json_text(value: Any) -> str:
    """Return a plain value as stored JSON, the same text for the same value."""
    return json.dumps(value, sort_keys=True, default=str)


def _certain(text: str) -> datetime:
    moment = time_of(text)
    assert moment is not None
    return moment
