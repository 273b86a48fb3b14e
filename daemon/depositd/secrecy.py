"""Tokens and passwords that must not be shown, in every spelling under which a server or a library may repeat them."""

from __future__ import annotations

import html
import json
import os
import re
import threading
import urllib.parse

SHORTEST_SECRET = 4
"""Characters below which a secret is not replaced: it would blacken every other word."""

MOST_SECRETS = 256
"""What is renewed all the time (CSRF tokens) must not grow for years: the secrets used last are kept."""


class Secrets:
    """The secrets used last, and texts without them; safe to use from any thread."""

    def __init__(self, replacement: str) -> None:
        self._replacement = replacement
        self._lock = threading.Lock()
        self._spellings: dict[str, frozenset[str]] = {}
        self._pattern: re.Pattern[str] | None = None

    def add(self, secret: str, *also: str) -> None:
        """Remember a secret, with other spellings of it; shorter than 4 characters is ignored."""
        if len(secret) < SHORTEST_SECRET:
            return
        with self._lock:
            known = self._spellings.pop(secret, None)
            self._spellings[secret] = known or spellings(secret) | frozenset(also)
            if known is None:
                self._compile()

    def _compile(self) -> None:
        while len(self._spellings) > MOST_SECRETS:
            del self._spellings[next(iter(self._spellings))]
        longest_first = sorted(frozenset[str]().union(*self._spellings.values()), key=len, reverse=True)
        self._pattern = re.compile("|".join(re.escape(spelling) for spelling in longest_first), re.IGNORECASE)

    def without_begun(self, text: str) -> str:
        """Return a text that was cut off somewhere without its end, where that may be the beginning of a secret."""
        known = [spelling.lower() for each in tuple(self._spellings.values()) for spelling in each]
        longest = max(map(len, known), default=0)
        for at in range(max(len(text) - longest, 0), len(text) - SHORTEST_SECRET + 1):
            rest = text[at:].lower()
            if any(spelling.startswith(rest) for spelling in known):
                return text[:at]
        return text

    def redact(self, text: str) -> str:
        """Return a text with every secret replaced."""
        return text if self._pattern is None else self._pattern.sub(self._replacement.replace("\\", r"\\"), text)


def spellings(secret: str) -> frozenset[str]:
    """Return a secret as it is, in a URL or a form, in JSON, in HTML, and as Python shows it."""
    octets = os.fsencode(secret) if _has_surrogates(secret) else secret.encode()
    return frozenset(
        spelling
        for spelling in {
            secret,
            " ".join(secret.split()),
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            html.escape(secret),
            urllib.parse.quote(octets, safe=""),
            urllib.parse.quote(octets),
            urllib.parse.quote_plus(octets),
        }
        if len(spelling) >= SHORTEST_SECRET
    )


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
