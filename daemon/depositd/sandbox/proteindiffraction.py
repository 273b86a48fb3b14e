"""The REST API of the Protein Diffraction Image Server, as its API page describes it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from depositd.sandbox.archives import WrongFormat, examine
from depositd.sandbox.endpoint import Endpoint
from depositd.sandbox.faults import hidden_s
from depositd.sandbox.forms import Form, media_type, read_form, read_values, text_of
from depositd.sandbox.images import pdb_id_in
from depositd.sandbox.metadata import EQUIPMENT, checked_metadata, dataset_type_of, refuse
from depositd.sandbox.state import Account, Clock, Inspection, Upload, Uploads, utc_now

PREFIX = "/api/v1"

PUBLISHED = "published"
STEPS = ("submitted", "pending", "validated", PUBLISHED)
"""The statuses of a submission that goes well, each lasting one pace."""

DELETABLE = frozenset({"uploaded", "validated", "error_no_data"})
"""The statuses in which the document names DELETE as allowed."""

PATHS = frozenset(f"{PREFIX}/{name}" for name in ("auth/token", "upload", "submit", "submissions", "equipment"))
"""The collections, without the slash at the end that Django wants."""


def status_at(upload: Upload, now: datetime, pace_s: float) -> tuple[str, datetime]:
    """Return a submission's status and since when it has it."""
    if upload.submitted_at is None:
        return "uploaded", upload.inserted_at
    problem = upload.inspection.problem
    steps = STEPS if problem is None else ("submitted", "pending", problem)
    elapsed_s = max((now - upload.submitted_at).total_seconds(), 0.0)
    index = len(steps) - 1 if pace_s <= 0 else min(int(elapsed_s / pace_s), len(steps) - 1)
    return steps[index], upload.submitted_at + timedelta(seconds=index * pace_s)


