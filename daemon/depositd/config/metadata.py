"""Which metadata a delivery carries: later layers beat earlier ones (contract, "Config").

The layers are the files' header, the path, the rule's ``set``, the delivery's ``metadata``, the sidecar and the
operator's ``release --set``.  All of it is pure; whoever calls reads the sidecar.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depositd.config.document import Scalar, read_document
from depositd.config.patterns import PathPattern, TooSlowError
from depositd.config.rules import MetadataRules
from depositd.config.templates import MissingFieldError, render
from depositd.config.wording import quoted
from depositd.model import Metadata, Problem
from depositd.units import printable

PATH = "metadata.path"
"""The place of a problem with a path that could not be searched in time."""
LARGEST_SIDECAR_BYTES = 64 * 1024
MOST_SIDECAR_VALUES = 5_000
"""A sidecar is read in the thread that watches: of so many values, that takes a quarter of a second."""
LONGEST_PATH_CHARACTERS = 4096
"""Longer paths are not searched: a regular expression's time can grow steeply with the text, and PATH_MAX is this."""

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Resolved:
    """The metadata of one delivery, and what could not be filled in."""

    values: Metadata
    problems: tuple[Problem, ...] = ()


def resolve(
    header: Metadata,
    relative_path: str,
    rule_metadata: MetadataRules,
    delivery_metadata: Mapping[str, str],
    sidecar: Metadata,
    operator: Metadata,
    extra: Mapping[str, Any],
) -> Resolved:
    """Lay the layers over each other and fill the templates of ``set`` and of the delivery.

    Templates see what earlier layers gave, and ``extra`` (name, format, rule, date).  A key whose template lacks
    a field is left out, with a problem that names the field, unless a later layer gives the key.  So is what the path
    may hold where it could not be searched in time: then not even the header's value is taken in its place.
    """
    from_path: Metadata = {}
    path_problem = unsearched = ""
    try:
        from_path, path_problem = _from_path(rule_metadata.path, relative_path)
    except TooSlowError as error:
        unsearched = str(error)
    unknown = rule_metadata.path.groups if rule_metadata.path and unsearched else ()
    values: Metadata = {**{key: value for key, value in header.items() if key not in unknown}, **from_path}
    problems: dict[str, Problem] = {}
    for where, templates in (("metadata.set", rule_metadata.set), ("deliver.metadata", delivery_metadata)):
        fields = {**extra, **values}
        for key, template in templates.items():
            try:
                values[key] = render(template, fields)
                problems.pop(key, None)
            except MissingFieldError as error:
                values.pop(key, None)
                problems[key] = _missing(f"{where}.{key}", key, error.fields, path_problem)
    for layer in (sidecar, operator):
        values.update(layer)
    found = [problem for key, problem in problems.items() if key not in values]
    if missing := [key for key in unknown if key not in values]:
        found.append(_unsearched(missing, unsearched))
    return Resolved(values, tuple(found))


def _from_path(pattern: PathPattern | None, relative_path: str) -> tuple[Metadata, str]:
    """Return the groups that matched, and a sentence where something did not; raises TooSlowError."""
    if pattern is None:
        return {}, ""
    if len(relative_path) > LONGEST_PATH_CHARACTERS:
        raise TooSlowError(f"was not tried: the path has more than {LONGEST_PATH_CHARACTERS:,} characters")
    match = pattern.search(relative_path)
    if match is None:
        return {}, f"metadata.path does not match {printable(relative_path, longest=200)}"
    groups = {key: text for key, text in match.items() if text}
    unreadable = [key for key, text in groups.items() if _LONE_SURROGATE.search(text)]
    sentence = f"{', '.join(unreadable)} in the path is not UTF-8" if unreadable else ""
    return {key: text for key, text in groups.items() if key not in unreadable}, sentence


def _unsearched(keys: Sequence[str], why: str) -> Problem:
    """Return the problem of keys that the path may hold: nobody knows what would have been sent with them."""
    names = " and ".join(keys)
    simpler = "write a simpler metadata.path, reload the config and release it"
    hint = f"{simpler}, or give {names} with release --set or in the sidecar"
    return Problem(PATH, why, hint)


def _missing(where: str, key: str, fields: tuple[str, ...], path_problem: str) -> Problem:
    names = " and ".join("{" + name + "}" for name in fields)
    what = f"{key} needs {names}, which nothing gives" + (f"; {path_problem}" if path_problem else "")
    return Problem(where, what, f"give it with release --set {key}=…, or in the sidecar")


def parse_sidecar(content: bytes) -> Metadata:
    """Return the metadata of a sidecar, all values as they are written; raises ValueError with a sentence.

    Keys without a value are left out, so that a form that was not filled in overrides nothing.
    """
    if len(content) > LARGEST_SIDECAR_BYTES:
        raise _sidecar_error(f"is larger than {LARGEST_SIDECAR_BYTES:,} bytes")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise _sidecar_error("is not UTF-8 text") from None
    document = read_document(text, most_nodes=MOST_SIDECAR_VALUES)
    wrong = [finding for finding in document.findings if not finding.blank]
    if wrong:
        raise _sidecar_error(wrong[0].message, wrong[0].mark.line)
    data = {} if document.data is None else document.data
    if not isinstance(data, dict):
        raise _sidecar_error("is not a mapping of keys to values (such as pdb_code: 1ABC)")
    values = {}
    for key, value in data.items():
        line = document.keys[key,].line
        if not _KEY.fullmatch(key):
            raise _sidecar_error(f"{quoted(key)} is not a metadata key", line)
        if isinstance(value, dict | list):
            raise _sidecar_error(f"{key} is a mapping or a list (one value)", line)
        if value is not None:
            values[key] = value.text if isinstance(value, Scalar) else value
    return values


def _sidecar_error(what: str, line: int | None = None) -> ValueError:
    return ValueError(f"the sidecar {what}" if line is None else f"the sidecar, line {line}: {what}")


def parse_assignments(assignments: Iterable[str]) -> Metadata:
    """Return the metadata of ``["key=value", …]``; raises ValueError with a sentence."""
    values: Metadata = {}
    for assignment in assignments:
        key, equals, value = assignment.partition("=")
        key, value = key.strip(), value.strip()
        shown = quoted(assignment)
        if not equals or not _KEY.fullmatch(key):
            raise ValueError(f"{shown} is not an assignment (key=value, such as pdb_code=1ABC)")
        if not value:
            raise ValueError(f"{shown} gives no value (key=value, such as pdb_code=1ABC)")
        if key in values:
            raise ValueError(f"{key} is given twice (once)")
        values[key] = value
    return values
