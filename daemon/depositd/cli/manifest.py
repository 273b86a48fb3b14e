"""``show --manifest``: what is in a dataset's archive, as ``sha256sum -c`` reads it, or as JSON."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from depositd.cli.dataset_text import Json, evidence, standing
from depositd.cli.output import say, say_json
from depositd.errors import DepositdError
from depositd.model import Packing
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.journal import DatasetRecord, Journal


def say_manifest(journal: Journal, dataset: Json, *, json: bool, at_source: bool) -> None:
    """Write the manifest of a dataset of ``show --json``; raises DepositdError where nothing was packed yet.

    The paths are those inside the archive, or with ``at_source`` the absolute ones of the files that it was made of.
    """
    manifest = _manifest_of(journal, dataset, at_source=at_source)
    if json:
        say_json(manifest)
    elif sys.stdout.isatty():
        # for eyes, not for sha256sum: no name may harm a terminal
        for each in checksum_lines(manifest["members"]):
            say(printable(os.fsdecode(each.removesuffix(b"\n"))))
    else:
        sys.stdout.flush()
        sys.stdout.buffer.writelines(checksum_lines(manifest["members"]))


def checksum_lines(members: Iterable[Json]) -> Iterator[bytes]:
    r"""Give the lines that GNU ``sha256sum`` writes: names in their own bytes, a ``\`` first where one is escaped."""
    for member in members:
        path = os.fsencode(member["path"])
        escaped = path.replace(b"\\", b"\\\\").replace(b"\n", b"\\n").replace(b"\r", b"\\r")
        mark = b"\\" if escaped != path else b""
        yield mark + member["sha256"].encode("ascii") + b"  " + escaped + b"\n"


def source_path(record: DatasetRecord, first_file: str, packing: str, member: str) -> str:
    """Return the absolute path of the file that became a member; ``first_file`` is relative to the source's root.

    Inside an archive the dataset's name stands for its directory; a file that is sent as it is has its name alone.
    """
    first = os.path.join(record.root, first_file)
    if packing == Packing.FILE:
        return first
    own_directory = os.path.join(record.path, "")
    directory = own_directory if first.startswith(own_directory) else os.path.join(record.root, record.directory)
    return os.path.join(directory, member.partition("/")[2])


def _manifest_of(journal: Journal, dataset: Json, *, at_source: bool) -> dict[str, Any]:
    number = dataset["id"]
    archive, record = journal.view.manifest(number), journal.datasets.get(number)
    if archive is None or record is None:
        raise DepositdError(
            f"dataset {number} ({printable(dataset['name'])}) has no archive, and so no manifest:"
            f" it is {standing(dataset)}: {evidence(dataset)}",
            hint=f"depositd explain {number} says why",
        )
    members = archive.pop("members")
    if at_source:
        files = journal.datasets.files(number)
        first = files[0].path if files else record.relative_path
        members = [{**one, "path": source_path(record, first, archive["packing"], one["path"])} for one in members]
    return {"id": number, "name": dataset["name"], "archive": archive, "members": members}
