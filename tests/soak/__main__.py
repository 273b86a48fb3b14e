"""The command: runs everything for a while, waits until it is calm, and says what was found."""

from __future__ import annotations

import argparse
import json
import math
import secrets
import shutil
import sys
import tempfile
from pathlib import Path

from soak import report
from soak.night import Night


def main() -> int:
    """Run it and return the exit status: 1 where a rule is broken; the directory is kept then."""
    options = _options()
    place = Path(tempfile.mkdtemp(prefix="depositd-soak-", dir=options.directory))
    result = Night(place, options.seed, options.hours, options.pace).soak()
    sys.stdout.write(report.as_text(result))
    if options.json:
        options.json.write_text(json.dumps(report.as_json(result), indent=1) + "\n")
    if result.is_well and not options.keep:
        shutil.rmtree(place)
    else:
        sys.stderr.write(f"kept: {place}\n")
    return 0 if result.is_well else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/soak",
        description="Runs simulated instruments against the sandbox with random faults, and says whether each dataset"
        " arrived once and whether memory, descriptors, threads, journal and log stayed flat.",
    )
    parser.add_argument("--hours", type=_positive, default=1.0, metavar="N", help="how long (default 1)")
    parser.add_argument("--pace", type=_positive, default=1.0, metavar="X", help="datasets a second (default 1)")
    parser.add_argument("--seed", type=int, metavar="S", help="the same seed draws the same faults (default: any)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there too, each sample included")
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="where to work (default: the temporary directory)"
    )
    parser.add_argument("--keep", action="store_true", help="keep the directory also where all is well")
    options = parser.parse_args()
    if options.seed is None:
        options.seed = secrets.randbelow(10**6)
    return options


def _positive(text: str) -> float:
    number = float(text)
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return number


if __name__ == "__main__":
    sys.exit(main())
