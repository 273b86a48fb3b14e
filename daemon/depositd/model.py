"""The words of depositd and the values that they name.

Glossary
--------
source       a directory tree that one or more rules watch.
listing      what one directory of a source held at one look: its files, and the trees of those
             sub-directories that are datasets by themselves (a Waters ``.raw``).
dataset      one acquisition: a frame series, an Eiger master with its data files, one ``.raw`` file,
             one ``.raw`` directory.  A dataset that changes after it was archived is a new *generation*.
probe        what a small read of one file's header said.
verdict      what the format says of a dataset, always with its evidence.
packing      how a dataset is sent: as an ``archive`` (``.tar.zst`` …) or as the ``file`` that it is.
archive      a packed dataset: one file in the spool, with its hashes.
destination  a configured server or directory.
delivery     one dataset on its way to one destination.
journal      the SQLite database that remembers all of it.

Everything here is frozen: values are facts, and a changed fact is a new value.  Paths are ``str`` in
the file system's own encoding with ``surrogateescape`` (``os.fsdecode``); they are stored as BLOBs and
shown through :func:`depositd.units.printable`.  Times are UTC ``datetime`` objects, durations are
seconds (``_s``), sizes are bytes (``_bytes``), hashes are lower-case hex.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

Metadata = dict[str, Any]
"""Metadata keys to values, as strings or numbers; keys are the server's own where it has one."""


class FileKind(enum.StrEnum):
    """What a directory entry is.  Only regular files are ever opened."""

    REGULAR = "regular file"
    SYMLINK = "symbolic link"
    FIFO = "named pipe"
    SOCKET = "socket"
    DEVICE = "device"
    UNREADABLE = "directory that cannot be read"


class FileStat(NamedTuple):
    """One directory entry as ``lstat`` saw it.

    ``path`` is relative to the source's root.  ``allocated_bytes`` is ``st_blocks * 512`` and tells a
    preallocated file from a written one.  A tuple, because a sweep makes a million of them.
    """

    path: str
    size_bytes: int
    mtime_ns: int
    ctime_ns: int = 0
    inode: int = 0
    allocated_bytes: int = 0
    kind: FileKind = FileKind.REGULAR

    @property
    def name(self) -> str:
        """The last component of the path."""
        return self.path.rpartition("/")[2]

    @property
    def directory(self) -> str:
        """The directory relative to the root, ``""`` for the root itself."""
        return self.path.rpartition("/")[0]

    def same_content_as(self, other: FileStat) -> bool:
        """True when nothing says that the content changed: path, size, mtime and kind agree."""
        return (self.path, self.size_bytes, self.mtime_ns, self.kind) == (
            other.path,
            other.size_bytes,
            other.mtime_ns,
            other.kind,
        )


@dataclass(frozen=True, slots=True)
class Listing:
    """One directory of a source at one look.

    ``directory`` is relative to the root (``""`` is the root).  ``files`` are the directory's own
    entries that are not directories, sorted by path.  ``trees`` maps each sub-directory that is a
    dataset by itself to all entries below it, sorted by path.

    A ``partial`` listing says what a look found different from the look before it: ``files`` are those that came or
    changed, ``vanished`` those that went (as they were last seen); its ``trees`` are whole all the same.
    """

    directory: str
    files: tuple[FileStat, ...] = ()
    trees: Mapping[str, tuple[FileStat, ...]] = field(default_factory=dict)
    vanished: tuple[FileStat, ...] = ()
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What a dataset is of a series whose frames do not all belong together.

    ``why`` is the sentence that says so.  ``missing`` are the numbers absent from the whole series after this part's
    frames (at most the first 1,000 of ``missing_total``): what lies in another part is not missing here.  ``remains``
    is true for what is left of an acquisition that another one overwrites.
    """

    why: str
    missing: tuple[int, ...] = ()
    missing_total: int = 0
    remains: bool = False


@dataclass(frozen=True, slots=True)
class Dataset:
    """A group of files that a format takes for one acquisition.

    ``directory`` is relative to the root of the source; ``key`` tells datasets of one directory
    apart (for frames: prefix, suffix and compression).  ``path`` is what users see, relative to the
    root: the directory for frames and Eiger, the file or the directory itself otherwise.
    ``top`` is the part of each member's path that is cut off before the dataset's name is put in
    front inside an archive.  ``part`` is None save where one series turned out to be several datasets.
    """

    name: str
    format: str
    directory: str
    key: str
    path: str
    files: tuple[FileStat, ...]
    part: Part | None = None

    @property
    def top(self) -> str:
        """The directory that becomes the dataset's name inside an archive."""
        own_directory = any(file.path.startswith(self.path + "/") for file in self.files)
        return self.path if own_directory else self.directory

    @property
    def size_bytes(self) -> int:
        """The sum of all file sizes."""
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True, slots=True)
class Probe:
    """What one small read of one file said.

    ``problem`` is None for a whole file; otherwise a clause that names what is wrong ("ends 1,024
    bytes early").  ``retry`` is true where the problem is one that a writer still at work would
    also show.  ``facts`` are format-specific values that *judge* and *metadata* use, plain enough for JSON.
    """

    problem: str | None = None
    retry: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class VerdictKind(enum.StrEnum):
    """What a format can say of a dataset (contract, "Words")."""

    GROWING = "growing"
    COMPLETE = "complete"
    TRUNCATED = "truncated"
    GAPPED = "gapped"
    ABORTED = "aborted"
    CORRUPT = "corrupt"


