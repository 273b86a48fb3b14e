"""What can be simulated: instruments, faults, and which of them go together.

Everything here decides on values; nothing touches the disk.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from depositd.units import printable

SIMULATORS: Mapping[str, str] = {
    "pilatus": "Pilatus detector: one miniCBF file for each frame",
    "cbf": "full imgCIF: one CBF file for each frame, with the categories of the CIF dictionary",
    "smv": "ADSC detector: one SMV file (.img) for each frame",
    "marccd": "Rayonix detector: one marCCD file (.mccd) for each frame",
    "eiger": "Eiger detector: an HDF5 master at arm, data files one after another",
    "thermo-raw": "Thermo mass spectrometer: one .raw file that grows and is marked when the run ends",
    "waters-raw": "Waters mass spectrometer: a .raw directory whose function files grow side by side",
    "file": "any instrument that appends to one file (.dat)",
    "directory": "any instrument that fills one directory, file by file",
    "frames": "the same as pilatus, by the name that rules use",
}
"""Names for ``depositd simulate FORMAT DIR`` with one line each."""

_ALIASES = {"frames": "pilatus"}


class Fault(enum.StrEnum):
    """What can go wrong on request."""

    ABORT = "abort"
    GAP = "gap"
    TRUNCATED = "truncated"
    RESTART = "restart"
    RENAME = "rename"
    OLD_MTIMES = "old-mtimes"
    LATE = "late"
    PREALLOCATED = "preallocated"
    SLOW = "slow"


FAULTS: Mapping[str, str] = {
    Fault.ABORT: "The run stops half-way: its files are closed and the rest never comes.",
    Fault.GAP: "One frame in the middle (Eiger: one data file, Waters: one function) is never written.",
    Fault.TRUNCATED: "The last data file ends after 60 % of its bytes.",
    Fault.RESTART: "The run stops half-way and begins again from the first frame under the same name.",
    Fault.RENAME: "Everything is written under a hidden temporary name and renamed into place when it is whole.",
    Fault.OLD_MTIMES: "Files are copied in as rsync does: renamed into place with modification times of a week ago.",
    Fault.LATE: "One frame in the middle (Eiger: one data file) comes last, 20 periods after all others.",
    Fault.PREALLOCATED: "Each file has its final size from the start and is filled afterwards.",
    Fault.SLOW: "Everything comes ten times slower than the headers say, as over a crowded network.",
}
"""Faults with one sentence each."""

_SENSELESS: Mapping[tuple[str, Fault], str] = {
    ("eiger", Fault.PREALLOCATED): "HDF5 files grow with their images",
    ("thermo-raw", Fault.GAP): "one file has no frame that could be missing",
    ("thermo-raw", Fault.LATE): "one file has no frame that could come late",
    ("thermo-raw", Fault.RESTART): "Xcalibur gives a second run another name",
    ("waters-raw", Fault.LATE): "scans are appended in order",
    ("file", Fault.GAP): "one file has no frame that could be missing",
    ("file", Fault.LATE): "one file has no frame that could come late",
}

LATE_PERIODS = 20.0
"""How long a late frame keeps everyone waiting, in frame periods."""

_FEWEST_FRAMES = {Fault.ABORT: 2, Fault.RESTART: 2, Fault.GAP: 3, Fault.LATE: 3}


@dataclass(frozen=True, slots=True)
class Plan:
    """One simulated acquisition; raises ValueError, with what would be right, where it makes no sense.

    ``frames`` are frames, images, scans or parts, ``rate_hz`` of them each second.  ``shape`` is rows and columns
    (None: the instrument's own).  ``images_per_file`` is for Eiger (None: four data files); ``frame_bytes``
    is the size of a Thermo scan or of a part of ``file`` and ``directory``.
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
        _check_format(self.format)
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
            self._check_fault(self.fault)

    @property
    def instrument(self) -> str:
        """The instrument's name, aliases resolved."""
        return _ALIASES.get(self.format, self.format)

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
    def eiger_images_per_file(self) -> int:
        """Images per data file: as asked for, else such that there are about four."""
        return self.images_per_file or math.ceil(self.frames / 4)

    def _check_fault(self, name: str) -> None:
        if name not in FAULTS:
            raise ValueError(f"{printable(name)!r} is not a fault (one of {', '.join(FAULTS)})")
        fault = Fault(name)
        reason = _SENSELESS.get((self.instrument, fault))
        if reason is not None:
            raise ValueError(
                f"{fault} makes no sense for {self.format}: {reason} (one of {', '.join(faults_of(self.format))})"
            )
        fewest = _FEWEST_FRAMES.get(fault, 1)
        if self.frames < fewest:
            raise ValueError(f"{fault} needs at least {fewest} frames, not {self.frames}")
        if (
            self.instrument == "eiger"
            and fault in (Fault.GAP, Fault.LATE)
            and self.eiger_images_per_file >= self.frames
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


def faults_of(format_name: str) -> tuple[str, ...]:
    """Return the faults that make sense for a format; raises ValueError for an unknown one."""
    _check_format(format_name)
    instrument = _ALIASES.get(format_name, format_name)
    return tuple(fault for fault in Fault if (instrument, fault) not in _SENSELESS)


def _middle(plan: Plan) -> range:
    """Return the frames that are missing or late: one, or those of one whole Eiger data file, never the last."""
    if plan.instrument == "waters-raw":
        return range(0)  # a whole function is missing, not a scan
    if plan.instrument != "eiger":
        return range(plan.half + 1, plan.half + 2)
    per_file = plan.eiger_images_per_file
    files = math.ceil(plan.frames / per_file)
    first = (files - 1) // 2 * per_file + 1
    return range(first, first + per_file)


def _check_format(name: str) -> None:
    if name not in SIMULATORS:
        raise ValueError(f"{printable(name)!r} cannot be simulated (one of {', '.join(SIMULATORS)})")
