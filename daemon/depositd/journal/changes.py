"""One change of a delivery's row: by a fact of the daemon, or by the operator's word."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace
from datetime import datetime

from depositd.errors import IllegalTransition
from depositd.journal import history
from depositd.journal.records import consents_of, delivery_of, harmless, json_text, time_text
from depositd.model import DatasetState, DeliveryState, HoldKind, Metadata
from depositd.states import ENDED, DeliveryEvent, next_delivery_state


@dataclass(frozen=True, slots=True)
class Fact:
    """What became true of a delivery.

    ``attempt`` says that the destination was tried; ``failure`` counts towards the backoff; ``retry_at`` is when
    the next step is due, None for at once.  ``in_doubt`` says that the answer to an earlier send is still not known.
    """

    event: DeliveryEvent
    reason: str | None = None
    hint: str | None = None
    remote_id: str | None = None
    remote_status: str | None = None
    hold: HoldKind | None = None
    retry_at: datetime | None = None
    attempt: bool = False
    failure: bool = False
    in_doubt: bool = False


_TELLS_NOTHING = frozenset({DeliveryEvent.CLEAR, DeliveryEvent.SET_ASIDE})
"""Events that say nothing of a send whose answer is not known."""

_WENT_WELL = frozenset({DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED, DeliveryEvent.DELIVERED})

_RETRY_FREES = frozenset({HoldKind.UNCONFIRMED, HoldKind.SERVER})
"""Holds that ``retry`` may end; the others ask for ``release``."""


def row_of(connection: sqlite3.Connection, delivery_id: int) -> sqlite3.Row:
    """Return the row of one delivery."""
    row: sqlite3.Row = connection.execute("SELECT * FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return row


def apply_fact(connection: sqlite3.Connection, row: sqlite3.Row, fact: Fact, now: datetime) -> sqlite3.Row:
    """Record what became true of a delivery and return its row; raises IllegalTransition for a move that cannot be."""
    before = DeliveryState(row["state"])
    after = next_delivery_state(before, fact.event)
    # the answer is still unknown after these, and must stay known to be unknown
    in_doubt = (
        fact.event is DeliveryEvent.LOST or after is DeliveryState.UNCONFIRMED or fact.hold is HoldKind.UNCONFIRMED
    )
    if (
        before is after
        and before in (DeliveryState.HELD, DeliveryState.SKIPPED)
        and fact.event is not DeliveryEvent.HOLD
    ):
        # the operator's word came while the step was under way, and is what should be read
        fact = replace(fact, reason=row["error"], hint=row["hint"], hold=HoldKind(row["hold"]) if row["hold"] else None)
    went_well = fact.event in _WENT_WELL and after is not DeliveryState.HELD
    consents = consents_of(row)
    if fact.event is DeliveryEvent.ABSENT:
        # the word to send again was about the send before, and is good for one
        consents -= {HoldKind.UNCONFIRMED}
    connection.execute(
        "UPDATE deliveries SET state = :state, error = :error, hint = :hint, hold = :hold, consents = :consents,"
        " remote_id = CASE WHEN NOT :removed THEN coalesce(:remote_id, remote_id) END,"
        " remote_status = CASE WHEN NOT :removed THEN coalesce(:remote_status, remote_status) END,"
        " replaces = CASE WHEN NOT :removed THEN replaces END,"
        # a yes to what the server said last time is not a yes to what it says now
        " released = CASE WHEN NOT :server_holds THEN released END,"
        " attempts = attempts + :attempted, failures = :failures, next_attempt_at = :next,"
        " sent_at = CASE WHEN :in_doubt THEN coalesce(sent_at, :now) WHEN :still_in_doubt THEN sent_at ELSE NULL END,"
        " ended_at = CASE WHEN :ended THEN :now ELSE NULL END WHERE id = :id",
        {
            "state": after,
            # what went well is told by the history; error and hint are for what somebody should know or do
            "error": None if went_well else harmless(fact.reason),
            "hint": None if went_well else harmless(fact.hint),
            "hold": fact.hold,
            "consents": json_text(sorted(consents)),
            "remote_id": harmless(fact.remote_id),
            "remote_status": harmless(fact.remote_status),
            "server_holds": int(fact.hold is HoldKind.SERVER),
            "removed": int(fact.event is DeliveryEvent.REMOVED),
            "attempted": int(fact.attempt),
            "failures": row["failures"] + 1 if fact.failure else 0,
            "next": time_text(fact.retry_at) if fact.retry_at else None,
            "in_doubt": int(in_doubt),
            "still_in_doubt": int(fact.in_doubt or fact.event in _TELLS_NOTHING),
            "ended": int(after in ENDED),
            "now": time_text(now),
            "id": row["id"],
        },
    )
    told = (None if went_well else fact.reason, fact.remote_status or row["remote_status"])
    if after is not before or fact.failure or told != (row["error"], row["remote_status"]):
        parts = [row["destination"], fact.remote_status or "", fact.reason or ""]
        detail = ": ".join(part for part in parts if part)
        history.append(connection, row["dataset_id"], row["id"], fact.event, detail, now)
    return row_of(connection, row["id"])


def apply_word(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    event: DeliveryEvent,
    values: Metadata,
    now: datetime,
    why: str = "",
    *,
    approves: bool = True,
) -> sqlite3.Row:
    """Record an operator's word and return the row; raises IllegalTransition with a sentence for one too late.

    ``approves`` is False for a release that does not free the delivery: it is then no yes to anything.
    """
    before = DeliveryState(row["state"])
    kind = HoldKind(row["hold"]) if row["hold"] else None
    try:
        after = next_delivery_state(before, event)
    except IllegalTransition:
        raise IllegalTransition(f"the delivery to {row['destination']} is {before}: {event} changes nothing") from None
    if event is DeliveryEvent.WORD_RETRY and before is DeliveryState.HELD and kind not in _RETRY_FREES:
        raise IllegalTransition(
            f"the delivery to {row['destination']} is held ({row['error'] or kind}): retry does not free it",
            hint=f"depositd release {row['dataset_id']}",
        )
    if after is DeliveryState.WAITING and _is_gone(connection, row["dataset_id"]):
        raise IllegalTransition(
            f"the files of dataset {row['dataset_id']} vanished before they were archived: there is nothing to send to"
            f" {row['destination']}",
            hint="bring them back to where they were: the dataset is then taken up again",
        )
    consents = consents_of(row)
    says_yes = event is DeliveryEvent.WORD_RELEASE and approves
    if says_yes:
        consents |= {HoldKind.APPROVAL} | ({kind} if kind else frozenset())
    if event is DeliveryEvent.WORD_RETRY and kind is HoldKind.UNCONFIRMED:
        # the destination is asked once more, and what it does not have is then sent again on this word
        consents |= {HoldKind.UNCONFIRMED}
    holding = after is DeliveryState.HELD
    connection.execute(
        "UPDATE deliveries SET state = ?, hold = ?, error = ?, hint = ?, consents = ?, operator_values = ?,"
        " failures = 0, next_attempt_at = NULL, ended_at = ?,"
        " released = CASE WHEN ? THEN error ELSE released END,"
        # not sent at all, or sent although the deletion was refused: nothing is deleted for that
        " replaces = CASE WHEN ? THEN NULL ELSE replaces END WHERE id = ?",
        (
            after,
            HoldKind.OPERATOR if holding else None,
            "held by the operator" if holding else None,
            f"depositd release {row['dataset_id']} sends it" if holding else None,
            json_text(sorted(consents)),
            json_text({**delivery_of(row).values, **values}),
            time_text(now) if after in ENDED else None,
            int(says_yes and kind is HoldKind.SERVER),
            int(event is DeliveryEvent.WORD_SKIP or before is DeliveryState.FAILED),
            row["id"],
        ),
    )
    # what waits behind a held namesake may go on now; whether it may, its next step finds
    connection.execute(
        "UPDATE deliveries SET hold = NULL, next_attempt_at = NULL WHERE state = 'waiting' AND hold = ?",
        (HoldKind.NAMESAKE,),
    )
    if after is DeliveryState.WAITING:
        # what kept it from being archived may be mended as well
        connection.execute("UPDATE datasets SET next_pack_at = NULL WHERE id = ?", (row["dataset_id"],))
    told = "; ".join(part for part in (why, values_text(values)) if part)
    detail = f"{row['destination']}, by the operator" + (f": {told}" if told else "")
    history.append(connection, row["dataset_id"], row["id"], event, detail, now)
    return row_of(connection, row["id"])


def _is_gone(connection: sqlite3.Connection, dataset_id: int) -> bool:
    row = connection.execute("SELECT state FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
    return row is not None and row["state"] == DatasetState.GONE


def hand_on_replacement(connection: sqlite3.Connection, row: sqlite3.Row) -> None:
    """Let the newest generation replace what a superseded one was to replace, with the metadata given for that."""
    if row["replaces"] is None:
        return
    heir = connection.execute(
        "SELECT v.* FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
        " JOIN datasets AS mine USING (format, location, key)"
        " WHERE mine.id = ? AND d.current = 1 AND v.destination = ? AND v.replaces IS NULL",
        (row["dataset_id"], row["destination"]),
    ).fetchone()
    if heir is not None:
        values = json_text({**delivery_of(row).values, **delivery_of(heir).values})
        connection.execute(
            "UPDATE deliveries SET replaces = ?, operator_values = ? WHERE id = ?",
            (row["replaces"], values, heir["id"]),
        )


def values_text(values: Metadata) -> str:
    """Return metadata as history tells them."""
    return ", ".join(f"{key}={value}" for key, value in values.items())
