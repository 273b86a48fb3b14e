"""``proteomicsqc``, in short ``pqc``: the whole REST API of ProteomicsQC by hand."""

from __future__ import annotations

import os
from typing import Annotated, Literal

import typer

from depositd.cli import pqc_data, pqc_runs
from depositd.cli.options import ConfigOption, JsonOption
from depositd.cli.output import say, say_json, tell
from depositd.cli.pqc_where import (
    PidOption,
    PipelineOption,
    ProjectOption,
    project_of,
    slugs_of,
    target_of,
    wanted_pipeline,
)
from depositd.cli.servers import AtOption, ServerOption, find_place, has_login, login_place, quality_control
from depositd.cli.tables import Column, say_table
from depositd.errors import RemoteError
from depositd.units import printable

KIND: Literal["proteomicsqc"] = "proteomicsqc"
commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@commands.callback()
def proteomicsqc(config: ConfigOption = None) -> None:
    """Use a ProteomicsQC server by hand."""


@commands.command("token")
def token(
    revoke: Annotated[bool, typer.Option("--revoke", help="Revoke it, and delete the file.")] = False,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    file: Annotated[
        str | None, typer.Option("--file", metavar="FILE", show_default=False, help="Where the token is kept.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Make or fetch our API token through the web login, and keep it in a file.

    Username and password come from the config or from DEPOSITD_USERNAME and DEPOSITD_PASSWORD. The file is readable
    by you alone; the token is not shown (except with --json, which prints the server's answer).

    Example: depositd pqc token --to qc
    """
    from depositd.cli.token_file import keep_token, path_of, remove_token

    place = find_place(KIND, to, server, config)
    path = path_of(place, file, os.environ)
    if not revoke:
        with quality_control(login_place(place, os.environ)) as client:
            minted = client.token()
        keep_token(path, minted.token, tell if json else say)
        if json:
            say_json(minted.raw)
        return
    by_session = has_login(place, os.environ)
    with quality_control(login_place(place, os.environ) if by_session else place) as client:
        client.revoke_token()
    removed = remove_token(path)
    # the server answers a web session alike, whether there was a token or not; a token had to be there to be taken
    done = "no token of the account is valid now" if by_session else "the token is revoked"
    (tell if json else say)(done + (f", and {printable(path)} is deleted" if removed else ""))
    if json:
        say_json({})


@commands.command("projects")
def projects(
    to: AtOption = None, server: ServerOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List the projects that we may see.

    Example: depositd pqc projects --server https://qc.example.org/
    """
    with quality_control(find_place(KIND, to, server, config)) as client:
        found = client.projects()
    if json:
        say_json([one.raw for one in found])
    else:
        columns = (Column("PROJECT", whole=True, style="bold"), Column("NAME"), Column("DESCRIPTION"))
        say_table(columns, [[one.slug, one.name, one.description] for one in found])


@commands.command("pipelines")
def pipelines(
    project: ProjectOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List the pipelines of a project, with the UUID that uploads need.

    Example: depositd pqc pipelines --project demo-project
    """
    place = find_place(KIND, to, server, config)
    with quality_control(place) as client:
        asked = project_of(client, wanted_pipeline(place, project, None, None).project)
        found = client.pipelines(asked)
    if json:
        say_json([one.raw for one in found])
    else:
        columns = (
            Column("PIPELINE", whole=True, style="bold"),
            Column("UUID", whole=True),
            Column("NAME"),
            Column("PATH"),
        )
        say_table(columns, [[one.slug, one.uuid, one.name, one.path_as_str] for one in found])


@commands.command("uploaders")
def uploaders(
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List who has uploaded to a pipeline.

    Example: depositd pqc uploaders --project demo-project --pipeline tmt-qc
    """
    place = find_place(KIND, to, server, config)
    with quality_control(place) as client:
        found = client.uploaders(*slugs_of(client, wanted_pipeline(place, project, pipeline, pid)))
    if json:
        say_json([one.raw for one in found])
    else:
        say_table((Column("UPLOADER", whole=True), Column("VALUE")), [[one.label, one.value] for one in found])


@commands.command("upload")
def upload(
    files: Annotated[list[str], typer.Argument(metavar="FILE…", help="Raw files, each a run of its own.")],
    again: Annotated[bool, typer.Option("--again", help="Also send names that the pipeline has already.")] = False,
    project: ProjectOption = None,
    pipeline: PipelineOption = None,
    pid: PidOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Upload raw files to a pipeline.

    The server gives no hash and makes a run of each upload, so a name that is there already is not sent, and after a
    lost answer nothing is sent again: 3 is the exit status then. With --json the answer to one file is an object, to
    several a list.

    Example: depositd pqc upload sample1.raw sample2.raw --to qc
    """
    from depositd.cli.pqc_upload import UPLOAD_COLUMNS, Uploaded, check_files, summary, upload_files

    check_files(files)
    place = find_place(KIND, to, server, config)
    uploaded = Uploaded()
    broken: RemoteError | None = None
    with quality_control(place) as client:
        target = target_of(client, wanted_pipeline(place, project, pipeline, pid))
        try:
            upload_files(client, target, files, uploaded, again=again)
        except RemoteError as error:
            broken = error
        # what was sent is told even where what came after it failed
        answers = [answer.raw for _path, answer in uploaded.answers]
        if json and len(files) > 1:
            say_json(answers)
        elif json and answers:
            say_json(answers[0])
        elif answers:
            say_table(UPLOAD_COLUMNS, uploaded.rows)
        if len(files) > 1:
            tell(summary(uploaded))
        if broken is not None:
            raise broken
    if uploaded.status:
        raise typer.Exit(uploaded.status)


commands.command("qc-data")(pqc_data.qc_data)
commands.command("protein-names")(pqc_data.protein_names)
commands.command("protein-groups")(pqc_data.protein_groups)
commands.command("trend")(pqc_data.trend)
for action in pqc_runs.ACTIONS:
    commands.command(action, help=pqc_runs.help_of(action))(pqc_runs.change_command(action))
