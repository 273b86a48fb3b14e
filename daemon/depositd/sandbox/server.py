"""Both APIs on one port of the loopback interface, run by uvicorn in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal, Self

import uvicorn
from starlette.responses import HTMLResponse
from starlette.routing import Router
from starlette.types import Receive, Scope, Send

from depositd.errors import ConfigError
from depositd.sandbox.access import Access, Mode
from depositd.sandbox.answers import NOT_FOUND
from depositd.sandbox.control import Control
from depositd.sandbox.faults import Fault, FaultBox
from depositd.sandbox.gate import Gate
from depositd.sandbox.greeting import greeting
from depositd.sandbox.listener import AbortableProtocol, Server
from depositd.sandbox.proteindiffraction import ProteinDiffraction
from depositd.sandbox.proteomicsqc import ProteomicsQC
from depositd.sandbox.seed import (
    DEMO,
    DEMO_RUNS,
    OTHER,
    OTHER_PDI_TOKEN,
    OTHER_PQC_TOKEN,
    OWNER,
    OWNER_PDI_TOKEN,
    OWNER_PQC_TOKEN,
    PIPELINES,
    UPLOAD_PIPELINE,
    demo_runs,
)
from depositd.sandbox.sessions import Sessions
from depositd.sandbox.state import Clock, Run, Traffic, Upload, utc_now

START_WITHIN_S = 10.0
STOP_WITHIN_S = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen about a sandbox.

    ``port`` 0 takes a free one.  ``pace_s`` is how long a submission keeps each status, ``process_s`` how long a run is
    processed.  ``hash_of`` decides what the diffraction server's md5hash is of, ``existing_pdb_ids`` which PDB IDs have
    a dataset, ``detect_pdb_id`` which one is detected whatever is sent, ``final_status`` how every submission ends
    (also one that no document knows; None: as the archive deserves).  ``pqc_mode`` is the generation of ProteomicsQC,
    ``upload_limit_bytes`` its limit for one body.  Uploads pass through a temporary file in ``spool_dir``.  With
    ``ssl_certfile`` and ``ssl_keyfile`` all is served over TLS.
    """

    host: str = "127.0.0.1"
    port: int = 0
    pace_s: float = 1.0
    process_s: float = 1.0
    hash_of: Literal["inner", "sent"] = "inner"
    existing_pdb_ids: frozenset[str] = frozenset()
    detect_pdb_id: str | None = None
    final_status: str | None = None
    pqc_mode: Mode = "modern"
    upload_limit_bytes: int | None = None
    session_lasts_s: float = 14 * 86_400.0
    faults: tuple[Fault, ...] = ()
    spool_dir: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None


