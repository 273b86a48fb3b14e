"""A table of what is known of datasets only later, a PDB code above all: one row a dataset, one column a key.

Read as spreadsheets write it: separated by commas, semicolons or tabs, with or without a byte-order mark.  A row names
its dataset by number, name or path; an empty cell says nothing, and a row without a value is not filled in yet.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from depositd.engine.planning import Plan
from depositd.engine.values import sentence, wrong_values
from depositd.engine.words import release_one
from depositd.errors import DepositdError
from depositd.journal import DatasetRecord, Journal
from depositd.model import DatasetState, Delivery, DeliveryState, HoldKind, Metadata
from depositd.units import printable, show_count

WHICH = ("dataset", "name", "path", "destination")
"""Columns that say which delivery a row is about."""
NOTES = ("waits_for",)
"""Columns that are for people alone."""
LARGEST_BYTES = 16 * 1024 * 1024

_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_OPEN = frozenset({DeliveryState.HELD, DeliveryState.WAITING, DeliveryState.UPLOADED})
"""States in which metadata still reach the server; an upload has not been submitted yet."""
_FREED = frozenset({HoldKind.METADATA, HoldKind.APPROVAL})
"""What a table frees.  A dataset that is incomplete, a duplicate or held by somebody asks for a word of its own."""


class WrongTable(DepositdError):
    """A table cannot be used; nothing of it was recorded.  ``problems`` has a sentence with its line for each error."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems), hint="nothing was changed: mend the table and run it again")
        self.problems = tuple(problems)


class _NoSuchRow(Exception):
    """A row names no dataset or delivery; the text is a clause."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table: which dataset, and the metadata that its cells give."""

    line: int
    dataset: str
    name: str
    path: str
    destination: str
    values: Metadata


@dataclass(frozen=True, slots=True)
class Applied:
    """What a table did: deliveries that were freed, that have the values and stay held, and rows without effect."""

    freed: tuple[Delivery, ...]
    still_held: tuple[Delivery, ...]
    settled: int
    blank: int


def read_table(content: bytes) -> list[Row]:
    """Return the rows of a table; raises WrongTable."""
    if len(content) > LARGEST_BYTES:
        raise WrongTable([f"the table has {len(content):,} bytes, at most {LARGEST_BYTES:,} are read"])
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WrongTable(["the table is not UTF-8 text (save it as CSV UTF-8)"]) from None
    first = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=max(",;\t", key=first.count), strict=True)
    rows: list[Row] = []
    header: list[str] | None = None
    try:
        for cells in reader:
            if header is None:
                header = _header([cell.strip() for cell in cells])
            elif any(cell.strip() for cell in cells):
                rows.append(_row(reader.line_num, header, cells))
    except csv.Error as error:
        raise WrongTable([f"line {reader.line_num}: it cannot be read as CSV: {error}"]) from None
    if header is None:
        raise WrongTable(["the table is empty (a first line with the names of the columns: dataset,pdb_code)"])
    return rows


def apply_table(plan: Plan, journal: Journal, rows: Sequence[Row], now: datetime) -> Applied:
    """Record what a table says, all of it or, where anything in it is wrong, nothing; raises WrongTable.

    Written in many short transactions, for the daemon goes on meanwhile; cut off in the middle, the same table again
    does the rest.
    """
    filled = [row for row in rows if row.values]
    found = _checked(plan, journal, filled)
    freed: list[Delivery] = []
    held: list[Delivery] = []
    settled = 0
    for row, deliveries in found:
        for delivery in deliveries:
            after = _apply_row(plan, journal, row, delivery.id, now)
            if after is None:
                settled += 1
            else:
                (held if after.state is DeliveryState.HELD else freed).append(after)
    return Applied(tuple(freed), tuple(held), settled, len(rows) - len(filled))


def _checked(plan: Plan, journal: Journal, rows: Sequence[Row]) -> list[tuple[Row, list[Delivery]]]:
    """Return the deliveries that each row is about; raises WrongTable with all that is wrong."""
    found: list[tuple[Row, list[Delivery]]] = []
    problems: list[str] = []
    for row in rows:
        try:
            found.append((row, _deliveries(journal, row)))
        except _NoSuchRow as error:
            problems.append(f"line {row.line}: {error}")
    problems += _contradictions(found)
    for row, deliveries in found:
        problems += _refused(plan, row, deliveries)
    if problems:
        raise WrongTable(problems)
    return found


