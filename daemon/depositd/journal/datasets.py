"""Facts about datasets: seen, ended, archived, changed, gone."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from depositd.journal import history
from depositd.journal.database import Database
from depositd.journal.forgetting import baseline_text, forgotten_at
from depositd.journal.records import (
    DATASET_COLUMNS,
    DatasetRecord,
    archive_of,
    dataset_of,
    frames_text,
    harmless,
    json_text,
    pack_blocks,
    pack_files,
    pack_members,
    time_text,
    unpack_files,
)
from depositd.model import (
    Archive,
    Dataset,
    DatasetState,
    FileKind,
    FileStat,
    Metadata,
    Packing,
    Verdict,
    VerdictKind,
)
from depositd.states import DatasetEvent, next_dataset_state
from depositd.units import show_count


@dataclass(frozen=True, slots=True)
class Sighting:
    """A dataset as one look at its source judged it.

    ``origin`` tells this acquisition from another one of the same name: the date in its header, or the first frame's
    inode; None where there is neither.
    """

    rule: str
    root: str
    dataset: Dataset
    verdict: Verdict
    fingerprint: str
    header: Metadata
    sidecar: Metadata
    sidecar_problem: str | None
    metadata: Metadata
    origin: str | None = None


class ArchivedDataset(NamedTuple):
    """What a watcher must know of a dataset that is archived, to see whether it has changed since."""

    format: str
    directory: str
    key: str
    fingerprint: str
    sidecar: Metadata
    sidecar_problem: str | None


@dataclass(frozen=True, slots=True)
class PlannedDelivery:
    """A delivery that a rule names: where to, and whether an operator must approve it (``auto`` or ``manual``)."""

    destination: str
    approve: str


@dataclass(frozen=True, slots=True)
class Recorded:
    """A dataset after a sighting was recorded.

    ``event`` is what the sighting made true, None where nothing changed but numbers.  ``is_new`` is true for a dataset,
    or a generation of one, that the journal did not have.  ``overwritten`` is the generation whose files another
    acquisition has taken the place of before they were archived.
    """

    record: DatasetRecord
    event: DatasetEvent | None
    is_new: bool
    overwritten: DatasetRecord | None = None


@dataclass(frozen=True, slots=True)
class PackWait:
    """Why a dataset's archiving does not begin yet: a sentence, and a hint of what can be done."""

    dataset_id: int
    why: str
    hint: str


_WANTED_COMPLETE = (
    "datasets AS d WHERE d.state = 'complete'"
    " AND EXISTS (SELECT 1 FROM deliveries WHERE dataset_id = d.id AND state IN ('waiting', 'held'))"
)
# what is held for months must not be looked through at every tick: the deliveries that wait lead to these
_WANTED_INCOMPLETE = (
    "(SELECT DISTINCT dataset_id FROM deliveries WHERE state = 'waiting' AND ready = 0) AS wanted"
    " CROSS JOIN datasets AS d INDEXED BY datasets_incomplete ON d.id = wanted.dataset_id WHERE d.state = 'incomplete'"
)
_LARGEST_BYTES = 2**63 - 1
"""The largest number that SQLite holds: a bound that leaves nothing out."""
_ENDED_EVENTS = {VerdictKind.COMPLETE: DatasetEvent.COMPLETED}
_CONDEMNED = Verdict(
    VerdictKind.CORRUPT,
    ("a file's content contradicted its own checksum when it was archived, and nothing has changed since",),
)
_UNSETTLED = (DatasetState.GROWING, DatasetState.INCOMPLETE, DatasetState.COMPLETE)


