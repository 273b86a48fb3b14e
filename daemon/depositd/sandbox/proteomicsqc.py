"""ProteomicsQC's API and page of runs: the newer server as its API page has it, the older one as measured."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from urllib.parse import quote

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from depositd.sandbox.access import Access, Mode, refuse
from depositd.sandbox.answers import NOT_FOUND, SERVER_ERROR
from depositd.sandbox.endpoint import Endpoint, Refusal
from depositd.sandbox.faults import fault_of, hidden_s
from depositd.sandbox.forms import Form, Values, media_type, read_form, read_values, text_of
from depositd.sandbox.pages import runs_page
from depositd.sandbox.qcdata import protein_groups, protein_names, qc_table
from depositd.sandbox.sessions import Sessions
from depositd.sandbox.state import Account, Clock, Pipeline, Run, Runs, utc_now

PAGE_ROWS = 100
"""Rows on one page of a pipeline's runs."""


def valid_name(name: str) -> str:
    """Return a file name as Django stores it: ``with space (1).raw`` becomes ``with_space_1.raw``."""
    base = name.replace("\\", "/").rpartition("/")[2]
    return re.sub(r"[^-\w.]", "", base.strip().replace(" ", "_"))


def _server_error() -> Refusal:
    return Refusal(HTMLResponse(SERVER_ERROR, status_code=500))


def _too_long() -> Response:
    return PlainTextResponse("Request body exceeded the limit of this server.", status_code=413)


