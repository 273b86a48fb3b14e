"""Metadata for the Protein Diffraction Image Server that its API would not take, found before a dataset is held for it.

A metadata key is free where a template uses it, and so is any that resembles none of the API's own.  A value with a
template is known only when a dataset is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from depositd.config.document import Document, Finding, KeyPath
from depositd.config.raw import as_text, deliveries, destination_types, rules, value_at
from depositd.config.templates import MissingFieldError, render, template_fields
from depositd.config.wording import nearest_word, quoted

API_KEYS = (
    "pdb_code",
    "dataset_type",
    "project_title",
    "project_authors",
    "synchrotron",
    "beamline",
    "synchrotron_id",
    "beamline_id",
    "equipment_other",
)
_LEAST_RATIO = 0.85
_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}", re.ASCII)
_SHORTEST_TITLE = 10


def check_diffraction_metadata(document: Document) -> Iterator[Finding]:
    """Give what is wrong in the metadata of rules and deliveries that go to such a server."""
    types = destination_types(document.data)
    for where, rule in rules(document.data):
        names = [(path[: len(where) + 2], name) for path, name in deliveries(where, rule)]
        entries = [path for path, name in names if types.get(name) == "proteindiffraction"]
        if not entries:
            continue
        used = _fields_used(rule, [path for path, _name in names], document.data)
        given = {path: _mapping_at(document.data, (*path, "metadata")) for path in entries}
        # what each of the deliveries says itself never reaches the server from the rule
        overridden = set.intersection(*(set(metadata) for metadata in given.values()))
        for_all = _mapping_at(rule, ("metadata", "set"))
        yield from _wrong_keys((*where, "metadata", "set"), for_all, used, document)
        passed_on = {key: value for key, value in for_all.items() if key not in overridden}
        yield from _wrong_values((*where, "metadata", "set"), passed_on, document)
        for path, metadata in given.items():
            yield from _wrong_keys((*path, "metadata"), metadata, used, document)
            yield from _wrong_values((*path, "metadata"), metadata, document)


def nearest_api_key(key: str) -> str | None:
    """Return the server's key that a key is a misspelling of, None for one of its own and for one unlike them all."""
    return None if key in API_KEYS else nearest_word(key, API_KEYS, least_ratio=_LEAST_RATIO)


def _fields_used(rule: Any, entries: list[KeyPath], data: Any) -> frozenset[str]:
    templates = [value_at(rule, ("archive", "name")), *_mapping_at(rule, ("metadata", "set")).values()]
    for path in entries:
        templates += _mapping_at(data, (*path, "metadata")).values()
    return frozenset(field for template in templates for field in _fields(as_text(template)))


def _fields(template: str) -> tuple[str, ...]:
    try:
        return template_fields(template)
    except ValueError:
        return ()  # it is reported as a value that is wrong by itself


def _wrong_keys(
    where: KeyPath, metadata: Mapping[str, Any], used: frozenset[str], document: Document
) -> Iterator[Finding]:
    for key in metadata:
        near = nearest_api_key(key)
        if key not in used and near is not None:
            path = (*where, key)
            yield Finding(document.keys[path], path, f"{key} is no key of the server ({near})")


def _wrong_values(where: KeyPath, metadata: Mapping[str, Any], document: Document) -> Iterator[Finding]:
    for key, value in metadata.items():
        literal = _literal(as_text(value))
        refused = _refusal(key, literal) if literal else None
        if refused:
            yield document.finding((*where, key), f"{quoted(literal)} {refused}")


def _literal(template: str) -> str:
    """Return what a value without fields will be, ``""`` where it is none."""
    try:
        return render(template, {}).strip()
    except (MissingFieldError, ValueError):
        return ""


def _refusal(key: str, value: str) -> str | None:
    if key == "pdb_code" and not _PDB_CODE.fullmatch(value):
        return "is no PDB code (a digit and three letters or digits, such as 1ABC)"
    if key == "dataset_type" and value.lower() not in ("pdb", "other"):
        return "is no dataset type (pdb or other)"
    if key == "project_title" and len(value) < _SHORTEST_TITLE:
        return f"has {len(value)} characters (at least {_SHORTEST_TITLE})"
    return None


def _mapping_at(data: Any, path: KeyPath) -> Mapping[str, Any]:
    value = value_at(data, path)
    return value if isinstance(value, dict) else {}
