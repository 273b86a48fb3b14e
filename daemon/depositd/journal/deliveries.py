"""Facts about deliveries, and the operator's word on them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain, zip_longest
from typing import Any

from depositd.journal import history
from depositd.journal.changes import Fact, apply_fact, apply_word, hand_on_replacement, row_of, values_text
from depositd.journal.database import Database
from depositd.journal.forgetting import baseline_text
from depositd.journal.records import consents_of, delivery_of, json_text, time_text
from depositd.model import FORGOTTEN, DatasetState, Delivery, DeliveryState, HoldKind, Metadata
from depositd.states import DeliveryEvent


@dataclass(frozen=True, slots=True)
class Standing:
    """A delivery with what decides whether it may go on: its approval, its consents and its dataset with its size."""

    delivery: Delivery
    approve: str
    consents: frozenset[HoldKind]
    dataset_state: DatasetState
    dataset_bytes: int = 0


_LONG_AGO = datetime.min.replace(tzinfo=UTC)
_ASKS = tuple(f"v.state = '{state}'" for state in ("unconfirmed", "uploaded", "submitted"))
"""Deliveries that have left: their next step asks something, or sends a few words, and never the archive."""
_SENDS = ("v.state = 'waiting' AND v.ready = 1",)
"""Deliveries whose next step sends the archive; they need their dataset archived."""


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
        """Return deliveries (to one destination) whose next step can be taken now, those due longest first."""
        place = "" if destination is None else "v.destination = :destination AND "
        values = {"now": time_text(now), "destination": destination, "most": most}
        return _longest_due(self._due((*_ASKS, *_SENDS), place, values), most)

    def asks_due(self, now: datetime, destination: str, most: int) -> list[Standing]:
        """Return deliveries to a destination that have left and whose next step is due, those due longest first."""
        values = {"now": time_text(now), "destination": destination, "most": most}
        return _longest_due(self._due(_ASKS, "v.destination = :destination AND ", values), most)

    def sends_due(
        self,
        now: datetime,
        destination: str,
        most: int,
        *,
        newest_first: bool = False,
        at_most_bytes: int | None = None,
    ) -> list[Standing]:
        """Return deliveries to a destination that can be sent now: the oldest, or newest, first.

        In turn with them come those that were put off, by when they are due: neither keeps the other waiting.
        ``at_most_bytes`` leaves out those whose dataset is larger.
        """
        values = {"now": time_text(now), "destination": destination, "most": most, "at_most": at_most_bytes}
        place = "v.destination = :destination AND "
        if at_most_bytes is not None:
            place += "d.bytes <= :at_most AND "
        found = self._due(_SENDS, place, values, newest_first=newest_first)
        fresh = [one for one in found if one.delivery.next_attempt_at is None]
        put_off = [one for one in found if one.delivery.next_attempt_at is not None]
        in_turn = chain.from_iterable(zip_longest(fresh, put_off))
        return [one for one in in_turn if one is not None][:most]

    def due_elsewhere(self, now: datetime, destinations: Collection[str], most: int = 1000) -> list[Standing]:
        """Return due deliveries to destinations other than those given: the config has them no more."""
        place = "v.destination NOT IN (SELECT value FROM json_each(:others)) AND "
        values = {"now": time_text(now), "others": json_text(sorted(destinations)), "most": most}
        return _longest_due(self._due((*_ASKS, *_SENDS), place, values), most)

    def _due(
        self, states: Sequence[str], place: str, values: Mapping[str, Any], *, newest_first: bool = False
    ) -> list[Standing]:
        """Return what is due of each state: the first ``most`` that were never put off, and of those that were.

        Each question is answered by an index from its beginning on, so that what waits behind costs nothing.
        """
        way = "DESC" if newest_first else "ASC"
        times = (
            f"v.next_attempt_at IS NULL ORDER BY v.id {way}",
            "v.next_attempt_at <= :now ORDER BY v.next_attempt_at, v.id",
        )
        questions = [f"WHERE {place}{state} AND {time} LIMIT :most" for state in states for time in times]
        with self._database.reading():
            return [one for question in questions for one in self._select(question, values)]

    def unfinished(self) -> list[Standing]:
        """Return every delivery that is not held and has not ended."""
        return self._select("WHERE v.state IN ('waiting', 'unconfirmed', 'uploaded', 'submitted') ORDER BY v.id", ())

    def can_progress(
        self, paused: Collection[str], only: Collection[int] | None = None, stuck: Collection[int] = ()
    ) -> bool:
        """Say whether some delivery, save those to ``paused`` destinations, goes on by itself.

        One that waits follows its dataset: that may still grow, which is not asked here, or be gone, or be one of the
        ``stuck`` ones, which are not archived without help; or it waits behind another one that is held.
        """
        query = (
            "SELECT 1 FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
            " WHERE v.state IN ('waiting', 'unconfirmed', 'uploaded', 'submitted')"
            " AND (v.state <> 'waiting' OR (d.state NOT IN ('growing', 'gone') AND v.hold IS NULL"
            " AND d.id NOT IN (SELECT value FROM json_each(:stuck))))"
            " AND v.destination NOT IN (SELECT value FROM json_each(:paused))"
            " AND (:only IS NULL OR v.id IN (SELECT value FROM json_each(:only))) LIMIT 1"
        )
        values = {
            "paused": json_text(sorted(paused)),
            "only": None if only is None else json_text(sorted(only)),
            "stuck": json_text(sorted(stuck)),
        }
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
                "SELECT v.*, a.name AS archive_name FROM deliveries AS v"
                " CROSS JOIN archives AS a ON a.dataset_id = v.dataset_id"
                # found by the times, of which few are so late, not by all that ever went there
                " WHERE +v.destination IN (SELECT value FROM json_each(?)) AND v.id <> ?"
                " AND (v.sent_at > '' OR (+v.state = 'delivered' AND v.ended_at > ?))",
                (json_text(sorted(destinations)), delivery.id, time_text(since)),
            ).fetchall()
        return [delivery_of(row) for row in rows if is_one(os.fsdecode(row["archive_name"]))]

    def namesakes_of_forgotten(
        self, delivery: Delivery, is_one: Callable[[str], bool], destinations: Collection[str]
    ) -> int:
        """Return how many other datasets may be what a destination has under this one's name.

        All that go there are counted by the names of dataset and file: others may not be archived yet.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT d.id, d.name, d.path FROM deliveries AS v JOIN datasets AS d ON d.id = v.dataset_id"
                " WHERE v.destination IN (SELECT value FROM json_each(?)) AND d.id <> ?"
                " AND d.state <> 'gone' AND (v.state <> 'skipped' OR v.sent_at IS NOT NULL)",
                (json_text(sorted(destinations)), delivery.dataset_id),
            ).fetchall()
        names = ((os.fsdecode(row["name"]), os.path.basename(os.fsdecode(row["path"]))) for row in rows)
        return sum(1 for some in names if any(map(is_one, some)))

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
                hand_on_replacement(connection, row)
                reason = "superseded: the dataset changed and is now a new generation"
                apply_fact(connection, row, Fact(DeliveryEvent.SET_ASIDE, reason), now)

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
            return delivery_of(apply_fact(connection, row_of(connection, delivery_id), fact, now))

    def begin_send(self, delivery_id: int, baseline: Mapping[str, Any], now: datetime) -> bool:
        """Record that something which must not happen twice begins now; False where an operator's word came first."""
        with self._database.transaction() as connection:
            row = row_of(connection, delivery_id)
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
                # what is forgotten since the journal was lost was not being sent: it may not even be archived yet
                "SELECT * FROM deliveries WHERE state = 'waiting' AND sent_at IS NOT NULL AND instr(baseline, ?) = 0",
                (FORGOTTEN,),
            ).fetchall()
            for row in rows:
                reason = "depositd ended while it was sending; the destination is asked before anything is sent again"
                lost.append(
                    delivery_of(apply_fact(connection, row, Fact(DeliveryEvent.LOST, reason, attempt=True), now))
                )
        return lost

    def go_on(self, delivery_ids: Collection[int]) -> None:
        """Let deliveries take their next step at once that only waited for a destination which is back."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE deliveries SET next_attempt_at = NULL WHERE id IN (SELECT value FROM json_each(?))"
                " AND state IN ('waiting', 'unconfirmed', 'uploaded', 'submitted')",
                (json_text(sorted(delivery_ids)),),
            )

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
                known = connection.execute("SELECT forgotten_at FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
                forgotten = known["forgotten_at"] if known else None
                cursor = connection.execute(
                    "INSERT INTO deliveries"
                    " (dataset_id, destination, state, approve, operator_values, ready, sent_at, baseline)"
                    " SELECT id, ?, 'waiting', 'auto', ?, state = 'archived', ?, ? FROM datasets WHERE id = ?",
                    (destination, json_text(values), forgotten, baseline_text(forgotten), dataset_id),
                )
                delivery_id = cursor.lastrowid
                assert delivery_id is not None
                history.append(connection, dataset_id, delivery_id, "submit", f"to {destination}, by hand", now)
                return delivery_of(row_of(connection, delivery_id))
            if DeliveryState(row["state"]) in (DeliveryState.WAITING, DeliveryState.HELD, DeliveryState.FAILED):
                row = apply_word(connection, row, DeliveryEvent.WORD_RELEASE, values, now)
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
            row = apply_word(connection, row_of(connection, delivery_id), event, values, now, why, approves=approves)
            if replaces is not None:
                connection.execute("UPDATE deliveries SET replaces = ? WHERE id = ?", (replaces, delivery_id))
                row = row_of(connection, delivery_id)
            return delivery_of(row)

    def set_values(self, delivery_id: int, values: Metadata, now: datetime) -> Delivery:
        """Record metadata that the operator gave, without a word on whether the delivery may go."""
        with self._database.transaction() as connection:
            row = row_of(connection, delivery_id)
            merged = {**delivery_of(row).values, **values}
            connection.execute(
                "UPDATE deliveries SET operator_values = ? WHERE id = ?", (json_text(merged), delivery_id)
            )
            detail = f"{row['destination']}, by the operator: {values_text(values)}"
            history.append(connection, row["dataset_id"], delivery_id, "metadata", detail, now)
            return delivery_of(row_of(connection, delivery_id))

    def _select(self, where: str, values: Sequence[Any] | Mapping[str, Any]) -> list[Standing]:
        columns = "v.*, d.state AS dataset_state, d.bytes AS dataset_bytes"
        query = f"SELECT {columns} FROM deliveries v JOIN datasets d ON d.id = v.dataset_id {where}"  # noqa: S608 - clauses of this module
        with self._database.reading() as connection:
            rows = connection.execute(query, values).fetchall()
        return [
            Standing(
                delivery_of(row),
                row["approve"],
                consents_of(row),
                DatasetState(row["dataset_state"]),
                row["dataset_bytes"],
            )
            for row in rows
        ]


def _longest_due(found: list[Standing], most: int) -> list[Standing]:
    return sorted(found, key=lambda one: (one.delivery.next_attempt_at or _LONG_AGO, one.delivery.id))[:most]
