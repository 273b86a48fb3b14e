"""Why: for a dataset or any path, which rule took it or why none did, what was found, and what is still awaited."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from depositd.config import Config, Globs, Rule
from depositd.engine.gentleness import Gentleness
from depositd.engine.matching import RuleMatcher, Taken, take_all
from depositd.engine.scanning import (
    Begun,
    Scanned,
    judge_now,
    link_on_the_way,
    listing_at,
    newest_of,
    require,
    scanned_json,
)
from depositd.engine.watching import sources
from depositd.errors import DepositdError
from depositd.journal import DatasetRecord, Journal, Sighting
from depositd.model import Listing
from depositd.portable import slashed
from depositd.units import printable, show_duration

MOST_DATASETS = 20
"""A directory of thousands of datasets is explained by its first ones."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is to be said of one path.

    ``rules`` has a (rule, sentence) pair for each rule that was asked; ``found`` is what is there now, judged by the
    files' ages; ``known`` what the journal knows, as ``show --json``.
    """

    path: str
    rules: tuple[tuple[str, str], ...]
    found: tuple[Scanned, ...]
    known: tuple[dict[str, Any], ...]

    def json(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "path": self.path,
            "rules": [{"rule": rule, "finding": finding} for rule, finding in self.rules],
            "found": [
                {
                    **scanned_json(scanned),
                    "ladder": [
                        {"asks": rung.asks, "finding": rung.finding} for rung in scanned.sighting.verdict.ladder
                    ],
                    "awaits": scanned.sighting.verdict.awaits or None,
                    "recheck_s": scanned.sighting.verdict.recheck_s,
                }
                for scanned in self.found
            ],
            "datasets": list(self.known),
        }

    def lines(self) -> list[str]:
        """Return it as sentences for a person."""
        lines = [printable(self.path)]
        lines += [f"  rule {rule}: {finding}" for rule, finding in self.rules]
        for scanned in self.found:
            lines += _found_lines(scanned)
        for dataset in self.known:
            lines += _known_lines(dataset)
        if not self.known:
            lines.append("  the journal knows nothing of it yet")
        return lines


def explain(config: Config, journal: Journal | None, target: str, now: datetime) -> Explanation:
    """Explain a dataset by its number, or a path; raises DepositdError where there is neither."""
    if target.isdecimal() and not os.path.lexists(target):
        shown = journal.view.show(int(target)) if journal else None
        if shown is None or journal is None:
            raise DepositdError(f"there is no dataset {target}", hint="depositd status lists them with their numbers")
        record = journal.datasets.get(int(target))
        assert record is not None
        path = f"{record.root}/{record.relative_path}"
        return _explain(config, path, [shown], now, str(shown["path"]))
    path = slashed(os.path.abspath(target))
    known = _known(journal, path) if journal is not None else []
    if not known:
        require(path)
    return _explain(config, path, known, now, path)


def _known(journal: Journal, path: str) -> list[dict[str, Any]]:
    """Return what the journal knows of a dataset's path, of the datasets of a directory, or of one of their files."""
    records = journal.datasets.at_path(path)
    if not records:
        beside = journal.datasets.at_path(os.path.dirname(path))
        records = [one for one in beside if _holds(journal, one, path)]
    shown = [journal.view.show(record.id) for record in records[:MOST_DATASETS]]
    return [one for one in shown if one is not None]


def _holds(journal: Journal, record: DatasetRecord, path: str) -> bool:
    relative = path[len(record.root.rstrip("/")) + 1 :]
    files = journal.datasets.files(record.id)
    return record.relative_path == relative or any(file.path == relative for file in files)


def _explain(config: Config, path: str, known: Sequence[dict[str, Any]], now: datetime, shown_path: str) -> Explanation:
    rules: list[tuple[str, str]] = []
    found: list[Scanned] = []
    watched, gentleness = sources(config.rules), Gentleness(config.rules)
    for root, members in watched.items():
        if path != root and not path.startswith(root.rstrip("/") + "/"):
            rules += [(rule.name, f"does not watch it (it watches {printable(root)})") for rule in members]
            continue
        relative = path[len(root.rstrip("/")) + 1 :]
        link = link_on_the_way(root, path)
        if link is not None:
            why = f"does not look there: {printable(link)} is a symbolic link, which is never followed"
            rules += [(rule.name, why) for rule in members]
            continue
        taken, newest = _taken(root, members, relative, path)
        read_limit = gentleness.limit_of(root)
        for rule in members:
            mine = [one for one in taken if one.rule is rule]
            rules.append((rule.name, _finding(rule, mine, taken, relative, path)))
            for one in mine[:MOST_DATASETS]:
                judged = judge_now(root, one, now, deep=False, newest=newest, read_limit=read_limit)
                found += [Scanned(sighting, ()) for sighting in _asked_for(judged, relative)]
    return Explanation(shown_path, tuple(rules), tuple(found), tuple(known))


def _asked_for(judged: Sequence[Sighting], relative: str) -> Sequence[Sighting]:
    """Return the one dataset of a series that holds the file which is asked for; else all of them."""
    return [one for one in judged if any(file.path == relative for file in one.dataset.files)] or judged


