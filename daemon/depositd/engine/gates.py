"""What a delivery must pass before anything is sent; pure.

Each gate that is closed is one sentence; a delivery is held with all of them, under the kind of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from depositd.config import PATH
from depositd.journal import DatasetRecord, Standing
from depositd.model import DatasetState, Delivery, DeliveryState, HoldKind, Packing, Problem, VerdictKind
from depositd.units import printable, show_count

SIDECAR = "sidecar"
"""The place of a problem that stands in a sidecar file, and is mended there."""
LASTING = frozenset({SIDECAR, PATH})
"""Places of problems that hold a delivery whatever its destination wants: what should have been sent is not known."""


@dataclass(frozen=True, slots=True)
class Hold:
    """Why a delivery is held and what the operator can do about it."""

    kind: HoldKind
    reason: str
    hint: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What the gates decide on.

    ``hold_incomplete`` is what the rule says of truncated, gapped and aborted datasets; a corrupt one is held whatever
    the rule says.  ``unsendable`` names a member that is never read (a link, a pipe).  ``public`` says that the
    destination publishes what it is sent.  ``packing`` is None where the destination cannot take the dataset at all.
    ``twin`` is a delivery of the same bytes, ``earlier`` one of an earlier generation.
    """

    record: DatasetRecord
    standing: Standing
    problems: Sequence[Problem]
    packing: Packing | None
    hold_incomplete: bool
    unsendable: str | None = None
    public: bool = False
    twin: Delivery | None = None
    earlier: Delivery | None = None


def closed(facts: Facts) -> Hold | None:
    """Return why a delivery must be held, None where it may go."""
    holds = [hold for gate in _GATES if (hold := gate(facts)) is not None]
    if not holds:
        return None
    # release with --set also approves and also sends what is incomplete: one hint is enough, and this one comes first
    metadata = next((hold for hold in holds if hold.kind is HoldKind.METADATA), holds[0])
    return Hold(holds[0].kind, "; ".join(hold.reason for hold in holds), metadata.hint)


def _cannot_take(facts: Facts) -> Hold | None:
    if facts.packing is not None:
        return None
    record = facts.record
    return Hold(
        HoldKind.SERVER,
        f"{facts.standing.delivery.destination} takes single files, and {printable(record.name)} is"
        f" {show_count(record.file_count, 'file')} ({record.format})",
        f"depositd skip {record.id}, or deliver it to another destination",
    )


def _incomplete(facts: Facts) -> Hold | None:
    record = facts.record
    # an archived dataset was let through already; what is judged here is what the archive holds
    if record.verdict in (VerdictKind.COMPLETE, VerdictKind.GROWING) or HoldKind.INCOMPLETE in facts.standing.consents:
        return None
    if not facts.hold_incomplete and record.verdict is not VerdictKind.CORRUPT:
        return None
    if facts.unsendable is not None:
        hint = f"exclude {facts.unsendable} in the rule, or depositd skip {record.id}: it cannot be sent as it is"
    else:
        hint = f"depositd release {record.id} sends it as it is, depositd skip {record.id} leaves it"
    return Hold(HoldKind.INCOMPLETE, f"{record.verdict}: {record.lasting_sentence}", hint)


def _changed(facts: Facts) -> Hold | None:
    record, earlier = facts.record, facts.earlier
    if HoldKind.CHANGED in facts.standing.consents:
        return None
    if not record.current:
        return Hold(
            HoldKind.CHANGED,
            f"generation {record.generation}: the dataset changed since, and a newer generation has taken its place",
            f"depositd release {record.id} sends this one all the same, depositd skip {record.id} leaves it",
        )
    if earlier is None or facts.standing.delivery.replaces is not None:
        return None
    if earlier.state is DeliveryState.FAILED:
        refused = f" as {earlier.remote_status}" if earlier.remote_status else ""
        return Hold(
            HoldKind.CHANGED,
            f"generation {record.generation}: it changed after {earlier.destination} refused dataset"
            f" {earlier.dataset_id}{refused}",
            f"depositd retry {record.id} --replace deletes that one there and sends this one,"
            f" depositd release {record.id} sends it beside, depositd skip {record.id} leaves it",
        )
    return Hold(
        HoldKind.CHANGED,
        f"generation {record.generation}: it changed after dataset {earlier.dataset_id} went to"
        f" {earlier.destination} ({earlier.state})",
        f"depositd release {record.id} sends this one as well, depositd skip {record.id} leaves it",
    )


def _twin(facts: Facts) -> Hold | None:
    twin = facts.twin
    if twin is None or HoldKind.DUPLICATE in facts.standing.consents:
        return None
    return Hold(
        HoldKind.DUPLICATE,
        f"the same bytes went to {twin.destination} as dataset {twin.dataset_id} ({twin.state})",
        f"depositd skip {facts.record.id}, or depositd release {facts.record.id} to send them once more",
    )


def _metadata(facts: Facts) -> Hold | None:
    if not facts.problems:
        return None
    record = facts.record
    named = "; ".join(f"{problem.where}: {problem.what}" for problem in facts.problems)
    first = facts.problems[0]
    if first.where in LASTING:
        return Hold(HoldKind.METADATA, f"metadata: {named}", first.hint)
    wanted = next((problem.hint for problem in facts.problems if problem.hint), "")
    hint = f"depositd release {record.id} --set {first.where.split(' ')[0]}=…, or a sidecar file"
    return Hold(HoldKind.METADATA, f"metadata: {named}", f"{hint} ({wanted})" if wanted else hint)


def _approval(facts: Facts) -> Hold | None:
    standing = facts.standing
    if standing.approve != "manual" or HoldKind.APPROVAL in standing.consents:
        return None
    why = " (what is sent there becomes public)" if facts.public else ""
    return Hold(
        HoldKind.APPROVAL,
        f"waits for your approval to go to {standing.delivery.destination}{why}",
        f"depositd release {facts.record.id}",
    )


_GATES = (_cannot_take, _incomplete, _changed, _twin, _metadata, _approval)


def may_be_judged(record: DatasetRecord) -> bool:
    """Say whether a dataset has ended, so that its deliveries can be held for what is known of it."""
    return record.state in (DatasetState.COMPLETE, DatasetState.INCOMPLETE, DatasetState.ARCHIVED)
