"""What the server's answers mean for a delivery, in words for a tired person; pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from depositd.destinations.base import Outcome
from depositd.destinations.proteindiffraction.records import (
    MEANING,
    NEXT_ACTION,
    PUBLISHED,
    UPLOADED,
    Submission,
    Upload,
    says_yes,
)
from depositd.errors import RemoteError
from depositd.model import Archive, Delivery, HoldKind, Problem
from depositd.states import DeliveryEvent
from depositd.units import printable, show_count, show_duration

API_KEYS = (
    "pdb_code",
    "dataset_type",
    "project_title",
    "project_authors",
    "synchrotron_id",
    "beamline_id",
    "equipment_other",
)
"""The keys of ``POST /submit/``."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the server found in an upload that waits for its metadata: a PDB ID, and whether that entry has data."""

    token: str
    pdbid: str | None
    entry_exists: bool

    @classmethod
    def in_upload(cls, upload: Upload) -> Found:
        """Return what the answer to an upload says."""
        return cls(upload.token, upload.pdbid, upload.is_pdb_exists)

    @classmethod
    def in_submission(cls, submission: Submission, mine: Sequence[Submission] = ()) -> Found:
        """Return what a submission says, with what ``mine``, our others, tell.

        Whether the entry has data is documented of the answer to the upload alone; where that was lost, our own
        published submissions of the entry still tell.
        """
        exists = says_yes(submission.raw.get("is_pdb_exists")) or any(
            one.token != submission.token and one.status == PUBLISHED and _same_entry(one.pdbid, submission.pdbid)
            for one in mine
        )
        return cls(submission.token, submission.pdbid, exists)


