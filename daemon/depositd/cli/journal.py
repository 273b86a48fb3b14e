"""``journal check|backup|export``: care for the journal."""

from __future__ import annotations

import json as json_module
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd.cli import journals
from depositd.cli.failing import FAILED
from depositd.cli.options import ConfigOption, JsonOption, load
from depositd.cli.output import say, say_json
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.journal import Journal

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@commands.callback()
def journal(config: ConfigOption = None) -> None:
    """Check, back up or export the journal."""


@commands.command()
def check(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Check the journal's integrity; exit status 1 where it is unsound."""
    with _existing(config) as (opened, path):
        problems = opened.database.problems()
    if json:
        say_json({"path": str(path), "sound": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            say(printable(problem))
    else:
        say(f"{printable(str(path))} is sound")
    if problems:
        raise typer.Exit(FAILED)


@commands.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it must not exist yet.")],
    config: ConfigOption = None,
) -> None:
    """Copy the journal while it is in use."""
    with _existing(config) as (opened, _path):
        os.umask(0o077)  # the copy is as private as the journal
        opened.database.backup(file)
    say(f"copied to {printable(str(file))}")


@commands.command()
def export(config: ConfigOption = None) -> None:
    """Write every dataset with its history and the manifest of its archive as JSON Lines, one dataset a line."""
    with journals.reading(load(config)) as opened:
        for dataset in opened.view.everything() if opened else ():
            say(json_module.dumps(dataset, ensure_ascii=True))


@contextmanager
def _existing(config: Path | None) -> Iterator[tuple[Journal, Path]]:
    settings = load(config)
    with journals.reading(settings) as opened:
        if opened is None:
            raise DepositdError(
                f"there is no journal in {printable(str(settings.state_dir))} yet",
                hint="depositd run makes it; is this the right config?",
            )
        yield opened, opened.database.path