def _apply_row(plan: Plan, journal: Journal, row: Row, delivery_id: int, now: datetime) -> Delivery | None:
    """Record a row for one delivery as it is now; None where metadata are of no use to it any more."""
    with journal.together():
        standing = journal.deliveries.get(delivery_id)
        if standing is None or standing.delivery.state not in _OPEN:
            return None
        delivery = standing.delivery
        in_reach = delivery.state is DeliveryState.WAITING or delivery.hold in _FREED
        if not in_reach or standing.dataset_state is DatasetState.GROWING:
            return journal.deliveries.set_values(delivery_id, row.values, now)
        return release_one(plan, journal, delivery_id, row.values, now)


def _header(names: list[str]) -> list[str]:
    problems = [
        f"line 1: {printable(name, 60)!r} is no metadata key (a word such as pdb_code)"
        for name in names
        if not _KEY.fullmatch(name)
    ]
    problems += [
        f"line 1: the column {name} is there twice (once)" for name in sorted({*names}) if names.count(name) > 1
    ]
    if not any(name in ("dataset", "name", "path") for name in names):
        shown = ", ".join(printable(name, 40) for name in names[:8])
        problems.append(f"line 1: no column says which dataset a row is about: dataset, name or path (it has {shown})")
    if problems:
        raise WrongTable(problems)
    return names


def _row(line: int, header: Sequence[str], cells: Sequence[str]) -> Row:
    if any(cell.strip() for cell in cells[len(header) :]):
        raise WrongTable([f"line {line}: it has more cells than the table has columns (quote what holds a separator)"])
    texts = {key: cell.strip() for key, cell in zip(header, cells, strict=False)}
    values = {key: text for key, text in texts.items() if text and key not in WHICH and key not in NOTES}
    dataset, name, path, destination = (texts.get(key, "") for key in WHICH)
    return Row(line, dataset, name, path, destination, values)


def _deliveries(journal: Journal, row: Row) -> list[Delivery]:
    """Return the deliveries that a row is about; raises _NoSuchRow."""
    record = _dataset(journal, row)
    deliveries = [standing.delivery for standing in journal.deliveries.of_dataset(record.id)]
    chosen = [one for one in deliveries if row.destination in ("", one.destination)]
    if not chosen:
        names = ", ".join(one.destination for one in deliveries) or "nowhere"
        raise _NoSuchRow(f"dataset {record.id} does not go to {printable(row.destination, 60)} (it goes to {names})")
    return chosen


def _dataset(journal: Journal, row: Row) -> DatasetRecord:
    if row.dataset:
        record = journal.datasets.get(int(row.dataset)) if re.fullmatch(r"[0-9]{1,12}", row.dataset) else None
        if record is None:
            raise _NoSuchRow(f"there is no dataset {printable(row.dataset, 40)} (depositd status lists them)")
        if row.name not in ("", record.name, printable(record.name)):
            raise _NoSuchRow(
                f"dataset {record.id} is {printable(record.name)}, not {printable(row.name, 100)}"
                " (correct the number or the name)"
            )
        return record
    if row.path:
        found = [one for one in journal.datasets.at_path(row.path) if not row.name or one.name == row.name]
        what = f"at {printable(row.path, 200)}"
    else:
        found = journal.datasets.named(row.name)
        what = f"named {printable(row.name, 100)!r}"
    if not found:
        raise _NoSuchRow(f"there is no dataset {what}")
    if len(found) > 1:
        numbers = ", ".join(str(one.id) for one in found[:8])
        raise _NoSuchRow(f"{len(found)} datasets are {what}: {numbers} (add the column dataset with its number)")
    return found[0]


def _contradictions(found: Sequence[tuple[Row, list[Delivery]]]) -> list[str]:
    """Return a sentence for each delivery that two rows are about."""
    first: dict[int, int] = {}
    problems = []
    for row, deliveries in found:
        for delivery in deliveries:
            if delivery.id in first:
                problems.append(
                    f"line {row.line}: dataset {delivery.dataset_id} to {delivery.destination} is in line "
                    f"{first[delivery.id]} already (one row for each)"
                )
            first.setdefault(delivery.id, row.line)
    return problems


def _refused(plan: Plan, row: Row, deliveries: Sequence[Delivery]) -> list[str]:
    wrong = {sentence(problems) for one in deliveries if (problems := wrong_values(plan, one, row.values))}
    return [f"line {row.line}: {text}" for text in sorted(wrong)]


def summary(applied: Applied) -> str:
    """Return what a table did in one sentence."""
    parts = [f"{show_count(len(applied.freed), 'delivery', 'deliveries')} freed"]
    if applied.still_held:
        parts.append(f"{len(applied.still_held):,} still held")
    if applied.settled:
        parts.append(f"{applied.settled:,} left as they are (on their way or ended)")
    if applied.blank:
        parts.append(f"{show_count(applied.blank, 'row')} not filled in yet")
    return ", ".join(parts)
