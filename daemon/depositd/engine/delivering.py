"""The step that takes one delivery further, and the fact that it records."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from depositd.destinations.base import Destination, Outcome
from depositd.engine.gates import Hold
from depositd.engine.planning import Plan, gate, resolved_metadata
from depositd.errors import (
    ArchiveInvalid,
    AuthError,
    ConfigError,
    DepositdError,
    RemoteError,
    SourceChanged,
    Unavailable,
    Unconfirmed,
)
from depositd.journal import DatasetRecord, Fact, Journal, Pause, Standing
from depositd.model import Archive, DatasetState, Delivery, DeliveryState
from depositd.retry import RetryPolicy, wait_s
from depositd.states import DeliveryEvent
from depositd.units import printable, show_duration


class Interrupted(Exception):
    """A transfer was stopped before its last byte; nothing whole has arrived."""


class StepReport:
    """What a destination tells while it works on one delivery."""

    def __init__(
        self, journal: Journal, delivery: Delivery, clock: Callable[[], datetime], progress: Callable[[int, int], None]
    ) -> None:
        self._journal = journal
        self._delivery = delivery
        self._clock = clock
        self.progress = progress

    def sending(self, baseline: Mapping[str, Any]) -> None:
        """Record the begin of a send; raises Interrupted where the operator's word came first."""
        if not self._journal.deliveries.begin_send(self._delivery.id, baseline, self._clock()):
            raise Interrupted


def deliver(
    plan: Plan,
    journal: Journal,
    standing: Standing,
    *,
    progress: Callable[[int, int], None],
    clock: Callable[[], datetime],
    chance: float,
) -> Delivery | None:
    """Take one step of one delivery and record what became true.

    ``progress`` is called with (done, total) bytes and may raise :class:`Interrupted`; ``chance`` in [0, 1) sets the
    jitter of a retry.  Returns the delivery as it is now, None where nothing could be recorded of it.
    """
    delivery = standing.delivery
    record = journal.datasets.get(delivery.dataset_id)
    if record is None:
        return None
    if delivery.state is DeliveryState.WAITING and delivery.sent_at is not None:
        reason = "the answer to the last send is not known; the destination is asked before anything is sent again"
        return journal.deliveries.apply(delivery.id, Fact(DeliveryEvent.LOST, reason), clock())
    held = gate(plan, journal, record, standing) if delivery.state is DeliveryState.WAITING else None
    destination = plan.destinations.get(delivery.destination)
    if held is not None or destination is None:
        return journal.deliveries.apply(delivery.id, _held_fact(plan, journal, record, standing, held), clock())
    archive = _archive(plan, journal, record, delivery, clock())
    if archive is None:
        # a waiting delivery is due again once the dataset is archived again; another one asks for itself
        fact = Fact(DeliveryEvent.POSTPONE, retry_at=clock() + timedelta(seconds=plan.config.retry.first_s))
        return journal.deliveries.apply(delivery.id, fact, clock())
    policy = plan.config.destinations[delivery.destination].retry or plan.config.retry
    values = resolved_metadata(plan, record, standing).values
    try:
        outcome = destination.step(delivery, archive, values, StepReport(journal, delivery, clock, progress))
        fact = fact_of_outcome(outcome, delivery, clock())
    except Interrupted:
        fact = Fact(DeliveryEvent.POSTPONE, delivery.error, delivery.hint)
    except AuthError as error:
        _pause(journal, destination, error, policy, clock(), chance)
        fact = Fact(DeliveryEvent.POSTPONE)
    except (ArchiveInvalid, SourceChanged, FileNotFoundError) as error:
        journal.datasets.archive_lost(record.id, f"the archive is not what was packed: {error}", clock())
        fact = Fact(DeliveryEvent.POSTPONE, "the archive in the spool was damaged and is built again")
    except (RemoteError, ConfigError, OSError) as error:
        fact = fact_of_error(error, delivery, policy, clock(), chance)
    return journal.deliveries.apply(delivery.id, fact, clock())


