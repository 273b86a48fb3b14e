"""What several commands take, and what they make of it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd.model import Metadata

if TYPE_CHECKING:
    from depositd.config import Config


def _before_or_after(context: typer.Context, value: Path | None) -> Path | None:
    """Let ``--config`` stand before and after the command; the one that stands later wins."""
    root = context.find_root()
    if value is not None:
        root.obj = value
    found: Path | None = root.obj
    return found


ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        metavar="FILE",
        show_default=False,
        callback=_before_or_after,
        help="The config; otherwise $DEPOSITD_CONFIG, ./depositd.yaml, the user's own, /etc/depositd/config.yaml.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
ToOption = Annotated[str | None, typer.Option("--to", metavar="DESTINATION", help="Only the delivery to this one.")]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", show_default=False, help="Metadata that beats all other; repeatable."),
]


def load(config: Path | None) -> Config:
    """Find, read and check the config; raises ConfigError."""
    from depositd.config import load_config

    return load_config(config_path(config))


def config_path(config: Path | None) -> Path:
    """Return the absolute path of the config; raises ConfigError where there is none."""
    from depositd.config import find_config

    return find_config(config, os.environ, Path.cwd())


def assignments(given: Sequence[str] | None) -> Metadata:
    """Return the metadata of ``--set``; a wrong one is a usage error."""
    from depositd.config import parse_assignments

    try:
        return parse_assignments(given or ())
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--set") from None
