"""The step that takes one delivery further, and the fact that it records."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from depositd.destinations.base import Destination, Outcome
from depositd.engine.availability import failed, refused
from depositd.engine.circuit import is_answer, looks_away
from depositd.engine.forgotten import after_asking, why_asked, with_namesakes
from depositd.engine.interrupt import Interrupted
from depositd.engine.planning import Plan, gate, resolved_metadata
from depositd.engine.results import want
from depositd.engine.tools import Tools, unforeseen_sentence
from depositd.errors import (
    ArchiveInvalid,
    AuthError,
    ConfigError,
    RemoteError,
    SourceChanged,
    Unavailable,
    Unconfirmed,
)
from depositd.journal import DatasetRecord, Fact, Journal, Standing
from depositd.model import Archive, DatasetState, Delivery, DeliveryState, HoldKind
from depositd.retry import RetryPolicy, wait_s
from depositd.states import DeliveryEvent
from depositd.units import printable, show_duration

VISIBLE_AFTER = timedelta(days=7)
"""How long a server may take at most until it shows what it was sent."""
_NO_ATTEMPT = frozenset({DeliveryEvent.HOLD, DeliveryEvent.REMOVED})
"""What a step can make of a waiting delivery without having tried to send it."""
_NEED_A_WORD = frozenset({DeliveryState.HELD, DeliveryState.FAILED})
"""Whoever waits behind one of these needs an operator as well."""
_ARRIVED = frozenset({DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED, DeliveryEvent.DELIVERED})
"""What a step that sent something can make of it where the answer came."""


@dataclass(frozen=True, slots=True)
class _Taken:
    """A step that was taken: the fact that it made true, and what it tells of the destination.

    ``answered`` says that the destination is there and knows us, ``failure`` that it may be away; or neither is known.
    """

    fact: Fact
    answered: bool = False
    failure: RemoteError | None = None


class StepReport:
    """What a destination tells while it works on one delivery; the last look before something is sent.

    ``began`` says that something was sent which must not be sent twice.
    """

    def __init__(self, plan: Plan, journal: Journal, standing: Standing, archive: Archive, tools: Tools) -> None:
        self._journal = journal
        self._standing = standing
        self._destination = plan.destinations[standing.delivery.destination]
        self._names = plan.names_of(self._destination)
        self._archive = archive
        self._clock = tools.clock
        self._monotonic = tools.monotonic
        self._tell = tools.progress
        self._moving_since_s: float | None = None
        self._is_all_sent = False
        self.began = False
        self._namesakes_at_first = self._namesakes()

    def sending(self, baseline: Mapping[str, Any]) -> None:
        """Record the begin of a send; raises Interrupted where the operator's word, or another delivery, came first."""
        with self._journal.together():
            noted = {**baseline, **self._noted_of_others()}
            if not self._journal.deliveries.begin_send(self._standing.delivery.id, noted, self._clock()):
                raise Interrupted
        self.began = True
        self._moving_since_s = self._monotonic()

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Pass on how far the transfer is."""
        if self._moving_since_s is None:
            self._moving_since_s = self._monotonic()
        self._is_all_sent = done_bytes >= total_bytes
        self._tell(done_bytes, total_bytes)

    def note_rate(self) -> None:
        """Record how fast the archive was sent, its answer included, where this step sent all of it."""
        if self._moving_since_s is not None and self._is_all_sent:
            seconds = self._monotonic() - self._moving_since_s
            name = self._destination.name
            self._journal.rates.note("sent", name, self._archive.size_bytes, seconds, self._clock())

    def _noted_of_others(self) -> dict[str, int]:
        """Return what a destination that does not tell content apart must know of others; raises Interrupted."""
        delivery = self._standing.delivery
        deliveries = self._journal.deliveries
        must_be_new = not self._destination.idempotent and HoldKind.DUPLICATE not in self._standing.consents
        if must_be_new and deliveries.same_content(delivery, self._archive.sha256, self._names):
            raise Interrupted  # the gate will say so at the next step
        others = self._namesakes()
        in_doubt = [one for one in others if one.sent_at is not None and one.state is not DeliveryState.SKIPPED]
        if in_doubt:
            first = in_doubt[0]
            raise Interrupted(
                f"waits for dataset {first.dataset_id}: {delivery.destination} could not tell the two apart by"
                f" their name while it is not known whether that one arrived",
                behind=first.dataset_id if first.state in _NEED_A_WORD else None,
            )
        if others != self._namesakes_at_first:
            raise Interrupted  # one of them arrived since the baseline was taken: it is taken anew at the next step
        return {"delivered_before": len(others)} if self._destination.known_as(self._archive.name) else {}

    def _namesakes(self) -> list[Delivery]:
        """Return the deliveries that the destination would confuse with this one."""
        known_as = self._destination.known_as(self._archive.name)
        if known_as is None:
            return []
        since = self._clock() - VISIBLE_AFTER

        def is_one(name: str) -> bool:
            return self._destination.known_as(name) == known_as

        return self._journal.deliveries.namesakes(self._standing.delivery, is_one, since, self._names)


def deliver(plan: Plan, journal: Journal, standing: Standing, tools: Tools) -> Delivery | None:
    """Take one step of one delivery and record what became true.

    Returns the delivery as it is now, None where its dataset is unknown.
    """
    record = journal.datasets.get(standing.delivery.dataset_id)
    if record is None:
        return None
    now = tools.clock()
    report = taken = None
    fact = _without_sending(plan, journal, record, standing, now)
    if fact is None:
        archive = _archive(plan, journal, record, standing.delivery, now)
        if archive is None:
            # a waiting delivery is due again once the dataset is archived again; another one asks for itself
            fact = Fact(DeliveryEvent.POSTPONE, retry_at=now + timedelta(seconds=plan.config.retry.first_s))
        else:
            standing = _with_namesakes(plan, journal, standing, archive)
            report = StepReport(plan, journal, standing, archive, tools)
            taken = _step(plan, journal, record, standing, archive, report, tools)
            fact = taken.fact
    if standing.delivery.state is DeliveryState.UNCONFIRMED:
        fact = _still_unconfirmed(fact, standing)
    if standing.delivery.destination in plan.destinations:
        fact = after_asking(fact, standing, record, plan.destinations[standing.delivery.destination])
    after = journal.surely(lambda: _recorded(plan, journal, standing, record, fact, report, tools.clock()))
    if taken is not None and taken.answered:
        journal.surroundings.trust(after.destination)
    elif taken is not None and taken.failure is not None:
        failed(plan, journal, after.destination, taken.failure, tools, standing.delivery)
    return after


def _recorded(
    plan: Plan,
    journal: Journal,
    standing: Standing,
    record: DatasetRecord,
    fact: Fact,
    report: StepReport | None,
    now: datetime,
) -> Delivery:
    """Record what became true by a step, all of it at once."""
    with journal.together():
        after = journal.deliveries.apply(standing.delivery.id, fact, now)
        if report is not None and fact.event in _ARRIVED:
            report.note_rate()
        if after.state is DeliveryState.DELIVERED:
            want(plan, journal, after.id, after.destination, record.rule, now)
    return after


def _without_sending(
    plan: Plan, journal: Journal, record: DatasetRecord, standing: Standing, now: datetime
) -> Fact | None:
    """Return what is true before anything is asked or sent, None where the destination's step comes next."""
    delivery = standing.delivery
    waiting = delivery.state is DeliveryState.WAITING
    if waiting and delivery.sent_at is not None:
        reason = "the answer to the last send is not known; the destination is asked before anything is sent again"
        return Fact(DeliveryEvent.LOST, why_asked(delivery) if delivery.is_forgotten else reason)
    if delivery.destination not in plan.destinations or waiting:
        hold = gate(plan, journal, record, standing)
        if hold is not None:
            # what was submitted has no way back to held; its answer, if it is in doubt, stays so
            event = DeliveryEvent.FAILED if delivery.state is DeliveryState.SUBMITTED else DeliveryEvent.HOLD
            in_doubt = delivery.state is DeliveryState.UNCONFIRMED
            return Fact(event, hold.reason, hold.hint, hold=hold.kind, in_doubt=in_doubt)
    return _closed_window(plan, delivery, now) if waiting else None


