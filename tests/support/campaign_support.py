"""A beamline for crashes: something for each destination, small and quick, and what must be true whatever happened."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import tarfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import zstandard
from beamline_support import Beamline, write_run, write_series
from lives import Chance, End, Life, Recorder

from depositd.errors import JournalError
from depositd.journal import FILE_NAME, Journal
from depositd.sandbox import Sandbox

RULES = """
  - name: px
    watch: {data}/px
    format: frames
    settle: 100ms
    expect: {{frames: 4}}
    keep_archive: 0s
    metadata: {{set: {{dataset_type: other, project_title: "A title that is long enough",
      project_authors: "Smith J., Doe A.", equipment_other: home source}}}}
    deliver: [{{to: irrmc, approve: auto}}, vault]
  - name: ms
    watch: {data}/ms
    format: thermo-raw
    settle: 100ms
    deliver: [qc]
  - name: any
    watch: {data}/any
    format: file
    settle: 100ms
    archive: {{compression: zstd, level: 1}}
    deliver: [vault]
"""
QUICK = {
    "poll_every: 300ms": "poll_every: 100ms",
    "confirm_within: 20s": "confirm_within: 1s",
    "sweep_every: 2s": "sweep_every: 200ms",
}
LARGE_BYTES = 10 << 20
"""Enough for two frames of an archive."""
ANSWERS: Mapping[str, Sequence[str]] = {"unconfirmed": ["retry"]}
"""What an operator must be ready to say after a crash: the proteomics server cannot tell what it has never shown."""


class Campaign(Beamline):
    """A beamline whose daemon has many short lives."""

    def __init__(self, directory: Path, sandbox: Sandbox, rules: str = RULES, *, more: str = "") -> None:
        super().__init__(directory, sandbox)
        self.box = sandbox
        for name in ("px", "ms", "any"):
            (self.data / name).mkdir()
        self.configure(rules.format(data=self.data), more=more)
        text = self.config.read_text(encoding="utf-8")
        for usual, quick in QUICK.items():
            text = text.replace(usual, quick)
        self.config.write_text(text, encoding="utf-8")
        self.log = directory / "lives.log"
        self.before: dict[str, tuple[int, int, int, str]] = {}

    def measure(self, number: int = 1, *, large_bytes: int = LARGE_BYTES) -> None:
        """Write one dataset of each kind, whole at once."""
        self.measure_series(number)
        write_run(self.data / "ms", f"hela{number}", scans=20 + number)
        large = random.Random(number).randbytes(large_bytes)
        (self.data / "any" / f"large{number}.dat").write_bytes(large)
        self.remember()

    def measure_series(self, number: int = 1, frames: int = 4, *, first: int = 1) -> list[Path]:
        """Write frames of a series that is whole with four; return its files."""
        directory = self.data / "px" / f"mx{number}"
        write_series(directory, f"lyso_{number}", frames, first=first, seed=number)
        self.remember()
        return sorted(directory.iterdir())

    def remember(self) -> None:
        """Take note of how the sources are: depositd must leave them so."""
        self.before = source_facts(self.data)

    def live(self, *arguments: str, end: End | Chance | Recorder | None = None, timeout_s: float = 40.0) -> int | None:
        """Live once, until idle unless told otherwise; return the exit status."""
        life = self.begin(*(arguments or ("run", "--until-idle")), end=end)
        status = life.wait(timeout_s)
        if status is None:
            life.kill()
            raise AssertionError(f"this life does not end by itself:\n{self.told[-6000:]}")
        return status

    def begin(self, *arguments: str, end: End | Chance | Recorder | None = None) -> Life:
        """Begin a life."""
        return Life(["--config", str(self.config), *arguments], self.environment, self.log, end)

    @property
    def told(self) -> str:
        """What all lives have said."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def end_well(self, words: Mapping[str, Sequence[str]] = ANSWERS, lives: int = 5) -> None:
        """Live until nothing is left to do, and answer what depositd asks in between with the given words."""
        for _ in range(lives):
            status = self.live()
            if status == 0:
                return
            assert status == 3, self.told[-6000:]
            for dataset in self.status()["datasets"]:
                for delivery in dataset["deliveries"]:
                    asked = delivery["hold"] or delivery["state"]
                    if asked in ("delivered", "waiting", "submitted", "skipped"):
                        continue
                    assert asked in words, f"nobody need be asked about {delivery}"
                    word, *values = words[asked]
                    said = self.live(word, str(dataset["id"]), "--to", delivery["destination"], *values)
                    assert said == 0, self.told[-2000:]
        raise AssertionError(f"not well after {lives} lives: {json.dumps(self.status()['datasets'], indent=1)[:4000]}")

    def status(self) -> dict[str, Any]:
        """Return what ``status --json`` shows, without a process for it."""
        journal = Journal(self.state / FILE_NAME, read_only=True)
        try:
            return journal.view.status()
        finally:
            journal.close()

    def datasets(self) -> list[dict[str, Any]]:
        """Return the datasets of the status; none while there is no journal, or it is being made."""
        try:
            return self.status()["datasets"]
        except JournalError:
            return []

    # what must be true whatever happened

    def check(self) -> None:
        """Assert that all is there once with the right content, and nothing is left that nobody needs."""
        assert source_facts(self.data) == self.before, "a source was touched"
        assert self.journal_problems() == []
        assert self.orphans() == []
        datasets = self.status()["datasets"]
        sources = self.sources()
        assert Counter(one["name"] for one in datasets) == Counter(list(sources)), datasets
        for dataset in datasets:
            assert {one["state"] for one in dataset["deliveries"]} == {"delivered"}, dataset
        self.check_vault(sources)
        self.check_servers(sources)

    def sources(self) -> dict[str, dict[str, bytes]]:
        """Return the content of each dataset's files, by its name."""
        found: dict[str, dict[str, bytes]] = {}
        for path in sorted(self.data.rglob("*")):
            if path.is_file():
                name = path.stem.rpartition("_")[0] if path.suffix == ".cbf" else path.stem
                found.setdefault(name, {})[path.name] = path.read_bytes()
        return found

    def check_vault(self, sources: dict[str, dict[str, bytes]]) -> None:
        """Assert that the vault holds an archive of each dataset that goes there, with its bytes, and no more."""
        wanted = {name: files for name, files in sources.items() if not any(file.endswith(".raw") for file in files)}
        copies = {path.name: path for path in self.vault.iterdir()}
        assert sorted(copies) == sorted(f"{name}.tar.zst" for name in wanted), "the vault"
        for name, files in wanted.items():
            assert unpacked(copies[f"{name}.tar.zst"].read_bytes()) == files, name

    def check_servers(self, sources: dict[str, dict[str, bytes]]) -> None:
        """Assert that each server has each of its datasets once, submitted where that is due, with the right bytes."""
        runs = Counter(one.md5 for one in self.box.runs)
        raw = [content for files in sources.values() for file, content in files.items() if file.endswith(".raw")]
        assert runs == Counter(hashlib.md5(content).hexdigest() for content in raw), self.box.runs
        series = {name for name, files in sources.items() if any(file.endswith(".cbf") for file in files)}
        copies = Counter(hashlib.md5((self.vault / f"{name}.tar.zst").read_bytes()).hexdigest() for name in series)
        assert Counter(one.sent_md5 for one in self.box.uploads) == copies, self.box.uploads
        assert all(one.submitted_at is not None for one in self.box.uploads), self.box.uploads

    def journal_problems(self) -> list[str]:
        journal = Journal(self.state / FILE_NAME)
        try:
            return journal.database.problems()
        finally:
            journal.close()

    def orphans(self) -> list[str]:
        """Return what lies in the spool and is not an archive that the journal knows."""
        journal = Journal(self.state / FILE_NAME, read_only=True)
        try:
            known = journal.datasets.spool_paths()
        finally:
            journal.close()
        spool = self.state / "spool"
        return sorted(str(path) for path in spool.rglob("*") if path.is_file() and str(path) not in known)


def source_facts(directory: Path) -> dict[str, tuple[int, int, int, str]]:
    """Return inode, size, mtime and hash of every file below a directory."""
    facts = {}
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            found = os.lstat(path)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            facts[str(path)] = (found.st_ino, found.st_size, found.st_mtime_ns, digest)
    return facts


def unpacked(archive: bytes) -> dict[str, bytes]:
    """Return the members of a ``.tar.zst`` by their names without directories."""
    with zstandard.ZstdDecompressor().stream_reader(io.BytesIO(archive), read_across_frames=True) as inner:
        content = inner.read()
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        files = ((member.name, tar.extractfile(member)) for member in tar.getmembers())
        return {os.path.basename(name): file.read() for name, file in files if file is not None}
