"""The parts of the benchmark, each with what it is measured on."""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench import asking, contests, data, following, held, idle, judging, live, memory, poll, resuming, sweeps, whole
from bench.report import Results
from depositd.units import show_size

_TREES = (1000, 20)
_IN_MEMORY = Path("/dev/shm")
_BYTES_PER_FRAME = 20_000


@dataclass(frozen=True, slots=True)
class Work:
    """What a part is given: the options, a directory of its own, and the series that it shares with others."""

    options: argparse.Namespace
    directory: Path
    shelf: data.Shelf


def directory_for(part: str, options: argparse.Namespace) -> Path | None:
    """Return where a part's data are written: memory for frames that come faster than some disks create files."""
    if options.directory is None and part in _FRAMES and _IN_MEMORY.is_dir():
        needed_bytes = 1.5 * _FRAMES[part](options) * _BYTES_PER_FRAME
        if shutil.disk_usage(_IN_MEMORY).free > needed_bytes:
            return _IN_MEMORY
    directory: Path | None = options.directory
    return directory


def say(sentence: str) -> None:
    """Tell whoever waits what is measured."""
    sys.stderr.write(f"bench: {sentence}\n")


def _archive(work: Work) -> Results:
    say(f"archiving a CBF series of {show_size(work.options.size)}")
    found = contests.archive_cbf(work.shelf.cbf(), work.directory / "spool", work.options.rounds)
    for exposure, shown in ((data.FAINT, "5 photons a pixel"), (data.BRIGHT, "20 photons a pixel")):
        say(f"archiving an Eiger series of {show_size(work.options.eiger_size)}, {shown}")
        series = work.shelf.eiger(exposure)
        spool = work.directory / f"spool_{exposure:g}"
        found += contests.archive_eiger(series, f"archive Eiger, {shown}", spool, work.options.rounds)
        work.shelf.clear(series)
    return found


def _follow(work: Work) -> Results:
    say("following a series that is written at 60 MB/s")
    return following.measure(work.shelf.cbf(), work.directory, work.options.rounds)


def _upload(work: Work) -> Results:
    say(f"uploading {show_size(work.options.upload_size)}")
    file = work.directory / "upload.tar.zst"
    data.write_noise(file, work.options.upload_size)
    return contests.upload(file, work.options.rounds)


def _memory(work: Work) -> Results:
    size_bytes = work.options.rss_size
    say(f"measuring the memory that {show_size(size_bytes)} take")
    series = work.directory / "long_1"
    data.link_series(work.shelf.cbf(), series, size_bytes)
    of_archive = memory.of_archive(series, work.directory / "spool")
    shutil.rmtree(work.directory / "spool")
    file = work.directory / "long.tar.zst"
    with file.open("wb") as empty:
        empty.truncate(size_bytes)  # a hole: the client reads as much from it as from a written file
    of_upload = memory.of_upload(file)
    return Results(figures=(of_archive, of_upload, memory.of_daemon(series, work.directory / "daemon")))


def _resume(work: Work) -> Results:
    say("archiving again after kill -9")
    return resuming.measure(work.shelf.cbf(), work.directory, work.options.rounds)


def _whole(work: Work) -> Results:
    say("sending a series that is written at 60 MB/s")
    return whole.measure(work.shelf.cbf(), work.directory, work.options.rounds)


def _sweep(work: Work) -> Results:
    found = Results()
    files, tree = work.options.files, work.directory / "tree"
    for per_directory in _TREES:
        shape = sweeps.shape_of(files, per_directory)
        say(f"sweeping {files:,} files in {shape}")
        data.write_tree(tree, files, per_directory)
        found += sweeps.measure(tree, files, shape, work.options.rounds)
        shutil.rmtree(tree)
    return found


def _probe(work: Work) -> Results:
    say("checking frames")
    small, large = max(work.options.frames // 20, 1), max(work.options.frames // 1000, 1)
    return Results(figures=tuple(judging.probe(work.directory, small, large, work.options.rounds)))


def _judge(work: Work) -> Results:
    say(f"judging a series of {work.options.frames:,} frames")
    return Results(figures=tuple(judging.judge(work.directory / "lyso_1", work.options.frames)))


def _live(work: Work) -> Results:
    found = Results()
    seconds, rate = work.options.seconds, work.options.rate
    for series in (1, max(round(seconds), 2)):
        say(f"watching {rate:g} new frames a second for {seconds:g} s, series: {series}")
        figures = live.measure(work.directory / f"live_{series}", seconds, rate, series)
        shutil.rmtree(work.directory / f"live_{series}")
        found += Results(figures=tuple(figures))
    return found


def _idle(work: Work) -> Results:
    say(f"doing nothing beside {work.options.known:,} known datasets for {work.options.seconds:g} s")
    return Results(figures=tuple(idle.measure(work.directory, work.options.known, work.options.seconds)))


def _held(work: Work) -> Results:
    say(f"doing nothing beside {work.options.held:,} held deliveries for {work.options.seconds:g} s")
    figures = held.measure(work.directory / "ticks", work.options.held)
    (work.directory / "idle").mkdir()
    figures += idle.measure(work.directory / "idle", work.options.held, work.options.seconds, held=True)
    return Results(figures=tuple(figures))


def _poll(work: Work) -> Results:
    say(f"polling {work.options.submissions:,} submissions")
    return Results(figures=tuple(poll.measure(work.directory, work.options.submissions)))


def _journal(work: Work) -> Results:
    say(f"asking a journal of {work.options.datasets:,} datasets")
    unsettled = max(work.options.datasets // 200, 7)
    return Results(figures=tuple(asking.measure(work.directory, work.options.datasets, unsettled, work.options.rounds)))


PARTS: Mapping[str, Callable[[Work], Results]] = {
    "archive": _archive,
    "follow": _follow,
    "resume": _resume,
    "upload": _upload,
    "whole": _whole,
    "memory": _memory,
    "sweep": _sweep,
    "probe": _probe,
    "judge": _judge,
    "live": _live,
    "idle": _idle,
    "held": _held,
    "poll": _poll,
    "journal": _journal,
}
_FRAMES: Mapping[str, Callable[[argparse.Namespace], float]] = {
    "judge": lambda options: options.frames,
    "live": lambda options: options.seconds * options.rate,
}
