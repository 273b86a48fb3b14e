"""When a destination takes no deliveries, and when it is asked again: pure decisions on what steps there came to.

A delivery that fails waits by itself (:mod:`depositd.retry`).  A destination is *away* once all fail there: then none
is tried, and it is asked who we are instead, which costs a few bytes.  That question also tells a server that is away
from a dataset that it cannot bear: whoever answers is not away, however many steps failed.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

from depositd.errors import AuthError, ConfigError, DepositdError, RemoteError, Unavailable, Unconfirmed
from depositd.journal import Doubts, Pause, PauseKind
from depositd.model import Delivery
from depositd.retry import JITTER, RetryPolicy, wait_s
from depositd.units import printable

STEPS_IN_A_ROW = 3
"""So many steps fail, and none succeeds between them, before a destination is asked whether it is there at all."""
LONGEST_PAUSE_S = 300.0
"""To ask costs nothing, and what waits for the answer is a night's work."""
RELAPSE_S = 600.0
"""Who is away again so soon, and has taken nothing meanwhile, was never really back."""
REMIND_EVERY_S = 3600.0
_SAYS_THE_SAME = "it is tried again by itself"


def looks_away(error: Exception) -> bool:
    """Say whether an error could mean that a destination is away; any other is an answer."""
    return isinstance(error, (Unavailable, Unconfirmed))


def is_answer(error: Exception) -> bool:
    """Say whether an error shows that a destination is there and knows us."""
    return isinstance(error, RemoteError) and not looks_away(error) and not isinstance(error, AuthError)


def with_failure(doubts: Doubts | None, now: datetime, policy: RetryPolicy) -> Doubts:
    """Return what speaks against a destination after one more step failed there."""
    if doubts is not None:
        age_s = (now - doubts.noted_at).total_seconds()
        # a delivery that is alone fails no more often than its backoff lets it
        lasts_s = 2 * policy.longest_s if doubts.steps else RELAPSE_S
        if 0 <= age_s <= lasts_s:
            return replace(doubts, steps=doubts.steps + 1, noted_at=now)
    return Doubts(1, since=now, noted_at=now)


def is_doubtful(doubts: Doubts) -> bool:
    """Say whether it is time to ask whether a destination is there: at every third failure, of a relapse at each."""
    return doubts.asked_in_vain > 0 or doubts.steps % STEPS_IN_A_ROW == 0


def asks_for_time(error: Exception, delivery: Delivery | None, policy: RetryPolicy) -> bool:
    """Say whether a destination asks (``Retry-After``) to be left alone, and not by this delivery alone.

    One that failed before speaks for itself: of a dataset at which a server fails each time, others must not suffer.
    """
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    if asked_s is None or asked_s <= policy.first_s:
        return False
    return delivery is None or delivery.failures == 0


def pause_for(
    name: str, error: Exception, policy: RetryPolicy, now: datetime, chance: float, doubts: Doubts | None = None
) -> Pause:
    """Return why a destination takes nothing any more, and when it is asked again.

    It refuses our credentials, or they cannot be read; or it is away, and then ``doubts`` says since when, and how
    often it was asked in vain before.  A ``Retry-After`` is kept to, up to the longest wait of the policy.
    """
    kind = PauseKind.PAUSED if isinstance(error, (AuthError, ConfigError)) else PauseKind.AWAY
    failures = 1 + (doubts.asked_in_vain if doubts else 0)
    patient = RetryPolicy(policy.first_s, min(policy.longest_s, LONGEST_PAUSE_S))
    wait = wait_s(patient, failures, chance)
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    if asked_s is not None:
        wait = max(wait, min(asked_s, policy.longest_s))
    return Pause(
        destination=name,
        reason=f"{name} is {kind}: {printable(str(error), 300)}",
        hint=_hint(kind, error),
        since=doubts.since if doubts else now,
        failures=failures,
        next_probe_at=now + timedelta(seconds=wait),
        kind=kind,
    )


def _hint(kind: PauseKind, error: Exception) -> str:
    hint = error.hint if isinstance(error, DepositdError) else ""
    if kind is PauseKind.PAUSED:
        return f"{hint or 'mend the credentials'}; it is asked again by itself, and at once by depositd retry"
    own = hint.removesuffix(_SAYS_THE_SAME).rstrip("; ")
    told = "nothing is sent there until it answers: it is asked again by itself, and at once by depositd retry"
    return f"{own}; {told}" if own else told


def still(pause: Pause) -> Doubts:
    """Return what is known of a destination that is asked once more."""
    return Doubts(0, since=pause.since, noted_at=pause.since, asked_in_vain=pause.failures)


def is_due(pause: Pause, now: datetime, policy: RetryPolicy) -> bool:
    """Say whether a destination is asked again now; a clock that jumped back must not make a pause last."""
    longest_s = LONGEST_PAUSE_S if pause.kind is PauseKind.PAUSED else max(LONGEST_PAUSE_S, policy.longest_s)
    return not now < pause.next_probe_at <= now + timedelta(seconds=(1 + JITTER) * longest_s)


def is_long(pause: Pause, said_at: datetime, now: datetime) -> bool:
    """Say whether it is time to say once more that a destination is away."""
    return not timedelta(0) <= now - said_at < timedelta(seconds=REMIND_EVERY_S) and pause.kind is PauseKind.AWAY
