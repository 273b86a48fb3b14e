"""Web sessions as Django keeps them for ProteomicsQC: a cookie, and CSRF tokens inside the session.

The CSRF token has no cookie of its own (``CSRF_USE_SESSIONS``): it stands in the forms, looks different every time, and
is worth nothing after the next login.
"""

from __future__ import annotations

import secrets
import threading
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from starlette.requests import Request
from starlette.responses import Response

from depositd.sandbox.state import Account, Clock

COOKIE = "sessionid"


@dataclass(frozen=True, slots=True)
class Session:
    """One browser's or client's session; ``account`` is None before the login."""

    account: Account | None
    expires_at: datetime
    key: str = field(default_factory=lambda: secrets.token_hex(16))
    csrf_secret: str = field(default_factory=lambda: secrets.token_hex(16))

    def csrf_token(self) -> str:
        """Return a CSRF token: 64 characters, the first half random."""
        return secrets.token_hex(16) + self.csrf_secret

    def csrf_problem(self, token: str, request: Request) -> str | None:
        """Return what is wrong with a CSRF token, in Django's words, or None."""
        if request.url.scheme == "https":
            referer = request.headers.get("referer", "")
            if not referer:
                return "Referer checking failed - no Referer."
            if not referer.startswith(f"https://{request.url.netloc}/"):
                return f"Referer checking failed - {referer} does not match any trusted origins."
        if not token:
            return "CSRF token missing."
        if len(token) != 64 or not secrets.compare_digest(token[32:], self.csrf_secret):
            return "CSRF token from the 'X-Csrftoken' HTTP header incorrect."
        return None


class Sessions:
    """All sessions; they end ``lasts_s`` after they were made."""

    def __init__(self, clock: Clock, lasts_s: float) -> None:
        self._clock = clock
        self._lasts = timedelta(seconds=lasts_s)
        self._lock = threading.Lock()
        self._by_key: dict[str, Session] = {}

    def find(self, request: Request) -> Session | None:
        """Return the request's session while it lasts."""
        with self._lock:
            session = self._by_key.get(request.cookies.get(COOKIE, ""))
        return session if session is not None and self._clock() < session.expires_at else None

    def begin(self, response: Response | None, account: Account | None = None, old: Session | None = None) -> Session:
        """Begin a session, end the one it follows, and put its cookie into the response."""
        session = Session(account, self._clock() + self._lasts)
        with self._lock:
            self._by_key[session.key] = session
            if old is not None:
                self._by_key.pop(old.key, None)
        if response is not None:
            self.set_cookie(response, session)
        return session

    def set_cookie(self, response: Response, session: Session) -> None:
        """Give a session's key to the client."""
        response.set_cookie(
            COOKIE, session.key, max_age=int(self._lasts.total_seconds()), httponly=True, samesite="lax"
        )

    def end_all(self) -> None:
        """Forget every session, as a server does whose session store was emptied."""
        with self._lock:
            self._by_key.clear()
