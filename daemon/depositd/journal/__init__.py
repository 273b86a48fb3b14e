"""The journal: every fact that depositd knows, in one SQLite file.

``datasets``, ``deliveries`` and ``results`` record facts, each in one durable transaction with its line of history;
``surroundings`` holds how sources, destinations and transfers stand; ``rates`` and ``backlog`` are what forecasts are
made of; ``view`` reads it all as the contract's JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TypeVar

from depositd.errors import JournalError
from depositd.journal.backlog import Backlog, Waiting
from depositd.journal.ballast import Ballast
from depositd.journal.changes import Fact
from depositd.journal.database import Database, refuse_gone, refuse_network_file_system
from depositd.journal.datasets import DatasetFacts, PackWait, PlannedDelivery, Recorded, Sighting
from depositd.journal.deliveries import DeliveryFacts, Standing
from depositd.journal.notes import Note, Notes
from depositd.journal.pruning import Pruning
from depositd.journal.rates import Rates, SpaceSample, Transfer
from depositd.journal.records import DatasetRecord
from depositd.journal.results import ResultFacts, ResultRecord
from depositd.journal.spooled import Kept, Shrinkage, Spooled
from depositd.journal.surroundings import Doubts, Pause, PauseKind, Progress, SourceStatus, Surroundings
from depositd.journal.view import Happening, View
from depositd.model import Problem
from depositd.units import show_size

FILE_NAME = "journal.db"

T = TypeVar("T")

__all__ = [
    "Ballast",
    "DatasetRecord",
    "Doubts",
    "Fact",
    "Happening",
    "Journal",
    "Kept",
    "Note",
    "PackWait",
    "Pause",
    "PauseKind",
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
    "View",
    "Waiting",
    "refuse_gone",
    "refuse_network_file_system",
]


class Journal:
    """An open journal; raises JournalError where it cannot be used."""

    def __init__(self, path: Path, *, read_only: bool = False, ballast: Ballast | None = None) -> None:
        self.database = Database(path, read_only=read_only, ballast=ballast)
        self.datasets = DatasetFacts(self.database)
        self.deliveries = DeliveryFacts(self.database)
        self.results = ResultFacts(self.database)
        self.surroundings = Surroundings(self.database)
        self.spooled = Spooled(self.database)
        self.rates = Rates(self.database)
        self.backlog = Backlog(self.database)
        self.notes = Notes(self.database)
        self.pruning = Pruning(self.database)
        self.view = View(self.database)

    def together(self) -> AbstractContextManager[object]:
        """Return a block in which several facts become true at once, or none of them."""
        return self.database.transaction()

    @property
    def may_archive(self) -> bool:
        """True where the journal's disk has room for what an archive makes true, its deliveries included."""
        ballast = self.database.ballast
        return self.database.trouble is None and (ballast is None or ballast.is_held)

    @property
    def may_send(self) -> bool:
        """True where the answer to something that is sent now could be recorded."""
        ballast = self.database.ballast
        return self.database.trouble is None and (ballast is None or not ballast.is_exhausted)

    def problem(self) -> Problem | None:
        """Return what is wrong with the journal's disk, None while all is well."""
        trouble, ballast = self.database.trouble, self.database.ballast
        if trouble is not None:
            free = "" if ballast is None else f" ({show_size(ballast.free_bytes)} are free)"
            return Problem("cannot be written", f"{trouble}{free}; nothing is archived or sent meanwhile", trouble.hint)
        shortage = None if ballast is None else ballast.shortage()
        return None if shortage is None else Problem("no room", shortage, "make space there; work goes on by itself")

    def surely(self, record: Callable[[], T]) -> T:
        """Record facts, once more where the disk was full and the ballast made room for them."""
        try:
            return record()
        except JournalError as error:
            if not error.made_room:
                raise
            return record()

    def close(self) -> None:
        """Close the file."""
        self.database.close()
