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
407, or a tunnel that a proxy refuses          Unavailable            Unavailable
a page, where the server's own errors are JSON Unavailable            Unconfirmed once the whole body was sent
=============================================  =====================  ============================================

A 5xx after the whole body says nothing about what was stored: ProteomicsQC answers 500 with the file and its row in
place when its queue is down.  A connection that breaks in mid-body may hide an early 401 or 413, so that it leads to a
question too, not to sending again.  What a proxy says is no verdict on data: of the diffraction server, whose own
errors are JSON, a 4xx with a page is therefore as good as no answer, save 401, 403 and 413, which a gateway in front of
it gives for good reason.
"""

from __future__ import annotations

import errno
import html
import json
import re
import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import requests
from urllib3.exceptions import NameResolutionError, ProxyError

from depositd.errors import AuthError, Conflict, NotFound, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.secrecy import Secrets
from depositd.units import printable, show_duration, utc_text

SENTENCE_CHARACTERS = 300
_READ_BYTES = 1 << 16
_NO_LOGIN_FOR_PROXIES = (
    "the proxy wants a login, and depositd has none for it: let it know this machine by its address, or set another"
    " proxy in the config; it is tried again by itself"
)

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
    """A request, and how far it came: ``began`` and ``whole`` speak of its body, ``proxy`` is what it went through."""

    host: str
    what: str
    repeatable: bool = True
    began: bool = False
    whole: bool = False
    proxy: str | None = None


def meaning_of_status(
    status: int, sent: Sent, means: Meanings | None = None, *, from_between: bool = False
) -> type[RemoteError]:
    """Return the error that a status stands for, by the table above.

    ``from_between`` says that by its look the answer is not the server's own.
    """
    no_answer = Unconfirmed if sent.whole and not sent.repeatable else Unavailable
    kind = (means or {}).get(status) or _MEANINGS.get(status) or (Rejected if 400 <= status < 500 else no_answer)
    is_verdict = issubclass(kind, Rejected | NotFound | Conflict) and status != 413
    return no_answer if from_between and is_verdict else kind


def error_for_status(
    status: int,
    sent: Sent,
    sentence: str,
    *,
    retry_after_s: float | None = None,
    means: Meanings | None = None,
    from_between: bool = False,
) -> RemoteError:
    """Return the error for an answer that is not the documented one; ``sentence`` is the server's, made harmless."""
    kind = meaning_of_status(status, sent, means, from_between=from_between)
    message = f"{sent.host} answered {sent.what} with {status}" + (f": {sentence}" if sentence else "")
    hint = HINTS[kind]
    if status == 407:
        hint = _NO_LOGIN_FOR_PROXIES
    elif from_between and kind is not meaning_of_status(status, sent, means):
        hint = f"a proxy or gateway in between seems to have answered, not the server; {hint}"
    if status == 413 and kind is Rejected:
        hint = "the file is larger than the server takes: ask whoever runs it to raise its upload limit, then retry"
    if 300 <= status < 400:
        hint = "check the destination's url in the config: the server redirects, and a redirected upload is lost"
    if issubclass(kind, Unavailable):
        return kind(message, hint=hint, status=status, body=sentence, retry_after_s=retry_after_s)
    return kind(message, hint=hint, status=status, body=sentence)


def error_for_exception(
    error: BaseException, sent: Sent, read_timeout_s: float, ca_problem: str | None = None
) -> RemoteError:
    """Return the error for a request that got no answer, or a broken one.

    ``ca_problem`` is a clause that says what is wrong with the file that ``ca_file`` names: without it nobody is asked.
    """
    if ca_problem is None:
        what, hint = _describe(error, sent.proxy, read_timeout_s)
    else:
        what, hint = f"cannot be trusted: {ca_problem}", "mend the file, or ca_file in the config; it is tried again"
    message = f"{sent.host} {what} ({sent.what})"
    if sent.began and not sent.repeatable:
        return Unconfirmed(f"{message}, so it may or may not have been stored", hint=HINTS[Unconfirmed])
    return Unavailable(message, hint=hint)


def error_for_content(status: int, sent: Sent, what: str, sentence: str) -> RemoteError:
    """Return the error for a success whose body is not the documented one (a captive portal, a proxy)."""
    message = f"{sent.host} answered {sent.what} with {status}, but {what}" + (f": {sentence}" if sentence else "")
    kind = Unavailable if sent.repeatable else Unconfirmed
    return kind(message, hint=HINTS[kind], status=status, body=sentence)


def server_sentence(content_type: str, content: bytes, secrets: Secrets | None = None) -> str:
    """Return what a server says in one harmless line of at most 300 characters, without our own secrets."""
    text = content[:_READ_BYTES].decode("utf-8", "replace")
    if secrets and len(content) > _READ_BYTES:
        text = secrets.without_begun(text)
    text = _html_title(text) if is_page(content_type, content) else _json_sentence(text)
    line = " ".join(text.split())
    return printable(secrets.redact(line) if secrets else line, SENTENCE_CHARACTERS)


def is_page(content_type: str, content: bytes) -> bool:
    """Say whether an answer is HTML."""
    return "html" in content_type.lower() or content[:_READ_BYTES].lstrip()[:1] == b"<"


