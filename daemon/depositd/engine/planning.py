"""What becomes of a dataset's deliveries when something becomes known of the dataset."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from depositd.config import ArchiveRules, Config, Deliver, MetadataRules, Resolved, Rule, resolve
from depositd.destinations.base import Destination
from depositd.engine.forgotten import is_asked_before
from depositd.engine.gates import LASTING, SIDECAR, Facts, Hold, closed, may_be_judged
from depositd.engine.gentleness import Gentleness
from depositd.journal import DatasetRecord, Fact, Journal, PlannedDelivery, Recorded, Standing
from depositd.model import DatasetState, Delivery, DeliveryState, FileKind, HoldKind, Packing, Problem, VerdictKind
from depositd.states import DatasetEvent, DeliveryEvent
from depositd.units import printable


@dataclass(frozen=True, slots=True)
class Plan:
    """The config as the engine needs it: rules by name, the destinations that can be reached, and how fast to read."""

    config: Config
    destinations: Mapping[str, Destination]
    gentleness: Gentleness = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "gentleness", Gentleness(self.config.rules))

    def rule(self, name: str) -> Rule | None:
        """Return a rule by name, None where the config has it no more (or the dataset came by hand)."""
        return next((rule for rule in self.config.rules if rule.name == name), None)

    def archive_rules(self, name: str) -> ArchiveRules:
        """Return how a rule's datasets are archived; the defaults where there is no such rule."""
        rule = self.rule(name)
        return rule.archive if rule else ArchiveRules()

    def deliver(self, rule_name: str, destination: str) -> Deliver | None:
        """Return what a rule says of one destination."""
        rule = self.rule(rule_name)
        return next((deliver for deliver in rule.deliver if deliver.to == destination), None) if rule else None

    def names_of(self, destination: Destination) -> frozenset[str]:
        """Return all names that the config has for the place of a destination, its own among them."""
        place = destination.place
        same = (name for name, other in self.destinations.items() if other.place == place)
        return frozenset((destination.name, *same))

    def planned(self, rule: Rule) -> list[PlannedDelivery]:
        """Return the deliveries that a rule names."""
        return [PlannedDelivery(deliver.to, deliver.approve) for deliver in rule.deliver]

    def packing(self, record: DatasetRecord, destination: str) -> Packing | None:
        """Return how a destination takes a dataset, None where it cannot or is not configured."""
        known = self.destinations.get(destination)
        return known.packing(single_file=is_single_file(record)) if known else None


def is_single_file(record: DatasetRecord) -> bool:
    """Say whether a dataset is one file that can be sent as it is."""
    return record.file_count == 1 and record.path == f"{record.root}/{record.relative_path}"


def resolved_metadata(plan: Plan, record: DatasetRecord, standing: Standing) -> Resolved:
    """Return a delivery's metadata with what is wrong with it; later layers win (contract, "Config")."""
    rule = plan.rule(record.rule)
    deliver = plan.deliver(record.rule, standing.delivery.destination)
    resolved = resolve(
        record.header,
        record.relative_path,
        rule.metadata if rule else MetadataRules(),
        deliver.metadata if deliver else {},
        record.sidecar,
        standing.delivery.values,
        {"name": record.name, "format": record.format, "rule": record.rule},
    )
    if record.sidecar_problem:
        problem = Problem(SIDECAR, record.sidecar_problem, "mend or remove the file: it is read again by itself")
        return Resolved(resolved.values, (*resolved.problems, problem))
    return resolved


def gate(plan: Plan, journal: Journal, record: DatasetRecord, standing: Standing) -> Hold | None:
    """Return why a delivery must be held now, None where it may go."""
    delivery = standing.delivery
    destination = plan.destinations.get(delivery.destination)
    if destination is None:
        return Hold(
            HoldKind.SERVER,
            f"the config has no destination {delivery.destination} any more",
            f"add it and reload, or depositd skip {record.id} --to {delivery.destination}",
        )
    rule = plan.rule(record.rule)
    resolved = resolved_metadata(plan, record, standing)
    wanted = destination.problems(resolved.values)
    # a value that could not be filled in matters only where the destination misses it
    unfilled = [problem for problem in resolved.problems if wanted or problem.where in LASTING]
    packing = plan.packing(record, delivery.destination)
    return closed(
        Facts(
            record=record,
            standing=standing,
            problems=[*wanted, *unfilled],
            packing=packing,
            hold_incomplete=rule is None or rule.on_incomplete != "deliver",
            unsendable=_unsendable(journal, record),
            public=destination.publishes,
            twin=_twin(plan, journal, destination, standing, packing),
            earlier=journal.deliveries.earlier_generation(delivery) if record.generation > 1 else None,
        )
    )


def _unsendable(journal: Journal, record: DatasetRecord) -> str | None:
    """Return the name of a member that is never read, None where there is none."""
    if record.verdict is not VerdictKind.CORRUPT:
        return None
    files = journal.datasets.files(record.id)
    return next((printable(file.name) for file in files if file.kind is not FileKind.REGULAR), None)


