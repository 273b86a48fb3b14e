"""The config as the engine works with it, for a command: its destinations are built and nothing is asked of them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from depositd.cli.failing import SECRETS

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.engine.planning import Plan


@contextmanager
def planned(config: Config) -> Iterator[Plan]:
    """Return the plan of a config while a block runs."""
    from depositd import destinations
    from depositd.engine.planning import Plan

    reached = {
        name: destinations.build(name, settings, on_secret=SECRETS.add)
        for name, settings in config.destinations.items()
    }
    try:
        yield Plan(config, reached)
    finally:
        for destination in reached.values():
            destination.close()
