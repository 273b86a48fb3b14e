"""Simulated instruments: each writes its files the way and at the pace at which the real one does.

An instrument is a generator.  It yields the time to wait, in frame periods, before it writes on; so it
knows no clock, and a run can be stopped between any two writes with all files closed.
"""

from __future__ import annotations

import glob
import random
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeAlias

from depositd.simulate.eiger import EigerWriter
from depositd.simulate.frames import cbf_frame, full_cbf_frame, marccd_frame, smv_frame
from depositd.simulate.output import Output, refuse_matches
from depositd.simulate.plan import Fault, Plan, Take, takes
from depositd.simulate.thermo import thermo_header_size, thermo_raw_bytes, thermo_run_header_size
from depositd.simulate.waters import waters_files

Script: TypeAlias = Generator[float, None, None]
Now: TypeAlias = Callable[[], datetime]

_PILATUS_SHAPE = (195, 487)
_SMALL_SHAPE = (256, 256)
_FIVE_DIGITS = "[0-9]" * 5
_EXPOSED = 0.98  # the rest of a frame's period is read-out


@dataclass(frozen=True, slots=True)
class _Run:
    """What an instrument works with during one take."""

    plan: Plan
    take: Take
    output: Output
    now: Now


@dataclass(frozen=True, slots=True)
class _Instrument:
    """One line of the table: ``patterns`` and ``last_file`` are formats with the plan's ``name`` and ``frames``.

    ``patterns`` are globs of all that it writes in the plan's directory; ``last_file`` is the data file
    that the fault ``truncated`` cuts; ``tree`` is the dataset's directory, where it has its own.
    """

    script: Callable[[_Run], Script]
    patterns: tuple[str, ...]
    last_file: str
    tree: str | None = None


