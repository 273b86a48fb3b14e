"""What the server answers, typed; ``raw`` keeps every field, also those that no document names yet.

A record needs what nothing can go on without (a token, an id); everything else may be missing, null or of a wrong type,
and is then None.  The status of a submission is then ``unknown``, and is polled on as one that no document names.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from depositd.destinations import fields

UPLOADED = "uploaded"
PUBLISHED = "published"
UNKNOWN = "unknown"
"""In place of a status that is missing or no text."""

NEXT_ACTION: Mapping[str, str] = {
    "uploaded": "Call POST /submit/",
    "submitted": "Wait",
    "pending": "Wait",
    "validated": "Wait",
    "published": "Done",
    "error_no_data": "Delete and re-upload a corrected archive",
    "inconsistent_datasets": "Contact support or resubmit",
    "header_not_readable": "Check image format; contact support",
}
"""The documented statuses, each with the document's own next action."""

MEANING: Mapping[str, str] = {
    "error_no_data": "no diffraction images were found in the archive",
    "inconsistent_datasets": "multiple non-matching datasets were detected",
    "header_not_readable": "image headers could not be parsed",
}
"""The statuses that end badly, each with the document's meaning."""

DELETABLE = frozenset({"uploaded", "validated", "error_no_data"})
"""The statuses that the document names as deletable; it says "e.g.", so that the server has the last word."""


@dataclass(frozen=True, slots=True)
class Account:
    """The answer to an exchange of username and password for a token (section POST /auth/token/)."""

    token: str = field(repr=False)
    user_id: int | None
    email: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented answer; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            token=fields.text(raw, "token"),
            user_id=fields.integer_or_none(raw, "user_id"),
            email=fields.text_or_none(raw, "email"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Upload:
    """The answer to an upload (section POST /upload/); ``token`` names it from now on.

    ``md5hash`` is lower-case hex, of the file that was sent or of the archive inside its zstd layer.  ``pdbid`` is the
    PDB ID that the server found in it, ``is_pdb_exists`` says that this entry has a dataset there already.
    """

    token: str
    md5hash: str
    filename: str | None
    size_bytes: int | None
    pdbid: str | None
    is_pdb_exists: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented answer; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            token=fields.text(raw, "token"),
            md5hash=fields.text(raw, "md5hash").lower(),
            filename=fields.text_or_none(raw, "filename"),
            size_bytes=fields.integer_or_none(raw, "size"),
            pdbid=fields.text_or_none(raw, "pdbid"),
            is_pdb_exists=says_yes(raw.get("is_pdb_exists")),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission's metadata (section POST /submit/)."""

    token: str
    status: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented answer; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(token=fields.text(raw, "token"), status=fields.text(raw, "status"), raw=raw)


@dataclass(frozen=True, slots=True)
class Submission:
    """What the server knows of one upload (section GET /submissions/<token>/).

    ``md5hash`` is lower-case hex; ``inserted`` and ``updated`` are the server's own text, UTC ISO 8601.
    """

    token: str
    status: str
    original_filename: str | None
    md5hash: str | None
    pdbid: str | None
    dataset_type: str | None
    project_title: str | None
    project_authors: str | None
    synchrotron: Mapping[str, Any] | None
    beamline: Mapping[str, Any] | None
    equipment_other: str | None
    status_details: str | None
    inserted: str | None
    updated: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        md5hash = fields.text_or_none(raw, "md5hash")
        return cls(
            token=fields.text(raw, "token"),
            status=fields.text_or_none(raw, "status") or UNKNOWN,
            original_filename=fields.text_or_none(raw, "original_filename"),
            md5hash=md5hash.lower() if md5hash else None,
            pdbid=fields.text_or_none(raw, "pdbid"),
            dataset_type=fields.text_or_none(raw, "dataset_type"),
            project_title=fields.text_or_none(raw, "project_title"),
            project_authors=fields.text_or_none(raw, "project_authors"),
            synchrotron=fields.object_or_none(raw, "synchrotron"),
            beamline=fields.object_or_none(raw, "beamline"),
            equipment_other=fields.text_or_none(raw, "equipment_other"),
            status_details=_details(raw.get("status_details")),
            inserted=fields.text_or_none(raw, "inserted"),
            updated=fields.text_or_none(raw, "updated"),
            raw=raw,
        )

    @property
    def ended(self) -> bool:
        """True when the status will not change by itself; an unknown status may."""
        return self.status == PUBLISHED or self.failed

    @property
    def failed(self) -> bool:
        """True when the server refuses the data."""
        return self.status in MEANING

    @property
    def next_action(self) -> str | None:
        """The document's next action for the status, None for one that it does not name."""
        return NEXT_ACTION.get(self.status)

    @property
    def deletable(self) -> bool:
        """True where the document names the status as deletable; of others the server decides."""
        return self.status in DELETABLE


def read_submissions(value: Any) -> list[Submission]:
    """Read the documented list; raises Undocumented where it is none.

    A row without a token is left out: nothing could be done with it, and one of them must not hide all others.
    """
    rows = fields.list_of(lambda row: row)(value)
    return [Submission.read(row) for row in rows if isinstance(row, dict) and fields.text_or_none(row, "token")]


def with_content(submissions: Sequence[Submission], *md5s: str) -> Submission | None:
    """Return the submission of a content by its MD5s (lower-case hex): the newest not failed, else the newest.

    The server stores what it unpacks, so that an archive is known by its own MD5 and by that of the tar inside.
    """
    same = [one for one in submissions if one.md5hash in md5s]
    return next((one for one in same if not one.failed), same[0] if same else None)


def with_name(submissions: Sequence[Submission], archive_name: str) -> Submission | None:
    """Return a submission of an archive of this name, the newest; the server strips the zstd layer and its suffix."""
    name = archive_name.removesuffix(".zst")
    return next((one for one in submissions if (one.original_filename or "").removesuffix(".zst") == name), None)


@dataclass(frozen=True, slots=True)
class Beamline:
    """One beamline of a synchrotron (section GET /equipment/); ``short`` is its full name where it has no other."""

    id: int
    short: str
    fullname: str | None
    url: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            id=fields.integer(raw, "id"),
            short=_short_name(raw),
            fullname=fields.text_or_none(raw, "fullname"),
            url=fields.text_or_none(raw, "url"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Synchrotron:
    """One synchrotron with its beamlines (section GET /equipment/); ``short`` as for a beamline."""

    id: int
    short: str
    fullname: str | None
    url: str | None
    beamlines: tuple[Beamline, ...]
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            id=fields.integer(raw, "id"),
            short=_short_name(raw),
            fullname=fields.text_or_none(raw, "fullname"),
            url=fields.text_or_none(raw, "url"),
            beamlines=tuple(Beamline.read(item) for item in _items(raw.get("beamlines"))),
            raw=raw,
        )


def says_yes(value: Any) -> bool:
    """Return whether a flag is set, also where it is a number or a text: what is overlooked here is made public."""
    return str(value).strip().lower() in ("true", "1")


def _short_name(raw: Mapping[str, Any]) -> str:
    return fields.text_or_none(raw, "short") or fields.text_or_none(raw, "fullname") or f"no. {raw.get('id')}"


def _items(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _details(value: Any) -> str | None:
    """Return ``status_details`` as text: documented as null only, so that anything else is shown as it is."""
    return None if value is None or value == "" else str(value)
