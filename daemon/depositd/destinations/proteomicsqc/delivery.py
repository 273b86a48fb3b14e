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

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from difflib import get_close_matches
from typing import Any, assert_never

from depositd.destinations.base import Outcome, Report
from depositd.destinations.body import FilePart
from depositd.destinations.http import SLOWEST_SERVER_BYTES_PER_S, utc_now
from depositd.destinations.proteomicsqc.client import Client
from depositd.destinations.proteomicsqc.records import (
    Pipeline,
    Project,
    QcRun,
    RawUpload,
    qc_runs,
    sanitised,
    stem_of,
)
from depositd.destinations.proteomicsqc.runs import Known, arrived, comparable, own_key
from depositd.errors import AuthError, NotFound, Rejected, Unavailable
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Metadata, Packing, Problem
from depositd.states import DeliveryEvent
from depositd.units import printable, show_count, show_duration

RECENT_RUNS = 1000
"""How many of the most recent processed runs are looked through for ours."""

_COLUMNS = ("RawFile", "RunKey", "Uploader")


@dataclass(frozen=True, slots=True)
class Target:
    """Where a file goes: the pipeline's UUID, and the slugs by which its runs are asked for, where they are known."""

    pid: str
    project: str | None
    pipeline: str | None
    number: int | None = None


