"""What the two servers remember, in memory, and safe to look at from any thread.

Stores hold frozen values: what a test has taken out does not change under its hands.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

Clock = Callable[[], datetime]
"""Returns the present as an aware datetime."""


def utc_now() -> datetime:
    """Return the present in UTC."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Account:
    """One user of both servers."""

    user_id: int
    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Inspection:
    """What a look into an archive found.

    ``problem`` is None or one of the documented error statuses; ``details`` is the sentence that goes with it.
    """

    images: int
    problem: str | None = None
    details: str | None = None


@dataclass(frozen=True, slots=True)
class Upload:
    """One archive at the diffraction server, from its upload to its publication.

    ``filename``, ``size_bytes`` and ``md5`` are of the archive that is stored, ``sent_*`` of the file that came.
    ``submitted_at`` is None until ``POST /submit/``; ``metadata`` is what that said.
    """

    token: str
    user_id: int
    filename: str
    size_bytes: int
    md5: str
    sent_filename: str
    sent_size_bytes: int
    sent_md5: str
    pdb_id: str | None
    dataset_type: str
    inspection: Inspection
    inserted_at: datetime
    submitted_at: datetime | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Run:
    """One RAW file at the proteomics server.

    ``name`` is the file name after sanitising, with its suffix.  One that is not ``queued`` is never processed.
    """

    number: int
    pipeline: int
    name: str
    size_bytes: int
    md5: str
    uploader: str
    user_id: int
    uploaded_at: datetime
    flagged: bool = False
    use_downstream: bool = True
    queued: bool = True

    @property
    def key(self) -> str:
        """The run's key, ``rf12``."""
        return f"rf{self.number}"

    @property
    def stem(self) -> str:
        """The name without its suffix, as QC data show it."""
        return self.name.rpartition(".")[0]


@dataclass(frozen=True, slots=True)
class Project:
    """A project and the users who may see it."""

    pk: int
    name: str
    slug: str
    description: str
    members: frozenset[int]

    def as_json(self) -> dict[str, Any]:
        """Return the project as ``/api/projects`` lists it."""
        return {"pk": self.pk, "name": self.name, "description": self.description, "slug": self.slug}


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline of a project; ``uuid`` is the ``pid`` of uploads."""

    pk: int
    project: Project
    name: str
    slug: str
    uuid: str


class Traffic:
    """How often each endpoint was asked, and how many bytes of bodies it read."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[str] = Counter()
        self._body_bytes: Counter[str] = Counter()

    def request(self, method: str, path: str) -> None:
        """Count one request."""
        with self._lock:
            self._requests[f"{method} {path}"] += 1

    def body(self, path: str, count: int) -> None:
        """Count bytes of a request's body."""
        with self._lock:
            self._body_bytes[path] += count

    def requests(self) -> dict[str, int]:
        """Return the number of requests by ``METHOD /path``."""
        with self._lock:
            return dict(self._requests)

    def body_bytes(self, path: str) -> int:
        """Return how many bytes of bodies were read at a path."""
        with self._lock:
            return self._body_bytes[path]


class Uploads:
    """The archives at the diffraction server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_token: dict[str, Upload] = {}

    def all(self) -> tuple[Upload, ...]:
        """Return all archives, oldest first."""
        with self._lock:
            return tuple(self._by_token.values())

    def find(self, token: str) -> Upload | None:
        """Return the archive with this upload token."""
        with self._lock:
            return self._by_token.get(token)

    def add(self, upload: Upload) -> bool:
        """Store an archive; False where the same content is there already, from whomever."""
        with self._lock:
            if any(known.md5 == upload.md5 for known in self._by_token.values()):
                return False
            self._by_token[upload.token] = upload
            return True

    def submit(self, token: str, at: datetime, metadata: Mapping[str, object]) -> bool:
        """Confirm an archive's metadata; False where that was done already or it is not there."""
        with self._lock:
            upload = self._by_token.get(token)
            if upload is None or upload.submitted_at is not None:
                return False
            self._by_token[token] = replace(upload, submitted_at=at, metadata=dict(metadata))
            return True

    def delete(self, token: str) -> None:
        """Forget an archive."""
        with self._lock:
            self._by_token.pop(token, None)


class Runs:
    """The runs at the proteomics server."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: list[Run] = []

    def all(self) -> tuple[Run, ...]:
        """Return all runs, oldest first."""
        with self._lock:
            return tuple(self._runs)

    def add(self, run: Run, *, unique: bool) -> Run | None:
        """Store a run under the next number; with ``unique``, None where its pipeline knows the name already."""
        with self._lock:
            if unique and any((known.pipeline, known.name) == (run.pipeline, run.name) for known in self._runs):
                return None
            stored = replace(run, number=len(self._runs) + 1)
            self._runs.append(stored)
            return stored

    def change(self, chosen: Callable[[Run], bool], change: Callable[[Run], Run]) -> None:
        """Replace every run that is chosen by its changed self."""
        with self._lock:
            self._runs = [change(run) if chosen(run) else run for run in self._runs]
