"""One HTTP session for one destination: what ``requests`` does by itself and must not is switched off here.

No ``.netrc``, proxy or CA bundle from the environment, no redirects, no retries (the journal repeats, nothing
below it does), no way to turn verification off, and no answer that is longer than memory should hold.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any, NoReturn, TypeVar
from urllib.parse import urlencode, urlsplit

import requests
from requests.adapters import BaseAdapter
from urllib3.exceptions import HTTPError

from depositd import __version__
from depositd.destinations.body import Body
from depositd.destinations.certificates import certificate_times
from depositd.destinations.classify import (
    EXPIRED,
    NOT_YET_VALID,
    Meanings,
    Sent,
    certificate_problem,
    error_for_content,
    error_for_exception,
    error_for_status,
    is_page,
    retry_after_s,
    server_sentence,
    with_times,
)
from depositd.destinations.fields import Undocumented
from depositd.destinations.transport import Adapter, ca_problem
from depositd.errors import ConfigError
from depositd.moments import Moment, reached
from depositd.secrecy import Secrets
from depositd.units import printable
from depositd.urls import has_login, is_in_the_clear, proxy_url, web_url

T = TypeVar("T")

CONNECT_TIMEOUT_S = 60.0
"""Also the time that each single send may take: a slow server must not look like a dead one."""

READ_TIMEOUT_S = 120.0
SLOWEST_SERVER_BYTES_PER_S = 10e6
"""How fast a server is expected to decompress and hash what it has just received."""
LONGEST_READ_TIMEOUT_S = 6 * 3600.0
"""Whoever has said nothing for so long will not answer this request; that the host is gone, TCP notices far sooner."""

LONGEST_CONNECT_S = 300.0
"""A name that no server knows takes a minute, and each of a server's addresses as long as CONNECT_TIMEOUT_S."""

LARGEST_ANSWER_BYTES = 64 << 20


TURN_TOLD_EVERY_S = 5.0

OnWait = Callable[[float], None]
"""Hears how many seconds a wait that begins now can take at most, after which it ends by itself."""


def wait_unheard(_longest_s: float) -> None:
    """Let nobody know of a wait: nobody counts the seconds of a script or a command."""


def utc_now() -> datetime:
    """Return the time; the default for scripts, the daemon hands in its own clock."""
    return datetime.now(UTC)


@contextmanager
def in_turn(lock: threading.Lock, on_wait: OnWait, told_every_s: float = TURN_TOLD_EVERY_S) -> Iterator[None]:
    """Hold a lock for a block; whoever waits for it says so all along, for whoever holds it keeps to limits as well."""
    while not lock.acquire(timeout=told_every_s):
        on_wait(told_every_s)
    try:
        yield
    finally:
        lock.release()


def read_timeout_s(body_bytes: int) -> float:
    """Return how long an answer may take after the last byte of a body, in seconds: 2 min, and 100 s for each GB."""
    return min(READ_TIMEOUT_S + body_bytes / SLOWEST_SERVER_BYTES_PER_S, LONGEST_READ_TIMEOUT_S)


@dataclass(frozen=True, slots=True)
class Answer:
    """A documented status with its body, and the request that it answers."""

    sent: Sent
    status: int
    headers: Mapping[str, str]
    content: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.content.decode("utf-8", "replace")


