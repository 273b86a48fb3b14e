"""``scan``: a dry run of the rules."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Protocol

import typer

from depositd.cli.dataset_text import STYLES, Json, evidence, standing, what
from depositd.cli.failing import FAILED
from depositd.cli.options import ConfigOption, JsonOption, load
from depositd.cli.output import Line, line, say_json, say_lines, tell
from depositd.portable import slashed
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.engine.scanning import Scanned


def scan(
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="PATH…", help="Where to look; otherwise all that the rules watch.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="Leave out the checksums that files carry, which are read whole.")
    ] = False,
) -> None:
    """List what the rules would find; write nothing.

    Having watched nothing, it takes the files' ages for the time for which they have been quiet.
    """
    from depositd.engine.scanning import scan as scan_sources
    from depositd.engine.scanning import scanned_json

    settings = load(config)
    unreadable: list[str] = []

    def failed(path: str, error: OSError) -> None:
        unreadable.append(path)
        tell(f"depositd: {printable(path)} cannot be read: {error.strerror or error}")

    found: list[Json] = []
    with _showing() as look:
        absolute = [slashed(os.path.abspath(path)) for path in paths or ()]
        scanned: Iterator[Scanned] = scan_sources(
            settings, absolute, datetime.now(UTC), deep=not quick, on_listing=look, failed=failed
        )
        for each in scanned:
            found.append(scanned_json(each))
            if not json:
                say_lines(scan_lines(found[-1]))
    if json:
        say_json({"datasets": found})
    else:
        tell(scan_summary(found))
    if unreadable:
        raise typer.Exit(FAILED)


def scan_lines(dataset: Json) -> list[Line]:
    """Return what was found and where it would go."""
    said = standing(dataset)
    head = line(
        (printable(dataset["name"]), "bold"),
        f"  {what(dataset)}  ",
        (said, STYLES.get(dataset["state"], "")),
        f": {evidence(dataset)}",
    )
    goes = ", ".join(
        delivery["destination"] + (" (after your approval)" if delivery["approve"] == "manual" else "")
        for delivery in dataset["deliveries"]
    )
    where = line(f"{printable(dataset['path'])}, rule {dataset['rule']}, to {goes or 'nowhere'}", indent=4)
    return [head, where]


def scan_summary(found: list[Json]) -> str:
    """Return how many datasets were found, by what they are."""
    counts: dict[str, int] = {}
    for dataset in found:
        counts[standing(dataset)] = counts.get(standing(dataset), 0) + 1
    told = ", ".join(f"{count:,} {name}" for name, count in counts.items())
    return f"{show_count(len(found), 'dataset')} found" + (f": {told}" if told else "")


class _Look(Protocol):
    def __call__(self, directory: str) -> None: ...


@contextmanager
def _showing() -> Iterator[_Look]:
    """Show on a terminal which directory is looked at; nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda directory: None  # noqa: ARG005 - the name is the protocol's
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(stderr=True)
    with console.status("") as shown:
        yield lambda directory: shown.update(Text(printable(directory, max(console.width - 4, 20))))
