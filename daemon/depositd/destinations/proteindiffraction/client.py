"""The whole REST API of the Protein Diffraction Image Server, typed and usable from a script.

Each method is one request.  A success is the documented status *and* the documented body; everything else raises a
:class:`~depositd.errors.RemoteError` that says what to do next.  Nothing is retried, save that username and password
are exchanged for a token once more where a token is refused (401): nothing was done then, by the document.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote

from requests.adapters import BaseAdapter

from depositd.destinations.body import Body, FilePart, Progress
from depositd.destinations.classify import A_QUESTION, Meanings
from depositd.destinations.credentials import Credentials, Given, header_safe, login_of, required_login, token_of
from depositd.destinations.fields import list_of
from depositd.destinations.http import Answer, Session, utc_now
from depositd.destinations.proteindiffraction.records import Account, Submission, Submitted, Synchrotron, Upload
from depositd.errors import AuthError, NotFound, Rejected, Unavailable
from depositd.rate_limit import RateLimit
from depositd.units import printable, show_duration

URL = "https://proteindiffraction.org/api/v1/"

_OF_THE_API: Meanings = {404: Unavailable}
"""A collection that is not found means a wrong url or a server in pieces, nothing about our data."""

_OF_ONE: Meanings = {403: Rejected}
"""Of one submission, 403 says that it belongs to another user; the credentials are fine."""

_ABOUT_ONE: Meanings = {**A_QUESTION, 403: Rejected, 404: NotFound}


class Client:
    """One account on one server.

    Give ``token``, or ``username`` and ``password``, or ``credentials`` that are read at each use.  ``rate_limit`` is
    for uploads.  Raises ConfigError for a URL that is none.
    """

    def __init__(
        self,
        url: str = URL,
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
        self._exchanged: str | None = None

    @property
    def host(self) -> str:
        """The server's host and port, for sentences."""
        return self._session.host

    @property
    def token(self) -> str:
        """The API token in use, exchanged for username and password where none was given; raises RemoteError."""
        return self._exchanged or self._configured_token() or self._renewed_token(stale=None)

    def login(self) -> Account:
        """Exchange username and password for a token, keep it for the following requests and return it."""
        login = required_login(self._credentials, self.host)
        self._session.keep_secret(login[1])
        body = Body.form([("username", login[0]), ("password", login[1])])
        means: Meanings = {**_OF_THE_API, 400: AuthError}
        answer = self._session.request("POST", "auth/token/", expected=(200,), body=body, means=means)
        account = self._session.read(answer, Account.read)
        self._session.keep_secret(account.token)
        self._exchanged = header_safe(account.token)
        return account

    def upload(
        self,
        file: str | os.PathLike[str] | FilePart,
        *,
        dataset_type: str | None = None,
        on_progress: Progress | None = None,
    ) -> Upload:
        """Upload an archive; memory stays flat.

        Raises Conflict where the server has the same content, Unconfirmed where the answer was lost, ArchiveInvalid
        where the file is not what its FilePart promised, OSError where a path cannot be read.
        """
        part = file if isinstance(file, FilePart) else FilePart.of_path(file)
        texts = [("dataset_type", dataset_type)] if dataset_type else []
        body = Body.multipart(texts, "dataset_file", part, rate_limit=self._rate_limit, on_progress=on_progress)
        answer = self._request("POST", "upload/", expected=201, body=body, repeatable=False, means=_OF_THE_API)
        return self._session.read(answer, Upload.read)

    def submit(self, token: str, **metadata: Any) -> Submitted:
        """Confirm an upload with metadata (``pdb_code``, ``project_title`` …), which makes it public in the end.

        Raises Conflict where it was submitted before, Unconfirmed where the answer was lost.
        """
        body = Body.json({"token": token, **{key: value for key, value in metadata.items() if value is not None}})
        answer = self._request("POST", "submit/", expected=200, body=body, repeatable=False, means=_OF_ONE)
        return self._session.read(answer, Submitted.read)

    def submissions(self) -> list[Submission]:
        """Return all submissions of the account, newest first."""
        return self._session.read(
            self._request("GET", "submissions/", expected=200, means=A_QUESTION), list_of(Submission.read)
        )

    def submission(self, token: str) -> Submission:
        """Return one submission; raises NotFound."""
        return self._session.read(
            self._request("GET", _path_of(token), expected=200, means=_ABOUT_ONE), Submission.read
        )

    def delete(self, token: str) -> None:
        """Delete a submission, where its status allows it; raises NotFound, Rejected or Conflict."""
        self._request("DELETE", _path_of(token), expected=204, means=_OF_ONE)

    def equipment(self) -> list[Synchrotron]:
        """Return the synchrotrons that the server knows, with their beamlines."""
        return self._session.read(
            self._request("GET", "equipment/", expected=200, means=A_QUESTION), list_of(Synchrotron.read)
        )

    def wait(
        self,
        token: str,
        *,
        on_progress: Callable[[Submission], None] | None = None,
        poll_s: float = 60.0,
        longest_s: float = 86_400.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Submission:
        """Poll a submission until its status is final and return it; raises Unavailable after ``longest_s``.

        An unknown status is polled on.
        """
        end_s = clock() + longest_s
        while True:
            submission = self.submission(token)
            if on_progress is not None:
                on_progress(submission)
            if submission.ended:
                return submission
            if clock() >= end_s:
                status = printable(submission.status, 60)
                raise Unavailable(
                    f"{self.host} still has {printable(token, 60)} as {status!r} after {show_duration(longest_s)}",
                    hint="wait again, or ask the server's support",
                )
            sleep(poll_s)

    def close(self) -> None:
        """Release connections."""
        self._session.close()

    def _request(
        self,
        method: str,
        path: str,
        *,
        expected: int,
        body: Body | None = None,
        repeatable: bool = True,
        means: Meanings | None = None,
    ) -> Answer:
        def send(token: str) -> Answer:
            headers: Mapping[str, str] = {"Authorization": f"Token {token}"}
            return self._session.request(
                method, path, expected=(expected,), body=body, headers=headers, repeatable=repeatable, means=means
            )

        token = self.token
        try:
            return send(token)
        except AuthError as error:
            if error.status != 401 or login_of(self._credentials) is None:
                raise
        if body is not None:
            body.rewind()
        return send(self._renewed_token(stale=token))

    def _configured_token(self) -> str | None:
        token = token_of(self._credentials)
        if token is not None:
            self._session.keep_secret(token)
        return token

    def _renewed_token(self, stale: str | None) -> str:
        """Return a token that is not ``stale``; of several threads that found it refused, one asks."""
        with self._lock:
            if self._exchanged is None or self._exchanged == stale:
                self.login()
            assert self._exchanged is not None
            return self._exchanged


def _path_of(token: str) -> str:
    if not token:
        raise ValueError("a submission's token is empty")
    return f"submissions/{quote(token, safe='')}/"
