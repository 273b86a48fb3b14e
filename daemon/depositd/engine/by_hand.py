"""One dataset by hand, outside any rule; recorded here, it then ends the way a watched one does."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from depositd.config import Config, FormatName, Rule
from depositd.engine.matching import RuleMatcher, Taken, glob_literal
from depositd.engine.planning import Plan, hold_waiting
from depositd.engine.scanning import judge_now, link_on_the_way, listing_at, require
from depositd.engine.watching import sources
from depositd.errors import DepositdError
from depositd.journal import DatasetRecord, Journal, Sighting
from depositd.model import Dataset, Delivery, Metadata, VerdictKind
from depositd.portable import slashed
from depositd.units import printable

SETTLE_S = 5.0
"""Somebody says that the dataset is finished; this is only to see that nobody writes to it all the same."""
LONGEST_WAIT_S = 120.0
"""How long a dataset that still grows is waited for."""


class CannotSubmit(DepositdError):
    """What was named is not one finished dataset."""


@dataclass(frozen=True, slots=True)
class ByHand:
    """A dataset and its delivery, as recorded."""

    record: DatasetRecord
    delivery: Delivery


def record_by_hand(
    plan: Plan,
    journal: Journal,
    path: str,
    destination: str,
    values: Metadata,
    *,
    clock: Callable[[], datetime],
    sleep: Callable[[float], None],
    waiting: Callable[[str], None] = lambda _sentence: None,
) -> ByHand:
    """Find the one dataset at ``path``, judge it, and record it with an approved delivery.

    ``path`` is a file or directory: the dataset itself, its directory where that holds only one, or one of its files.
    ``waiting`` hears why it is waited for.  Raises CannotSubmit with what would be right.
    """
    if destination not in plan.config.destinations:
        known = ", ".join(plan.config.destinations)
        raise CannotSubmit(f"the config has no destination {printable(destination)}", hint=f"it has: {known}")
    absolute = slashed(os.path.abspath(path))
    require(absolute)
    if os.path.islink(absolute) or link_on_the_way(_root(plan.config, absolute), absolute) is not None:
        raise CannotSubmit(
            f"{printable(absolute)} lies behind a symbolic link, which is never followed", hint="name the file itself"
        )
    waited_s = 0.0
    while True:
        root, taken = find(plan.config, absolute)
        judged = judge_now(root, taken, clock(), deep=True, read_limit=plan.gentleness.limit_of(root))
        sighting = _the_one(judged, absolute[len(root) :].strip("/"), absolute)
        if sighting.verdict.kind is not VerdictKind.GROWING:
            break
        wait_s = min(sighting.verdict.recheck_s or SETTLE_S, SETTLE_S)
        if waited_s + wait_s > LONGEST_WAIT_S:
            raise CannotSubmit(
                f"{printable(taken.dataset.name)} is still growing: {sighting.verdict.sentence}",
                hint="submit it when it is finished, or let a rule watch it",
            )
        waiting(sighting.verdict.sentence)
        sleep(wait_s)
        waited_s += wait_s
    with journal.together():
        recorded = journal.datasets.record(sighting, [], clock())
        delivery = journal.deliveries.add(recorded.record.id, destination, values, clock())
        hold_waiting(plan, journal, recorded.record, clock())
    current = journal.deliveries.get(delivery.id)
    return ByHand(recorded.record, current.delivery if current else delivery)


def one_dataset(path: str, now: datetime) -> Dataset | None:
    """Return the dataset that a directory is, or that is all that it holds; None where it is not exactly one.

    It then has the name that a rule would give it, below which its files lie in an archive.
    """
    absolute = os.path.realpath(path)
    root, relative = os.path.split(absolute)
    if not relative or not os.path.isdir(absolute):
        return None
    found = _at(root, relative, absolute)
    judged = judge_now(root, found[0], now, deep=False) if len(found) == 1 else []
    if len(judged) != 1 or judged[0].dataset.top != relative:
        return None
    dataset = judged[0].dataset
    mine = {os.path.join(root, file.path) for file in dataset.files}
    there = (os.path.join(place, name) for place, _directories, names in os.walk(absolute) for name in names)
    return dataset if all(file in mine for file in there) else None


def find(config: Config, path: str) -> tuple[str, Taken]:
    """Return the root and the one dataset that a path names; raises CannotSubmit."""
    root = _root(config, path)
    mine = _at(root, path[len(root) :].strip("/"), path)
    if len(mine) == 1:
        return root, mine[0]
    if not mine:
        raise CannotSubmit(
            f"there is no dataset at {printable(path)}", hint="name a file or directory with files in it"
        )
    names = ", ".join(printable(taken.dataset.name) for taken in mine[:5])
    raise CannotSubmit(
        f"{printable(path)} holds {len(mine)} datasets: {names}{' …' if len(mine) > 5 else ''}",
        hint="name one file of the one that you mean",
    )


def _the_one(sightings: Sequence[Sighting], relative: str, path: str) -> Sighting:
    """Return the dataset that holds a file, or the only one; raises CannotSubmit."""
    mine = [one for one in sightings if any(file.path == relative for file in one.dataset.files)] or sightings
    if len(mine) == 1:
        return mine[0]
    names = ", ".join(printable(one.dataset.name) for one in mine[:5])
    raise CannotSubmit(
        f"{printable(path)} holds {len(mine)} datasets: {names}{' …' if len(mine) > 5 else ''}",
        hint="name one file of the one that you mean",
    )


def _root(config: Config, path: str) -> str:
    """Return the watched directory that holds a path, so that it is what a rule may have seen; else its parent."""
    for root in sources(config.rules):
        if path.startswith(root.rstrip("/") + "/"):
            return root
    return os.path.dirname(path)


def _at(root: str, relative: str, path: str) -> list[Taken]:
    """Return the datasets that a path names, of any format; where it is none, the plain directory or file itself."""
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    found = _grouped(root, relative, path, "auto")
    if is_directory:
        mine = [taken for taken in found if taken.dataset.path == relative]
    else:
        mine = [taken for taken in found if any(file.path == relative for file in taken.dataset.files)]
    if mine:
        return mine
    fallback: FormatName = "directory" if is_directory else "file"
    return [taken for taken in _grouped(root, relative, path, fallback) if taken.dataset.path == relative]


def _grouped(root: str, relative: str, path: str, format_name: FormatName) -> list[Taken]:
    """Return the datasets that a format finds where ``path`` is; a plain file or directory is taken by its name."""
    include = () if format_name == "auto" else (glob_literal(relative),)
    # the rule of an operator's hand has no name, in the journal as well
    rule = Rule.model_construct(
        name="", watch=(Path(root),), format=format_name, include=include, settle_s=SETTLE_S, deliver=()
    )
    matcher = RuleMatcher(rule)
    directory = relative if os.path.isdir(path) else relative.rpartition("/")[0]
    listing = listing_at(root, directory, [matcher])
    return matcher.take(listing)[0] if listing else []
