"""How long archives stay in the spool after their last delivery ended well."""

from __future__ import annotations

from datetime import datetime, timedelta

from depositd.archive import discard, discard_unfinished, spooled_datasets
from depositd.engine.planning import Plan
from depositd.journal import Journal

BY_HAND_S = 7 * 86_400.0
"""Archives of datasets that came by hand, or whose rule is no more, are kept for the default time."""


def kept_until(plan: Plan, journal: Journal) -> list[tuple[datetime, int]]:
    """Return when archives whose deliveries have all ended well will be removed, soonest first, and their bytes."""
    kept_s = {rule.name: rule.keep_archive_s for rule in plan.config.rules}
    return sorted(
        (one.ended_at + timedelta(seconds=kept_s.get(one.rule, BY_HAND_S)), one.size_bytes)
        for one in journal.spooled.kept()
    )


def remove_abandoned(plan: Plan, journal: Journal) -> list[str]:
    """Remove what was begun of archives that nobody will finish: the files vanished, or nobody wants them any more."""
    spool = str(plan.config.spool.path)
    finished, wanted = journal.spooled.sizes(), journal.spooled.unpacked()
    removed = []
    for dataset_id in spooled_datasets(spool):
        if dataset_id not in finished and dataset_id not in wanted:
            removed += discard_unfinished(spool, dataset_id)
    return removed


def remove_expired(plan: Plan, journal: Journal, now: datetime) -> list[str]:
    """Remove archives whose time is over; return their paths."""
    kept_s = {rule.name: rule.keep_archive_s for rule in plan.config.rules}
    removed = []
    for rule in journal.datasets.rules_with_archives():
        before = now - timedelta(seconds=kept_s.get(rule, BY_HAND_S))
        for dataset_id, archive in journal.datasets.removable_archives(rule, before):
            discard(archive)
            journal.datasets.archive_removed(dataset_id, archive.path, now)
            removed.append(archive.path)
    return removed
