"""The REST API of the Protein Diffraction Image Server, section by section of its document."""

from __future__ import annotations

from depositd.sandbox.openapi.parts import (
    FILE,
    FORM,
    JSON,
    MULTIPART,
    TEXT,
    TEXT_OR_NULL,
    WHOLE,
    YES_OR_NO,
    Part,
    an_object,
    answer,
    body,
    list_of,
    operation,
    parameter,
)

_TOKEN: Part = {"type": "string", "pattern": "^[0-9a-zA-Z]{40}$"}
_MD5: Part = {"type": "string", "pattern": "^[0-9a-f]{32}$"}
_PDB_ID: Part = {"type": "string", "pattern": "^[0-9][0-9A-Za-z]{3}$"}
_PDB_ID_OR_NULL: Part = {"type": ["string", "null"], "pattern": "^[0-9][0-9A-Za-z]{3}$"}
_DATASET_TYPE: Part = {"type": "string", "enum": ["pdb", "other"]}
_TIME: Part = {"type": "string", "format": "date-time"}
_STATUS: Part = {
    "type": "string",
    "enum": [
        "uploaded",
        "submitted",
        "pending",
        "validated",
        "published",
        "error_no_data",
        "inconsistent_datasets",
        "header_not_readable",
    ],
}
_NAMED: Part = {"type": ["object", "null"], "properties": {"id": WHOLE, "short": TEXT}, "required": ["id", "short"]}

_ERROR = an_object({"error": TEXT})
_ERRORS = {
    400: "Bad request: missing or invalid field, or wrong file format",
    401: "Authentication credentials missing or invalid",
    403: "Forbidden: the submission belongs to another user",
    404: "Submission token not found",
    409: "Conflict: duplicate file hash, or submission already processed",
    500: "Internal server error: contact support",
}

_ACCOUNT = an_object({"token": _TOKEN, "user_id": WHOLE, "email": TEXT})
_UPLOAD = an_object(
    {
        "token": _TOKEN,
        "md5hash": _MD5,
        "filename": TEXT,
        "size": WHOLE,
        "pdbid": _PDB_ID_OR_NULL,
        "is_pdb_exists": YES_OR_NO,
    }
)
_SUBMISSION = an_object(
    {
        "token": _TOKEN,
        "original_filename": TEXT,
        "md5hash": _MD5,
        "pdbid": _PDB_ID_OR_NULL,
        "dataset_type": _DATASET_TYPE,
        "project_title": TEXT_OR_NULL,
        "project_authors": TEXT_OR_NULL,
        "synchrotron": _NAMED,
        "beamline": _NAMED,
        "equipment_other": TEXT_OR_NULL,
        "status": _STATUS,
        "status_details": TEXT_OR_NULL,
        "inserted": _TIME,
        "updated": _TIME,
    }
)
_BEAMLINE = an_object({"id": WHOLE, "short": TEXT, "fullname": TEXT_OR_NULL, "url": TEXT_OR_NULL})
_SYNCHROTRON = an_object(
    {"id": WHOLE, "short": TEXT, "fullname": TEXT_OR_NULL, "url": TEXT_OR_NULL, "beamlines": list_of(_BEAMLINE)}
)
_METADATA: Part = {
    **an_object(
        {
            "token": _TOKEN,
            "pdb_code": _PDB_ID,
            "dataset_type": _DATASET_TYPE,
            "project_title": {"type": "string", "minLength": 10},
            "project_authors": TEXT,
            "synchrotron_id": WHOLE,
            "beamline_id": WHOLE,
            "equipment_other": TEXT,
        },
        required=("token",),
    ),
    # "required unless dataset_type=other"; without a code, the rest is
    "anyOf": [
        {"required": ["pdb_code"]},
        {
            "properties": {"dataset_type": {"const": "other"}},
            "required": ["dataset_type", "project_title", "project_authors"],
            "anyOf": [{"required": ["equipment_other"]}, {"required": ["synchrotron_id", "beamline_id"]}],
        },
    ],
}


def _errors(*statuses: int) -> dict[int, Part]:
    return {status: answer(_ERRORS[status], _ERROR) for status in (*statuses, 401, 500)}


def document() -> Part:
    """Return the OpenAPI document."""
    one = [parameter("token", "path", _TOKEN)]
    return {
        "openapi": "3.1.0",
        "info": {"title": "Protein Diffraction Image Server", "version": "1"},
        "servers": [{"url": "/api/v1"}],
        "security": [{"token": []}],
        "components": {"securitySchemes": {"token": {"type": "apiKey", "in": "header", "name": "Authorization"}}},
        "paths": {
            "/auth/token/": {
                "post": operation(
                    "token",
                    "Exchange e-mail and password for a token",
                    {200: answer("The account's token", _ACCOUNT), **_errors(400)},
                    requestBody=body(an_object({"username": TEXT, "password": TEXT}), JSON, FORM),
                    security=[],
                )
            },
            "/upload/": {
                "post": operation(
                    "upload",
                    "Upload an archive",
                    {201: answer("The upload's token, and what the server made of it", _UPLOAD), **_errors(400, 409)},
                    requestBody=body(
                        an_object({"dataset_file": FILE, "dataset_type": _DATASET_TYPE}, required=("dataset_file",)),
                        MULTIPART,
                    ),
                )
            },
            "/submit/": {
                "post": operation(
                    "submit",
                    "Confirm an upload with its metadata",
                    {
                        200: answer("It is queued", an_object({"status": {"const": "submitted"}, "token": _TOKEN})),
                        **_errors(400, 403, 404, 409),
                    },
                    requestBody=body(_METADATA, JSON, FORM),
                )
            },
            "/submissions/": {
                "get": operation(
                    "submissions",
                    "List the account's submissions, newest first",
                    {200: answer("All of them", list_of(_SUBMISSION)), **_errors()},
                )
            },
            "/submissions/{token}/": {
                "parameters": one,
                "get": operation(
                    "submission", "Show one", {200: answer("The submission", _SUBMISSION), **_errors(403, 404)}
                ),
                "delete": operation("delete", "Delete one", {204: answer("It is gone"), **_errors(403, 404, 409)}),
            },
            "/equipment/": {
                "get": operation(
                    "equipment",
                    "List synchrotrons and their beamlines",
                    {200: answer("All of them", list_of(_SYNCHROTRON)), **_errors()},
                )
            },
        },
    }