class Session:
    """HTTP to one server.

    Raises ConfigError for a URL that would show credentials or that sends them in the clear.  ``proxy`` is the http or
    https URL of the proxy that everything goes through, whatever the host.  ``errors_are_json`` says that an error in
    HTML is not the server's own.  ``adapter`` replaces the network in tests; ``now`` is the wall clock, for
    ``Retry-After`` dates alone.  ``on_secret`` is told each secret before it is used, so that the log can leave it out
    as well.  ``on_wait`` is told, in seconds, how long the wait that begins now can take at most: for a connection, and
    for an answer.
    """

    def __init__(
        self,
        url: str,
        *,
        ca_file: str | None = None,
        insecure_http: bool = False,
        proxy: str | None = None,
        errors_are_json: bool = False,
        adapter: BaseAdapter | None = None,
        now: Callable[[], datetime] = utc_now,
        clock: Callable[[], float] = time.monotonic,
        on_secret: Callable[[str], None] | None = None,
        on_wait: OnWait = wait_unheard,
    ) -> None:
        self._on_secret = on_secret
        self.on_wait = on_wait
        self._proxy = checked_proxy(proxy) if proxy else None
        self.url = checked_url(url, insecure_http=insecure_http, proxy=self._proxy)
        self.host = printable(urlsplit(self.url).netloc, 100)
        self._now = now
        self._clock = clock
        self._errors_are_json = errors_are_json
        self._secrets = Secrets("***")
        self._requests = _Requests()
        self._requests.trust_env = False
        if self._proxy:
            self._requests.proxies = {"http": self._proxy, "https": self._proxy}
        self._ca_file = ca_file
        self._requests.verify = ca_file or True
        self._requests.headers.update({"User-Agent": f"depositd/{__version__}", "Accept": "application/json"})
        transport = adapter or Adapter()
        self._requests.mount("https://", transport)
        self._requests.mount("http://", transport)

    @property
    def cookies(self) -> Mapping[str, str]:
        """The cookies that the server set."""
        return {cookie.name: cookie.value or "" for cookie in self._requests.cookies}

    def forget_cookies(self) -> None:
        """Become a stranger to the server."""
        self._requests.cookies.clear()

    def keep_secret(self, *secrets: str) -> None:
        """Never show these, not even when the server repeats them."""
        for secret in secrets:
            self._secrets.add(secret)
            if self._on_secret is not None:
                self._on_secret(secret)

    def request(
        self,
        method: str,
        path: str,
        *,
        expected: Collection[int],
        body: Body | None = None,
        query: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
        repeatable: bool = True,
        means: Meanings | None = None,
    ) -> Answer:
        """Send one request, once, and return its documented answer.

        ``repeatable`` is False for what must not happen twice.  ``means`` says what statuses stand for at this
        endpoint where it differs from the table in :mod:`depositd.destinations.classify`.  Raises RemoteError, and
        whatever the body raises while it is read.
        """
        url = f"{self.url}/{path.lstrip('/')}" + (f"?{urlencode(query)}" if query else "")
        timeout_s = read_timeout_s(len(body) if body else 0)
        response: requests.Response | None = None
        if body is None:
            self.on_wait(LONGEST_CONNECT_S + timeout_s)
        else:
            self.on_wait(LONGEST_CONNECT_S)
            body.on_whole = partial(self.on_wait, timeout_s)
        with self._classified(method, url, body, repeatable, timeout_s):
            reached(Moment.REQUEST_BEGINS, f"{method} {path}")
            response = self._requests.request(
                method,
                url,
                data=body,
                headers={**(headers or {}), **({"Content-Type": body.content_type} if body else {})},
                timeout=(CONNECT_TIMEOUT_S, timeout_s),
                allow_redirects=False,
                stream=True,
            )
            reached(Moment.ANSWER_BEGUN, f"{method} {path}")
            content, cut = _content(response, self._clock() + timeout_s, self._clock)
        reached(Moment.ANSWER_READ, f"{method} {path}")
        answer = Answer(self._sent(method, url, body, repeatable), response.status_code, response.headers, content)
        if answer.status not in expected:
            raise error_for_status(
                answer.status,
                answer.sent,
                self._sentence(answer),
                retry_after_s=retry_after_s(answer.headers.get("Retry-After"), self._now()),
                means=means,
                from_between=self._errors_are_json and is_page(answer.headers.get("Content-Type", ""), content),
            )
        if cut:
            self.undocumented(answer, f"its body is longer than {LARGEST_ANSWER_BYTES:,} bytes or does not end")
        return answer

    def read(self, answer: Answer, parse: Callable[[Any], T]) -> T:
        """Return the answer's JSON as ``parse`` reads it; raises RemoteError where it is not the documented body."""
        try:
            return parse(json.loads(answer.content))
        except Undocumented as error:
            self.undocumented(answer, str(error))
        except (ValueError, RecursionError):
            self.undocumented(answer, "the body is not JSON")

    def undocumented(self, answer: Answer, what: str) -> NoReturn:
        """Raise the error for a success whose body is not the documented one."""
        raise error_for_content(answer.status, answer.sent, what, self._sentence(answer))

    def close(self) -> None:
        """Release connections."""
        self._requests.close()

    def _sent(self, method: str, url: str, body: Body | None, repeatable: bool) -> Sent:
        what = f"{method} {printable(urlsplit(url).path, 120)}"
        # without a body the request is whole as soon as it begins, and nothing tells us whether it did
        began, whole = (True, True) if body is None else (body.began, body.whole)
        return Sent(self.host, what, repeatable, began=began, whole=whole, proxy=self._proxy)

    def _sentence(self, answer: Answer) -> str:
        return server_sentence(answer.headers.get("Content-Type", ""), answer.content, self._secrets)

    @contextmanager
    def _classified(
        self, method: str, url: str, body: Body | None, repeatable: bool, timeout_s: float
    ) -> Iterator[None]:
        """Turn what the network raises into our errors; the cause is cut off, for it may hold headers."""
        try:
            yield
        except (requests.RequestException, HTTPError, OSError) as error:
            sent = self._sent(method, url, body, repeatable)
            known = error_for_exception(error, sent, timeout_s, ca_problem(self._ca_file))
            code = certificate_problem(error)
            raise with_times(known, code, self._certificate_times(code)) from None
        finally:
            if body is not None:
                body.close()

    def _certificate_times(self, code: int | None) -> tuple[datetime, datetime] | None:
        """Return the times of a certificate that is out of date, where nobody stands between us and the server."""
        parts = urlsplit(self.url)
        if code not in (NOT_YET_VALID, EXPIRED) or self._proxy or parts.hostname is None:
            return None
        return certificate_times(parts.hostname, parts.port or 443)


