"""Lives of the installed command that end where a test says: by SIGKILL, at a named moment.

Each is a process of its own, forked from one that has imported everything already: a life costs what it does, and not
a second of imports.
"""

from __future__ import annotations

import multiprocessing
import os
import random
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from depositd.moments import Moment, listen

KILLED = -signal.SIGKILL
_PRELOADED = [
    "lives",
    "depositd.cli.app",
    "depositd.cli.run",
    "depositd.config",
    "depositd.service.daemon",
    "depositd.service.lock",
    "depositd.web",
    "depositd.formats.frames",
    "depositd.formats.thermo_raw",
    "depositd.destinations.proteindiffraction",
    "depositd.destinations.proteomicsqc",
    "depositd.destinations.directory",
]


@dataclass(frozen=True)
class End:
    """The moment at which a life ends: when it comes for the ``after``-th time after the first.

    ``detail`` is part of the moment's own.  A transaction has no name: ``Moment.RECORDED`` with a detail is the first
    one to end in a thread that wrote an event of that name.
    """

    moment: Moment
    detail: str = ""
    after: int = 0

    def __str__(self) -> str:
        return f"{self.moment.name.lower()} {self.detail} {self.after or ''}".strip()


@dataclass
class _Reaper:
    """Ends the process at its moment."""

    end: End
    left: int = field(init=False)
    written: threading.local = field(default_factory=threading.local)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.left = self.end.after

    def __call__(self, moment: Moment, detail: str) -> None:
        if self.end.moment is Moment.RECORDED and self.end.detail:
            if moment is Moment.RECORDING and detail == self.end.detail:
                self.written.event = True
            elif moment is Moment.RECORDED and getattr(self.written, "event", False):
                self.written.event = False
                self._count()
        elif moment is self.end.moment and self._fits(detail):
            self._count()

    def _fits(self, detail: str) -> bool:
        return detail == self.end.detail if self.end.moment is Moment.RECORDING else self.end.detail in detail

    def _count(self) -> None:
        with self.lock:
            self.left -= 1
            if self.left < 0:
                os.kill(os.getpid(), signal.SIGKILL)


@dataclass(frozen=True)
class Chance:
    """Ends the process at one of its moments, by dice that a seed throws."""

    seed: int
    one_in: int

    def listener(self) -> Any:
        dice = random.Random(self.seed)

        def roll(moment: Moment, detail: str) -> None:
            if dice.randrange(self.one_in) == 0:
                os.write(2, f"{moment} ({detail})\n".encode("utf-8", "replace"))
                os.kill(os.getpid(), signal.SIGKILL)

        return roll


@dataclass(frozen=True)
class Recorder:
    """Ends nothing: writes each moment to a file."""

    path: str

    def listener(self) -> Any:
        file = open(self.path, "a", encoding="utf-8", buffering=1)  # noqa: SIM115 - as long as the process lives

        def note(moment: Moment, detail: str) -> None:
            file.write(f"{moment.name}\t{detail}\n")

        return note


def _live(
    arguments: Sequence[str], environment: Mapping[str, str], log: str, end: End | Chance | Recorder | None
) -> None:
    os.setsid()  # a signal to the terminal's group is not one to this life
    os.environ.clear()
    os.environ.update(environment)
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    # what multiprocessing's child has for standard streams is not what a service has
    sys.stdout = os.fdopen(1, "w", buffering=1, errors="surrogateescape", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="surrogateescape", closefd=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if end is not None:
        listen(_Reaper(end) if isinstance(end, End) else end.listener())
    from depositd.cli import main

    sys.argv = ["depositd", *arguments]
    main()


class Life:
    """One process; its exit status is negative where a signal ended it."""

    def __init__(
        self,
        arguments: Sequence[str],
        environment: Mapping[str, str],
        log: Path,
        end: End | Chance | Recorder | None = None,
    ) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_PRELOADED)
        self.process = context.Process(target=_live, args=(arguments, dict(environment), str(log), end), daemon=True)
        self.process.start()

    def wait(self, timeout_s: float = 40.0) -> int | None:
        """Return the exit status, None where it still lives."""
        self.process.join(timeout_s)
        return self.process.exitcode

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self.process.pid is not None
        os.kill(self.process.pid, number)

    def kill(self) -> int | None:
        """End it as a power cut would."""
        self.process.kill()
        return self.wait()