def retry_after_s(value: str | None, now: datetime) -> float | None:
    """Return the seconds of a ``Retry-After`` header, as a number or as a date; None where it says nothing."""
    if value is None:
        return None
    text = value.strip()
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (ValueError, OverflowError):  # years and offsets without end
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - now).total_seconds(), 0.0)


def _html_title(text: str) -> str:
    # each search goes on where the last one ended: a page of nothing but beginnings takes no longer than another
    begin = _TITLE_BEGINS.search(text)
    end = _TITLE_ENDS.search(text, begin.end()) if begin else None
    if begin and end:
        return html.unescape(text[begin.end() : end.start()])
    return html.unescape(re.sub(r"<[^<>]*>", " ", _without_code(text)))


_TITLE_BEGINS = re.compile(r"<title(?:\s[^<>]*)?>", re.IGNORECASE)
_TITLE_ENDS = re.compile(r"</title", re.IGNORECASE)
_CODE = re.compile(r"<(/?)(script|style)\b[^<>]*>", re.IGNORECASE)


def _without_code(text: str) -> str:
    """Return a page without what scripts and styles hold; one that is never closed hides nothing."""
    kept, kept_to, open_tag = [], 0, None
    for tag in _CODE.finditer(text):
        closes, name = tag[1], tag[2].lower()
        if open_tag is None and not closes:
            open_tag = (name, tag.start())
        elif open_tag is not None and closes and open_tag[0] == name:
            kept.append(text[kept_to : open_tag[1]])
            kept_to, open_tag = tag.end(), None
    return " ".join([*kept, text[kept_to:]])


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


def _describe(error: BaseException, proxy: str | None, read_timeout_s: float) -> tuple[str, str]:
    """Return a clause that says what went wrong, and a hint; never the exception's own words."""
    causes = list(_causes(error))
    if not any(isinstance(cause, requests.exceptions.ProxyError | ProxyError) for cause in causes):
        return _described(causes, read_timeout_s)
    refused = next((found[1] for cause in causes if (found := _TUNNEL_REFUSED.match(str(cause)))), None)
    if refused is None:
        what, hint = _described(causes, read_timeout_s)
        return f"cannot be reached: the proxy {proxy} {what}", hint
    hint = "ask whoever runs the proxy to let this machine through; it is tried again by itself"
    return f"cannot be reached: the proxy {proxy} answered with {refused}", (
        _NO_LOGIN_FOR_PROXIES if refused == "407" else hint
    )


_TUNNEL_REFUSED = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")


NOT_YET_VALID, EXPIRED, OTHER_NAME, OTHER_ADDRESS = 9, 10, 62, 64
"""What OpenSSL calls X509_V_ERR_CERT_NOT_YET_VALID, _CERT_HAS_EXPIRED, _HOSTNAME_MISMATCH and _IP_ADDRESS_MISMATCH."""
_CERTIFICATE_HINTS = {
    NOT_YET_VALID: "compare this machine's clock with the time at which the server's certificate begins",
    EXPIRED: "ask whoever runs the server to renew its certificate, and check this machine's clock",
    OTHER_NAME: "put a name for which the server's certificate is valid into the destination's url",
    OTHER_ADDRESS: "put a name for which the server's certificate is valid into the destination's url",
}


def certificate_problem(error: BaseException) -> int | None:
    """Return OpenSSL's number for what is wrong with a server's certificate, None where that is not what failed."""
    found = (cause for cause in _causes(error) if isinstance(cause, ssl.SSLCertVerificationError))
    return next((cause.verify_code for cause in found), None)


def with_times(error: RemoteError, code: int | None, times: tuple[datetime, datetime] | None) -> RemoteError:
    """Return the error for a certificate that is out of date with the time at which it begins or ended."""
    if times is None or code not in (NOT_YET_VALID, EXPIRED):
        return error
    told = f"it ended at {utc_text(times[1])}" if code == EXPIRED else f"it begins at {utc_text(times[0])}"
    return type(error)(f"{error}; {told}", hint=error.hint)


_NO_WAY = {
    errno.ETIMEDOUT: "is gone: nothing at all came back from it any more",
    errno.EHOSTUNREACH: "cannot be reached: no way through the network leads to it",
    errno.ENETUNREACH: "cannot be reached: no way through the network leads to it",
}
"""What the system says of a peer; it raises the first as a TimeoutError, and no time limit of ours has passed then."""


def _described(causes: list[BaseException], read_timeout_s: float) -> tuple[str, str]:
    hint = HINTS[Unavailable]
    for cause in causes:
        if isinstance(cause, ssl.SSLCertVerificationError):
            what = f"shows a TLS certificate that is not trusted: {printable(cause.verify_message, 120)}"
            advice = _CERTIFICATE_HINTS.get(cause.verify_code, "check the server's certificate")
            return what, f"{advice}, or set ca_file to the CA that signed it"
    no_way = next(
        (_NO_WAY[cause.errno] for cause in causes if isinstance(cause, OSError) and cause.errno in _NO_WAY), ""
    )
    if no_way and not any(isinstance(cause, requests.exceptions.ConnectTimeout) for cause in causes):
        return no_way, f"check the network of this machine; {hint}"
    kinds: tuple[tuple[tuple[type[BaseException], ...], str, str], ...] = (
        ((ssl.SSLEOFError, ssl.SSLZeroReturnError), "broke the connection off", hint),
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
