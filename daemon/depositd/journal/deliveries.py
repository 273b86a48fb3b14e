"""Facts about deliveries, and the operator's word on them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from depositd.errors import IllegalTransition
from depositd.journal import history
from depositd.journal.database import Database
from depositd.journal.records import consents_of, delivery_of, harmless, json_text, time_text
from depositd.model import DatasetState, Delivery, DeliveryState, HoldKind, Metadata
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


@dataclass(frozen=True, slots=True)
class Standing:
    """A delivery with what decides whether it may go on: its approval, its consents and its dataset."""

    delivery: Delivery
    approve: str
    consents: frozenset[HoldKind]
    dataset_state: DatasetState


_TELLS_NOTHING = frozenset({DeliveryEvent.CLEAR, DeliveryEvent.SET_ASIDE})
"""Events that say nothing of a send whose answer is not known."""

_LONG_AGO = datetime.min.replace(tzinfo=UTC)

_WENT_WELL = frozenset({DeliveryEvent.UPLOADED, DeliveryEvent.SUBMITTED, DeliveryEvent.DELIVERED})

_RETRY_FREES = frozenset({HoldKind.UNCONFIRMED, HoldKind.SERVER})
"""Holds that ``retry`` may end; the others ask for ``release``."""


class DeliveryFacts:
    """The deliveries of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_dataset(self, dataset_id: int) -> list[Standing]:
        """Return a dataset's deliveries in the order in which its rule names them."""
        return self._select("WHERE v.dataset_id = ? ORDER BY v.id", (dataset_id,))

    def get(self, delivery_id: int) -> Standing | None:
        """Return one delivery."""
        found = self._select("WHERE v.id = ?", (delivery_id,))
        return found[0] if found else None

    def due(self, now: datetime, destination: str | None = None, most: int = 1000) -> list[Standing]:
        """Return deliveries (to one destination) whose next step can be taken now, those due longest first.

        A delivery that waits needs its dataset archived; one that has left needs nothing but its time.
        """
        place = "" if destination is None else " AND v.destination = :destination"
        time = "(v.next_attempt_at IS NULL OR v.next_attempt_at <= :now)"
        values = {"now": time_text(now), "destination": destination, "most": most}
        found: list[Standing] = []
        for states in ("v.state IN ('unconfirmed', 'uploaded', 'submitted')", "v.state = 'waiting' AND v.ready = 1"):
            order = "ORDER BY v.next_attempt_at IS NOT NULL, v.next_attempt_at, v.id LIMIT :most"
            found += self._select(f"WHERE {states}{place} AND {time} {order}", values)
        found.sort(key=lambda one: (one.delivery.next_attempt_at or _LONG_AGO, one.delivery.id))
        return found[:most]

    def due_elsewhere(self, now: datetime, destinations: Collection[str]) -> list[Standing]:
        """Return due deliveries to destinations other than those given: the config has them no more."""
        return [one for one in self.due(now) if one.delivery.destination not in destinations]

    def unfinished(self) -> list[Standing]:
        """Return every delivery that is not held and has not ended."""
        return self._select("WHERE v.state IN ('waiting', 'unconfirmed', 'uploaded', 'submitted') ORDER BY v.id", ())

    def can_progress(self, paused: Collection[str], only: Collection[int] | None = None) -> bool:
        """Say whether some delivery, save those to ``paused`` destinations, goes on by itself.

        One that waits follows its dataset: that may still grow, which is not asked here, or be gone; or it waits behind
        another one that is held.
        """
        query = (
            "SELECT 1 FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
            " WHERE v.state IN ('waiting', 'unconfirmed', 'uploaded', 'submitted')"
            " AND (v.state <> 'waiting' OR (d.state NOT IN ('growing', 'gone') AND v.hold IS NULL))"
            " AND v.destination NOT IN (SELECT value FROM json_each(:paused))"
            " AND (:only IS NULL OR v.id IN (SELECT value FROM json_each(:only))) LIMIT 1"
        )
        values = {"paused": json_text(sorted(paused)), "only": None if only is None else json_text(sorted(only))}
        with self._database.reading() as connection:
            return connection.execute(query, values).fetchone() is not None

    def counts(self) -> dict[DeliveryState, int]:
        """Return how many deliveries are in each state, those of superseded generations included."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT state, count(*) AS number FROM deliveries GROUP BY state").fetchall()
        return {DeliveryState(row["state"]): row["number"] for row in rows}

    def same_content(self, delivery: Delivery, sha256: str, destinations: Collection[str]) -> Delivery | None:
        """Return another delivery to one of ``destinations`` that sent, or may have sent, the same bytes."""
        found = self._select(
            "JOIN archives AS a ON a.dataset_id = v.dataset_id"
            " WHERE a.sha256 = ? AND v.destination IN (SELECT value FROM json_each(?)) AND v.id <> ?"
            " AND (v.state IN ('unconfirmed', 'uploaded', 'submitted', 'delivered') OR v.sent_at IS NOT NULL)",
            (sha256, json_text(sorted(destinations)), delivery.id),
        )
        return found[0].delivery if found else None

    def namesakes(
        self, delivery: Delivery, is_one: Callable[[str], bool], since: datetime, destinations: Collection[str]
    ) -> list[Delivery]:
        """Return other deliveries to one of ``destinations`` whose archive's name ``is_one`` accepts.

        Those in doubt whenever they were sent, and those delivered after ``since``.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT v.*, a.name AS archive_name FROM deliveries AS v JOIN archives AS a USING (dataset_id)"
                " WHERE v.destination IN (SELECT value FROM json_each(?)) AND v.id <> ?"
                " AND (v.sent_at IS NOT NULL OR (v.state = 'delivered' AND v.ended_at > ?))",
                (json_text(sorted(destinations)), delivery.id, time_text(since)),
            ).fetchall()
        return [delivery_of(row) for row in rows if is_one(os.fsdecode(row["archive_name"]))]

    def earlier_generation(self, delivery: Delivery) -> Delivery | None:
        """Return the delivery of an earlier generation of the same dataset that is there, refused or not, or may be."""
        found = self._select(
            "JOIN datasets AS mine ON mine.id = ?"
            " WHERE d.format = mine.format AND d.location = mine.location AND d.key = mine.key"
            " AND d.generation < mine.generation AND v.destination = ?"
            " AND (v.state IN ('unconfirmed', 'uploaded', 'submitted', 'delivered') OR v.sent_at IS NOT NULL"
            "  OR (v.state = 'failed' AND v.remote_id IS NOT NULL))"
            " ORDER BY d.generation DESC",
            (delivery.dataset_id, delivery.destination),
        )
        return found[0].delivery if found else None

    def refused_generation(self, delivery: Delivery) -> Delivery | None:
        """Return the delivery of the newest earlier generation that the destination holds and refused."""
        found = self._select(
            "JOIN datasets AS mine ON mine.id = ?"
            " WHERE d.format = mine.format AND d.location = mine.location AND d.key = mine.key"
            " AND d.generation < mine.generation AND v.destination = ?"
            " AND v.state = 'failed' AND v.remote_id IS NOT NULL ORDER BY d.generation DESC",
            (delivery.dataset_id, delivery.destination),
        )
        return found[0].delivery if found else None

    def set_aside_superseded(self, now: datetime) -> None:
        """Skip deliveries of superseded generations that have not been sent."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT v.* FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
                " WHERE d.current = 0 AND v.state IN ('waiting', 'held', 'failed')"
                " AND v.sent_at IS NULL AND v.remote_id IS NULL"
            ).fetchall()
            for row in rows:
                _hand_on_replacement(connection, row)
                reason = "superseded: the dataset changed and is now a new generation"
                _apply(connection, row, Fact(DeliveryEvent.SET_ASIDE, reason), now)

    def withdraw_consent(self, dataset_id: int, kind: HoldKind) -> None:
        """Forget the operator's yes to something that is no longer what it was."""
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM deliveries WHERE dataset_id = ? AND consents <> '[]'", (dataset_id,)
            ).fetchall()
            for row in rows:
                left = json_text(sorted(consents_of(row) - {kind}))
                connection.execute("UPDATE deliveries SET consents = ? WHERE id = ?", (left, row["id"]))

    def apply(self, delivery_id: int, fact: Fact, now: datetime) -> Delivery:
        """Record what became true of a delivery; raises IllegalTransition for a move that cannot be."""
        with self._database.transaction() as connection:
            return delivery_of(_apply(connection, _row(connection, delivery_id), fact, now))

    def begin_send(self, delivery_id: int, baseline: Mapping[str, Any], now: datetime) -> bool:
        """Record that something which must not happen twice begins now; False where an operator's word came first."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            if DeliveryState(row["state"]) is not DeliveryState.WAITING:
                return False
            connection.execute(
                "UPDATE deliveries SET sent_at = ?, baseline = ? WHERE id = ?",
                (time_text(now), json_text(baseline), delivery_id),
            )
            detail = f"to {row['destination']}, attempt {row['attempts'] + 1}"
            history.append(connection, row["dataset_id"], delivery_id, DeliveryEvent.SENDING, detail, now)
            return True

    def recover(self, now: datetime) -> list[Delivery]:
        """After a crash: every send whose answer nobody recorded is unconfirmed."""
        lost = []
        with self._database.transaction() as connection:
            rows = connection.execute(
                "SELECT * FROM deliveries WHERE state = 'waiting' AND sent_at IS NOT NULL"
            ).fetchall()
            for row in rows:
                reason = "depositd ended while it was sending; the destination is asked before anything is sent again"
                lost.append(delivery_of(_apply(connection, row, Fact(DeliveryEvent.LOST, reason, attempt=True), now)))
        return lost

    def clamp_waits(self, now: datetime, longest_s: float) -> None:
        """Shorten waits that a jump of the clock made longer than any backoff can be."""
        latest = time_text(now + timedelta(seconds=longest_s))
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT 1 FROM deliveries WHERE next_attempt_at > :latest"
                " UNION SELECT 1 FROM datasets WHERE next_pack_at > :latest LIMIT 1",
                {"latest": latest},
            ).fetchone()
        if found is None:
            return
        with self._database.transaction() as connection:
            values = {"latest": latest}
            connection.execute(
                "UPDATE deliveries SET next_attempt_at = :latest WHERE next_attempt_at > :latest", values
            )
            connection.execute("UPDATE datasets SET next_pack_at = :latest WHERE next_pack_at > :latest", values)

    def add(self, dataset_id: int, destination: str, values: Metadata, now: datetime) -> Delivery:
        """Add an approved delivery by hand; where there is one, give it the values and release it."""
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT * FROM deliveries WHERE dataset_id = ? AND destination = ?", (dataset_id, destination)
            ).fetchone()
            if row is None:
                cursor = connection.execute(
                    "INSERT INTO deliveries (dataset_id, destination, state, approve, operator_values, ready)"
                    " SELECT id, ?, 'waiting', 'auto', ?, state = 'archived' FROM datasets WHERE id = ?",
                    (destination, json_text(values), dataset_id),
                )
                delivery_id = cursor.lastrowid
                assert delivery_id is not None
                history.append(connection, dataset_id, delivery_id, "submit", f"to {destination}, by hand", now)
                return delivery_of(_row(connection, delivery_id))
            if DeliveryState(row["state"]) in (DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.FAILED):
                row = _word(connection, row, DeliveryEvent.WORD_RELEASE, values, now)
            return delivery_of(row)

    def word(
        self,
        delivery_id: int,
        event: DeliveryEvent,
        values: Metadata,
        now: datetime,
        *,
        why: str = "",
        replaces: str | None = None,
        approves: bool = True,
    ) -> Delivery:
        """Record an operator's word; raises IllegalTransition with a sentence where it cannot be followed.

        ``why`` goes into the history.  ``replaces`` is what the destination deletes before it is sent anything.
        ``approves`` is False for a release that does not free the delivery yet, and is then no yes to anything.
        """
        with self._database.transaction() as connection:
            row = _word(connection, _row(connection, delivery_id), event, values, now, why, approves=approves)
            if replaces is not None:
                connection.execute("UPDATE deliveries SET replaces = ? WHERE id = ?", (replaces, delivery_id))
                row = _row(connection, delivery_id)
            return delivery_of(row)

    def set_values(self, delivery_id: int, values: Metadata, now: datetime) -> Delivery:
        """Record metadata that the operator gave, without a word on whether the delivery may go."""
        with self._database.transaction() as connection:
            row = _row(connection, delivery_id)
            merged = {**delivery_of(row).values, **values}
            connection.execute(
                "UPDATE deliveries SET operator_values = ? WHERE id = ?", (json_text(merged), delivery_id)
            )
            detail = f"{row['destination']}, by the operator: {_told(values)}"
            history.append(connection, row["dataset_id"], delivery_id, "metadata", detail, now)
            return delivery_of(_row(connection, delivery_id))

    def _select(self, where: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Standing]:
        query = f"SELECT v.*, d.state AS dataset_state FROM deliveries v JOIN datasets d ON d.id = v.dataset_id {where}"  # noqa: S608 - clauses of this module
        with self._database.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            Standing(delivery_of(row), row["approve"], consents_of(row), DatasetState(row["dataset_state"]))
            for row in rows
        ]


def _row(connection: sqlite3.Connection, delivery_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute("SELECT * FROM deliveries WHERE id = ?", (delivery_id,)).fetchone()
    return row


def _apply(connection: sqlite3.Connection, row: sqlite3.Row, fact: Fact, now: datetime) -> sqlite3.Row:
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
    return _row(connection, row["id"])


def _word(
    connection: sqlite3.Connection,
    row: sqlite3.Row,
    event: DeliveryEvent,
    values: Metadata,
    now: datetime,
    why: str = "",
    *,
    approves: bool = True,
) -> sqlite3.Row:
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
    told = "; ".join(part for part in (why, _told(values)) if part)
    detail = f"{row['destination']}, by the operator" + (f": {told}" if told else "")
    history.append(connection, row["dataset_id"], row["id"], event, detail, now)
    return _row(connection, row["id"])


def _hand_on_replacement(connection: sqlite3.Connection, row: sqlite3.Row) -> None:
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


def _told(values: Metadata) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items())
