"""What the server answers, typed; ``raw`` keeps every field, also those that no document names yet."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from depositd.destinations import fields

Columns = dict[str, Any]
"""A table as the server sends it: a column's name to its list of values."""


@dataclass(frozen=True, slots=True)
class MintedToken:
    """The account's API token; ``created`` is False where it was there before."""

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
    """A project that the account may see."""

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
    """A pipeline of a project; an older server does not tell the ``uuid`` that uploads need."""

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
    """Somebody who uploaded to a pipeline."""

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
    """The answer to an upload: where the file is kept; no hash and no run."""

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
    """One run as ``qc-data`` shows it once it has been processed."""

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
    stems = _column(columns, "RawFile")
    keys = _column(columns, "RunKey")
    uploaders = _column(columns, "Uploader")
    return [
        QcRun(stem=str(stem), key=_text_at(keys, index), uploader=_text_at(uploaders, index))
        for index, stem in enumerate(stems)
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


def _column(columns: Mapping[str, Any], name: str) -> list[Any]:
    values = columns.get(name)
    return values if isinstance(values, list) else []


def _text_at(values: list[Any], index: int) -> str | None:
    value = values[index] if index < len(values) else None
    return str(value) if value not in (None, "") else None