@dataclass(slots=True)
class ProteomicsQC:
    """The server: ``access`` knows who asks, ``process_s`` is how long a run takes to be processed.

    ``access.mode`` is ``modern`` (tokens, run keys, pipeline UUIDs, repeated names are new runs) or ``older`` (session
    and CSRF only, actions heed names alone, repeated names are errors 500).  ``upload_limit_bytes`` bounds one
    request's body.
    """

    access: Access
    pipelines: Sequence[Pipeline]
    runs: Runs = field(default_factory=Runs)
    clock: Clock = utc_now
    process_s: float = 1.0
    upload_limit_bytes: int | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)
    _left_behind: dict[str, tuple[int, int, str]] = field(default_factory=dict, init=False)

    @property
    def mode(self) -> Mode:
        """The generation of the server."""
        return self.access.mode

    @property
    def sessions(self) -> Sessions:
        """All web sessions."""
        return self.access.sessions

    def routes(self) -> list[Route]:
        """Return the login page, the API and the page of a pipeline's runs."""
        return [
            *self.access.routes(),
            Route("/proteomics/detail/{project}/{pipeline}", Endpoint(refuse, get=self.detail_page)),
            Route("/api/projects", Endpoint(refuse, post=self.list_projects)),
            Route("/api/pipelines", Endpoint(refuse, post=self.list_pipelines)),
            Route("/api/pipeline-uploaders", Endpoint(refuse, post=self.list_uploaders)),
            Route("/api/upload/raw", Endpoint(refuse, post=self.upload)),
            Route("/api/qc-data", Endpoint(refuse, post=self.qc_data)),
            Route("/api/protein-names", Endpoint(refuse, post=self.list_protein_names)),
            Route("/api/protein-groups", Endpoint(refuse, post=self.list_protein_groups)),
            Route("/api/rawfile", Endpoint(refuse, post=self.change_runs)),
            Route("/api/flag/create", Endpoint(refuse, post=self.flag)),
            Route("/api/flag/delete", Endpoint(refuse, post=self.unflag)),
        ]

    # what can be read

    async def detail_page(self, request: Request) -> Response:
        """``GET /proteomics/detail/<project>/<pipeline>``: every run, also fresh ones, newest first, 100 a page."""
        account = self.access.logged_in(request)
        if account is None:
            return RedirectResponse(f"/?next={quote(request.url.path)}", status_code=302)
        slugs = (request.path_params["project"], request.path_params["pipeline"])
        pipeline = self._pipeline(account, *slugs)
        if pipeline is None:
            return HTMLResponse(NOT_FOUND, status_code=404)
        runs = self._listed(request, pipeline)[::-1]
        pages = max(-(-len(runs) // PAGE_ROWS), 1)
        asked = request.query_params.get("page", "1")
        page = min(max(int(asked), 1), pages) if asked.isdecimal() else 1
        rows = runs[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
        now = self.clock()
        return HTMLResponse(runs_page(pipeline, [(run, self._status(run, now)) for run in rows], page, pages))

    def _status(self, run: Run, now: datetime) -> str:
        if self._processed(run, now):
            return "done"
        begun = run.queued and now >= run.uploaded_at + timedelta(seconds=self.process_s / 2)
        return "running" if begun else "queued"

    def _processed(self, run: Run, now: datetime) -> bool:
        return run.queued and now >= run.uploaded_at + timedelta(seconds=self.process_s)

    def _listed(self, request: Request, pipeline: Pipeline) -> list[Run]:
        """Return a pipeline's runs, oldest first, without those that a stale list does not know yet."""
        newest = self.clock() - timedelta(seconds=hidden_s(request.scope))
        return [run for run in self.runs.all() if run.pipeline == pipeline.pk and run.uploaded_at <= newest]

    async def list_projects(self, request: Request) -> Response:
        """``/api/projects``: those that the user may see."""
        account = self.access.account(request)
        projects = {each.project.pk: each.project for each in self._visible(account)}
        return JSONResponse([project.as_json() for project in projects.values()])

    async def list_pipelines(self, request: Request) -> Response:
        """``/api/pipelines``: those of a project; the older server does not tell their UUIDs."""
        account = self.access.account(request)
        project = self._required(await read_values(request), "project")
        listed = []
        for pipeline in self._visible(account):
            if pipeline.project.slug == project:
                known = {"uuid": pipeline.uuid} if self.mode == "modern" else {}
                path = f"/datalake/{project}/{pipeline.slug}"
                listed.append({**known, "slug": pipeline.slug, "name": pipeline.name, "path_as_str": path})
        return JSONResponse(listed)

    async def list_uploaders(self, request: Request) -> Response:
        """``/api/pipeline-uploaders``: who has uploaded to a pipeline."""
        account = self.access.account(request)
        pipeline = self._asked_pipeline(account, await read_values(request))
        emails = sorted({run.uploader for run in self.runs.all() if run.pipeline == pipeline.pk})
        return JSONResponse([{"label": email, "value": email} for email in emails])

    async def qc_data(self, request: Request) -> Response:
        """``/api/qc-data``: the figures of the newest processed runs."""
        account = self.access.account(request)
        values = await read_values(request)
        runs = self._asked_runs(request, account, values)
        columns = [str(column) for column in values.get("columns", [])] or None
        return JSONResponse(qc_table(runs, columns))

    async def list_protein_names(self, request: Request) -> Response:
        """``/api/protein-names``: protein groups over the selected runs."""
        account = self.access.account(request)
        values = await read_values(request)
        runs = self._asked_runs(request, account, values)
        contaminants = not _is_true(values, "remove_contaminants")
        reversed_sequences = not _is_true(values, "remove_reversed_sequences")
        return JSONResponse(protein_names(runs, contaminants=contaminants, reversed_sequences=reversed_sequences))

    async def list_protein_groups(self, request: Request) -> Response:
        """``/api/protein-groups``: figures of chosen protein groups in the selected runs."""
        account = self.access.account(request)
        values = await read_values(request)
        runs = self._asked_runs(request, account, values)
        self._required(values, "protein_names")
        columns = [str(column) for column in values.get("columns", [])]
        groups = protein_groups(runs, [str(name) for name in values["protein_names"]], columns)
        # the older server sends a text that holds the JSON
        return JSONResponse(json.dumps(groups) if self.mode == "older" else groups)

    # what can be changed

    async def upload(self, request: Request) -> Response:
        """``/api/upload/raw``: one RAW file becomes one run."""
        account = self.access.account(request)
        length = request.headers.get("content-length", "0")
        if length.isdigit() and self._is_too_long(int(length)):
            return _too_long()
        if media_type(request) != "multipart/form-data":
            raise refuse(415, f'Unsupported media type "{media_type(request)}" in request.')
        form = await read_form(request, lambda: None)
        # a body in chunks tells its length only by coming
        if any(self._is_too_long(file.size_bytes) for file in form.files.values()):
            return _too_long()
        fault = fault_of(request.scope)
        run, pipeline = self._store(form, account, queued=fault is None or fault.kind != "queue-down")
        if "text/html" in request.headers.get("accept", ""):
            raise _server_error()
        answer = {"orig_file": f"/media/upload/{run.name}", "pipeline": pipeline.pk, "created_by": account.user_id}
        return JSONResponse(answer, status_code=201)

    def _is_too_long(self, size_bytes: int) -> bool:
        return self.upload_limit_bytes is not None and size_bytes > self.upload_limit_bytes

    def _store(self, form: Form, account: Account, *, queued: bool) -> tuple[Run, Pipeline]:
        pid = text_of(form.fields, "pid")
        pipeline = next((each for each in self.pipelines if each.uuid == pid), None)
        file = form.files.get("orig_file")
        if pipeline is None or file is None:
            raise _server_error()
        if account.user_id not in pipeline.project.members:
            raise refuse(403, "You do not have permission to perform this action.")
        name = valid_name(file.filename)
        if not name.lower().endswith(".raw") or not file.size_bytes:
            raise Refusal(JSONResponse({"orig_file": ["Unsupported file extension."]}, status_code=400))
        received = (file.size_bytes, file.md5)
        size_bytes, md5 = self._bytes_taken(name, pipeline, received) if self.mode == "older" else received
        run = Run(
            number=0,
            pipeline=pipeline.pk,
            name=name,
            size_bytes=size_bytes,
            md5=md5,
            uploader=account.email,
            user_id=account.user_id,
            uploaded_at=self.clock(),
            queued=queued,
        )
        stored = self.runs.add(run, unique=self.mode == "older")
        if stored is None:
            with self._lock:
                self._left_behind[name] = (pipeline.pk, *received)
            raise _server_error()
        return stored, pipeline

    def _bytes_taken(self, name: str, pipeline: Pipeline, received: tuple[int, str]) -> tuple[int, str]:
        """Return size and MD5 of what the older server takes for this upload.

        What a refused repeat left behind is taken for the next upload of that name to another pipeline.
        """
        with self._lock:
            left = self._left_behind.get(name)
            if left is None or left[0] == pipeline.pk:
                return received
            del self._left_behind[name]
            return left[1], left[2]

    async def change_runs(self, request: Request) -> Response:
        """``/api/rawfile``: flag, unflag, accept or reject runs; an unknown run or action changes nothing.

        The older server shows run keys in ``qc-data``, and ignores them here.
        """
        return await self._change(request, None)

    async def flag(self, request: Request) -> Response:
        """``/api/flag/create``."""
        return await self._change(request, "flag")

    async def unflag(self, request: Request) -> Response:
        """``/api/flag/delete``."""
        return await self._change(request, "unflag")

    async def _change(self, request: Request, action: str | None) -> Response:
        account = self.access.account(request)
        values = await read_values(request, take_json=self.mode == "modern")
        pipeline = self._pipeline(account, text_of(values, "project"), text_of(values, "pipeline"))
        change = _CHANGES.get(action or text_of(values, "action"))
        if pipeline is None or change is None:
            return JSONResponse({})
        keys = ("run_keys", "raw_file_ids", "raw_files") if self.mode == "modern" else ("raw_files",)
        chosen = {key: {str(value) for value in values.get(key, [])} for key in keys}

        def is_chosen(run: Run) -> bool:
            selected = (
                run.key in chosen.get("run_keys", ())
                or str(run.number) in chosen.get("raw_file_ids", ())
                or not chosen["raw_files"].isdisjoint((run.stem, run.name))
            )
            return selected and run.pipeline == pipeline.pk and run.user_id == account.user_id

        self.runs.change(is_chosen, change)
        return JSONResponse({})

    # what was asked for

    def _visible(self, account: Account) -> list[Pipeline]:
        return [pipeline for pipeline in self.pipelines if account.user_id in pipeline.project.members]

    def _pipeline(self, account: Account, project: str, slug: str) -> Pipeline | None:
        asked = (project, slug)
        return next((each for each in self._visible(account) if (each.project.slug, each.slug) == asked), None)

    def _required(self, values: Values, key: str) -> str:
        """Return a field that must be there: without it the older server fails, the newer one says so."""
        text = text_of(values, key)
        if not text:
            if self.mode == "older":
                raise _server_error()
            raise Refusal(JSONResponse({key: ["This field is required."]}, status_code=400))
        return text

    def _asked_pipeline(self, account: Account, values: Values) -> Pipeline:
        pipeline = self._pipeline(account, self._required(values, "project"), self._required(values, "pipeline"))
        if pipeline is None:
            raise _server_error() if self.mode == "older" else refuse(404, "Not found.")
        return pipeline

    def _asked_runs(self, request: Request, account: Account, values: Values) -> list[Run]:
        pipeline = self._asked_pipeline(account, values)
        if self.mode == "older":
            self._required(values, "data_range")
        given = text_of(values, "data_range")
        if given and not given.isdecimal():
            raise _server_error() if self.mode == "older" else refuse(400, "data_range: a whole number is required.")
        now = self.clock()
        runs = [run for run in self._listed(request, pipeline) if self._processed(run, now)]
        names = {str(name) for name in values.get("raw_files", []) if name}
        if names:
            runs = [run for run in runs if not names.isdisjoint((run.stem, run.name))]
        return runs[len(runs) - min(int(given), len(runs)) :] if given else runs


_CHANGES: Mapping[str, Callable[[Run], Run]] = {
    "flag": lambda run: replace(run, flagged=True),
    "unflag": lambda run: replace(run, flagged=False),
    "accept": lambda run: replace(run, use_downstream=True),
    "reject": lambda run: replace(run, use_downstream=False),
}


def _is_true(values: Values, key: str) -> bool:
    return text_of(values, key).lower() in ("true", "1", "on", "yes")
