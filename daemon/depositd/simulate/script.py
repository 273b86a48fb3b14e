"""What the script of an instrument is, and what it works with.

A script is a generator.  It yields the time to wait, in frame periods, before it writes on; so it knows no
clock, and a run can be stopped between any two writes with all files closed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from depositd.simulate.output import Output
from depositd.simulate.plan import Plan, Take

Script: TypeAlias = Generator[float, None, None]
Now: TypeAlias = Callable[[], datetime]

PICTURES = 24
"""Different scans of a mass spectrometer; they are made once and then come again and again."""


@dataclass(frozen=True, slots=True)
class Run:
    """What an instrument works with during one take."""

    plan: Plan
    take: Take
    output: Output
    now: Now


def write_whole(output: Output, name: str, data: bytes) -> None:
    """Write a small file in one go."""
    with output.open(name, len(data)) as file:
        file.write(data)
