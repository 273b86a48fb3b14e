"""When to try again: exponential backoff with jitter, as a pure function.

The journal alone repeats things; adapters classify what went wrong and never loop.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

JITTER = 0.2
"""Share of a wait by which it is shortened or lengthened, so that what failed together does not return together."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The wait after the first failure and the longest wait, in seconds."""

    first_s: float = 15.0
    longest_s: float = 3600.0


def wait_s(policy: RetryPolicy, failures: int, chance: float, asked_s: float | None = None) -> float:
    """Return the seconds to wait after the ``failures``-th failure in a row (1, 2, …).

    ``chance`` is a number in [0, 1) that sets the jitter.  ``asked_s`` is a server's own wish
    (``Retry-After``): never less than that is waited, but a server cannot ask for more than a day.
    """
    doublings = min(max(failures, 1) - 1, 32)
    wait = min(policy.first_s * 2.0**doublings, policy.longest_s)
    wait *= 1.0 - JITTER + 2.0 * JITTER * chance
    if asked_s is not None:
        wait = max(wait, min(asked_s, 86_400.0))
    return wait


def due_at(planned_at: datetime | None, now: datetime, longest_s: float) -> datetime:
    """Return when a persisted wait really ends.

    A clock that jumped back must not turn an hour into a year: the wait is clamped to ``longest_s``
    (with its jitter) from now.
    """
    if planned_at is None:
        return now
    return min(planned_at, now + timedelta(seconds=longest_s * (1.0 + JITTER)))
