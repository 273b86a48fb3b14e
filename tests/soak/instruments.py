"""Simulated instruments, each in a thread: they write dataset after dataset, some of them badly, and remember them."""

from __future__ import annotations

import hashlib
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from depositd.simulate.catalogue import DETECTORS, Fault, faults_of
from depositd.simulate.instruments import run
from depositd.simulate.plan import Plan
from soak.site import IRRMC, QC, VAULT, Site, Tree

FRAMES = 12
RATE_HZ = 12.0
FAULTY = 0.25
"""The share of acquisitions in which something goes wrong at the instrument."""
SPOILS = frozenset({Fault.ABORT, Fault.GAP, Fault.TRUNCATED, Fault.CORRUPT})
"""Faults that leave something that is not whole."""
OUT_OF_THE_ORDINARY = 0.04
"""The share of each: a copy under another name, a name that comes twice, a renamed directory, a late frame."""
LATE_AFTER_S = 8.0
IN_ONE_DIRECTORY = 25
"""Datasets that lie side by side, where each has no directory of its own."""


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file as its instrument left it."""

    sha256: str
    md5: str
    size_bytes: int
    mtime_ns: int


@dataclass(slots=True)
class Acquisition:
    """One dataset that was written: ``files`` by their paths, ``path`` where the journal must find it.

    ``whole`` is False where something is missing or spoilt.  ``last_write_s`` is by the monotonic clock; ``removed``
    says that it was delivered and has left the source.
    """

    name: str
    format: str
    tree: Tree
    path: Path
    files: dict[Path, FileFacts]
    destinations: frozenset[str]
    whole: bool
    fault: str
    last_write_s: float
    removed: bool = False

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.name, str(self.path)


class Notebook:
    """Everything that was written, by name; safe between threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acquisitions: list[Acquisition] = []

    def add(self, acquisition: Acquisition) -> None:
        """Write down what has just ended."""
        with self._lock:
            self._acquisitions.append(acquisition)

    def all(self) -> list[Acquisition]:
        """Return all of them, oldest first."""
        with self._lock:
            return list(self._acquisitions)

    def __len__(self) -> int:
        with self._lock:
            return len(self._acquisitions)


@dataclass(frozen=True, slots=True)
class Kind:
    """One instrument: where it writes, which simulators it takes, and where its data go."""

    name: str
    formats: tuple[str, ...]
    on_beamline: bool
    destinations: frozenset[str]

    @property
    def has_own_directory(self) -> bool:
        """Whether each dataset has a directory for itself."""
        return self.on_beamline


_PUBLIC = frozenset({IRRMC, VAULT})
_COPIED = frozenset({VAULT})
KINDS = (
    Kind("pilatus", ("pilatus",), True, _PUBLIC),
    Kind("detectors", tuple(name for name in DETECTORS if name != "pilatus"), True, _PUBLIC),
    Kind("eiger", ("eiger",), True, _PUBLIC),
    Kind("orbitrap", ("thermo-raw",), False, frozenset({QC, VAULT})),
    Kind("xevo", ("waters-raw",), False, _COPIED),
    Kind("timstof", ("bruker-d",), False, _COPIED),
    Kind("qtof", ("agilent-d",), False, _COPIED),
    Kind("camera", ("file",), False, _COPIED),
)


