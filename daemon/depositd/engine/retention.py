"""How long archives stay in the spool after their last delivery ended well."""

from __future__ import annotations

from datetime import datetime, timedelta

from depositd.archive import discard
from depositd.engine.planning import Plan
from depositd.journal import Journal

BY_HAND_S = 7 * 86_400.0
"""Archives of datasets that came by hand, or whose rule is no more, are kept for the default time."""


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
