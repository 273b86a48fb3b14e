"""What every destination must be able to do.

A destination is one folder or file and one line in :data:`depositd.destinations.DESTINATIONS`.  It takes one
step of one delivery at a time and says what became true; it classifies what goes wrong by raising the
errors of :mod:`depositd.errors` and never loops, sleeps between attempts or remembers: that is the journal's.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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


def since(delivery: Delivery) -> str:
    """Return from when on something unconfirmed is looked for, as sentences say it."""
    return "the journal was lost" if delivery.is_forgotten else "sending began"


class Report(Protocol):
    """How a step tells the journal what is going on while it works."""

    def sending(self, baseline: Mapping[str, Any]) -> None:
        """Commit, before the first byte of something that must not happen twice, that it begins now.

        ``baseline`` is what the destination knew before, as JSON: it comes back as ``Delivery.baseline``
        when the answer is lost, so that the new can be told from the old.
        """

    def progress(self, done_bytes: int, total_bytes: int) -> None:
        """Tell how far a transfer is; cheap, called often, may raise to stop the transfer."""


class RunAction(enum.StrEnum):
    """What can be done to a run that a server measured (ProteomicsQC, ``/api/rawfile``)."""

    FLAG = "flag"
    UNFLAG = "unflag"
    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class AwaitedRun:
    """A delivered file whose run is looked for.

    ``baseline`` is what :meth:`Report.sending` noted before it was sent; ``run_key`` is None until it was found.
    """

    delivery_id: int
    archive_name: str
    baseline: Mapping[str, Any]
    run_key: str | None = None


@dataclass(frozen=True, slots=True)
class MeasuredRun:
    """What a server measured of one delivered file: its run and the asked columns, by their names.

    ``run_key`` is None on a server that has none; ``raw_file`` is the run's name as the server shows it.  ``flagged``
    and ``rejected`` are None where the server does not tell.
    """

    delivery_id: int
    raw_file: str
    run_key: str | None
    columns: Mapping[str, Any] = field(default_factory=dict)
    flagged: bool | None = None
    rejected: bool | None = None


class Measures(Protocol):
    """What a destination can do that measures what it is sent (ProteomicsQC)."""

    def measured(
        self, awaited: Sequence[AwaitedRun], columns: Sequence[str], taken: frozenset[str]
    ) -> list[MeasuredRun]:
        """Return the runs of ``awaited`` that are there, with their columns; one request for all; raises RemoteError.

        ``taken`` are keys that are known to be runs of other deliveries.  A run that cannot be told from another of the
        same name is left out.
        """

    def mark(self, run: MeasuredRun, action: RunAction) -> None:
        """Flag, unflag, accept or reject a run and read it back; taken twice it changes nothing; raises RemoteError."""


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

    @property
    def place(self) -> str:
        """Where things go, whatever the config calls it: what two destinations of one place hold is the same."""

    @property
    def measures(self) -> Measures | None:
        """What it can do with the results of what it was sent, None where it measures nothing."""

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

    def remove(self, remote_id: str) -> None:
        """Delete what was sent, so that something else can take its place; what is gone already is fine.

        Raises Rejected, with what can be done instead, where the destination deletes nothing; RemoteError.
        """

    def close(self) -> None:
        """Release connections."""