class Held(Exception):
    """The operator has to say where the file goes: the text is the reason."""

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.hint = hint


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
        self._project = project
        self._pipeline = pipeline
        self._pid = pid
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
            self._target(projects)
        except Held as held:
            raise Rejected(str(held), hint=held.hint) from None
        names = ", ".join(printable(project.slug, 60) for project in projects[:5]) or "none"
        return f"{self._client.host} accepts us and shows {show_count(len(projects), 'project')}: {names}"

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Take the one step that follows from the delivery's state; raises RemoteError."""
        del metadata
        match delivery.state:
            case DeliveryState.WAITING:
                return self._send(archive, report)
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

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    # waiting

    def _send(self, archive: Archive, report: Report) -> Outcome:
        """Ask who we are before the first byte: the server reads a whole body before it rejects it."""
        try:
            target = self._target(self._client.projects())
        except Held as held:
            return Outcome(DeliveryEvent.HOLD, reason=str(held), hint=held.hint, hold=HoldKind.SERVER)
        report.sending(self._known(target, archive.name).as_json())
        try:
            upload = self._client.upload_raw(FilePart.of_archive(archive), pid=target.pid, on_progress=report.progress)
        except AuthError as error:
            if error.status != 403:
                raise
            # it has just accepted us: this is about the pipeline, and must not pause the whole destination
            return Outcome(
                DeliveryEvent.HOLD,
                reason=f"{self._client.host} knows us, but does not let us upload to this pipeline: {error.body}",
                hint="ask the project's owner to add our account, then release",
                hold=HoldKind.SERVER,
            )
        except NotFound as error:
            raise Rejected(str(error), hint="check the pipeline in the config", status=404, body=error.body) from error
        return self._delivered(upload, target)

    def _delivered(self, upload: RawUpload, target: Target) -> Outcome:
        kept = printable(upload.orig_file, 300)
        if _is_other_pipeline(upload.pipeline, target):
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

    def _target(self, projects: Sequence[Project]) -> Target:
        """Return where the file goes; raises Held where the config and the server do not agree on that."""
        if self._pid is not None and (self._project is None or self._pipeline is None):
            return self._target_of_pid(self._pid, projects)
        project, pipeline = self._project or "", self._pipeline or ""
        slugs = [one.slug for one in projects]
        if project not in slugs:
            raise Held(f"{self._client.host} shows us no project {project!r}", _nearest(project, slugs))
        try:
            pipelines = self._client.pipelines(project)
        except (NotFound, Rejected) as error:
            raise Held(str(error), "correct project in the config, or ask its owner to add us, then release") from error
        found = next((one for one in pipelines if one.slug == pipeline), None)
        if found is None:
            hint = _nearest(pipeline, [one.slug for one in pipelines])
            raise Held(f"{self._client.host} shows us no pipeline {pipeline!r} in project {project!r}", hint)
        if self._pid is not None and found.uuid is not None and not _same_uuid(found.uuid, self._pid):
            raise Held(
                f"pipeline {pipeline!r} has pid {printable(found.uuid, 60)}, but the config says {self._pid}",
                "correct pid, or project and pipeline, in the config",
            )
        pid = self._pid or found.uuid
        if pid is None:
            raise Held(
                f"{self._client.host} does not tell the pid of pipeline {pipeline!r} (it is an older server)",
                "set pid, the pipeline's UUID, in the config, then release",
            )
        return Target(pid, project, pipeline, found.number)

    def _target_of_pid(self, pid: str, projects: Sequence[Project]) -> Target:
        """Look for the slugs of a pipeline known by its UUID; without them it can be sent to, but not asked about."""
        for project in projects:
            for pipeline in self._pipelines_of(project):
                if pipeline.uuid is not None and _same_uuid(pipeline.uuid, pid):
                    return Target(pid, project.slug, pipeline.slug, pipeline.number)
        return Target(pid, None, None)

    def _pipelines_of(self, project: Project) -> list[Pipeline]:
        try:
            return self._client.pipelines(project.slug)
        except (NotFound, Rejected, AuthError):
            return []  # a project that is listed, and not for us

    def _known(self, target: Target, name: str) -> Known:
        """Return the runs of one name.

        The page shows every run at once, ``qc-data`` only those that have been processed.  A 500 of qc-data is how
        the older server says that there are none yet.
        """
        if target.project is None or target.pipeline is None:
            return Known()
        stem = stem_of(name)
        try:
            columns = self._client.qc_data(target.project, target.pipeline, data_range=RECENT_RUNS, columns=_COLUMNS)
            processed: list[QcRun] | None = [run for run in qc_runs(columns) if self._may_be_ours(run, stem)]
        except (NotFound, Rejected):
            processed = None
        except Unavailable as error:
            if error.status != 500:
                raise
            processed = None
        page = self._client.runs_on_page(target.project, target.pipeline)
        rows = None if page is None else [run for run in page if stem_of(run.name) == stem]
        return Known(
            keys=None if processed is None else tuple(run.key for run in processed if run.key),
            unkeyed=sum(1 for run in processed or () if not run.key),
            rows=None if rows is None else len(rows),
            status=rows[0].status if rows else None,
        )

    def _may_be_ours(self, run: QcRun, stem: str) -> bool:
        """Leave out what somebody else uploaded under the same name, where both names are known."""
        username = self._client.username
        if username and run.uploader and "@" in run.uploader and run.uploader.lower() != username.lower():
            return False
        return stem_of(run.stem) == stem

    # unconfirmed

    def _look_for(self, delivery: Delivery, archive: Archive) -> Outcome:
        kept = printable(sanitised(archive.name), 120)
        try:
            target = self._target(self._client.projects())
        except Held as held:
            return self._held(delivery, f"whether {kept} arrived cannot be asked: {held}")
        before = Known.of_json(delivery.baseline)
        now = self._known(target, archive.name)
        if arrived(before, now):
            return Outcome(
                DeliveryEvent.DELIVERED,
                remote_id=own_key(before, now) or kept,
                remote_status=printable(now.status, 60) if now.status else "uploaded",
                reason=f"{self._client.host} shows a new run of {kept}, so the upload had arrived",
            )
        if target.project is None:
            return self._held(delivery, f"{self._client.host} shows us no list of runs in which {kept} could be seen")
        within_s = self._looked_for_s(archive)
        # a clock that was set back a little must not end the search, one that was set back a year must
        waited_s = within_s if delivery.sent_at is None else (self._now() - delivery.sent_at).total_seconds()
        if abs(waited_s) < within_s:
            until = f"looked for until {show_duration(within_s)}"
        elif self._has_just_begun_to_look(delivery):
            until = "looked for a little longer, because nobody looked meanwhile"
        else:
            return self._given_up(delivery, kept, within_s, comparable(before, now))
        return Outcome(
            DeliveryEvent.POSTPONE,
            reason=(
                f"{self._client.host} does not show a new run of {kept} yet, {show_duration(waited_s)} after "
                f"sending began; {until}"
            ),
            hint="nothing is sent again meanwhile",
            again_s=self._look_every_s,
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
        looked = show_duration(within_s)
        return self._held(delivery, f"{self._client.host} shows no new run of {kept} within {looked} of sending it")

    def _held(self, delivery: Delivery, reason: str) -> Outcome:
        number = delivery.dataset_id
        return Outcome(
            DeliveryEvent.HOLD,
            reason=reason,
            hint=(
                f"look at the pipeline's page; depositd retry {number} sends it again, depositd skip {number} leaves it"
            ),
            hold=HoldKind.UNCONFIRMED,
        )


def _is_other_pipeline(answered: Any, target: Target) -> bool:
    """True where the answer names a pipeline that can be compared with ours, and it is another."""
    if isinstance(answered, int) and not isinstance(answered, bool):
        return target.number is not None and answered != target.number
    if isinstance(answered, str):
        return "-" in answered and len(answered) == 36 and not _same_uuid(answered, target.pid)
    return False


def _same_uuid(one: str, other: str) -> bool:
    return one.replace("-", "").lower() == other.replace("-", "").lower()


def _nearest(name: str, known: Sequence[str]) -> str:
    nearest = get_close_matches(name, known, n=3, cutoff=0.4) or list(known[:8])
    listed = ", ".join(printable(one, 60) for one in nearest)
    return f"correct it in the config, then release; the nearest that it shows: {listed or 'none at all'}"
