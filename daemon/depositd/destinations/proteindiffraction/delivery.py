"""The steps of one delivery to the Protein Diffraction Image Server.

============  ==========================================================================================
state         the step
============  ==========================================================================================
waiting       list our submissions; adopt ours if it is there, otherwise upload
unconfirmed   list our submissions; adopt ours if it is there, otherwise it is absent
uploaded      ask for our submission; submit its metadata if it is still ``uploaded``, otherwise adopt
submitted     ask for our submission; go on with its status
============  ==========================================================================================

Each step begins with a question, so each can be taken twice: what an earlier, half-known step did is found and
adopted.  The server knows content by its MD5, of the file that is sent or of the archive inside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, assert_never

from depositd.destinations.base import Outcome, Report
from depositd.destinations.body import FilePart
from depositd.destinations.proteindiffraction import metadata as words
from depositd.destinations.proteindiffraction.client import Client
from depositd.destinations.proteindiffraction.records import (
    MEANING,
    NEXT_ACTION,
    PUBLISHED,
    UPLOADED,
    Submission,
    Synchrotron,
    Upload,
)
from depositd.errors import Conflict, NotFound, Rejected, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Metadata, Packing, Problem
from depositd.states import DeliveryEvent
from depositd.units import printable, show_count


class ProteinDiffraction:
    """One configured Protein Diffraction Image Server.

    ``existing`` is ``hold`` or ``submit``: what happens to an upload whose PDB entry has data there already.
    """

    def __init__(self, name: str, client: Client, *, existing: str = "hold", poll_every_s: float = 60.0) -> None:
        self._name = name
        self._client = client
        self._submit_existing = existing == "submit"
        self._poll_every_s = poll_every_s
        self._equipment: list[Synchrotron] | None = None

    @property
    def name(self) -> str:
        """The name in the config."""
        return self._name

    @property
    def idempotent(self) -> bool:
        """True: the server recognises content by its hash and answers 409."""
        return True

    @property
    def publishes(self) -> bool:
        """True: the server makes raw data public."""
        return True

    def packing(self, single_file: bool) -> Packing | None:
        """Return ARCHIVE: the server takes nothing else."""
        del single_file
        return Packing.ARCHIVE

    def known_as(self, archive_name: str) -> str | None:
        """Return None: content is told apart by its hash."""
        del archive_name
        return None

    def problems(self, metadata: Metadata) -> list[Problem]:
        """Return what the server would miss or refuse in the metadata."""
        return words.problems(metadata)

    def whoami(self) -> str:
        """List our submissions, which every valid token may."""
        count = len(self._client.submissions())
        return f"{self._client.host} accepts our token and lists {show_count(count, 'submission')} of ours"

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Take the one step that follows from the delivery's state; raises RemoteError."""
        match delivery.state:
            case DeliveryState.WAITING:
                return self._find_or_send(delivery, archive, metadata, report)
            case DeliveryState.UNCONFIRMED:
                return self._find(delivery, archive)
            case DeliveryState.UPLOADED:
                return self._confirm(delivery, archive, metadata)
            case DeliveryState.SUBMITTED:
                return self._poll(delivery, metadata)
            case DeliveryState.HELD | DeliveryState.DELIVERED | DeliveryState.FAILED | DeliveryState.SKIPPED:
                raise ValueError(f"a delivery that is {delivery.state} has no next step")
            case _:
                assert_never(delivery.state)

    def remove(self, remote_id: str) -> None:
        """Delete our submission, so that a corrected one can replace it (``retry --replace``).

        One that is gone already is fine.  Raises Rejected or Conflict where its status does not allow it.
        """
        try:
            self._client.delete(remote_id)
        except NotFound:
            return

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    # waiting and unconfirmed

    def _find(self, delivery: Delivery, archive: Archive) -> Outcome:
        mine = self._client.submissions()
        found = ours(mine, archive)
        if found is not None:
            return self._adopt(found, mine, delivery)
        return Outcome(
            DeliveryEvent.ABSENT,
            reason=f"none of our {show_count(len(mine), 'submission')} at {self._client.host} has the archive's MD5",
        )

    def _find_or_send(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Ask who we are and what is there before the first byte: a refused token must cost nothing."""
        mine = self._client.submissions()
        found = ours(mine, archive)
        if found is not None:
            return self._adopt(found, mine, delivery)
        # what no server will take is refused before gigabytes are sent, not after
        wrong = words.problems(metadata) or self._ids(metadata)[1]
        if wrong:
            return self._held_for_metadata(delivery, wrong)
        report.sending({"md5": archive.md5, "inner_md5": archive.inner_md5, "submissions": len(mine)})
        try:
            upload = self._client.upload(
                FilePart.of_archive(archive),
                dataset_type=words.dataset_type(metadata),
                on_progress=report.progress,
            )
        except Conflict:
            return self._adopt_duplicate(delivery, archive)
        return self._uploaded(upload, delivery, archive)

    def _uploaded(self, upload: Upload, delivery: Delivery, archive: Archive) -> Outcome:
        if upload.md5hash not in (archive.md5, archive.inner_md5):
            return Outcome(
                DeliveryEvent.FAILED,
                remote_id=upload.token,
                remote_status=UPLOADED,
                reason=(
                    f"{self._client.host} stored MD5 {printable(upload.md5hash, 64)}, which is neither the archive's "
                    f"{archive.md5} nor that of the tar inside, {archive.inner_md5}"
                ),
                hint=f"delete submission {printable(upload.token, 60)}, then depositd retry {delivery.dataset_id}",
            )
        if upload.is_pdb_exists and not self._submit_existing:
            return self._held_for_existing(upload.token, upload.pdbid, delivery)
        return Outcome(
            DeliveryEvent.UPLOADED,
            remote_id=upload.token,
            remote_status=UPLOADED,
            reason=f"{self._client.host} has it whole: MD5 {upload.md5hash}",
        )

    def _adopt_duplicate(self, delivery: Delivery, archive: Archive) -> Outcome:
        mine = self._client.submissions()
        found = ours(mine, archive)
        if found is not None:
            return self._adopt(found, mine, delivery)
        return Outcome(
            DeliveryEvent.FAILED,
            reason=f"{self._client.host} has a file with MD5 {archive.md5} already, but not among our submissions",
            hint="somebody else has deposited the same file; ask the server's support, or skip it",
        )

    def _adopt(self, found: Submission, mine: Sequence[Submission], delivery: Delivery) -> Outcome:
        """Go on from what the server has.

        An upload whose answer was lost never said whether its PDB entry has data already; the list may.  The
        operator's release counts only for what was found while waiting: one that came earlier approved the
        sending, not a second dataset for the same entry.
        """
        if found.status == UPLOADED and not self._submit_existing:
            released = delivery.released and delivery.state is DeliveryState.WAITING
            if not released and _entry_exists(found, mine):
                return self._held_for_existing(found.token, found.pdbid, delivery)
        return self._of_status(found)

    def _held_for_existing(self, token: str, pdbid: str | None, delivery: Delivery) -> Outcome:
        entry = printable(pdbid or "its PDB entry", 40)
        return Outcome(
            DeliveryEvent.HOLD,
            remote_id=token,
            remote_status=UPLOADED,
            reason=f"{self._client.host} has a dataset for {entry} already; ours is uploaded and not yet submitted",
            hint=(
                f"depositd release {delivery.dataset_id} submits it all the same, "
                f"depositd skip {delivery.dataset_id} leaves it (it is submission {printable(token, 60)} there)"
            ),
            hold=HoldKind.SERVER,
        )

    # uploaded

    def _confirm(self, delivery: Delivery, archive: Archive, metadata: Metadata) -> Outcome:
        if delivery.remote_id is None:
            return self._find(delivery, archive)
        found = self._known(delivery.remote_id)
        if found is None:
            return self._absent(delivery.remote_id)
        if found.status != UPLOADED:
            return self._of_status(found)
        return self._submit(found.token, delivery, metadata)

    def _submit(self, token: str, delivery: Delivery, metadata: Metadata) -> Outcome:
        """Send the metadata.

        An answer that is lost here needs no state of its own: the delivery stays as it is, and the next step asks
        for the submission before it submits, so that nothing is ever submitted twice.
        """
        ids, unknown = self._ids(metadata)
        wrong = words.problems(metadata) or unknown
        if wrong:
            return self._held_for_metadata(delivery, wrong)
        try:
            submitted = self._client.submit(token, **words.payload(metadata), **ids)
        except NotFound:
            return self._absent(token)
        except Conflict:
            # adopted; where the server contradicts itself ("uploaded"), it is asked again in a while, not at once
            found = self._known(token)
            return self._absent(token) if found is None else replace(self._of_status(found), again_s=self._poll_every_s)
        except Unconfirmed as error:
            raise Unavailable(
                str(error),
                hint="the server is asked before it is submitted again",
                status=error.status,
                body=error.body,
            ) from error
        except Rejected as error:
            if error.status not in (400, 422):
                raise
            wrong = [Problem("the metadata", f"was refused: {error.body or error}", "")]
            return self._held_for_metadata(delivery, wrong)
        return Outcome(
            DeliveryEvent.SUBMITTED,
            remote_id=token,
            remote_status=submitted.status,
            reason=f"{self._client.host} took the metadata",
            again_s=self._poll_every_s,
        )

    def _held_for_metadata(self, delivery: Delivery, wrong: Sequence[Problem]) -> Outcome:
        hints = "; ".join(f"{problem.where}: {problem.hint}" for problem in wrong if problem.hint)
        release = f"depositd release {delivery.dataset_id} --set {_settable(wrong[0])}=… goes on"
        return Outcome(
            DeliveryEvent.HOLD,
            remote_id=delivery.remote_id,
            remote_status=delivery.remote_status,
            reason="; ".join(f"{problem.where}: {problem.what}" for problem in wrong),
            hint=f"{hints}; {release}" if hints else release,
            hold=HoldKind.METADATA,
        )

    def _ids(self, metadata: Metadata) -> tuple[dict[str, Any], list[Problem]]:
        """Resolve names through the server's list, asked once, and once more before a name is called unknown."""
        if words.problems(metadata):
            return {}, []
        if not words.needs_equipment(metadata):
            return words.resolved_equipment(metadata, ())
        if self._equipment is not None:
            ids, unknown = words.resolved_equipment(metadata, self._equipment)
            if not unknown:
                return ids, []
        self._equipment = self._client.equipment()
        return words.resolved_equipment(metadata, self._equipment)

    # submitted

    def _poll(self, delivery: Delivery, metadata: Metadata) -> Outcome:
        token = delivery.remote_id
        found = None if token is None else self._known(token)
        if found is None:
            outcome = self._absent(token)
        elif found.status == UPLOADED:  # the server forgot that it was submitted
            outcome = self._submit(found.token, delivery, metadata)
        else:
            return self._of_status(found)
        # a delivery that was submitted has no way back: not to held, waiting or uploaded
        instead = {
            DeliveryEvent.HOLD: DeliveryEvent.FAILED,
            DeliveryEvent.ABSENT: DeliveryEvent.FAILED,
            DeliveryEvent.UPLOADED: DeliveryEvent.SUBMITTED,
        }
        event = instead.get(outcome.event, outcome.event)
        hint = f"depositd retry {delivery.dataset_id} uploads it again" if event is DeliveryEvent.FAILED else None
        return replace(outcome, event=event, hint=outcome.hint or hint, hold=None)

    def _absent(self, token: str | None) -> Outcome:
        shown = printable(token or "without a token", 60)
        return Outcome(DeliveryEvent.ABSENT, reason=f"{self._client.host} no longer knows our submission {shown}")

    def _known(self, token: str) -> Submission | None:
        try:
            return self._client.submission(token)
        except NotFound:
            return None

    def _of_status(self, found: Submission) -> Outcome:
        """Return what a status of the document means; an unknown one is kept, shown, and polled on."""
        if found.failed:
            return self._failed(found)
        shown = printable(found.status, 60)
        known = NEXT_ACTION.get(found.status)
        reason = f"{self._client.host} has it as {shown!r}" + ("" if known else ", a status that no document names")
        if found.status == UPLOADED:
            return Outcome(DeliveryEvent.UPLOADED, remote_id=found.token, remote_status=UPLOADED, reason=reason)
        if found.status == PUBLISHED:
            return Outcome(DeliveryEvent.DELIVERED, remote_id=found.token, remote_status=PUBLISHED, reason=reason)
        return Outcome(
            DeliveryEvent.SUBMITTED,
            remote_id=found.token,
            remote_status=shown,
            reason=reason,
            again_s=self._poll_every_s,
        )

    def _failed(self, found: Submission) -> Outcome:
        details = f" ({printable(found.status_details, 200)})" if found.status_details else ""
        return Outcome(
            DeliveryEvent.FAILED,
            remote_id=found.token,
            remote_status=found.status,
            reason=f"{self._client.host} refuses the data as {found.status}: {MEANING[found.status]}{details}",
            hint=NEXT_ACTION[found.status],
        )


def ours(submissions: Sequence[Submission], archive: Archive) -> Submission | None:
    """Return the submission with the archive's content: the newest that has not failed, else the newest."""
    same = [one for one in submissions if one.md5hash in (archive.md5, archive.inner_md5)]
    return next((one for one in same if not one.failed), same[0] if same else None)


def _entry_exists(found: Submission, mine: Sequence[Submission]) -> bool:
    if found.raw.get("is_pdb_exists") is True:
        return True
    return found.pdbid is not None and any(
        other.pdbid == found.pdbid and other.status == PUBLISHED and other.token != found.token for other in mine
    )


def _settable(problem: Problem) -> str:
    return "KEY" if " " in problem.where else problem.where