def _with_namesakes(plan: Plan, journal: Journal, standing: Standing, archive: Archive) -> Standing:
    destination = plan.destinations[standing.delivery.destination]
    names = plan.names_of(destination)
    return replace(standing, delivery=with_namesakes(journal, standing.delivery, destination, archive.name, names))


def _still_unconfirmed(fact: Fact, standing: Standing) -> Fact:
    """Return what a look for something unconfirmed means; not there, it is sent again where the operator said retry."""
    not_seen = fact.event is DeliveryEvent.POSTPONE and not fact.failure
    given_up = fact.event is DeliveryEvent.HOLD and fact.hold is HoldKind.UNCONFIRMED
    if HoldKind.UNCONFIRMED in standing.consents and (not_seen or given_up):
        return Fact(DeliveryEvent.ABSENT, f"sent again on the operator's word: {fact.reason}")
    return replace(fact, in_doubt=True) if fact.event is DeliveryEvent.POSTPONE else fact


def _step(
    plan: Plan,
    journal: Journal,
    record: DatasetRecord,
    standing: Standing,
    archive: Archive,
    report: StepReport,
    tools: Tools,
) -> _Taken:
    """Let the destination take its step and return what it made true; every error is a fact as well."""
    delivery = standing.delivery
    destination = plan.destinations[delivery.destination]
    policy = plan.config.retry_for(delivery.destination)
    values = resolved_metadata(plan, record, standing).values
    try:
        outcome = _removed(destination, delivery, archive) or destination.step(delivery, archive, values, report)
        return _Taken(fact_of_outcome(outcome, delivery, tools.clock()), answered=True)
    except Interrupted as interrupted:
        again_at = tools.clock() + timedelta(seconds=policy.first_s)
        return _Taken(_fact_of_interruption(interrupted, delivery, again_at))
    except (AuthError, ConfigError) as error:
        refused(plan, journal, destination.name, error, tools)
        return _Taken(Fact(DeliveryEvent.POSTPONE))
    except (ArchiveInvalid, SourceChanged, FileNotFoundError) as error:
        journal.datasets.archive_lost(record.id, f"the archive is not what was packed: {error}", tools.clock())
        wait = wait_s(policy, delivery.failures + 1, tools.chance)
        retry_at = tools.clock() + timedelta(seconds=wait)
        reason = "the archive in the spool was damaged and is built again"
        return _Taken(Fact(DeliveryEvent.POSTPONE, reason, retry_at=retry_at, failure=True))
    except Exception as error:  # noqa: BLE001 - a bug must cost this delivery a wait, not the night
        known = _classified(error, report, tools)
        fact = fact_of_error(known, delivery, policy, tools.clock(), tools.chance)
        return _Taken(fact, answered=is_answer(known), failure=known if looks_away(known) else None)


