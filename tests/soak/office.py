"""Somebody at a desk: looks at the journal, answers what needs somebody, and clears away what has arrived everywhere.

What is cleared away is looked at first: the source has what its instrument wrote, and the vault what that was.
"""

from __future__ import annotations

import hashlib
import io
import os
import sqlite3
import tarfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import zstandard

from depositd.sandbox import Sandbox
from depositd.sandbox.state import Upload
from soak.audit import Copy, Evidence, belongs, key_of
from soak.daemons import command
from soak.instruments import Acquisition, Notebook, facts_of
from soak.operator import answers, grouped
from soak.records import DatasetRow, DeliveryRow, read
from soak.site import IRRMC, QC, VAULT, Site

KEPT_S = 10.0
"""How long data stay at the source at least, once they have been written."""
GIVEN_UP_S = 20.0
"""After how long somebody deletes an aborted run, for which depositd would wait for an hour."""
LEFT_S = 60.0
"""After how long a directory that is empty is removed."""


@dataclass(slots=True)
class Office:
    """``look`` is called every few seconds, by one thread; ``problems`` are what is wrong already."""

    site: Site
    sandbox: Sandbox
    notebook: Notebook
    random: Random
    problems: list[str] = field(default_factory=list)
    words: Counter[str] = field(default_factory=Counter)
    seen: dict[int, DatasetRow] = field(default_factory=dict)
    latest: Sequence[DatasetRow] = ()
    _copies: dict[int, Copy] = field(default_factory=dict)
    _by_path: dict[Path, Copy] = field(default_factory=dict)
    _tidied: dict[str, Upload] = field(default_factory=dict)
    _said: Counter[int] = field(default_factory=Counter)
    _first: int = 1

    @property
    def is_empty(self) -> bool:
        """Whether all that was written has arrived, or was set aside, and has left the source."""
        return all(one.removed for one in self.notebook.all()) and all(row.has_ended for row in self.latest)

    def evidence(self) -> Evidence:
        """Return everything that was found."""
        uploads = {**self._tidied, **{upload.token: upload for upload in self.sandbox.uploads}}
        return Evidence(
            self.notebook.all(), tuple(self.seen.values()), self._copies, tuple(uploads.values()), self.sandbox.runs
        )

    def look(self) -> None:
        """Look at everything once."""
        with suppress(sqlite3.Error):  # a daemon that is just killed or started may keep it for a moment
            self.latest = read(self.site.journal, self._first)
        for dataset in self.latest:
            self.seen[dataset.id] = dataset
            for delivery in dataset.deliveries:
                if delivery.state == "delivered":
                    self._note_arrival(dataset, delivery)
        self._answer()
        for acquisition in self.notebook.all():
            if not acquisition.removed:
                self._clear_away(acquisition)
        for tree in self.site.trees:
            with tree.in_use():
                _remove_empty(tree.root, time.time() - LEFT_S)
        self._first = self._first_open()

    def _first_open(self) -> int:
        """Return the number of the first dataset that is not done with."""
        waiting = {one.key for one in self.notebook.all() if not one.removed}
        for dataset in self.latest:
            missing = any(
                v.state == "delivered" and v.destination == VAULT and v.id not in self._copies
                for v in dataset.deliveries
            )
            if not dataset.has_ended or missing or key_of(dataset) in waiting:
                return dataset.id
        return self.latest[-1].id if self.latest else self._first

    def _note_arrival(self, dataset: DatasetRow, delivery: DeliveryRow) -> None:
        if delivery.destination == VAULT and delivery.id not in self._copies and delivery.remote_id:
            path = Path(delivery.remote_id)
            with suppress(FileNotFoundError):
                self._by_path[path] = unpacked(path)
                path.unlink()
                self._copies[delivery.id] = self._by_path[path]
            known = self._by_path.get(path)
            # one copy may stand for two deliveries of the same content; another generation has one of its own
            if known is not None and known.inner_md5 == dataset.inner_md5:
                self._copies[delivery.id] = known
        if delivery.destination == IRRMC and delivery.remote_id:
            # as a user tidies up: otherwise the list of all submissions grows for ever
            upload = self.sandbox.proteindiffraction.uploads.find(delivery.remote_id)
            if upload is not None:
                self._tidied[upload.token] = upload
                self.sandbox.proteindiffraction.uploads.delete(upload.token)

    def _answer(self) -> None:
        said = answers(self.latest, self._said, self.random.random, self._is_there)
        self._said.update(delivery.id for delivery, _ in said)
        for (verb, destination), numbers in grouped(word for _, word in said).items():
            self.words[verb] += len(numbers)
            command(self.site.config, verb, *map(str, numbers), "--to", destination)

    def _is_there(self, dataset: DatasetRow, delivery: DeliveryRow) -> bool:
        if delivery.destination == IRRMC:
            return any(upload.md5 == dataset.inner_md5 for upload in self.sandbox.uploads)
        own = [one for one in self.notebook.all() if belongs(dataset, one)]
        md5s = {facts.md5 for one in own for facts in one.files.values()}
        return delivery.destination == QC and any(
            run.stem == dataset.name and run.md5 in md5s for run in self.sandbox.runs
        )

    def _clear_away(self, acquisition: Acquisition) -> None:
        own = [one for one in self.latest if belongs(one, acquisition)]
        age_s = time.monotonic() - acquisition.last_write_s
        settled = age_s > KEPT_S and own and all(one.has_ended for one in own)
        unwanted = age_s > GIVEN_UP_S and not acquisition.whole and any(one.state == "growing" for one in own)
        if not settled and not unwanted:
            return
        with acquisition.tree.in_use():
            self._require_untouched(acquisition)
            for file in acquisition.files:
                file.unlink(missing_ok=True)
        acquisition.removed = True

    def _require_untouched(self, acquisition: Acquisition) -> None:
        for file, facts in acquisition.files.items():
            try:
                if facts_of(file) != facts:
                    self.problems.append(f"{file} is not what its instrument wrote")
            except OSError as error:
                self.problems.append(f"{file} cannot be read any more ({error.strerror})")


def unpacked(path: Path) -> Copy:
    """Take an archive apart, without our own code; raises FileNotFoundError where there is none."""
    packed = path.read_bytes()
    with zstandard.ZstdDecompressor().stream_reader(packed, read_across_frames=True) as stream:
        plain = stream.read()
    members = {}
    with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
        for member in tar:
            opened = tar.extractfile(member)
            if opened is not None:
                members[Path(member.name).name] = hashlib.sha256(opened.read()).hexdigest()
    return Copy(hashlib.md5(plain, usedforsecurity=False).hexdigest(), members)


def _remove_empty(directory: Path, older_than: float) -> None:
    """Remove the directories below one that are empty, and were left before a time: nobody is about to write there."""
    for current, _, _ in os.walk(directory, topdown=False):
        with suppress(OSError):  # not empty, which it says by itself
            if current != str(directory) and os.stat(current).st_mtime < older_than:
                os.rmdir(current)
