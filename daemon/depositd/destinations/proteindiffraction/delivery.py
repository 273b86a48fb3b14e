"""The steps of one delivery to the Protein Diffraction Image Server.

============  ==========================================================================================
state         the step
============  ==========================================================================================
waiting       list our submissions; adopt ours if it is there, otherwise upload
unconfirmed   list our submissions; adopt ours if it is there, look again if not, after a while it is absent
uploaded      ask for our submission; submit its metadata if it is still ``uploaded``, otherwise adopt
submitted     look for our submission in a list that all deliveries share; go on with its status
============  ==========================================================================================

Each step begins with a question, so each can be taken twice: what an earlier, half-known step did is found and
adopted.  The server knows content by its MD5, of the file that is sent or of the archive inside it.  A list may be
late: that one does not show an upload proves nothing, and nothing is sent again before several did not.

What is submitted becomes public, so two findings stop an upload on every way to that: a PDB ID in it that is not ours,
and an entry that has data already.  What is submitted already, and not known as ours, is not taken for delivered with a
PDB ID that is not ours.  The operator's release counts for what was found before it, and for that upload alone: see
:meth:`ProteinDiffraction._objection`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import assert_never

from depositd.destinations.base import Measures, Outcome, Report, since
from depositd.destinations.body import FilePart
from depositd.destinations.http import SLOWEST_SERVER_BYTES_PER_S
from depositd.destinations.proteindiffraction import metadata as words
from depositd.destinations.proteindiffraction.client import Client
from depositd.destinations.proteindiffraction.equipment import Equipment, Ids
from depositd.destinations.proteindiffraction.listing import Listing
from depositd.destinations.proteindiffraction.outcomes import Found, Words, refused_metadata
from depositd.destinations.proteindiffraction.records import (
    UPLOADED,
    Submission,
    Upload,
    with_content,
    with_name,
)
from depositd.errors import Conflict, NotFound, Rejected, RemoteError, Unavailable, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, Metadata, Packing, Problem
from depositd.states import DeliveryEvent
from depositd.units import printable, show_count, show_duration

CONFLICT = "conflict"
"""The remote status of what the server has (409), while our list does not show it."""
_LOOKS = 4
"""How often at least what may have arrived is looked for again, in the time that it is looked for."""
_LONGER_AFTER_CONFLICT = 5
"""How many times longer it is looked for where the server says that it is there."""


class ProteinDiffraction:
    """One configured Protein Diffraction Image Server.

    ``existing`` is ``hold`` or ``submit``: what happens to an upload whose PDB entry has data there already.  With
    ``submit_anything`` nothing that the server finds in an upload holds it: somebody has seen it there.
    Deliveries that are submitted look every ``poll_every_s`` seconds, by the client's clock and all at once.  An upload
    whose answer was lost is looked for ``confirm_within_s`` seconds, two polls unless given, before it is sent again.
    """

    def __init__(
        self,
        name: str,
        client: Client,
        *,
        existing: str = "hold",
        submit_anything: bool = False,
        poll_every_s: float = 60.0,
        confirm_within_s: float | None = None,
    ) -> None:
        self._name = name
        self._client = client
        self._submit_existing = existing == "submit"
        self._submit_anything = submit_anything
        self._listing = Listing(client.submissions, client.now, poll_every_s, client.on_wait)
        self._equipment = Equipment(client.equipment)
        self._confirm_within_s = 2 * poll_every_s if confirm_within_s is None else confirm_within_s
        # by the delivery's number: how often its upload was looked for in vain
        self._looks: dict[int, int] = {}

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

    @property
    def place(self) -> str:
        """The server: the config names one account for each."""
        return self._client.host

    @property
    def measures(self) -> Measures | None:
        """None: the server measures nothing."""
        return None

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
        count = len(self._listing.fresh())
        return f"{self._client.host} accepts our token and lists {show_count(count, 'submission')} of ours"

    def step(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Take the one step that follows from the delivery's state; raises RemoteError."""
        match delivery.state:
            case DeliveryState.WAITING:
                return self._find_or_send(delivery, archive, metadata, report)
            case DeliveryState.UNCONFIRMED:
                return self._find(delivery, archive, metadata)
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

        One that is gone already is fine.  Raises Rejected where the server does not let it be deleted; RemoteError.
        """
        try:
            self._client.delete(remote_id)
        except NotFound:
            return
        except (Conflict, Rejected) as error:
            status = self._status_of(remote_id)
            raise Rejected(
                f"{self._client.host} does not let submission {printable(remote_id, 60)} be deleted{status}: "
                f"{error.body or error}",
                hint=(
                    "ask the server's support to delete it, then retry; where the files were corrected since (a newer "
                    "generation), depositd retry without --replace sends that beside it"
                ),
                status=error.status,
                body=error.body,
            ) from error

    def _status_of(self, token: str) -> str:
        try:
            return f" while it is {printable(self._client.submission(token).status, 60)!r}"
        except RemoteError:
            return ""

    def close(self) -> None:
        """Release connections."""
        self._client.close()

    # waiting and unconfirmed

    def _find(self, delivery: Delivery, archive: Archive, metadata: Metadata) -> Outcome:
        mine = self._listing.fresh()
        found = with_content(mine, archive.md5, archive.inner_md5)
        if found is not None:
            self._looks.pop(delivery.id, None)
            return self._adopt(found, mine, delivery, metadata)
        postponed = self._looked_for(delivery, archive, len(mine))
        if postponed is not None:
            return postponed
        self._looks.pop(delivery.id, None)
        if delivery.remote_status == CONFLICT:
            return self._words(delivery).somebody_elses(archive)
        if delivery.is_forgotten and (namesake := with_name(mine, archive.name)) is not None:
            return self._words(delivery).namesake(namesake)
        return Outcome(
            DeliveryEvent.ABSENT,
            reason=f"none of our {show_count(len(mine), 'submission')} at {self._client.host} has the archive's MD5",
        )

    def _looked_for(self, delivery: Delivery, archive: Archive, count: int) -> Outcome | None:
        """Return that an upload is looked for once more, None where that was done for long enough.

        Time alone does not say so: a clock can be set, and nobody may have looked meanwhile.  Nor do looks alone, for a
        server may still be unpacking what it was sent.
        """
        longer = _LONGER_AFTER_CONFLICT if delivery.remote_status == CONFLICT else 1
        within_s = longer * self._confirm_within_s + _unpacking_s(archive, self._confirm_within_s)
        looks = self._looks[delivery.id] = self._looks.get(delivery.id, 0) + 1
        waited_s = within_s if delivery.sent_at is None else (self._client.now() - delivery.sent_at).total_seconds()
        # a clock that was set back a little must not end the search, one that was set back a year must
        if abs(waited_s) < within_s:
            until = f"looked for until {show_duration(within_s)}"
        elif looks <= longer * _LOOKS:
            until = f"looked for {show_count(longer * _LOOKS - looks + 1, 'more time')}"
        else:
            return None
        return self._words(delivery).looked_for(
            count, max(waited_s, 0.0), until, again_s=self._look_every_s, since=since(delivery)
        )

    @property
    def _look_every_s(self) -> float:
        return max(self._confirm_within_s / _LOOKS, 0.05)

    def _find_or_send(self, delivery: Delivery, archive: Archive, metadata: Metadata, report: Report) -> Outcome:
        """Ask who we are and what is there before the first byte: a refused token must cost nothing."""
        mine = self._listing.fresh()
        found = with_content(mine, archive.md5, archive.inner_md5)
        if found is not None:
            return self._adopt(found, mine, delivery, metadata)
        # what no server will take is refused before gigabytes are sent, not after
        _, wrong = self._checked(metadata)
        if wrong:
            return self._words(delivery).held_for_metadata(delivery, wrong)
        report.sending({"md5": archive.md5, "inner_md5": archive.inner_md5, "submissions": len(mine)})
        try:
            upload = self._client.upload(
                FilePart.of_archive(archive),
                dataset_type=words.dataset_type(metadata),
                on_progress=report.progress,
            )
        except Conflict:
            return self._adopt_duplicate(delivery, archive, metadata)
        return self._uploaded(upload, delivery, archive, metadata)

    def _uploaded(self, upload: Upload, delivery: Delivery, archive: Archive, metadata: Metadata) -> Outcome:
        if upload.md5hash not in (archive.md5, archive.inner_md5):
            return self._words(delivery).wrong_content(upload, archive)
        held = self._objection(Found.in_upload(upload), delivery, metadata)
        return held or self._words(delivery).whole(upload)

    def _adopt_duplicate(self, delivery: Delivery, archive: Archive, metadata: Metadata) -> Outcome:
        mine = self._listing.fresh()
        found = with_content(mine, archive.md5, archive.inner_md5)
        if found is not None:
            return self._adopt(found, mine, delivery, metadata)
        self._looks.pop(delivery.id, None)
        longest_s = _LONGER_AFTER_CONFLICT * self._confirm_within_s
        return Outcome(
            DeliveryEvent.LOST,
            remote_status=CONFLICT,
            reason=(
                f"{self._client.host} has it already (409), and none of our {show_count(len(mine), 'submission')} "
                "there shows it yet"
            ),
            hint=f"it is looked for by itself, for about {show_duration(longest_s)}; nothing is sent again meanwhile",
            again_s=self._look_every_s,
        )

    def _adopt(self, found: Submission, mine: Sequence[Submission], delivery: Delivery, metadata: Metadata) -> Outcome:
        """Go on from what the server has."""
        if found.status == UPLOADED:
            held = self._objection(Found.in_submission(found, mine), delivery, metadata)
        else:
            held = self._other_entry(found, delivery, metadata)
        return held or self._of_status(found, delivery)

    # uploaded

    def _confirm(self, delivery: Delivery, archive: Archive, metadata: Metadata) -> Outcome:
        if delivery.remote_id is None:
            return self._find(delivery, archive, metadata)
        found = self._known(delivery.remote_id)
        if found is None:
            return self._words(delivery).absent(delivery.remote_id)
        if found.status != UPLOADED:
            return self._of_status(found, delivery)
        held = self._objection(Found.in_submission(found), delivery, metadata)
        return held or self._submit(found.token, delivery, metadata)

    def _submit(self, token: str, delivery: Delivery, metadata: Metadata) -> Outcome:
        """Send the metadata.

        An answer that is lost here needs no state of its own: the delivery stays as it is, and the next step asks
        for the submission before it submits, so that nothing is ever submitted twice.
        """
        ids, wrong = self._checked(metadata)
        if wrong:
            return self._words(delivery).held_for_metadata(delivery, wrong)
        values = {**words.payload(metadata), **ids}
        try:
            submitted = self._client.submit(token, **values)
        except NotFound:
            return self._words(delivery).absent(token)
        except Conflict as error:
            return self._adopt_submitted(token, delivery, error)
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
            return self._words(delivery).held_for_metadata(delivery, [refused_metadata(error)])
        return Outcome(
            DeliveryEvent.SUBMITTED,
            remote_id=token,
            remote_status=printable(submitted.status, 60),
            reason=f"{self._client.host} took the metadata",
            again_s=self._listing.due_in_s(),
        )

    def _adopt_submitted(self, token: str, delivery: Delivery, error: Conflict) -> Outcome:
        """Go on from what was submitted before; raises Unavailable where the server contradicts itself."""
        found = self._known(token)
        if found is None:
            return self._words(delivery).absent(token)
        if found.status != UPLOADED:
            return self._of_status(found, delivery)
        shown = printable(token, 60)
        raise Unavailable(
            f"{self._client.host} says that {shown} was submitted before (409), and has it as 'uploaded'",
            hint="it is asked again by itself; if that stays so, ask the server's support",
            status=error.status,
            body=error.body,
        ) from error

    # submitted

    def _poll(self, delivery: Delivery, metadata: Metadata) -> Outcome:
        token = delivery.remote_id
        found = None if token is None else self._looked_up(token)
        if found is None:
            outcome = self._words(delivery).absent(token)
        elif found.status == UPLOADED:  # the server forgot that it was submitted, with words that were looked at then
            outcome = self._submit(found.token, delivery, metadata)
        else:
            return self._of_status(found, delivery)
        # a delivery that was submitted has no way back: not to held, waiting or uploaded
        instead = {DeliveryEvent.HOLD: DeliveryEvent.FAILED, DeliveryEvent.ABSENT: DeliveryEvent.FAILED}
        event = instead.get(outcome.event, outcome.event)
        hint = f"depositd retry {delivery.dataset_id} uploads it again" if event is DeliveryEvent.FAILED else None
        return replace(outcome, event=event, hint=outcome.hint or hint, hold=None)

    def _looked_up(self, token: str) -> Submission | None:
        """Return our submission from the shared list; what that does not settle is asked for by itself.

        That a list does not show it proves nothing, and one that was fetched just before we submitted has it as
        ``uploaded`` still.
        """
        listed = self._listing.recent(token)
        return self._known(token) if listed is None or listed.status == UPLOADED else listed

    # all of them

    def _known(self, token: str) -> Submission | None:
        try:
            return self._client.submission(token)
        except NotFound:
            return None

    def _checked(self, metadata: Metadata) -> tuple[Ids, list[Problem]]:
        """Return the ids of the equipment, or what the server would not take; names may need its list."""
        wrong = words.problems(metadata)
        return ({}, wrong) if wrong else self._equipment.ids(metadata)

    def _objection(self, found: Found, delivery: Delivery, metadata: Metadata) -> Outcome | None:
        """Return the hold for what the server found in an upload, None where it may go or the operator said so.

        A yes is one to a sentence and to that upload: another finding, or another upload, asks for a yes of its own.
        """
        if self._submit_anything:
            return None
        pdb_code = words.payload(metadata).get("pdb_code")
        seen = delivery.released or "" if delivery.remote_id == found.token else ""
        return self._words(delivery).objection(found, pdb_code, submit_existing=self._submit_existing, seen=seen)

    def _other_entry(self, found: Submission, delivery: Delivery, metadata: Metadata) -> Outcome | None:
        """Return the hold of what somebody else submitted for another entry, None where that may count as delivered."""
        if self._submit_anything or found.failed or delivery.remote_id == found.token:
            return None
        pdb_code = words.payload(metadata).get("pdb_code")
        return self._words(delivery).other_entry(found, pdb_code, seen=delivery.released or "")

    def _of_status(self, found: Submission, delivery: Delivery) -> Outcome:
        return self._words(delivery).of_status(found, self._listing.due_in_s())

    def _words(self, delivery: Delivery) -> Words:
        return Words(self._client.host, delivery.dataset_id)


def _unpacking_s(archive: Archive, within_s: float) -> float:
    """Return how long a server may be busy with an archive; 0 where that hardly counts, so that sentences are plain."""
    unpacking_s = archive.size_bytes / SLOWEST_SERVER_BYTES_PER_S
    return unpacking_s if unpacking_s >= within_s / 10 else 0.0
