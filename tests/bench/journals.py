"""Journals with many datasets, made without a file on disk."""

from __future__ import annotations

from datetime import datetime

from bench import daemons
from depositd.journal import DatasetRecord, Fact, Journal, PlannedDelivery, Sighting
from depositd.model import Archive, Dataset, FileStat, Packing, Verdict, VerdictKind


def remember(journal: Journal, number: int, verdict: VerdictKind, fact: Fact, now: datetime) -> DatasetRecord:
    """Record a dataset, archived where it is complete, and what became of its one delivery."""
    sighting, delivery = _sighting(number, verdict), PlannedDelivery(daemons.DESTINATION, "auto")
    record = journal.datasets.record(sighting, [delivery], now).record
    if verdict is VerdictKind.COMPLETE:
        assert journal.datasets.archived(record.id, sighting.fingerprint, [_archive(number)], now)
    (standing,) = journal.deliveries.of_dataset(record.id)
    journal.deliveries.apply(standing.delivery.id, fact, now)
    return record


def _sighting(number: int, verdict: VerdictKind) -> Sighting:
    name = f"run_{number:06d}"
    dataset = Dataset(name, "file", "", name, name, (FileStat(name, 200, 1),))
    return Sighting("bench", "/nowhere", dataset, Verdict(verdict, ("200 B",)), f"{number:064x}", {}, {}, None, {})


def _archive(number: int) -> Archive:
    sha256 = f"{number:064x}"
    name = f"run_{number:06d}.tar.zst"
    return Archive(f"/nowhere/{name}", name, Packing.ARCHIVE, 200, sha256[:32], sha256[:32], sha256, ())