class DatasetFacts:
    """The datasets of a journal."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, dataset_id: int) -> DatasetRecord | None:
        """Return one dataset, None where the journal has no such number."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT * FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
        return dataset_of(row) if row else None

    def find(self, root: str, dataset: Dataset) -> DatasetRecord | None:
        """Return the current generation of a dataset by what identifies it on disk."""
        with self._database.reading() as connection:
            row = _current(connection, root, dataset)
        return dataset_of(row) if row else None

    def current_of(self, dataset_id: int) -> DatasetRecord | None:
        """Return the current generation of the dataset that ``dataset_id`` is a generation of."""
        with self._database.reading() as connection:
            row = connection.execute(
                "SELECT d.* FROM datasets AS d JOIN datasets AS mine USING (format, location, key)"
                " WHERE mine.id = ? AND d.current = 1",
                (dataset_id,),
            ).fetchone()
        return None if row is None else dataset_of(row)

    def named(self, name: str) -> list[DatasetRecord]:
        """Return the current datasets of a name."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM datasets WHERE current = 1 AND name = ? ORDER BY id", (os.fsencode(name),)
            ).fetchall()
        return [dataset_of(row) for row in rows]

    def at_path(self, path: str) -> list[DatasetRecord]:
        """Return the current datasets whose path, or one of whose directories, is ``path`` (absolute)."""
        blob = os.fsencode(path)
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM datasets WHERE current = 1 AND (path = ? OR location = ?) ORDER BY id", (blob, blob)
            ).fetchall()
        return [dataset_of(row) for row in rows]

    def archived_of(self, root: str) -> Iterator[ArchivedDataset]:
        """Yield the datasets below a source's root that are archived as they are, one at a time: there can be many."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT format, directory, key, fingerprint, sidecar, sidecar_problem FROM datasets"
                " WHERE current = 1 AND root = ? AND state = 'archived'",
                (os.fsencode(root),),
            )
            for row in rows:
                yield ArchivedDataset(
                    row["format"],
                    os.fsdecode(row["directory"]),
                    os.fsdecode(row["key"]),
                    row["fingerprint"],
                    json.loads(row["sidecar"]) if row["sidecar"] != "{}" else {},
                    row["sidecar_problem"],
                )

    def verdicts_of(self, root: str) -> dict[int, str]:
        """Return the verdicts of the datasets below a root that are not settled, by their numbers."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, verdict FROM datasets WHERE current = 1 AND root = ?"
                " AND state IN ('growing', 'incomplete', 'complete')",
                (os.fsencode(root),),
            ).fetchall()
        return {row["id"]: row["verdict"] for row in rows}

    def unsettled_of(self, root: str) -> list[DatasetRecord]:
        """Return the datasets below a root that are growing, or have ended and are not archived."""
        with self._database.reading() as connection:
            rows = connection.execute(
                f"SELECT {DATASET_COLUMNS} FROM datasets WHERE current = 1 AND root = ?"  # noqa: S608 - a constant of ours
                " AND state IN ('growing', 'incomplete', 'complete')",
                (os.fsencode(root),),
            ).fetchall()
        return [dataset_of(row) for row in rows]

    def growing(self) -> int:
        """Return how many datasets are growing where somebody looks; an unavailable source is not waited for."""
        query = (
            "SELECT count(*) FROM datasets AS d JOIN sources AS s ON s.root = d.root"
            " WHERE d.current = 1 AND d.state = 'growing' AND s.state = 'watched'"
        )
        with self._database.reading() as connection:
            return int(connection.execute(query).fetchone()[0])

    def files(self, dataset_id: int) -> tuple[FileStat, ...]:
        """Return the files of a dataset as they were judged when it last ended."""
        with self._database.reading() as connection:
            row = connection.execute("SELECT manifest FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
        return unpack_files(row["manifest"]) if row else ()

    def record(self, sighting: Sighting, planned: Sequence[PlannedDelivery], now: datetime) -> Recorded:
        """Record what a look saw; a changed dataset that was archived becomes a new generation."""
        with self._database.transaction() as connection:
            row = _current(connection, sighting.root, sighting.dataset)
            is_new = False
            overwritten = None
            if row is not None and row["state"] == DatasetState.ARCHIVED:
                if _is_the_archived_one(row, sighting):
                    _update_metadata(connection, row["id"], sighting)
                    return Recorded(dataset_of(_by_id(connection, row["id"])), None, is_new=False)
                connection.execute("UPDATE datasets SET current = 0 WHERE id = ?", (row["id"],))
                why = "it changed after it was archived"
                row = _insert(connection, sighting, planned, now, row["generation"] + 1, why)
                is_new = True
            elif row is not None and _was_begun_again(row, sighting):
                overwritten = _overwrite(connection, row, sighting, now)
                why = "the acquisition was begun again under the same name"
                row = _insert(connection, sighting, planned, now, row["generation"] + 1, why)
                is_new = True
            elif row is None:
                row = _insert(connection, sighting, planned, now)
                is_new = True
            event = _step(connection, row, sighting, now)
            record = dataset_of(_by_id(connection, row["id"]))
            return Recorded(record, event, is_new=is_new, overwritten=overwritten)

    def vanish(self, dataset_ids: Iterable[int], now: datetime) -> list[DatasetRecord]:
        """Record that the files of datasets are gone before they were archived."""
        gone = []
        with self._database.transaction() as connection:
            for dataset_id in dataset_ids:
                row = _by_id(connection, dataset_id)
                if DatasetState(row["state"]) in _UNSETTLED:
                    detail = f"the files vanished before they were archived (last seen: {row['files']:,})"
                    _move(connection, row, DatasetEvent.VANISHED, detail, now)
                    gone.append(dataset_of(_by_id(connection, dataset_id)))
        return gone

    def changed(self, dataset_id: int, why: str, now: datetime) -> None:
        """Record that a dataset's files are not what was judged: it grows again."""
        with self._database.transaction() as connection:
            row = _by_id(connection, dataset_id)
            if DatasetState(row["state"]) in (DatasetState.COMPLETE, DatasetState.INCOMPLETE):
                _move(connection, row, DatasetEvent.CHANGED, why, now)
                _judge(connection, dataset_id, Verdict(VerdictKind.GROWING, (why,)))

    def condemn(self, dataset_id: int, why: str, now: datetime) -> None:
        """Record that a file's content contradicts its own checksum: the dataset is corrupt until it changes."""
        with self._database.transaction() as connection:
            row = _by_id(connection, dataset_id)
            if DatasetState(row["state"]) not in (DatasetState.COMPLETE, DatasetState.INCOMPLETE):
                return
            _move(connection, row, DatasetEvent.FOUND_CORRUPT, why, now)
            _judge(connection, dataset_id, Verdict(VerdictKind.CORRUPT, (why,)))
            connection.execute("UPDATE datasets SET condemned = fingerprint WHERE id = ?", (dataset_id,))

    def packable(
        self, now: datetime, most: int = 100, *, newest_first: bool = False, at_most_bytes: int | None = None
    ) -> list[DatasetRecord]:
        """Return at most ``most`` ended datasets that some delivery still wants and whose next try is due.

        What ended first comes first, or what ended last.  An incomplete dataset is wanted only by deliveries that
        nothing holds.  ``at_most_bytes`` leaves out what is larger.
        """
        way = "DESC" if newest_first else "ASC"
        values = {
            "now": time_text(now),
            "most": most,
            "at_most": _LARGEST_BYTES if at_most_bytes is None else at_most_bytes,
        }
        found: list[DatasetRecord] = []
        with self._database.reading() as connection:
            for those in (_WANTED_COMPLETE, _WANTED_INCOMPLETE):
                query = (
                    f"SELECT {DATASET_COLUMNS} FROM {those} AND d.current = 1 AND d.bytes <= :at_most"  # noqa: S608 - constants of this module
                    " AND (d.next_pack_at IS NULL OR d.next_pack_at <= :now)"
                    f" ORDER BY d.completed_at {way}, d.id {way} LIMIT :most"
                )
                found += map(dataset_of, connection.execute(query, values))
        found.sort(key=lambda one: (one.completed_at or one.first_seen, one.id), reverse=newest_first)
        return found[:most]

    def archived(self, dataset_id: int, fingerprint: str, archives: Sequence[Archive], now: datetime) -> bool:
        """Record a dataset's archives; False where the dataset changed meanwhile and they are worth nothing."""
        with self._database.transaction() as connection:
            row = _by_id(connection, dataset_id)
            ended = DatasetState(row["state"]) in (DatasetState.COMPLETE, DatasetState.INCOMPLETE)
            if not ended or row["fingerprint"] != fingerprint:
                return False
            for archive in archives:
                connection.execute(
                    "INSERT OR REPLACE INTO archives (dataset_id, packing, path, name, bytes, md5, inner_md5, sha256,"
                    " members, blocks, level, why, made_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        dataset_id,
                        archive.packing,
                        os.fsencode(archive.path),
                        os.fsencode(archive.name),
                        archive.size_bytes,
                        archive.md5,
                        archive.inner_md5,
                        archive.sha256,
                        pack_members(archive.members),
                        pack_blocks(archive.blocks),
                        archive.level,
                        archive.why,
                        time_text(now),
                    ),
                )
            detail = ", ".join(f"{a.name}: {a.size_bytes:,} bytes, sha256 {a.sha256[:12]}…" for a in archives)
            _move(connection, row, DatasetEvent.ARCHIVED, detail, now)
            connection.execute("UPDATE deliveries SET ready = 1 WHERE dataset_id = ?", (dataset_id,))
            connection.execute(
                "UPDATE datasets SET archived_at = ?, pack_failures = 0, next_pack_at = NULL, pack_error = NULL,"
                " pack_hint = NULL WHERE id = ?",
                (time_text(now), dataset_id),
            )
            return True

    def pack_failed(self, dataset_id: int, why: str, hint: str, next_at: datetime, now: datetime) -> None:
        """Record that archiving waits, why, and until when; said in the history once for each reason."""
        with self._database.transaction() as connection:
            row = _by_id(connection, dataset_id)
            connection.execute(
                "UPDATE datasets SET pack_failures = pack_failures + 1, next_pack_at = ?, pack_error = ?,"
                " pack_hint = ? WHERE id = ?",
                (time_text(next_at), harmless(why), harmless(hint), dataset_id),
            )
            if row["pack_error"] != harmless(why):
                history.append(connection, dataset_id, None, "archiving waits", why, now)

    def pack_waits(self, waits: Iterable[PackWait], next_at: datetime, now: datetime) -> list[PackWait]:
        """Record that archiving has not begun, why, and until when; return those of which it was not said before.

        The numbers of a reason change from look to look: the history has it once for what stands before its colon.
        """
        new = []
        with self._database.transaction() as connection:
            for wait in waits:
                row = _by_id(connection, wait.dataset_id)
                connection.execute(
                    "UPDATE datasets SET next_pack_at = ?, pack_error = ?, pack_hint = ? WHERE id = ?",
                    (time_text(next_at), harmless(wait.why), harmless(wait.hint), wait.dataset_id),
                )
                if (row["pack_error"] or "").partition(":")[0] != wait.why.partition(":")[0]:
                    history.append(connection, wait.dataset_id, None, "archiving waits", wait.why, now)
                    new.append(wait)
        return new

    def pack_begins(self, dataset_id: int) -> None:
        """Forget why archiving waited: it goes on."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE datasets SET next_pack_at = NULL, pack_error = NULL, pack_hint = NULL WHERE id = ?",
                (dataset_id,),
            )

    def archive_lost(self, dataset_id: int, why: str, now: datetime) -> None:
        """Record that the spool no longer holds what was archived: it is built again from the source."""
        with self._database.transaction() as connection:
            row = _by_id(connection, dataset_id)
            if DatasetState(row["state"]) is DatasetState.ARCHIVED:
                _move(connection, row, DatasetEvent.ARCHIVE_LOST, why, now)
                connection.execute("UPDATE deliveries SET ready = 0 WHERE dataset_id = ?", (dataset_id,))
                # the hashes stay: they are what a destination is asked by
                connection.execute("UPDATE archives SET path = NULL WHERE dataset_id = ?", (dataset_id,))

    def archive(self, dataset_id: int, packing: Packing | None = None) -> Archive | None:
        """Return a dataset's archive in one packing, None before there is one.

        Without ``packing``: the archive proper where there is one, else the file as it is.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT * FROM archives WHERE dataset_id = ? ORDER BY packing", (dataset_id,)
            ).fetchall()
        for row in rows:
            if packing is None or row["packing"] == packing:
                return archive_of(row)
        return None

    def rules_with_archives(self) -> list[str]:
        """Return the rules (``""`` for by hand) whose archives are in the spool."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT DISTINCT d.rule FROM archives AS a JOIN datasets AS d ON d.id = a.dataset_id"
                " WHERE a.path IS NOT NULL ORDER BY d.rule"
            ).fetchall()
        return [row["rule"] for row in rows]

    def removable_archives(self, rule: str, ended_before: datetime) -> list[tuple[int, Archive]]:
        """Return (dataset, archive) of a rule's archives whose deliveries all ended well before that time."""
        with self._database.reading() as connection:
            rows = connection.execute(
                """
                SELECT a.* FROM archives AS a INDEXED BY archives_in_spool
                CROSS JOIN datasets AS d ON d.id = a.dataset_id
                WHERE d.rule = ? AND a.path IS NOT NULL AND d.state = 'archived'
                  AND NOT EXISTS (SELECT 1 FROM deliveries AS v WHERE v.dataset_id = d.id
                                  AND (v.state NOT IN ('delivered', 'skipped') OR v.ended_at > ?))
                """,
                (rule, time_text(ended_before)),
            ).fetchall()
        return [(row["dataset_id"], archive_of(row)) for row in rows]

    def archive_removed(self, dataset_id: int, path: str, now: datetime) -> None:
        """Record that an archive was removed from the spool after its time."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE archives SET path = NULL WHERE dataset_id = ? AND path = ?", (dataset_id, os.fsencode(path))
            )
            history.append(
                connection, dataset_id, None, "archive removed", "all deliveries ended; its time is over", now
            )

    def spool_paths(self) -> set[str]:
        """Return the paths of all archives that the spool should hold."""
        with self._database.reading() as connection:
            rows = connection.execute("SELECT path FROM archives WHERE path IS NOT NULL").fetchall()
        return {os.fsdecode(row["path"]) for row in rows}


def _step(connection: sqlite3.Connection, row: sqlite3.Row, sighting: Sighting, now: datetime) -> DatasetEvent | None:
    """Move an unarchived dataset to what the sighting says of it."""
    state = DatasetState(row["state"])
    kind = sighting.verdict.kind
    if row["condemned"] == sighting.fingerprint and kind is not VerdictKind.GROWING:
        if state not in (DatasetState.GROWING, DatasetState.GONE):
            return None
        kind, sighting = VerdictKind.CORRUPT, replace(sighting, verdict=_CONDEMNED)
    ended = state in (DatasetState.COMPLETE, DatasetState.INCOMPLETE)
    if ended and kind is VerdictKind.GROWING and row["fingerprint"] == sighting.fingerprint:
        # after a restart nothing has been quiet for long; what ended and has not changed has still ended
        _update_metadata(connection, row["id"], sighting)
        return None
    if kind is VerdictKind.GROWING:
        event = None if state is DatasetState.GROWING else DatasetEvent.CHANGED
    else:
        event = _ENDED_EVENTS.get(kind, DatasetEvent.ENDED_INCOMPLETE)
    unchanged = row["verdict"] == kind and row["fingerprint"] == sighting.fingerprint
    if unchanged and ended:
        event = None
    if event is not None:
        if state is DatasetState.GONE:
            row = _move(connection, row, DatasetEvent.CHANGED, "the files are back", now)
        if state is not DatasetState.GONE or event is not DatasetEvent.CHANGED:
            _move(connection, row, event, f"{kind}: {sighting.verdict.sentence}", now)
    _update(connection, row["id"], sighting)
    if event in (DatasetEvent.COMPLETED, DatasetEvent.ENDED_INCOMPLETE):
        connection.execute(
            "UPDATE datasets SET manifest = ?, completed_at = ?, pack_failures = 0, next_pack_at = NULL,"
            " pack_error = NULL, pack_hint = NULL WHERE id = ?",
            (pack_files(sighting.dataset.files), time_text(now), row["id"]),
        )
    return event


def _is_the_archived_one(row: sqlite3.Row, sighting: Sighting) -> bool:
    """Say whether the files are those that were archived, or what a clean-up has left of them."""
    if row["fingerprint"] == sighting.fingerprint:
        return True
    archived = {file.path: file for file in unpack_files(row["manifest"])}
    seen = [file for file in sighting.dataset.files if file.kind is not FileKind.UNREADABLE]
    return all(file.path in archived and file.same_content_as(archived[file.path]) for file in seen)


def _was_begun_again(row: sqlite3.Row, sighting: Sighting) -> bool:
    """Say whether other files took the place of a dataset's that was never archived, under the same names."""
    from depositd.formats.series import begun_again  # the readers of all formats, which status does without

    lost = DatasetState(row["state"]) in (*_UNSETTLED, DatasetState.GONE)
    return lost and row["fingerprint"] != sighting.fingerprint and begun_again(row["origin"], sighting.origin)