def checked_url(url: str, *, insecure_http: bool = False, proxy: str | None = None) -> str:
    """Return a server's base URL without a trailing slash; raises ConfigError with what would be right."""
    if has_login(url):
        raise ConfigError(["the url holds a username or password (use token, or username and password)"])
    parts = web_url(url)
    if parts is None or parts.query or parts.fragment:
        raise ConfigError([f"{printable(url, 200)!r} is not a server's url (such as https://example.org/api/v1/)"])
    if is_in_the_clear(url, proxy) and not insecure_http:
        way = f" through the proxy {printable(proxy, 100)}" if proxy and not is_in_the_clear(url) else ""
        wrong = f"{printable(url, 200)!r} would send credentials in the clear{way}"
        raise ConfigError([f"{wrong} (use https, or set insecure_http: true)"])
    return url.rstrip("/")


def checked_proxy(url: str) -> str:
    """Return the URL of a proxy without a trailing slash; raises ConfigError with what would be right."""
    proxy = proxy_url(url)
    if has_login(url):
        raise ConfigError(["the proxy's url holds a username or password (such as http://proxy.example.org:3128)"])
    if proxy is None:
        raise ConfigError([f"{printable(url, 200)!r} is not a proxy's url (such as http://proxy.example.org:3128)"])
    return proxy


def _content(response: requests.Response, end_s: float, clock: Callable[[], float]) -> tuple[bytes, bool]:
    """Return the answer's body and whether it was cut off, for it must neither fill the memory nor drip for ever."""
    content = bytearray()
    for block in response.iter_content(1 << 12):
        content += block
        if len(content) > LARGEST_ANSWER_BYTES or clock() > end_s:
            response.close()
            return bytes(content[:LARGEST_ANSWER_BYTES]), True
    return bytes(content), False


class _Requests(requests.Session):
    """A session that follows nothing, not even to look where a redirect leads."""

    def get_redirect_target(self, resp: requests.Response) -> str | None:
        """Say that no answer is a redirect."""
        del resp
        return None
