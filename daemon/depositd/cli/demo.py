"""``depositd demo``: the command; what it does is in :mod:`depositd.cli.demo_run`.

``demo_stage``  the simulated acquisitions, how each must end, and the config
``demo_run``    servers, daemon and instruments, started, watched and stopped
``demo_show``   the table, while it happens and at the end
``demo_proof``  what the servers themselves say of each acquisition
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from depositd.units import printable


def demo(
    directory: Annotated[
        Path | None, typer.Option("--dir", metavar="DIR", help="Work in this new or empty directory, and keep it.")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the temporary directory.")] = False,
    svg: Annotated[
        Path | None, typer.Option("--svg", metavar="FILE", help="Also save the final picture as an SVG file.")
    ] = None,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show the daemon's log instead of the live table.")
    ] = False,
) -> None:
    """Watch five simulated acquisitions reach two servers and a vault, end to end, in a temporary directory.

    Both servers' APIs, the instruments and the daemon run on this machine alone and end by themselves within a minute.
    Exit status 0 says that the servers hold each finished dataset exactly once, byte for byte, and nothing of the
    one that was aborted.
    """
    if directory is not None and directory.exists() and not _is_empty_directory(directory):
        raise typer.BadParameter(f"{printable(str(directory))} is not a new or empty directory", param_hint="--dir")
    if svg is not None and (svg.is_dir() or not os.access(svg.absolute().parent, os.W_OK)):
        raise typer.BadParameter(f"{printable(str(svg))} cannot be written there", param_hint="--svg")
    # the servers, the instruments and the daemon cost a second to import, which no other command should pay
    from depositd.cli.demo_run import Options, run_demo

    raise typer.Exit(run_demo(Options(directory, keep=keep, svg=svg, verbose=verbose)))


def _is_empty_directory(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())
