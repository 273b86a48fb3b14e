"""What OpenAPI documents are made of, in few words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Part = dict[str, Any]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data"
HTML = "text/html"

TEXT: Part = {"type": "string"}
TEXT_OR_NULL: Part = {"type": ["string", "null"]}
WHOLE: Part = {"type": "integer"}
YES_OR_NO: Part = {"type": "boolean"}
FILE: Part = {"type": "string", "contentMediaType": "application/octet-stream"}


def an_object(properties: Mapping[str, Part], *, required: tuple[str, ...] | None = None) -> Part:
    """Return the schema of an object; all of its properties are required where nothing else is said."""
    listed = list(properties if required is None else required)
    return {"type": "object", "properties": dict(properties), **({"required": listed} if listed else {})}


def list_of(items: Part) -> Part:
    """Return the schema of a list."""
    return {"type": "array", "items": items}


def body(schema: Part, *kinds: str) -> Part:
    """Return a request body that is required, of any of some media types."""
    return {"required": True, "content": {kind: {"schema": schema} for kind in kinds}}


def answer(description: str, schema: Part | None = None, kind: str = JSON) -> Part:
    """Return an answer; one without a schema has no body."""
    content = {} if schema is None else {"content": {kind: {"schema": schema}}}
    return {"description": description, **content}


def operation(name: str, summary: str, answers: Mapping[int, Part], **more: Any) -> Part:
    """Return one method of one path."""
    responses = {str(status): part for status, part in sorted(answers.items())}
    return {"operationId": name, "summary": summary, **more, "responses": responses}


def parameter(name: str, where: str, schema: Part) -> Part:
    """Return a parameter; one in the path is required."""
    return {"name": name, "in": where, "schema": schema, **({"required": True} if where == "path" else {})}
