"""The whole API of ProteomicsQC, typed and usable from a script, by token or by the web session of older servers.

Each method is one request (``runs_on_page`` one for each page).  A success is the documented status *and* the
documented body; everything else raises a :class:`~depositd.errors.RemoteError`.  Nothing is retried, save that a web
session which ended (403) is opened once more: the server refuses such a request before it does anything.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from requests.adapters import BaseAdapter

from depositd.destinations.body import Body, FilePart, Progress
from depositd.destinations.classify import A_QUESTION, Meanings
from depositd.destinations.credentials import Credentials, Given, login_of, required_login, token_of
from depositd.destinations.fields import an_object, list_of
from depositd.destinations.http import Answer, Session, utc_now
from depositd.destinations.proteomicsqc.pages import PageRun, csrf_token, has_login_form, page_runs
from depositd.destinations.proteomicsqc.records import (
    Columns,
    MintedToken,
    Pipeline,
    Project,
    RawUpload,
    Uploader,
    read_columns,
)
from depositd.errors import AuthError, NotFound, Unavailable
from depositd.rate_limit import RateLimit

ACTIONS = ("flag", "unflag", "accept", "reject")
MOST_PAGES = 200

_OF_THE_API: Meanings = {404: Unavailable}
_LISTED = (200, 201)
"""The document gives no status for the lists, and the public server code answers 201."""


class Client:
    """One account on one server.

    Give ``token``, or ``username`` (the e-mail address) and ``password`` for a web session, or ``credentials`` that
    are read at each use.  ``rate_limit`` limits the rate of uploads.  Raises ConfigError for a URL that is none.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        username: str | None = None,
        password: str | None = None,
        credentials: Credentials | None = None,
        ca_file: str | None = None,
        insecure_http: bool = False,
        rate_limit: RateLimit | None = None,
        adapter: BaseAdapter | None = None,
        now: Callable[[], datetime] = utc_now,
        on_secret: Callable[[str], None] | None = None,
    ) -> None:
        self._session = Session(
            url, ca_file=ca_file, insecure_http=insecure_http, adapter=adapter, now=now, on_secret=on_secret
        )
        self._credentials = credentials or Given(username, token, password)
        self._rate_limit = rate_limit
        self._lock = threading.Lock()
        self._csrf: str | None = None

    @property
    def host(self) -> str:
        """The server's host and port, for sentences."""
        return self._session.host

    @property
    def username(self) -> str | None:
        """The account's e-mail address, None where a token is all that we have."""
        return self._credentials.username

    def login(self) -> None:
        """Open a web session with username and password; raises AuthError where they are refused."""
        login = required_login(self._credentials, self.host)
        self._session.keep_secret(login[1])
        self._session.forget_cookies()
        fields = [
            ("username", login[0]),
            ("password", login[1]),
            ("csrfmiddlewaretoken", self._page_token()),
            ("next", "/"),
        ]
        answer = self._session.request(
            "POST", "/", expected=(200, 302), body=Body.form(fields), headers=self._referer(), means=_OF_THE_API
        )
        if answer.status != 302 or "sessionid" not in self._session.cookies:
            raise AuthError(
                f"{self.host} does not accept the username or the password",
                hint="check username (the e-mail address) and password in the config",
                status=answer.status,
            )
        # the token rotates at login, and there is no cookie for it
        self._csrf = self._page_token()

    # the account

    def token(self) -> MintedToken:
        """Create or fetch the account's API token, through the web session; raises NotFound on an older server."""
        answer = self._by_session("POST", "api/token", expected=_LISTED)
        minted = self._session.read(answer, MintedToken.read)
        self._session.keep_secret(minted.token)
        return minted

    def revoke_token(self) -> None:
        """Revoke the account's API token, through the web session where there is a password."""
        send = self._by_session if login_of(self._credentials) else self._request
        send("DELETE", "api/token", expected=(200, 202, 204))

    # what there is

    def projects(self) -> list[Project]:
        """Return the projects that the account may see."""
        answer = self._request("POST", "api/projects", expected=_LISTED, means=A_QUESTION)
        return self._session.read(answer, list_of(Project.read))

    def pipelines(self, project: str) -> list[Pipeline]:
        """Return the pipelines of a project, by its slug."""
        _require(project=project)
        answer = self._request("POST", "api/pipelines", expected=_LISTED, body=Body.json({"project": project}))
        return self._session.read(answer, list_of(Pipeline.read))

    def uploaders(self, project: str, pipeline: str) -> list[Uploader]:
        """Return who uploaded to a pipeline."""
        _require(project=project, pipeline=pipeline)
        body = Body.json({"project": project, "pipeline": pipeline})
        answer = self._request("POST", "api/pipeline-uploaders", expected=_LISTED, body=body)
        return self._session.read(answer, list_of(Uploader.read))

    def qc_data(self, project: str, pipeline: str, *, data_range: int = 100, columns: Sequence[str] = ()) -> Columns:
        """Return QC data of the most recent ``data_range`` runs, as columns."""
        query: dict[str, Any] = _selection(project, pipeline, data_range)
        if columns:
            query["columns"] = list(columns)
        return self._table("api/qc-data", query)

    def protein_names(
        self,
        project: str,
        pipeline: str,
        *,
        data_range: int = 100,
        raw_files: Sequence[str] | None = None,
        remove_contaminants: bool = True,
        remove_reversed_sequences: bool = True,
    ) -> Columns:
        """Return protein groups with FASTA headers, mean scores and mean intensities, as columns."""
        query = _selection(project, pipeline, data_range)
        query["raw_files"] = _or_all(raw_files)
        query["remove_contaminants"] = remove_contaminants
        query["remove_reversed_sequences"] = remove_reversed_sequences
        return self._table("api/protein-names", query)

    def protein_groups(
        self,
        project: str,
        pipeline: str,
        *,
        protein_names: Sequence[str],
        columns: Sequence[str],
        data_range: int = 100,
        raw_files: Sequence[str] | None = None,
    ) -> Columns:
        """Return data of the named protein groups; "Reporter intensity corrected" stands for all its columns."""
        if not protein_names or not columns:
            raise ValueError("protein_groups needs at least one protein name and one column")
        query = _selection(project, pipeline, data_range)
        query["raw_files"] = _or_all(raw_files)
        query["protein_names"] = list(protein_names)
        query["columns"] = list(columns)
        return self._table("api/protein-groups", query)

    def runs_on_page(self, project: str, pipeline: str) -> list[PageRun] | None:
        """Return the runs on a pipeline's web page, also those not yet processed.

        None where the page cannot be seen: not there, or only for a web session and we have a token.
        """
        _require(project=project, pipeline=pipeline)
        path = f"proteomics/detail/{quote(project, safe='')}/{quote(pipeline, safe='')}"
        runs: list[PageRun] = []
        seen: set[tuple[str, frozenset[str]]] = set()
        before: list[PageRun] = []
        for number in range(1, MOST_PAGES + 1):
            page = self._page_of_runs(path, number)
            if page is None:
                return None if number == 1 else runs
            # the last page is repeated for numbers beyond it, and rows without a result stand on every page
            fresh = [run for run in page if not run.links or (run.name, run.links) not in seen]
            if not fresh or page == before:
                return runs
            runs += fresh
            seen.update((run.name, run.links) for run in fresh)
            before = page
        return runs

    # what is sent

    def upload_raw(
        self,
        file: str | os.PathLike[str] | FilePart,
        *,
        pid: str,
        on_progress: Progress | None = None,
    ) -> RawUpload:
        """Upload a RAW file to a pipeline, by its UUID; memory stays flat.

        Sending the same file again makes another run.  Raises Unconfirmed where the answer was lost, ArchiveInvalid
        where the file is not what its FilePart promised, OSError where a path cannot be read.
        """
        _require(pid=pid)
        part = file if isinstance(file, FilePart) else FilePart.of_path(file)
        body = Body.multipart([("pid", pid)], "orig_file", part, rate_limit=self._rate_limit, on_progress=on_progress)
        answer = self._request("POST", "api/upload/raw", expected=(201,), body=body, repeatable=False)
        return self._session.read(answer, RawUpload.read)

    def rawfile(
        self,
        action: str,
        project: str,
        pipeline: str,
        *,
        run_keys: Sequence[str] = (),
        raw_file_ids: Sequence[int] = (),
        raw_files: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Flag, unflag, accept or reject runs.  The server says nothing of unknown ones: read back with qc_data."""
        if action not in ACTIONS:
            raise ValueError(f"{action!r} is no action (one of {', '.join(ACTIONS)})")
        chosen = _chosen(project, pipeline, run_keys, raw_file_ids, raw_files)
        return self._change("api/rawfile", [*chosen, ("action", action)])

    def flag_create(
        self,
        project: str,
        pipeline: str,
        *,
        run_keys: Sequence[str] = (),
        raw_file_ids: Sequence[int] = (),
        raw_files: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Flag runs.  The server says nothing of unknown ones: read back with qc_data."""
        return self._change("api/flag/create", _chosen(project, pipeline, run_keys, raw_file_ids, raw_files))

    def flag_delete(
        self,
        project: str,
        pipeline: str,
        *,
        run_keys: Sequence[str] = (),
        raw_file_ids: Sequence[int] = (),
        raw_files: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Unflag runs.  The server says nothing of unknown ones: read back with qc_data."""
        return self._change("api/flag/delete", _chosen(project, pipeline, run_keys, raw_file_ids, raw_files))

    def close(self) -> None:
        """Release connections."""
        self._session.close()

    # how it is sent

    def _table(self, path: str, query: Mapping[str, Any]) -> Columns:
        return self._session.read(self._request("POST", path, expected=_LISTED, body=Body.json(query)), read_columns)

    def _change(self, path: str, fields: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        # as a form: JSON is silently ignored by the older server.  Setting a flag twice changes nothing.
        return self._session.read(self._request("POST", path, expected=_LISTED, body=Body.form(fields)), an_object)

    def _page_of_runs(self, path: str, number: int) -> list[PageRun] | None:
        query = [("page", str(number))] if number > 1 else []
        try:
            answer = self._request("GET", path, expected=(200, 302), query=query)
        except NotFound:
            return None
        except AuthError:
            return None
        # a server that knows us by token alone shows its login form instead
        if answer.status == 302 or has_login_form(answer.text):
            return None
        return page_runs(answer.text)

    def _request(
        self,
        method: str,
        path: str,
        *,
        expected: Sequence[int],
        body: Body | None = None,
        query: Sequence[tuple[str, str]] = (),
        repeatable: bool = True,
        means: Meanings | None = None,
    ) -> Answer:
        token = token_of(self._credentials)
        if token is None:
            return self._by_session(
                method, path, expected=expected, body=body, query=query, repeatable=repeatable, means=means
            )
        self._session.keep_secret(token)
        return self._session.request(
            method,
            path,
            expected=expected,
            body=body,
            query=query,
            headers={"Authorization": f"Token {token}"},
            repeatable=repeatable,
            means=means,
        )

    def _by_session(
        self,
        method: str,
        path: str,
        *,
        expected: Sequence[int],
        body: Body | None = None,
        query: Sequence[tuple[str, str]] = (),
        repeatable: bool = True,
        means: Meanings | None = None,
    ) -> Answer:
        """Send with the session's cookie and CSRF token; a session that ended is opened once more."""

        def send(csrf: str) -> Answer:
            return self._session.request(
                method,
                path,
                expected=expected,
                body=body,
                query=query,
                headers={**self._referer(), "X-CSRFToken": csrf},
                repeatable=repeatable,
                means=means,
            )

        csrf = self._csrf_token(stale=None)
        try:
            return send(csrf)
        except AuthError:
            if body is not None:
                body.rewind()
            return send(self._csrf_token(stale=csrf))

    def _csrf_token(self, stale: str | None) -> str:
        """Return a CSRF token that is not ``stale``; of several threads that found it refused, one logs in."""
        with self._lock:
            if self._csrf is None or self._csrf == stale:
                self._csrf = None
                self.login()
            assert self._csrf is not None
            return self._csrf

    def _page_token(self) -> str:
        answer = self._session.request("GET", "/", expected=(200,), means=_OF_THE_API)
        token = csrf_token(answer.text)
        if token is None:
            self._session.undocumented(answer, "the page has no CSRF token")
        self._session.keep_secret(token)
        return token

    def _referer(self) -> Mapping[str, str]:
        return {"Referer": f"{self._session.url}/"}


def _require(**values: str) -> None:
    """Refuse what an older server answers with 500."""
    for name, value in values.items():
        if not value:
            raise ValueError(f"{name} is empty")


def _selection(project: str, pipeline: str, data_range: int) -> dict[str, Any]:
    _require(project=project, pipeline=pipeline)
    if data_range < 1:
        raise ValueError(f"data_range is {data_range} (the number of most recent runs, at least 1)")
    return {"project": project, "pipeline": pipeline, "data_range": data_range}


def _or_all(names: Sequence[str] | None) -> list[str] | None:
    """Return names as a list; null stands for all on both servers, an empty list for none on the older one."""
    return list(names) if names else None


def _chosen(
    project: str, pipeline: str, run_keys: Sequence[str], raw_file_ids: Sequence[int], raw_files: Sequence[str]
) -> list[tuple[str, str]]:
    _require(project=project, pipeline=pipeline)
    given = {"run_keys": run_keys, "raw_file_ids": raw_file_ids, "raw_files": raw_files}
    named = [(name, values) for name, values in given.items() if values]
    if len(named) != 1:
        raise ValueError("give one of run_keys, raw_file_ids or raw_files")
    name, values = named[0]
    return [("project", project), ("pipeline", pipeline), *((name, str(value)) for value in values)]
