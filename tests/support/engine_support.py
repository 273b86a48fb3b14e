"""Journals with something in them, plans with destinations in memory, and values to build both."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from format_files import stat_of

from depositd.config import Config, Rule, parse_config
from depositd.engine.observing import Judged
from depositd.engine.planning import Plan
from depositd.engine.sidecars import Sidecar
from depositd.engine.tools import Tools
from depositd.engine.watching import Hands
from depositd.journal import DatasetRecord, Journal, PlannedDelivery, Sighting
from depositd.model import Archive, Dataset, FileStat, Metadata, Packing, Problem, Verdict, VerdictKind
from depositd.watch.events import SweepsAlone
from depositd.watch.quiet import fingerprint

NOW = datetime(2026, 11, 21, 2, 14, 7, tzinfo=UTC)
ROOT = "/data"


def config_of(
    state: Path, rules: str = "", destinations: str = "", root: Path | str = ROOT, more: str = "retry: {first: 10s}"
) -> Config:
    """Return a config with one destination ``one`` and one rule, or those given as YAML flow mappings."""
    return parse_config(
        f"state_dir: {state}\nspool: {{min_free: 0}}\n{more}\n"
        f"destinations: {{{destinations or f'one: {{type: directory, path: {state}/one}}'}}}\n"
        f"rules: [{rules or f'{{name: r, watch: {root}, format: frames, settle: 0s, deliver: [one]}}'}]\n",
        "test.yaml",
    )


def rule_of(**keys: Any) -> Rule:
    """Return one rule as the config gives it."""
    text = "".join(f", {key}: {value}" for key, value in {"format": "frames", **keys}.items())
    return config_of(Path("/state"), rules=f"{{name: r, watch: {ROOT}, deliver: [one]{text}}}").rules[0]


def frames(count: int = 3, *, name: str = "lyso_1", directory: str = "run", size: int = 100) -> Dataset:
    files = tuple(stat_of(f"{directory}/{name}_{number:05}.cbf", size) for number in range(1, count + 1))
    return Dataset(name, "frames", directory, f"{name}_#####.cbf", directory, files)


def sighting(
    dataset: Dataset,
    kind: VerdictKind = VerdictKind.COMPLETE,
    *evidence: str,
    rule: str = "r",
    root: str = ROOT,
    **metadata: Metadata,
) -> Sighting:
    verdict = Verdict(kind, evidence or (f"{len(dataset.files)} frames",))
    digest = fingerprint(dataset.files, dataset.directory)
    header, sidecar = metadata.get("header", {}), metadata.get("sidecar", {})
    return Sighting(rule, root, dataset, verdict, digest, header, sidecar, None, {**header, **sidecar})


def record(
    journal: Journal, dataset: Dataset, kind: VerdictKind = VerdictKind.COMPLETE, *to: str, **more: Any
) -> DatasetRecord:
    """Record one look at a dataset that goes to ``to``, each ``name`` or ``name:manual``."""
    planned = [PlannedDelivery(name, approve or "auto") for name, _, approve in (one.partition(":") for one in to)]
    return journal.datasets.record(sighting(dataset, kind, **more), planned, NOW).record


def an_archive(path: str = "/spool/lyso_1.tar.zst", sha: str = "a" * 64, packing: Packing = Packing.ARCHIVE) -> Archive:
    return Archive(path, Path(path).name, packing, 1234, "b" * 32, "c" * 32, sha)


def archived(journal: Journal, dataset: Dataset | None = None, *to: str, **archive: Any) -> DatasetRecord:
    """Record a complete dataset with an archive; it goes to ``one`` unless said otherwise."""
    record_ = record(journal, dataset or frames(), VerdictKind.COMPLETE, *(to or ("one",)))
    assert journal.datasets.archived(record_.id, record_.fingerprint, [an_archive(**archive)], NOW)
    found = journal.datasets.get(record_.id)
    assert found is not None
    return found


def history(journal: Journal, dataset_id: int) -> list[str]:
    shown = journal.view.show(dataset_id)
    assert shown is not None
    return [line["event"] for line in shown["history"]]


class FakeDestination:
    """Follows a script: each step takes an Outcome, an exception, or a function of what *step* is given.

    ``sends`` counts the sends that began, each of which a server would keep.
    """

    def __init__(
        self, name: str = "one", *, idempotent: bool = False, packing: Packing | None = Packing.ARCHIVE
    ) -> None:
        self.name, self.idempotent, self._packing = name, idempotent, packing
        self.publishes = False
        self.tells_apart = True
        self.script: list[Any] = []
        self.seen: list[Any] = []
        self.wanted: tuple[str, ...] = ()
        self.whoami_says: Any = "somebody"
        self.sends = 0
        self.place = name
        self.measures = None
        self.removed: list[str] = []
        self.remove_says: Exception | None = None

    def remove(self, remote_id: str) -> None:
        if self.remove_says is not None:
            raise self.remove_says
        self.removed.append(remote_id)

    def packing(self, single_file: bool) -> Packing | None:
        return self._packing

    def known_as(self, archive_name: str) -> str | None:
        return None if self.tells_apart else archive_name.casefold()

    def problems(self, metadata: Metadata) -> list[Problem]:
        return [Problem(key, "is missing", "such as 1ABC") for key in self.wanted if key not in metadata]

    def whoami(self) -> str:
        if isinstance(self.whoami_says, Exception):
            raise self.whoami_says
        return str(self.whoami_says)

    def step(self, delivery, archive, metadata, report):
        self.seen.append((delivery.state, archive, metadata))
        next_one = self.script.pop(0)
        if isinstance(next_one, Exception):
            raise next_one
        return next_one(delivery, archive, metadata, report) if callable(next_one) else next_one

    def sending(self, then: Any) -> Callable[..., Any]:
        """Return a step that begins a send and then does as ``then`` says."""

        def step(delivery, archive, metadata, report):
            report.sending({"runs": self.sends})
            self.sends += 1
            report.progress(archive.size_bytes, archive.size_bytes)
            if isinstance(then, Exception):
                raise then
            return then() if callable(then) else then

        return step

    def close(self) -> None:
        """Keep nothing open."""


def tools_of(clock: Callable[[], datetime], chance: float = 0.5, **instead: Any) -> Tools:
    def unforeseen(error: Exception) -> None:
        raise error

    given = {"progress": lambda _done, _total: None, "unforeseen": unforeseen, "paused": lambda _pause: None, **instead}
    return Tools(clock=clock, chance=chance, **given)


def hands_of(clock: Callable[[], datetime], monotonic: Callable[[], float], **instead: Any) -> Hands:
    """Return the hands of a watcher that tests turn by hand: on a local disk, without events."""
    given = {
        "moved": lambda: None,
        "recorded": lambda _recorded: None,
        "said": lambda _sentence: None,
        "start_events": lambda *_: SweepsAlone("sweeps alone"),
        "file_system": lambda _path: "ext4",
        **instead,
    }
    return Hands(clock=clock, monotonic=monotonic, **given)


def plan_of(config: Config, *destinations: FakeDestination) -> Plan:
    return Plan(config, {destination.name: destination for destination in destinations})


def changed(dataset: Dataset, *files: FileStat) -> Dataset:
    """Return the dataset with other files."""
    return Dataset(dataset.name, dataset.format, dataset.directory, dataset.key, dataset.path, files)


def sidecar_of(judged: Judged) -> Sidecar:
    """Return what a judged dataset's sidecars said."""
    return Sidecar(judged.sighting.sidecar, judged.sighting.sidecar_problem)
