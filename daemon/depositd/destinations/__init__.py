"""The destinations, by the name of their type in the config.

A new one is a file or folder beside these and one line in :data:`DESTINATIONS`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypedDict

from depositd.destinations.base import Destination
from depositd.destinations.directory import DirectoryDestination
from depositd.destinations.http import OnWait, utc_now, wait_unheard
from depositd.destinations.proteindiffraction import Client as ProteinDiffractionClient
from depositd.destinations.proteindiffraction import ProteinDiffraction
from depositd.destinations.proteomicsqc import Client as ProteomicsQCClient
from depositd.destinations.proteomicsqc import ProteomicsQC
from depositd.destinations.settings import (
    AnySettings,
    DirectorySettings,
    ProteinDiffractionSettings,
    ProteomicsQCSettings,
    ServerSettings,
)
from depositd.rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the composition root hands in: the time, and who is told of secrets and of waits.

    A secret that is told stays out of the log; a wait for a server has an end, which is told in seconds.
    """

    now: Callable[[], datetime] = utc_now
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    on_secret: Callable[[str], None] | None = None
    on_wait: OnWait = wait_unheard

    def rate_limit(self, rate_bytes_per_s: float | None) -> RateLimit | None:
        """Return the rate limit of one destination, None where it has none."""
        return RateLimit(rate_bytes_per_s, clock=self.clock, sleep=self.sleep) if rate_bytes_per_s else None


class Reached(TypedDict):
    """How a configured server is reached, as both clients take it; who we are there is a word of its own."""

    ca_file: str | None
    insecure_http: bool
    proxy: str | None
    rate_limit: RateLimit | None
    now: Callable[[], datetime]
    on_secret: Callable[[str], None] | None
    on_wait: OnWait


def reached(settings: ServerSettings, around: Surroundings) -> Reached:
    """Return how a server is reached."""
    return {
        "ca_file": os.fspath(settings.ca_file) if settings.ca_file else None,
        "insecure_http": settings.insecure_http,
        "proxy": settings.proxy,
        "rate_limit": around.rate_limit(settings.rate_limit_bytes_per_s),
        "now": around.now,
        "on_secret": around.on_secret,
        "on_wait": around.on_wait,
    }


def _proteindiffraction(name: str, settings: ProteinDiffractionSettings, around: Surroundings) -> Destination:
    client = ProteinDiffractionClient(settings.url, credentials=settings.credentials, **reached(settings, around))
    return ProteinDiffraction(name, client, existing=settings.existing, poll_every_s=settings.poll_every_s)


def _proteomicsqc(name: str, settings: ProteomicsQCSettings, around: Surroundings) -> Destination:
    client = ProteomicsQCClient(settings.url, credentials=settings.credentials, **reached(settings, around))
    return ProteomicsQC(
        name,
        client,
        project=settings.project,
        pipeline=settings.pipeline,
        pid=settings.pid,
        confirm_within_s=settings.confirm_within_s,
        accept_archives=settings.accept_archives,
        now=around.now,
    )


def _directory(name: str, settings: DirectorySettings, around: Surroundings) -> Destination:
    return DirectoryDestination(name, settings.path, rate_limit=around.rate_limit(settings.rate_limit_bytes_per_s))


DESTINATIONS: Mapping[str, Callable[[str, Any, Surroundings], Destination]] = {
    "proteindiffraction": _proteindiffraction,
    "proteomicsqc": _proteomicsqc,
    "directory": _directory,
}
"""How each type is built from its name in the config, its settings and its surroundings."""


def build(
    name: str,
    settings: AnySettings,
    *,
    now: Callable[[], datetime] = utc_now,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
    on_secret: Callable[[str], None] | None = None,
    on_wait: OnWait = wait_unheard,
) -> Destination:
    """Return the configured destination; raises ConfigError for a URL that is none.

    Nothing is contacted yet.  ``sleep`` is used by the rate limit alone; ``on_secret`` is told each token and password
    before it is used, ``on_wait`` how many seconds a wait for a server can take at most.
    """
    return DESTINATIONS[settings.type](name, settings, Surroundings(now, clock, sleep, on_secret, on_wait))