def _overwrite(
    connection: sqlite3.Connection, row: sqlite3.Row, sighting: Sighting, now: datetime
) -> DatasetRecord | None:
    """End a generation whose files another acquisition took the place of; None where they had vanished before."""
    connection.execute("UPDATE datasets SET current = 0 WHERE id = ?", (row["id"],))
    if DatasetState(row["state"]) is DatasetState.GONE:
        return None
    detail = (
        f"overwritten by another acquisition under the same name ({sighting.origin}, before: {row['origin']});"
        f" last seen: {show_count(row['files'], 'file')}"
    )
    _move(connection, row, DatasetEvent.VANISHED, detail, now)
    return dataset_of(_by_id(connection, row["id"]))


def _current(connection: sqlite3.Connection, root: str, dataset: Dataset) -> sqlite3.Row | None:
    row: sqlite3.Row | None = connection.execute(
        "SELECT * FROM datasets WHERE format = ? AND location = ? AND key = ? AND current = 1",
        (dataset.format, os.fsencode(_join(root, dataset.directory)), os.fsencode(dataset.key)),
    ).fetchone()
    return row


def _by_id(connection: sqlite3.Connection, dataset_id: int) -> sqlite3.Row:
    row: sqlite3.Row = connection.execute("SELECT * FROM datasets WHERE id = ?", (dataset_id,)).fetchone()
    return row