@dataclass(slots=True)
class ProteinDiffraction:
    """The server: ``tokens`` map API tokens to accounts, ``pace_s`` is how long each status lasts.

    ``hash_of`` decides whether an upload is answered with name, size and MD5 of the archive inside the zstd layer, as
    the document says, or of the file that was sent.  ``existing_pdb_ids`` have a dataset already.  ``detect_pdb_id``
    is detected whatever is sent, and ``final_status`` is how every submission ends (None: as the archive deserves).
    """

    accounts: Sequence[Account]
    tokens: dict[str, Account]
    uploads: Uploads = field(default_factory=Uploads)
    clock: Clock = utc_now
    pace_s: float = 1.0
    hash_of: Literal["inner", "sent"] = "inner"
    existing_pdb_ids: frozenset[str] = frozenset()
    detect_pdb_id: str | None = None
    final_status: str | None = None
    spool_dir: str | None = None

    def routes(self) -> list[Route]:
        """Return the API's routes; anything else below its prefix is a 404 in JSON."""
        return [
            Route(f"{PREFIX}/auth/token/", Endpoint(refuse, post=self.token)),
            Route(f"{PREFIX}/upload/", Endpoint(refuse, post=self.upload)),
            Route(f"{PREFIX}/submit/", Endpoint(refuse, post=self.submit)),
            Route(f"{PREFIX}/submissions/", Endpoint(refuse, get=self.submissions)),
            Route(f"{PREFIX}/submissions/{{token}}/", Endpoint(refuse, get=self.submission, delete=self.delete)),
            Route(f"{PREFIX}/equipment/", Endpoint(refuse, get=self.equipment)),
            Route(f"{PREFIX}/{{rest:path}}", Endpoint(refuse, otherwise=_nothing_here)),
        ]

    async def token(self, request: Request) -> Response:
        """``POST /auth/token/``: e-mail and password for a token."""
        values = await read_values(request)
        username, password = text_of(values, "username"), text_of(values, "password")
        if not username or not password:
            raise refuse(400, "username and password are required.")
        given = (username, password)
        account = next((each for each in self.accounts if (each.email, each.password) == given), None)
        if account is None:
            raise refuse(401, "Unable to log in with the provided credentials.")
        token = next((token for token, owner in tuple(self.tokens.items()) if owner == account), None)
        if token is None:
            token = secrets.token_hex(20)
            self.tokens[token] = account
        return JSONResponse({"token": token, "user_id": account.user_id, "email": account.email})

    async def upload(self, request: Request) -> Response:
        """``POST /upload/``: an archive for an upload token."""
        account = self._account(request)
        if media_type(request) != "multipart/form-data":
            raise refuse(400, "dataset_file: no file was submitted (multipart/form-data is expected).")
        form = await read_form(request, self._open_file)
        try:
            upload = await self._store(form, account)
        finally:
            form.close()
        pdb_id = upload.pdb_id
        answer = {
            "token": upload.token,
            "md5hash": upload.md5 if self.hash_of == "inner" else upload.sent_md5,
            "filename": upload.filename if self.hash_of == "inner" else upload.sent_filename,
            "size": upload.size_bytes if self.hash_of == "inner" else upload.sent_size_bytes,
            "pdbid": pdb_id,
            "is_pdb_exists": pdb_id is not None and pdb_id in self._known_pdb_ids(but=upload.token),
        }
        return JSONResponse(answer, status_code=201)

    def _open_file(self) -> IO[bytes]:
        return TemporaryFile(dir=self.spool_dir)

    async def _store(self, form: Form, account: Account) -> Upload:
        sent = form.files.get("dataset_file")
        if sent is None or sent.content is None or not sent.size_bytes:
            raise refuse(400, "dataset_file: no file was submitted, or it is empty.")
        dataset_type = dataset_type_of(form.fields)
        try:
            stored = await run_in_threadpool(examine, sent.content, sent.filename)
        except WrongFormat as error:
            raise refuse(400, str(error)) from error
        upload = Upload(
            token=secrets.token_hex(20),
            user_id=account.user_id,
            filename=stored.filename,
            size_bytes=stored.size_bytes,
            md5=stored.md5,
            sent_filename=sent.filename,
            sent_size_bytes=sent.size_bytes,
            sent_md5=sent.md5,
            pdb_id=self.detect_pdb_id or stored.pdb_id or pdb_id_in(sent.filename),
            dataset_type=dataset_type,
            inspection=self._judged(stored.inspection),
            inserted_at=self.clock(),
        )
        if not self.uploads.add(upload):
            raise refuse(409, f"A file with the same hash ({stored.md5}) has already been uploaded.")
        return upload

    def _judged(self, inspection: Inspection) -> Inspection:
        if self.final_status is None:
            return inspection
        if self.final_status == PUBLISHED:
            return Inspection(inspection.images)
        return Inspection(
            inspection.images, self.final_status, "The sandbox was told to end every submission like this."
        )

    def _known_pdb_ids(self, but: str) -> set[str]:
        submitted = (each for each in self.uploads.all() if each.submitted_at is not None and each.token != but)
        return {*self.existing_pdb_ids, *(each.pdb_id for each in submitted if each.pdb_id)}

    async def submit(self, request: Request) -> Response:
        """``POST /submit/``: the metadata of an uploaded archive."""
        account = self._account(request)
        values = await read_values(request)
        token = text_of(values, "token")
        if not token:
            raise refuse(400, "token: this field is required.")
        upload = self._own(token, account)
        if upload.submitted_at is None:
            metadata = checked_metadata(values)
        if upload.submitted_at is not None or not self.uploads.submit(token, self.clock(), metadata):
            raise refuse(409, "This submission has already been processed.")
        return JSONResponse({"status": "submitted", "token": token})

    async def submissions(self, request: Request) -> Response:
        """``GET /submissions/``: all of the user's, newest first."""
        account = self._account(request)
        newest = self.clock() - timedelta(seconds=hidden_s(request.scope))
        own = [each for each in self.uploads.all() if each.user_id == account.user_id and each.inserted_at <= newest]
        return JSONResponse([self.describe(upload) for upload in reversed(own)])

    async def submission(self, request: Request) -> Response:
        """``GET /submissions/<token>/``: one."""
        return JSONResponse(self.describe(self._own(request.path_params["token"], self._account(request))))

    async def delete(self, request: Request) -> Response:
        """``DELETE /submissions/<token>/``: where its status allows it."""
        upload = self._own(request.path_params["token"], self._account(request))
        status, _ = status_at(upload, self.clock(), self.pace_s)
        if status not in DELETABLE:
            raise refuse(409, f"A submission with the status {status} cannot be deleted.")
        self.uploads.delete(upload.token)
        return Response(status_code=204)

    async def equipment(self, request: Request) -> Response:
        """``GET /equipment/``: synchrotrons and their beamlines."""
        self._account(request)
        return JSONResponse(EQUIPMENT)

    def describe(self, upload: Upload) -> dict[str, Any]:
        """Return the document's submission object."""
        status, updated = status_at(upload, self.clock(), self.pace_s)
        metadata = upload.metadata
        inner = self.hash_of == "inner"
        return {
            "token": upload.token,
            "original_filename": upload.filename if inner else upload.sent_filename,
            "md5hash": upload.md5 if inner else upload.sent_md5,
            "pdbid": metadata.get("pdb_code") or upload.pdb_id,
            "dataset_type": metadata.get("dataset_type", upload.dataset_type),
            "project_title": metadata.get("project_title"),
            "project_authors": metadata.get("project_authors"),
            "synchrotron": metadata.get("synchrotron"),
            "beamline": metadata.get("beamline"),
            "equipment_other": metadata.get("equipment_other"),
            "status": status,
            "status_details": upload.inspection.details if status == upload.inspection.problem else None,
            "inserted": upload.inserted_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "updated": updated.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }

    def _account(self, request: Request) -> Account:
        words = request.headers.get("authorization", "").split()
        if not words or words[0].lower() != "token":
            raise refuse(401, "Authentication credentials were not provided.")
        if len(words) != 2:
            raise refuse(401, "Invalid token header.")
        account = self.tokens.get(words[1])
        if account is None:
            raise refuse(401, "Invalid token.")
        return account

    def _own(self, token: str, account: Account) -> Upload:
        upload = self.uploads.find(token)
        if upload is None:
            raise refuse(404, "There is no submission with this token.")
        if upload.user_id != account.user_id:
            raise refuse(403, "This submission belongs to another user.")
        return upload


async def _nothing_here(request: Request) -> Response:
    """Answer as Django does: 301 to the path with a slash at its end where that would be one, or 404.

    The redirect is what makes a POST without the slash end as a GET in most clients.
    """
    path = request.url.path
    if path in PATHS or path.rpartition("/")[0] == f"{PREFIX}/submissions":
        query = f"?{request.url.query}" if request.url.query else ""
        return HTMLResponse(status_code=301, headers={"Location": f"{path}/{query}"})
    raise refuse(404, f"There is nothing at {path}.")
