"""The command: ``python -m mutation``, by ``scripts/mutate``."""

from __future__ import annotations

import argparse
import os
import sys
import time

from mutation import survivors
from mutation.runs import PROJECT, MutmutFailed, Outcome, run
from mutation.targets import SHORT, TARGETS

LIST = PROJECT / "tests" / "mutations.toml"


def main() -> int:
    """Mutate the modules that are asked for; return 1 where a mutant survives that is not listed."""
    options = _options()
    known = survivors.read(LIST)
    modules = options.modules or (SHORT if options.short else tuple(TARGETS))
    unknown = 0
    say(f"{'module':12} {'mutants':>8} {'killed':>8} {'survive':>8} {'listed':>8} {'seconds':>8}")
    for module in modules:
        begun_s = time.monotonic()
        try:
            outcome = run(module, TARGETS[module], options.jobs)
        except MutmutFailed as error:
            say(f"mutate: {error}")
            return 2
        new = [change for change in outcome.survivors if change not in known]
        say(_figures(module, outcome, len(new), time.monotonic() - begun_s))
        for change in known:
            if change.module == module and change not in outcome.survivors:
                say(f"listed in {LIST.name}, and does not survive any more:\n{change}")
        if new:
            say(f"no test notices these: write one that does, or list them in tests/{LIST.name} and say why not")
            say(survivors.as_toml(new))
        unknown += len(new)
    return 1 if unknown else 0


def _figures(module: str, outcome: Outcome, new: int, took_s: float) -> str:
    left = len(outcome.survivors)
    return f"{module:12} {outcome.mutants:8} {outcome.killed:8} {left:8} {left - new:8} {took_s:8.0f}"


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/mutate",
        description="Changes one operator, number or argument at a time and shows the changes that no test notices.",
        epilog="Works in a temporary copy. Ends with 1 where a change goes unnoticed that tests/mutations.toml lacks.",
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=f"of {', '.join(TARGETS)} (all)")
    parser.add_argument("--short", action="store_true", help=f"only {' and '.join(SHORT)}")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="mutants at a time (one for each core)")
    options = parser.parse_args()
    if foreign := [module for module in options.modules if module not in TARGETS]:
        parser.error(f"{foreign[0]} is none of {', '.join(TARGETS)}")
    return options


if __name__ == "__main__":
    sys.exit(main())
