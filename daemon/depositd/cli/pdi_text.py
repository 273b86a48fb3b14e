"""What ``pdi`` says of uploads and submissions, as text alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from depositd.cli.output import Line, line
from depositd.cli.tables import Column, cell, nearest
from depositd.model import Delivery, DeliveryState, HoldKind
from depositd.units import printable, show_size

if TYPE_CHECKING:
    from depositd.destinations.proteindiffraction.records import Submission, Synchrotron, Upload

Fact = tuple[str, Any]

STYLES = {"published": "green", "uploaded": "yellow"}
"""Of statuses; those that end badly are red."""


def fact_lines(facts: Sequence[Fact]) -> list[Line]:
    """Return names and values, aligned; what is not known is left out."""
    known = [(name, cell(value)) for name, value in facts if value not in (None, "")]
    width = max((len(name) for name, _value in known), default=0)
    return [line((f"{name:<{width}}  ", "bold"), value) for name, value in known]


def submission_facts(found: Submission, again: str) -> list[Fact]:
    """Return all that is known of a submission, and what comes next."""
    return [
        ("token", found.token),
        ("status", found.status),
        ("details", found.status_details),
        ("next", next_action(found.status, found.token, again)),
        ("pdbid", found.pdbid),
        ("file", found.original_filename),
        ("md5hash", found.md5hash),
        ("type", found.dataset_type),
        ("title", found.project_title),
        ("authors", found.project_authors),
        ("equipment", found.equipment_other or _place(found)),
        ("inserted", found.inserted),
        ("updated", found.updated),
    ]


def _place(found: Submission) -> str | None:
    names = [place.get("short") or place.get("id") for place in (found.synchrotron, found.beamline) if place]
    return " ".join(str(name) for name in names) or None


def upload_facts(upload: Upload) -> list[Fact]:
    """Return what the server says of what it has just received."""
    size = show_size(upload.size_bytes) if upload.size_bytes is not None else None
    return [
        ("token", upload.token),
        ("md5hash", upload.md5hash),
        ("pdbid", upload.pdbid or "none detected"),
        ("file", upload.filename),
        ("size", size),
    ]


def next_action(status: str, token: str, again: str) -> str:
    """Return the document's next action, with the command that does it where there is one."""
    from depositd.destinations.proteindiffraction.records import NEXT_ACTION

    action = NEXT_ACTION.get(status)
    if action is None:
        return "no document names this status; ask again later"
    shown = printable(token, 60)
    commands = {
        "uploaded": f": depositd pdi submit {shown} {again} --set pdb_code=…",
        "error_no_data": f": depositd pdi delete {shown} {again}",
    }
    return action + commands.get(status, "")


def status_line(status: str, token: str, again: str) -> str:
    """Return a status with its next action, in one line."""
    return f"{printable(status, 60)}: {next_action(status, token, again)}"


LIST_COLUMNS = (
    Column("TOKEN", whole=True),
    Column("STATUS", whole=True, style="bold"),
    Column("PDB"),
    Column("INSERTED"),
    Column("FILE"),
    Column("TITLE"),
)


def list_rows(submissions: Sequence[Submission]) -> list[list[Any]]:
    """Return a row for each submission, as :data:`LIST_COLUMNS` has it."""
    return [
        [one.token, one.status, one.pdbid, _when(one), one.original_filename, one.project_title] for one in submissions
    ]


def _when(found: Submission) -> str:
    return (found.inserted or "")[:16].replace("T", " ")


EQUIPMENT_COLUMNS = (
    Column("SYNCHROTRON_ID", whole=True, right=True),
    Column("SYNCHROTRON", whole=True, style="bold"),
    Column("BEAMLINE_ID", whole=True, right=True),
    Column("BEAMLINE", whole=True, style="bold"),
    Column("FULL NAME"),
)


def equipment_rows(equipment: Sequence[Synchrotron]) -> list[list[Any]]:
    """Return a row for each beamline, and one for a synchrotron without any."""
    rows: list[list[Any]] = []
    for one in equipment:
        lines = [
            [one.id, one.short, beamline.id, beamline.short, beamline.fullname or one.fullname]
            for beamline in one.beamlines
        ]
        rows += lines or [[one.id, one.short, None, None, one.fullname]]
    return rows


def named_equipment(equipment: Sequence[Synchrotron], name: str) -> list[Synchrotron]:
    """Return the synchrotrons that a name, or a part of it, stands for; of a beamline's name, the one that has it."""
    wanted = name.casefold().strip()
    found = [one for one in equipment if wanted in one.short.casefold() or wanted in (one.fullname or "").casefold()]
    return found or [
        one
        for one in equipment
        if any(wanted in text.casefold() for place in one.beamlines for text in (place.short, place.fullname or ""))
    ]


def nearest_equipment(equipment: Sequence[Synchrotron], name: str) -> list[str]:
    """Return the names of synchrotrons and beamlines that are nearest to one that is not there."""
    names = [one.short for one in equipment] + [place.short for one in equipment for place in one.beamlines]
    return nearest(name, names)


def hint_of(delivery: Delivery, name: str, again: str) -> str:
    """Return what can be done about a delivery that did not end well; ``name`` is what the command was given."""
    token = printable(delivery.remote_id or "", 60)
    submit = f"depositd pdi submit {token or printable(name)} {again}"
    if delivery.hold is HoldKind.METADATA:
        return f"{submit} --set pdb_code=1ABC (or project_title, project_authors and equipment_other)"
    if delivery.hold is not None:
        if not token:  # what is there is not taken for ours
            return f"it may be right as it is: depositd pdi list {again} shows it; otherwise ask the server's support"
        return f"{submit} --set … submits it all the same; depositd pdi delete {token} {again} removes it"
    if delivery.state in (DeliveryState.FAILED, DeliveryState.DELIVERED):
        return _hint_at_its_end(delivery, token, again)
    there = {
        DeliveryState.UPLOADED: f"it is uploaded and not submitted; {submit} --set … goes on",
        DeliveryState.SUBMITTED: f"it is submitted; depositd pdi status {token} {again} --poll waits for its end",
    }
    asks = f"depositd pdi list {again} shows whether it is there; the same command asks first, too"
    return there.get(delivery.state, asks)


def _hint_at_its_end(delivery: Delivery, token: str, again: str) -> str:
    if delivery.remote_status == "uploaded":
        return f"depositd pdi delete {token} {again}, then upload it again"
    if token:
        return next_action(delivery.remote_status or "", token, again)
    return f"depositd pdi list {again} may show it later; where somebody else has it, ask the server's support"
