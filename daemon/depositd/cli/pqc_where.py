"""Which pipeline a command speaks of: from its options, or from the config."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated
from uuid import UUID

import typer

from depositd.cli.tables import nearest
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
    from depositd.destinations.proteomicsqc.target import same_uuid

    if wanted.project is not None and wanted.pipeline is not None:
        project = project_of(client, wanted.project)
        listed = [one.slug for one in client.pipelines(project)]
        if wanted.pipeline not in listed:
            raise _unknown(
                f"{client.host} shows us no pipeline {wanted.pipeline!r} in {project}", wanted.pipeline, listed
            )
        return project, wanted.pipeline
    if wanted.pid is None:
        raise typer.BadParameter("which pipeline? --project SLUG and --pipeline SLUG, or --pid UUID")
    for each in client.projects():
        for pipeline in client.pipelines(each.slug):
            if pipeline.uuid is not None and same_uuid(pipeline.uuid, wanted.pid):
                return each.slug, pipeline.slug
    raise DepositdError(
        f"{client.host} shows us no pipeline with pid {printable(wanted.pid, 60)}",
        hint="name it with --project and --pipeline; an older server tells no UUIDs",
    )


def project_of(client: Client, project: str | None) -> str:
    """Return a project's slug that the server shows; raises DepositdError with the nearest."""
    listed = [one.slug for one in client.projects()]
    if project is None:
        shown = ", ".join(printable(slug, 60) for slug in listed[:8]) or "none"
        raise typer.BadParameter(f"which project? the server shows: {shown}", param_hint="--project")
    if project not in listed:
        raise _unknown(f"{client.host} shows us no project {project!r}", project, listed)
    return project


def target_of(client: Client, wanted: Wanted) -> Target:
    """Return where files go; raises DepositdError."""
    from depositd.destinations.proteomicsqc.target import Held, find_target

    if wanted.pid is None and (wanted.project is None or wanted.pipeline is None):
        raise typer.BadParameter("which pipeline? --project SLUG and --pipeline SLUG, or --pid UUID")
    try:
        return find_target(client, wanted, client.projects())
    except Held as held:
        hint = held.hint.replace("set pid, the pipeline's UUID, in the config", "give it with --pid UUID")
        hint = hint.replace(", then release", "").replace("in the config", "with --project, --pipeline or --pid")
        raise DepositdError(str(held), hint=hint) from None


def _unknown(sentence: str, name: str, listed: Sequence[str]) -> DepositdError:
    near = ", ".join(printable(slug, 60) for slug in nearest(name, listed)) or "none at all"
    return DepositdError(printable(sentence), hint=f"nearest that it shows: {near}")
