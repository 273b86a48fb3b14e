"""The journal: every fact that depositd knows, in one SQLite file.

``datasets``, ``deliveries`` and ``results`` record facts, each in one durable transaction with its line of history;
``surroundings`` holds how sources, destinations and transfers stand; ``rates`` and ``backlog`` are what forecasts are
made of; ``view`` reads it all as the contract's JSON.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from depositd.journal.backlog import Backlog, Waiting
from depositd.journal.changes import Fact
from depositd.journal.database import Database, refuse_network_file_system
from depositd.journal.datasets import DatasetFacts, PackWait, PlannedDelivery, Recorded, Sighting
from depositd.journal.deliveries import DeliveryFacts, Standing
from depositd.journal.rates import Rates, SpaceSample, Transfer
from depositd.journal.records import DatasetRecord
from depositd.journal.results import ResultFacts, ResultRecord
from depositd.journal.spooled import Kept, Shrinkage, Spooled
from depositd.journal.surroundings import Pause, Progress, SourceStatus, Surroundings
from depositd.journal.view import Happening, View

FILE_NAME = "journal.db"

__all__ = [
    "DatasetRecord",
    "Fact",
    "Happening",
    "Journal",
    "Kept",
    "PackWait",
    "Pause",
    "PlannedDelivery",
    "Progress",
    "Recorded",
    "ResultRecord",
    "Shrinkage",
    "Sighting",
    "SourceStatus",
    "SpaceSample",
    "Standing",
    "Transfer",
    "Waiting",
    "refuse_network_file_system",
]


class Journal:
    """An open journal; raises JournalError where it cannot be used."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.database = Database(path, read_only=read_only)
        self.datasets = DatasetFacts(self.database)
        self.deliveries = DeliveryFacts(self.database)
        self.results = ResultFacts(self.database)
        self.surroundings = Surroundings(self.database)
        self.spooled = Spooled(self.database)
        self.rates = Rates(self.database)
        self.backlog = Backlog(self.database)
        self.view = View(self.database)

    def together(self) -> AbstractContextManager[object]:
        """Return a block in which several facts become true at once, or none of them."""
        return self.database.transaction()

    def close(self) -> None:
        """Close the file."""
        self.database.close()
