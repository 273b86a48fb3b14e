"""Faults on request: what can go wrong between a client and a server, by name, path and number of times."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from fnmatch import fnmatchcase
from typing import Any

FAULTS: Mapping[str, str] = {
    "drop-before-body": "The connection is reset as soon as the headers are read; nothing is stored.",
    "drop-mid-body": "The connection is reset after half of the body; nothing is stored.",
    "stall": "Half of the body is read, then nothing for delay_s, then the connection is reset; nothing is stored.",
    "commit-then-drop": "The request is acted on, then the connection is reset before any answer.",
    "half-close": "The request is acted on, then the server ends its side of the connection without an answer.",
    "half-answer": "The request is acted on, then the connection ends in the middle of the answer.",
    "drip": "The request is acted on, and its answer begins but never ends: one blank every tenth of a second.",
    "commit-then-500": "The request is acted on, and answered with the server's error 500.",
    "commit-then-502": "The request is acted on, and answered with a gateway's 502 in HTML.",
    "commit-then-504": "The request is acted on, and answered with a gateway's 504 in HTML.",
    "queue-down": "The request is acted on, answered with the server's error 500, and its run is never processed.",
    "wrong-body": "The request is acted on, and answered with its status but a JSON body that no document knows.",
    "wrong-hash": "The request is acted on, and answered with an md5hash that is neither the file's nor the archive's.",
    "stale-list": "The list (submissions, QC data, a page of runs) leaves out what came within the last delay_s.",
    "401": "The credentials are refused, whatever they are.",
    "403": "The access is refused: somebody else's submission, or a CSRF token that is worth nothing any more.",
    "409": "A conflict is reported, whether there is one or not.",
    "413": "The body is called too large.",
    "429": "Too many requests, with Retry-After; nothing is stored.",
    "500": "The server fails before it stores anything.",
    "502": "A gateway answers in HTML that nothing is behind it.",
    "503": "A gateway answers in HTML that the service is down, with Retry-After.",
    "504": "A gateway answers in HTML that the server took too long; the request never came to it.",
    "portal": "A captive portal answers 200 with its login page in HTML; the request never came to the server.",
    "redirect": "302 to a page that answers every GET with 200 and an empty JSON object.",
    "slow": "The body is read at bytes_per_s.",
    "slow-answer": "The request is acted on, and answered only after delay_s.",
}
"""Every kind of fault, in one sentence each."""

MET = "depositd.fault"
"""Where the ASGI scope holds the fault that a request has met."""

_LIMITS: Mapping[str, float] = {"delay_s": 0.0, "retry_after_s": 0, "after": 0, "bytes_per_s": 1}
"""The least value of each number in a Fault."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault and the requests that meet it.

    ``path`` is a glob over the URL's path, ``kind`` a key of :data:`FAULTS`.  The first ``after`` requests that match
    pass unharmed, the next ``times`` meet the fault (None: all of them).  ``method`` narrows it.  ``early`` answers an
    error without reading the body and hangs up, as a proxy may.  ``delay_s`` belongs to slow-answer, stall and
    stale-list, ``bytes_per_s`` to slow, ``retry_after_s`` to 429 and 503.

    Raises ValueError in one sentence where a field is wrong.
    """

    path: str
    kind: str
    times: int | None = 1
    method: str | None = None
    after: int = 0
    early: bool = False
    delay_s: float = 5.0
    bytes_per_s: int = 1_000_000
    retry_after_s: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.path, str) or not self.path.startswith(("/", "*")):
            raise ValueError(f"path: {self.path!r} does not begin with / (a glob over the URL's path, /api/v1/*)")
        if self.kind not in FAULTS:
            raise ValueError(f"kind: there is no fault {self.kind!r} (one of {', '.join(FAULTS)})")
        if self.times is not None and not (_is_number(self.times, int) and self.times > 0):
            raise ValueError(f"times: {self.times!r} is not a whole number above 0 (or null, for always)")
        for key, least in _LIMITS.items():
            value = getattr(self, key)
            if not _is_number(value, type(least)) or value < least:
                raise ValueError(f"{key}: {value!r} is not a number of at least {least}")

    def matches(self, method: str, path: str) -> bool:
        """Say whether a request is one that this fault is meant for."""
        return fnmatchcase(path, self.path) and self.method in (None, method)


def fault_of(scope: Mapping[str, Any]) -> Fault | None:
    """Return the fault that a request met and that its endpoint must know of, from the request's ASGI scope."""
    fault: Fault | None = scope.get(MET)
    return fault


def hidden_s(scope: Mapping[str, Any]) -> float:
    """Return how young things must be to be left out of this request's list, in seconds; 0 leaves nothing out."""
    fault = fault_of(scope)
    return fault.delay_s if fault is not None and fault.kind == "stale-list" else 0.0


def _is_number(value: object, kind: type) -> bool:
    wanted = int if kind is int else (int, float)
    return isinstance(value, wanted) and not isinstance(value, bool)


def fault_from_json(document: Mapping[str, Any]) -> Fault:
    """Return the fault that a JSON object describes; raises ValueError in one sentence where it describes none."""
    known = {field.name for field in fields(Fault)}
    for key in document:
        if key not in known:
            raise ValueError(f"{key}: unknown key (one of {', '.join(sorted(known))})")
    for key in ("path", "kind"):
        if key not in document:
            raise ValueError(f"{key}: missing")
    return Fault(**document)


@dataclass(slots=True)
class _Armed:
    """A fault with what is left of it."""

    fault: Fault
    to_pass: int
    left: int | None


class FaultBox:
    """The faults that wait for requests; safe to use from any thread."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._armed: list[_Armed] = []
        self._met: list[tuple[str, str]] = []
        for fault in faults:
            self.add(fault)

    def add(self, fault: Fault) -> None:
        """Arm a fault; those armed earlier come first."""
        with self._lock:
            self._armed.append(_Armed(fault, fault.after, fault.times))

    def clear(self) -> None:
        """Disarm all faults."""
        with self._lock:
            self._armed.clear()

    @property
    def met(self) -> tuple[tuple[str, str], ...]:
        """The (kind, path) of every fault that a request has met, oldest first."""
        with self._lock:
            return tuple(self._met)

    def take(self, method: str, path: str) -> Fault | None:
        """Return the fault that this request meets, and count it; None where it passes."""
        with self._lock:
            for armed in self._armed:
                if not armed.fault.matches(method, path):
                    continue
                if armed.to_pass:
                    armed.to_pass -= 1
                    continue
                if armed.left is not None:
                    armed.left -= 1
                    if not armed.left:
                        self._armed.remove(armed)
                self._met.append((armed.fault.kind, path))
                return armed.fault
        return None

    def as_json(self) -> dict[str, Any]:
        """Return the armed faults with what is left of them, and all kinds there are."""
        with self._lock:
            armed = [{**asdict(each.fault), "left": each.left} for each in self._armed]
        return {"armed": armed, "kinds": dict(FAULTS)}
