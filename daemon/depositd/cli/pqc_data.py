"""``pqc`` on figures: of runs and of protein groups, as table, CSV or chart."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from depositd.cli.options import ConfigOption, JsonOption
from depositd.cli.output import say_json, say_lines, tell
from depositd.cli.pqc_where import PidOption, PipelineOption, ProjectOption, slugs_of, wanted_pipeline
from depositd.cli.servers import AtOption, Place, ServerOption, find_place, quality_control
from depositd.cli.tables import STDOUT, Column, cell, how_many_fit, nearest, rows_of, say_table, write_csv
from depositd.errors import DepositdError, Rejected, Unavailable
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.destinations.proteomicsqc import Client

KIND: Literal["proteomicsqc"] = "proteomicsqc"
SHOWN = (
    "RunKey",
    "RawFile",
    "DateAcquired",
    "Flagged",
    "Use Downstream",
    "N_peptides",
    "N_protein_groups",
    "N_missing_values",
    "MS/MS Identified [%]",
)
"""What a table of runs shows where nobody asks for columns."""
REPORTER = "Reporter intensity corrected"


DataRange = Annotated[
    int, typer.Option("--data-range", metavar="N", min=1, help="How many of the most recent runs are looked at.")
]
ColumnsOption = Annotated[
    list[str] | None, typer.Option("--columns", metavar="A,B", show_default=False, help="Which columns; repeatable.")
]
RawFilesOption = Annotated[
    list[str] | None,
    typer.Option("--raw-files", metavar="A,B", show_default=False, help="Only runs of these names; repeatable."),
]
ProteinNamesOption = Annotated[
    list[str] | None,
    typer.Option("--protein-names", metavar="A,B", show_default=False, help="Which protein groups; repeatable."),
]
CsvOption = Annotated[
    str | None,
    typer.Option("--csv", metavar="FILE", show_default=False, help="Write CSV with all asked columns; - is stdout."),
]


def qc_data(
    data_range: DataRange = 100,
    columns: ColumnsOption = None,
    csv: CsvOption = None,
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show the figures of the most recent runs: some of them as a table, all of them as CSV or JSON.

    Example: depositd pqc qc-data --data-range 20 --columns RawFile,N_peptides --csv runs.csv
    """
    asked = names_of(columns)

    def get(client: Client, slugs: tuple[str, str]) -> Mapping[str, Any]:
        return (
            asked_columns(client, slugs, asked, data_range) if asked else client.qc_data(*slugs, data_range=data_range)
        )

    table = _ask(find_place(KIND, to, server, config), (project, pipeline, pid), get)
    _show(table, asked or [name for name in SHOWN if name in table], asked, csv, as_json=json)


