"""Which commands there are."""

from __future__ import annotations

from typing import Annotated

import typer

from depositd import __version__
from depositd.cli import journal, pdi, pqc, words
from depositd.cli.check import check
from depositd.cli.demo import demo
from depositd.cli.options import ConfigOption
from depositd.cli.run import run
from depositd.cli.sandbox import SANDBOX_HELP, sandbox
from depositd.cli.scan import scan
from depositd.cli.simulate import SIMULATE_HELP, simulate
from depositd.cli.status import explain, show, status
from depositd.cli.submit import submit


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"depositd {__version__}")
        raise typer.Exit


# no rich markup: help and usage errors are plain text, the same on a terminal and in a pipe
app = typer.Typer(
    name="depositd",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def depositd(
    config: ConfigOption = None,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Take finished datasets off scientific instruments and deposit them, unattended and exactly once."""


app.command()(run)
app.command()(check)
app.command()(scan)
app.command()(status)
app.command()(show)
app.command()(explain)
for word in words.COMMANDS:
    app.command()(word)
app.command()(submit)
app.add_typer(pdi.commands, name="proteindiffraction")
app.add_typer(pdi.commands, name="pdi", help="The same as proteindiffraction, in short.")
app.add_typer(pqc.commands, name="proteomicsqc")
app.add_typer(pqc.commands, name="pqc", help="The same as proteomicsqc, in short.")
app.add_typer(journal.commands, name="journal")
app.command(help=SIMULATE_HELP)(simulate)
app.command(help=SANDBOX_HELP)(sandbox)
app.command()(demo)
