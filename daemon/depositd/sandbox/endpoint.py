"""One path of an API with its methods, and how it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from depositd.sandbox.forms import BadRequest

Handler = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """A request is refused; ``response`` says how."""

    def __init__(self, response: Response) -> None:
        super().__init__(f"refused with {response.status_code}")
        self.response = response


class Refuse(Protocol):
    """How an API words an error."""

    def __call__(self, status: int, sentence: str, /) -> Refusal:
        """Return the refusal with this status and sentence."""


class Endpoint:
    """An ASGI application for one path; ``handlers`` are keyed by the method in lower case."""

    def __init__(self, refuse: Refuse, **handlers: Handler) -> None:
        self._refuse = refuse
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            handler = self._handlers.get(request.method.lower())
            if handler is None:
                raise self._refuse(405, f'Method "{request.method}" not allowed.')
            response = await handler(request)
        except BadRequest as error:
            response = self._refuse(400, str(error)).response
        except Refusal as refusal:
            response = refusal.response
        await response(scope, receive, send)
