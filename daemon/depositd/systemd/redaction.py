"""Makes what is logged safe to show: no secret, no control character, no endless value."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from structlog.typing import EventDict, WrappedLogger

from depositd.secrecy import Secrets
from depositd.units import printable, utc_text

LONGEST_VALUE = 4_000
"""Characters of one value in a log line."""

LONGEST_TRACEBACK = 16_000
"""Characters of a traceback; its end, which names the error, is kept.  journald splits lines at 48 KiB."""

REDACTED = "[redacted]"

_CREDENTIALS_HEADER = re.compile(
    r"(?i)(authorization['\"]?\s*[:=]\s*['\"]?(?:(?:token|bearer|basic)\s+)?"
    r"|\b(?:sessionid|csrftoken|csrfmiddlewaretoken|x-csrftoken)['\"]?\s*[:=]\s*['\"]?)[^\s'\",;&]+"
)

# Not "token": the diffraction server calls its names for uploads so, and operators need to see them.
_SECRET_KEY = re.compile(r"(?i)authorization|cookie|csrf|sessionid|passw|secret")


class Redactor:
    """Replaces registered secrets in text; safe to use from any thread."""

    def __init__(self) -> None:
        self._secrets = Secrets(REDACTED)

    def register(self, secret: str) -> None:
        """Remember a secret in the spellings under which it may show up."""
        self._secrets.add(secret, printable(secret))

    def redact(self, text: str) -> str:
        """Return ``text`` without any registered secret, and without what credentials' headers and fields hold."""
        return _CREDENTIALS_HEADER.sub(rf"\g<1>{REDACTED}", self._secrets.redact(text))


_redactor = Redactor()


def register_secret(value: str) -> None:
    """Never show ``value`` in the log or in a status sentence again; shorter than 4 characters is ignored."""
    _redactor.register(value)


def redact(text: str) -> str:
    """Return ``text`` with every registered secret replaced, for whatever else is shown to people."""
    return _redactor.redact(text)


def clean_event(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Make every value of an event safe to show: redacted, escaped, bounded; tracebacks keep their lines."""
    return {
        _clean_text(str(key)): _clean_traceback(str(value))
        if key in ("exception", "stack")
        else _clean_item(key, value)
        for key, value in event.items()
    }


def clean(value: object, depth: int = 4) -> Any:
    """Return ``value`` as what JSON knows, with every text redacted, escaped and cut to 4,000 characters."""
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, datetime) and value.tzinfo is not None:
        return utc_text(value)
    if depth and isinstance(value, Mapping):
        return {_clean_text(str(key)): _clean_item(key, item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, list | tuple | set | frozenset):
        return [clean(item, depth - 1) for item in value]
    return _clean_text(os.fsdecode(value) if isinstance(value, bytes) else str(value))


def _clean_item(key: object, value: object, depth: int = 4) -> Any:
    return REDACTED if _SECRET_KEY.search(str(key)) else clean(value, depth)


def _clean_text(text: str) -> str:
    # Redaction comes first: neither an escape nor a cut may leave half a secret behind.
    return printable(redact(text), LONGEST_VALUE)


def _clean_traceback(text: str) -> str:
    shown = "\n".join(printable(line) for line in redact(text).split("\n"))
    return shown if len(shown) <= LONGEST_TRACEBACK else "…" + shown[-LONGEST_TRACEBACK:]
