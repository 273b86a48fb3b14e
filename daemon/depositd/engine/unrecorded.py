"""A delivery to its end without a journal: by hand, in the foreground, forgotten afterwards.

It takes the same steps as the daemon and by the same table of states, so a lost answer leads to a question here as
well, and nothing is sent twice.  It has no memory: whoever stops it goes on from what the server knows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from depositd.destinations.base import Destination, Outcome
from depositd.errors import NotFound, RemoteError, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, Metadata
from depositd.retry import RetryPolicy, wait_s
from depositd.states import ENDED, DeliveryEvent, next_delivery_state

AT_REST = ENDED | {DeliveryState.HELD}
"""Where a delivery stays until somebody does something."""


@dataclass(frozen=True, slots=True)
class Tools:
    """What the loop needs of the outside.

    ``chance`` gives numbers in [0, 1), for the jitter of waits.  ``progress`` is told (done, total) bytes.  ``changed``
    hears of each new state or status, ``trouble`` of each error that is tried again, or each look for something lost
    that did not show it, and of the seconds until the next.
    """

    clock: Callable[[], datetime]
    sleep: Callable[[float], None]
    chance: Callable[[], float]
    progress: Callable[[int, int], None] = lambda _done, _total: None
    changed: Callable[[Delivery], None] = lambda _delivery: None
    trouble: Callable[[str, float], None] = lambda _sentence, _wait_s: None


_BY_HAND = RetryPolicy(first_s=2.0, longest_s=60.0)


@dataclass(frozen=True, slots=True)
class Patience:
    """How often it is tried again, after which waits, and the longest time between two looks at a status.

    ``failures`` in a row are borne while something is sent, ``failed_looks`` once it is all there.
    """

    retry: RetryPolicy = _BY_HAND
    failures: int = 5
    failed_looks: int = 30
    poll_s: float = 60.0


def poll_wait_s(polls: int, longest_s: float) -> float:
    """Return the seconds until the next look: short at first, since somebody sits there and waits."""
    return min(longest_s, 2.0 ** min(polls, 16))


def deliver_unrecorded(
    destination: Destination,
    delivery: Delivery,
    archive: Archive,
    metadata: Metadata,
    tools: Tools,
    *,
    patience: Patience = Patience(),
    until: frozenset[DeliveryState] = AT_REST,
) -> Delivery:
    """Take a delivery's steps until it rests or its state is in ``until``, and return it as it is then.

    An archive without a path is one that the destination has already, and nothing is sent.  Where the destination stays
    away for longer than ``patience``, the delivery is returned as it stands, with the error.  Raises RemoteError where
    nothing is there, ConfigError, ArchiveInvalid or OSError where our side is at fault.
    """
    failures = polls = 0
    over = AT_REST | until
    while delivery.state not in over:
        was = delivery
        delivery, look_again_s, error = _step(destination, delivery, archive, metadata, tools)
        if _looks_different(was, delivery):
            polls = 0
            tools.changed(delivery)
        if delivery.state in over:
            break
        if look_again_s is not None and delivery.state in _LOOKED_AT:
            wait = max(look_again_s, poll_wait_s(polls, patience.poll_s))
            if delivery.state is DeliveryState.SUBMITTED:
                failures = 0
            elif was.state is delivery.state:
                # a failure that led here still counts: what is lost, looked for and lost again must have an end
                tools.trouble(delivery.error or "", wait)
            tools.sleep(wait)
            polls += 1
        elif error is not None or was.state is not DeliveryState.WAITING:
            failures += 1
            most = patience.failed_looks if delivery.state is DeliveryState.SUBMITTED else patience.failures
            if failures > most or _is_final(error):
                return _given_up(delivery, error)
            if error is not None or delivery.state is was.state:
                wait = wait_s(patience.retry, failures, tools.chance(), _wish(error))
                tools.trouble(delivery.error or "", wait)
                tools.sleep(wait)
    return delivery


_LOOKED_AT = frozenset({DeliveryState.SUBMITTED, DeliveryState.UNCONFIRMED})
"""Where a step only looks, and one that finds nothing new is no failure."""


def _is_final(error: RemoteError | None) -> bool:
    """True for a refusal: the same request gets the same answer."""
    return error is not None and not isinstance(error, (Unavailable, Unconfirmed))


class _Report:
    """What the destination tells before and while it sends."""

    def __init__(self, archive: Archive, tools: Tools) -> None:
        self.progress = tools.progress
        self._can_send = bool(archive.path)
        self.baseline: Mapping[str, Any] | None = None

    def sending(self, baseline: Mapping[str, Any]) -> None:
        """Note what the destination knew before; raises NotFound where there is nothing to send."""
        if not self._can_send:
            raise NotFound("the server no longer shows this upload, and there is nothing here that could be sent")
        self.baseline = baseline


def _step(
    destination: Destination, delivery: Delivery, archive: Archive, metadata: Metadata, tools: Tools
) -> tuple[Delivery, float | None, RemoteError | None]:
    """Take one step; return the delivery after it, when to look again, and the error if there was one."""
    report = _Report(archive, tools)
    try:
        outcome = destination.step(delivery, archive, metadata, report)
    except RemoteError as error:
        if delivery.state is DeliveryState.WAITING and _is_final(error):
            raise  # nothing is there
        lost = delivery.state is DeliveryState.WAITING and isinstance(error, Unconfirmed)
        outcome = Outcome(
            DeliveryEvent.LOST if lost else DeliveryEvent.POSTPONE,
            remote_id=delivery.remote_id,
            remote_status=delivery.remote_status,
            reason=str(error),
            hint=error.hint,
        )
        return _after(outcome, delivery, report, tools), None, error
    return _after(outcome, delivery, report, tools), outcome.again_s, None


def _after(outcome: Outcome, delivery: Delivery, report: _Report, tools: Tools) -> Delivery:
    """Return the delivery as an outcome leaves it; raises IllegalTransition."""
    after = replace(
        delivery,
        state=next_delivery_state(delivery.state, outcome.event),
        remote_id=outcome.remote_id or delivery.remote_id,
        remote_status=outcome.remote_status or delivery.remote_status,
        error=outcome.reason,
        hint=outcome.hint,
        hold=outcome.hold,
    )
    if outcome.event is DeliveryEvent.ABSENT:
        return replace(after, remote_id=None, remote_status=None, sent_at=None)
    if outcome.event is DeliveryEvent.LOST:
        return replace(after, baseline=report.baseline or {}, sent_at=tools.clock())
    return after


def _given_up(delivery: Delivery, error: RemoteError | None) -> Delivery:
    """Return the delivery as it stands; raises the error where nothing is there that could be gone on with."""
    if delivery.state is DeliveryState.WAITING:
        raise error or Unavailable(delivery.error or "the destination loses what it is sent", hint=delivery.hint or "")
    return delivery


def _looks_different(was: Delivery, now: Delivery) -> bool:
    return (was.state, was.remote_status, was.remote_id) != (now.state, now.remote_status, now.remote_id)


def _wish(error: RemoteError | None) -> float | None:
    return error.retry_after_s if isinstance(error, Unavailable) else None
