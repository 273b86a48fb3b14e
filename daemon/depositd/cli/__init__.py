"""The command ``depositd``: results on stdout, everything else on stderr, exit status as the contract says.

``app``       which commands there are
``options``   what several commands take: the config, ``--json``, ``--set``
``failing``   errors as lines and exit status
``output``    how results are written: JSON, plain text in a pipe, colours on a terminal

Each other module is one command or a few that belong together.  Pure text lives in ``*_text``.  What is heavy to
import is imported inside the function that needs it, so that ``--help`` and completion answer at once.
"""

from __future__ import annotations

import gc
import os
import sys

from depositd.cli.failing import run_app, tell_bug


def main() -> None:
    """Run the command line and end the process with its exit status."""
    sys.excepthook = tell_bug  # before typer is imported, which keeps what it finds for what nobody foresaw
    # what is imported stays: to search it for cycles, as often as Python does by itself, only costs time
    gc.set_threshold(50_000, 20, 50)
    # looking through all that is installed for pydantic's plug-ins takes a tenth of a status, and none is wanted
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from depositd.cli.app import program
    from depositd.watch.writers import prepare

    prepare()
    # a shell that completes asks for all of them
    is_completing = "_DEPOSITD_COMPLETE" in os.environ
    sys.exit(run_app(program([] if is_completing else sys.argv[1:])))
