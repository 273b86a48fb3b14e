"""The command: makes the data, measures, and shows."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import report
from bench.data import Shelf
from bench.parts import PARTS, Work, directory_for, say
from bench.report import Results
from depositd.units import parse_size_bytes

README = Path(__file__).parents[2] / "README.md"
_TOOLS = ("tar", "zstd", "curl", "find", "md5sum", "sed")


def main() -> int:
    """Run the benchmark and return the exit status: 1 where more memory was used than is promised, 2 without a tool."""
    options = _options()
    if options.readme:
        README.write_text(report.in_readme(README.read_text(), report.from_json(_read(options.readme))))
        return 0
    missing = [tool for tool in _TOOLS if shutil.which(tool) is None]
    if missing:
        say(f"not found here: {', '.join(missing)} (scripts/setup --system-packages installs zstd and curl)")
        return 2
    parts = _measured(options)
    sys.stdout.write(report.as_markdown(parts) if options.markdown else report.as_text(parts))
    if options.json:
        before = _read(options.json) if options.json.exists() else {}
        found = {**before, **report.as_json(parts)}
        in_order = {name: found[name] for name in PARTS if name in found}
        options.json.write_text(json.dumps(in_order, indent=1) + "\n")
    for figure in (figure for results in parts.values() for figure in results.missed):
        say(f"missed: {figure.title} is {figure.shown} (target {figure.target})")
    return 1 if "memory" in parts and parts["memory"].missed else 0


def _measured(options: argparse.Namespace) -> dict[str, Results]:
    parts = {}
    with tempfile.TemporaryDirectory(prefix="depositd-bench-", dir=options.directory) as shared:
        shelf = Shelf(Path(shared), options.size, options.eiger_size)
        for name in (name for name in PARTS if name in (options.only or PARTS)):
            # beside the shelf, where it can be, so that frames can be linked
            where = directory_for(name, options) or shared
            with tempfile.TemporaryDirectory(prefix="depositd-bench-", dir=where) as directory:
                parts[name] = PARTS[name](Work(options, Path(directory), shelf))
    return parts


def _read(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.read_text())
    return found


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description="Measures depositd beside tar, zstd, curl and find, its memory, and what watching costs.",
    )
    for name, default, what in (
        ("--size", "1.2GB", "of the CBF series to archive, follow, resume and send"),
        ("--eiger-size", "1GB", "of each Eiger series to archive"),
        ("--upload-size", "2GiB", "of the file to upload"),
        ("--rss-size", "8GiB", "of what the memory is measured on"),
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
        ("--datasets", 100_000, "in the journal that is asked"),
        ("--rounds", 3, "that count, in turn"),
    ):
        parser.add_argument(name, type=int, default=number, metavar="N", help=f"{what} (default %(default)s)")
    for name, value, what in (
        ("--rate", 1000.0, "new frames a second"),
        ("--seconds", 60.0, "for which frames come, and for which the daemon is idle"),
    ):
        parser.add_argument(name, type=float, default=value, metavar="N", help=f"{what} (default %(default)g)")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), help="leave out the rest")
    parser.add_argument(
        "--directory",
        type=Path,
        metavar="DIR",
        help="where to write (default: the temporary directory, and /dev/shm for frames that come fast)",
    )
    parser.add_argument("--markdown", action="store_true", help="print tables for a README")
    parser.add_argument(
        "--json", type=Path, metavar="FILE", help="write every run there too; what other parts found there stays"
    )
    parser.add_argument(
        "--readme", type=Path, metavar="FILE", help="measure nothing: make the README's tables of such a file"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
