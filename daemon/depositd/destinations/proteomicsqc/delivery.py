"""The steps of one delivery to ProteomicsQC.

============  ==========================================================================================
state         the step
============  ==========================================================================================
waiting       ask who we are, find the pipeline, note which runs of that name are there, upload
unconfirmed   look for a run of that name that was not there before; after a while ask the operator
============  ==========================================================================================

The server gives no hash and no run id, and the same file sent again is another run (or, on the older server, a
collision of files).  So nothing is sent again without knowing: not even after a 500, which may have stored everything.
A run is known by its name alone.  The engine therefore sends one file of a name at a time and notes how many others of
it were delivered lately: their runs may be shown only now, and are not ours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

from depositd.destinations.base import Measures, Outcome, Report, since
from depositd.destinations.body import FilePart
from depositd.destinations.http import SLOWEST_SERVER_BYTES_PER_S, utc_now
from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.lists import Lists
from depositd.destinations.proteomicsqc.measuring import Measuring
from depositd.destinations.proteomicsqc.records import RawUpload, sanitised, stem_of
from depositd.destinations.proteomicsqc.runs import (
    Known,
    arrived,
    comparable,
    may_be_ours,
    own_key,
)
from depositd.destinations.proteomicsqc.target import (
    Held,
    Target,
    Wanted,
    find_target,
    is_other_pipeline,
    place_of,
)
from depositd.errors import AuthError, Rejected
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Metadata, Packing, Problem
from depositd.states import DeliveryEvent
from depositd.units import printable, show_count, show_duration


class ProteomicsQC:
    """One configured pipeline of a ProteomicsQC server.

    ``confirm_within_s`` is how long a run whose answer was lost is looked for before it is held.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        *,
        project: str | None = None,
        pipeline: str | None = None,
        pid: str | None = None,
        confirm_within_s: float = 1800.0,
        accept_archives: bool = False,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._name = name
        self._client = client
        self._wanted = Wanted(project, pipeline, pid)
        self._measuring = Measuring(client, self._wanted)
        self._confirm_within_s = confirm_within_s
        self._accept_archives = accept_archives
        self._now = now
        # nobody looked before
        self._began = now()

    @property
    def name(self) -> str:
        """The name in the config."""
        return self._name

    @property
    def idempotent(self) -> bool:
        """False: the same file sent again is another run."""
        return False

    @property
    def publishes(self) -> bool:
        """False: a project is seen by its members."""
        return False

    @property
    def place(self) -> str:
        """The pipeline, as the config names it: by its UUID where it has one, else by its slugs."""
        return place_of(self._client.url, self._wanted)

    @property
    def measures(self) -> Measures:
        """The results of the pipeline's runs."""
        return self._measuring

    def packing(self, single_file: bool) -> Packing | None:
        """Return FILE for single files; a directory only where the config says that archives are taken."""
        if single_file:
            return Packing.FILE
        return Packing.ARCHIVE if self._accept_archives else None

    def known_as(self, archive_name: str) -> str | None:
        """Return the name of the archive's runs without regard to case: nothing else tells them apart."""
        return stem_of(archive_name)

    def problems(self, metadata: Metadata) -> list[Problem]:
        """Return nothing: the server asks for no metadata."""
        del metadata
        return []

    def whoami(self) -> str:
        """List the projects that we may see; raises Rejected where every file would be held for want of a pipeline."""
        projects = self._client.projects()
        try:
            find_target(self._client, self._wanted, projects)
        except Held as held:
            raise Rejected(str(held), hint=held.hint) from None
        names = ", ".join(printable(project.slug, 60) for project in projects[:5]) or "none"
        return f"{self._client.host} accepts us and shows {show_count(len(projects), 'project')}: {names}"

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Take the one step that follows from the delivery's state; raises RemoteError."""
        del metadata
        match delivery.state:
            case DeliveryState.WAITING:
                return self._send(delivery, archive, report)
            case DeliveryState.UNCONFIRMED:
                return self._look_for(delivery, archive)
            case (
                DeliveryState.UPLOADED
                | DeliveryState.SUBMITTED
                | DeliveryState.HELD
                | DeliveryState.DELIVERED
                | DeliveryState.FAILED
                | DeliveryState.SKIPPED
            ):
                raise ValueError(f"a delivery to {self._name} that is {delivery.state} has no next step")
            case _:
                assert_never(delivery.state)

    def remove(self, remote_id: str) -> None:
        """Refuse: the server's API deletes no run; raises Rejected."""
        raise Rejected(
            f"{self._client.host} offers no way to delete the run {printable(remote_id, 60)}",
            hint="remove it on the pipeline's page, or reject it: depositd pqc reject RUN_KEY",
        )

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    # waiting

    def _send(self, delivery: Delivery, archive: Archive, report: Report) -> Outcome:
        """Ask who we are before the first byte: the server reads a whole body before it rejects it."""
        try:
            target = self._target()
        except Held as held:
            return Outcome(DeliveryEvent.HOLD, reason=str(held), hint=held.hint, hold=HoldKind.SERVER)
        known = self._known(target, archive.name)
        if target.older and known.takes_no_other:
            taken = self._name_is_taken(delivery, archive)
            if delivery.released != taken.reason:
                return taken
        report.sending(known.as_json())
        try:
            upload = self._client.upload_raw(FilePart.of_archive(archive), pid=target.pid, on_progress=report.progress)
        except AuthError as error:
            return self._not_let_in(error)
        except Rejected as error:
            if error.status == 400:
                error.hint = (
                    "it takes RAW files (.raw) that are not empty, nothing else: mend what it names, then retry, or "
                    f"depositd skip {delivery.dataset_id}"
                )
            raise
        return self._delivered(upload, target)

    def _target(self) -> Target:
        return find_target(self._client, self._wanted, self._client.projects())

    def _name_is_taken(self, delivery: Delivery, archive: Archive) -> Outcome:
        """Hold what an older server could only fail at, leaving bytes behind that it may take for another upload's."""
        kept, number = printable(sanitised(archive.name), 120), delivery.dataset_id
        return Outcome(
            DeliveryEvent.HOLD,
            reason=(
                f"{self._client.host} has a run of {kept} in this pipeline already; it is an older server, which takes "
                "each name once"
            ),
            hint=(
                f"look at the pipeline's page: depositd skip {number} where it is this file, another name where it is "
                f"not; depositd release {number} sends it all the same"
            ),
            hold=HoldKind.SERVER,
        )

    def _not_let_in(self, error: AuthError) -> Outcome:
        """Return what a refused upload means, of which nothing was stored: we may not send to this pipeline.

        Raises AuthError where our credentials ended meanwhile (a revoked token), so that the destination pauses.
        """
        self._client.projects()
        if error.status != 403:
            raise error
        return Outcome(
            DeliveryEvent.HOLD,
            reason=f"{self._client.host} knows us, but does not let us upload to this pipeline: {error.body}",
            hint="ask the project's owner to add our account, then release",
            hold=HoldKind.SERVER,
        )

    def _delivered(self, upload: RawUpload, target: Target) -> Outcome:
        kept = printable(upload.orig_file, 300)
        if is_other_pipeline(upload.pipeline, target):
            return Outcome(
                DeliveryEvent.FAILED,
                remote_id=kept,
                remote_status="uploaded",
                reason=(
                    f"{self._client.host} put {kept} into pipeline {printable(str(upload.pipeline), 60)}, "
                    f"not into {printable(target.pid, 60)}"
                ),
                hint="remove it on the pipeline's page, check pid in the config, then retry",
            )
        return Outcome(
            DeliveryEvent.DELIVERED,
            remote_id=kept,
            remote_status="uploaded",
            reason=f"{self._client.host} keeps it as {kept}",
        )

    def _known(self, target: Target, name: str, *, whole: bool = False) -> Known:
        """Return the runs of one name, in both lists."""
        stem = stem_of(name)
        lists = Lists.ask(self._client, target, whole=whole)
        rows = None if lists.page is None else [run for run in lists.page if stem_of(run.name) == stem]
        named = [run for run in lists.processed or () if stem_of(run.stem) == stem]
        ours = [run for run in named if may_be_ours(run, self._client.username)]
        return Known(
            keys=None if lists.processed is None else tuple(run.key for run in ours if run.key),
            unkeyed=sum(1 for run in ours if not run.key),
            others=len(named) - len(ours),
            rows=None if rows is None else len(rows),
            status=rows[0].status if rows else None,
        )

    # unconfirmed

    def _look_for(self, delivery: Delivery, archive: Archive) -> Outcome:
        kept = printable(sanitised(archive.name), 120)
        try:
            target = self._target()
        except Held as held:
            return self._held(delivery, f"whether {kept} arrived cannot be asked: {held}")
        before = Known.of_json(delivery.baseline)
        now = self._known(target, archive.name, whole=delivery.is_forgotten)
        if found := self._found(delivery, kept, before, now):
            return found
        if target.project is None:
            return self._held(delivery, f"{self._client.host} shows us no list of runs in which {kept} could be seen")
        within_s = self._looked_for_s(archive)
        # a clock that was set back a little must not end the search, one that was set back a year must
        waited_s = within_s if delivery.sent_at is None else (self._now() - delivery.sent_at).total_seconds()
        if abs(waited_s) < within_s:
            until = f"looked for until {show_duration(within_s)}"
        elif self._has_just_begun_to_look(delivery):
            until = "looked for a little longer, because nobody looked meanwhile"
        elif delivery.is_forgotten and now.rows == 0 and now.keys is not None:
            # the page shows every run at once, also those that are not processed yet; that it is the page, and not
            # what stands in its place while the server is being mended, the other list's answer says
            return Outcome(DeliveryEvent.ABSENT, reason=f"{self._client.host} shows no run of {kept} in this pipeline")
        else:
            return self._given_up(delivery, kept, within_s, comparable(before, now) or delivery.is_forgotten)
        return Outcome(
            DeliveryEvent.POSTPONE,
            reason=(
                f"{self._client.host} does not show a{'' if delivery.is_forgotten else ' new'} run of {kept} yet, "
                f"{show_duration(waited_s)} after {since(delivery)}; {until}"
            ),
            hint="nothing is sent again meanwhile",
            again_s=self._look_every_s,
        )

    def _found(self, delivery: Delivery, kept: str, before: Known, now: Known) -> Outcome | None:
        """Return what a run that is there says, None where there is none that may be ours."""
        if delivery.is_forgotten:
            return self._found_after_loss(delivery, kept, now) if now.ours else None
        if not arrived(before, now):
            return None
        return Outcome(
            DeliveryEvent.DELIVERED,
            remote_id=own_key(before, now) or kept,
            remote_status=printable(now.status, 60) if now.status else "uploaded",
            reason=f"{self._client.host} shows a new run of {kept}, so the upload had arrived",
        )

    def _found_after_loss(self, delivery: Delivery, kept: str, now: Known) -> Outcome:
        """Return what runs of a file's name mean where nobody knows what was sent: ours, if no other file has it."""
        others = int(delivery.baseline.get("namesakes") or 0)
        if others:
            return self._held(
                delivery,
                f"{self._client.host} has {show_count(now.ours, 'run')} of {kept}, and"
                f" {show_count(others, 'other dataset')} here has that name: whose it is, the lost journal knew",
            )
        return Outcome(
            DeliveryEvent.DELIVERED,
            remote_id=now.keys[0] if now.keys is not None and len(now.keys) == 1 else kept,
            remote_status=printable(now.status, 60) if now.status else "uploaded",
            reason=f"{self._client.host} shows a run of {kept}, so it was sent before the journal was lost",
        )

    @property
    def _look_every_s(self) -> float:
        return min(30.0, max(self._confirm_within_s / 20, 0.05))

    def _looked_for_s(self, archive: Archive) -> float:
        """Return how long after sending began a run is looked for: the sending itself is a part of that."""
        sending_s = archive.size_bytes / SLOWEST_SERVER_BYTES_PER_S
        # what hardly counts is left out, so that sentences show the number that the config has
        return self._confirm_within_s + (sending_s if sending_s >= self._confirm_within_s / 10 else 0.0)

    def _has_just_begun_to_look(self, delivery: Delivery) -> bool:
        """True where the time that passed is no time of looking: one answer after a stop must not end the search.

        That is so until three looks after a start of the daemon, and where the look before this one failed.
        """
        looking_s = (self._now() - self._began).total_seconds()
        return abs(looking_s) < 3 * self._look_every_s or delivery.failures > 0

    def _given_up(self, delivery: Delivery, kept: str, within_s: float, seen: bool) -> Outcome:
        if not seen:
            return self._held(delivery, f"{self._client.host} shows us no list of runs in which {kept} could be seen")
        if delivery.is_forgotten:
            return self._held(
                delivery,
                f"{self._client.host} shows no run of {kept} among those that it has processed last; whether it was"
                " sent before the journal was lost cannot be seen (a web session sees more: username and password)",
            )
        looked = show_duration(within_s)
        return self._held(delivery, f"{self._client.host} shows no new run of {kept} within {looked} of sending it")

    def _held(self, delivery: Delivery, reason: str) -> Outcome:
        number = delivery.dataset_id
        return Outcome(
            DeliveryEvent.HOLD,
            reason=reason,
            hint=(
                f"look at the pipeline's page; depositd retry {number} looks once more and sends it if it is not there,"
                f" depositd skip {number} leaves it"
            ),
            hold=HoldKind.UNCONFIRMED,
        )
