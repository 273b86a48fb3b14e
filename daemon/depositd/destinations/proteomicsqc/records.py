"""What the server answers, typed; ``raw`` keeps every field, also those that no document names yet.

Each ``read`` takes the decoded JSON and raises Undocumented where it is not what the server's API page says.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from depositd.destinations import fields

Columns = dict[str, Any]
"""A table as the server sends it, each column's name with its values: the server's API page, section /api/qc-data."""

ASKED_COLUMNS = ("RawFile", "RunKey", "Uploader")
"""What :func:`qc_runs` reads."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """The account's API token; ``created`` is False where it was there before.

    The server's API page, section "Bootstrap a token from the current web login".
    """

    token: str = field(repr=False)
    created: bool
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented answer; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(token=fields.text(raw, "token"), created=raw.get("created") is True, raw=raw)


@dataclass(frozen=True, slots=True)
class Project:
    """A project that the account may see; ``slug`` is what other requests ask for.

    The server's API page, section /api/projects.
    """

    slug: str
    name: str | None
    pk: int | None
    description: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            slug=fields.text(raw, "slug"),
            name=fields.text_or_none(raw, "name"),
            pk=fields.integer_or_none(raw, "pk"),
            description=fields.text_or_none(raw, "description"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A pipeline of a project; ``uuid`` is the ``pid`` of uploads, None on an older server, which does not tell it.

    The server's API page, section /api/pipelines.
    """

    slug: str
    name: str | None
    uuid: str | None
    path_as_str: str | None
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            slug=fields.text(raw, "slug"),
            name=fields.text_or_none(raw, "name"),
            uuid=fields.text_or_none(raw, "uuid"),
            path_as_str=fields.text_or_none(raw, "path_as_str"),
            raw=raw,
        )

    @property
    def number(self) -> int | None:
        """The database's number of the pipeline, where the server tells it: uploads answer with it."""
        pk = fields.integer_or_none(self.raw, "pk")
        return pk if pk is not None else fields.integer_or_none(self.raw, "id")


@dataclass(frozen=True, slots=True)
class Uploader:
    """Somebody who uploaded to a pipeline; ``value`` is the e-mail address.

    The server's API page, section /api/pipeline-uploaders.
    """

    label: str
    value: str
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented object; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(label=fields.text(raw, "label"), value=str(raw.get("value", "")), raw=raw)


@dataclass(frozen=True, slots=True)
class RawUpload:
    """The answer to an upload: where the file is kept; no hash, no size and no run.

    ``pipeline`` and ``created_by`` are the database's numbers.  The server's API page, section /api/upload/raw.
    """

    orig_file: str
    pipeline: Any
    created_by: Any
    raw: Mapping[str, Any] = field(repr=False, compare=False)

    @classmethod
    def read(cls, value: Any) -> Self:
        """Read the documented answer; raises Undocumented."""
        raw = fields.an_object(value)
        return cls(
            orig_file=fields.text(raw, "orig_file"),
            pipeline=raw.get("pipeline"),
            created_by=raw.get("created_by"),
            raw=raw,
        )


@dataclass(frozen=True, slots=True)
class QcRun:
    """One run as ``qc-data`` shows it once it has been processed; ``row`` is its place in every column.

    ``key`` and ``uploader`` are None where the server does not tell them.  The server's API page, section /api/qc-data.
    """

    row: int
    stem: str
    key: str | None
    uploader: str | None


def read_columns(value: Any) -> Columns:
    """Read a table; raises Undocumented.  An older server sends ``protein-groups`` as JSON inside a JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError:
            raise fields.Undocumented("the body is a text that is not JSON") from None
    return dict(fields.an_object(value))


def qc_runs(columns: Mapping[str, Any]) -> list[QcRun]:
    """Return the runs of ``qc-data``; columns that an older server does not have are None."""
    return [
        QcRun(
            row=row,
            stem=str(stem),
            key=_text_at(columns, "RunKey", row),
            uploader=_text_at(columns, "Uploader", row),
        )
        for row, stem in enumerate(_column(columns, "RawFile"))
    ]


def sanitised(name: str) -> str:
    """Return a file's name as the server (Django's storage) keeps it: ``with space (1).raw`` → ``with_space_1.raw``."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


def stem_of(name: str) -> str:
    """Return what tells runs of one file: its kept name without directory and ``.raw``, without regard to case.

    ``a.raw`` is the stem of ``a.raw.raw``, and shall not be another's name.
    """
    kept = sanitised(name.replace("\\", "/").rpartition("/")[2]).casefold()
    return re.sub(r"(\.raw)+\Z", "", kept)


def value_at(columns: Mapping[str, Any], name: str, row: int) -> Any:
    """Return a value of a table; None where it is not known: no such row, null, NaN or an empty text."""
    values = _column(columns, name)
    value = values[row] if row < len(values) else None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return None if value == "" else value


def switch_at(columns: Mapping[str, Any], name: str, row: int) -> bool | None:
    """Return a yes or no of a table, which the server may also send as a number; None where it is not known."""
    value = value_at(columns, name, row)
    return bool(value) if value in (0, 1) else None


def has_column(columns: Mapping[str, Any], name: str) -> bool:
    """True where the server has a column: one that it does not have is left out, or an empty text."""
    return isinstance(columns.get(name), list)


def _column(columns: Mapping[str, Any], name: str) -> list[Any]:
    values = columns.get(name)
    return values if isinstance(values, list) else []


def _text_at(columns: Mapping[str, Any], name: str, row: int) -> str | None:
    value = value_at(columns, name, row)
    return None if value is None else str(value)
