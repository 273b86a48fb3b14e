"""What one simulated acquisition is, and which frames come in which order.

Everything here decides on values; nothing touches the disk.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle, islice
from pathlib import Path

from depositd.simulate.catalogue import FAULTS, SIMULATORS, Fault, fault_of, faults_of, instrument_of
from depositd.units import printable, show_count

__all__ = ["FAULTS", "LATE_PERIODS", "SIMULATORS", "Fault", "Plan", "Take", "faults_of", "series_of", "takes"]

LATE_PERIODS = 20.0
"""How long a late frame keeps everyone waiting, in frame periods."""

_FEWEST_FRAMES = {
    Fault.ABORT: 2,
    Fault.RESTART: 2,
    Fault.TWO_WAVELENGTHS: 2,
    Fault.GAP: 3,
    Fault.LATE: 3,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulated acquisition; raises ValueError, with what would be right, where it makes no sense.

    ``frames`` are frames, images, scans or parts, ``rate_hz`` of them each second.  ``shape`` is rows and columns
    (None: the instrument's own).  ``images_per_file`` is for HDF5 (None: four data files); ``frame_bytes``
    is the size of a mass spectrometer's scan, or of a part of ``file`` and ``directory``.
    """

    format: str
    directory: Path
    name: str = "sim_1"
    frames: int = 100
    rate_hz: float = 10.0
    fault: str | None = None
    seed: int = 0
    shape: tuple[int, int] | None = None
    images_per_file: int | None = None
    frame_bytes: int = 16_384

    def __post_init__(self) -> None:
        instrument_of(self.format)
        if not self.name or self.name.startswith(".") or "/" in self.name or "\0" in self.name:
            raise ValueError(f"{printable(self.name)!r} is not a name for a dataset (a file name such as lyso_1)")
        if self.frames < 1:
            raise ValueError(f"{self.frames} frames cannot be simulated (at least 1)")
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ValueError(f"{self.rate_hz} frames per second is not a pace (a number above 0)")
        if self.images_per_file is not None and self.images_per_file < 1:
            raise ValueError(f"{self.images_per_file} images per file cannot be simulated (at least 1)")
        if self.frame_bytes < 1:
            raise ValueError(f"{self.frame_bytes} bytes per frame cannot be simulated (at least 1)")
        if self.shape is not None and min(self.shape) < 1:
            raise ValueError(
                f"an image of {self.shape[0]} by {self.shape[1]} pixels cannot be simulated (at least 1 by 1)"
            )
        if self.fault is not None:
            self._check_fault(fault_of(self.fault, self.format))

    @property
    def instrument(self) -> str:
        """The instrument's name, aliases resolved."""
        return instrument_of(self.format)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of all series that are written: two where they are written in turn."""
        return (self.name, f"{self.name}_b") if self.fault == Fault.INTERLEAVED else (self.name,)

    @property
    def period_s(self) -> float:
        """The time between frames, as the headers give it."""
        return 1.0 / self.rate_hz

    @property
    def pace_s(self) -> float:
        """The time between frames, as it really passes."""
        return self.period_s * (10.0 if self.fault == Fault.SLOW else 1.0)

    @property
    def half(self) -> int:
        """The frames of a run that stops half-way."""
        return self.frames // 2

    @property
    def hdf5_images_per_file(self) -> int:
        """Images per data file: as asked for, else such that there are about four."""
        return self.images_per_file or math.ceil(self.frames / 4)

    @property
    def hdf5_files(self) -> int:
        """Data files of a whole run."""
        return math.ceil(self.frames / self.hdf5_images_per_file)

    def is_corrupt(self, number: int) -> bool:
        """Say whether frame ``number`` is the one that the fault ``corrupt`` spoils."""
        return self.fault == Fault.CORRUPT and number == min(self.half + 1, self.frames)

    def _check_fault(self, fault: Fault) -> None:
        fewest = _FEWEST_FRAMES.get(fault, 1)
        if self.frames < fewest:
            raise ValueError(f"{fault} needs at least {fewest} frames, not {self.frames}")
        if (
            self.instrument in ("eiger", "diamond")
            and fault in (Fault.GAP, Fault.LATE)
            and self.hdf5_images_per_file >= self.frames
        ):
            raise ValueError(f"{fault} needs at least two data files (images per file below {self.frames})")


@dataclass(frozen=True, slots=True)
class Take:
    """One go at a series: the frames in the order in which they come, and whether it reaches its end."""

    numbers: tuple[int, ...]
    ends: bool = True

    def waits(self) -> Iterator[tuple[int, float]]:
        """Yield each frame with the periods to wait before it: 1, or 20 before one that comes late."""
        before = 0
        for number in self.numbers:
            yield number, 1.0 if number > before else LATE_PERIODS
            before = number


def takes(plan: Plan) -> tuple[Take, ...]:
    """Return the goes at a series that a plan asks for: one, and two where it is restarted."""
    everything = tuple(range(1, plan.frames + 1))
    half = Take(everything[: plan.half], ends=False)
    match plan.fault:
        case Fault.ABORT:
            return (half,)
        case Fault.RESTART:
            return half, Take(everything)
        case Fault.GAP | Fault.LATE:
            missing = _middle(plan)
            rest = tuple(number for number in everything if number not in missing)
            return (Take(rest + tuple(missing) if plan.fault == Fault.LATE else rest),)
        case _:
            return (Take(everything),)


def series_of(plan: Plan, datasets: int, faults: Sequence[str | None] = (None,)) -> tuple[Plan, ...]:
    """Return the plans of several datasets, one after the other, whose names count up and which take faults in turn.

    ``lyso_9`` is followed by ``lyso_10``, ``lyso_09`` by ``lyso_10``, and where a name has no number, ``_1``,
    ``_2`` … are put behind it.  A single dataset keeps its name.  Each has a seed of its own.  Raises ValueError
    where one of the faults makes no sense or would befall none of them.
    """
    if datasets < 1:
        raise ValueError(f"a series of {datasets} datasets cannot be simulated (at least 1)")
    if len(faults) > datasets:
        raise ValueError(
            f"{len(faults)} faults are too many for {show_count(datasets, 'dataset')} (at most one for each)"
        )
    numbered = re.fullmatch(r"(?P<stem>.*?)(?P<digits>[0-9]+)", plan.name, re.DOTALL)
    stem, digits = (numbered["stem"], numbered["digits"]) if numbered else (f"{plan.name}_", "1")
    names = [f"{stem}{int(digits) + index:0{len(digits)}d}" for index in range(datasets)]
    if datasets == 1:
        names = [plan.name]
    return tuple(
        replace(plan, name=name, fault=fault, seed=plan.seed + index)
        for index, (name, fault) in enumerate(zip(names, islice(cycle(faults), datasets), strict=True))
    )


def _middle(plan: Plan) -> range:
    """Return the frames that are missing or late: one, or those of one whole data file, never the last."""
    if plan.instrument == "waters-raw":
        return range(0)  # a whole function is missing, not a scan
    if plan.instrument not in ("eiger", "diamond"):
        return range(plan.half + 1, plan.half + 2)
    per_file = plan.hdf5_images_per_file
    first = (plan.hdf5_files - 1) // 2 * per_file + 1
    return range(first, first + per_file)