def _twin(
    plan: Plan, journal: Journal, destination: Destination, standing: Standing, packing: Packing | None
) -> Delivery | None:
    if destination.idempotent:
        return None
    archive = journal.datasets.archive(standing.delivery.dataset_id, packing)
    if archive is None:
        return None
    return journal.deliveries.same_content(standing.delivery, archive.sha256, plan.names_of(destination))


def after_sighting(plan: Plan, journal: Journal, recorded: Recorded, now: datetime) -> None:
    """Let a dataset's deliveries follow what a look made true of it."""
    record, event = recorded.record, recorded.event
    if recorded.is_new and record.generation > 1:
        journal.deliveries.set_aside_superseded(now)
    if event is DatasetEvent.CHANGED:
        journal.deliveries.withdraw_consent(record.id, HoldKind.INCOMPLETE)
    standings = journal.deliveries.of_dataset(record.id)
    if event in (DatasetEvent.COMPLETED, DatasetEvent.CHANGED):
        freed = {HoldKind.INCOMPLETE, HoldKind.GONE}
        for standing in standings:
            if standing.delivery.hold in freed and standing.delivery.state is not DeliveryState.WAITING:
                journal.deliveries.apply(standing.delivery.id, Fact(DeliveryEvent.CLEAR), now)
    for standing in standings:
        if standing.delivery.hold is HoldKind.METADATA and standing.delivery.state is DeliveryState.HELD:
            _clear_if_mended(plan, journal, record, standing, now)
    if event in (DatasetEvent.COMPLETED, DatasetEvent.ENDED_INCOMPLETE):
        hold_waiting(plan, journal, record, now)


def _clear_if_mended(plan: Plan, journal: Journal, record: DatasetRecord, standing: Standing, now: datetime) -> None:
    hold = gate(plan, journal, record, standing)
    if hold is None:
        journal.deliveries.apply(standing.delivery.id, Fact(DeliveryEvent.CLEAR), now)
    elif hold.reason != standing.delivery.error:
        fact = Fact(DeliveryEvent.HOLD, hold.reason, hold.hint, hold=hold.kind)
        journal.deliveries.apply(standing.delivery.id, fact, now)


def hold_waiting(plan: Plan, journal: Journal, record: DatasetRecord, now: datetime) -> None:
    """Hold, or set aside, those of an ended dataset's deliveries that may not go."""
    if not may_be_judged(record):
        return
    rule = plan.rule(record.rule)
    ends_short = record.state is DatasetState.INCOMPLETE and record.verdict is not VerdictKind.CORRUPT
    ignored = ends_short and rule is not None and rule.on_incomplete == "ignore"
    for standing in journal.deliveries.of_dataset(record.id):
        if standing.delivery.state is not DeliveryState.WAITING:
            continue
        if ignored and HoldKind.INCOMPLETE not in standing.consents:
            reason = f"{record.verdict}: {record.lasting_sentence}; the rule says on_incomplete: ignore"
            fact = Fact(DeliveryEvent.SET_ASIDE, reason, hold=HoldKind.INCOMPLETE)
            journal.deliveries.apply(standing.delivery.id, fact, now)
            continue
        hold = gate(plan, journal, record, standing)
        if hold is not None and not is_asked_before(standing.delivery, hold):
            # one that is being sent at this moment stays known to have been
            in_doubt = standing.delivery.sent_at is not None
            fact = Fact(DeliveryEvent.HOLD, hold.reason, hold.hint, hold=hold.kind, in_doubt=in_doubt)
            journal.deliveries.apply(standing.delivery.id, fact, now)


def after_vanishing(journal: Journal, record: DatasetRecord, now: datetime) -> None:
    """Say what the loss of a dataset's files means: an ended one is missed, a growing one may only have moved."""
    missed = record.completed_at is not None
    reason = "the files vanished before they were archived"
    hint = "bring them back to where they were: the dataset is then taken up again" if missed else None
    event = DeliveryEvent.FAILED if missed else DeliveryEvent.SET_ASIDE
    _give_up(journal, record, Fact(event, reason, hint, hold=HoldKind.GONE), now)


def after_overwriting(journal: Journal, record: DatasetRecord, now: datetime) -> None:
    """Say that an acquisition was begun again over another, whose files nobody has any more."""
    reason = "another acquisition of the same name overwrote the files before they were archived"
    _give_up(journal, record, Fact(DeliveryEvent.SET_ASIDE, reason, None, hold=HoldKind.GONE), now)


def _give_up(journal: Journal, record: DatasetRecord, fact: Fact, now: datetime) -> None:
    for standing in journal.deliveries.of_dataset(record.id):
        if standing.delivery.state in (DeliveryState.WAITING, DeliveryState.HELD):
            journal.deliveries.apply(standing.delivery.id, fact, now)
