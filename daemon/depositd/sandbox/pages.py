"""The HTML pages of ProteomicsQC that clients read: login, home, and a pipeline's runs."""

from __future__ import annotations

import html

from depositd.sandbox.sessions import Session
from depositd.sandbox.state import Account, Pipeline, Run

FORBIDDEN = (
    '<!doctype html>\n<html lang="en">\n<head>\n  <title>403 Forbidden</title>\n</head>\n'
    "<body>\n  <h1>Forbidden (403)</h1><p>CSRF verification failed. Request aborted.</p>\n</body>\n</html>\n"
)
"""The page that Django shows where a form's CSRF token is wrong."""


def login_page(session: Session, problem: str = "") -> str:
    """Return the login form, with a fresh CSRF token."""
    return (
        f'<!doctype html>\n<title>Login</title>\n<form method="post" action="/">\n<p>{html.escape(problem)}</p>\n'
        f'<input type="hidden" name="csrfmiddlewaretoken" value="{session.csrf_token()}">\n'
        '<input type="email" name="username"><input type="password" name="password">\n'
        '<input type="hidden" name="next" value="/"><button>Login</button>\n</form>\n'
    )


def home_page(session: Session, account: Account) -> str:
    """Return the page of somebody who is logged in, with a fresh CSRF token."""
    return (
        f"<!doctype html>\n<title>ProteomicsQC</title>\n<p>{html.escape(account.email)}</p>\n"
        '<form method="post" action="/logout">\n'
        f'<input type="hidden" name="csrfmiddlewaretoken" value="{session.csrf_token()}"><button>Logout</button>\n'
        "</form>\n"
    )


def runs_page(pipeline: Pipeline, rows: list[tuple[Run, str]], page: int, pages: int) -> str:
    """Return one page of a pipeline's runs with their overall statuses."""
    lines = [
        f'<tr data-run-name="{html.escape(run.name.lower())}" data-overall-status="{status}">'
        f"<td>{html.escape(run.name)}</td><td>{html.escape(run.uploader)}</td><td>{status}</td></tr>"
        for run, status in rows
    ]
    following = f'<a href="?page={page + 1}">next</a>' if page < pages else ""
    return (
        f"<!doctype html>\n<title>{html.escape(pipeline.name)}</title>\n<table>\n"
        + "\n".join(lines)
        + f"\n</table>\n<p>Page {page} of {pages}. {following}</p>\n"
    )
