"""The command: ``python -m torture``, by ``scripts/torture``."""

from __future__ import annotations

import argparse
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

from campaign_support import Campaign

from depositd.sandbox import running
from torture.night import Night


def main() -> int:
    """Torture a daemon until the time is over; return 1 where something is not as it must be."""
    options = _options()
    directory = Path(tempfile.mkdtemp(prefix="depositd-torture-"))
    say(f"seed {options.seed}, {options.minutes:g} min, in {directory}")
    with running(pace_s=0.1) as box:
        night = Night(Campaign(directory, box), options.seed, say)
        try:
            end_s = time.monotonic() + 60.0 * options.minutes
            while time.monotonic() < end_s:
                night.live()
            night.check()
        except AssertionError as error:
            say(f"FAILED after {night.lives} lives: {error}")
            say(f"what is left lies in {directory}; once more: scripts/torture --seed {options.seed}")
            return 1
    shutil.rmtree(directory)
    say(f"{night.lives} lives, {night.killed} ended by SIGKILL, {night.checks} checks: all well")
    return 0


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/torture",
        description="Has the daemon die at random moments in random trouble, and checks that each dataset arrives.",
        epilog="The seed repeats what happens and the dice of each life; how its threads take turns is not repeated.",
    )
    parser.add_argument("--minutes", type=float, default=5.0, help="how long (5)")
    parser.add_argument("--seed", type=int, default=secrets.randbits(32), help="of an earlier run, to repeat it")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
