"""The whole engine stepped by hand: watcher, archiver, deliverers, one journal, and a clock that tests move."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from clock_support import ManualClock
from depot_support import Depot, PowerCut
from engine_support import hands_of

from depositd import moments
from depositd.archive import Workshop, sweep_orphans
from depositd.engine.packing import pack_dataset
from depositd.engine.planning import Plan
from depositd.engine.watching import SourceWatcher, sources
from depositd.errors import JournalError
from depositd.journal import Standing
from depositd.watch.events import ChangedDirectories

TURN_S = 5.0
NEVER_FREE_BYTES = 1 << 60


def _raise(error: BaseException) -> None:
    raise error


class Whole(Depot):
    """A depot that finds its datasets itself, and packs them."""

    def __init__(self, directory: Path, destinations: Collection[str], clock: ManualClock, **more: Any) -> None:
        self.monotonic_s = 1000.0
        self.workshop = Workshop(1)
        self.root = directory / "data"
        self.root.mkdir(parents=True)
        super().__init__(directory, destinations, clock, **more)

    def _open(self) -> None:
        super()._open()
        hands = hands_of(self.clock, lambda: self.monotonic_s)
        ((root, rules),) = sources(self.config.rules).items()
        changed = ChangedDirectories(threading.Event())
        self.watcher = SourceWatcher(root, rules, self.plan, self.journal, changed, hands)
        sweep_orphans(self.spool, self.journal.datasets.spool_paths(), self.journal.spooled.unpacked())

    @property
    def spool(self) -> str:
        return str(self.config.spool.path)

    def close(self) -> None:
        self.watcher.close()
        super().close()

    # what happens

    def pass_time(self, seconds: float) -> None:
        """Let the time go on and do all that is due meanwhile, as the daemon's threads would."""
        for _ in range(max(int(seconds / TURN_S), 1)):
            self.clock.advance(TURN_S)
            self.monotonic_s += TURN_S
            with suppress(JournalError):
                self.watcher.turn()
            with suppress(JournalError):
                self.pack()
            with suppress(JournalError):
                self.tick()

    def pack(self) -> None:
        """Pack what is due."""
        for record in self.journal.datasets.packable(self.clock(), 20):
            pack_dataset(
                self.plan,
                self.journal,
                record,
                progress=lambda _done, _total: None,
                clock=self.clock,
                chance=0.5,
                workshop=self.workshop,
                unforeseen=_raise,
            )

    def step(self, standing: Standing) -> bool:
        """Take one step; where the journal cannot be written it is due again, as in the daemon."""
        try:
            return super().step(standing)
        except JournalError:
            return False

    @contextmanager
    def full_spool(self) -> Iterator[None]:
        """Have no room in the spool for a while."""
        before = self.plan
        spool = self.config.spool.model_copy(update={"min_free_bytes": NEVER_FREE_BYTES})
        self.plan = Plan(self.config.model_copy(update={"spool": spool}), self.destinations)
        try:
            yield
        finally:
            self.plan = before

    @contextmanager
    def full_journal(self) -> Iterator[None]:
        """Have no room for another page of the journal for a while."""
        connection = self.journal.database._connection
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (most,) = connection.execute("PRAGMA max_page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        try:
            yield
        finally:
            connection.execute(f"PRAGMA max_page_count = {most}")

    def cut(self, moment: moments.Moment, after: int, seconds: float) -> bool:
        """Let the time go on; the power is cut when a moment comes for the ``after``-th time.  True where it came."""
        left = after

        def end(came: moments.Moment, _detail: str) -> None:
            nonlocal left
            if came is moment:
                left -= 1
                if left < 0:
                    moments.listen(None)
                    raise PowerCut

        moments.listen(end)
        try:
            self.pass_time(seconds)
        except PowerCut:
            self.die()
            return True
        finally:
            moments.listen(None)
        return False
