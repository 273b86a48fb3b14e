"""The whole REST API of the Protein Diffraction Image Server, typed and usable from a script.

Each method is one request.  A success is the documented status *and* the documented body; everything else raises a
:class:`~depositd.errors.RemoteError` that says what to do next:

============  ======================================================================================================
error         what it means here
============  ======================================================================================================
AuthError     the token, or username and password, are refused (401, 403), missing or unreadable
Rejected      the server will not take this as it is (400, 413, 415 …), or it belongs to another user (403)
NotFound      there is no submission with this token (404)
Conflict      the server has this content already, or the submission was processed already (409)
Unconfirmed   the answer to an upload or submission was lost: it may or may not have been stored; look before sending
              it again (:meth:`Client.find`, :meth:`Client.submission`)
Unavailable   nothing was stored or changed, and it can be asked again later (no connection, 429, 5xx, a proxy's page);
              ``retry_after_s`` is the server's own wish
============  ======================================================================================================

Nothing is retried, save that username and password are exchanged for a token once more where a token is refused
(401): nothing was done then, by the document.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Self
from urllib.parse import quote

from requests.adapters import BaseAdapter

from depositd.destinations.body import Body, FilePart, Progress
from depositd.destinations.classify import A_QUESTION, Meanings
from depositd.destinations.credentials import Credentials, Given, header_safe, login_of, required_login, token_of
from depositd.destinations.fields import list_of
from depositd.destinations.http import Answer, OnWait, Session, in_turn, utc_now, wait_unheard
from depositd.destinations.proteindiffraction.records import (
    Account,
    Submission,
    Submitted,
    Synchrotron,
    Upload,
    read_submissions,
    with_content,
)
from depositd.errors import AuthError, NotFound, Rejected, Unavailable
from depositd.model import Archive
from depositd.rate_limit import RateLimit
from depositd.units import printable, show_duration

URL = "https://proteindiffraction.org/api/v1/"
SHORTEST_POLL_S = 1.0
"""What a server may ask for by ``Retry-After: 0`` is not hammering."""

_OF_LOGIN: Meanings = {**A_QUESTION, 400: AuthError}
_OF_UPLOAD: Meanings = {404: Unavailable}
"""A collection that is not found means a wrong url or a server in pieces, nothing about our data."""

_OF_ONE: Meanings = {403: Rejected}
"""Of one submission, 403 says that it belongs to another user; the credentials are fine."""

_ABOUT_ONE: Meanings = {**A_QUESTION, 403: Rejected, 404: NotFound}
_ABOUT_EQUIPMENT: Meanings = {**A_QUESTION, 403: Unavailable}
"""The list of equipment is the same for everybody: who may not see it may still upload."""


class Client:
    """One account on one server.

    Give ``token``, or ``username`` and ``password``, or ``credentials`` that are read at each use.  ``ca_file`` holds
    the CAs to trust instead of the usual ones, ``proxy`` is the URL of the proxy to go through.  ``rate_limit`` is for
    uploads; ``now`` is the wall clock, for ``Retry-After`` dates.  Safe to use from several threads; used as a context
    manager, it releases its connections at the end.  Raises ConfigError for a URL that is none.
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
            errors_are_json=True,
            adapter=adapter,
            now=now,
            on_secret=on_secret,
            on_wait=on_wait,
        )
        self._credentials = credentials or Given(username, token, password)
        self._rate_limit = rate_limit
        self._now = now
        self._lock = threading.Lock()
        self._exchanged: str | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def host(self) -> str:
        """The server's host and port, for sentences."""
        return self._session.host

    @property
    def token(self) -> str:
        """The API token in use, exchanged for username and password where none was given.

        Raises AuthError where there are no credentials or they are refused, Unavailable.
        """
        return self._exchanged or self._configured_token() or self._renewed_token(stale=None)

    @property
    def on_wait(self) -> OnWait:
        """Who hears how long a wait that begins now can take at most, in seconds."""
        return self._session.on_wait

    def now(self) -> datetime:
        """Return the time by the clock that the client was given."""
        return self._now()

    def login(self) -> Account:
        """Exchange username and password for a token, keep it for the following requests and return it.

        The token does not expire by itself.  Raises AuthError where they are refused (400, 401, 403) or missing,
        Unavailable.  The server's API page, section POST /auth/token/.
        """
        login = required_login(self._credentials, self.host)
        self._session.keep_secret(login[1])
        body = Body.form([("username", login[0]), ("password", login[1])])
        answer = self._session.request("POST", "auth/token/", expected=(200,), body=body, means=_OF_LOGIN)
        account = self._session.read(answer, Account.read)
        self._session.keep_secret(account.token)
        self._exchanged = header_safe(account.token)
        return account

    def upload(
        self,
        file: str | os.PathLike[str] | Archive | FilePart,
        *,
        dataset_type: str | None = None,
        on_progress: Progress | None = None,
    ) -> Upload:
        """Upload an archive and return its token; memory stays flat, whatever its size.

        ``dataset_type`` is ``pdb`` (the server's default) or ``other``; ``on_progress`` is told the bytes sent and all
        bytes of the file, and may raise to stop.  An Archive, or a FilePart with a hash, is checked on its way; where
        its blocks are known (:func:`depositd.archive.compress` tells them), several threads do so at once.

        Raises Conflict where the server has the same content (409), Rejected for a format that it does not take (400)
        or a file that is too large (413), Unconfirmed where the answer was lost (500, 502, a broken connection),
        AuthError, Unavailable; ArchiveInvalid where the file is not what was promised, OSError where a path cannot be
        read.  The server's API page, section POST /upload/.
        """
        texts = [("dataset_type", dataset_type)] if dataset_type else []
        part = FilePart.of(file)
        body = Body.multipart(texts, "dataset_file", part, rate_limit=self._rate_limit, on_progress=on_progress)
        answer = self._request("POST", "upload/", expected=201, body=body, repeatable=False, means=_OF_UPLOAD)
        return self._session.read(answer, Upload.read)

    def submit(
        self,
        token: str,
        *,
        pdb_code: str | None = None,
        dataset_type: str | None = None,
        project_title: str | None = None,
        project_authors: str | None = None,
        synchrotron_id: int | None = None,
        beamline_id: int | None = None,
        equipment_other: str | None = None,
    ) -> Submitted:
        """Confirm an upload with its metadata, which makes it public in the end; ``token`` is the upload's.

        With a ``pdb_code`` (four letters and digits) all else is optional; without one, ``dataset_type`` is ``other``
        and a title of at least 10 characters, the authors and equipment (free text, or both ids) are required.

        Raises Rejected for metadata that the server does not take (400) or another user's upload (403), Conflict where
        it was submitted before (409), NotFound, Unconfirmed where the answer was lost, AuthError, Unavailable.  The
        server's API page, section POST /submit/.
        """
        values = {
            "token": token,
            "pdb_code": pdb_code,
            "dataset_type": dataset_type,
            "project_title": project_title,
            "project_authors": project_authors,
            "synchrotron_id": synchrotron_id,
            "beamline_id": beamline_id,
            "equipment_other": equipment_other,
        }
        body = Body.json({key: value for key, value in values.items() if value is not None})
        answer = self._request("POST", "submit/", expected=200, body=body, repeatable=False, means=_OF_ONE)
        return self._session.read(answer, Submitted.read)

    def submissions(self) -> list[Submission]:
        """Return all submissions of the account, newest first, without rows that have no token.

        Raises AuthError; Unavailable for everything else, for a list that is refused says nothing about what would be
        in it.  The server's API page, section GET /submissions/.
        """
        answer = self._request("GET", "submissions/", expected=200, means=A_QUESTION)
        return self._session.read(answer, read_submissions)

    def submission(self, token: str) -> Submission:
        """Return one submission.

        Raises NotFound (404), Rejected where it belongs to another user (403), AuthError, Unavailable; ValueError for
        a token that cannot be one.  The server's API page, section GET /submissions/<token>/.
        """
        answer = self._request("GET", _path_of(token), expected=200, means=_ABOUT_ONE)
        return self._session.read(answer, Submission.read)

    def find(self, md5: str, inner_md5: str | None = None) -> Submission | None:
        """Return our submission of a content, None where the list shows none; the newest that has not failed.

        ``md5`` is of the archive, ``inner_md5`` of the tar inside its compression, either may be what the server knows
        it by; both are hex.  One request, and raises as :meth:`submissions` does.
        """
        return with_content(self.submissions(), *(each.lower() for each in (md5, inner_md5) if each))

    def delete(self, token: str) -> None:
        """Delete a submission, where its status allows it (see ``Submission.deletable``).

        Raises NotFound where it is gone already (404), Conflict or Rejected where its status does not allow it (409,
        400) or it belongs to another user (403), AuthError, Unavailable; ValueError for a token that cannot be one.
        The server's API page, section DELETE /submissions/<token>/.
        """
        self._request("DELETE", _path_of(token), expected=204, means=_OF_ONE)

    def equipment(self) -> list[Synchrotron]:
        """Return the synchrotrons that the server knows, with their beamlines; their ids are what ``submit`` takes.

        Raises AuthError, Unavailable.  The server's API page, section GET /equipment/.
        """
        answer = self._request("GET", "equipment/", expected=200, means=_ABOUT_EQUIPMENT)
        return self._session.read(answer, list_of(Synchrotron.read))

    def wait(
        self,
        token: str,
        *,
        on_progress: Callable[[Submission], None] | None = None,
        on_unavailable: Callable[[Unavailable], None] | None = None,
        poll_s: float = 60.0,
        longest_s: float = 86_400.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> Submission:
        """Poll a submission every ``poll_s`` seconds until its status is final, and return it.

        ``on_progress`` is told each look.  A status that the document does not name is polled on.  A server that does
        not answer is asked again, after its own ``Retry-After`` where it has one, and ``on_unavailable`` hears of it.

        Raises Unavailable after ``longest_s`` seconds, and at once what :meth:`submission` raises otherwise.  The
        server's API page, sections GET /submissions/<token>/ and the table of statuses.
        """
        end_s = clock() + longest_s
        while True:
            pause_s = poll_s
            try:
                submission = self.submission(token)
            except Unavailable as error:
                if on_unavailable is not None:
                    on_unavailable(error)
                last = f"last: {error}"
                if error.retry_after_s is not None:
                    pause_s = max(error.retry_after_s, SHORTEST_POLL_S)
            else:
                if on_progress is not None:
                    on_progress(submission)
                if submission.ended:
                    return submission
                last = f"it is {printable(submission.status, 60)!r}"
            left_s = end_s - clock()
            if left_s <= 0:
                shown, waited = printable(token, 60), show_duration(longest_s)
                raise Unavailable(
                    f"{shown} at {self.host} has no final status after {waited}; {last}",
                    hint="wait again, or ask the server's support",
                )
            sleep(min(pause_s, left_s))

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
        with in_turn(self._lock, self.on_wait):
            if self._exchanged is None or self._exchanged == stale:
                self.login()
            assert self._exchanged is not None
            return self._exchanged


def _path_of(token: str) -> str:
    if token in ("", ".", ".."):
        raise ValueError(f"{token!r} is not a submission's token: it is empty or names another place")
    return f"submissions/{quote(token, safe='', errors='surrogatepass')}/"
