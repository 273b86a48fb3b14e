"""A submission on its way through the server, seen from here: one line for each change, until its status is final."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TYPE_CHECKING

from depositd.cli.output import tell
from depositd.errors import Unavailable
from depositd.units import printable, show_duration

if TYPE_CHECKING:
    from depositd.destinations.proteindiffraction.records import Submission

MOST_FAILURES = 30
"""Looks in a row that may fail; with their waits that is about half an hour."""


def follow(
    look: Callable[[], Submission],
    changed: Callable[[Submission], None],
    *,
    sleep: Callable[[float], None],
    longest_s: float,
    chance: Callable[[], float] = random.random,
) -> Submission:
    """Look at a submission until its status is final and return it; raises RemoteError.

    ``changed`` hears of each new status.  Looks are frequent after a change and then rarer, up to ``longest_s``.  A
    server that is away is waited for.
    """
    from depositd.engine.unrecorded import poll_wait_s
    from depositd.retry import RetryPolicy, wait_s

    policy = RetryPolicy(first_s=2.0, longest_s=60.0)
    polls = failures = 0
    status = None
    while True:
        try:
            found = look()
        except Unavailable as error:
            failures += 1
            if failures > MOST_FAILURES or (status is None and failures > 1):
                raise
            wait = wait_s(policy, failures, chance(), error.retry_after_s)
            tell(f"{printable(str(error))}; asked again in {show_duration(wait)}")
            sleep(wait)
            continue
        failures = 0
        if found.status != status:
            status, polls = found.status, 0
            changed(found)
        if found.ended:
            return found
        sleep(poll_wait_s(polls, longest_s))
        polls += 1
