"""Simulated instruments: each writes its files the way and at the pace at which the real one does."""

from __future__ import annotations

import glob
import time
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from functools import partial

from depositd.simulate import spectrometers
from depositd.simulate.detectors import DETECTORS, HDF5, write_frames, write_hdf5
from depositd.simulate.output import Output, refuse_matches
from depositd.simulate.plan import Fault, Plan, takes
from depositd.simulate.script import Now, Run, Script

_FIVE_DIGITS = "[0-9]" * 5


@dataclass(frozen=True, slots=True)
class _Instrument:
    """One line of the table; all texts are formats with the plan's ``name``, ``frames`` and ``files``.

    ``patterns`` are globs of all that it writes in the plan's directory; ``last_file`` is the data file that the fault
    ``truncated`` cuts; ``tree`` is the dataset's directory, where it has its own.
    """

    script: Callable[[Run], Script]
    patterns: tuple[str, ...]
    last_file: str
    tree: str | None = None


def run(
    plan: Plan,
    *,
    sleep: Callable[[float], None],
    now: Now,
    clock: Callable[[], float] = time.monotonic,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write what ``plan`` says at its pace; return when it is all there or ``stop()`` is true.

    ``now`` gives aware times for the headers, ``clock`` the seconds that the pace is kept by.  ``on_progress(done,
    total)`` hears of each frame.  Raises FileExistsError before anything is written where a file of that name is
    there already, and OSError where the disk fails.
    """
    instrument = _INSTRUMENTS[plan.instrument]
    refuse_existing((plan,))
    tree = None if instrument.tree is None else instrument.tree.format(name=plan.name)
    output = Output(plan.directory, now=now(), tree=tree, fault=plan.fault)
    planned = takes(plan)
    pace = _Pace(plan.pace_s, sleep, clock)
    frames = max(plan.frames, sum(len(take.numbers) for take in planned))
    progress = _Progress(frames * len(plan.names), on_progress)
    for take in planned:
        with closing(instrument.script(Run(plan, take, output, now))) as script:
            for periods in script:
                progress.report(output.frames_done)
                if stop():
                    return
                pace.wait(periods)
    if plan.fault == Fault.TRUNCATED:
        output.cut(instrument.last_file.format(name=plan.name, frames=plan.frames, files=plan.hdf5_files))
    output.end()
    progress.report(output.frames_done)


def refuse_existing(plans: Iterable[Plan]) -> None:
    """Raise FileExistsError where any file of these plans is there already."""
    for plan in plans:
        for name in plan.names:
            for pattern in _INSTRUMENTS[plan.instrument].patterns:
                refuse_matches(plan.directory, pattern.format(name=glob.escape(name)))


class _Pace:
    """Keeps the rate: time lost by writing is made up for, but no wait is longer than it would be anyway."""

    def __init__(self, period_s: float, sleep: Callable[[float], None], clock: Callable[[], float]) -> None:
        self._period_s = period_s
        self._sleep = sleep
        self._clock = clock
        self._due_s = clock()

    def wait(self, periods: float) -> None:
        pause_s = periods * self._period_s
        self._due_s += pause_s
        left_s = min(self._due_s - self._clock(), pause_s)
        if left_s > 0:
            self._sleep(left_s)


class _Progress:
    """Reports each number of frames once."""

    def __init__(self, total: int, listener: Callable[[int, int], None] | None) -> None:
        self._total = total
        self._listener = listener
        self._reported = -1

    def report(self, done: int) -> None:
        if self._listener is not None and done != self._reported:
            self._listener(done, self._total)
            self._reported = done


_INSTRUMENTS = {
    **{
        name: _Instrument(
            partial(write_frames, detector=detector),
            (f"{{name}}_{_FIVE_DIGITS}{detector.suffix}",),
            f"{{name}}_{{frames:05d}}{detector.suffix}",
        )
        for name, detector in DETECTORS.items()
    },
    "eiger": _Instrument(
        partial(write_hdf5, writer_class=HDF5["eiger"]),
        ("{name}_master.h5", "{name}_data_[0-9]*.h5"),
        "{name}_data_{files:06d}.h5",
    ),
    "diamond": _Instrument(
        partial(write_hdf5, writer_class=HDF5["diamond"]),
        ("{name}.nxs", "{name}_meta.h5", f"{{name}}_{_FIVE_DIGITS}[0-9].h5"),
        "{name}_{files:06d}.h5",
    ),
    "thermo-raw": _Instrument(spectrometers.thermo, ("{name}.raw",), "{name}.raw"),
    "waters-raw": _Instrument(spectrometers.waters, ("{name}.raw",), "_FUNC002.DAT", tree="{name}.raw"),
    "bruker-d": _Instrument(spectrometers.bruker, ("{name}.d",), "analysis.tdf_bin", tree="{name}.d"),
    "agilent-d": _Instrument(spectrometers.agilent, ("{name}.d",), "AcqData/MSPeak.bin", tree="{name}.d"),
    "sciex": _Instrument(
        spectrometers.sciex_wiff, ("{name}.wiff", "{name}.wiff.*", "{name}.timeseries.data"), "{name}.wiff.scan"
    ),
    "file": _Instrument(spectrometers.one_file, ("{name}.dat",), "{name}.dat"),
    "directory": _Instrument(spectrometers.directory, ("{name}",), "part_{frames:05d}.dat", tree="{name}"),
}