def _taken(root: str, rules: Sequence[Rule], relative: str, path: str) -> tuple[list[Taken], Mapping[str, Begun]]:
    """Return the datasets that hold a file, or lie in a directory, and the newest ones of the same directory."""
    matchers = [RuleMatcher(rule) for rule in rules]
    is_directory = os.path.isdir(path) and not os.path.islink(path)
    directory = relative if is_directory else relative.rpartition("/")[0]
    listing = listing_at(root, directory, matchers)
    if listing is None:
        return [], {}
    taken = take_all(matchers, _without_pruned(listing, matchers))
    newest = newest_of(taken)
    if is_directory and listing.directory == directory:
        return taken, newest
    below = relative + "/"
    mine = [
        one for one in taken if any(file.path == relative or file.path.startswith(below) for file in one.dataset.files)
    ]
    return mine, newest


def _without_pruned(listing: Listing, matchers: Sequence[RuleMatcher]) -> Listing:
    parents = [listing.directory.rsplit("/", depth)[0] for depth in range(listing.directory.count("/") + 1)]
    pruned = any(all(matcher.prunes(parent) for matcher in matchers) for parent in parents if parent)
    return Listing(listing.directory) if pruned else listing


def _finding(rule: Rule, mine: Sequence[Taken], taken: Sequence[Taken], relative: str, path: str) -> str:
    if mine:
        names = ", ".join(printable(one.dataset.name) for one in mine[:5])
        return f"took {names}{' …' if len(mine) > 5 else ''} as {mine[0].dataset.format}"
    left_out = _left_out(rule, relative, path)
    if left_out is not None:
        return left_out
    if taken:
        return f"comes after rule {taken[0].rule.name}, which took it"
    claimed = next((one for one in _with_parents(relative) if RuleMatcher(rule).claims(one)), None)
    if rule.format == "auto" and claimed is not None:
        return f"watches it, but no format recognises {printable(os.path.basename(claimed))} yet by what lies in it"
    is_directory = os.path.isdir(path)
    none = (
        "there is no dataset of format {} directly in it" if is_directory else "it is no part of a dataset of format {}"
    )
    return f"watches it, but {none.format(rule.format)}"


def _left_out(rule: Rule, relative: str, path: str) -> str | None:
    """Return why a rule does not even look at a path below its directory, None where it does."""
    if not os.path.lexists(path):
        return "watches the place, but there is nothing there now"
    matcher = RuleMatcher(rule)
    pruned = next((one for one in _with_parents(relative) if matcher.prunes(one)), None)
    if pruned is not None:
        return f"leaves it out: exclude ({_globs(rule.exclude)}) names {printable(pruned)}"
    if os.path.isdir(path) and not os.path.islink(path):
        try:
            with os.scandir(path):
                return None
        except OSError as error:
            return f"watches it, but it cannot be read by whoever asks: {error.strerror}"
    if matcher.selects(relative) or any(matcher.claims(one) for one in _with_parents(relative)):
        return None
    return f"leaves it out: {_unselected(rule, relative)}"


def _unselected(rule: Rule, relative: str) -> str:
    """Return why a rule's globs do not select a file."""
    if rule.include and not Globs(rule.include).selects(relative):
        lower = Globs([glob.lower() for glob in rule.include]).selects(relative.lower())
        case = "; only capital and small letters differ, and they count" if lower else ""
        return f"include ({_globs(rule.include)}) does not name it{case}"
    if rule.exclude and not Globs((), rule.exclude).selects(relative):
        return f"exclude ({_globs(rule.exclude)}) names it"
    return "it is the rule's own sidecar or marker"


def _globs(globs: Sequence[str]) -> str:
    return ", ".join(printable(glob) for glob in globs)


def _with_parents(path: str) -> list[str]:
    """Return a relative path and the directories that it lies in, the outermost first."""
    parts = path.split("/") if path else []
    return ["/".join(parts[: depth + 1]) for depth in range(len(parts))]


def _found_lines(scanned: Scanned) -> list[str]:
    verdict = scanned.sighting.verdict
    lines = [f"  {printable(scanned.sighting.dataset.name)} is {verdict.kind}, judged by the files' ages:"]
    lines += [f"    - {clause}" for clause in verdict.evidence]
    if verdict.ladder:
        lines.append("    the ladder of evidence, the strongest first:")
        lines += [f"      {number}. {rung.asks}: {rung.finding}" for number, rung in enumerate(verdict.ladder, 1)]
    if verdict.awaits:
        lines.append(f"    still awaited: {verdict.awaits}")
    if verdict.recheck_s is not None:
        soonest = show_duration(verdict.recheck_s)
        lines.append(f"    if nothing is written, the verdict can change in {soonest} at the earliest")
    elif verdict.kind != "complete":
        lines.append("    only a change of its files can change the verdict")
    return lines


def _known_lines(dataset: dict[str, Any]) -> list[str]:
    lines = [f"  dataset {dataset['id']} ({printable(dataset['name'])}) is {dataset['state']} in the journal:"]
    lines += [f"    - {clause}" for clause in dataset["evidence"]]
    for delivery in dataset["deliveries"]:
        reason = f": {delivery['error']}" if delivery["error"] else ""
        hint = f" ({delivery['hint']})" if delivery["hint"] else ""
        lines.append(f"    {delivery['state']} for {delivery['destination']}{reason}{hint}")
    return lines