def _same_entry(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and one.strip().upper() == other.strip().upper()


@dataclass(frozen=True, slots=True)
class Words:
    """The sentences of one delivery to one server; ``dataset_id`` is what an operator's command names."""

    host: str
    dataset_id: int

    def of_status(self, found: Submission, next_look_s: float) -> Outcome:
        """Return what a status of the document means; an unknown one is kept, shown, and polled on."""
        if found.failed:
            return self._refused(found)
        shown = printable(found.status, 60)
        unnamed = "" if found.next_action else ", a status that no document names"
        event = {UPLOADED: DeliveryEvent.UPLOADED, PUBLISHED: DeliveryEvent.DELIVERED}.get(found.status)
        return Outcome(
            event or DeliveryEvent.SUBMITTED,
            remote_id=found.token,
            remote_status=shown,
            reason=f"{self.host} has it as {shown!r}{unnamed}",
            hint=found.next_action,
            again_s=next_look_s if event is None else None,
        )

    def _refused(self, found: Submission) -> Outcome:
        details = f" ({printable(found.status_details, 200)})" if found.status_details else ""
        allowed = "" if found.deletable else ", if the server lets it be deleted,"
        return Outcome(
            DeliveryEvent.FAILED,
            remote_id=found.token,
            remote_status=found.status,
            reason=f"{self.host} refuses the data as {found.status}: {MEANING[found.status]}{details}",
            hint=(
                f"{NEXT_ACTION[found.status]}: once the files are mended, depositd retry {self.dataset_id} --replace"
                f" deletes it there{allowed} and sends the corrected archive"
            ),
        )

    def whole(self, upload: Upload) -> Outcome:
        """Return that the upload arrived whole."""
        return Outcome(
            DeliveryEvent.UPLOADED,
            remote_id=upload.token,
            remote_status=UPLOADED,
            reason=f"{self.host} has it whole: MD5 {printable(upload.md5hash, 64)}",
        )

    def wrong_content(self, upload: Upload, archive: Archive) -> Outcome:
        """Return that what the server stored is not what was sent."""
        return Outcome(
            DeliveryEvent.FAILED,
            remote_id=upload.token,
            remote_status=UPLOADED,
            reason=(
                f"{self.host} stored MD5 {printable(upload.md5hash, 64)}, which is neither the archive's {archive.md5} "
                f"nor that of the tar inside, {archive.inner_md5}"
            ),
            hint=(
                f"depositd retry {self.dataset_id} --replace deletes it there (submission "
                f"{printable(upload.token, 60)}) and sends it again"
            ),
        )

    def somebody_elses(self, archive: Archive) -> Outcome:
        """Return that the server has the content, but not from us."""
        return Outcome(
            DeliveryEvent.FAILED,
            reason=f"{self.host} has a file with MD5 {archive.md5} already, but not among our submissions",
            hint=(
                "somebody else has deposited the same file, or ours is not listed yet: "
                f"depositd retry {self.dataset_id} looks again; otherwise ask the server's support, or "
                f"depositd skip {self.dataset_id}"
            ),
        )

    def namesake(self, found: Submission) -> Outcome:
        """Return the hold of an archive that is there under its name with another content, after a journal was lost."""
        number, token = self.dataset_id, printable(found.token, 60)
        return Outcome(
            DeliveryEvent.HOLD,
            reason=(
                f"{self.host} has {printable(found.original_filename or '', 120)} with another content (submission"
                f" {token}, {printable(found.status, 60)}); whether that was this dataset, the lost journal knew"
            ),
            hint=f"depositd skip {number} if it is this dataset, depositd retry {number} sends it if it is another",
            hold=HoldKind.UNCONFIRMED,
        )

    def looked_for(
        self, count: int, waited_s: float, until: str, *, again_s: float, since: str = "sending began"
    ) -> Outcome:
        """Return that none of our ``count`` submissions has it yet; ``until`` says how long it is looked for."""
        none = f"none of our {show_count(count, 'submission')}" if count else "no submission of ours"
        return Outcome(
            DeliveryEvent.POSTPONE,
            reason=f"{none} at {self.host} has it yet, {show_duration(waited_s)} after {since}; {until}",
            hint="nothing is sent again meanwhile",
            again_s=again_s,
        )

    def absent(self, token: str | None) -> Outcome:
        """Return that our submission is gone."""
        shown = printable(token or "without a token", 60)
        return Outcome(DeliveryEvent.ABSENT, reason=f"{self.host} no longer knows our submission {shown}")

    def objection(self, found: Found, pdb_code: str | None, *, submit_existing: bool, seen: str) -> Outcome | None:
        """Return the hold of an upload that somebody should look at before it is made public, None where it may go.

        ``seen`` is the sentence of the hold that the operator has released: what stands in it is no objection any more.
        """
        pdbid = printable(found.pdbid, 40) if found.pdbid else None
        another = f"found PDB ID {pdbid} in it, and our pdb_code is {pdb_code}"
        there = f"has a dataset for {pdbid or 'its PDB entry'} already"
        differs = pdbid is not None and pdb_code is not None and not _same_entry(pdbid, pdb_code)
        differs = differs and another not in seen
        exists = found.entry_exists and not submit_existing and there not in seen
        if not differs and not exists:
            return None
        said = [clause for clause, stands in ((another, differs), (there, exists)) if stands]
        release = f"depositd release {self.dataset_id}"
        ways = [f"{release} submits it all the same" + (f", as {pdb_code}" if differs else "")]
        ways += [f"{release} --set pdb_code={pdbid} submits it as {pdbid}"] if differs else []
        ways += [f"depositd skip {self.dataset_id} leaves it (it is submission {printable(found.token, 60)} there)"]
        return Outcome(
            DeliveryEvent.HOLD,
            remote_id=found.token,
            remote_status=UPLOADED,
            reason=f"{self.host} {', and '.join(said)}; ours is uploaded and not yet submitted",
            hint=", ".join(ways),
            hold=HoldKind.SERVER,
        )

    def other_entry(self, found: Submission, pdb_code: str | None, *, seen: str) -> Outcome | None:
        """Return the hold of our bytes that are there, submitted with a PDB ID that is not ours; None where it is.

        The hold does not take the submission for ours: ``seen``, the sentence that the operator has released, names it.
        """
        if not found.pdbid or pdb_code is None or _same_entry(found.pdbid, pdb_code):
            return None
        token, status, pdbid = printable(found.token, 60), printable(found.status, 60), printable(found.pdbid, 40)
        there, contradiction = f"submission {token},", f"with PDB ID {pdbid}, and our pdb_code is {pdb_code}"
        # its status goes on meanwhile, and is no other finding
        if there in seen and contradiction in seen:
            return None
        return Outcome(
            DeliveryEvent.HOLD,
            reason=f"{self.host} has these bytes as {there} {status} {contradiction}",
            hint=(
                f"depositd release {self.dataset_id} takes it as delivered as it is, "
                f"depositd skip {self.dataset_id} leaves it"
            ),
            hold=HoldKind.SERVER,
        )

    def held_for_metadata(self, delivery: Delivery, wrong: Sequence[Problem]) -> Outcome:
        """Return the hold of a delivery whose metadata must be mended first."""
        hints = "; ".join(f"{problem.where}: {problem.hint}" for problem in wrong if problem.hint)
        key = wrong[0].where if " " not in wrong[0].where else "KEY"
        release = f"depositd release {self.dataset_id} --set {key}=… goes on"
        return Outcome(
            DeliveryEvent.HOLD,
            remote_id=delivery.remote_id,
            remote_status=delivery.remote_status,
            reason="; ".join(f"{problem.where}: {problem.what}" for problem in wrong),
            hint=f"{hints}; {release}" if hints else release,
            hold=HoldKind.METADATA,
        )


def refused_metadata(error: RemoteError) -> Problem:
    """Return what the server says of metadata that it did not take; the key is named where its sentence names one."""
    said = error.body or str(error)
    named = re.match(r"(\w+):\s*(.+)", said)
    if named is not None and named[1] in API_KEYS:
        return Problem(named[1], f"was refused: {named[2]}")
    return Problem("the metadata", f"was refused: {said}")
