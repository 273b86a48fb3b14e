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
from depositd.cli.pqc_data import KIND, DataRange, names_of
from depositd.cli.pqc_where import PidOption, PipelineOption, ProjectOption, slugs_of, wanted_pipeline
from depositd.cli.servers import AtOption, ServerOption, find_place, quality_control
from depositd.cli.tables import Column, nearest, say_table
from depositd.errors import DepositdError
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.destinations.proteomicsqc import Client

LOOKED_BACK = 1000
ACTIONS = {
    action: f"{sentence}\n\nWhat came of it is read back and shown.\n\nExample: depositd pqc {action} rf12 rf13"
    for action, sentence in (
        ("flag", "Flag runs, for people to look at."),
        ("unflag", "Take the flag off runs."),
        ("accept", "Use runs downstream."),
        ("reject", "Use runs downstream no more."),
    )
}
"""The four words about runs, each with its help."""

STATE_COLUMNS = ("RunKey", "RawFile", "Flagged", "Use Downstream")
RUN_COLUMNS = (
    Column("RUN", whole=True, style="bold"),
    Column("RAW FILE"),
    Column("FLAGGED"),
    Column("USE DOWNSTREAM"),
)
MADE_TRUE: Mapping[str, tuple[str, bool, str]] = {
    "flag": ("Flagged", True, "flagged"),
    "unflag": ("Flagged", False, "unflagged"),
    "accept": ("Use Downstream", True, "accepted"),
    "reject": ("Use Downstream", False, "rejected"),
}
"""What each action sets, to what, and the word for it."""


@dataclass(frozen=True, slots=True)
class Run:
    """One processed run: ``key`` is None on an older server, a state is None where the server does not tell it."""

    key: str | None
    raw_file: str
    flagged: bool | None
    used: bool | None

    def says(self, column: str) -> bool | None:
        """Return one of its two states by the server's name for it."""
        return self.flagged if column == "Flagged" else self.used

    @property
    def row(self) -> list[Any]:
        """The run as :data:`RUN_COLUMNS` has it."""
        return [self.key, self.raw_file, self.flagged, self.used]


def runs_of(table: Mapping[str, Any]) -> list[Run]:
    """Return the runs of ``qc-data``."""
    from depositd.destinations.proteomicsqc.records import qc_runs, switch_at

    return [
        Run(run.key, run.stem, switch_at(table, "Flagged", run.row), switch_at(table, "Use Downstream", run.row))
        for run in qc_runs(table)
    ]


def chosen_by_key(runs: Sequence[Run], keys: Sequence[str]) -> list[Run]:
    """Return the runs of some keys; raises DepositdError that names unknown ones with the nearest keys."""
    known = {run.key: run for run in runs if run.key is not None}
    if runs and not known:
        raise DepositdError(
            "this server tells no run keys (it is an older one)", hint="select by name: --raw-files NAME,NAME"
        )
    _refuse_unknown("run", keys, list(known))
    return [known[key] for key in dict.fromkeys(keys)]


def chosen_by_name(runs: Sequence[Run], names: Sequence[str]) -> list[Run]:
    """Return the runs of some raw files, with or without ``.raw``; raises DepositdError as :func:`chosen_by_key`."""
    from depositd.destinations.proteomicsqc.records import stem_of

    stems = {stem_of(run.raw_file) for run in runs}
    _refuse_unknown("raw file", [name for name in names if stem_of(name) not in stems], [run.raw_file for run in runs])
    wanted = {stem_of(name) for name in names}
    return [run for run in runs if stem_of(run.raw_file) in wanted]


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
    client: Client, slugs: tuple[str, str], action: str, keys: Sequence[str], names: Sequence[str], data_range: int
) -> tuple[Mapping[str, Any], list[Run]]:
    """Do something to runs; return the server's words and the runs as they are now.  Raises DepositdError."""

    def shown() -> list[Run]:
        return runs_of(client.qc_data(*slugs, data_range=data_range, columns=STATE_COLUMNS))

    def chosen(runs: Sequence[Run]) -> list[Run]:
        return chosen_by_key(runs, keys) if keys else chosen_by_name(runs, names)

    before = chosen(shown())
    if keys:
        answer = client.rawfile(action, *slugs, run_keys=list(dict.fromkeys(keys)))
    else:
        # newer servers know the name as it is shown, older ones the file's
        both = [form for run in before for form in (run.raw_file, f"{run.raw_file.removesuffix('.raw')}.raw")]
        answer = client.rawfile(action, *slugs, raw_files=list(dict.fromkeys(both)))
    return answer, chosen(shown())


def unmoved(action: str, runs: Sequence[Run]) -> list[Run]:
    """Return the runs that are not as an action should have made them; what the server does not tell is left out."""
    column, wanted, _word = MADE_TRUE[action]
    return [run for run in runs if run.says(column) is (not wanted)]


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
        data_range: DataRange = LOOKED_BACK,
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
    data_range: int,
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
        answer, runs = change(client, slugs, action, keys, names, data_range)
    if as_json:
        say_json(answer)
    else:
        say_table(RUN_COLUMNS, [run.row for run in runs])
    left = unmoved(action, runs)
    if left:
        word = MADE_TRUE[action][2]
        tell(
            f"{show_count(len(left), 'run')} not {word}, although the server took it: "
            + ", ".join(printable(run.key or run.raw_file, 60) for run in left)
        )
        tell("hint: we may change our own runs only; ask whoever uploaded them, or the project's owner")
        raise typer.Exit(FAILED)
