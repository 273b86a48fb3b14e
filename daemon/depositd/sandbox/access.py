"""Who is asking ProteomicsQC: API tokens, and the login of the web page with its sessions and CSRF tokens."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from depositd.sandbox.endpoint import Endpoint, Refusal
from depositd.sandbox.forms import read_values, text_of
from depositd.sandbox.pages import FORBIDDEN, home_page, login_page
from depositd.sandbox.sessions import Sessions
from depositd.sandbox.state import Account

Mode = Literal["modern", "older"]


def refuse(status: int, sentence: str) -> Refusal:
    """Return the refusal with this status and sentence, as Django's REST framework words it."""
    return Refusal(JSONResponse({"detail": sentence}, status_code=status))


@dataclass(slots=True)
class Access:
    """The accounts and what they prove themselves with; the older server takes no API tokens and makes none."""

    accounts: Sequence[Account]
    tokens: dict[str, Account]
    sessions: Sessions
    mode: Mode
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False)

    def routes(self) -> list[Route]:
        """Return the login page and, where there are tokens, their endpoint."""
        modern = [Route("/api/token", Endpoint(refuse, post=self.make_token, delete=self.revoke_token))]
        return [
            Route("/", Endpoint(refuse, get=self.home, post=self.login)),
            *(modern if self.mode == "modern" else []),
        ]

    async def home(self, request: Request) -> Response:
        """``GET /``: the login form, or who is logged in; either holds a fresh CSRF token."""
        session = self.sessions.find(request) or self.sessions.begin(None)
        page = login_page(session) if session.account is None else home_page(session, session.account)
        response = HTMLResponse(page)
        self.sessions.set_cookie(response, session)
        return response

    async def login(self, request: Request) -> Response:
        """``POST /``: 302 and a new session on success, the form again (200) on a wrong password."""
        values = await read_values(request)
        session = self.sessions.find(request)
        token = text_of(values, "csrfmiddlewaretoken") or request.headers.get("x-csrftoken", "")
        if session is None or session.csrf_problem(token, request) is not None:
            return HTMLResponse(FORBIDDEN, 403)
        given = (text_of(values, "username"), text_of(values, "password"))
        account = next((each for each in self.accounts if (each.email, each.password) == given), None)
        if account is None:
            return HTMLResponse(login_page(session, "Please enter a correct email and password."))
        target = text_of(values, "next")
        safe = target if target.startswith("/") and not target.startswith(("//", "/\\")) else "/"
        response = RedirectResponse(safe, status_code=302)
        self.sessions.begin(response, account, old=session)
        return response

    def account(self, request: Request) -> Account:
        """Return who asks; raises Refusal (403) as the server does, also for a wrong token."""
        words = request.headers.get("authorization", "").split()
        if self.mode == "modern" and words and words[0].lower() == "token":
            if len(words) != 2:
                raise refuse(403, "Invalid token header.")
            with self._lock:
                account = self.tokens.get(words[1])
            if account is None:
                raise refuse(403, "Invalid token.")
            return account
        session = self.sessions.find(request)
        if session is None or session.account is None:
            raise refuse(403, "Authentication credentials were not provided.")
        problem = session.csrf_problem(request.headers.get("x-csrftoken", ""), request)
        if problem is not None:
            raise refuse(403, f"CSRF Failed: {problem}")
        return session.account

    def logged_in(self, request: Request) -> Account | None:
        """Return whose web session it is, None for a stranger's."""
        session = self.sessions.find(request)
        return session.account if session is not None else None

    async def make_token(self, request: Request) -> Response:
        """``POST /api/token``: make or fetch the user's token."""
        account = self.account(request)
        with self._lock:
            known = next((token for token, owner in self.tokens.items() if owner == account), None)
            token = known or secrets.token_hex(20)
            self.tokens[token] = account
        return JSONResponse({"token": token, "created": known is None})

    async def revoke_token(self, request: Request) -> Response:
        """``DELETE /api/token``: the user's token is worth nothing from now on."""
        account = self.account(request)
        with self._lock:
            for token in [token for token, owner in self.tokens.items() if owner == account]:
                del self.tokens[token]
        return Response(status_code=204)

    def forget_everybody(self) -> None:
        """Make every token and every session worthless."""
        with self._lock:
            self.tokens.clear()
        self.sessions.end_all()
