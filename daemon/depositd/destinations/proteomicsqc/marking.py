"""Flag, unflag, accept and reject: sent, read back, and sent again by name to a server that heeds names alone.

The server answers 200 for a run that it does not know or that is not ours, and an older one for every run that is
selected by its key: it shows keys, but heeds names alone.  So only what ``qc-data`` shows afterwards counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from depositd.destinations.base import RunAction
from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.records import Columns, QcRun, has_column, qc_runs, stem_of, switch_at
from depositd.destinations.proteomicsqc.runs import RECENT_RUNS, may_be_ours

FLAGGED = "Flagged"
USED = "Use Downstream"

SHOWN_AS: Mapping[RunAction, tuple[str, bool]] = {
    RunAction.FLAG: (FLAGGED, True),
    RunAction.UNFLAG: (FLAGGED, False),
    RunAction.ACCEPT: (USED, True),
    RunAction.REJECT: (USED, False),
}
"""The column that an action changes, and to what."""

Ask = Callable[[int], Columns]
"""Return ``qc-data`` of so many of the most recent runs, with ASKED_COLUMNS and the column of the action."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What came of an action: the server's own words, and the table of runs as it is now.

    ``runs`` are those that were chosen, ``unmoved`` those of them that do not show the change.  A server without the
    column shows nothing: ``unmoved`` is empty, for there the answer alone has to be believed.
    """

    answer: Mapping[str, Any]
    table: Columns
    runs: tuple[QcRun, ...]
    unmoved: tuple[QcRun, ...]


def mark(
    client: Client,
    slugs: tuple[str, str],
    action: RunAction,
    ask: Ask,
    *,
    run_keys: Sequence[str] = (),
    raw_files: Sequence[str] = (),
    data_range: int = RECENT_RUNS,
) -> Marked:
    """Do something to runs, chosen by their keys or else by the names that ``qc-data`` shows, and read it back.

    Where runs that were chosen by key do not show the change, it is sent again by name, for those whose name no other
    run has and that may be ours.  Twice changes nothing.  Raises RemoteError.
    """
    if run_keys:
        answer = client.rawfile(action, *slugs, run_keys=run_keys)
    else:
        answer = client.rawfile(action, *slugs, raw_files=_file_names(raw_files))
    marked = _read_back(action, answer, ask(data_range), run_keys, raw_files)
    if not run_keys or not marked.unmoved:
        return marked
    # what is not looked at may have the name, too
    shown = qc_runs(marked.table if data_range >= RECENT_RUNS else ask(RECENT_RUNS))
    named = [run.stem for run in _alone(marked.unmoved, shown) if may_be_ours(run, client.username)]
    if not named:
        return marked
    answer = client.rawfile(action, *slugs, raw_files=_file_names(named))
    return _read_back(action, answer, ask(data_range), run_keys, raw_files)


def _read_back(
    action: RunAction, answer: Mapping[str, Any], table: Columns, run_keys: Sequence[str], raw_files: Sequence[str]
) -> Marked:
    column, wanted = SHOWN_AS[action]
    chosen = tuple(_chosen(qc_runs(table), run_keys, raw_files))
    unmoved = tuple(run for run in chosen if switch_at(table, column, run.row) is not wanted)
    return Marked(answer, table, chosen, unmoved if has_column(table, column) else ())


def _chosen(runs: Sequence[QcRun], run_keys: Sequence[str], raw_files: Sequence[str]) -> list[QcRun]:
    if run_keys:
        by_key = {run.key: run for run in runs if run.key is not None}
        return [by_key[key] for key in run_keys if key in by_key]
    stems = {stem_of(name) for name in raw_files}
    return [run for run in runs if stem_of(run.stem) in stems]


def _alone(runs: Sequence[QcRun], shown: Sequence[QcRun]) -> list[QcRun]:
    """Return the runs whose name no other run has: by its name one could be taken for another."""
    count = Counter(stem_of(run.stem) for run in shown)
    return [run for run in runs if count[stem_of(run.stem)] == 1]


def _file_names(stems: Sequence[str]) -> list[str]:
    """Return the names that runs may go by: ``qc-data`` shows the stem, the older server compares the file's name."""
    return list(dict.fromkeys(name for stem in stems for name in _forms_of(stem)))


def _forms_of(stem: str) -> list[str]:
    return [stem, *(stem + suffix for suffix in (".raw", ".RAW") if not stem.endswith(suffix))]