def protein_names(
    data_range: DataRange = 100,
    raw_files: RawFilesOption = None,
    with_contaminants: Annotated[bool, typer.Option("--with-contaminants", help="Keep contaminants.")] = False,
    with_reversed: Annotated[bool, typer.Option("--with-reversed", help="Keep reversed sequences.")] = False,
    csv: CsvOption = None,
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List protein groups with mean scores and intensities over the most recent runs.

    Example: depositd pqc protein-names --data-range 3 --raw-files sample1,sample2
    """

    def get(client: Client, slugs: tuple[str, str]) -> Mapping[str, Any]:
        return client.protein_names(
            *slugs,
            data_range=data_range,
            raw_files=names_of(raw_files),
            remove_contaminants=not with_contaminants,
            remove_reversed_sequences=not with_reversed,
        )

    table = _ask(find_place(KIND, to, server, config), (project, pipeline, pid), get)
    _show(table, list(table), [], csv, as_json=json)


def protein_groups(
    protein_names: ProteinNamesOption = None,
    columns: ColumnsOption = None,
    data_range: DataRange = 100,
    raw_files: RawFilesOption = None,
    csv: CsvOption = None,
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show figures of chosen protein groups in the most recent runs; without --columns, the reporter intensities.

    Example: depositd pqc protein-groups --protein-names 'QC1|Peptide1' --data-range 3
    """
    wanted = names_of(protein_names)
    if not wanted:
        raise typer.BadParameter("which protein groups? pqc protein-names lists them", param_hint="--protein-names")

    def get(client: Client, slugs: tuple[str, str]) -> Mapping[str, Any]:
        return client.protein_groups(
            *slugs,
            protein_names=wanted,
            columns=names_of(columns) or [REPORTER],
            data_range=data_range,
            raw_files=names_of(raw_files),
        )

    table = _ask(find_place(KIND, to, server, config), (project, pipeline, pid), get)
    _show(table, list(table), [], csv, as_json=json)


def trend(
    column: Annotated[str, typer.Argument(metavar="COLUMN", help="A column of numbers, as in qc-data.")],
    data_range: DataRange = 30,
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Draw one column over the most recent runs: a line for each, with the median of those that are not rejected.

    Example: depositd pqc trend N_peptides --data-range 50
    """
    from depositd.cli.trend import COLUMNS, points_of, trend_lines

    def get(client: Client, slugs: tuple[str, str]) -> Mapping[str, Any]:
        return asked_columns(client, slugs, [*COLUMNS, column], data_range, must_have=[column])

    table = _ask(find_place(KIND, to, server, config), (project, pipeline, pid), get)
    if json:
        say_json(table)
        return
    try:
        points = points_of(table, column)
    except ValueError as error:
        raise DepositdError(str(error), hint="name a column of numbers; pqc qc-data shows some") from None
    if points:
        say_lines(trend_lines(points, column, _width()))
    else:
        tell("the pipeline shows no processed runs yet")


def _width() -> int:
    from rich.console import Console

    return Console().width


# --- what several of them do ------------------------------------------------------------------------------------------


def names_of(given: Sequence[str] | None) -> list[str]:
    """Return the names of a repeatable ``A,B`` option."""
    return [name for each in given or () for part in each.split(",") if (name := part.strip())]


def _ask(
    place: Place,
    pipeline: tuple[str | None, str | None, str | None],
    get: Callable[[Client, tuple[str, str]], Mapping[str, Any]],
) -> Mapping[str, Any]:
    """Return the table that a question to a pipeline gives; raises DepositdError."""
    with quality_control(place) as client:
        return get(client, slugs_of(client, wanted_pipeline(place, *pipeline)))


def asked_columns(
    client: Client, slugs: tuple[str, str], asked: Sequence[str], data_range: int, *, must_have: Sequence[str] = ()
) -> Mapping[str, Any]:
    """Return some columns of ``qc-data``; raises DepositdError with the nearest where one is not there."""
    from depositd.destinations.proteomicsqc.records import has_column

    error: Rejected | Unavailable | None = None
    table: Mapping[str, Any] = {}
    try:
        table = client.qc_data(*slugs, data_range=data_range, columns=asked)
    except (Rejected, Unavailable) as refused:
        if isinstance(refused, Unavailable) and refused.status != 500:
            raise
        error = refused  # an unknown column, perhaps
    missing = [name for name in must_have or asked if not has_column(table, name)]
    if not missing:
        return table
    known = [name for name, values in client.qc_data(*slugs, data_range=1).items() if isinstance(values, list)]
    unknown = [name for name in missing if name not in known]
    if error is not None and not unknown:
        raise error
    if not known:
        raise DepositdError("the pipeline shows no columns yet", hint="they come with the first processed run")
    near = ", ".join(printable(one, 60) for name in unknown for one in nearest(name, known, most=3))
    shown = ", ".join(printable(name, 60) for name in unknown or missing)
    raise DepositdError(f"the server has no column {shown}", hint=f"nearest: {near}; names are as the server has them")


def _show(
    table: Mapping[str, Any], names: Sequence[str], asked: Sequence[str], csv: str | None, *, as_json: bool
) -> None:
    """Write a table as JSON, as CSV with every column or those asked for, or as text with those named."""
    if as_json and csv is not None:
        raise typer.BadParameter("one of --csv and --json", param_hint="--csv")
    if as_json:
        say_json(table)
        return
    if csv is not None:
        count = write_csv(table, asked or list(table), csv)
        if csv != STDOUT:
            tell(f"{show_count(count, 'row')} in {printable(csv)}")
        return
    rows = rows_of(table, names)
    columns = [_column(name, [row[index] for row in rows]) for index, name in enumerate(names)]
    shown = len(columns) if asked else how_many_fit(columns, rows)
    if rows:
        say_table(columns[:shown], [row[:shown] for row in rows])
    more = "; --columns, --csv and --json have the others" if shown < len(table) else ""
    tell(f"{show_count(len(rows), 'row')}, {shown} of {show_count(len(table), 'column')}{more}")


def _column(name: str, values: Sequence[Any]) -> Column:
    numbers = all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in values if value is not None
    )
    return Column(cell(name), whole=name == "RunKey", right=numbers and bool(values))
