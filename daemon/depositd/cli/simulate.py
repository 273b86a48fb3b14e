"""``simulate``: instruments to try depositd with."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd.cli.failing import INTERRUPTED
from depositd.cli.help_text import listed
from depositd.cli.output import progress, say, tell
from depositd.simulate.catalogue import DETECTORS, FAULTS, SIMULATORS, scope_of
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.simulate import Plan


HELP = "\n\n".join(
    (
        "Write a dataset as an instrument does, with a fault on request.",
        listed("Detectors with a file for each frame:", dict(DETECTORS)),
        listed(
            "Other instruments:", {name: sentence for name, sentence in SIMULATORS.items() if name not in DETECTORS}
        ),
        listed(
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
    """See ``HELP``."""
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
