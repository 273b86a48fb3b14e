"""What every destination must be able to do.

A destination is one folder or file and one line in :data:`depositd.destinations.DESTINATIONS`.  It takes one
step of one delivery at a time and says what became true; it classifies what goes wrong by raising the
errors of :mod:`depositd.errors` and never loops, sleeps between attempts or remembers: that is the journal's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from depositd.model import Archive, Delivery, HoldKind, Metadata, Packing, Problem
from depositd.states import DeliveryEvent


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one step made true.

    ``reason`` is one sentence with numbers, ``hint`` what the operator can do.  ``again_s`` is how long to
    wait before the next step (a poll); None means at once where the new state has a next step.
    ``hold`` says why, where ``event`` is HOLD.
    """

    event: DeliveryEvent
    remote_id: str | None = None
    remote_status: str | None = None
    reason: str | None = None
    hint: str | None = None
    again_s: float | None = None
    hold: HoldKind | None = None


class Report(Protocol):
    """How a step tells the journal what is going on while it works."""

    def sending(self, baseline: Mapping[str, Any]) -> None:
        """Commit, before the first byte of something that must not happen twice, that it begins now.

        ``baseline`` is what the destination knew before, as JSON: it comes back as ``Delivery.baseline``
        when the answer is lost, so that the new can be told from the old.
        """

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Tell how far a transfer is; cheap, called often, may raise to stop the transfer."""


class Destination(Protocol):
    """One configured server or directory."""

    @property
    def name(self) -> str:
        """The name in the config."""

    @property
    def idempotent(self) -> bool:
        """True where sending the same content again is recognised by the destination itself."""

    @property
    def publishes(self) -> bool:
        """True where what is sent becomes public."""

    def packing(self, single_file: bool) -> Packing | None:
        """Return how a dataset is taken, None where it cannot be (a directory for ProteomicsQC)."""

    def known_as(self, archive_name: str) -> str | None:
        """Return the name by which it would confuse an archive with another, None where it tells content apart.

        Nothing is sent there while another archive known by the same name is under way or unconfirmed, and
        ``Delivery.baseline`` says under ``delivered_before`` how many such arrived in the last days.
        """

    def problems(self, metadata: Metadata) -> list[Problem]:
        """Return what is missing or wrong in a delivery's metadata; no I/O."""

    def whoami(self) -> str:
        """Ask the destination who we are and return it in one sentence; raises RemoteError."""

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Take the one step that follows from the delivery's state (waiting, unconfirmed, uploaded or submitted).

        Taken twice it changes nothing the second time.  Raises RemoteError.
        """

    def close(self) -> None:
        """Release connections."""
