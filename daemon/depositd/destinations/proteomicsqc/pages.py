"""What is read from the server's web pages: CSRF tokens, and the rows of runs that no API endpoint shows yet."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from html.parser import HTMLParser


@dataclass(frozen=True, slots=True)
class PageRun:
    """A row of a pipeline's page: the run's name in lower case, its status, and the links that tell it from others."""

    name: str
    status: str | None
    links: frozenset[str] = frozenset()


def csrf_token(html: str) -> str | None:
    """Return the CSRF token of the first form of a page, None where it has none."""
    parser = _Forms()
    _feed(parser, html)
    return parser.token


def has_login_form(html: str) -> bool:
    """True where a page asks for a password."""
    parser = _Forms()
    _feed(parser, html)
    return parser.asks_password


def page_runs(html: str) -> list[PageRun]:
    """Return the rows with ``data-run-name`` of a pipeline's page, in order."""
    parser = _Runs()
    # not closed: of a comment without an end, the parser would then look for the end again at every further beginning
    _feed(parser, html)
    parser.end_row()
    return parser.runs


def _feed(parser: HTMLParser, html: str) -> None:
    # what a page says before the parser gives up on it counts: some versions assert where a declaration is none
    with contextlib.suppress(AssertionError):
        parser.feed(html)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.token: str | None = None
        self.asks_password = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag != "input":
            return
        if values.get("name") == "csrfmiddlewaretoken" and self.token is None:
            self.token = values.get("value") or None
        if values.get("type") == "password" or values.get("name") == "password":
            self.asks_password = True


class _Runs(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[PageRun] = []
        self._name: str | None = None
        self._status: str | None = None
        self._links: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if "data-run-name" in values:
            self.end_row()
            self._name = values["data-run-name"] or ""
        elif tag == "tr":
            self.end_row()
        if self._name is None:
            return
        # the status stands on the row or on a cell in it, depending on the server's version
        self._status = self._status or values.get("data-overall-status")
        self._links.update(link for name in ("href", "data-url") if (link := values.get(name)))

    def handle_endtag(self, tag: str) -> None:
        if tag in ("tr", "tbody", "table"):
            self.end_row()

    def end_row(self) -> None:
        """Keep the row that has been read."""
        if self._name:
            self.runs.append(PageRun(self._name, self._status, frozenset(self._links)))
        self._name, self._status, self._links = None, None, set()
