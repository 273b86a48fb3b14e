"""Who we are on a server: a token, or a web session that is opened, kept and opened again where it ended.

Nothing is retried, save that what was refused because a web session ended, or a token was revoked, is sent once more
with a new session: the server refuses such a request before it does anything.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from depositd.destinations.body import Body
from depositd.destinations.classify import A_QUESTION, Meanings
from depositd.destinations.credentials import Credentials, login_of, required_login, token_of
from depositd.destinations.http import Answer, Session, in_turn
from depositd.destinations.proteomicsqc.pages import csrf_token
from depositd.errors import AuthError, RemoteError

T = TypeVar("T")


class Connection:
    """One account's requests to one server; safe to use from several threads."""

    def __init__(self, session: Session, credentials: Credentials) -> None:
        self._session = session
        self._credentials = credentials
        self._lock = threading.Lock()
        self._csrf: str | None = None
        self._refused_token: str | None = None

    @property
    def username(self) -> str | None:
        """The account's e-mail address, None where a token is all that we have."""
        return self._credentials.username

    @property
    def has_login(self) -> bool:
        """True where a web session can be opened; raises AuthError where the password cannot be read."""
        return login_of(self._credentials) is not None

    def forget_session(self) -> None:
        """Open a new web session for the next request that needs one."""
        self._csrf = None

    def login(self) -> None:
        """Open a web session with username and password.

        Raises AuthError where they are refused or missing, Unavailable where what answers is not the server's login.
        """
        username, password = required_login(self._credentials, self._session.host)
        self._session.keep_secret(password)
        self._session.forget_cookies()
        csrf = self._page_token()
        anonymous = self._session.cookies.get("sessionid")
        fields = [("username", username), ("password", password), ("csrfmiddlewaretoken", csrf), ("next", "/")]
        answer = self._session.request(
            "POST", "/", expected=(200, 302), body=Body.form(fields), headers=self._referer(), means=A_QUESTION
        )
        if answer.status == 302:
            if self._session.cookies.get("sessionid") in (None, anonymous):
                self._session.undocumented(answer, "opened no session: it redirects our login elsewhere")
            self._session.keep_secret(self._session.cookies["sessionid"])
            # the token rotates at login, and there is no cookie for it
            self._csrf = self._page_token()
            return
        if csrf_token(answer.text) is None:
            self._session.undocumented(answer, "the page is not the server's login")
        raise AuthError(
            f"{self._session.host} does not accept the username or the password",
            hint="check username (the e-mail address) and password in the config",
            status=answer.status,
        )

    def read(self, answer: Answer, parse: Callable[[Any], T]) -> T:
        """Return the answer's JSON as ``parse`` reads it; raises RemoteError where it is not the documented body."""
        try:
            return self._session.read(answer, parse)
        except RemoteError:
            self.forget_session()  # a login page, perhaps: the next request opens a new session
            raise

    def request(
        self,
        method: str,
        path: str,
        *,
        expected: Sequence[int],
        body: Body | None = None,
        query: Sequence[tuple[str, str]] = (),
        repeatable: bool = True,
        means: Meanings | None = None,
        by_session: bool = False,
    ) -> Answer:
        """Send with the token, or with the web session where there is none, it was refused, or ``by_session``."""

        def send(headers: Mapping[str, str]) -> Answer:
            return self._session.request(
                method,
                path,
                expected=expected,
                body=body,
                query=query,
                headers=headers,
                repeatable=repeatable,
                means=means,
            )

        token = None if by_session else token_of(self._credentials)
        if token is None or token == self._refused_token:
            return self._in_session(send, body)
        self._session.keep_secret(token)
        try:
            return send({"Authorization": f"Token {token}"})
        except AuthError as error:
            if _is_about_the_thing(error):
                raise
            if not self.has_login:
                error.hint = f"{error.hint}; an older server knows no tokens, only username and password"
                raise
            self._refused_token = token
        if body is not None:
            body.rewind()
        return self._in_session(send, body)

    def _in_session(self, send: Callable[[Mapping[str, str]], Answer], body: Body | None) -> Answer:
        """Send with the session's cookie and CSRF token; a session that ended is opened once more.

        That is safe for uploads as well: a session is judged before anything is stored.
        """
        csrf = self._csrf_token(stale=None)
        try:
            return send({**self._referer(), "X-CSRFToken": csrf})
        except AuthError as error:
            if _is_about_the_thing(error):
                raise
        except RemoteError as error:
            if error.status is not None and 300 <= error.status < 400:
                self.forget_session()  # to its login page, perhaps: the next request opens a new session
            raise
        if body is not None:
            body.rewind()
        return send({**self._referer(), "X-CSRFToken": self._csrf_token(stale=csrf)})

    def _csrf_token(self, stale: str | None) -> str:
        """Return a CSRF token that is not ``stale``; of several threads that found it refused, one logs in."""
        with in_turn(self._lock, self._session.on_wait):
            csrf = self._csrf
            if csrf is None or csrf == stale:
                self.login()
                csrf = self._csrf
            assert csrf is not None
            return csrf

    def _page_token(self) -> str:
        answer = self._session.request("GET", "/", expected=(200,), means=A_QUESTION)
        token = csrf_token(answer.text)
        if token is None:
            self._session.undocumented(answer, "the page has no CSRF token")
        self._session.keep_secret(token)
        return token

    def _referer(self) -> Mapping[str, str]:
        return {"Referer": f"{self._session.url}/"}


def _is_about_the_thing(error: AuthError) -> bool:
    """True where the server knows us, and refuses what was asked: a new session would not help."""
    return error.status == 403 and "permission" in error.body.lower()
