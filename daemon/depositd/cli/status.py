"""``status``, ``show`` and ``explain``: what is, what was, and why."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depositd.cli import journals
from depositd.cli.held import held_lines, held_table
from depositd.cli.options import ConfigOption, JsonOption, load
from depositd.cli.output import renderable, say, say_json, say_lines, say_pieces
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.cli.status_text import Picture
    from depositd.config import Config
    from depositd.journal import View

PreviewOption = Annotated[
    str | None,
    typer.Option(
        "--preview", metavar="FILE", show_default=False, help="Also write a picture of it as PNG (- for stdout)."
    ),
]
REFRESH_S = 1.0
SPARED = 4.0
"""``--watch`` rests this many times as long as a look took."""
EMPTY: dict[str, Any] = {
    "datasets": [],
    "totals": {"datasets": 0, "delivered": 0, "set aside": 0},
    "sources": [],
    "destinations": [],
    "transfers": [],
    "disks": [],
    "backlog": [],
    "journal": {"backup_at": None, "problems": []},
}


def status(
    config: ConfigOption = None,
    json: JsonOption = False,
    watch: Annotated[bool, typer.Option("--watch", "-w", help="Refresh until Ctrl+C.")] = False,
    everything: Annotated[bool, typer.Option("--all", "-a", help="Also show all that is done.")] = False,
    held: Annotated[bool, typer.Option("--held", help="Only what is held, and what it misses.")] = False,
    as_table: Annotated[
        bool, typer.Option("--csv", help="With --held: a table to be filled in, for release --from.")
    ] = False,
) -> None:
    """Show what was found and sent, what waits, and what needs you."""
    if watch and (json or held or not sys.stdout.isatty()):
        why = "it refreshes a terminal, and stdout is none" if not (json or held) else "it shows everything, and lasts"
        raise typer.BadParameter(why, param_hint="--watch")
    if as_table and (json or not held):
        raise typer.BadParameter("the table is one of what is held (--held --csv, without --json)", param_hint="--csv")
    settings = load(config)
    if json:
        say_pieces(_document(settings, held=held))
    elif held:
        picture = _picture(settings, lambda view: view.held())
        if as_table:
            sys.stdout.write(held_table(picture.view))
        else:
            say_lines(held_lines(picture.view, picture.now))
    elif watch:
        _watch(settings, everything)
    else:
        from depositd.cli.status_text import status_lines

        say_lines(status_lines(_picture(settings, _wanted(everything), everything)))


def _wanted(everything: bool) -> Callable[[View], dict[str, Any]]:
    """Return what is read of the datasets: those that a table shows, or all."""
    return (lambda view: view.status()) if everything else (lambda view: view.overview())


def _picture(config: Config, wanted: Callable[[View], dict[str, Any]], everything: bool = False) -> Picture:
    from depositd.cli.status_text import Picture
    from depositd.engine.outlook import beside_datasets
    from depositd.service.lock import running_pid

    now = datetime.now(UTC)
    with journals.reading(config) as journal:
        view = {**wanted(journal.view), **beside_datasets(config, journal, now)} if journal else EMPTY
    pid = running_pid(config.state_dir)
    return Picture(view, now, pid, everything, None if pid is None else journals.disk_problem(config))


def _document(config: Config, *, held: bool) -> Iterator[str]:
    """Give the one JSON document, piece by piece."""
    from depositd.engine.outlook import beside_datasets
    from depositd.journal.document import document
    from depositd.service.lock import running_pid

    with journals.reading(config) as journal:
        pid = running_pid(config.state_dir)
        problem = None if pid is None else journals.disk_problem(config)
        daemon = {"running": pid is not None, "pid": pid or None, "problem": problem}
        if journal is None:
            beside = {key: value for key, value in EMPTY.items() if key not in ("datasets", "totals")}
            yield from document((), {**beside, "daemon": daemon})
            return
        beside = beside_datasets(config, journal, datetime.now(UTC))
        pages = (journal.view.held()["datasets"],) if held else journal.view.pages()
        yield from document(pages, {**beside, "daemon": daemon})


def _watch(config: Config, everything: bool) -> None:
    from rich.console import Group
    from rich.live import Live

    from depositd.cli.paces import Paces
    from depositd.cli.status_text import status_lines

    paces = Paces()

    def shown() -> Group:
        picture = _picture(config, _wanted(everything), everything)
        with journals.reading(config) as journal:
            transfers = paces.look(journal.surroundings.transfers() if journal else (), picture.now)
        view = {**picture.view, "transfers": transfers}
        return Group(*(renderable(line) for line in status_lines(replace(picture, view=view))))

    began_s = time.monotonic()
    with Live(shown(), screen=True, auto_refresh=False) as live:
        while True:
            # a look at 10,000 datasets takes a while: whoever watches must not take a core from the daemon
            time.sleep(max(REFRESH_S, SPARED * (time.monotonic() - began_s)))
            began_s = time.monotonic()
            live.update(shown(), refresh=True)


def show(
    dataset: Annotated[int, typer.Argument(metavar="ID", min=1, help="The dataset's number, as in status.")],
    config: ConfigOption = None,
    json: JsonOption = False,
    preview: PreviewOption = None,
    manifest: Annotated[
        bool, typer.Option("--manifest", help="Only what is in its archive, in the form that sha256sum -c reads.")
    ] = False,
    at_source: Annotated[
        bool, typer.Option("--at-source", help="With --manifest: the paths of the source's files, not the archive's.")
    ] = False,
) -> None:
    """Show one dataset's facts, its deliveries and its whole history."""
    from depositd.cli.manifest import say_manifest
    from depositd.cli.previews import STDOUT, write_preview
    from depositd.cli.show_text import show_lines

    if json and preview == STDOUT:
        raise typer.BadParameter(
            "--json is one document on stdout, and a picture cannot join it", param_hint="--preview"
        )
    if manifest and preview is not None:
        raise typer.BadParameter("the manifest is shown alone (one of both)", param_hint="--preview")
    if at_source and not manifest:
        raise typer.BadParameter("the paths are those of a manifest (--manifest --at-source)", param_hint="--at-source")
    settings = load(config)
    with journals.reading(settings) as journal:
        shown = journal.view.show(dataset) if journal else None
        if shown is None or journal is None:
            raise DepositdError(f"there is no dataset {dataset}", hint="depositd status lists them with their numbers")
        if manifest:
            say_manifest(journal, shown, json=json, at_source=at_source)
            return
        written = write_preview(settings, journal, dataset, preview) if preview is not None else None
    if written == STDOUT:
        return
    if json:
        say_json(shown if written is None else {**shown, "preview": written})
        return
    say_lines(show_lines(shown, datetime.now(UTC)))
    if written is not None:
        say()
        say(f"its picture was written to {printable(written)}")


def explain(
    target: Annotated[str, typer.Argument(metavar="ID|PATH", help="A dataset's number, a file or a directory.")],
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say which rule took it, or why none did, and what it waits for."""
    from depositd.engine.explaining import explain as explain_target

    settings = load(config)
    with journals.reading(settings) as journal:
        explanation = explain_target(settings, journal, target, datetime.now(UTC))
    if json:
        say_json(explanation.json())
        return
    for sentence in explanation.lines():
        say(printable(sentence))
