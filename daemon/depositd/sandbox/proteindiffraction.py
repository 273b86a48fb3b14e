"""The REST API of the Protein Diffraction Image Server, as its document (seed 1) describes it."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import IO, Any, Literal

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from depositd.sandbox.archives import WrongFormat, examine, pdb_id_in
from depositd.sandbox.endpoint import Endpoint, Refusal
from depositd.sandbox.forms import Form, Values, media_type, read_form, read_values, text_of
from depositd.sandbox.state import Account, Clock, Upload, Uploads, utc_now

PREFIX = "/api/v1"

STEPS = ("submitted", "pending", "validated", "published")
"""The statuses of a submission that goes well, each lasting one pace."""

DELETABLE = frozenset({"uploaded", "validated", "error_no_data"})
"""The statuses in which the document names DELETE as allowed."""

EQUIPMENT: Sequence[Mapping[str, Any]] = (
    {
        "id": 25,
        "short": "APS",
        "fullname": "Advanced Photon Source",
        "url": "http://www.aps.anl.gov",
        "beamlines": [
            {"id": 42, "short": "24-ID-C", "fullname": None, "url": None},
            {"id": 43, "short": "19-ID", "fullname": "SBC-CAT", "url": None},
        ],
    },
    {
        "id": 7,
        "short": "ESRF",
        "fullname": "European Synchrotron Radiation Facility",
        "url": "https://www.esrf.fr",
        "beamlines": [
            {"id": 71, "short": "ID23-1", "fullname": None, "url": None},
            {"id": 72, "short": "ID30B", "fullname": None, "url": None},
        ],
    },
)
"""What ``GET /equipment/`` lists."""

_PDB_CODE = re.compile(r"[0-9][A-Za-z0-9]{3}")


def status_at(upload: Upload, now: datetime, pace_s: float) -> tuple[str, datetime]:
    """Return a submission's status and since when it has it."""
    if upload.submitted_at is None:
        return "uploaded", upload.inserted_at
    problem = upload.inspection.problem
    steps = STEPS if problem is None else ("submitted", "pending", problem)
    elapsed_s = max((now - upload.submitted_at).total_seconds(), 0.0)
    index = len(steps) - 1 if pace_s <= 0 else min(int(elapsed_s / pace_s), len(steps) - 1)
    return steps[index], upload.submitted_at + timedelta(seconds=index * pace_s)


def _error(status: int, sentence: str) -> Refusal:
    headers = {"WWW-Authenticate": "Token"} if status == 401 else None
    return Refusal(JSONResponse({"error": sentence}, status_code=status, headers=headers))


@dataclass(slots=True)
class ProteinDiffraction:
    """The server: ``tokens`` map API tokens to accounts, ``pace_s`` is how long each status lasts.

    ``hash_of`` decides whether an upload is answered with name, size and MD5 of the archive inside the zstd layer, as
    the document says, or of the file that was sent.  ``existing_pdb_ids`` have a dataset already.
    """

    tokens: Mapping[str, Account]
    uploads: Uploads = field(default_factory=Uploads)
    clock: Clock = utc_now
    pace_s: float = 1.0
    hash_of: Literal["inner", "sent"] = "inner"
    existing_pdb_ids: frozenset[str] = frozenset()
    spool_dir: str | None = None

    def routes(self) -> list[Route]:
        """Return the API's routes; anything else below its prefix is a 404 in JSON."""
        return [
            Route(f"{PREFIX}/auth/token/", Endpoint(_error, post=self.token)),
            Route(f"{PREFIX}/upload/", Endpoint(_error, post=self.upload)),
            Route(f"{PREFIX}/submit/", Endpoint(_error, post=self.submit)),
            Route(f"{PREFIX}/submissions/", Endpoint(_error, get=self.submissions)),
            Route(f"{PREFIX}/submissions/{{token}}/", Endpoint(_error, get=self.submission, delete=self.delete)),
            Route(f"{PREFIX}/equipment/", Endpoint(_error, get=self.equipment)),
            Route(
                f"{PREFIX}/{{rest:path}}", Endpoint(_error, get=_nothing_here, post=_nothing_here, delete=_nothing_here)
            ),
        ]

    async def token(self, request: Request) -> Response:
        """``POST /auth/token/``: e-mail and password for a token."""
        values = await read_values(request)
        username, password = text_of(values, "username"), text_of(values, "password")
        if not username or not password:
            raise _error(400, "username and password are required.")
        for token, account in self.tokens.items():
            if (account.email, account.password) == (username, password):
                return JSONResponse({"token": token, "user_id": account.user_id, "email": account.email})
        raise _error(401, "Unable to log in with the provided credentials.")

    async def upload(self, request: Request) -> Response:
        """``POST /upload/``: an archive for an upload token."""
        account = self._account(request)
        if media_type(request) != "multipart/form-data":
            raise _error(400, "dataset_file: no file was submitted (multipart/form-data is expected).")
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
            raise _error(400, "dataset_file: no file was submitted, or it is empty.")
        dataset_type = _dataset_type(form.fields)
        try:
            stored = await run_in_threadpool(examine, sent.content, sent.filename)
        except WrongFormat as error:
            raise _error(400, str(error)) from error
        upload = Upload(
            token=secrets.token_hex(20),
            user_id=account.user_id,
            filename=stored.filename,
            size_bytes=stored.size_bytes,
            md5=stored.md5,
            sent_filename=sent.filename,
            sent_size_bytes=sent.size_bytes,
            sent_md5=sent.md5,
            pdb_id=pdb_id_in(sent.filename),
            dataset_type=dataset_type,
            inspection=stored.inspection,
            inserted_at=self.clock(),
        )
        if not self.uploads.add(upload):
            raise _error(409, f"A file with the same hash ({stored.md5}) has already been uploaded.")
        return upload

    def _known_pdb_ids(self, but: str) -> set[str]:
        submitted = (each for each in self.uploads.all() if each.submitted_at is not None and each.token != but)
        return {*self.existing_pdb_ids, *(each.pdb_id for each in submitted if each.pdb_id)}

    async def submit(self, request: Request) -> Response:
        """``POST /submit/``: the metadata of an uploaded archive."""
        account = self._account(request)
        values = await read_values(request)
        token = text_of(values, "token")
        if not token:
            raise _error(400, "token: this field is required.")
        upload = self._own(token, account)
        if upload.submitted_at is None:
            metadata = _checked_metadata(values)
        if upload.submitted_at is not None or not self.uploads.submit(token, self.clock(), metadata):
            raise _error(409, "This submission has already been processed.")
        return JSONResponse({"status": "submitted", "token": token})

    async def submissions(self, request: Request) -> Response:
        """``GET /submissions/``: all of the user's, newest first."""
        account = self._account(request)
        own = [upload for upload in self.uploads.all() if upload.user_id == account.user_id]
        return JSONResponse([self.describe(upload) for upload in reversed(own)])

    async def submission(self, request: Request) -> Response:
        """``GET /submissions/<token>/``: one."""
        return JSONResponse(self.describe(self._own(request.path_params["token"], self._account(request))))

    async def delete(self, request: Request) -> Response:
        """``DELETE /submissions/<token>/``: where its status allows it."""
        upload = self._own(request.path_params["token"], self._account(request))
        status, _ = status_at(upload, self.clock(), self.pace_s)
        if status not in DELETABLE:
            raise _error(409, f"A submission with the status {status} cannot be deleted.")
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
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Token" or not token:
            raise _error(401, "Authentication credentials were not provided.")
        account = self.tokens.get(token.strip())
        if account is None:
            raise _error(401, "Invalid token.")
        return account

    def _own(self, token: str, account: Account) -> Upload:
        upload = self.uploads.find(token)
        if upload is None:
            raise _error(404, "There is no submission with this token.")
        if upload.user_id != account.user_id:
            raise _error(403, "This submission belongs to another user.")
        return upload