@dataclass(slots=True)
class Instrument:
    """One instrument at work until ``stop`` is set; ``every_s`` is how often it begins a dataset, on average."""

    kind: Kind
    site: Site
    notebook: Notebook
    seed: int
    every_s: float
    stop: threading.Event
    failures: list[str] = field(default_factory=list)
    _number: int = 0
    _last: Acquisition | None = None

    def work(self) -> None:
        """Write one dataset after the other."""
        random = Random(f"{self.seed}/{self.kind.name}")
        self.stop.wait(random.uniform(0, self.every_s))
        while not self.stop.is_set():
            began_s = time.monotonic()
            self._number += 1
            try:
                with self._tree.in_use():
                    self._acquire(random)
            except OSError as error:
                self.failures.append(f"{self.kind.name}: {error}")
            self.stop.wait(max(began_s + random.uniform(0.5, 1.5) * self.every_s - time.monotonic(), 0.0))

    @property
    def _tree(self) -> Tree:
        return self.site.beamline if self.kind.on_beamline else self.site.spectrometers

    def _acquire(self, random: Random) -> None:
        chances = {what: random.random() < OUT_OF_THE_ORDINARY for what in ("copy", "rename", "again", "late")}
        if chances["copy"] and self.kind.name == "orbitrap" and self._last is not None:
            self._copy(self._last)
            return
        plan = self._plan(random)
        # what was begun is ended, so that everything that was written is also known
        run(plan, sleep=time.sleep, now=_now)
        directory = plan.directory
        if chances["rename"] and self.kind.has_own_directory:
            directory = directory.rename(directory.with_name(f"{directory.name}_final"))
        if chances["late"] and self.kind.name == "pilatus" and plan.fault is None:
            self._add_late_frame(plan, directory)
        for name in plan.names:
            self._note(name, plan, directory)
        if chances["again"] and self.kind.name == "orbitrap" and plan.fault is None:
            self._name_again(plan)

    def _plan(self, random: Random) -> Plan:
        format_name = random.choice(self.kind.formats)
        fault = random.choice(faults_of(format_name)) if random.random() < FAULTY else None
        name = f"{self.kind.name}_{self._number:06d}"
        return Plan(
            format_name,
            self._directory(name),
            name=name,
            frames=FRAMES,
            # ten times slower than this says, the others would wait for it
            rate_hz=RATE_HZ * 5 if fault == Fault.SLOW else RATE_HZ,
            fault=fault,
            seed=random.getrandbits(32),
            shape=(64, 64),
            frame_bytes=4096,
        )

    def _directory(self, name: str) -> Path:
        if self.kind.has_own_directory:
            return self._tree.root / f"mx{self._number // 100:04d}" / name
        return self._tree.root / self.kind.name / f"batch_{self._number // IN_ONE_DIRECTORY:04d}"

    def _note(self, name: str, plan: Plan, directory: Path) -> None:
        files, path = _written(plan.format, name, directory)
        acquisition = Acquisition(
            name=name,
            format=plan.format,
            tree=self._tree,
            path=path,
            files={file: facts_of(file) for file in files},
            destinations=self.kind.destinations,
            whole=plan.fault not in SPOILS,
            fault=plan.fault or "",
            last_write_s=time.monotonic(),
        )
        self.notebook.add(acquisition)
        self._last = acquisition if acquisition.whole else self._last

    def _copy(self, before: Acquisition) -> None:
        """Write the same bytes under another name, as who exports a run a second time does."""
        name = f"{self.kind.name}_{self._number:06d}"
        directory = self._directory(name)
        directory.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # that one has been delivered and removed meanwhile
            shutil.copyfile(before.path, directory / f"{name}.raw")
            self._note(name, Plan("thermo-raw", directory, name=name), directory)

    def _name_again(self, plan: Plan) -> None:
        """Acquire another run of the same name in another directory."""
        elsewhere = self._tree.root / self.kind.name / f"again_{self._number // IN_ONE_DIRECTORY:04d}"
        again = replace(plan, directory=elsewhere, seed=plan.seed + 1)
        run(again, sleep=time.sleep, now=_now)
        self._note(plan.name, again, elsewhere)

    def _add_late_frame(self, plan: Plan, directory: Path) -> None:
        """Write one more frame long after the series has ended; it may have been delivered by then."""
        time.sleep(LATE_AFTER_S)
        longer = replace(plan, directory=self.site.root / "late", frames=FRAMES + 1, rate_hz=1000.0)
        run(longer, sleep=lambda _: None, now=_now)
        frame = f"{plan.name}_{FRAMES + 1:05d}.cbf"
        (longer.directory / frame).rename(directory / frame)
        shutil.rmtree(longer.directory)


def facts_of(file: Path) -> FileFacts:
    """Return what a file is now; raises OSError where it cannot be read."""
    content = file.read_bytes()
    found = file.stat()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    return FileFacts(hashlib.sha256(content).hexdigest(), md5, len(content), found.st_mtime_ns)


def _written(format_name: str, name: str, directory: Path) -> tuple[list[Path], Path]:
    """Return the files of a dataset, and the path that the journal gives it."""
    match format_name:
        case "thermo-raw" | "file":
            path = directory / f"{name}.{'raw' if format_name == 'thermo-raw' else 'dat'}"
            return [path], path
        case "waters-raw" | "bruker-d" | "agilent-d":
            path = directory / f"{name}.{'raw' if format_name == 'waters-raw' else 'd'}"
            return sorted(file for file in path.rglob("*") if file.is_file()), path
        case "eiger":
            return sorted(directory.glob(f"{name}_*.h5")), directory
        case _:
            return sorted(directory.glob(f"{name}_[0-9]*")), directory


def _now() -> datetime:
    return datetime.now(UTC)
