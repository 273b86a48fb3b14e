"""The command ``depositd``: results on stdout, everything else on stderr, exit status as the contract says.

``app``       which commands there are
``options``   what several commands take: the config, ``--json``, ``--set``
``failing``   errors as lines and exit status
``output``    how results are written: JSON, plain text in a pipe, colours on a terminal

Each other module is one command or a few that belong together.  Pure text lives in ``*_text``.  What is heavy to
import is imported inside the function that needs it, so that ``--help`` and completion answer at once.
"""

from __future__ import annotations

import sys

from depositd.cli.failing import run_app


def main() -> None:
    """Run the command line and end the process with its exit status."""
    from depositd.cli.app import app
    from depositd.watch.writers import prepare

    prepare()
    sys.exit(run_app(app))