async def _nothing_here(request: Request) -> Response:
    raise _error(404, f"There is nothing at {request.url.path}.")


def _dataset_type(values: Values) -> str:
    dataset_type = text_of(values, "dataset_type") or "pdb"
    if dataset_type not in ("pdb", "other"):
        raise _error(400, f'dataset_type: {dataset_type!r} is neither "pdb" nor "other".')
    return dataset_type


def _checked_metadata(values: Values) -> dict[str, Any]:
    """Check the fields of ``POST /submit/`` against the document's table; raises Refusal (400)."""
    dataset_type = _dataset_type(values)
    pdb_code = text_of(values, "pdb_code").upper()
    if pdb_code and not _PDB_CODE.fullmatch(pdb_code):
        raise _error(400, f"pdb_code: {pdb_code!r} is not a 4-letter PDB ID.")
    if not pdb_code and dataset_type != "other":
        raise _error(400, "pdb_code: this field is required unless dataset_type is other.")
    title, authors = text_of(values, "project_title"), text_of(values, "project_authors")
    if title and len(title) < 10:
        raise _error(400, f"project_title: {len(title)} characters are fewer than 10.")
    synchrotron, beamline = _equipment(values)
    other = text_of(values, "equipment_other")
    if not pdb_code:
        for key, value in (("project_title", title), ("project_authors", authors)):
            if not value:
                raise _error(400, f"{key}: this field is required when pdb_code is absent.")
        if not other and beamline is None:
            raise _error(400, "equipment_other, or synchrotron_id and beamline_id, are required without pdb_code.")
    return {
        "dataset_type": dataset_type,
        "pdb_code": pdb_code or None,
        "project_title": title or f"Title of {pdb_code} from RCSB",
        "project_authors": authors or f"Authors of {pdb_code} from RCSB",
        "synchrotron": synchrotron,
        "beamline": beamline,
        "equipment_other": other or None,
    }


def _equipment(values: Values) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    synchrotron_id, beamline_id = _integer(values, "synchrotron_id"), _integer(values, "beamline_id")
    if synchrotron_id is None:
        if beamline_id is not None:
            raise _error(400, "beamline_id: synchrotron_id is required with it.")
        return None, None
    synchrotron = next((each for each in EQUIPMENT if each["id"] == synchrotron_id), None)
    if synchrotron is None:
        raise _error(400, f"synchrotron_id: there is no synchrotron {synchrotron_id}.")
    shown = {"id": synchrotron_id, "short": synchrotron["short"]}
    if beamline_id is None:
        return shown, None
    beamline = next((each for each in synchrotron["beamlines"] if each["id"] == beamline_id), None)
    if beamline is None:
        raise _error(400, f"beamline_id: {synchrotron['short']} has no beamline {beamline_id}.")
    return shown, {"id": beamline_id, "short": beamline["short"]}


def _integer(values: Values, key: str) -> int | None:
    text = text_of(values, key)
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise _error(400, f"{key}: {text!r} is not an integer.") from None