@dataclass(frozen=True, slots=True)
class Frames:
    """Frame counts: ``expected`` is None where nothing says how many there should be.

    ``missing`` are the numbers of absent frames, at most the first 1,000.
    """

    present: int
    expected: int | None = None
    missing: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Rung:
    """One rung of the ladder of evidence: what it asks, and what was found there."""

    asks: str
    finding: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a format says of a dataset, with the sentences that say why.

    ``recheck_s`` is the quiet time still to pass before the verdict can change although no file
    does; None where only a change of the files can change it.  ``awaits`` says what would end the wait of a growing
    dataset.  ``ladder`` is every rung with its finding.  ``by_quiescence`` is true where nothing but silence says that
    this is the end.
    """

    kind: VerdictKind
    evidence: tuple[str, ...]
    frames: Frames | None = None
    recheck_s: float | None = None
    awaits: str = ""
    ladder: tuple[Rung, ...] = ()
    by_quiescence: bool = False

    @property
    def sentence(self) -> str:
        """All evidence in one line, the same wherever it is shown."""
        return "; ".join(self.evidence)


def lasting(evidence: Iterable[str]) -> list[str]:
    """Return the clauses that are still right a minute later: all but "last write 41 s ago"."""
    return [clause for clause in evidence if not clause.startswith("last write")]


@dataclass(frozen=True, slots=True)
class Quiet:
    """How still a dataset has been.

    ``quiet_s`` is the time for which its fingerprint has not changed by our own monotonic clock
    (for a dry run: by the age of its newest file).  ``last_write_s`` is the age of the newest mtime
    by the wall clock, for the sentence only.  ``open_name`` is a member that a program on this machine holds open for
    writing; ``writers_asked`` is true where that could be asked at all.  ``next_name`` is a newer dataset of the same
    format in the same directory.
    """

    quiet_s: float
    last_write_s: float
    open_name: str | None = None
    writers_asked: bool = False
    next_name: str | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """What a rule asks of a dataset before it is complete.

    ``marker`` is None where the rule names none, else whether the marker is there.
    """

    settle_s: float
    expected_frames: int | None = None
    marker_pattern: str | None = None
    marker_present: bool = False


class Packing(enum.StrEnum):
    """How a destination takes a dataset."""

    ARCHIVE = "archive"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Member:
    """One file inside an archive: its path there, size and SHA-256."""

    path: str
    size_bytes: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of a packed file, one after the other: its size in the file, and the SHA-256 of its bytes."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Archive:
    """A packed dataset in the spool, verified.

    ``md5`` is of the file that is sent, ``inner_md5`` of what the server stores after decompressing
    it (the plain tar); for a file sent as it is, both are the same.  ``blocks`` cover the file without gaps where it
    was written in independent frames, so that several threads can check it at once; empty where it was not.
    ``level`` is the compression level that was used and ``why`` the sentence that says how it was chosen.
    """

    path: str
    name: str
    packing: Packing
    size_bytes: int
    md5: str
    inner_md5: str
    sha256: str
    members: tuple[Member, ...] = ()
    blocks: tuple[Block, ...] = ()
    level: int | None = None
    why: str = ""


class DatasetState(enum.StrEnum):
    """What is true of a dataset (contract, "States")."""

    GROWING = "growing"
    INCOMPLETE = "incomplete"
    COMPLETE = "complete"
    ARCHIVED = "archived"
    GONE = "gone"


class DeliveryState(enum.StrEnum):
    """What is true of a delivery (contract, "States")."""

    HELD = "held"
    WAITING = "waiting"
    UNCONFIRMED = "unconfirmed"
    UPLOADED = "uploaded"
    SUBMITTED = "submitted"
    DELIVERED = "delivered"
    FAILED = "failed"
    SKIPPED = "skipped"


class HoldKind(enum.StrEnum):
    """Why a delivery is held or set aside; it decides what frees it.

    NAMESAKE is of one that waits, by itself, behind another one that is held.
    """

    OPERATOR = "operator"
    APPROVAL = "approval"
    INCOMPLETE = "incomplete"
    GONE = "gone"
    METADATA = "metadata"
    CHANGED = "changed"
    DUPLICATE = "duplicate"
    UNCONFIRMED = "unconfirmed"
    SERVER = "server"
    NAMESAKE = "namesake"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One dataset on its way to one destination, as the journal knows it.

    ``baseline`` is what the destination knew before the last send began (adapter's own JSON);
    ``sent_at`` is when that send began, None when its answer is known.  ``released`` is the
    sentence of the destination's own hold to which the operator said "send it all the same"; ``values`` are
    those given with ``release --set``.  ``replaces`` is what the destination has to delete before it is sent
    anything (``retry --replace``).
    """

    id: int
    dataset_id: int
    destination: str
    state: DeliveryState
    attempts: int = 0
    failures: int = 0
    next_attempt_at: datetime | None = None
    remote_id: str | None = None
    remote_status: str | None = None
    error: str | None = None
    hint: str | None = None
    hold: HoldKind | None = None
    released: str | None = None
    values: Metadata = field(default_factory=dict)
    baseline: Mapping[str, Any] = field(default_factory=dict)
    sent_at: datetime | None = None
    replaces: str | None = None

    @property
    def is_forgotten(self) -> bool:
        """True where the journal was lost since, so that nobody here knows whether it was ever sent."""
        return self.sent_at is not None and FORGOTTEN in self.baseline


FORGOTTEN = "journal_lost_at"
"""The key of a baseline that stands for one that nobody noted, for a send that may never have begun."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something an operator can mend: which key or path, what is wrong, what would be right."""

    where: str
    what: str
    hint: str = ""
