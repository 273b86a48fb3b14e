"""Mass spectrometers, and instruments of which nothing is known: how each one's files come onto the disk."""

from __future__ import annotations

import random
from contextlib import ExitStack
from functools import cache, partial

from depositd.simulate import agilent_d, bruker_d, sciex
from depositd.simulate.plan import Fault, Plan
from depositd.simulate.script import PICTURES, Run, Script, write_whole
from depositd.simulate.thermo import thermo_header_size, thermo_raw_bytes, thermo_run_header_size
from depositd.simulate.waters import waters_files


def thermo(run: Run) -> Script:
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
    run_header = _spoilt_last(plan, growing[-thermo_run_header_size() :])
    with run.output.open(f"{plan.name}.raw", size_bytes) as file:
        file.write(growing[:header_bytes])
        for number, periods in run.take.waits():
            yield periods
            begin = header_bytes + (number - 1) * plan.frame_bytes
            file.write(growing[begin : begin + plan.frame_bytes])
            run.output.frame_done()
        if run.take.ends:
            yield 1.0
            file.write(run_header)
            file.seek(0)
            file.write(ended[:header_bytes])


def waters(run: Run) -> Script:
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
        write_whole(run.output, name, files[name])
    growing = [name for name in files if name not in first + last]
    with ExitStack() as stack:
        opened = {name: stack.enter_context(run.output.open(name, len(files[name]))) for name in growing}
        for number, periods in run.take.waits():
            for suffix, wait in ((".DAT", periods - 0.25), (".IDX", 0.25)):
                yield wait
                for name in (name for name in growing if name.endswith(suffix)):
                    scan_bytes = len(files[name]) // plan.frames
                    scan = files[name][(number - 1) * scan_bytes : number * scan_bytes]
                    opened[name].write(_spoilt_last(plan, scan, number) if suffix == ".IDX" else scan)
            run.output.frame_done()
    if run.take.ends:
        for name in last:
            yield 1.0
            write_whole(run.output, name, files[name])


def bruker(run: Run) -> Script:
    """Append a block and its row to an index in WAL mode; at the end the index becomes one closed file."""
    plan = run.plan
    block = cache(partial(bruker_d.tims_block, frame_bytes=plan.frame_bytes, seed=plan.seed))
    pictures = [number % PICTURES for number in range(plan.frames)]
    # each block is as long as it can be packed, so a size that is known beforehand must be added up
    size_bytes = sum(len(block(picture)) for picture in pictures) if plan.fault == Fault.PREALLOCATED else 0
    index = bruker_d.TimsIndex(run.output.place("analysis.tdf"), name=plan.name, date=run.now())
    try:
        with run.output.open("analysis.tdf_bin", size_bytes) as file:
            for number, periods in run.take.waits():
                yield periods - 0.25
                block_at = file.tell()
                file.write(_spoilt_last(plan, block(pictures[number - 1]), number))
                yield 0.25
                time_s = number * plan.period_s
                index.add(number, time_s=time_s, block_at=block_at, frame_bytes=plan.frame_bytes)
                run.output.frame_done()
        if run.take.ends:
            yield 1.0
            index.end()
    finally:
        index.abandon()
    run.output.finished("analysis.tdf")


def agilent(run: Run) -> Script:
    """Let peaks and their index grow while ``Contents.xml`` says 1; it says 0 before and 2 after."""
    plan = run.plan
    date = run.now()
    spectrum = cache(partial(agilent_d.spectrum, frame_bytes=plan.frame_bytes, seed=plan.seed))
    peak_bytes = len(spectrum(0))
    sizes = {
        "MSScan.bin": agilent_d.SCAN_HEADER_BYTES + plan.frames * agilent_d.SCAN_RECORD_BYTES,
        "MSPeak.bin": agilent_d.PEAK_HEADER_BYTES + plan.frames * peak_bytes,
    }
    contents = [agilent_d.contents_xml(status, date=date) for status in (0, 1, 2)]
    with run.output.open("AcqData/Contents.xml", len(contents[0])) as status:
        status.write(contents[0])
        for name, data in agilent_d.first_files(plan.name).items():
            write_whole(run.output, f"AcqData/{name}", data)
        with (
            run.output.open("AcqData/MSScan.bin", sizes["MSScan.bin"]) as scans,
            run.output.open("AcqData/MSPeak.bin", sizes["MSPeak.bin"]) as peaks,
        ):
            scans.write(agilent_d.scan_header())
            peaks.write(agilent_d.peak_header())
            for number, periods in run.take.waits():
                yield periods - 0.25
                if number == 1:
                    status.seek(0)
                    status.write(contents[1])
                peaks_at = peaks.tell()
                points = spectrum((number - 1) % PICTURES)
                peaks.write(points)
                yield 0.25
                time_min = number * plan.period_s / 60
                record = agilent_d.scan_record(number, time_min=time_min, peaks_at=peaks_at, peaks=points)
                scans.write(_spoilt_last(plan, record, number))
                run.output.frame_done()
        if run.take.ends:
            yield 1.0
            run_time_min = plan.frames * plan.period_s / 60
            write_whole(run.output, "AcqData/MSTS.xml", agilent_d.time_segments_xml(plan.frames, run_time_min))
            status.seek(0)
            status.write(contents[2])


def sciex_wiff(run: Run) -> Script:
    """Collect scans in ``.timeseries.data`` and move them into ``.wiff.scan`` when the run has ended."""
    plan = run.plan
    name = plan.name
    data = partial(sciex.scan_data, frame_bytes=plan.frame_bytes, seed=plan.seed)
    with run.output.open(f"{name}.wiff.scan", 0) as moved:
        moved.write(sciex.scan_stub(plan.seed))
        write_whole(run.output, f"{name}.wiff", sciex.wiff_bytes(plan.seed))
        with run.output.open(f"{name}.timeseries.data", 0) as collected:
            for number, periods in run.take.waits():
                yield periods
                collected.write(data(number))
                run.output.frame_done()
        if run.take.ends:
            yield 1.0
            moved.write(sciex.scan_header(plan.seed))
            for number in run.take.numbers:
                moved.write(_spoilt_last(plan, data(number), number))


def one_file(run: Run) -> Script:
    """Append part after part to one file."""
    plan = run.plan
    with run.output.open(f"{plan.name}.dat", plan.frames * plan.frame_bytes) as file:
        for number, periods in run.take.waits():
            yield periods
            file.write(_spoilt_last(plan, _part(plan, number), number))
            run.output.frame_done()


def directory(run: Run) -> Script:
    """Put part after part into one directory, each a file."""
    plan = run.plan
    for number, periods in run.take.waits():
        yield periods
        part = _part(plan, number)
        write_whole(run.output, f"part_{number:05d}.dat", bytes(len(part)) if plan.is_corrupt(number) else part)
        run.output.frame_done()


def _part(plan: Plan, number: int) -> bytes:
    return random.Random(f"{plan.seed}/{number}").randbytes(plan.frame_bytes)  # noqa: S311 - noise, not a secret


def _spoilt_last(plan: Plan, data: bytes, number: int | None = None) -> bytes:
    """Return zeros for the last block of a file (None: this is the last one) where the plan says so."""
    spoilt = plan.fault == Fault.CORRUPT and number in (None, plan.frames)
    return bytes(len(data)) if spoilt else data