def _insert(
    connection: sqlite3.Connection,
    sighting: Sighting,
    planned: Sequence[PlannedDelivery],
    now: datetime,
    generation: int = 1,
    why: str = "",
) -> sqlite3.Row:
    dataset = sighting.dataset
    forgotten = forgotten_at(connection, sighting.root, dataset.files, by_hand=not sighting.rule)
    cursor = connection.execute(
        "INSERT INTO datasets (rule, format, root, directory, key, location, generation, name, path, relative_path,"
        " state, verdict, evidence, files, bytes, fingerprint, first_seen, forgotten_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, '[]', 0, 0, '', ?, ?)",
        (
            sighting.rule,
            dataset.format,
            os.fsencode(sighting.root),
            os.fsencode(dataset.directory),
            os.fsencode(dataset.key),
            os.fsencode(_join(sighting.root, dataset.directory)),
            generation,
            os.fsencode(dataset.name),
            os.fsencode(_join(sighting.root, dataset.path)),
            os.fsencode(dataset.files[0].path if dataset.files else dataset.path),
            DatasetState.GROWING,
            VerdictKind.GROWING,
            time_text(now),
            forgotten,
        ),
    )
    dataset_id = cursor.lastrowid
    assert dataset_id is not None
    by = f"rule {sighting.rule}" if sighting.rule else "by hand"
    seen = f"{dataset.format}, {show_count(len(dataset.files), 'file')}, {by}"
    if generation > 1:
        seen += f", generation {generation}: {why}"
    history.append(connection, dataset_id, None, "seen", seen, now)
    for plan in planned:
        connection.execute(
            "INSERT INTO deliveries (dataset_id, destination, state, approve, sent_at, baseline)"
            " VALUES (?, ?, 'waiting', ?, ?, ?)",
            (dataset_id, plan.destination, plan.approve, forgotten, baseline_text(forgotten)),
        )
    return _by_id(connection, dataset_id)


