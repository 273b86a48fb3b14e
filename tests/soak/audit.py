"""Whether each dataset is at each of its destinations exactly once, with the bytes that its instrument wrote.

Pure: it compares what the instruments remember, what the journal says, and what the destinations hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from depositd.sandbox.state import Run, Upload
from soak.instruments import Acquisition
from soak.records import DatasetRow, DeliveryRow
from soak.site import IRRMC, QC, VAULT


@dataclass(frozen=True, slots=True)
class Copy:
    """What a file of the vault held: the MD5 of its tar, and the SHA-256 of each member by its own name."""

    inner_md5: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that is known at the end; ``copies`` are by the number of the delivery."""

    acquisitions: Sequence[Acquisition]
    datasets: Sequence[DatasetRow]
    copies: Mapping[int, Copy]
    uploads: Sequence[Upload]
    runs: Sequence[Run]


def belongs(dataset: DatasetRow, acquisition: Acquisition) -> bool:
    """Say whether the journal means what an instrument wrote, or a part of it."""
    return acquisition.key == key_of(dataset)


def key_of(dataset: DatasetRow) -> tuple[str, str]:
    """Return what an acquisition is known by; the second part of a series that was split is NAME-2."""
    return re.sub(r"-\d+$", "", dataset.name), dataset.path


def findings(evidence: Evidence) -> list[str]:
    """Return a sentence for each thing that is not as it should be."""
    rows: dict[tuple[str, str], list[DatasetRow]] = {}
    for dataset in evidence.datasets:
        rows.setdefault(key_of(dataset), []).append(dataset)
    found: list[str] = []
    for acquisition in evidence.acquisitions:
        own = rows.get(acquisition.key, [])
        found += [
            f"{acquisition.path} ({acquisition.name}): {what}" for what in _of_acquisition(acquisition, own, evidence)
        ]
    return [*found, *_of_uploads(evidence), *_of_runs(evidence, rows)]


def _of_acquisition(acquisition: Acquisition, own: Sequence[DatasetRow], evidence: Evidence) -> Iterator[str]:
    if not own:
        yield "it was never found"
        return
    for dataset in own:
        if not dataset.has_ended:
            yield f"dataset {dataset.id} has not ended: {_shown(dataset)}"
    if acquisition.whole:
        yield from _not_arrived(acquisition, own)
    yield from _not_the_same(acquisition, own, evidence.copies)


def _not_arrived(acquisition: Acquisition, own: Sequence[DatasetRow]) -> Iterator[str]:
    for destination in sorted(acquisition.destinations):
        states = {one.state for dataset in own for one in dataset.deliveries if one.destination == destination}
        if states.isdisjoint({"delivered", "skipped"}):
            yield f"it is not at {destination}: {', '.join(sorted(states)) or 'no delivery'}"


def _not_the_same(acquisition: Acquisition, own: Sequence[DatasetRow], copies: Mapping[int, Copy]) -> Iterator[str]:
    written = {file.name: facts.sha256 for file, facts in acquisition.files.items()}
    there: dict[str, str] = {}
    skipped = False
    for dataset in own:
        for delivery in dataset.deliveries:
            if delivery.destination != VAULT:
                continue
            skipped |= delivery.state == "skipped"
            if delivery.state != "delivered":
                continue
            copy = copies.get(delivery.id)
            if copy is None:
                yield f"dataset {dataset.id} is delivered, but {delivery.remote_id} was never there"
                continue
            if copy.inner_md5 != dataset.inner_md5:
                yield f"{delivery.remote_id} has MD5 {copy.inner_md5}, the journal promises {dataset.inner_md5}"
            there |= copy.members
    yield from (
        f"{name} was delivered with other bytes than were written"
        for name in sorted(there)
        if there[name] != written.get(name)
    )
    if acquisition.whole and not skipped:
        yield from (f"{name} was written and not delivered" for name in sorted(written.keys() - there.keys()))


def _of_uploads(evidence: Evidence) -> Iterator[str]:
    by_token = {upload.token: upload for upload in evidence.uploads}
    claimed: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for dataset, delivery in _deliveries(evidence.datasets, IRRMC):
        if delivery.state == "skipped":
            skipped[dataset.name] += 1
        if delivery.state != "delivered":
            continue
        upload = by_token.get(delivery.remote_id or "")
        if upload is None:
            yield f"dataset {dataset.id} ({dataset.name}) is delivered as {delivery.remote_id}, unknown to {IRRMC}"
            continue
        claimed[upload.token] += 1
        if upload.md5 != dataset.inner_md5:
            yield f"{IRRMC} has {dataset.name} with MD5 {upload.md5}, not {dataset.inner_md5}"
        if upload.submitted_at is None:
            yield f"{IRRMC} was never told the metadata of {dataset.name}"
    unclaimed = Counter(_stem(upload.sent_filename) for upload in evidence.uploads if not claimed[upload.token])
    yield from _too_many(IRRMC, unclaimed, skipped)
    same = Counter((upload.sent_filename, upload.md5) for upload in evidence.uploads)
    yield from (f"{IRRMC} has {name} {number} times" for (name, _), number in same.items() if number > 1)


def _of_runs(evidence: Evidence, rows: Mapping[tuple[str, str], Sequence[DatasetRow]]) -> Iterator[str]:
    due: Counter[tuple[str, str]] = Counter()
    skipped: Counter[tuple[str, str]] = Counter()
    for acquisition in evidence.acquisitions:
        if QC not in acquisition.destinations:
            continue
        (facts,) = acquisition.files.values()
        for dataset, delivery in _deliveries(rows.get(acquisition.key, ()), QC):
            del dataset
            due[acquisition.name, facts.md5] += delivery.state == "delivered"
            skipped[acquisition.name, facts.md5] += delivery.state == "skipped"
    there = Counter((run.stem, run.md5) for run in evidence.runs)
    for name, md5 in sorted(due.keys() | there.keys()):
        key = (name, md5)
        if not due[key] <= there[key] <= due[key] + skipped[key]:
            yield f"{QC} has {name} (MD5 {md5}) {there[key]} times, not {due[key]} (and {skipped[key]} skipped)"


def _too_many(destination: str, unclaimed: Counter[str], skipped: Counter[str]) -> Iterator[str]:
    for name, number in sorted(unclaimed.items()):
        if number > skipped[name]:
            yield f"{destination} has {name} {number} times more than was delivered"


def _deliveries(datasets: Iterable[DatasetRow], destination: str) -> Iterator[tuple[DatasetRow, DeliveryRow]]:
    for dataset in datasets:
        for delivery in dataset.deliveries:
            if delivery.destination == destination:
                yield dataset, delivery


def _stem(file_name: str) -> str:
    return Path(file_name).name.partition(".")[0]


def _shown(dataset: DatasetRow) -> str:
    deliveries = ", ".join(f"{one.state} for {one.destination} ({one.error})" for one in dataset.deliveries)
    return f"{dataset.state}, {dataset.verdict}; {deliveries}"
