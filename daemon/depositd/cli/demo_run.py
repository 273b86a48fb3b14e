"""The demo from its first to its last second: servers, daemon, instruments; started, watched, proven, stopped."""

from __future__ import annotations

import os
import shlex
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.live import Live

from depositd.cli.demo_proof import Proof, Witnesses, prove
from depositd.cli.demo_show import Narrator, final_picture, picture
from depositd.cli.demo_stage import Instruments, Stage, acts
from depositd.config import load_config
from depositd.engine.idle import Rest
from depositd.errors import DepositdError
from depositd.journal import FILE_NAME, Journal
from depositd.sandbox import Sandbox, running
from depositd.service.daemon import Daemon
from depositd.service.lock import StateLock
from depositd.systemd import LogMode, NoSupervisor, configure_logging
from depositd.units import printable

LOOK_EVERY_S = 0.25
READY_WITHIN_S = 20.0
END_WITHIN_S = 90.0
GRACE_S = 5.0
"""How long everything may be at rest without being proven: a run is processed a moment after it was delivered."""
STOP_WITHIN_S = 12.0
PICTURE_WIDTH = 120
INTERRUPTED = 130
"""The exit status that a shell gives to what Ctrl-C ended."""


@dataclass(frozen=True, slots=True)
class Options:
    """What can be chosen; a ``directory`` that is given is kept, a temporary one with ``keep``."""

    directory: Path | None = None
    keep: bool = False
    svg: Path | None = None
    verbose: bool = False


def run_demo(options: Options, results: Console | None = None, progress: Console | None = None) -> int:
    """Run the demo and return its exit status: 0 proven, 1 not, 130 interrupted.

    The final table goes to ``results`` (stdout), everything else to ``progress`` (stderr).  Raises DepositdError or
    OSError where it cannot be played to its end; all is stopped then, and the directory kept.
    """
    results = results or _console(Console())
    progress = progress or Console(stderr=True)
    with _place(options, progress) as place:
        try:
            with _Performance(Stage(place.root), options, progress) as performance:
                proofs, status = performance.play()
        except KeyboardInterrupt:
            place.keep = options.keep
            progress.print("interrupted; everything is stopped")
            return INTERRUPTED
        final = final_picture(proofs, status, performance.elapsed_s)
        results.print(final)
        if options.svg is not None:
            _save_svg(final, options.svg)
        proven = all(proof.ok for proof in proofs)
        place.keep = options.keep or not proven
    return 0 if proven else 1


def _console(console: Console) -> Console:
    """Return a console for a table: where there is no terminal, as wide as the picture."""
    return console if console.is_terminal or "COLUMNS" in os.environ else Console(width=PICTURE_WIDTH)


@dataclass(slots=True)
class _Place:
    """The directory of one demo; ``keep`` is true until all is known to be well, so that a fault can be looked at."""

    root: Path
    keep: bool = True


@contextmanager
def _place(options: Options, progress: Console) -> Iterator[_Place]:
    """Lend a directory, which is removed again unless it shall be kept; one that was given is never removed."""
    if options.directory is not None:
        options.directory.mkdir(parents=True, exist_ok=True)
    place = _Place((options.directory or Path(tempfile.mkdtemp(prefix="depositd-demo-"))).resolve())
    try:
        yield place
    finally:
        if place.keep or options.directory is not None:
            config = printable(shlex.quote(str(place.root / "depositd.yaml")))
            note = f"Kept: {printable(str(place.root))}\nLook again: depositd --config {config} status"
            progress.print(note, markup=False, highlight=False, soft_wrap=True)
        else:
            shutil.rmtree(place.root, ignore_errors=True)


