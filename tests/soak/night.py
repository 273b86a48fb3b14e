"""One run from its first to its last second: everything starts, goes wrong, calms down, and is looked through."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from random import Random

from depositd.sandbox import running
from depositd.units import printable
from soak import plan, report, sampling
from soak.audit import findings
from soak.daemons import Daemon, command
from soak.instruments import KINDS, Instrument, Kind, Notebook
from soak.mischief import Mischief
from soak.office import Office
from soak.sampling import Sample
from soak.site import Site

LOOK_EVERY_S = 2.0
SAMPLES = 900
"""About how many are taken, however long it lasts; never more than one a second."""
CALM_WITHIN_S = 300.0
SPOOL_EMPTY_WITHIN_S = 90.0
"""The daemon removes what has had its time every 30 s."""
INSTRUMENTS_END_WITHIN_S = 60.0
TELL_EVERY_S = 30.0
UNFORESEEN = ("unforeseen", "Traceback (most recent call last)")


class Night:
    """Everything of one run; ``place`` is an empty directory."""

    def __init__(self, place: Path, seed: int, hours: float, pace: float) -> None:
        self._seed, self._hours, self._pace = seed, hours, pace
        self._duration_s = hours * 3600
        self._site = Site(place)
        self._sandbox = running(pace_s=0.3, process_s=0.3)
        self._notebook = Notebook()
        self._office = Office(self._site, self._sandbox, self._notebook, Random(f"{seed}/office"))
        self._daemon = Daemon(self._site.config, self._site.log, self._is_up)
        self._samples: list[Sample] = []
        self._problems: list[str] = []
        self._stop = threading.Event()
        self._closed = threading.Event()

    def soak(self) -> report.Result:
        """Run it and return what was found."""
        began_s = time.monotonic()
        mischief = Mischief(
            plan.events(self._seed, self._duration_s, self._pace),
            self._site,
            self._sandbox,
            self._daemon,
            lambda: self._office.latest,
        )
        with ExitStack() as stack:
            stack.enter_context(self._sandbox)
            self._site.prepare(self._sandbox)
            stack.callback(self._daemon.kill)
            self._daemon.start()
            self._daemon.require_up()
            stack.callback(self._end_all)
            instruments = [self._instrument(kind) for kind in KINDS]
            writers = [self._thread(f"instrument {one.kind.name}", one.work) for one in instruments]
            wrecker = self._thread("mischief", partial(mischief.work, began_s, self._stop))
            desk = self._thread("office", self._keep_office)
            self._watch(began_s)
            self._stop.set()
            self._await_end([*writers, wrecker])
            self._calm_down()
            self._closed.set()
            desk.join()
            self._problems += [failure for one in instruments for failure in one.failures]
            self._problems += self._ending()
            faults = Counter(kind for kind, _ in self._sandbox.faults.met)
        samples = tuple(self._samples)
        return report.Result(
            seed=self._seed,
            hours=self._hours,
            pace=self._pace,
            elapsed_s=time.monotonic() - began_s,
            datasets=len(self._notebook),
            happened=dict(mischief.happened),
            words=dict(self._office.words),
            faults=dict(faults),
            samples=samples,
            findings=tuple(self._findings()),
            figures=report.figures(report.longest(samples)),
        )

    # --- while it runs ------------------------------------------------------------------------------------------

    def _watch(self, began_s: float) -> None:
        """Take samples until the time is over."""
        every_s = max(self._duration_s / SAMPLES, 1.0)
        next_s = told_s = began_s
        while (now_s := time.monotonic()) < began_s + self._duration_s:
            self._daemon.keep_alive()
            self._sample(now_s - began_s)
            if now_s - told_s > TELL_EVERY_S and self._samples:
                told_s = now_s
                self._tell(self._samples[-1])
            next_s = max(next_s + every_s, now_s)
            time.sleep(max(min(next_s, began_s + self._duration_s) - time.monotonic(), 0.0))

    def _sample(self, at_s: float) -> None:
        pid = self._daemon.pid
        site = self._site
        if pid is not None:
            found = sampling.sample(
                pid,
                at_s=at_s,
                journal=site.journal,
                spool=site.spool,
                log=site.log,
                datasets=len(self._notebook),
                port=site.port,
            )
            if found is not None:
                self._samples.append(found)

    def _tell(self, last: Sample) -> None:
        open_ = sum(1 for one in self._notebook.all() if not one.removed)
        sys.stderr.write(
            f"{last.at_s / 60:6.1f} min: {last.datasets:,} datasets, {open_:,} not yet cleared away;"
            f" RSS {last.rss_bytes / 1e6:.0f} MB, {last.descriptors} descriptors, {last.threads} threads,"
            f" journal {last.journal_bytes / 1e6:.1f} MB, log {last.log_bytes / 1e6:.2f} MB\n"
        )
        sys.stderr.flush()

    def _keep_office(self) -> None:
        while not self._closed.is_set():
            self._office.look()
            self._closed.wait(LOOK_EVERY_S)

    def _instrument(self, kind: Kind) -> Instrument:
        every_s = len(KINDS) / self._pace
        return Instrument(kind, self._site, self._notebook, self._seed, every_s, self._stop)

    def _is_up(self) -> bool:
        return sampling.answer_time_s(self._site.port) is not None

    def _thread(self, name: str, work: Callable[[], None]) -> threading.Thread:
        def guarded() -> None:
            try:
                work()
            except Exception:  # noqa: BLE001 - whatever it is, the run goes on and says it in the end
                self._problems.append(f"{name} of the soak itself failed: {traceback.format_exc()}")

        thread = threading.Thread(target=guarded, name=name, daemon=True)
        thread.start()
        return thread

    # --- when the time is over ----------------------------------------------------------------------------------

    def _await_end(self, threads: list[threading.Thread]) -> None:
        deadline_s = time.monotonic() + INSTRUMENTS_END_WITHIN_S
        for thread in threads:
            thread.join(max(deadline_s - time.monotonic(), 0.0))
            if thread.is_alive():
                self._problems.append(f"{thread.name} of the soak itself does not end")

    def _calm_down(self) -> None:
        """Let nothing go wrong any more, and wait until everything has arrived or was set aside."""
        self._sandbox.faults.clear()
        self._sandbox.stop()  # ends the answers that never end
        self._sandbox.start()
        self._site.configure(self._sandbox)
        self._daemon.keep_alive()
        self._daemon.reload()
        if not _so_within(lambda: self._office.is_empty, CALM_WITHIN_S):
            self._problems.append(f"it was not at rest {CALM_WITHIN_S:.0f} s after the last fault")
        if not _so_within(lambda: not self._spooled(), SPOOL_EMPTY_WITHIN_S):
            left = ", ".join(printable(str(file)) for file in self._spooled()[:5])
            self._problems.append(f"the spool still holds {len(self._spooled())} files: {left}")

    def _spooled(self) -> list[Path]:
        return [file for file in self._site.spool.rglob("*") if file.is_file()]

    def _ending(self) -> Iterator[str]:
        """Stop the daemon, start it once more until it is idle, and let it look at its journal."""
        self._daemon.terminate()
        config = self._site.config
        again = command(config, "run", "--until-idle", "--log-format", "plain")
        if again.returncode:
            yield f"run --until-idle afterwards ended with {again.returncode}: {again.stderr[-2000:]}"
        checked = command(config, "journal", "check")
        if checked.returncode:
            yield f"journal check: {checked.stdout}{checked.stderr}"
        yield from (f"the vault still holds {file.name}" for file in sorted(self._site.vault.iterdir()))
        yield from (f"the daemon: {what}" for what in self._daemon.ended_badly)
        with self._site.log.open(encoding="utf-8", errors="replace") as log:
            yield from (
                f"the log says: {line.strip()[:500]}" for line in log if any(word in line for word in UNFORESEEN)
            )

    def _findings(self) -> Iterator[str]:
        yield from self._problems
        yield from self._office.problems
        yield from findings(self._office.evidence())

    def _end_all(self) -> None:
        self._stop.set()
        self._closed.set()


def _so_within(condition: Callable[[], bool], timeout_s: float) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.5)
    return True
