"""``simulate`` and ``sandbox``: instruments and servers to try depositd with."""

from __future__ import annotations

import re
import textwrap
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd.cli.failing import INTERRUPTED
from depositd.cli.output import progress, say, tell
from depositd.simulate.catalogue import DETECTORS, FAULTS, SIMULATORS, scope_of
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.sandbox import Fault
    from depositd.simulate import Plan


_HELP_COLUMNS = 78


def _listed(title: str, entries: dict[str, str]) -> str:
    """Return a list that fits a terminal of 80 columns, names on the left."""
    width = max(len(name) for name in entries)
    # \b keeps the lines as they are in --help
    lines = [f"{title}\n\n\b"]
    for name, sentence in entries.items():
        lead, rest = f"  {name:<{width}}  ", " " * (width + 4)
        lines.append(textwrap.fill(sentence, _HELP_COLUMNS, initial_indent=lead, subsequent_indent=rest))
    return "\n".join(lines)


SIMULATE_HELP = "\n\n".join(
    (
        "Write a dataset as an instrument does, with a fault on request.",
        _listed("Detectors with a file for each frame:", dict(DETECTORS)),
        _listed(
            "Other instruments:", {name: sentence for name, sentence in SIMULATORS.items() if name not in DETECTORS}
        ),
        _listed(
            "Faults, for all of them where nothing else is said:",
            {str(fault): f"{sentence} {scope_of(fault)}".strip() for fault, sentence in FAULTS.items()},
        ),
        "A shift of six datasets, the third of them aborted: --series 6 --fault none --fault none --fault abort",
    )
)


def simulate(
    format_name: Annotated[str, typer.Argument(metavar="FORMAT", help="One of the instruments above.")],
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Where to; it is made where it is missing.")],
    name: Annotated[str, typer.Option(help="The dataset's name.")] = "sim_1",
    frames: Annotated[int, typer.Option(help="Frames, images, scans or parts.")] = 100,
    rate: Annotated[float, typer.Option(metavar="HZ", help="How many of them each second.")] = 10.0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FAULT",
            help="One of the faults above, or none; the datasets of a series take several in turn.",
            show_default=False,
        ),
    ] = None,
    series: Annotated[
        int, typer.Option(metavar="N", help="Datasets one after the other; the name counts up: sim_1, sim_2 …")
    ] = 1,
    shape: Annotated[
        str | None,
        typer.Option(metavar="ROWSxCOLUMNS", help="Detectors: pixels of an image.", show_default=False),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same data.")] = 0,
    images_per_file: Annotated[int | None, typer.Option(help="HDF5: images in a data file.")] = None,
    frame_bytes: Annotated[int, typer.Option(help="Bytes of a scan, or of a part.")] = 16_384,
) -> None:
    """See ``SIMULATE_HELP``."""
    from depositd.simulate import Plan
    from depositd.simulate.instruments import refuse_existing
    from depositd.simulate.plan import series_of

    try:
        first = Plan(
            format_name,
            directory,
            name=name,
            frames=frames,
            rate_hz=rate,
            seed=seed,
            shape=_shape(shape),
            images_per_file=images_per_file,
            frame_bytes=frame_bytes,
        )
        faults = [None if each == "none" else each for each in fault or ("none",)]
        plans = series_of(first, series, faults)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    refuse_existing(plans)
    for plan in plans:
        _write(plan)


def _shape(text: str | None) -> tuple[int, int] | None:
    """Return the rows and columns of ``100x120``; raises ValueError with what would be right."""
    if text is None:
        return None
    match = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", text)
    if match is None:
        raise ValueError(f"{printable(text)!r} is not a shape (rows and columns, such as 100x120)")
    return int(match[1]), int(match[2])


def _write(plan: Plan) -> None:
    """Write one dataset and say so; ends the command where it is interrupted."""
    from depositd.simulate.instruments import run

    done_frames = 0
    with progress(f"{plan.instrument}: {printable(plan.name)}") as advance:

        def on_progress(done: int, total: int) -> None:
            nonlocal done_frames
            done_frames = done
            advance(done, total)

        try:
            run(plan, sleep=time.sleep, now=partial(datetime.now, UTC), on_progress=on_progress)
        except KeyboardInterrupt:
            tell(f"interrupted after {show_count(done_frames, 'frame')}")
            raise typer.Exit(INTERRUPTED) from None
    say(f"{show_count(done_frames, 'frame')} of {printable(plan.name)} in {printable(str(plan.directory))}")


def sandbox(
    host: Annotated[str, typer.Option(help="A loopback address.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes one that is free.")] = 8470,
    mode: Annotated[str, typer.Option(metavar="modern|older", help="The generation of ProteomicsQC.")] = "modern",
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[@PATH]", show_default=False, help="Met once by a request to PATH (a glob); repeatable."
        ),
    ] = None,
) -> None:
    """Serve both servers' APIs on loopback, for trying and testing.

    Nothing is kept: everything is forgotten at the end (Ctrl+C).
    """
    from depositd.sandbox import Options, serve

    if mode not in ("modern", "older"):
        raise typer.BadParameter(f"{printable(mode)} is not a mode (modern or older)", param_hint="--mode")
    faults = tuple(_fault(text) for text in fault or ())
    options = Options(host=host, port=port, pqc_mode="older" if mode == "older" else "modern", faults=faults)
    serve(options, _announce)


def _fault(text: str) -> Fault:
    from depositd.sandbox import Fault

    kind, _at, path = text.partition("@")
    try:
        return Fault(path=path or "*", kind=kind)
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint="--fault") from None


def _announce(greeting: str) -> None:
    import sys

    say(greeting)
    sys.stdout.flush()
