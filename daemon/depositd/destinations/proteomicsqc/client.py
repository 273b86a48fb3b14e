"""The whole API of ProteomicsQC, typed and usable from a script, by token or by the web session of older servers.

Each method is one request (``runs_on_page`` one for each page).  A success is the documented status *and* the
documented body; everything else raises a :class:`~depositd.errors.RemoteError`.  Nothing is retried, save what was
refused because a web session ended (:mod:`depositd.destinations.proteomicsqc.connection`).

The server's API page is the contract.  Older servers know web sessions only, heed no run keys and tell no pipeline
UUIDs; what they ignore or answer with 500 is said where it matters, and is refused here (ValueError) before it is sent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from requests.adapters import BaseAdapter

from depositd.destinations.base import RunAction
from depositd.destinations.body import Body, FilePart, Progress
from depositd.destinations.classify import A_QUESTION, Meanings, is_page
from depositd.destinations.credentials import Credentials, Given
from depositd.destinations.fields import an_object, list_of
from depositd.destinations.http import Answer, OnWait, Session, utc_now, wait_unheard
from depositd.destinations.proteomicsqc.arguments import (
    action_of,
    chosen_runs,
    require,
    selection,
    texts,
    texts_or_all,
    uuid_of,
)
from depositd.destinations.proteomicsqc.connection import Connection
from depositd.destinations.proteomicsqc.pages import PageRun, has_login_form, page_runs
from depositd.destinations.proteomicsqc.records import (
    Columns,
    MintedToken,
    Pipeline,
    Project,
    RawUpload,
    Uploader,
    read_columns,
)
from depositd.errors import AuthError, NotFound, Rejected, Unavailable
from depositd.model import Archive
from depositd.rate_limit import RateLimit

ACTIONS = tuple(RunAction)
MOST_PAGES = 200

_OF_ONE_PIPELINE: Meanings = {**A_QUESTION, 400: Rejected, 404: NotFound}
"""What a proxy may say to a question; 400 and 404 are the server's own, for a project or pipeline that is not there."""
_OF_UPLOADS: Meanings = {404: Unavailable}
"""An endpoint that is not found means a wrong url or a server in pieces, nothing about our file."""

_OF_PAGES: Meanings = {**A_QUESTION, 404: NotFound}
_LISTED = (200, 201)
"""The document gives no status for the lists, and the public server code answers 201."""


