"""The answers of a server in trouble, of the gateway before it, and of a network that wants a login first."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import Message

ELSEWHERE = "/sandbox/elsewhere"
"""Where redirects lead."""

SERVER_ERROR = (
    '<!doctype html>\n<html lang="en">\n<head>\n  <title>Server Error (500)</title>\n</head>\n'
    "<body>\n  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n"
)
"""The page that Django shows for an unhandled exception."""

NOT_FOUND = (
    '<!doctype html>\n<html lang="en">\n<head>\n  <title>Not Found</title>\n</head>\n'
    "<body>\n  <h1>Not Found</h1><p>The requested resource was not found on this server.</p>\n</body>\n</html>\n"
)
"""The page that Django shows for an unknown path."""

_GATEWAY = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)
_GATEWAY_TITLES = {
    "502": "502 Bad Gateway",
    "503": "503 Service Temporarily Unavailable",
    "504": "504 Gateway Time-out",
}
_PORTAL = (
    "<!doctype html>\n<html>\n<head><title>Guest network: please log in</title></head>\n<body>\n"
    '<form method="post" action="/login"><input name="user"><input type="password" name="password">'
    "<button>Accept the terms and go on</button></form>\n</body>\n</html>\n"
)
_DIFFRACTION = {
    "401": "Authentication credentials missing or invalid.",
    "403": "This submission belongs to another user.",
    "409": "Conflict: a file with the same hash exists, or the submission was already processed.",
    "413": "The file is larger than this server takes.",
    "429": "Request was throttled.",
    "500": "Internal server error, contact support.",
}
_PROTEOMICS = {
    **_DIFFRACTION,
    "403": "CSRF Failed: CSRF token from the 'X-Csrftoken' HTTP header incorrect.",
}


def error_answer(kind: str, path: str, retry_after_s: int) -> Response:
    """Return the answer of one kind of fault, in the words of the server (or the gateway) that would send it."""
    retry_after = {"Retry-After": str(retry_after_s)}
    if kind == "redirect":
        return RedirectResponse(ELSEWHERE, status_code=302)
    if kind == "portal":
        return HTMLResponse(_PORTAL)
    if kind in _GATEWAY_TITLES:
        page = _GATEWAY.format(title=_GATEWAY_TITLES[kind])
        return HTMLResponse(page, int(kind), retry_after if kind == "503" else None)
    diffraction = path.startswith("/api/v1/")
    if kind == "500" and not diffraction:
        return HTMLResponse(SERVER_ERROR, status_code=500)
    if kind == "413" and not diffraction:
        return PlainTextResponse("Request body too large.", status_code=413)
    sentence = {"error": _DIFFRACTION[kind]} if diffraction else {"detail": _PROTEOMICS[kind]}
    return JSONResponse(sentence, status_code=int(kind), headers=retry_after if kind == "429" else None)


def altered(kind: str, answer: list[Message]) -> list[Message]:
    """Return an answer as wrong-body or wrong-hash send it: the same status, another JSON body."""
    content = b"".join(message.get("body", b"") for message in answer)
    try:
        document = json.loads(content)
    except ValueError:
        return answer
    body = json.dumps({"ok": True} if kind == "wrong-body" else _with_other_hashes(document)).encode()
    start = next(message for message in answer if message["type"] == "http.response.start")
    headers = [(key, value) for key, value in start["headers"] if key.lower() != b"content-length"]
    length = (b"content-length", str(len(body)).encode())
    return [{**start, "headers": [*headers, length]}, {"type": "http.response.body", "body": body}]


def _with_other_hashes(document: Any) -> Any:
    """Return a JSON document whose every md5hash is another one, the same each time."""
    if isinstance(document, list):
        return [_with_other_hashes(each) for each in document]
    if not isinstance(document, dict):
        return document
    return {
        key: hashlib.md5(str(value).encode(), usedforsecurity=False).hexdigest() if key == "md5hash" else value
        for key, value in document.items()
    }
