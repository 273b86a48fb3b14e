"""One path of an API with its methods, and how it refuses."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from depositd.sandbox.forms import BadRequest, UnsupportedMedia

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
    """An ASGI application for one path; ``handlers`` are keyed by the method in lower case.

    Where there is a ``get``, HEAD is answered by it.  ``otherwise`` answers all other methods; without it they are 405.
    """

    def __init__(self, refuse: Refuse, *, otherwise: Handler | None = None, **handlers: Handler) -> None:
        self._refuse = refuse
        self._handlers = {**handlers, **({"head": handlers["get"]} if "get" in handlers else {})}
        self._otherwise = otherwise

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            handler = self._handlers.get(request.method.lower(), self._otherwise)
            if handler is None:
                refusal = self._refuse(405, f'Method "{request.method}" not allowed.')
                refusal.response.headers["Allow"] = ", ".join(sorted(method.upper() for method in self._handlers))
                raise refusal
            response = await handler(request)
        except BadRequest as error:
            response = self._refuse(400, str(error)).response
        except UnsupportedMedia as error:
            response = self._refuse(415, str(error)).response
        except Refusal as refusal:
            response = refusal.response
        await response(scope, receive, send)
