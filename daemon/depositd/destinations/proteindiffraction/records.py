"""What the server answers, typed; ``raw`` keeps every field, also those that no document names yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from depositd.destinations import fields

UPLOADED = "uploaded"
PUBLISHED = "published"

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
    """The answer to an exchange of username and password for a token."""

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
    """The answer to an upload; ``token`` names it from now on."""

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
            is_pdb_exists=raw.get("is_pdb_exists") is True,
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission's metadata."""

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
    """What the server knows of one upload.  Everything but ``token`` and ``status`` may be missing."""

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
            status=fields.text(raw, "status"),
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


@dataclass(frozen=True, slots=True)
class Beamline:
    """One beamline of a synchrotron."""

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
            short=fields.text(raw, "short"),
            fullname=fields.text_or_none(raw, "fullname"),
            url=fields.text_or_none(raw, "url"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Synchrotron:
    """One synchrotron with its beamlines."""

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
            short=fields.text(raw, "short"),
            fullname=fields.text_or_none(raw, "fullname"),
            url=fields.text_or_none(raw, "url"),
            beamlines=tuple(fields.list_of(Beamline.read)(raw.get("beamlines") or [])),
            raw=raw,
        )


def _details(value: Any) -> str | None:
    """Return ``status_details`` as text: documented as null only, so that anything else is shown as it is."""
    return None if value is None or value == "" else str(value)
