"""A server in memory: an adapter for ``requests`` that answers by script and records what it was sent."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from io import BytesIO
from typing import Any

import requests
from requests.adapters import BaseAdapter, HTTPAdapter
from urllib3 import HTTPResponse

CANARY = "canary0123456789canary0123456789canary01"
"""A token that must never be seen in an error."""


@dataclass
class Reply:
    """One answer.  ``take`` is how much of the body the server reads first: None is all of it."""

    status: int = 200
    body: Any = b""
    headers: dict[str, str] = field(default_factory=dict)
    cookies: list[str] = field(default_factory=list)
    take: int | None = None
    error: BaseException | None = None


def lost(take: int | None = None, error: BaseException | None = None) -> Reply:
    """Return an answer that never comes, after ``take`` bytes of the body (None: after all of it)."""
    return Reply(take=take, error=error or requests.exceptions.ConnectionError("reset"))


@dataclass
class Seen:
    """One request as the server saw it."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class FakeServer(BaseAdapter):
    """Answers each (method, path) with its replies in turn; the last one stays."""

    def __init__(self) -> None:
        super().__init__()
        self.replies: dict[str, list[Reply | Callable[[Seen], Reply]]] = {}
        self.seen: list[Seen] = []
        self.timeouts: list[Any] = []
        self.verify: list[Any] = []

    def on(self, request: str, *replies: Reply | Callable[[Seen], Reply]) -> FakeServer:
        """Script the replies to ``"POST /api/v1/upload/"``."""
        self.replies[request] = list(replies)
        return self

    def count(self, request: str) -> int:
        return sum(1 for one in self.seen if f"{one.method} {one.path}" == request)

    def last(self, request: str) -> Seen:
        return [one for one in self.seen if f"{one.method} {one.path}" == request][-1]

    def close(self) -> None:
        """Keep nothing open."""

    def send(self, request, stream=False, timeout=None, verify=True, cert=None, proxies=None):
        name = f"{request.method} {request.path_url}"
        self.timeouts.append(timeout)
        self.verify.append(verify)
        queue = self.replies.get(name)
        assert queue, f"nothing is scripted for {name}"
        reply = queue.pop(0) if len(queue) > 1 else queue[0]
        take = reply.take if isinstance(reply, Reply) else None
        seen = Seen(request.method, request.path_url, dict(request.headers), _read(request.body, take))
        self.seen.append(seen)
        if not isinstance(reply, Reply):
            reply = reply(seen)
        if reply.error is not None:
            raise reply.error
        return _response(request, reply)


def _read(body: Any, take: int | None) -> bytes:
    content = b""
    if body is None or isinstance(body, bytes):
        return body or b""
    while take is None or len(content) < take:
        block = body.read(1 << 20 if take is None else take - len(content))
        if not block:
            break
        content += block
    return content


class _Original:
    def __init__(self, cookies: list[str]) -> None:
        self.msg = Message()
        for cookie in cookies:
            self.msg["Set-Cookie"] = cookie

    def isclosed(self) -> bool:
        return True

    def close(self) -> None:
        """Close nothing."""


def _response(request: Any, reply: Reply) -> requests.Response:
    is_bytes = isinstance(reply.body, bytes)
    content = reply.body if is_bytes else json.dumps(reply.body).encode()
    headers = {"Content-Type": "text/html" if is_bytes else "application/json", **reply.headers}
    raw = HTTPResponse(
        BytesIO(content),
        headers=headers,
        status=reply.status,
        preload_content=False,
        original_response=_Original(reply.cookies),
    )
    return HTTPAdapter().build_response(request, raw)


def texts_of(error: BaseException) -> str:
    """Return all that an error could show: its text, repr, attributes, and those of what it came from."""
    shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
    others = (error.__cause__, None if error.__suppress_context__ else error.__context__)
    shown += [texts_of(other) for other in others if other is not None]
    return "\n".join(shown)


class Recorder:
    """A report that remembers what it was told."""

    def __init__(self) -> None:
        self.baselines: list[Any] = []
        self.progressed: list[tuple[int, int]] = []

    def sending(self, baseline: Any) -> None:
        self.baselines.append(json.loads(json.dumps(baseline)))

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        self.progressed.append((done_bytes, total_bytes))
