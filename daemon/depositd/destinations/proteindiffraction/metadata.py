"""What the server wants to know of a dataset: checked before anything is sent, and put into its own words."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from depositd.destinations.proteindiffraction.records import Beamline, Synchrotron
from depositd.model import Metadata, Problem
from depositd.units import printable

DATASET_TYPES = ("pdb", "other")
SHORTEST_TITLE = 10
_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}", re.ASCII)
_TEXTS = ("project_title", "project_authors", "equipment_other")
_WITHOUT_CODE = (
    "set pdb_code, or project_title, project_authors and equipment_other (or synchrotron and beamline), "
    "in the rule's metadata or with release --set"
)


def problems(metadata: Metadata) -> list[Problem]:
    """Return what is missing or wrong, each with what would be right; values that are given must be right, too."""
    found = [*_wrong_type(metadata), *_wrong_code(metadata), *_wrong_title(metadata), *_wrong_equipment(metadata)]
    if not _given(metadata, "pdb_code") and not any(problem.where == "pdb_code" for problem in found):
        found += _missing_without_code(metadata)
    return found


def payload(metadata: Metadata) -> dict[str, Any]:
    """Return the keys of the API that need no look-up; ids are added by :func:`resolved_equipment`."""
    found: dict[str, Any] = {key: _text(metadata, key) for key in _TEXTS if _given(metadata, key)}
    if _given(metadata, "pdb_code"):
        found["pdb_code"] = _text(metadata, "pdb_code").upper()
    if (kind := dataset_type(metadata)) is not None:
        found["dataset_type"] = kind
    return found


def dataset_type(metadata: Metadata) -> str | None:
    """Return ``pdb`` or ``other``, None where the server's default (``pdb``) will do.

    A dataset without a PDB code is one of type ``other``: the document takes no other without a code.
    """
    return _text(metadata, "dataset_type").lower() or (None if _given(metadata, "pdb_code") else "other")


def needs_equipment(metadata: Metadata) -> bool:
    """True where names stand that only the server can turn into ids."""
    return any(_given(metadata, key) and not _given(metadata, f"{key}_id") for key in ("synchrotron", "beamline"))


def resolved_equipment(metadata: Metadata, equipment: Sequence[Synchrotron]) -> tuple[dict[str, int], list[Problem]]:
    """Return ``synchrotron_id`` and ``beamline_id``, or the problems: an unknown name, with those nearest to it."""
    ids = {
        f"{key}_id": int(_text(metadata, f"{key}_id"))
        for key in ("synchrotron", "beamline")
        if _given(metadata, f"{key}_id")
    }
    if not needs_equipment(metadata):
        return ids, []
    if "synchrotron_id" in ids:
        synchrotron = next((known for known in equipment if known.id == ids["synchrotron_id"]), None)
        wanted = str(ids["synchrotron_id"])
    else:
        wanted = _text(metadata, "synchrotron")
        synchrotron = _named(wanted, equipment)
    if synchrotron is None:
        return {}, [_unknown("synchrotron", wanted, equipment)]
    ids["synchrotron_id"] = synchrotron.id
    if "beamline_id" not in ids:
        wanted = _text(metadata, "beamline")
        beamline = _named(wanted, synchrotron.beamlines)
        if beamline is None:
            return {}, [_unknown("beamline", wanted, synchrotron.beamlines)]
        ids["beamline_id"] = beamline.id
    return ids, []


Place = TypeVar("Place", Synchrotron, Beamline)


def _named(name: str, places: Sequence[Place]) -> Place | None:
    wanted = " ".join(name.split()).casefold()
    for place in places:
        if wanted in (place.short.casefold(), (place.fullname or "").casefold()):
            return place
    return None


def _unknown(key: str, name: str, places: Sequence[Synchrotron] | Sequence[Beamline]) -> Problem:
    shown = {known.casefold(): known for place in places for known in (place.fullname, place.short) if known}
    near = difflib.get_close_matches(name.casefold(), list(shown), n=3, cutoff=0.4)
    nearest = [shown[known] for known in near] or [place.short for place in places[:8]]
    listed = ", ".join(printable(known, 60) for known in nearest)
    return Problem(
        where=key,
        what=f"the server knows no {key} {printable(name, 60)!r}",
        hint=f"the nearest that it knows: {listed}"
        if listed
        else f"the server lists no {key} here; use equipment_other",
    )


def _text(metadata: Mapping[str, Any], key: str) -> str:
    value = metadata.get(key)
    return "" if value is None else str(value).strip()


def _given(metadata: Mapping[str, Any], key: str) -> bool:
    return bool(_text(metadata, key))


def _shown(metadata: Metadata, key: str) -> str:
    return repr(printable(_text(metadata, key), 60))


def _wrong_type(metadata: Metadata) -> list[Problem]:
    kind = _text(metadata, "dataset_type").lower()
    if kind == "pdb" and not _given(metadata, "pdb_code"):
        return [Problem("pdb_code", "is missing, and dataset_type is pdb", _WITHOUT_CODE)]
    if not kind or kind in DATASET_TYPES:
        return []
    return [Problem("dataset_type", f"{_shown(metadata, 'dataset_type')} is no dataset type", "use pdb or other")]


def _wrong_code(metadata: Metadata) -> list[Problem]:
    if not _given(metadata, "pdb_code") or _PDB_CODE.fullmatch(_text(metadata, "pdb_code")):
        return []
    hint = "four letters and digits that begin with a digit, such as 1ABC"
    return [Problem("pdb_code", f"{_shown(metadata, 'pdb_code')} is no PDB code", hint)]


def _wrong_title(metadata: Metadata) -> list[Problem]:
    title = _text(metadata, "project_title")
    if not title or len(title) >= SHORTEST_TITLE:
        return []
    what = f"{_shown(metadata, 'project_title')} has {len(title)} characters"
    return [Problem("project_title", what, f"the server wants at least {SHORTEST_TITLE}")]


def _wrong_equipment(metadata: Metadata) -> list[Problem]:
    found = [
        Problem(key, f"{_shown(metadata, key)} is no id", f"a whole number; or name it with {key.removesuffix('_id')}")
        for key in ("synchrotron_id", "beamline_id")
        if _given(metadata, key) and not re.fullmatch(r"[0-9]{1,9}", _text(metadata, key))
    ]
    has = {key: _given(metadata, key) or _given(metadata, f"{key}_id") for key in ("synchrotron", "beamline")}
    if has["synchrotron"] != has["beamline"]:
        there, missing = ("synchrotron", "beamline") if has["synchrotron"] else ("beamline", "synchrotron")
        found.append(Problem(missing, f"is missing, though {there} is given", "the server takes both or none"))
    return found


def _missing_without_code(metadata: Metadata) -> list[Problem]:
    equipment = ("equipment_other", "synchrotron", "synchrotron_id", "beamline", "beamline_id")
    has_equipment = any(_given(metadata, key) for key in equipment)
    missing = [key for key in ("project_title", "project_authors") if not _given(metadata, key)]
    if not has_equipment:
        missing.append("equipment_other")
    if len(missing) == 3:
        wanted = "project_title" if _text(metadata, "dataset_type").lower() == "other" else "pdb_code"
        others = (
            "project_title, project_authors and equipment_other" if wanted == "pdb_code" else ", ".join(missing[1:])
        )
        return [Problem(wanted, f"is missing, and so are {others}", _WITHOUT_CODE)]
    return [Problem(key, "is missing, and there is no pdb_code", _WITHOUT_CODE) for key in missing]
