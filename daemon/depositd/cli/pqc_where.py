"""Which pipeline a command speaks of: from its options, or from the config."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.cli.servers import Place
    from depositd.destinations.proteomicsqc import Client
    from depositd.destinations.proteomicsqc.target import Target, Wanted

ProjectOption = Annotated[
    str | None, typer.Option("--project", metavar="SLUG", show_default=False, help="The project; else the config's.")
]
PipelineOption = Annotated[
    str | None, typer.Option("--pipeline", metavar="SLUG", show_default=False, help="The pipeline; else the config's.")
]
PidOption = Annotated[
    str | None,
    typer.Option("--pid", metavar="UUID", show_default=False, help="The pipeline by its UUID, instead of the slugs."),
]


def wanted_pipeline(place: Place, project: str | None, pipeline: str | None, pid: str | None) -> Wanted:
    """Return what the options and the config say of a pipeline; options beat the config."""
    from depositd.destinations.proteomicsqc.target import Wanted

    if pid is not None:
        try:
            UUID(pid)
        except ValueError:
            raise typer.BadParameter(f"{printable(pid)} is no UUID", param_hint="--pid") from None
        return Wanted(project, pipeline, pid)
    settings = place.settings
    if settings is None or settings.type != "proteomicsqc":
        return Wanted(project, pipeline)
    if project is None and pipeline is None:
        return Wanted(settings.project, settings.pipeline, settings.pid)
    return Wanted(project or settings.project, pipeline or settings.pipeline)


def slugs_of(client: Client, wanted: Wanted) -> tuple[str, str]:
    """Return the slugs of project and pipeline as the server shows them; raises DepositdError with the nearest."""
    from depositd.destinations.proteomicsqc.target import named_pipeline, pipeline_of_pid

    by_slugs = wanted.project is not None and wanted.pipeline is not None
    _check_named(wanted)
    with _held_by_hand():
        projects = client.projects()
        found = named_pipeline(client, wanted, projects) if by_slugs else None
    if found is None and wanted.pid is not None:
        found = pipeline_of_pid(client, wanted.pid, projects)
    if found is None:
        raise DepositdError(
            f"{client.host} shows us no pipeline with pid {printable(wanted.pid or '', 60)}",
            hint="name it with --project and --pipeline; an older server tells no UUIDs",
        )
    project, pipeline = found
    return project, pipeline.slug


def project_of(client: Client, project: str | None) -> str:
    """Return a project's slug that the server shows; raises DepositdError with the nearest."""
    from depositd.destinations.proteomicsqc.target import checked_project

    projects = client.projects()
    if project is None:
        shown = ", ".join(printable(one.slug, 60) for one in projects[:8]) or "none"
        raise typer.BadParameter(f"which project? the server shows: {shown}", param_hint="--project")
    with _held_by_hand():
        return checked_project(client, project, projects)


def target_of(client: Client, wanted: Wanted) -> Target:
    """Return where files go; raises DepositdError."""
    from depositd.destinations.proteomicsqc.target import find_target

    _check_named(wanted)
    with _held_by_hand():
        return find_target(client, wanted, client.projects())


def _check_named(wanted: Wanted) -> None:
    if wanted.pid is None and (wanted.project is None or wanted.pipeline is None):
        raise typer.BadParameter("which pipeline? --project SLUG and --pipeline SLUG, or --pid UUID")


@contextmanager
def _held_by_hand() -> Iterator[None]:
    """Turn what the daemon would hold into an error whose hint speaks of options."""
    from depositd.destinations.proteomicsqc.target import Held

    try:
        yield
    except Held as held:
        hint = held.hint.replace("set pid, the pipeline's UUID, in the config", "give it with --pid UUID")
        hint = hint.replace(", then release", "").replace("in the config", "with --project, --pipeline or --pid")
        raise DepositdError(str(held), hint=hint) from None