def run(
    plan: Plan,
    *,
    sleep: Callable[[float], None],
    now: Now,
    on_progress: Callable[[int, int], None] | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> None:
    """Write what ``plan`` says at its pace; return when it is all there or ``stop()`` is true.

    ``now`` gives aware times.  ``on_progress(done, total)`` hears of each frame.  Raises FileExistsError
    before anything is written where a file of that name is there already, and OSError where the disk fails.
    """
    instrument = _INSTRUMENTS[plan.instrument]
    for pattern in instrument.patterns:
        refuse_matches(plan.directory, pattern.format(name=glob.escape(plan.name)))
    tree = None if instrument.tree is None else instrument.tree.format(name=plan.name)
    output = Output(plan.directory, now=now(), tree=tree, fault=plan.fault)
    planned = takes(plan)
    pace = _Pace(plan.pace_s, sleep, now)
    progress = _Progress(max(plan.frames, sum(len(take.numbers) for take in planned)), on_progress)
    for take in planned:
        with closing(instrument.script(_Run(plan, take, output, now))) as script:
            for periods in script:
                progress.report(output.frames_done)
                if stop():
                    return
                pace.wait(periods)
    if plan.fault == Fault.TRUNCATED:
        output.cut(_last_file(instrument, plan))
    output.end()
    progress.report(output.frames_done)


class _Pace:
    """Keeps the rate: time lost by writing is made up for, but no wait is longer than it would be anyway."""

    def __init__(self, period_s: float, sleep: Callable[[float], None], now: Now) -> None:
        self._period_s = period_s
        self._sleep = sleep
        self._now = now
        self._due = now()

    def wait(self, periods: float) -> None:
        pause_s = periods * self._period_s
        self._due += timedelta(seconds=pause_s)
        # bounded, so that a clock that is set back cannot stop the instrument
        left_s = min((self._due - self._now()).total_seconds(), pause_s)
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


def _frame_series(run: _Run, suffix: str, render: Callable[[int], bytes]) -> Script:
    """Write one file for each frame, in two goes as a detector's server does."""
    for number, periods in run.take.waits():
        yield periods - 0.25
        data = render(number)
        with run.output.open(f"{run.plan.name}_{number:05d}{suffix}", len(data)) as file:
            file.write(data[: len(data) // 2])
            yield 0.25
            file.write(data[len(data) // 2 :])
        run.output.frame_done()


def _detector(
    run: _Run, suffix: str, frame: Callable[..., bytes], shape: tuple[int, int], **more: str | float
) -> Script:
    """Write a series whose frames ``frame`` renders; ``more`` is what this kind of header says besides."""
    plan = run.plan

    def render(number: int) -> bytes:
        return frame(
            number,
            date=run.now(),
            shape=plan.shape or shape,
            seed=plan.seed,
            exposure_s=plan.period_s * _EXPOSED,
            **more,
        )

    return _frame_series(run, suffix, render)


def _pilatus(run: _Run) -> Script:
    return _detector(run, ".cbf", cbf_frame, _PILATUS_SHAPE, name=run.plan.name, period_s=run.plan.period_s)


def _full_cbf(run: _Run) -> Script:
    return _detector(run, ".cbf", full_cbf_frame, _PILATUS_SHAPE, name=run.plan.name)


def _smv(run: _Run) -> Script:
    return _detector(run, ".img", smv_frame, _SMALL_SHAPE)


def _marccd(run: _Run) -> Script:
    return _detector(run, ".mccd", marccd_frame, _SMALL_SHAPE)


def _eiger(run: _Run) -> Script:
    """Write the master at arm, then image after image; a data file is closed when the next one begins."""
    plan = run.plan
    writer = EigerWriter(
        run.output.root,
        plan.name,
        images=plan.frames,
        images_per_file=plan.eiger_images_per_file,
        shape=plan.shape or _SMALL_SHAPE,
        frame_time_s=plan.period_s,
        seed=plan.seed,
        date=run.now(),
        place=run.output.place,
        finished=run.output.finished,
    )
    writer.arm()
    try:
        for number, periods in run.take.waits():
            yield periods
            writer.add_image(number)
            run.output.frame_done()
    finally:
        writer.close()


def _thermo(run: _Run) -> Script:
    """Write a header marked "in acquisition", scan after scan, the run header, and at last the header again."""
    plan = run.plan
    start = run.now()
    header_bytes = thermo_header_size(plan.name)
    size_bytes = header_bytes + plan.frames * plan.frame_bytes + thermo_run_header_size()
    growing, ended = (
        thermo_raw_bytes(
            in_acquisition=in_acquisition,
            scans=plan.frames,
            size_bytes=size_bytes,
            name=plan.name,
            start=start,
            run_time_min=plan.frames * plan.period_s / 60,
            seed=plan.seed,
        )
        for in_acquisition in (True, False)
    )
    with run.output.open(f"{plan.name}.raw", size_bytes) as file:
        file.write(growing[:header_bytes])
        for number, periods in run.take.waits():
            yield periods
            begin = header_bytes + (number - 1) * plan.frame_bytes
            file.write(growing[begin : begin + plan.frame_bytes])
            run.output.frame_done()
        if run.take.ends:
            yield 1.0
            file.write(growing[-thermo_run_header_size() :])
            file.seek(0)
            file.write(ended[:header_bytes])


def _waters(run: _Run) -> Script:
    """Write the header, let all functions grow with their indices behind them, and end with the logs."""
    plan = run.plan
    files = waters_files(
        scans=plan.frames,
        run_time_min=plan.frames * plan.period_s / 60,
        name=plan.name,
        date=run.now(),
        seed=plan.seed,
    )
    if plan.fault == Fault.GAP:
        del files["_FUNC002.DAT"], files["_FUNC002.IDX"]
    first = ("_HEADER.TXT", "_FUNCTNS.INF")
    last = ("_extern.inf", "_INLET.INF")
    for name in first:
        _write_whole(run.output, name, files[name])
    growing = [name for name in files if name not in first + last]
    with ExitStack() as stack:
        opened = {name: stack.enter_context(run.output.open(name, len(files[name]))) for name in growing}
        for number, periods in run.take.waits():
            for suffix, wait in ((".DAT", periods - 0.25), (".IDX", 0.25)):
                yield wait
                for name in (name for name in growing if name.endswith(suffix)):
                    scan_bytes = len(files[name]) // plan.frames
                    opened[name].write(files[name][(number - 1) * scan_bytes : number * scan_bytes])
            run.output.frame_done()
    if run.take.ends:
        for name in last:
            yield 1.0
            _write_whole(run.output, name, files[name])


def _file(run: _Run) -> Script:
    """Append part after part to one file."""
    plan = run.plan
    with run.output.open(f"{plan.name}.dat", plan.frames * plan.frame_bytes) as file:
        for number, periods in run.take.waits():
            yield periods
            file.write(_part(plan, number))
            run.output.frame_done()


def _directory(run: _Run) -> Script:
    """Put part after part into one directory, each a file."""
    for number, periods in run.take.waits():
        yield periods
        _write_whole(run.output, f"part_{number:05d}.dat", _part(run.plan, number))
        run.output.frame_done()


def _part(plan: Plan, number: int) -> bytes:
    return random.Random(f"{plan.seed}/{number}").randbytes(plan.frame_bytes)  # noqa: S311 - noise, not a secret


def _write_whole(output: Output, name: str, data: bytes) -> None:
    with output.open(name, len(data)) as file:
        file.write(data)


def _last_file(instrument: _Instrument, plan: Plan) -> str:
    files = -(-plan.frames // plan.eiger_images_per_file)
    return instrument.last_file.format(name=plan.name, frames=plan.frames, files=files)


_INSTRUMENTS = {
    "pilatus": _Instrument(_pilatus, (f"{{name}}_{_FIVE_DIGITS}.cbf",), "{name}_{frames:05d}.cbf"),
    "cbf": _Instrument(_full_cbf, (f"{{name}}_{_FIVE_DIGITS}.cbf",), "{name}_{frames:05d}.cbf"),
    "smv": _Instrument(_smv, (f"{{name}}_{_FIVE_DIGITS}.img",), "{name}_{frames:05d}.img"),
    "marccd": _Instrument(_marccd, (f"{{name}}_{_FIVE_DIGITS}.mccd",), "{name}_{frames:05d}.mccd"),
    "eiger": _Instrument(_eiger, ("{name}_master.h5", "{name}_data_[0-9]*.h5"), "{name}_data_{files:06d}.h5"),
    "thermo-raw": _Instrument(_thermo, ("{name}.raw",), "{name}.raw"),
    "waters-raw": _Instrument(_waters, ("{name}.raw",), "_FUNC002.DAT", tree="{name}.raw"),
    "file": _Instrument(_file, ("{name}.dat",), "{name}.dat"),
    "directory": _Instrument(_directory, ("{name}",), "part_{frames:05d}.dat", tree="{name}"),
}