class Client:
    """One account on one server.

    Give ``token``, or ``username`` (the e-mail address) and ``password`` for a web session, or ``credentials`` that
    are read at each use; with both, the session takes over where the token is refused.  ``ca_file`` names the CAs to
    trust instead of the usual ones, ``proxy`` is the URL of the proxy to go through.  ``rate_limit`` limits the rate of
    uploads, in bytes per second.  Raises ConfigError for a URL that is none.

    Every method that asks the server raises AuthError (401, 403, a wrong password), Unavailable (it is away, or
    something else answers in its place), NotFound (404) and Rejected (400 and, for what changes something, any other
    4xx), each with a ``hint``; ValueError for what it could only fail at.  The server's API page, section
    Authentication.
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
        proxy: str | None = None,
        rate_limit: RateLimit | None = None,
        adapter: BaseAdapter | None = None,
        now: Callable[[], datetime] = utc_now,
        on_secret: Callable[[str], None] | None = None,
        on_wait: OnWait = wait_unheard,
    ) -> None:
        self._session = Session(
            url,
            ca_file=ca_file,
            insecure_http=insecure_http,
            proxy=proxy,
            adapter=adapter,
            now=now,
            on_secret=on_secret,
            on_wait=on_wait,
        )
        self._connection = Connection(self._session, credentials or Given(username, token, password))
        self._rate_limit = rate_limit

    @property
    def url(self) -> str:
        """The server's base URL, without a trailing slash."""
        return self._session.url

    @property
    def host(self) -> str:
        """The server's host and port, for sentences."""
        return self._session.host

    @property
    def username(self) -> str | None:
        """The account's e-mail address, None where a token is all that we have."""
        return self._connection.username

    # the account

    def login(self) -> None:
        """Open a web session with username and password; other methods do it by themselves where they need one.

        Raises AuthError where they are refused or missing, Unavailable where what answers is not the server's login.
        The server's API page, section "Bootstrap a token from the current web login".
        """
        self._connection.login()

    def token(self) -> MintedToken:
        """Create or fetch the account's API token, through a web session; it does not expire by itself.

        Raises NotFound on an older server, which knows web sessions only; AuthError.  The server's API page, section
        "Bootstrap a token from the current web login" (``POST /api/token``).
        """
        try:
            answer = self._connection.request("POST", "api/token", expected=_LISTED, by_session=True)
        except NotFound as error:
            raise self._without_tokens(error) from error
        minted = self._connection.read(answer, MintedToken.read)
        self._session.keep_secret(minted.token)
        return minted

    def revoke_token(self) -> None:
        """Revoke the account's API token, through a web session where there is a password, else with the token itself.

        Raises NotFound on an older server, which has no tokens; AuthError.  The server's API page, section "Bootstrap a
        token from the current web login" (``DELETE /api/token``).
        """
        by_session = self._connection.has_login
        try:
            answer = self._connection.request("DELETE", "api/token", expected=(200, 202, 204), by_session=by_session)
        except NotFound as error:
            raise self._without_tokens(error) from error
        if answer.content and is_page(answer.headers.get("Content-Type", ""), answer.content):
            self._connection.forget_session()
            self._session.undocumented(answer, "it is a page, so the token is hardly revoked")

    # what there is

    def projects(self) -> list[Project]:
        """Return the projects that the account may see; it is also the cheapest way to ask who we are.

        Raises AuthError, Unavailable (also for a 404 or another 4xx).  The server's API page, section /api/projects.
        """
        answer = self._connection.request("POST", "api/projects", expected=_LISTED, means=A_QUESTION)
        return self._connection.read(answer, list_of(Project.read))

    def pipelines(self, project: str) -> list[Pipeline]:
        """Return the pipelines of a project, by its slug; an older server does not tell their ``uuid``.

        Raises NotFound or Rejected for a project that is not there; ValueError for an empty slug (500 on an older
        server).  The server's API page, section /api/pipelines.
        """
        require(project=project)
        return self._connection.read(self._list_of("api/pipelines", {"project": project}), list_of(Pipeline.read))

    def uploaders(self, project: str, pipeline: str) -> list[Uploader]:
        """Return who uploaded to a pipeline, by the slugs of project and pipeline.

        Raises NotFound or Rejected for a pipeline that is not there; ValueError for an empty slug.  The server's API
        page, section /api/pipeline-uploaders.
        """
        require(project=project, pipeline=pipeline)
        answer = self._list_of("api/pipeline-uploaders", {"project": project, "pipeline": pipeline})
        return self._connection.read(answer, list_of(Uploader.read))

    def qc_data(self, project: str, pipeline: str, *, data_range: int = 100, columns: Sequence[str] = ()) -> Columns:
        """Return QC data of the ``data_range`` most recent runs that were processed, as columns of equal length.

        Without ``columns`` all are returned; of those asked, one that the server does not have is left out or an empty
        text.  A value that is not known is None or NaN.  Raises NotFound or Rejected for a pipeline that is not there,
        Unavailable (500) on an older server where no run has been processed yet; ValueError for an empty slug or a
        ``data_range`` below 1 (500 there).  The server's API page, section /api/qc-data.
        """
        query: dict[str, Any] = selection(project, pipeline, data_range)
        if columns:
            query["columns"] = texts("columns", columns)
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
        """Return protein groups with FASTA headers, mean scores and mean intensities, as columns.

        They are of the ``data_range`` most recent runs, or of those among them whose displayed names are in
        ``raw_files`` (None or none: all).  Raises NotFound or Rejected for a pipeline that is not there; ValueError as
        :meth:`qc_data`.  The server's API page, section /api/protein-names.
        """
        query = selection(project, pipeline, data_range)
        query["raw_files"] = texts_or_all("raw_files", raw_files)
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
        """Return data of the named protein groups, as columns with a row for each run and group.

        ``columns`` with "Reporter intensity corrected" stands for all columns of that kind; ``data_range`` counts the
        most recent runs.  Raises NotFound or Rejected for a pipeline that is not there; ValueError as :meth:`qc_data`,
        and without a protein name or a column.  The server's API page, section /api/protein-groups.
        """
        if not protein_names or not columns:
            raise ValueError("protein_groups needs at least one protein name and one column")
        query = selection(project, pipeline, data_range)
        query["raw_files"] = texts_or_all("raw_files", raw_files)
        query["protein_names"] = texts("protein_names", protein_names)
        query["columns"] = texts("columns", columns)
        return self._table("api/protein-groups", query)

    def runs_on_page(self, project: str, pipeline: str, *, whole: bool = False) -> list[PageRun] | None:
        """Return the runs on a pipeline's web page, newest first, also those not yet processed.

        None where the page cannot be seen: not there, or only for a web session and we have a token.  Of more than
        MOST_PAGES pages the first are returned, or, where nothing but the ``whole`` will do, None.
        No section of the server's API page: it is the page ``/proteomics/detail/<project>/<pipeline>`` that people see.
        """
        require(project=project, pipeline=pipeline)
        path = f"proteomics/detail/{quote(project, safe='')}/{quote(pipeline, safe='')}"
        runs: list[PageRun] = []
        seen: set[tuple[str, frozenset[str]]] = set()
        before: list[PageRun] = []
        for number in range(1, MOST_PAGES + 1):
            page = self._page_of_runs(path, number)
            if page is None:
                return None
            # the last page is repeated for numbers beyond it, and rows without a result stand on every page
            fresh = [run for run in page if not run.links or (run.name, run.links) not in seen]
            if not fresh or page == before:
                return runs
            runs += fresh
            seen.update((run.name, run.links) for run in fresh)
            before = page
        return None if whole else runs

    # what is sent

    def upload_raw(
        self,
        file: str | os.PathLike[str] | Archive | FilePart,
        *,
        pid: str,
        on_progress: Progress | None = None,
    ) -> RawUpload:
        """Upload a RAW file to a pipeline, by its UUID; memory stays flat.  ``on_progress`` is told (done, all) bytes.

        Sending the same file again makes another run, or fails on an older server.  Raises Unconfirmed where the answer
        was lost (a 500 may have stored everything), Rejected for what is no RAW file (400) or too large (413),
        ArchiveInvalid where the file is not what its Archive or FilePart promised, OSError where a path cannot be read,
        ValueError for a ``pid`` that is no UUID (500 there).  The server's API page, section /api/upload/raw.
        """
        canonical = uuid_of(pid)
        body = Body.multipart(
            [("pid", canonical)], "orig_file", FilePart.of(file), rate_limit=self._rate_limit, on_progress=on_progress
        )
        answer = self._connection.request(
            "POST", "api/upload/raw", expected=(201,), body=body, repeatable=False, means=_OF_UPLOADS
        )
        return self._connection.read(answer, RawUpload.read)

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
        """Flag, unflag, accept or reject runs, and return the server's own words.

        Give one of ``run_keys`` (the safest), ``raw_file_ids`` or ``raw_files``; an older server heeds ``raw_files``
        alone, as file names with their suffix.  It says nothing of unknown runs, or of those that are not ours: read
        back with :meth:`qc_data` (``Flagged``, ``Use Downstream``).  Twice changes nothing.  Raises ValueError for an
        unknown action and for none, or more than one, of the selections.  The server's API page, section /api/rawfile.
        """
        checked = action_of(action)
        chosen = chosen_runs(project, pipeline, run_keys, raw_file_ids, raw_files)
        return self._change("api/rawfile", [*chosen, ("action", str(checked))])

    def flag_create(
        self,
        project: str,
        pipeline: str,
        *,
        run_keys: Sequence[str] = (),
        raw_file_ids: Sequence[int] = (),
        raw_files: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Flag runs; selections, silence and errors as of :meth:`rawfile`.

        The server's API page, section "/api/flag/create and /api/flag/delete".
        """
        return self._change("api/flag/create", chosen_runs(project, pipeline, run_keys, raw_file_ids, raw_files))

    def flag_delete(
        self,
        project: str,
        pipeline: str,
        *,
        run_keys: Sequence[str] = (),
        raw_file_ids: Sequence[int] = (),
        raw_files: Sequence[str] = (),
    ) -> Mapping[str, Any]:
        """Unflag runs; selections, silence and errors as of :meth:`rawfile`.

        The server's API page, section "/api/flag/create and /api/flag/delete".
        """
        return self._change("api/flag/delete", chosen_runs(project, pipeline, run_keys, raw_file_ids, raw_files))

    def close(self) -> None:
        """Release connections."""
        self._session.close()

    # how it is sent

    def _table(self, path: str, query: Mapping[str, Any]) -> Columns:
        return self._connection.read(self._list_of(path, query), read_columns)

    def _list_of(self, path: str, query: Mapping[str, Any]) -> Answer:
        return self._connection.request("POST", path, expected=_LISTED, body=Body.json(query), means=_OF_ONE_PIPELINE)

    def _change(self, path: str, fields: Sequence[tuple[str, str]]) -> Mapping[str, Any]:
        # as a form: JSON is silently ignored by the older server.  Setting a flag twice changes nothing.
        return self._connection.read(
            self._connection.request("POST", path, expected=_LISTED, body=Body.form(fields)), an_object
        )

    def _page_of_runs(self, path: str, number: int) -> list[PageRun] | None:
        """Return the rows of one page, none beyond the last; None where it cannot be seen."""
        query = [("page", str(number))] if number > 1 else []
        by_session = self._connection.has_login
        try:
            answer = self._connection.request(
                "GET", path, expected=(200, 302), query=query, by_session=by_session, means=_OF_PAGES
            )
        except NotFound:
            return [] if number > 1 else None
        except AuthError:
            return None
        # a server that knows us by token alone shows its login form instead
        if answer.status == 302 or has_login_form(answer.text):
            self._connection.forget_session()
            return None
        return page_runs(answer.text)

    def _without_tokens(self, error: NotFound) -> NotFound:
        return NotFound(
            f"{self.host} has no /api/token: it is an older server, which gives no tokens",
            hint="it knows web sessions only: set username (the e-mail address) and password instead of a token",
            status=error.status,
            body=error.body,
        )
