"""What the plan says goes wrong, done at its time."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random

from depositd.sandbox import Sandbox
from soak.daemons import Daemon, command
from soak.plan import Event, Kind
from soak.records import DatasetRow
from soak.site import NO_ROOM, Site

SLOW_BYTES_PER_S = 20_000
_WORDS = {"hold": "waiting", "retry": "submitted", "skip": "failed"}
"""Words in between, and to what: none that, a moment too late, would send again what may have arrived."""


@dataclass(slots=True)
class Mischief:
    """Does what the plan says, one thing after the other; ``happened`` counts it.

    ``look`` returns the datasets that the journal has.
    """

    events: Sequence[Event]
    site: Site
    sandbox: Sandbox
    daemon: Daemon
    look: Callable[[], Sequence[DatasetRow]]
    happened: Counter[str] = field(default_factory=Counter)

    def work(self, began_s: float, stop: threading.Event) -> None:
        """Do everything at its time until ``stop`` is set; what lasts is over when this returns."""
        for event in self.events:
            if stop.wait(max(began_s + event.at_s - time.monotonic(), 0.0)):
                break
            if time.monotonic() - began_s > event.latest_s:
                self.happened["left out"] += 1
                continue
            self._do(event, stop)
            self.happened[event.kind] += 1

    def _do(self, event: Event, stop: threading.Event) -> None:
        match event.kind:
            case Kind.SERVER_FAULT:
                self._arm(event)
            case Kind.SERVER_AWAY:
                self.sandbox.stop()
                stop.wait(event.lasts_s)
                self.sandbox.start()
            case Kind.VAULT_AWAY:
                hidden = self.site.vault.rename(self.site.vault.with_name("vault.away"))
                stop.wait(event.lasts_s)
                hidden.rename(self.site.vault)
            case Kind.SOURCE_AWAY:
                with self.site.trees[int(event.chance * 2)].away():
                    stop.wait(event.lasts_s)
            case Kind.NO_ROOM:
                self._reload(NO_ROOM)
                stop.wait(event.lasts_s)
                self._reload(None)
            case Kind.RELOAD:
                self._reload(None)
            case Kind.WORD:
                self._say_something(Random(event.chance))
            case Kind.KILL | Kind.TERMINATE:
                self.daemon.replace(killed=event.kind is Kind.KILL)

    def _arm(self, event: Event) -> None:
        self.sandbox.fault(
            event.path,
            event.fault,
            times=event.times,
            delay_s=event.lasts_s,
            bytes_per_s=SLOW_BYTES_PER_S,
            early=event.chance < 0.3,
        )

    def _reload(self, quota: str | None) -> None:
        self.site.configure(self.sandbox, quota=quota)
        self.daemon.reload()

    def _say_something(self, random: Random) -> None:
        """Say a word on a delivery that needs none."""
        verb = random.choice(list(_WORDS))
        chosen = [one for dataset in self.look() for one in dataset.deliveries if one.state == _WORDS[verb]]
        if chosen:
            delivery = random.choice(chosen)
            # that it comes too late is no error of ours
            command(self.site.config, verb, str(delivery.dataset_id), "--to", delivery.destination)
