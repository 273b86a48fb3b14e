"""``pqc flag|unflag|accept|reject``: which runs are meant, what is done to them, and how they are afterwards."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depositd.cli.failing import FAILED
from depositd.cli.options import ConfigOption, JsonOption
from depositd.cli.output import say_json, tell
from depositd.cli.pqc_data import KIND, names_of
from depositd.cli.pqc_where import PidOption, PipelineOption, ProjectOption, slugs_of, wanted_pipeline
from depositd.cli.servers import AtOption, ServerOption, find_place, quality_control
from depositd.cli.tables import Column, nearest, say_table
from depositd.errors import DepositdError
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.destinations.proteomicsqc import Client
    from depositd.destinations.proteomicsqc.marking import Marked
    from depositd.destinations.proteomicsqc.records import QcRun

DataRangeOption = Annotated[
    int | None,
    typer.Option(
        "--data-range",
        metavar="N",
        min=1,
        show_default=False,
        help="How many of the most recent runs are looked at; else 1,000.",
    ),
]


@dataclass(frozen=True, slots=True)
class Words:
    """What the help says of an action, and how the runs are called to which it was done."""

    sentence: str
    done: str


ACTIONS: Mapping[str, Words] = {
    "flag": Words("Flag runs, for people to look at.", "flagged"),
    "unflag": Words("Take the flag off runs.", "unflagged"),
    "accept": Words("Use runs downstream.", "accepted"),
    "reject": Words("Use runs downstream no more.", "rejected"),
}
"""Each RunAction by its word: commands are made of them before that is imported."""

RUN_COLUMNS = (
    Column("RUN", whole=True, style="bold"),
    Column("RAW FILE"),
    Column("FLAGGED"),
    Column("USE DOWNSTREAM"),
)


def help_of(action: str) -> str:
    """Return the help of one of the four commands."""
    return (
        f"{ACTIONS[action].sentence}\n\nWhat came of it is read back and shown.\n\n"
        f"Example: depositd pqc {action} rf12 rf13"
    )


def chosen_by_key(runs: Sequence[QcRun], keys: Sequence[str]) -> list[QcRun]:
    """Return the runs of some keys; raises DepositdError that names unknown ones with the nearest keys."""
    known = {run.key: run for run in runs if run.key is not None}
    if runs and not known:
        raise DepositdError(
            "this server tells no run keys (it is an older one)", hint="select by name: --raw-files NAME,NAME"
        )
    _refuse_unknown("run", keys, list(known))
    return [known[key] for key in dict.fromkeys(keys)]


def chosen_by_name(runs: Sequence[QcRun], names: Sequence[str]) -> list[QcRun]:
    """Return the runs of some raw files, with or without ``.raw``; raises DepositdError as :func:`chosen_by_key`."""
    from depositd.destinations.proteomicsqc.records import stem_of

    stems = {stem_of(run.stem) for run in runs}
    _refuse_unknown("raw file", [name for name in names if stem_of(name) not in stems], [run.stem for run in runs])
    wanted = {stem_of(name) for name in names}
    return [run for run in runs if stem_of(run.stem) in wanted]


def _refuse_unknown(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in dict.fromkeys(names) if name not in known]
    if not unknown:
        return
    near = list(dict.fromkeys(one for name in unknown for one in nearest(name, known, most=3)))
    shown = ", ".join(printable(name, 60) for name in unknown)
    nearby = ", ".join(printable(one, 60) for one in near[:5]) or "none"
    raise DepositdError(
        f"the server shows no processed {what} {shown} among the {show_count(len(known), 'run')} looked at",
        hint=f"nearest: {nearby}; --data-range N looks further back",
    )


def change(
    client: Client,
    slugs: tuple[str, str],
    action: str,
    keys: Sequence[str],
    names: Sequence[str],
    data_range: int | None,
) -> Marked:
    """Do something to runs and read it back; raises DepositdError, also where one of them is not there."""
    from depositd.destinations.base import RunAction
    from depositd.destinations.proteomicsqc.marking import FLAGGED, USED, mark
    from depositd.destinations.proteomicsqc.records import ASKED_COLUMNS, Columns, qc_runs
    from depositd.destinations.proteomicsqc.runs import RECENT_RUNS

    def ask(data_range: int) -> Columns:
        return client.qc_data(*slugs, data_range=data_range, columns=[*ASKED_COLUMNS, FLAGGED, USED])

    most = data_range or RECENT_RUNS
    shown = qc_runs(ask(most))
    keyed = chosen_by_key(shown, keys) if keys else []
    named = [] if keys else chosen_by_name(shown, names)
    return mark(
        client,
        slugs,
        RunAction(action),
        ask,
        run_keys=[run.key for run in keyed if run.key],
        raw_files=[run.stem for run in named],
        data_range=most,
    )


def rows_of(marked: Marked) -> list[list[Any]]:
    """Return the runs that were chosen as they are now, as :data:`RUN_COLUMNS` has them."""
    from depositd.destinations.proteomicsqc.marking import FLAGGED, USED
    from depositd.destinations.proteomicsqc.records import switch_at

    return [
        [run.key, run.stem, switch_at(marked.table, FLAGGED, run.row), switch_at(marked.table, USED, run.row)]
        for run in marked.runs
    ]


def unchanged(marked: Marked, keys: Sequence[str]) -> list[str]:
    """Return the runs that do not show what was done to them, or that are not shown any more, by their names."""
    still_there = {run.key for run in marked.runs}
    return [run.key or run.stem for run in marked.unmoved] + [key for key in keys if key not in still_there]


def change_command(action: str) -> Callable[..., None]:
    """Return the command that does one of the four things to runs."""

    def command(
        run_keys: Annotated[
            list[str] | None, typer.Argument(metavar="[RUN_KEY…]", show_default=False, help="Keys as in qc-data: rf12.")
        ] = None,
        raw_files: Annotated[
            list[str] | None,
            typer.Option("--raw-files", metavar="A,B", show_default=False, help="By name instead (older server)."),
        ] = None,
        data_range: DataRangeOption = None,
        project: ProjectOption = None,
        pipeline: PipelineOption = None,
        pid: PidOption = None,
        to: AtOption = None,
        server: ServerOption = None,
        config: ConfigOption = None,
        json: JsonOption = False,
    ) -> None:
        _change_runs(
            action,
            run_keys or [],
            names_of(raw_files),
            data_range,
            (project, pipeline, pid),
            (to, server, config),
            as_json=json,
        )

    return command


def _change_runs(
    action: str,
    keys: Sequence[str],
    names: Sequence[str],
    data_range: int | None,
    pipeline: tuple[str | None, str | None, str | None],
    server: tuple[str | None, str | None, Path | None],
    *,
    as_json: bool,
) -> None:
    if bool(keys) == bool(names):
        raise typer.BadParameter("name runs by their keys, or by --raw-files", param_hint="RUN_KEY")
    place = find_place(KIND, *server)
    with quality_control(place) as client:
        slugs = slugs_of(client, wanted_pipeline(place, *pipeline))
        marked = change(client, slugs, action, keys, names, data_range)
    if as_json:
        say_json(marked.answer)
    else:
        say_table(RUN_COLUMNS, rows_of(marked))
    left = unchanged(marked, keys)
    if left:
        tell(
            f"{show_count(len(left), 'run')} not {ACTIONS[action].done}, although the server took it: "
            + ", ".join(printable(name, 60) for name in left)
        )
        older = "; an older server heeds no run keys: --raw-files NAME" if keys else ""
        tell(f"hint: we may change our own runs only, ask whoever uploaded them or the project's owner{older}")
        raise typer.Exit(FAILED)
