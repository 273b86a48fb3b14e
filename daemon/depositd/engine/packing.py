"""The step that packs an ended dataset into the spool, in every packing that one of its deliveries needs."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from depositd import formats
from depositd.archive import SUFFIXES, Compression, PackPlan, PackTools, Workshop, dataset_directory, discard, pack
from depositd.config import MissingFieldError, render
from depositd.engine.interrupt import Interrupted
from depositd.engine.planning import Plan, hold_waiting
from depositd.errors import ContentCorrupt, DepositdError, SourceChanged, SpoolFull
from depositd.journal import DatasetRecord, Fact, Journal
from depositd.model import Archive, DeliveryState, FileKind, FileStat, HoldKind, Packing
from depositd.retry import RetryPolicy, wait_s
from depositd.states import DeliveryEvent
from depositd.units import printable

ProgressCallback = Callable[[int, int], None]

LONGEST_NAME_BYTES = 200
"""File systems take 255; the rest is for suffixes."""
FULL_SPOOL_WAIT_S = 60.0
"""How long archiving waits before it looks whether the spool has room again."""

UNWANTED = RetryPolicy(first_s=300.0, longest_s=3600.0)
"""How long until it is asked again whether a delivery can take a dataset that none can: it may stay so for a year."""


@dataclass(frozen=True, slots=True)
class Packed:
    """What came of one step: ``archives`` where it worked, else the sentence that says why not."""

    archives: tuple[Archive, ...] = ()
    why: str = ""
    hint: str = ""


def pack_dataset(
    plan: Plan,
    journal: Journal,
    record: DatasetRecord,
    *,
    progress: ProgressCallback,
    clock: Callable[[], datetime],
    chance: float,
    workshop: Workshop | None = None,
    say: Callable[[str], None] = lambda _sentence: None,
    unforeseen: Callable[[Exception], None],
    timer: Callable[[], float] = time.monotonic,
) -> Packed:
    """Pack one dataset and record what became true; ``chance`` in [0, 1) sets the jitter of a retry.

    ``progress`` may raise Interrupted to stop: nothing is recorded then, and the step is taken again later.
    ``workshop`` is what archives made at the same time share, ``say`` hears of what was packed before,
    ``unforeseen`` of errors that nobody thought of.
    """
    files = journal.datasets.files(record.id)
    special = next((file for file in files if file.kind is not FileKind.REGULAR), None)
    if special is not None:
        return _refused(journal, record, special, clock())
    began_s = timer()
    packed_before: list[str] = []

    def gone_on(sentence: str) -> None:
        packed_before.append(sentence)
        say(sentence)

    # what was found corrupt and then released is sent as it is
    released = record.condemned == record.fingerprint
    tools = PackTools(
        progress=progress,
        workshop=workshop,
        upload_rate_bytes_per_s=upload_rate(plan, journal, record, clock()),
        say=gone_on,
        read_limit=plan.gentleness.limit_of(record.root),
    )
    if not released:
        tools = replace(tools, content_check=formats.FORMATS[record.format].content_check)
    try:
        archives = tuple(
            pack(
                pack_plan(plan, journal, record, files, packing),
                dataset_directory(str(plan.config.spool.path), record.id),
                tools,
            )
            for packing in wanted_packings(plan, journal, record)
        )
    except Interrupted:
        return Packed(why="depositd stops; it is archived after the next start")
    except Exception as error:  # noqa: BLE001 - a bug must cost this dataset a wait, not the night
        if not isinstance(error, (DepositdError, OSError, ValueError)):
            unforeseen(error)
        return _not_packed(plan, journal, record, error, clock(), chance)
    if not archives:
        now = clock()
        next_at = now + timedelta(seconds=wait_s(UNWANTED, record.pack_failures + 1, chance))
        why, hint = "no delivery can take it as it is", "each of its deliveries says why"
        journal.datasets.pack_failed(record.id, why, hint, next_at, now)
        return Packed(why=why, hint=hint)
    if not journal.surely(lambda: journal.datasets.archived(record.id, record.fingerprint, archives, clock())):
        return _thrown_away(journal, record, archives)
    if not packed_before:  # else it tells no rate
        journal.rates.note("archived", "", record.size_bytes, timer() - began_s, clock())
    return Packed(archives)


def _thrown_away(journal: Journal, record: DatasetRecord, archives: tuple[Archive, ...]) -> Packed:
    """Remove archives of what has changed since: their successors need the room, and may never come."""
    for archive in archives:
        known = journal.datasets.archive(record.id, archive.packing)
        if known is None or known.path != archive.path:  # else the step was taken twice, and this is what is known
            discard(archive)
    return Packed(why="it changed while it was archived; the archive was thrown away")


def _not_packed(
    plan: Plan, journal: Journal, record: DatasetRecord, error: Exception, now: datetime, chance: float
) -> Packed:
    """Record what an error makes true: the dataset changed, is corrupt, or is tried again later."""
    why = printable(str(error)) or type(error).__name__
    if isinstance(error, (SourceChanged, FileNotFoundError)):
        why = f"it changed while it was archived: {why}"
        journal.datasets.changed(record.id, why, now)
        journal.deliveries.withdraw_consent(record.id, HoldKind.INCOMPLETE)
        return Packed(why=why, hint=_unwatched(journal, record, why, now))
    if isinstance(error, ContentCorrupt):
        with journal.together():
            journal.datasets.condemn(record.id, why, now)
            condemned = journal.datasets.get(record.id)
            assert condemned is not None
            hold_waiting(plan, journal, condemned, now)
        return Packed(why=why)
    wait = FULL_SPOOL_WAIT_S
    if not isinstance(error, SpoolFull):
        wait = wait_s(plan.config.retry, record.pack_failures + 1, chance)
    hint = getattr(error, "hint", "") or "look at the file and at the permissions of the directories above it"
    journal.datasets.pack_failed(record.id, why, hint, now + timedelta(seconds=wait), now)
    return Packed(why=why, hint=hint)


def _refused(journal: Journal, record: DatasetRecord, file: FileStat, now: datetime) -> Packed:
    """Hold what was released although it has something in it that is never read, whatever the operator says."""
    why = f"{printable(file.path)} is a {file.kind}, and only regular files are ever read"
    hint = f"exclude it in the rule, or take it out of the dataset; depositd skip {record.id} leaves the dataset"
    with journal.together():
        journal.deliveries.withdraw_consent(record.id, HoldKind.INCOMPLETE)
        for standing in journal.deliveries.of_dataset(record.id):
            if standing.delivery.state is DeliveryState.WAITING:
                fact = Fact(DeliveryEvent.HOLD, why, hint, hold=HoldKind.INCOMPLETE)
                journal.deliveries.apply(standing.delivery.id, fact, now)
    return Packed(why=why, hint=hint)


def _unwatched(journal: Journal, record: DatasetRecord, why: str, now: datetime) -> str:
    """Fail the deliveries of a changed dataset that came by hand: no rule looks at it again.  Return the hint."""
    if record.rule:
        return ""
    hint = "submit it again when it is finished"
    for standing in journal.deliveries.of_dataset(record.id):
        if standing.delivery.state is DeliveryState.WAITING:
            journal.deliveries.apply(standing.delivery.id, Fact(DeliveryEvent.FAILED, why, hint), now)
    return hint


def pack_plan(
    plan: Plan, journal: Journal, record: DatasetRecord, files: tuple[FileStat, ...], packing: Packing
) -> PackPlan:
    """Return what to pack and under which name; what was packed once is packed again at the same level."""
    rules = plan.archive_rules(record.rule)
    fields = {**record.metadata, "name": record.name, "format": record.format, "rule": record.rule}
    try:
        stem = safe_file_name(render(rules.name, fields))
    except MissingFieldError:
        stem = safe_file_name(record.name)  # a name that cannot be filled in must not hold the data up
    tree = record.path if record.relative_path.startswith(_relative_path(record) + "/") else None
    return PackPlan(
        root=record.root,
        files=files,
        top=_relative_path(record) if tree else record.directory,
        dataset_name=record.name,
        file_name=files[0].name if packing is Packing.FILE else stem + SUFFIXES[rules.compression],
        packing=packing,
        compression=rules.compression,
        level=rules.level if rules.level is not None else _level_before(journal, record, packing, rules.compression),
        min_free_bytes=plan.config.spool.min_free_bytes,
        part_name=str(packing),
        # what was begun of a released generation was not checked, and may be what this one is held for
        keep_part=record.condemned in (None, record.fingerprint),
    )


def _level_before(journal: Journal, record: DatasetRecord, packing: Packing, compression: Compression) -> int | None:
    """Return the level of an archive that was lost: built again, it should be the one that a server may know."""
    archive = journal.datasets.archive(record.id, packing)
    if archive is None or packing is not Packing.ARCHIVE or not archive.name.endswith(SUFFIXES[compression]):
        return None
    return archive.level


def upload_rate(plan: Plan, journal: Journal, record: DatasetRecord, now: datetime) -> float | None:
    """Return what the slowest way to a destination of the dataset gave lately, in bytes/s; None where nobody knows."""
    destinations = {standing.delivery.destination for standing in journal.deliveries.of_dataset(record.id)}
    known = (journal.rates.recent("sent", name, now) for name in destinations & plan.destinations.keys())
    return min((rate for rate in known if rate is not None), default=None)


def safe_file_name(text: str) -> str:
    """Return a visible file name of at most 200 bytes without slashes and control characters."""
    name = re.sub(r"[/\x00-\x1f\x7f]", "_", text).lstrip(".") or "dataset"
    while len(os.fsencode(name)) > LONGEST_NAME_BYTES:
        name = name[:-1]
    return name


def wanted_packings(plan: Plan, journal: Journal, record: DatasetRecord) -> list[Packing]:
    """Return the packings that deliveries need, each once; those that nothing wants any more are left out."""
    wanted: dict[Packing, None] = {}
    for standing in journal.deliveries.of_dataset(record.id):
        if standing.delivery.state in (DeliveryState.SKIPPED, DeliveryState.DELIVERED):
            continue
        packing = plan.packing(record, standing.delivery.destination)
        if packing is not None:
            wanted[packing] = None
    return list(wanted)


def _relative_path(record: DatasetRecord) -> str:
    return record.path[len(record.root) + 1 :]
