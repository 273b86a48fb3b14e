"""For a person who plays: the control endpoints, and the text that greets them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from depositd.sandbox.endpoint import Endpoint, Handler, Refusal
from depositd.sandbox.faults import FaultBox, fault_from_json
from depositd.sandbox.forms import read_json
from depositd.sandbox.gate import ELSEWHERE
from depositd.sandbox.seed import DEMO, OTHER, OWNER, OWNER_PDI_TOKEN, OWNER_PQC_TOKEN, UPLOAD_PIPELINE


class Control:
    """``/sandbox/faults`` (GET, POST, DELETE) and ``/sandbox/state`` (GET); they meet no fault and are not counted."""

    def __init__(self, faults: FaultBox, describe: Callable[[], dict[str, Any]]) -> None:
        self._faults = faults
        self._describe = describe

    def routes(self) -> list[Route]:
        """Return the control endpoints' routes."""
        show_faults = _document(self._faults.as_json)
        return [
            Route("/sandbox/faults", Endpoint(_refuse, get=show_faults, post=self.add, delete=self.clear)),
            Route("/sandbox/state", Endpoint(_refuse, get=_document(self._describe))),
            Route(ELSEWHERE, Endpoint(_refuse, get=_document(dict))),
        ]

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


def greeting(pdi_url: str, pqc_url: str, mode: str) -> str:
    """Return what a person needs to play: URLs, credentials, a config to paste, and how to ask for faults."""
    with_token = "token: {env: SANDBOX_PQC_TOKEN}"  # noqa: S105 - a line of config that names a variable
    with_password = f"username: {OWNER.email}\n    password: {{env: SANDBOX_PASSWORD}}"
    return _GREETING.format(
        pdi_url=pdi_url,
        pqc_url=pqc_url,
        mode=mode,
        user=OWNER,
        other=OTHER,
        pdi_token=OWNER_PDI_TOKEN,
        pqc_token=OWNER_PQC_TOKEN,
        credentials=with_token if mode == "modern" else with_password,
        project=DEMO.slug,
        pipeline=UPLOAD_PIPELINE.slug,
        pid=UPLOAD_PIPELINE.uuid,
    )


_GREETING = """\
The sandbox is up. It forgets everything when it ends (Ctrl+C).

  Protein Diffraction   {pdi_url}
  ProteomicsQC          {pqc_url}  ({mode})
  user                  {user.email}, password "{user.password}" (and {other.email}, the same password)

Credentials, for the shell that runs depositd:

  export SANDBOX_PDI_TOKEN={pdi_token}
  export SANDBOX_PQC_TOKEN={pqc_token}
  export SANDBOX_PASSWORD='{user.password}'

Destinations, for depositd.yaml:

destinations:
  sandbox-pdi:
    type: proteindiffraction
    url: {pdi_url}
    token: {{env: SANDBOX_PDI_TOKEN}}
    poll_every: 1s
  sandbox-pqc:
    type: proteomicsqc
    url: {pqc_url}
    {credentials}
    project: {project}
    pipeline: {pipeline}
    pid: {pid}

What it holds:  curl {pqc_url}sandbox/state
A fault:        curl {pqc_url}sandbox/faults -d '{{"path": "/api/v1/upload/", "kind": "commit-then-drop"}}'
All faults:     curl {pqc_url}sandbox/faults
"""
