"""The command: makes the data, measures, and shows."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from bench import contests, data, memory, report, sink
from bench.report import Results
from depositd.units import parse_size_bytes, show_size

_TOOLS = ("tar", "zstd", "curl", "find", "md5sum", "sha256sum")
_PARTS = ("archive", "upload", "sweep", "memory")


def main() -> int:
    """Run the benchmark and return the exit status: 1 where more memory was used than is promised, 2 without a tool."""
    options = _options()
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        _say(f"not found here: {', '.join(missing)} (scripts/setup --system-packages installs zstd and curl)")
        return 2
    with tempfile.TemporaryDirectory(prefix="depositd-bench-", dir=options.directory) as directory:
        results = _measure(options, Path(directory))
    sys.stdout.write(report.as_markdown(results) if options.markdown else report.as_text(results))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(results), indent=2) + "\n")
    if not results.memory_is_kept:
        _say(f"more memory was used than the promised {show_size(report.MOST_MEMORY_BYTES)}")
    return 0 if results.memory_is_kept else 1


def _measure(options: argparse.Namespace, directory: Path) -> Results:
    wanted = set(options.only or _PARTS)
    frames = directory / "lyso_1"
    found = []
    peaks = []
    if wanted & {"archive", "memory"}:
        _say(f"writing a CBF series of {show_size(options.size)}")
        data.write_cbf_series(frames, options.size)
    if "archive" in wanted:
        _say("archiving the CBF series")
        found.append(contests.archive(frames, "frames", directory / "spool", options.rounds))
        _say(f"writing an Eiger series of {show_size(options.size)}")
        data.write_eiger_series(directory / "thau_2", options.size)
        _say("archiving the Eiger series")
        found.append(contests.archive(directory / "thau_2", "eiger", directory / "spool-2", options.rounds))
        shutil.rmtree(directory / "thau_2")
    if "upload" in wanted:
        _say(f"uploading {show_size(options.upload_size)}")
        file = directory / "upload.tar.zst"
        data.write_noise(file, options.upload_size)
        found.append(contests.upload(file, options.rounds))
        file.unlink()
    if "sweep" in wanted:
        _say(f"writing {options.files:,} small files")
        data.write_tree(directory / "tree", options.files)
        _say("sweeping them")
        found.append(contests.sweep(directory / "tree", options.files, options.rounds))
        shutil.rmtree(directory / "tree")
    if "memory" in wanted:
        _say(f"measuring the memory that {show_size(options.rss_size)} take")
        peaks += _peaks(frames, options.rss_size, directory)
    return Results(tuple(found), tuple(peaks))


def _peaks(frames: Path, size_bytes: int, directory: Path) -> list[memory.Peak]:
    data.link_series(frames, directory / "long_1", size_bytes)
    of_archive = memory.of_archive(directory / "long_1", directory / "long_spool", size_bytes)
    shutil.rmtree(directory / "long_spool")
    file = directory / "long.tar.zst"
    with file.open("wb") as empty:
        empty.truncate(size_bytes)  # a hole: the client reads as much from it as from a written file
    with sink.running() as url:
        return [of_archive, memory.of_upload(file, url)]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench", description="Measures depositd beside tar, zstd, curl and find, and its peak memory."
    )
    for name, default, what in (
        ("--size", "300MB", "of each series to archive"),
        ("--upload-size", "1GiB", "of the file to upload"),
        ("--rss-size", "2GiB", "of what the memory is measured on"),
    ):
        parser.add_argument(
            name, type=parse_size_bytes, default=default, metavar="SIZE", help=f"{what} (default {default})"
        )
    parser.add_argument("--files", type=int, default=100_000, metavar="N", help="to sweep (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, metavar="N", help="that count, in turn (default %(default)s)")
    parser.add_argument("--only", nargs="+", choices=_PARTS, help="leave out the rest")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where to write (default: the temporary directory)"
    )
    parser.add_argument("--markdown", action="store_true", help="print one table for a README")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every run there too")
    return parser.parse_args()


def _say(sentence: str) -> None:
    sys.stderr.write(f"bench: {sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
