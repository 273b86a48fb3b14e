"""What stands before both APIs: it counts requests, reads bodies to their end, and lets faults happen.

The real servers read a whole body before they answer, so this one does too: whatever an endpoint decides
early is sent once the last byte was read.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Literal

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from depositd.sandbox.answers import altered, error_answer
from depositd.sandbox.faults import MET, Fault, FaultBox
from depositd.sandbox.state import Traffic

CONNECTION = "depositd.connection"
"""The scope extension that ends a connection at once: a callable that takes an Ending."""

Ending = Literal["reset", "close", "half-close"]
"""RST; FIN, as far as unread data allows; FIN of our side alone, while the other may go on sending."""

End = Callable[[Ending], None]

DRIP_EVERY_S = 0.1

_NOTHING_STORED = frozenset({"drop-before-body", "drop-mid-body", "stall"})
_ANSWER_LOST = frozenset({"commit-then-drop", "half-close", "half-answer", "drip", "slow-answer"})
_ANSWER_CHANGED = frozenset({"wrong-body", "wrong-hash"})
_ANSWER_REPLACED = {"commit-then-500": "500", "queue-down": "500", "commit-then-502": "502", "commit-then-504": "504"}
_ENDPOINT_KNOWS = frozenset({"queue-down", "stale-list"})


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
        if fault is not None and fault.kind in _ENDPOINT_KNOWS:
            scope[MET] = fault
        slow = fault.bytes_per_s if fault is not None and fault.kind == "slow" else None
        body = Body(receive, lambda count: self._traffic.body(path, count), slow)
        with contextlib.suppress(ClientDisconnect):
            if fault is None or fault.kind in ("slow", "stale-list"):
                await self._app(scope, body.receive, _after(body, send))
            else:
                await self._harm(fault, scope, body, send)

    async def _harm(self, fault: Fault, scope: Scope, body: Body, send: Send) -> None:
        if fault.kind in _NOTHING_STORED:
            await _break_off(fault, scope, body)
        elif fault.kind in _ANSWER_LOST:
            await _lose(fault, await self._answer(scope, body), scope, body, send)
        elif fault.kind in _ANSWER_CHANGED:
            await _send_all(altered(fault.kind, await self._answer(scope, body)), send)
        elif fault.kind in _ANSWER_REPLACED:
            await self._answer(scope, body)
            replaced = error_answer(_ANSWER_REPLACED[fault.kind], scope["path"], fault.retry_after_s)
            await replaced(scope, body.receive, send)
        else:
            if not fault.early:
                await body.read()
            await error_answer(fault.kind, scope["path"], fault.retry_after_s)(scope, body.receive, send)
            if fault.early:
                await _end_connection(scope, body, "close")

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


async def _break_off(fault: Fault, scope: Scope, body: Body) -> None:
    """Reset the connection before, in the middle of, or long after the middle of the body."""
    if fault.kind != "drop-before-body":
        await body.read(_content_length(scope) / 2)
    if fault.kind == "stall":
        await asyncio.sleep(fault.delay_s)
    await _end_connection(scope, body, "reset")


async def _lose(fault: Fault, answer: list[Message], scope: Scope, body: Body, send: Send) -> None:
    """Keep the answer back, or send it in a way that a client cannot wait for."""
    if fault.kind == "commit-then-drop":
        await _end_connection(scope, body, "reset")
    elif fault.kind == "half-close":
        await _end_connection(scope, body, "half-close")
    elif fault.kind == "half-answer":
        for message in answer[:1]:
            await send(message)
        for message in answer[1:2]:
            half = message.get("body", b"")[: len(message.get("body", b"")) // 2]
            await send({**message, "body": half, "more_body": True})
        await _end_connection(scope, body, "close")
    elif fault.kind == "drip":
        await _drip(answer[0], body, send)
    else:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_until_disconnected(body), fault.delay_s)
        await _send_all(answer, send)


async def _drip(start: Message, body: Body, send: Send) -> None:
    """Begin an answer and add one blank after the other until the client has had enough."""
    headers = [(key, value) for key, value in start["headers"] if key.lower() != b"content-length"]
    await send({**start, "headers": headers})
    while True:
        await send({"type": "http.response.body", "body": b" ", "more_body": True})
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(_until_disconnected(body), DRIP_EVERY_S)
            return


async def _send_all(messages: list[Message], send: Send) -> None:
    for message in messages:
        await send(message)


async def _end_connection(scope: Scope, body: Body, how: Ending) -> None:
    end: End = scope["extensions"][CONNECTION]
    end(how)
    await _until_disconnected(body)


async def _until_disconnected(body: Body) -> None:
    while (await body.receive())["type"] != "http.disconnect":
        pass


def _content_length(scope: Scope) -> int:
    for key, value in scope["headers"]:
        if key == b"content-length" and value.isdigit():
            return int(value)
    return 0
