"""What a failed request means for what happens next: the one place where answers become errors.

=============================================  =====================  ============================================
what happened                                  repeatable request     one that must not happen twice (upload, submit)
=============================================  =====================  ============================================
DNS, refused, connect timeout, TLS: no body    Unavailable            Unavailable
broken connection or timeout after the start   Unavailable            Unconfirmed
5xx, 3xx, a 2xx that is not documented         Unavailable            Unconfirmed once the whole body was sent
408, 425, 429 (with Retry-After)               Unavailable            Unavailable
401, 403                                       AuthError              AuthError
404                                            NotFound               NotFound
409                                            Conflict               Conflict
any other 4xx                                  Rejected               Rejected
=============================================  =====================  ============================================

A 5xx after the whole body says nothing about what was stored: ProteomicsQC answers 500 with the file and its row in
place when its queue is down.  A connection that breaks in mid-body may hide an early 401 or 413, so that it leads to a
question too, not to sending again.
"""

from __future__ import annotations

import html
import json
import re
import ssl
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import NameResolutionError

from depositd.errors import AuthError, Conflict, NotFound, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.units import printable, show_duration

SENTENCE_CHARACTERS = 300

Meanings = Mapping[int, type[RemoteError]]
"""What a status means at one endpoint, where that differs from the table."""

A_QUESTION: Meanings = {status: Unavailable for status in range(400, 500) if status not in (401, 403)}
"""For lists: what refuses to list (a proxy, a wrong url) says nothing about a dataset, which must not fail of it."""

HINTS: Mapping[type[RemoteError], str] = {
    AuthError: "check the token, or username and password, in the config; the destination pauses until then",
    Unavailable: "it is tried again by itself",
    Unconfirmed: "the server is asked before anything is sent again",
    Conflict: "the server has it already",
    NotFound: "check the destination's url in the config",
    Rejected: "mend what the server names, then retry",
}


_MEANINGS: Meanings = {
    401: AuthError,
    403: AuthError,
    404: NotFound,
    407: Unavailable,
    408: Unavailable,
    409: Conflict,
    425: Unavailable,
    429: Unavailable,
}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request, and how far it came: ``began`` and ``whole`` speak of its body."""

    host: str
    what: str
    repeatable: bool = True
    began: bool = False
    whole: bool = False


def meaning_of_status(status: int, sent: Sent, means: Meanings | None = None) -> type[RemoteError]:
    """Return the error that a status stands for, by the table above."""
    if means and status in means:
        return means[status]
    if status in _MEANINGS:
        return _MEANINGS[status]
    if 400 <= status < 500:
        return Rejected
    return Unconfirmed if sent.whole and not sent.repeatable else Unavailable


def error_for_status(
    status: int, sent: Sent, sentence: str, *, retry_after_s: float | None = None, means: Meanings | None = None
) -> RemoteError:
    """Return the error for an answer that is not the documented one; ``sentence`` is the server's, made harmless."""
    kind = meaning_of_status(status, sent, means)
    message = f"{sent.host} answered {sent.what} with {status}" + (f": {sentence}" if sentence else "")
    hint = HINTS[kind]
    if status == 413 and kind is Rejected:
        hint = "the file is larger than the server takes: ask whoever runs it to raise its upload limit, then retry"
    if 300 <= status < 400:
        hint = "check the destination's url in the config: the server redirects, and a redirected upload is lost"
    if issubclass(kind, Unavailable):
        return kind(message, hint=hint, status=status, body=sentence, retry_after_s=retry_after_s)
    return kind(message, hint=hint, status=status, body=sentence)


def error_for_exception(error: BaseException, sent: Sent, read_timeout_s: float) -> RemoteError:
    """Return the error for a request that got no answer, or a broken one."""
    what, hint = _describe(error, read_timeout_s)
    message = f"{sent.host} {what} ({sent.what})"
    if sent.began and not sent.repeatable:
        return Unconfirmed(f"{message}, so it may or may not have been stored", hint=HINTS[Unconfirmed])
    return Unavailable(message, hint=hint)


def error_for_content(status: int, sent: Sent, what: str, sentence: str) -> RemoteError:
    """Return the error for a success whose body is not the documented one (a captive portal, a proxy)."""
    message = f"{sent.host} answered {sent.what} with {status}, but {what}" + (f": {sentence}" if sentence else "")
    kind = Unavailable if sent.repeatable else Unconfirmed
    return kind(message, hint=HINTS[kind], status=status, body=sentence)


def server_sentence(content_type: str, content: bytes, secrets: Iterable[str] = ()) -> str:
    """Return what a server says in one harmless line of at most 300 characters; secrets become ``***``."""
    text = content[: 1 << 16].decode("utf-8", "replace")
    is_html = "html" in content_type.lower() or text.lstrip()[:1] == "<"
    text = _html_title(text) if is_html else _json_sentence(text)
    return printable(redacted(" ".join(text.split()), secrets), SENTENCE_CHARACTERS)


def redacted(text: str, secrets: Iterable[str]) -> str:
    """Return a text without our own secrets, which a server may repeat."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, "***")
    return text


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header, as a number or as a date; None where it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _html_title(text: str) -> str:
    title = re.search(r"<title[^>]*>(.*?)</title", text, re.IGNORECASE | re.DOTALL)
    if title is not None:
        return html.unescape(title[1])
    return html.unescape(re.sub(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", text, flags=re.IGNORECASE | re.DOTALL))


def _json_sentence(text: str) -> str:
    try:
        return _said(json.loads(text))
    except (ValueError, RecursionError):  # no JSON, or brackets by the thousand
        return text


def _said(value: Any) -> str:
    if not isinstance(value, dict):
        return _flat(value)
    for key in ("error", "detail"):
        if isinstance(value.get(key), str):
            return str(value[key])
    return "; ".join(f"{key}: {_flat(item)}" for key, item in value.items())


def _flat(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_flat(item) for item in value)
    return value if isinstance(value, str) else json.dumps(value)


def _describe(error: BaseException, read_timeout_s: float) -> tuple[str, str]:
    """Return a clause that says what went wrong, and a hint; never the exception's own words."""
    hint = HINTS[Unavailable]
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"shows a TLS certificate that is not trusted: {printable(cause.verify_message, 120)}"
            return what, "check the server's certificate, or set ca_file to the CA that signed it"
    kinds: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
        ((requests.exceptions.SSLError, ssl.SSLError), "could not agree on TLS with us", hint),
        ((NameResolutionError,), "is a name that cannot be resolved", f"check the url and DNS; {hint}"),
        ((requests.exceptions.ConnectTimeout,), "did not accept a connection in time", hint),
        ((ConnectionRefusedError,), "refused the connection", hint),
        ((requests.exceptions.ReadTimeout,), f"did not answer within {show_duration(read_timeout_s)}", hint),
        ((TimeoutError,), "stopped taking or sending data", hint),
        ((requests.exceptions.ContentDecodingError,), "sent an answer that cannot be decompressed", hint),
    )
    for types, what, advice in kinds:
        if any(isinstance(cause, types) for cause in causes):
            return what, advice
    return "broke the connection off", hint


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an exception and all that it wraps: ``requests`` and ``urllib3`` keep causes in several places."""
    waiting: list[Any] = [error]
    seen: set[int] = set()
    while waiting:
        cause = waiting.pop()
        if not isinstance(cause, BaseException) or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        waiting += [cause.__cause__, cause.__context__, getattr(cause, "reason", None), *cause.args]