def _fact_of_interruption(interrupted: Interrupted, delivery: Delivery, retry_at: datetime) -> Fact:
    if not interrupted.why:
        return Fact(DeliveryEvent.POSTPONE, delivery.error, delivery.hint)
    if interrupted.behind is None:
        return Fact(DeliveryEvent.POSTPONE, interrupted.why, retry_at=retry_at)
    hint = f"depositd retry {interrupted.behind}, or skip {interrupted.behind}: this one goes on by itself then"
    return Fact(DeliveryEvent.POSTPONE, interrupted.why, hint, hold=HoldKind.NAMESAKE, retry_at=retry_at)


def _removed(destination: Destination, delivery: Delivery, archive: Archive) -> Outcome | None:
    """Delete what stands in the way of a corrected archive; taken twice it changes nothing, for it is gone already.

    Raises ArchiveInvalid or FileNotFoundError, and deletes nothing, where there is nothing to send in its place.
    """
    if delivery.replaces is None or delivery.state is not DeliveryState.WAITING:
        return None
    if os.stat(archive.path).st_size != archive.size_bytes:
        raise ArchiveInvalid(f"{printable(archive.name)} in the spool has not the {archive.size_bytes:,} bytes it had")
    destination.remove(delivery.replaces)
    reason = f"{printable(delivery.replaces, 60)} is deleted at {destination.name}, and what corrects it is sent"
    return Outcome(DeliveryEvent.REMOVED, reason=reason)


def _classified(error: Exception, report: StepReport, tools: Tools) -> RemoteError:
    """Return what an error means; of one that no adapter classified, after a send began, nobody knows what arrived."""
    if isinstance(error, RemoteError):
        return error
    what, hint = str(error), ""
    if not isinstance(error, OSError):
        tools.unforeseen(error)
        what, hint = unforeseen_sentence(error), "please report it"
    return Unconfirmed(what, hint=hint) if report.began else Unavailable(what, hint=hint)


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
        attempt=delivery.state is DeliveryState.WAITING and outcome.event not in _NO_ATTEMPT,
    )


def fact_of_error(error: RemoteError, delivery: Delivery, policy: RetryPolicy, now: datetime, chance: float) -> Fact:
    """Return what a classified error makes true: try again, ask first, or give up and say so."""
    in_doubt = delivery.state is DeliveryState.UNCONFIRMED
    waiting = delivery.state is DeliveryState.WAITING
    reason = printable(str(error), 500)
    hint = error.hint
    asked_s = error.retry_after_s if isinstance(error, Unavailable) else None
    wait = wait_s(policy, delivery.failures + 1, chance, asked_s)
    retry_at = now + timedelta(seconds=wait)
    if not isinstance(error, (Unavailable, Unconfirmed)):
        shown_hint = hint or f"mend it and run: depositd retry {delivery.dataset_id}"
        # refused was the question, not what was sent: whether that arrived is as open as before
        return Fact(DeliveryEvent.FAILED, reason, shown_hint, attempt=waiting, in_doubt=in_doubt)
    event = DeliveryEvent.LOST if waiting and isinstance(error, Unconfirmed) else DeliveryEvent.POSTPONE
    # when it is tried again is in next_attempt_at; in a sentence that is kept it would soon be wrong
    return Fact(event, reason, hint or "it is tried again by itself", retry_at=retry_at, attempt=waiting, failure=True)


def _closed_window(plan: Plan, delivery: Delivery, now: datetime) -> Fact | None:
    """Return the fact that a delivery waits for its destination's hours, None where it may go."""
    window = plan.config.destinations[delivery.destination].window
    local = now.astimezone()
    if window is None or delivery.state is not DeliveryState.WAITING or window.open_at(local.time()):
        return None
    wait = window.opens_in_s(local)
    reason = f"waits for the hours of {delivery.destination}, {window}: they begin in {show_duration(wait)}"
    return Fact(DeliveryEvent.POSTPONE, reason, retry_at=now + timedelta(seconds=wait))


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