def _move(
    connection: sqlite3.Connection, row: sqlite3.Row, event: DatasetEvent, detail: str, now: datetime
) -> sqlite3.Row:
    state = next_dataset_state(DatasetState(row["state"]), event)
    connection.execute("UPDATE datasets SET state = ? WHERE id = ?", (state, row["id"]))
    history.append(connection, row["id"], None, event, detail, now)
    return _by_id(connection, row["id"])


def _judge(connection: sqlite3.Connection, dataset_id: int, verdict: Verdict) -> None:
    connection.execute(
        "UPDATE datasets SET verdict = ?, evidence = ? WHERE id = ?",
        (verdict.kind, json_text(list(verdict.evidence)), dataset_id),
    )


def _update(connection: sqlite3.Connection, dataset_id: int, sighting: Sighting) -> None:
    dataset, verdict = sighting.dataset, sighting.verdict
    connection.execute(
        "UPDATE datasets SET name = ?, verdict = ?, evidence = ?, files = ?, bytes = ?, frames = ?, fingerprint = ?,"
        " origin = coalesce(?, origin) WHERE id = ?",
        (
            os.fsencode(dataset.name),
            verdict.kind,
            json_text(list(verdict.evidence)),
            len(dataset.files),
            dataset.size_bytes,
            frames_text(verdict.frames),
            sighting.fingerprint,
            sighting.origin,
            dataset_id,
        ),
    )
    _update_metadata(connection, dataset_id, sighting)


def _update_metadata(connection: sqlite3.Connection, dataset_id: int, sighting: Sighting) -> None:
    values: tuple[Any, ...] = (
        json_text(sighting.header),
        json_text(sighting.sidecar),
        harmless(sighting.sidecar_problem),
        json_text(sighting.metadata),
        dataset_id,
    )
    connection.execute(
        "UPDATE datasets SET header = ?, sidecar = ?, sidecar_problem = ?, metadata = ? WHERE id = ?", values
    )


def _join(root: str, relative: str) -> str:
    return f"{root}/{relative}" if relative else root