def fact_of_outcome(outcome: Outcome, delivery: Delivery, now: datetime) -> Fact:
    """Return what an adapter's outcome makes true."""
    return Fact(
        event=outcome.event,
        reason=outcome.reason,
        hint=outcome.hint,
        remote_id=outcome.remote_id,
        remote_status=outcome.remote_status,
        hold=outcome.hold,
        retry_at=now + timedelta(seconds=outcome.again_s) if outcome.again_s is not None else None,
        attempt=delivery.state is DeliveryState.WAITING and outcome.event is not DeliveryEvent.HOLD,
    )


def fact_of_error(
    error: RemoteError | ConfigError | OSError, delivery: Delivery, policy: RetryPolicy, now: datetime, chance: float
) -> Fact:
    """Return what a classified error makes true: try again, ask first, or give up and say so."""
    waiting = delivery.state is DeliveryState.WAITING
    reason = printable(str(error), 500)
    hint = error.hint if isinstance(error, DepositdError) else ""
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    wait = wait_s(policy, delivery.failures + 1, chance, asked_s)
    retry_at = now + timedelta(seconds=wait)
    if isinstance(error, RemoteError) and not isinstance(error, (Unavailable, Unconfirmed)):
        shown_hint = hint or f"mend it and run: depositd retry {delivery.dataset_id}"
        return Fact(DeliveryEvent.FAILED, reason, shown_hint, attempt=waiting)
    event = DeliveryEvent.LOST if waiting and isinstance(error, Unconfirmed) else DeliveryEvent.POSTPONE
    wait_hint = f"tried again in {show_duration(wait)}"
    return Fact(
        event, reason, f"{hint}; {wait_hint}" if hint else wait_hint, retry_at=retry_at, attempt=waiting, failure=True
    )


def probe_paused(plan: Plan, journal: Journal, pause: Pause, now: datetime, chance: float) -> bool:
    """Ask a paused destination who we are; True where it takes deliveries again."""
    destination = plan.destinations.get(pause.destination)
    if destination is None:
        return journal.surroundings.resume(pause.destination)
    try:
        destination.whoami()
    except (RemoteError, ConfigError, OSError) as error:
        policy = plan.config.destinations[pause.destination].retry or plan.config.retry
        _pause(journal, destination, error, policy, now, chance, failures=pause.failures + 1)
        return False
    return journal.surroundings.resume(pause.destination)


def _pause(
    journal: Journal,
    destination: Destination,
    error: Exception,
    policy: RetryPolicy,
    now: datetime,
    chance: float,
    failures: int = 1,
) -> None:
    hint = error.hint if isinstance(error, DepositdError) else ""
    journal.surroundings.pause(
        Pause(
            destination=destination.name,
            reason=f"{destination.name} is paused: {printable(str(error), 300)}",
            hint=hint or "mend the credentials; it is asked again by itself",
            since=now,
            failures=failures,
            next_probe_at=now + timedelta(seconds=wait_s(policy, failures, chance)),
        )
    )


def _held_fact(plan: Plan, journal: Journal, record: DatasetRecord, standing: Standing, held: Hold | None) -> Fact:
    hold = held or gate(plan, journal, record, standing)
    if hold is None:  # the destination came back between two looks at the config
        return Fact(DeliveryEvent.POSTPONE)
    return Fact(DeliveryEvent.HOLD, hold.reason, hold.hint, hold=hold.kind)


def _archive(plan: Plan, journal: Journal, record: DatasetRecord, delivery: Delivery, now: datetime) -> Archive | None:
    """Return the archive to send; where the spool lost it, record so (it is built again) and return None."""
    packing = plan.packing(record, delivery.destination)
    archive = journal.datasets.archive(record.id, packing)
    if archive is not None and archive.path:
        return archive
    if delivery.state is not DeliveryState.WAITING and archive is not None:
        return archive  # nothing is sent any more: the hashes are enough to ask
    if record.state is DatasetState.ARCHIVED:
        journal.datasets.archive_lost(record.id, f"the spool holds no {packing} for {delivery.destination}", now)
    return None
