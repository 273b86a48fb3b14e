"""The answers: ``/healthz`` for a monitor, ``/api/status`` for a script.

There is no login, so nothing here changes anything, and a request must name a host that is ours: a page on another
site whose name was made to point here (DNS rebinding) still sends its own name.  Nothing is allowed across origins.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from itertools import chain
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from depositd.errors import DepositdError
from depositd.units import printable

LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
"""Names under which this machine is always asked from within."""

METHODS = ("GET", "HEAD")

_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def create_app(
    status: Callable[[], Iterable[str]], problems: Callable[[], list[str]], hosts: Collection[str] = ()
) -> Starlette:
    """Return the application; ``hosts`` are allowed besides the loopback names, without ports.

    ``status`` gives the document of ``status --json`` in pieces, ``problems`` returns a sentence for each worker that
    does not move, and for a journal that cannot be written.
    Both are called in threads of their own, at the same time as each other and as themselves.
    """

    def healthz(_: Request) -> Response:
        sentences = problems()
        return _answer(503, {"ok": False, "problems": sentences}) if sentences else _answer(200, {"ok": True})

    def api_status(_: Request) -> Response:
        pieces = iter(status())
        # what fails as a rule does so before the first piece, and can still be answered
        first = next(pieces, "")
        return StreamingResponse(chain((first,), pieces), media_type="application/json", headers=_HEADERS)

    app = Starlette(
        routes=[Route("/healthz", healthz), Route("/api/status", api_status)],
        middleware=[Middleware(_Doorkeeper, hosts=LOOPBACK_HOSTS | {_canonical(host) for host in hosts})],
        exception_handlers={HTTPException: _refused, DepositdError: _failed, Exception: _unforeseen},
    )
    app.router.redirect_slashes = False
    return app


class _Doorkeeper:
    """Lets through what asks for one of our hosts and only wants to read."""

    def __init__(self, app: ASGIApp, hosts: Collection[str]) -> None:
        self._app = app
        self._hosts = hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp | None = self._refusal(scope) if scope["type"] == "http" else None
        await (answer or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> Response | None:
        named = [value for key, value in scope["headers"] if key == b"host"]
        host = host_of(named[0].decode("latin-1")) if len(named) == 1 else None
        if host is None:
            return _error(400, "the request does not say in one Host header which host it wants")
        if host not in self._hosts and host != _address_reached(scope):
            return _error(421, f"there is no {printable(host, 100)} here; ask for the address in web.listen")
        if scope["method"] not in METHODS:
            answer = _error(405, f"{printable(scope['method'], 20)} is not allowed: nothing can be changed here")
            answer.headers["Allow"] = ", ".join(METHODS)
            return answer
        return None


def host_of(header: str) -> str | None:
    """Return the host of a ``Host`` header in lower case, without port and brackets; None where it names none."""
    text = header.strip()
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        port = rest.removeprefix(":") if bracket and (not rest or rest.startswith(":")) else "none"
    else:
        host, _, port = text.partition(":")
    if not host or (port and not (port.isascii() and port.isdigit())):
        return None
    return _canonical(host)


def _address_reached(scope: Scope) -> str | None:
    """Return our own address, which the request has reached: who names that has not been led here by a name."""
    server = scope.get("server")
    return str(server[0]).removeprefix("::ffff:") if server else None


def _canonical(host: str) -> str:
    return host.lower().removesuffix(".")


def _answer(code: int, document: dict[str, Any]) -> Response:
    # ASCII, because a path may hold bytes that are not UTF-8: json writes those as escapes and reads them back
    text = json.dumps(document, indent=2, ensure_ascii=True)
    return Response(text + "\n", status_code=code, media_type="application/json", headers=_HEADERS)


def _error(code: int, sentence: str) -> Response:
    return _answer(code, {"error": sentence})


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 404:
        return _error(404, f"there is nothing at {printable(request.url.path, 200)}")
    return _error(error.status_code, error.detail)


async def _failed(_: Request, error: Exception) -> Response:
    assert isinstance(error, DepositdError)
    return _answer(503, {"error": printable(str(error), 1000), "hint": error.hint})


async def _unforeseen(_: Request, __: Exception) -> Response:
    return _error(500, "this failed in a way that nobody foresaw; the daemon's log says more")