class _DaemonThread:
    """The daemon in a thread of its own, so that the main thread can show it and be interrupted."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="daemon", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._daemon.run()
        except Exception as error:  # noqa: BLE001 - whatever it is, the main thread says it and ends the demo
            self.error = error

    def check(self) -> None:
        """Raise DepositdError where the daemon has ended by itself."""
        if not self._thread.is_alive():
            raise DepositdError(
                f"the daemon ended by itself: {self.error or 'it was stopped'}", hint="its log says why"
            )

    def stop(self) -> None:
        """Stop it and wait for it."""
        self._daemon.stop()
        self._thread.join(STOP_WITHIN_S)


class _Performance:
    """Everything that runs, between ``with`` and its end; stopped in the reverse order."""

    def __init__(self, stage: Stage, options: Options, progress: Console) -> None:
        self.elapsed_s = 0.0
        self._stage = stage
        self._progress = progress
        self._live_table = progress.is_terminal and not progress.is_dumb_terminal and not options.verbose
        self._verbose = options.verbose
        self._acts = acts(stage.data)
        self._instruments = Instruments(self._acts)
        self._watched: set[str] = set()
        self._stack = ExitStack()
        self._sandbox: Sandbox
        self._journal: Journal
        self._daemon: _DaemonThread

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._began_s = time.monotonic()
            self._sandbox = stack.enter_context(running(pace_s=1.0, process_s=1.0))
            self._sandbox.fault("/api/v1/upload/", "commit-then-drop")
            self._stage.prepare(self._sandbox)
            stack.enter_context(self._logging())
            config = load_config(self._stage.config)
            stack.callback(StateLock(self._stage.state).release)
            self._journal = Journal(self._stage.state / FILE_NAME)
            stack.callback(self._journal.close)
            self._daemon = _DaemonThread(Daemon(config, self._journal, NoSupervisor()))
            stack.callback(self._daemon.stop)
            stack.callback(self._instruments.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def play(self) -> tuple[list[Proof], dict[str, Any]]:
        """Start the instruments once the daemon watches; return what was proven once all is at rest, and the status."""
        self._progress.print(
            f"Two servers on loopback ({self._sandbox.url}), five instruments, one daemon.\n"
            "The diffraction server loses its answer to the first upload, on purpose: it is asked before anything is "
            "sent again.\n"
            "Uploading there publishes. The rules say `approve: auto` only because this one is a sandbox.",
            markup=False,
            highlight=False,
        )
        with self._showing() as show:
            self._wait_until_watching()
            self._instruments.start()
            return self._until_proven(show)

    def _wait_until_watching(self) -> None:
        deadline_s = time.monotonic() + READY_WITHIN_S
        roots = {act.plan.directory for act in self._acts}
        while time.monotonic() < deadline_s:
            self._daemon.check()
            watched = [source["path"] for source in self._status()["sources"] if source["state"] == "watched"]
            if all(any(root.is_relative_to(path) for path in watched) for root in roots):
                return
            time.sleep(LOOK_EVERY_S)
        raise DepositdError(f"the daemon does not watch after {READY_WITHIN_S:.0f} s", hint="its log says why")

    def _until_proven(self, show: Callable[[dict[str, Any]], None]) -> tuple[list[Proof], dict[str, Any]]:
        deadline_s = self._began_s + END_WITHIN_S
        rested_s: float | None = None
        while True:
            self._daemon.check()
            writing = {act.name for act in self._acts if not self._instruments.ended(act)}
            status = self._status()
            self._watched |= writing & {dataset["name"] for dataset in status["datasets"]}
            now_s = time.monotonic()
            self.elapsed_s = now_s - self._began_s
            show(status)
            if self._instruments.failures:
                raise DepositdError("; ".join(self._instruments.failures.values()))
            at_rest = self._instruments.done and Rest(self._journal).idle
            rested_s = (rested_s or now_s) if at_rest else None
            if rested_s is not None or now_s > deadline_s:
                proofs = prove(self._acts, Witnesses(self._sandbox, self._stage.vault, status, self._watched))
                if all(proof.ok for proof in proofs) or now_s > deadline_s or now_s - (rested_s or now_s) > GRACE_S:
                    return proofs, status
            time.sleep(LOOK_EVERY_S)

    def _status(self) -> dict[str, Any]:
        return self._journal.view.status()

    @contextmanager
    def _showing(self) -> Iterator[Callable[[dict[str, Any]], None]]:
        """Lend a function that shows a status: as a table that changes in place, or in lines."""
        if self._live_table:
            with Live(console=self._progress, refresh_per_second=8, transient=True) as live:
                width = self._progress.width
                yield lambda status: live.update(picture(self._acts, self._instruments, status, self.elapsed_s, width))
            return
        narrator = Narrator()

        def say(status: dict[str, Any]) -> None:
            for line in narrator.lines(self._acts, self._instruments, status):
                self._progress.print(f"{self.elapsed_s:5.1f} s  {line}", markup=False, highlight=False, soft_wrap=True)

        yield say

    @contextmanager
    def _logging(self) -> Iterator[None]:
        """Send the log to a file of the demo's directory, or to stderr."""
        if self._verbose:
            configure_logging()
            yield
            return
        with self._stage.log.open("w", encoding="utf-8") as stream:
            configure_logging(LogMode.PLAIN, stream=stream)
            try:
                yield
            finally:
                configure_logging()


def _save_svg(final: RenderableType, path: Path) -> None:
    console = Console(record=True, width=PICTURE_WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor")
    console.print(final)
    path.write_text(console.export_svg(title="depositd demo"), encoding="utf-8")
