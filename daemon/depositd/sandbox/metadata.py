"""What ``POST /submit/`` of the diffraction server demands of a dataset's metadata, by its document's table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from starlette.responses import JSONResponse

from depositd.sandbox.endpoint import Refusal
from depositd.sandbox.forms import Values, text_of

EQUIPMENT: Sequence[Mapping[str, Any]] = (
    {
        "id": 25,
        "short": "APS",
        "fullname": "Advanced Photon Source",
        "url": "http://www.aps.anl.gov",
        "beamlines": [
            {"id": 42, "short": "24-ID-C", "fullname": None, "url": None},
            {"id": 43, "short": "19-ID", "fullname": "SBC-CAT", "url": None},
        ],
    },
    {
        "id": 7,
        "short": "ESRF",
        "fullname": "European Synchrotron Radiation Facility",
        "url": "https://www.esrf.fr",
        "beamlines": [
            {"id": 71, "short": "ID23-1", "fullname": None, "url": None},
            {"id": 72, "short": "ID30B", "fullname": None, "url": None},
        ],
    },
)
"""What ``GET /equipment/`` lists."""

_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}")

LEAST_TITLE_CHARACTERS = 10


def refuse(status: int, sentence: str) -> Refusal:
    """Return the refusal with this status and sentence, as the document words errors; it knows no 415."""
    status = 400 if status == 415 else status
    headers = {"WWW-Authenticate": "Token"} if status == 401 else None
    return Refusal(JSONResponse({"error": sentence}, status_code=status, headers=headers))


def dataset_type_of(values: Values) -> str:
    """Return pdb or other, pdb where nothing is said; raises Refusal (400)."""
    dataset_type = text_of(values, "dataset_type") or "pdb"
    if dataset_type not in ("pdb", "other"):
        raise refuse(400, f'dataset_type: {dataset_type!r} is neither "pdb" nor "other".')
    return dataset_type


def checked_metadata(values: Values) -> dict[str, Any]:
    """Check the fields of ``POST /submit/`` against the document's table; raises Refusal (400)."""
    dataset_type = dataset_type_of(values)
    pdb_code = text_of(values, "pdb_code").upper()
    if pdb_code and not _PDB_CODE.fullmatch(pdb_code):
        raise refuse(400, f"pdb_code: {pdb_code!r} is not a 4-letter PDB ID.")
    if not pdb_code and dataset_type != "other":
        raise refuse(400, "pdb_code: this field is required unless dataset_type is other.")
    title, authors = text_of(values, "project_title"), text_of(values, "project_authors")
    if title and len(title) < LEAST_TITLE_CHARACTERS:
        raise refuse(400, f"project_title: {len(title)} characters are fewer than {LEAST_TITLE_CHARACTERS}.")
    synchrotron, beamline = _equipment(values)
    other = text_of(values, "equipment_other")
    if not pdb_code:
        for key, value in (("project_title", title), ("project_authors", authors)):
            if not value:
                raise refuse(400, f"{key}: this field is required when pdb_code is absent.")
        if not other and beamline is None:
            raise refuse(400, "equipment_other, or synchrotron_id and beamline_id, are required without pdb_code.")
    return {
        "dataset_type": dataset_type,
        "pdb_code": pdb_code or None,
        "project_title": title or f"Title of {pdb_code} from RCSB",
        "project_authors": authors or f"Authors of {pdb_code} from RCSB",
        "synchrotron": synchrotron,
        "beamline": beamline,
        "equipment_other": other or None,
    }


def _equipment(values: Values) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    synchrotron_id, beamline_id = _integer(values, "synchrotron_id"), _integer(values, "beamline_id")
    if synchrotron_id is None:
        if beamline_id is not None:
            raise refuse(400, "beamline_id: synchrotron_id is required with it.")
        return None, None
    synchrotron = next((each for each in EQUIPMENT if each["id"] == synchrotron_id), None)
    if synchrotron is None:
        raise refuse(400, f"synchrotron_id: there is no synchrotron {synchrotron_id}.")
    shown = {"id": synchrotron_id, "short": synchrotron["short"]}
    if beamline_id is None:
        return shown, None
    beamline = next((each for each in synchrotron["beamlines"] if each["id"] == beamline_id), None)
    if beamline is None:
        raise refuse(400, f"beamline_id: {synchrotron['short']} has no beamline {beamline_id}.")
    return shown, {"id": beamline_id, "short": beamline["short"]}


def _integer(values: Values, key: str) -> int | None:
    text = text_of(values, key)
    if not text:
        return None
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise refuse(400, f"{key}: {text!r} is not an integer.")
    return int(text)
