"""``proteindiffraction``, in short ``pdi``: the whole REST API of the Protein Diffraction Image Server by hand."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from depositd.cli.failing import INTERRUPTED, NEEDS_OPERATOR
from depositd.cli.options import ConfigOption, JsonOption, SetOption, assignments
from depositd.cli.output import say, say_json, say_lines, tell
from depositd.cli.servers import AtOption, ServerOption, diffraction, find_place, login_place
from depositd.errors import DepositdError, NotFound
from depositd.model import Delivery, DeliveryState, Metadata, Problem
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.cli.pdi_submit import Watch
    from depositd.cli.servers import Place
    from depositd.destinations.proteindiffraction import Client

KIND: Literal["proteindiffraction"] = "proteindiffraction"

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)

TokenArgument = Annotated[str, typer.Argument(metavar="TOKEN", help="The upload's token, as in list.")]
YesOption = Annotated[bool, typer.Option("--yes", help="Do not ask; only on a terminal is asked at all.")]
WaitOption = Annotated[
    bool, typer.Option("--wait", "--poll", help="Wait until it is published or refused; 3 where it is not published.")
]
FileOption = Annotated[
    str | None, typer.Option("--file", metavar="FILE", show_default=False, help="Where the token is kept.")
]


@commands.callback()
def proteindiffraction(config: ConfigOption = None) -> None:
    """Use the Protein Diffraction Image Server by hand."""


@commands.command("token")
def token(
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    file: FileOption = None,
    json: JsonOption = False,
) -> None:
    """Exchange username and password for an API token, and keep it in a file.

    Username and password come from the config or from DEPOSITD_USERNAME and DEPOSITD_PASSWORD. The file is readable
    by you alone; the token is not shown (except with --json, which prints the server's answer).

    Example: depositd pdi token --server https://proteindiffraction.org/api/v1/
    """
    from depositd.cli.token_file import keep_token, path_of

    place = find_place(KIND, to, server, config)
    path = path_of(place, file, os.environ)
    with diffraction(login_place(place, os.environ)) as client:
        account = client.login()
    keep_token(path, account.token, tell if json else say)
    if json:
        say_json(account.raw)


@commands.command("equipment")
def equipment(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", show_default=False, help="A synchrotron or beamline.")
    ] = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """List synchrotrons and beamlines with the ids that the server knows them by.

    Example: depositd pdi equipment APS
    """
    from depositd.cli import pdi_text
    from depositd.cli.tables import say_table

    with diffraction(find_place(KIND, to, server, config)) as client:
        known = client.equipment()
        host = client.host
    found = pdi_text.named_equipment(known, name) if name else known
    if name and not found:
        near = ", ".join(printable(one, 60) for one in pdi_text.nearest_equipment(known, name))
        raise DepositdError(f"{host} knows no synchrotron or beamline {printable(name)!r}", hint=f"nearest: {near}")
    if json:
        say_json([one.raw for one in found])
    else:
        say_table(pdi_text.EQUIPMENT_COLUMNS, pdi_text.equipment_rows(found))


@commands.command("list")
def list_submissions(
    to: AtOption = None, server: ServerOption = None, config: ConfigOption = None, json: JsonOption = False
) -> None:
    """List all our submissions, newest first.

    Example: depositd pdi list --to irrmc
    """
    from depositd.cli import pdi_text
    from depositd.cli.tables import say_table

    with diffraction(find_place(KIND, to, server, config)) as client:
        found = client.submissions()
        host = client.host
    if json:
        say_json([one.raw for one in found])
    elif found:
        say_table(pdi_text.LIST_COLUMNS, pdi_text.list_rows(found))
    else:
        tell(f"{host} has no submissions of ours")


@commands.command("status")
def status(
    token: TokenArgument,
    poll: Annotated[
        bool, typer.Option("--poll", help="Wait for the final status; 3 where that is not published.")
    ] = False,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Show what the server knows of one submission, and what comes next.

    Example: depositd pdi status 3f2a… --poll
    """
    from depositd.cli import pdi_text
    from depositd.cli.pdi_follow import follow
    from depositd.cli.pdi_submit import Watch

    place = find_place(KIND, to, server, config)
    with diffraction(place) as client:
        if poll:
            watch = Watch(time.monotonic)
            found = follow(
                lambda: client.submission(token),
                lambda one: watch.say(pdi_text.status_line(one.status, one.token, place.again)),
                sleep=time.sleep,
                longest_s=place.poll_s,
            )
        else:
            found = client.submission(token)
    if json:
        say_json(found.raw)
    else:
        say_lines(pdi_text.fact_lines(pdi_text.submission_facts(found, place.again)))
    if poll and found.failed:
        raise typer.Exit(NEEDS_OPERATOR)


@commands.command("delete")
def delete(
    token: TokenArgument,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Delete a submission; the server allows it for some statuses (uploaded, validated, error_no_data).

    Example: depositd pdi delete 3f2a…
    """
    with diffraction(find_place(KIND, to, server, config)) as client:
        client.delete(token)
    if json:
        say_json({})
    else:
        say(f"{printable(token)} is deleted")


@commands.command("upload")
def upload(
    file: Annotated[str, typer.Argument(metavar="FILE", help="An archive: .tar, .tar.gz, .tar.bz2, .zip, .tar.zst …")],
    values: SetOption = None,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Upload an archive as it is; pdi submit TOKEN then submits it. Nothing is public before that.

    What the server has already is not sent again: its submission is shown. The one key for --set is dataset_type.

    Example: depositd pdi upload lyso_1.tar.zst --set dataset_type=other
    """
    from depositd.cli import pdi_submit, pdi_text
    from depositd.cli.pdi_file import refuse_no_archive
    from depositd.destinations.proteindiffraction.records import Upload

    metadata = assignments(values)
    if set(metadata) - {"dataset_type"}:
        raise typer.BadParameter("only dataset_type is told at upload, the rest by pdi submit", param_hint="--set")
    kind = metadata.get("dataset_type")
    if kind not in (None, "pdb", "other"):
        raise typer.BadParameter(
            f"dataset_type: {printable(kind)!r} is no dataset type (pdb or other)", param_hint="--set"
        )
    if os.path.isdir(file):
        raise typer.BadParameter(f"{printable(file)} is a directory; pdi submit packs and sends one", param_hint="FILE")
    refuse_no_archive(file)
    place = find_place(KIND, to, server, config)
    with diffraction(place) as client:
        found = pdi_submit.upload(client, file, kind)
    if json:
        say_json(found.raw)
    elif isinstance(found, Upload):
        say_lines(pdi_text.fact_lines(pdi_text.upload_facts(found)))
    else:
        say_lines(pdi_text.fact_lines(pdi_text.submission_facts(found, place.again)))
    if isinstance(found, Upload):
        if found.is_pdb_exists:
            tell(f"warning: the repository has a dataset for {printable(found.pdbid or 'its PDB entry', 40)} already")
        tell(f"next: {pdi_text.next_action('uploaded', found.token, place.again)}")


@commands.command("submit")
def submit(
    what: Annotated[
        str, typer.Argument(metavar="PATH_OR_TOKEN", help="A directory, a file, an archive; or an upload's token.")
    ],
    values: SetOption = None,
    wait: WaitOption = False,
    yes: YesOption = False,
    to: AtOption = None,
    server: ServerOption = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Pack, upload and submit a dataset, or submit what was uploaded before. Submitted data become public.

    Keys for --set: pdb_code, or project_title, project_authors and equipment_other (or synchrotron and beamline, by
    name). An archive is sent as it is, anything else is packed as .tar.zst first. A directory that holds one dataset
    and nothing else is packed as the daemon packs it; of anything else, what lies at PATH is packed as it is, and the
    daemon would not recognise it. Data that the server has already are not sent again. Where it ends needing you, for
    example because the PDB entry has a dataset already, the exit status is 3; naming the token then submits it all the
    same.

    Example: depositd pdi submit ./lyso_1 --set pdb_code=1ABC --wait
    """
    from depositd.cli import pdi_submit, pdi_text

    metadata = assignments(values)
    missing = pdi_submit.refuse_wrong_metadata(metadata)
    place = find_place(KIND, to, server, config)
    with diffraction(place) as client:
        watch = pdi_submit.Watch(time.monotonic)
        try:
            ended = _submit(client, place, what, metadata, missing, watch, wait=wait, yes=yes)
        except KeyboardInterrupt:
            _tell_how_to_go_on(watch.latest, what, place)
            raise typer.Exit(INTERRUPTED) from None
        submission = client.submission(ended.remote_id).raw if json and ended.remote_id else {}
    if json:
        say_json(submission)
    elif ended.remote_id is not None:
        say_lines(pdi_text.fact_lines([("token", ended.remote_id), ("status", ended.remote_status or ended.state)]))
    if ended.state is DeliveryState.DELIVERED or (ended.state is DeliveryState.SUBMITTED and not wait):
        return
    tell(f"{ended.state}: {printable(ended.error or '')}")
    if hint := pdi_text.hint_of(ended, what, place.again):
        tell(f"hint: {hint}")
    raise typer.Exit(NEEDS_OPERATOR)


def _submit(
    client: Client,
    place: Place,
    what: str,
    metadata: Metadata,
    missing: list[Problem],
    watch: Watch,
    *,
    wait: bool,
    yes: bool,
) -> Delivery:
    """Submit a path or a token and return the delivery as it ended; raises DepositdError."""
    from depositd.cli import pdi_submit
    from depositd.engine.unrecorded import AT_REST

    until = AT_REST if wait else AT_REST | {DeliveryState.SUBMITTED}
    by_token = pdi_submit.is_token(what)
    if not by_token and not os.path.lexists(what):
        raise DepositdError(
            f"there is no file or directory {printable(what)}, and it is no upload's token either",
            hint="depositd pdi list shows the tokens of our uploads",
        )
    if not by_token and missing:
        return pdi_submit.held_for(missing, place)
    pdi_submit.refuse_unknown_equipment(client, metadata)
    if not by_token:
        client.submissions()  # a refused token must cost nothing, not even the packing
    if not yes:
        pdi_submit.ask_before_publishing(what, client.host)
    if not by_token:
        return pdi_submit.submit_path(client, place, what, metadata, until=until, watch=watch)
    try:
        return pdi_submit.submit_token(client, place, what, metadata, until=until, watch=watch)
    except NotFound as error:
        error.hint = "there is no file or directory of that name here either; depositd pdi list shows the tokens"
        raise


def _tell_how_to_go_on(latest: Delivery | None, what: str, place: Place) -> None:
    """Tell, after Ctrl+C, what is there and which command goes on from it."""
    from depositd.cli import pdi_text

    tell("")
    if latest is None:
        tell("stopped before anything was sent")
    else:
        tell(f"stopped; {pdi_text.hint_of(latest, what, place.again)}")
