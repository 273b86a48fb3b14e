"""Which commands there are; only the one that is asked for is imported and built."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated

import typer

from depositd import __version__
from depositd.cli.options import ConfigOption


@dataclass(frozen=True, slots=True)
class _Command:
    """Where a command is: a module of this package and a name in it; ``help`` replaces its own."""

    module: str
    name: str
    help: str | None = None

    def add_to(self, app: typer.Typer, called: str) -> None:
        """Import the command and make it one of the program's."""
        module = import_module(f"depositd.cli.{self.module}")
        found = getattr(module, self.name)
        if isinstance(found, typer.Typer):
            app.add_typer(found, name=called, help=self.help or found.info.help)
        else:
            app.command(called, help=self.help or getattr(module, "HELP", None))(found)


COMMANDS: Mapping[str, _Command] = {
    "run": _Command("run", "run"),
    "check": _Command("check", "check"),
    "scan": _Command("scan", "scan"),
    "status": _Command("status", "status"),
    "show": _Command("status", "show"),
    "explain": _Command("status", "explain"),
    "retry": _Command("words", "retry"),
    "hold": _Command("words", "hold"),
    "release": _Command("words", "release"),
    "skip": _Command("words", "skip"),
    "submit": _Command("submit", "submit"),
    "proteindiffraction": _Command("pdi", "commands"),
    "pdi": _Command("pdi", "commands", "The same as proteindiffraction, in short."),
    "proteomicsqc": _Command("pqc", "commands"),
    "pqc": _Command("pqc", "commands", "The same as proteomicsqc, in short."),
    "journal": _Command("journal", "commands"),
    "simulate": _Command("simulate", "simulate"),
    "sandbox": _Command("sandbox", "sandbox"),
    "demo": _Command("demo", "demo"),
}
"""In the order of the help."""


def program(arguments: Sequence[str]) -> typer.Typer:
    """Return the program for these arguments: with the command that they name, or, where they name none, with all.

    To build the parsers of all sixty takes longer than most commands do.
    """
    # no rich markup: help and usage errors are plain text, the same on a terminal and in a pipe
    app = typer.Typer(
        name="depositd",
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(depositd)
    if arguments and arguments[0] == "--version":
        return app
    asked = named(arguments)
    for called, command in COMMANDS.items():
        if asked in (None, called):
            command.add_to(app, called)
    return app


def named(arguments: Sequence[str]) -> str | None:
    """Return the command that arguments name, None where they ask for something else: help, or what there is not."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("-c", "--config"):
            next(rest, None)
        elif not argument.startswith(("-c", "--config=")):
            return argument if argument in COMMANDS else None
    return None


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"depositd {__version__}")
        raise typer.Exit


def depositd(
    config: ConfigOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take finished datasets off scientific instruments and deposit them, unattended and exactly once."""
