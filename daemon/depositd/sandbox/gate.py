"""What stands before both APIs: it counts requests, reads bodies to their end, and lets faults happen.

The real servers read a whole body before they answer, so this one does too: whatever an endpoint decides
early is sent once the last byte was read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from depositd.sandbox.faults import Fault, FaultBox
from depositd.sandbox.state import Traffic

ABORT = "depositd.abort"
"""The scope extension that ends a connection at once: a callable with ``reset``, RST or FIN."""

ELSEWHERE = "/sandbox/elsewhere"
"""Where redirects lead."""

Abort = Callable[[bool], None]


class Body:
    """A request's body on its way in: counted, slowed down on request, and known to be at its end or not."""

    def __init__(self, receive: Receive, count: Callable[[int], None], bytes_per_s: int | None = None) -> None:
        self._receive = receive
        self._count = count
        self._bytes_per_s = bytes_per_s
        self._ended = False
        self.read_bytes = 0

    async def receive(self) -> Message:
        """Return the next ASGI message, as an application expects it."""
        message = await self._receive()
        if message["type"] != "http.request":
            self._ended = True
            return message
        size = len(message.get("body", b""))
        self.read_bytes += size
        self._count(size)
        self._ended = not message.get("more_body", False)
        if self._bytes_per_s is not None:
            await asyncio.sleep(size / self._bytes_per_s)
        return message

    async def read(self, most_bytes: float = float("inf")) -> None:
        """Read and forget the body, to its end or until ``most_bytes`` have come."""
        while not self._ended and self.read_bytes < most_bytes:
            await self.receive()


class Gate:
    """An ASGI application around both APIs."""

    def __init__(self, app: ASGIApp, traffic: Traffic, faults: FaultBox) -> None:
        self._app = app
        self._traffic = traffic
        self._faults = faults

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let one request through, harmed or not."""
        path = scope["path"]
        fault = None
        if not path.startswith("/sandbox/"):
            self._traffic.request(scope["method"], path)
            fault = self._faults.take(scope["method"], path)
        slow = fault.bytes_per_s if fault is not None and fault.kind == "slow" else None
        body = Body(receive, lambda count: self._traffic.body(path, count), slow)
        with contextlib.suppress(ClientDisconnect):
            if fault is None or slow is not None:
                await self._app(scope, body.receive, _after(body, send))
            else:
                await self._harm(fault, scope, body, send)

    async def _harm(self, fault: Fault, scope: Scope, body: Body, send: Send) -> None:
        if fault.kind == "drop-before-body":
            await _end_connection(scope, body, reset=True)
        elif fault.kind == "drop-mid-body":
            await body.read(_content_length(scope) / 2)
            await _end_connection(scope, body, reset=True)
        elif fault.kind in ("commit-then-drop", "half-answer", "commit-then-500", "commit-then-502", "slow-answer"):
            answer = await self._answer(scope, body)
            await _lose_answer(fault, answer, scope, body, send)
        else:
            if not fault.early:
                await body.read()
            await _error(fault.kind, scope["path"], fault.retry_after_s)(scope, body.receive, send)
            if fault.early:
                await _end_connection(scope, body, reset=False)

    async def _answer(self, scope: Scope, body: Body) -> list[Message]:
        """Let the request be acted on and return the answer that was meant for the client."""
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self._app(scope, body.receive, keep)
        await body.read()
        return messages


def _after(body: Body, send: Send) -> Callable[[Message], Awaitable[None]]:
    """Return a ``send`` that first reads the body to its end."""

    async def send_after_body(message: Message) -> None:
        await body.read()
        await send(message)

    return send_after_body


async def _lose_answer(fault: Fault, answer: list[Message], scope: Scope, body: Body, send: Send) -> None:
    if fault.kind == "commit-then-drop":
        await _end_connection(scope, body, reset=True)
    elif fault.kind == "half-answer":
        for message in answer[:1]:
            await send(message)
        for message in answer[1:2]:
            half = message.get("body", b"")[: len(message.get("body", b"")) // 2]
            await send({**message, "body": half, "more_body": True})
        await _end_connection(scope, body, reset=False)
    elif fault.kind == "slow-answer":
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_until_disconnected(body), fault.delay_s)
        for message in answer:
            await send(message)
    else:
        status = fault.kind.removeprefix("commit-then-")
        await _error(status, scope["path"], fault.retry_after_s)(scope, body.receive, send)


async def _end_connection(scope: Scope, body: Body, *, reset: bool) -> None:
    abort: Abort = scope["extensions"][ABORT]
    abort(reset)
    await _until_disconnected(body)


async def _until_disconnected(body: Body) -> None:
    while (await body.receive())["type"] != "http.disconnect":
        pass


def _content_length(scope: Scope) -> int:
    for key, value in scope["headers"]:
        if key == b"content-length" and value.isdigit():
            return int(value)
    return 0


def _error(kind: str, path: str, retry_after_s: int) -> Response:
    """Return the answer of one kind of error, in the words of the server (or the gateway) that would send it."""
    retry_after = {"Retry-After": str(retry_after_s)}
    if kind == "redirect":
        return RedirectResponse(ELSEWHERE, status_code=302)
    if kind == "502":
        return HTMLResponse(_GATEWAY.format(title="502 Bad Gateway"), status_code=502)
    if kind == "503":
        return HTMLResponse(_GATEWAY.format(title="503 Service Temporarily Unavailable"), 503, retry_after)
    diffraction = path.startswith("/api/v1/")
    if kind == "500" and not diffraction:
        return HTMLResponse(SERVER_ERROR, status_code=500)
    if kind == "413" and not diffraction:
        return PlainTextResponse("Request body too large.", status_code=413)
    key = "error" if diffraction else "detail"
    headers = retry_after if kind == "429" else None
    return JSONResponse({key: _SENTENCES[kind]}, status_code=int(kind), headers=headers)


_SENTENCES = {
    "401": "Authentication credentials missing or invalid.",
    "409": "Conflict: a file with the same hash exists, or the submission was already processed.",
    "413": "The file is larger than this server takes.",
    "429": "Request was throttled.",
    "500": "Internal server error, contact support.",
}

_GATEWAY = (
    "<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
    "<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"
)

SERVER_ERROR = (
    '<!doctype html>\n<html lang="en">\n<head>\n  <title>Server Error (500)</title>\n</head>\n'
    "<body>\n  <h1>Server Error (500)</h1><p></p>\n</body>\n</html>\n"
)
"""The page that Django shows for an unhandled exception."""
