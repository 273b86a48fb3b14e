"""When to try again: exponential backoff with jitter, as a pure function.

The journal alone repeats things; adapters classify what went wrong and never loop.
"""

from __future__ import annotations

from dataclasses import dataclass

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
    (``Retry-After``): not less than that is waited, but a server cannot ask for more than the longest wait.
    """
    doublings = min(max(failures, 1) - 1, 32)
    wait = min(policy.first_s * 2.0**doublings, policy.longest_s)
    wait *= 1.0 - JITTER + 2.0 * JITTER * chance
    if asked_s is not None:
        wait = max(wait, min(asked_s, policy.longest_s))
    return wait
