"""The API of ProteomicsQC and the web pages that its clients need, by its document and as measured."""

from __future__ import annotations

from depositd.sandbox.access import Mode
from depositd.sandbox.openapi.parts import (
    FILE,
    FORM,
    HTML,
    JSON,
    MULTIPART,
    TEXT,
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

_SLUG: Part = {"type": "string", "minLength": 1}
_NAMES = list_of(TEXT)
_NAMES_OR_ALL: Part = {"type": ["array", "null"], "items": TEXT}
_TOKEN: Part = {"type": "string", "pattern": "^[0-9a-f]{40}$"}
_DATA_RANGE: Part = {"type": "integer", "minimum": 1, "maximum": 1_000_000}
_COLUMNS: Part = {"type": "object", "additionalProperties": {"type": "array"}}

_PAGE = answer("A page", TEXT, HTML)
_FORBIDDEN = answer("Not authenticated, or the CSRF token is missing or stale", an_object({"detail": TEXT}))
_DETAIL = an_object({"detail": TEXT})
_FIELDS: Part = {"type": "object", "additionalProperties": {"type": ["array", "string"]}}
_SERVER_ERROR = answer("The server failed; what was sent may be stored all the same", TEXT, HTML)

_OF_PIPELINE = {"project": _SLUG, "pipeline": _SLUG}
_SELECTION = {**_OF_PIPELINE, "data_range": _DATA_RANGE}
_CHOSEN = {
    **_OF_PIPELINE,
    "run_keys": list_of({"type": "string", "pattern": "^rf[0-9]+$"}),
    "raw_file_ids": list_of(WHOLE),
    "raw_files": _NAMES,
}
_ONE_SELECTOR = [{"required": [name]} for name in ("run_keys", "raw_file_ids", "raw_files")]

_PROJECT = an_object({"pk": WHOLE, "name": TEXT, "description": TEXT, "slug": _SLUG})
_UPLOADER = an_object({"label": TEXT, "value": TEXT})
_RAW_UPLOAD = an_object({"orig_file": TEXT, "pipeline": WHOLE, "created_by": WHOLE})


def _pipeline(mode: Mode) -> Part:
    properties = {"slug": _SLUG, "name": TEXT, "path_as_str": TEXT}
    if mode == "modern":
        properties["uuid"] = {"type": "string", "format": "uuid"}
    return an_object(properties)


def _errors(mode: Mode, *, fields: bool = True) -> dict[int, Part]:
    """Return the errors of an endpoint; where fields are wrong, the older server fails and the newer one says so."""
    errors = {403: _FORBIDDEN, 415: answer("The body is of another kind", _DETAIL)}
    if fields:
        errors[400] = answer("A field is missing or wrong", _FIELDS)
        errors |= {404: answer("No such pipeline", _DETAIL)} if mode == "modern" else {500: _SERVER_ERROR}
    return errors


def _read(mode: Mode, name: str, summary: str, schema: Part, requested: Part | None = None) -> Part:
    asked = {"requestBody": body(requested, JSON, FORM)} if requested is not None else {}
    answers = {200: answer(summary, schema), **_errors(mode, fields=requested is not None)}
    return {"post": operation(name, summary, answers, **asked)}


def _change(mode: Mode, name: str, summary: str, properties: dict[str, Part]) -> Part:
    requested = {**an_object({**_CHOSEN, **properties}, required=(*_OF_PIPELINE, *properties)), "anyOf": _ONE_SELECTOR}
    answers = {200: answer("An empty object, also for unknown runs", {"type": "object"}), **_errors(mode)}
    return {"post": operation(name, summary, answers, requestBody=body(requested, JSON, FORM))}


def _website() -> dict[str, Part]:
    login = an_object(
        {"username": TEXT, "password": TEXT, "csrfmiddlewaretoken": TEXT, "next": TEXT},
        required=("username", "password", "csrfmiddlewaretoken"),
    )
    where = [
        parameter("project", "path", _SLUG),
        parameter("pipeline", "path", _SLUG),
        parameter("page", "query", TEXT),
    ]
    away = answer("Elsewhere, by Location")
    return {
        "/": {
            "get": operation(
                "home", "The login form, or the home page; either has a CSRF token", {200: _PAGE}, security=[]
            ),
            "post": operation(
                "login",
                "Log in: 302 with a new session; 200 with the form again for a wrong password",
                {200: _PAGE, 302: away, 403: _PAGE},
                requestBody=body(login, FORM),
                security=[],
            ),
        },
        "/proteomics/detail/{project}/{pipeline}": {
            "get": operation(
                "runs_page",
                "All runs of a pipeline, also fresh ones, 100 a page",
                {200: _PAGE, 302: away, 404: _PAGE},
                parameters=where,
                security=[],
            )
        },
    }


def _token() -> dict[str, Part]:
    minted = an_object({"token": _TOKEN, "created": YES_OR_NO})
    return {
        "/api/token": {
            "post": operation(
                "token", "Create or fetch the token", {200: answer("The token", minted), 403: _FORBIDDEN}
            ),
            "delete": operation("revoke", "Revoke the token", {204: answer("It is revoked"), 403: _FORBIDDEN}),
        }
    }


def document(mode: Mode) -> Part:
    """Return the OpenAPI document of the newer server, or of the older one."""
    names = {
        **_SELECTION,
        "raw_files": _NAMES_OR_ALL,
        "remove_contaminants": YES_OR_NO,
        "remove_reversed_sequences": YES_OR_NO,
    }
    groups = {**_SELECTION, "raw_files": _NAMES_OR_ALL, "protein_names": {**_NAMES, "minItems": 1}, "columns": _NAMES}
    sent = body(an_object({"pid": {"type": "string", "format": "uuid"}, "orig_file": FILE}), MULTIPART)
    stored = {
        201: answer("The file is stored and its run queued", _RAW_UPLOAD),
        400: answer("Not a RAW file, or an empty one", _FIELDS),
        413: answer("Larger than the server takes", TEXT, "text/plain"),
        500: _SERVER_ERROR,
    }
    session: Part = {"session": [], "csrf": []}
    return {
        "openapi": "3.1.0",
        "info": {"title": f"ProteomicsQC, {mode}", "version": "1"},
        "servers": [{"url": "/"}],
        "security": [{"token": []}, session] if mode == "modern" else [session],
        "components": {
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "Authorization"},
                "session": {"type": "apiKey", "in": "cookie", "name": "sessionid"},
                "csrf": {"type": "apiKey", "in": "header", "name": "X-CSRFToken"},
            }
        },
        "paths": {
            **_website(),
            **(_token() if mode == "modern" else {}),
            "/api/projects": _read(mode, "projects", "The account's projects", list_of(_PROJECT)),
            "/api/pipelines": _read(
                mode, "pipelines", "A project's pipelines", list_of(_pipeline(mode)), an_object({"project": _SLUG})
            ),
            "/api/pipeline-uploaders": _read(
                mode, "uploaders", "Who uploaded to a pipeline", list_of(_UPLOADER), an_object(_OF_PIPELINE)
            ),
            "/api/upload/raw": {
                "post": operation(
                    "upload", "Upload a RAW file", {**_errors(mode, fields=False), **stored}, requestBody=sent
                )
            },
            "/api/qc-data": _read(
                mode,
                "qc_data",
                "QC data of the newest runs",
                _COLUMNS,
                an_object({**_SELECTION, "columns": _NAMES}, required=tuple(_SELECTION)),
            ),
            "/api/protein-names": _read(
                mode, "protein_names", "Protein groups", _COLUMNS, an_object(names, required=tuple(_SELECTION))
            ),
            "/api/protein-groups": _read(
                mode,
                "protein_groups",
                "Figures of chosen protein groups",
                _COLUMNS if mode == "modern" else {"type": "string", "contentMediaType": JSON},
                an_object(groups, required=(*_SELECTION, "protein_names", "columns")),
            ),
            "/api/rawfile": _change(
                mode,
                "rawfile",
                "Flag, unflag, accept or reject runs",
                {"action": {"type": "string", "enum": ["flag", "unflag", "accept", "reject"]}},
            ),
            "/api/flag/create": _change(mode, "flag", "Flag runs", {}),
            "/api/flag/delete": _change(mode, "unflag", "Unflag runs", {}),
        },
    }
