"""The daemon with nothing to do, beside many datasets that it has delivered long ago, or whose deliveries are held."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from bench import daemons, data
from bench.figures import Figure
from depositd.config import Rule
from depositd.engine.observing import Observer
from depositd.journal import FILE_NAME, Fact, Journal, PlannedDelivery, Sighting
from depositd.model import Archive, HoldKind, Member, Packing, VerdictKind
from depositd.states import DeliveryEvent
from depositd.units import show_size
from depositd.watch.sweep import Walk

SOURCES = 10
MOST_OF_A_CORE_PERCENT = 1.0
MOST_MEMORY_BYTES = 120_000_000
_LONG_S = 1e6
_CALMS_DOWN = 1.25


def measure(directory: Path, known: int, seconds: float, *, held: bool = False) -> list[Figure]:
    """Run the daemon for ``seconds`` beside ``known`` datasets in ten sources, all still there.

    They are delivered, or archived and ``held``.
    """
    sources = [directory / f"source_{number}" for number in range(SOURCES)]
    for source in sources:
        data.write_tree(source, known // SOURCES, data.FILES_PER_DIRECTORY)
    config = daemons.write_config(directory, sources, format="file")
    with closing(Journal(directory / "state" / FILE_NAME)) as journal:
        for source in sources:
            _remember(journal, str(source), held=held)
    began_s = time.monotonic()
    with daemons.running(config) as daemon:
        ready_s = time.monotonic() - began_s
        ready_cpu_s = daemon.cpu_s()
        # the second sweep, a minute after the first one, reads everything once more: only then times are trusted
        early_percent = _share_percent(daemon, seconds * _CALMS_DOWN)
        share_percent = _share_percent(daemon, seconds)
        held_bytes, peak_bytes = daemon.memory_bytes(), daemon.memory_bytes("VmHWM")
        datasets = len(daemon.status()["datasets"])
    found = known // SOURCES * SOURCES
    assert datasets == found, f"the daemon knows {datasets:,} datasets instead of {found:,}"
    title = f"idle, {SOURCES} sources, {found:,} {'held' if held else 'known'} datasets"
    return [
        Figure(
            f"{title}: share",
            share_percent,
            "% of a core",
            most=MOST_OF_A_CORE_PERCENT,
            details=(
                f"over {seconds:.0f} s, {early_percent:.1f} % in the {seconds * _CALMS_DOWN:.0f} s before;"
                f" ready after {ready_s:.1f} s, with {ready_cpu_s:.1f} s of a core"
            ),
        ),
        Figure(
            f"{title}: memory",
            held_bytes,
            "B",
            most=MOST_MEMORY_BYTES,
            details=f"{show_size(peak_bytes)} at most",
        ),
    ]


def _share_percent(daemon: daemons.Daemon, seconds: float) -> float:
    before_cpu_s, before_s = daemon.cpu_s(), time.monotonic()
    time.sleep(seconds)
    return 100 * (daemon.cpu_s() - before_cpu_s) / (time.monotonic() - before_s)


def _remember(journal: Journal, root: str, *, held: bool) -> None:
    """Record every dataset below a root as held, or as one that was delivered and whose archive's time is over."""
    now = datetime.now(UTC)
    with journal.together():
        for sighting in _complete_datasets(root, daemons.parsed_rule(root, format="file"), now):
            planned = [PlannedDelivery(daemons.DESTINATION, "manual")]
            record = journal.datasets.record(sighting, planned, now).record
            archive = _archive(record.id, sighting)
            assert journal.datasets.archived(record.id, sighting.fingerprint, [archive], now)
            (standing,) = journal.deliveries.of_dataset(record.id)
            if held:
                fact = Fact(DeliveryEvent.HOLD, "pdb_code is missing", "depositd release --set", hold=HoldKind.METADATA)
            else:
                fact = Fact(DeliveryEvent.DELIVERED)
                journal.datasets.archive_removed(record.id, archive.path, now)
            journal.deliveries.apply(standing.delivery.id, fact, now)


def _complete_datasets(root: str, rule: Rule, now: datetime) -> Iterator[Sighting]:
    """Yield what the daemon would record of each dataset once it has been still for long."""
    observer = Observer(root, [rule])
    for listing in Walk(root, observer.claims, observer.prunes, _raise).sweep():
        observer.look(listing, now, 0.0)
        for judged in observer.look(listing, now, _LONG_S):
            assert judged.sighting.verdict.kind is VerdictKind.COMPLETE, judged.sighting.verdict.sentence
            yield judged.sighting


def _archive(dataset_id: int, sighting: Sighting) -> Archive:
    sha256 = f"{dataset_id:064x}"
    members = tuple(Member(file.path, file.size_bytes, file.mtime_ns, sha256) for file in sighting.dataset.files)
    name = f"{sighting.dataset.name}.tar.zst"
    return Archive(
        f"/nowhere/{dataset_id}/{name}", name, Packing.ARCHIVE, 200, sha256[:32], sha256[:32], sha256, members
    )


def _raise(directory: str, error: OSError) -> None:
    raise error