class Sandbox:
    """Both servers, running between ``start`` and ``stop`` (or inside ``with``).

    What they hold can be looked at from any thread: ``uploads``, ``submissions``, ``runs``, ``requests``; faults are
    armed with :meth:`fault`.
    """

    def __init__(self, options: Options | None = None, clock: Clock = utc_now) -> None:
        self.options = options or Options()
        _require_loopback(self.options.host)
        self.faults = FaultBox(self.options.faults)
        self.traffic = Traffic()
        self.proteindiffraction = ProteinDiffraction(
            accounts=(OWNER, OTHER),
            tokens={OWNER_PDI_TOKEN: OWNER, OTHER_PDI_TOKEN: OTHER},
            clock=clock,
            pace_s=self.options.pace_s,
            hash_of=self.options.hash_of,
            existing_pdb_ids=frozenset(each.upper() for each in self.options.existing_pdb_ids),
            detect_pdb_id=self.options.detect_pdb_id,
            final_status=self.options.final_status,
            spool_dir=self.options.spool_dir,
        )
        self.proteomicsqc = ProteomicsQC(
            Access(
                accounts=(OWNER, OTHER),
                tokens={OWNER_PQC_TOKEN: OWNER, OTHER_PQC_TOKEN: OTHER} if self.options.pqc_mode == "modern" else {},
                sessions=Sessions(clock, self.options.session_lasts_s),
                mode=self.options.pqc_mode,
            ),
            PIPELINES,
            clock=clock,
            process_s=self.options.process_s,
            upload_limit_bytes=self.options.upload_limit_bytes,
        )
        for run in demo_runs(clock()):
            self.proteomicsqc.runs.add(run, unique=False)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._port = 0

    # where it is

    @property
    def url(self) -> str:
        """The root of both servers, with a trailing slash."""
        scheme = "https" if self.options.ssl_certfile else "http"
        host = f"[{self.options.host}]" if ":" in self.options.host else self.options.host
        return f"{scheme}://{host}:{self._port}/"

    @property
    def pdi_url(self) -> str:
        """The diffraction server's URL as the config wants it."""
        return f"{self.url}api/v1/"

    @property
    def pqc_url(self) -> str:
        """The proteomics server's URL as the config wants it."""
        return self.url

    username = OWNER.email
    password = OWNER.password
    pdi_token = OWNER_PDI_TOKEN
    other_pdi_token = OTHER_PDI_TOKEN
    pqc_token = OWNER_PQC_TOKEN
    other_pqc_token = OTHER_PQC_TOKEN
    project = DEMO.slug
    pipeline = UPLOAD_PIPELINE.slug
    pid = UPLOAD_PIPELINE.uuid

    # what it holds

    @property
    def uploads(self) -> tuple[Upload, ...]:
        """Every archive at the diffraction server, oldest first."""
        return self.proteindiffraction.uploads.all()

    @property
    def submissions(self) -> tuple[Upload, ...]:
        """Those whose metadata were confirmed."""
        return tuple(upload for upload in self.uploads if upload.submitted_at is not None)

    @property
    def runs(self) -> tuple[Run, ...]:
        """Every run at the proteomics server that was uploaded, oldest first; the seeded ones are left out."""
        return self.proteomicsqc.runs.all()[DEMO_RUNS:]

    @property
    def requests(self) -> dict[str, int]:
        """How often each endpoint was asked, by ``METHOD /path``."""
        return self.traffic.requests()

    def body_bytes(self, path: str) -> int:
        """Return how many bytes of request bodies were read at a path."""
        return self.traffic.body_bytes(path)

    def revoke_tokens(self) -> None:
        """Make every token and every web session worthless; user and password get new ones."""
        self.proteindiffraction.tokens.clear()
        self.proteomicsqc.access.forget_everybody()

    def fault(self, path: str, kind: str, **details: Any) -> None:
        """Arm a :class:`~depositd.sandbox.faults.Fault`; raises ValueError where it is none."""
        self.faults.add(Fault(path=path, kind=kind, **details))

    # running

    def start(self) -> None:
        """Bind and serve in a thread; raises OSError where the port is taken."""
        family = socket.AF_INET6 if ":" in self.options.host else socket.AF_INET
        # asyncio turns Nagle's algorithm off only where the protocol is named; with it, each answer takes 40 ms
        listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((self.options.host, self.options.port or self._port))
            self._port = listener.getsockname()[1]
            config = uvicorn.Config(
                Gate(self._router(), self.traffic, self.faults),
                http=AbortableProtocol,
                ws="none",
                proxy_headers=False,
                loop="asyncio",
                lifespan="off",
                log_config=None,
                server_header=False,
                timeout_graceful_shutdown=1,
                ssl_certfile=self.options.ssl_certfile,
                ssl_keyfile=self.options.ssl_keyfile,
            )
            config.load()
        except BaseException:
            listener.close()
            raise
        self._server = Server(config)
        self._thread = threading.Thread(target=self._run, args=(self._server, listener), name="sandbox", daemon=True)
        self._thread.start()
        if not self._server.running.wait(START_WITHIN_S):
            raise TimeoutError(f"the sandbox did not start within {START_WITHIN_S:g} s")

    @staticmethod
    def _run(server: Server, listener: socket.socket) -> None:
        with listener:
            asyncio.run(server.serve([listener]))

    def stop(self) -> None:
        """End within two seconds, dropping open connections; a second stop does nothing.

        What the servers hold stays, and another ``start`` serves it again on the same port.
        """
        server, thread = self._server, self._thread
        self._server = self._thread = None
        if server is not None and thread is not None:
            server.should_exit = True
            thread.join(timeout=STOP_WITHIN_S + 1.0)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _router(self) -> Router:
        control = Control(self.faults, self._describe, self.revoke_tokens, self.options.pqc_mode)
        routes = [*control.routes(), *self.proteindiffraction.routes(), *self.proteomicsqc.routes()]
        return Router(routes, redirect_slashes=False, default=_not_found)

    def _describe(self) -> dict[str, Any]:
        runs = [{"key": run.key, "name": run.name, "bytes": run.size_bytes, "md5": run.md5} for run in self.runs]
        described = [self.proteindiffraction.describe(upload) for upload in self.uploads]
        return {"uploads": described, "runs": runs, "requests": self.requests}

    def greeting(self) -> str:
        """Return what a person needs to play: URLs, credentials, a config and how to ask for faults."""
        return greeting(self.pdi_url, self.pqc_url, self.options.pqc_mode)


def running(clock: Clock = utc_now, **options: Any) -> Sandbox:
    """Return a sandbox to be entered with ``with``; keywords are those of :class:`Options`."""
    return Sandbox(Options(**options), clock)


def serve(options: Options, announce: Callable[[str], None], stopped: threading.Event | None = None) -> None:
    """Serve until ``stopped`` is set or the user interrupts; ``announce`` gets the greeting once all is up.

    Raises ConfigError where the host is not loopback, OSError where the port is taken.
    """
    with Sandbox(options) as sandbox, contextlib.suppress(KeyboardInterrupt):
        announce(sandbox.greeting())
        (stopped or threading.Event()).wait()


def _require_loopback(host: str) -> None:
    with contextlib.suppress(ValueError):
        if ipaddress.ip_address(host).is_loopback:
            return
    problem = f"the sandbox listens on loopback addresses only, not on {host!r} (127.0.0.1 or ::1)"
    raise ConfigError([problem], hint="Its passwords are public; nobody else must reach it.")


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    await HTMLResponse(NOT_FOUND, status_code=404)(scope, receive, send)
