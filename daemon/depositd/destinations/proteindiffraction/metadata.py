"""What the server wants to know of a dataset: checked before anything is sent, and put into its own words."""

from __future__ import annotations

import re
from typing import Any

from depositd.model import Metadata, Problem
from depositd.units import printable

DATASET_TYPES = ("pdb", "other")
SHORTEST_TITLE = 10
_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}", re.ASCII)
_TEXTS = ("project_title", "project_authors", "equipment_other")
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_WITHOUT_CODE = (
    "set pdb_code, or project_title, project_authors and equipment_other (or synchrotron and beamline), "
    "in the rule's metadata or with release --set"
)


def problems(metadata: Metadata) -> list[Problem]:
    """Return what is missing or wrong, each with what would be right; values that are given must be right, too."""
    checks = (_wrong_type, _wrong_code, _wrong_title, _wrong_texts, _wrong_equipment)
    found = [problem for check in checks for problem in check(metadata)]
    if not is_given(metadata, "pdb_code") and not any(problem.where == "pdb_code" for problem in found):
        found += _missing_without_code(metadata)
    return found


def payload(metadata: Metadata) -> dict[str, Any]:
    """Return the keys of ``POST /submit/`` that need no look-up; ids come from ``Equipment``."""
    found: dict[str, Any] = {key: text_of(metadata, key) for key in _TEXTS if is_given(metadata, key)}
    if is_given(metadata, "pdb_code"):
        found["pdb_code"] = text_of(metadata, "pdb_code").upper()
    if (kind := dataset_type(metadata)) is not None:
        found["dataset_type"] = kind
    return found


def dataset_type(metadata: Metadata) -> str | None:
    """Return ``pdb`` or ``other``, None where the server's default (``pdb``) will do.

    A dataset without a PDB code is one of type ``other``: the document takes no other without a code.
    """
    return text_of(metadata, "dataset_type").lower() or (None if is_given(metadata, "pdb_code") else "other")


def text_of(metadata: Metadata, key: str) -> str:
    """Return a value as text without spaces around it, ``""`` where there is none."""
    value = metadata.get(key)
    return "" if value is None else str(value).strip()


def is_given(metadata: Metadata, key: str) -> bool:
    """Say whether there is a value for a key."""
    return bool(text_of(metadata, key))


def _shown(metadata: Metadata, key: str) -> str:
    return repr(printable(text_of(metadata, key), 60))


def _wrong_type(metadata: Metadata) -> list[Problem]:
    kind = text_of(metadata, "dataset_type").lower()
    if kind == "pdb" and not is_given(metadata, "pdb_code"):
        return [Problem("pdb_code", "is missing, and dataset_type is pdb", _WITHOUT_CODE)]
    if not kind or kind in DATASET_TYPES:
        return []
    return [Problem("dataset_type", f"{_shown(metadata, 'dataset_type')} is no dataset type", "use pdb or other")]


def _wrong_code(metadata: Metadata) -> list[Problem]:
    if not is_given(metadata, "pdb_code") or _PDB_CODE.fullmatch(text_of(metadata, "pdb_code")):
        return []
    hint = "four letters and digits that begin with a digit, such as 1ABC"
    return [Problem("pdb_code", f"{_shown(metadata, 'pdb_code')} is no PDB code", hint)]


def _wrong_title(metadata: Metadata) -> list[Problem]:
    title = text_of(metadata, "project_title")
    if not title or len(title) >= SHORTEST_TITLE:
        return []
    what = f"{_shown(metadata, 'project_title')} has {len(title)} characters"
    return [Problem("project_title", what, f"the server wants at least {SHORTEST_TITLE}")]


def _wrong_texts(metadata: Metadata) -> list[Problem]:
    return [
        Problem(key, f"{_shown(metadata, key)} is not UTF-8", "write it again in a terminal or file that is UTF-8")
        for key in (*_TEXTS, "synchrotron", "beamline")
        if _LONE_SURROGATE.search(text_of(metadata, key))
    ]


def _wrong_equipment(metadata: Metadata) -> list[Problem]:
    found = [
        Problem(key, f"{_shown(metadata, key)} is no id", f"a whole number; or name it with {key.removesuffix('_id')}")
        for key in ("synchrotron_id", "beamline_id")
        if is_given(metadata, key) and not re.fullmatch(r"[0-9]{1,9}", text_of(metadata, key))
    ]
    has = {key: is_given(metadata, key) or is_given(metadata, f"{key}_id") for key in ("synchrotron", "beamline")}
    if has["synchrotron"] != has["beamline"]:
        there, missing = ("synchrotron", "beamline") if has["synchrotron"] else ("beamline", "synchrotron")
        found.append(Problem(missing, f"is missing, though {there} is given", "the server takes both or none"))
    return found


def _missing_without_code(metadata: Metadata) -> list[Problem]:
    equipment = ("equipment_other", "synchrotron", "synchrotron_id", "beamline", "beamline_id")
    has_equipment = any(is_given(metadata, key) for key in equipment)
    missing = [key for key in ("project_title", "project_authors") if not is_given(metadata, key)]
    if not has_equipment:
        missing.append("equipment_other")
    if not missing:
        return []
    # one problem, and first the key that is the usual answer
    keys = missing if text_of(metadata, "dataset_type").lower() == "other" else ["pdb_code", *missing]
    others = f"{', '.join(keys[1:-1])} and {keys[-1]}" if len(keys) > 2 else "".join(keys[1:])
    so = f"and so {'are' if len(keys) > 2 else 'is'} {others}" if others else "and there is no pdb_code"
    return [Problem(keys[0], f"is missing, {so}", _WITHOUT_CODE)]
