"""Which run is whose: deliveries are assigned the runs that a server shows, by name and by what was there before.

A run says nothing of the file that it was made of but its name, so what cannot be told apart is left out: no result is
better than another file's.  What helps is that keys are numbered in the order of arrival, that one file of a name is
sent at a time, and that each delivery noted which runs were there before it.  Runs that had arrived by then and were
shown only later ("strangers") have lower numbers than ours; unless as many runs are new as deliveries and strangers
account for, one of them may still be to come, or be somebody else's, and nothing is said.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from depositd.destinations.base import AwaitedRun
from depositd.destinations.proteomicsqc.records import QcRun, stem_of
from depositd.destinations.proteomicsqc.runs import Known

_KEY = re.compile(r"[A-Za-z]*([0-9]{1,18})", re.ASCII)


@dataclass(frozen=True, slots=True)
class _Sent:
    """A delivery and what was there before it."""

    delivery_id: int
    before: Known


def assigned(awaited: Sequence[AwaitedRun], runs: Sequence[QcRun], taken: Collection[str]) -> dict[int, QcRun]:
    """Return the runs of deliveries, by the delivery's id.

    ``awaited`` is in the order of sending; ``runs`` may be ours, in any order; ``taken`` are keys of other deliveries.
    """
    by_key = {run.key: run for run in runs if run.key is not None}
    known = {one.run_key for one in awaited if one.run_key is not None}
    found = {one.delivery_id: by_key[one.run_key] for one in awaited if one.run_key in by_key}
    of_name: dict[str, list[QcRun]] = defaultdict(list)
    for run in runs:
        of_name[stem_of(run.stem)].append(run)
    to_find: dict[str, list[_Sent]] = defaultdict(list)
    for one in awaited:
        if one.run_key is None:
            to_find[stem_of(one.archive_name)].append(_Sent(one.delivery_id, _before(one)))
    for name, sent in to_find.items():
        found |= _of_one_name(sent, of_name[name], known | set(taken))
    return found


def _before(one: AwaitedRun) -> Known:
    before = Known.of_json(one.baseline)
    # where the page showed none, there was none to be processed either
    return replace(before, keys=()) if before.keys is None and before.rows == 0 else before


def _of_one_name(sent: Sequence[_Sent], runs: Sequence[QcRun], known: Collection[str]) -> dict[int, QcRun]:
    keyed = {run.key: run for run in runs if run.key is not None}
    unkeyed = [run for run in runs if run.key is None]
    if not keyed:
        return _without_keys(sent, unkeyed)
    if unkeyed:
        return {}
    numbers = _numbers([*keyed, *(key for one in sent for key in one.before.keys or ())])
    if numbers is None:
        return {}
    keys = _Numbered(numbers, keyed, {key for key in keyed if key in known})
    return {delivery_id: keyed[key] for delivery_id, key in _in_order(sent, keys).items()}


def _without_keys(sent: Sequence[_Sent], runs: Sequence[QcRun]) -> dict[int, QcRun]:
    """Return the run of an older server, where a name is there once in a pipeline: it is ours if it was not before."""
    if len(sent) != 1 or len(runs) != 1:
        return {}
    before = sent[0].before
    was_there = before.keys is None or before.keys or before.unkeyed or before.rows
    return {} if was_there else {sent[0].delivery_id: runs[0]}


def _numbers(keys: Collection[str]) -> dict[str, int] | None:
    """Return the number in each key, None where one has none: their order then says nothing."""
    matches = {key: _KEY.fullmatch(key) for key in keys}
    numbers = {key: int(match[1]) for key, match in matches.items() if match is not None}
    return numbers if len(numbers) == len(matches) else None


@dataclass(frozen=True, slots=True)
class _Numbered:
    """The runs of one name by their keys; ``explained`` are those of which we know whose they are."""

    number: Mapping[str, int]
    keyed: Mapping[str, QcRun]
    explained: frozenset[str] | set[str]

    def came_after(self, key: str, before: Known) -> bool:
        """True for a run that arrived after a delivery noted what was there: not shown then, and numbered higher."""
        return self.number[key] > max((self.number[one] for one in before.keys or ()), default=-1)

    def new_to(self, before: Known) -> list[str]:
        """Return the unexplained runs that may have come after, the first one first."""
        fresh = [key for key in self.keyed if key not in self.explained and self.came_after(key, before)]
        return sorted(fresh, key=self.number.__getitem__)

    def strangers(self, before: Known, first: str) -> int:
        """Return how many runs had arrived before, at most, and may be shown from ``first`` on."""
        shown_since = {key for key in self.keyed if self.number[key] < self.number[first]}
        if before.rows is not None:
            unexplained = before.rows - before.processed - len(shown_since - set(before.keys or ()))
        else:
            unexplained = before.delivered_before - len(shown_since & self.explained)
        # a server that has learnt to give keys shows its old runs with them
        return max(unexplained, 0) + before.unkeyed


def _in_order(sent: Sequence[_Sent], keys: _Numbered) -> dict[int, str]:
    """Return the keys of deliveries of one name.

    They are taken in blocks: a block ends where a later delivery noted all its runs before it was sent.
    """
    found: dict[int, str] = {}
    block: list[_Sent] = []
    for one in sent:
        if block and one.before.keys is not None:
            shown = [key for key in keys.new_to(block[0].before) if not keys.came_after(key, one.before)]
            if told := _told(block, shown, keys):
                found |= told
                keys = replace(keys, explained=keys.explained | set(told.values()))
                block = []
        # of what nobody looked for before it was sent, later ones know how many there are, but not which
        if block or one.before.keys is not None:
            block.append(one)
    return found | (_told(block, keys.new_to(block[0].before), keys) if block else {})


def _told(block: Sequence[_Sent], fresh: Sequence[str], keys: _Numbered) -> dict[int, str]:
    """Return the keys of a block's deliveries, none where the numbers do not agree."""
    if not fresh:
        return {}
    strangers = keys.strangers(block[0].before, fresh[0])
    if len(fresh) != strangers + len(block):
        return {}
    pairs = list(zip(block, fresh[strangers:], strict=True))
    if not all(keys.came_after(key, one.before) for one, key in pairs):
        return {}
    return {one.delivery_id: key for one, key in pairs}
