"""Nights that hypothesis makes up: how many, how long, and who stops the sandboxes."""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Callable
from typing import Any, ClassVar

from depot_support import stopping_aside
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import RuleBasedStateMachine, run_state_machine_as_test

from depositd.sandbox import Sandbox

NIGHTS = int(os.environ.get("DEPOSITD_NIGHTS", "0"))
"""More than the usual ones, and others each time."""


class AnyNight(RuleBasedStateMachine):
    """A night in a directory of its own, which ends with its *morning*; a rule makes its ``box`` and its ``depot``."""

    stop: ClassVar[Callable[[Sandbox], None]]
    """Ends a sandbox without anybody waiting for it."""
    box: Sandbox

    def __init__(self) -> None:
        super().__init__()
        self.directory = tempfile.TemporaryDirectory()

    def morning(self) -> None:
        """Let all become well, and assert what must be true."""
        raise NotImplementedError

    def teardown(self) -> None:
        try:
            if hasattr(self, "depot"):
                self.morning()
                self.depot.close()
        finally:
            if hasattr(self, "box"):
                self.stop(self.box)
            self.directory.cleanup()


def live_through(night: type[AnyNight], usual: int, steps: int) -> None:
    """Live through the usual nights, the same ones every time, or through ``DEPOSITD_NIGHTS`` of any kind."""
    unhurried = settings(
        max_examples=NIGHTS or usual,
        stateful_step_count=steps,
        derandomize=not NIGHTS,
        database=None,
        deadline=None,
        phases=list(Phase) if NIGHTS else [Phase.generate],  # the smallest failing night is searched for at leisure
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
        print_blob=True,
    )
    try:
        with stopping_aside() as stop:
            members: dict[str, Any] = {"stop": staticmethod(stop)}
            run_state_machine_as_test(type("TheNight", (night,), members), settings=unhurried)
    finally:
        gc.collect()  # sockets that a power cut left open are warned of here, and not in somebody else's test
