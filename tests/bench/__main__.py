"""The command: makes the data, measures, and shows."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import contests, data, held, idle, judging, live, memory, poll, report, sink, sweeps
from bench.report import Results
from depositd.units import parse_size_bytes, show_size

_TOOLS = ("tar", "zstd", "curl", "find", "md5sum", "sha256sum")
_TREES = (1000, 20)
_IN_MEMORY = Path("/dev/shm")
_BYTES_PER_FRAME = 20_000


def main() -> int:
    """Run the benchmark and return the exit status: 1 where more memory was used than is promised, 2 without a tool."""
    options = _options()
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        _say(f"not found here: {', '.join(missing)} (scripts/setup --system-packages installs zstd and curl)")
        return 2
    results = Results()
    for name, measure in _PARTS.items():
        if name in (options.only or _PARTS):
            with tempfile.TemporaryDirectory(prefix="depositd-bench-", dir=_where(name, options)) as directory:
                results += measure(options, Path(directory))
    sys.stdout.write(report.as_markdown(results) if options.markdown else report.as_text(results))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results), indent=2) + "\n")
    for figure in results.missed:
        _say(f"missed: {figure.title} is {figure.shown} (target {figure.target})")
    if not results.memory_is_kept:
        _say(f"more memory was used than the promised {show_size(report.MOST_MEMORY_BYTES)}")
    return 0 if results.memory_is_kept else 1


def _where(part: str, options: argparse.Namespace) -> Path | None:
    """Return the directory for a part's data: memory for frames that come faster than some disks create files."""
    if options.directory is None and part in _FRAMES and _IN_MEMORY.is_dir():
        needed_bytes = 1.5 * _FRAMES[part](options) * _BYTES_PER_FRAME
        if shutil.disk_usage(_IN_MEMORY).free > needed_bytes:
            return _IN_MEMORY
    directory: Path | None = options.directory
    return directory


# --- the parts --------------------------------------------------------------------------------------------------


def _archive(options: argparse.Namespace, directory: Path) -> Results:
    found = []
    for name, format_name, write in (
        ("lyso_1", "frames", data.write_cbf_series),
        ("thau_2", "eiger", data.write_eiger_series),
    ):
        _say(f"archiving a series of {show_size(options.size)}, format {format_name}")
        write(directory / name, options.size)
        found.append(contests.archive(directory / name, format_name, directory / f"spool_{name}", options.rounds))
        shutil.rmtree(directory / name)
    return Results(tuple(found))


def _upload(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"uploading {show_size(options.upload_size)}")
    file = directory / "upload.tar.zst"
    data.write_noise(file, options.upload_size)
    return Results((contests.upload(file, options.rounds),))


def _memory(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"measuring the memory that {show_size(options.rss_size)} take")
    frames = directory / "lyso_1"
    data.write_cbf_series(frames, min(options.size, options.rss_size))
    data.link_series(frames, directory / "long_1", options.rss_size)
    of_archive = memory.of_archive(directory / "long_1", directory / "long_spool", options.rss_size)
    shutil.rmtree(directory / "long_spool")
    file = directory / "long.tar.zst"
    with file.open("wb") as empty:
        empty.truncate(options.rss_size)  # a hole: the client reads as much from it as from a written file
    with sink.running() as url:
        return Results((), (of_archive, memory.of_upload(file, url)))


def _sweep(options: argparse.Namespace, directory: Path) -> Results:
    found = Results()
    for per_directory in _TREES:
        shape = sweeps.shape_of(options.files, per_directory)
        _say(f"sweeping {options.files:,} files in {shape}")
        data.write_tree(directory / "tree", options.files, per_directory)
        found += sweeps.measure(directory / "tree", options.files, shape, options.rounds)
        shutil.rmtree(directory / "tree")
    return found


def _probe(options: argparse.Namespace, directory: Path) -> Results:
    _say("checking frames")
    small, large = max(options.frames // 20, 1), max(options.frames // 1000, 1)
    return Results(figures=tuple(judging.probe(directory, small, large, options.rounds)))


def _judge(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"judging a series of {options.frames:,} frames")
    return Results(figures=tuple(judging.judge(directory / "lyso_1", options.frames)))


def _live(options: argparse.Namespace, directory: Path) -> Results:
    found = Results()
    for series in (1, max(round(options.seconds), 2)):
        _say(f"watching {options.rate:g} new frames a second for {options.seconds:g} s, series: {series}")
        figures = live.measure(directory / f"live_{series}", options.seconds, options.rate, series)
        shutil.rmtree(directory / f"live_{series}")
        found += Results(figures=tuple(figures))
    return found


def _idle(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"doing nothing beside {options.known:,} known datasets for {options.seconds:g} s")
    return Results(figures=tuple(idle.measure(directory, options.known, options.seconds)))


def _held(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"doing nothing beside {options.held:,} held deliveries for {options.seconds:g} s")
    figures = held.measure(directory / "ticks", options.held)
    (directory / "idle").mkdir()
    figures += idle.measure(directory / "idle", options.held, options.seconds, held=True)
    return Results(figures=tuple(figures))


def _poll(options: argparse.Namespace, directory: Path) -> Results:
    _say(f"polling {options.submissions:,} submissions")
    return Results(figures=tuple(poll.measure(directory, options.submissions)))


_PARTS: Mapping[str, Callable[[argparse.Namespace, Path], Results]] = {
    "archive": _archive,
    "upload": _upload,
    "memory": _memory,
    "sweep": _sweep,
    "probe": _probe,
    "judge": _judge,
    "live": _live,
    "idle": _idle,
    "held": _held,
    "poll": _poll,
}
_FRAMES: Mapping[str, Callable[[argparse.Namespace], float]] = {
    "judge": lambda options: options.frames,
    "live": lambda options: options.seconds * options.rate,
}


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures depositd beside tar, zstd, curl and find, its memory, and what watching costs.",
    )
    for name, default, what in (
        ("--size", "300MB", "of each series to archive"),
        ("--upload-size", "1GiB", "of the file to upload"),
        ("--rss-size", "2GiB", "of what the memory is measured on"),
    ):
        parser.add_argument(
            name, type=parse_size_bytes, default=default, metavar="SIZE", help=f"{what} (default {default})"
        )
    for name, number, what in (
        ("--files", 200_000, "to sweep"),
        ("--frames", 100_000, "in the series to judge"),
        ("--known", 100_000, "datasets that an idle daemon knows"),
        ("--held", 10_000, "deliveries that are held"),
        ("--submissions", 1_000, "to poll"),
        ("--rounds", 5, "that count, in turn"),
    ):
        parser.add_argument(name, type=int, default=number, metavar="N", help=f"{what} (default %(default)s)")
    for name, value, what in (
        ("--rate", 1000.0, "new frames a second"),
        ("--seconds", 60.0, "for which frames come, and for which the daemon is idle"),
    ):
        parser.add_argument(name, type=float, default=value, metavar="N", help=f"{what} (default %(default)g)")
    parser.add_argument("--only", nargs="+", choices=list(_PARTS), help="leave out the rest")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where to write (default: the temporary directory, and /dev/shm for frames that come fast)",
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there too")
    return parser.parse_args()


def _say(sentence: str) -> None:
    sys.stderr.write(f"bench: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
