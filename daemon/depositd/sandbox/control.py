"""For a person who plays: the page and the endpoints of the sandbox itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from depositd.sandbox.access import Mode
from depositd.sandbox.answers import ELSEWHERE
from depositd.sandbox.endpoint import Endpoint, Handler, Refusal
from depositd.sandbox.faults import FaultBox, fault_from_json
from depositd.sandbox.forms import read_json
from depositd.sandbox.openapi import NAMES, document
from depositd.sandbox.overview import HEADERS, overview_page


class Control:
    """What is below ``/sandbox/``; it meets no fault and is not counted.

    ========================  ==============================================================
    ``GET /``                 a page with all of it
    ``GET /state``            uploads, runs and requests
    ``/faults``               GET shows, POST arms, DELETE disarms
    ``POST /revoke``          every token and web session is worthless from now on
    ``GET /openapi/…``        either API as an OpenAPI document
    ========================  ==============================================================
    """

    def __init__(
        self, faults: FaultBox, describe: Callable[[], dict[str, Any]], revoke: Callable[[], None], mode: Mode
    ) -> None:
        self._faults = faults
        self._describe = describe
        self._revoke = revoke
        self._mode = mode

    def routes(self) -> list[Route]:
        """Return the control endpoints' routes."""
        show_faults = _document(self._faults.as_json)
        return [
            Route("/sandbox/", Endpoint(_refuse, get=self.page)),
            Route("/sandbox/faults", Endpoint(_refuse, get=show_faults, post=self.add, delete=self.clear)),
            Route("/sandbox/state", Endpoint(_refuse, get=_document(self._describe))),
            Route("/sandbox/revoke", Endpoint(_refuse, post=self.revoke)),
            *(Route(f"/sandbox/openapi/{name}.json", Endpoint(_refuse, get=self.openapi(name))) for name in NAMES),
            Route(ELSEWHERE, Endpoint(_refuse, get=_document(dict))),
        ]

    async def page(self, _: Request) -> Response:
        """Show everything to a person."""
        return HTMLResponse(overview_page(self._describe(), self._faults.as_json()), headers=HEADERS)

    async def revoke(self, _: Request) -> Response:
        """Make every token and every web session worthless, as a regenerated token or a restart does."""
        self._revoke()
        return Response(status_code=204)

    def openapi(self, name: str) -> Handler:
        """Return the endpoint that shows an API's OpenAPI document."""
        return _document(lambda: document(name, self._mode))

    async def add(self, request: Request) -> Response:
        """Arm the fault that the JSON body describes, whatever its content type says."""
        try:
            self._faults.add(fault_from_json(await read_json(request)))
        except ValueError as error:
            raise _refuse(400, str(error)) from None
        return JSONResponse(self._faults.as_json(), status_code=201)

    async def clear(self, _: Request) -> Response:
        """Disarm all faults."""
        self._faults.clear()
        return Response(status_code=204)


def _document(describe: Callable[[], dict[str, Any]]) -> Handler:
    async def show(_: Request) -> Response:
        return JSONResponse(describe())

    return show


def _refuse(status: int, sentence: str) -> Refusal:
    return Refusal(JSONResponse({"error": sentence}, status_code=status))
