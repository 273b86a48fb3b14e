"""``pdi upload`` and ``pdi submit``: a file to the server, and what then becomes of it."""

from __future__ import annotations

import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import typer

from depositd.cli.failing import FAILED, NEEDS_OPERATOR
from depositd.cli.output import tell
from depositd.cli.tables import nearest
from depositd.cli.transfers import Bar
from depositd.errors import Conflict, DepositdError, RemoteError, SpoolFull, Unconfirmed
from depositd.model import Archive, Delivery, DeliveryState, HoldKind, Metadata, Packing, Problem
from depositd.units import printable, show_count, show_duration, show_size

if TYPE_CHECKING:
    from depositd.cli.servers import Place
    from depositd.destinations.proteindiffraction import Client
    from depositd.destinations.proteindiffraction.records import Submission, Upload

_TOKEN = re.compile(r"[A-Za-z0-9_-]{8,128}")


def is_token(word: str) -> bool:
    """Say whether a word can only be an upload's token: nothing of that name is here."""
    return not os.path.lexists(word) and _TOKEN.fullmatch(word) is not None


# --- metadata ---------------------------------------------------------------------------------------------------------


def refuse_wrong_metadata(metadata: Metadata) -> list[Problem]:
    """Raise a usage error for keys and values that the server would refuse; return what is merely missing."""
    from depositd.config import API_KEYS
    from depositd.destinations.proteindiffraction.metadata import problems

    for key in metadata:
        if key not in API_KEYS:
            near = ", ".join(nearest(key, API_KEYS, most=2))
            raise typer.BadParameter(f"{key} is no key of the server (nearest: {near})", param_hint="--set")
    found = problems(metadata)
    wrong = [problem for problem in found if problem.where in metadata]
    if wrong:
        raise _usage_error(wrong)
    return found


def refuse_unknown_equipment(client: Client, metadata: Metadata) -> None:
    """Raise a usage error for a synchrotron or beamline that the server does not know, with the nearest names."""
    from depositd.destinations.proteindiffraction.equipment import Equipment

    _ids, unknown = Equipment(client.equipment).ids(metadata)
    if unknown:
        raise _usage_error(unknown)


def _usage_error(problems: list[Problem]) -> typer.BadParameter:
    from depositd.engine.values import sentence

    return typer.BadParameter(sentence(problems), param_hint="--set")


# --- upload -----------------------------------------------------------------------------------------------------------


def upload(client: Client, path: str, dataset_type: str | None) -> Upload | Submission:
    """Upload an archive as it is, or find it there already; tells what it finds.  Raises DepositdError."""
    from depositd.archive import ready_archive
    from depositd.destinations.body import FilePart

    with Bar("hashing") as hashing:
        archive = ready_archive(path, look_inside=False, on_progress=hashing)
    before = client.submissions()  # a refused token must cost nothing
    there = _same(before, {archive.md5})
    if there is not None:
        return _adopted(there)
    try:
        with Bar("uploading") as uploading:
            answer = client.upload(FilePart.of_archive(archive), dataset_type=dataset_type, on_progress=uploading)
    except Conflict:
        there = _same(client.submissions(), _both_md5(path))
        if there is None:
            raise DepositdError(
                f"{client.host} has a file with MD5 {archive.md5} already, but not among our submissions",
                hint="somebody else has uploaded the same data; ask the server's support",
            ) from None
        return _adopted(there)
    except Unconfirmed as error:
        return _found_or_lost(client, path, error)
    _compare(answer, archive, path)
    return answer


def _both_md5(path: str) -> set[str]:
    from depositd.archive import ready_archive

    with Bar("hashing inside") as hashing:
        archive = ready_archive(path, on_progress=hashing)
    return {archive.md5, archive.inner_md5}


def _same(submissions: list[Submission], hashes: set[str]) -> Submission | None:
    from depositd.destinations.proteindiffraction.records import with_content

    return with_content(submissions, *hashes)


def _adopted(there: Submission) -> Submission:
    tell("the server has it already; nothing was sent twice")
    return there


def _found_or_lost(client: Client, path: str, error: Unconfirmed) -> Submission:
    """Return what arrived although the answer was lost; raises DepositdError where it is not there.

    Ends the command with 3 where that cannot be asked.
    """
    tell(f"{printable(str(error))}; looking whether it arrived")
    try:
        mine = client.submissions()
    except RemoteError as away:
        tell(f"unconfirmed: whether it arrived cannot be asked, {printable(str(away))}")
        tell("hint: the same command looks first, and sends it again only if it is not there")
        raise typer.Exit(NEEDS_OPERATOR) from None
    there = _same(mine, _both_md5(path))
    if there is None:
        raise DepositdError(
            f"it is not there: none of our {show_count(len(mine), 'submission')} at {client.host} has its MD5",
            hint="the same command looks once more, and sends it again",
        ) from None
    tell("it did arrive")
    return there


def _compare(answer: Upload, archive: Archive, path: str) -> None:
    """Tell whether the server has what we sent; raises DepositdError where it has something else."""
    if answer.md5hash == archive.md5:
        tell("its MD5 is that of the file")
    elif answer.md5hash in (both := _both_md5(path)):
        tell("its MD5 is that of the archive inside, which the server stores")
    else:
        raise DepositdError(
            f"the server has MD5 {printable(answer.md5hash, 64)}, which is none of ours ({', '.join(sorted(both))})",
            hint=f"depositd pdi delete {printable(answer.token, 60)}, then upload it again",
        )


# --- submit -----------------------------------------------------------------------------------------------------------


@contextmanager
def archived(path: str) -> Iterator[Archive]:
    """Give the archive to send: a ready one as it is, anything else packed into a temporary directory."""
    from depositd.archive import SUFFIXES, compress, is_ready, ready_archive
    from depositd.engine.by_hand import one_dataset
    from depositd.engine.packing import safe_file_name

    if is_ready(path) and not os.path.isdir(path):
        with Bar("hashing") as hashing:
            archive = ready_archive(path, on_progress=hashing)
        yield archive
        return
    dataset = one_dataset(path, datetime.now(UTC))
    with TemporaryDirectory(prefix="depositd-") as directory:
        # the daemon's names, so that it knows the same data again
        stem = dataset.name if dataset else os.path.basename(os.path.abspath(path)) or "dataset"
        target = os.path.join(directory, safe_file_name(stem) + SUFFIXES["zstd"])
        try:
            with Bar("packing") as packing:
                archive = compress(path, target, root=dataset.name if dataset else None, on_progress=packing)
        except SpoolFull as error:
            error.hint = "free some space there, or set TMPDIR to a directory with more room"
            raise
        tell(f"packed {show_count(len(archive.members), 'file')} into {show_size(archive.size_bytes)}")
        yield archive


def ask_before_publishing(what: str, host: str) -> None:
    """Ask once whether data may become public, where somebody sits there to answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return
    # not typer's own question: that one writes to stdout, where results are
    sys.stderr.write(f"Send {printable(what)} to {printable(host)}? It becomes public when it is published. [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        tell("nothing was sent")
        raise typer.Exit(FAILED)


def submit_path(
    client: Client, place: Place, path: str, metadata: Metadata, *, until: frozenset[DeliveryState], watch: Watch
) -> Delivery:
    """Pack, upload and submit what lies at a path; raises DepositdError where nothing of it is there."""
    with archived(path) as archive:
        delivery = Delivery(0, 0, place.name or place.host, DeliveryState.WAITING)
        return _deliver(client, place, delivery, archive, metadata, until, watch)


def submit_token(
    client: Client, place: Place, token: str, metadata: Metadata, *, until: frozenset[DeliveryState], watch: Watch
) -> Delivery:
    """Submit an upload that is there already, whatever the server found in it; raises RemoteError."""
    from depositd.destinations.proteindiffraction.records import UPLOADED

    found = client.submission(token)
    code = str(metadata.get("pdb_code", "")).upper()
    if found.pdbid and code and code != found.pdbid.strip().upper():
        pdbid, status = printable(found.pdbid, 40), printable(found.status, 60)
        if found.status == UPLOADED:
            tell(f"warning: the server found PDB ID {pdbid} in it; it is submitted as {code}")
        elif not found.failed:
            tell(f"warning: the server has it {status} with PDB ID {pdbid}, not {code}; nothing is changed there")
    name = place.name or place.host
    delivery = Delivery(0, 0, name, DeliveryState.UPLOADED, remote_id=found.token, remote_status=found.status)
    md5 = found.md5hash or ""
    archive = Archive("", "", Packing.ARCHIVE, 0, md5=md5, inner_md5=md5, sha256="")
    return _deliver(client, place, delivery, archive, metadata, until, watch, submit_anything=True)


def held_for(problems: list[Problem], place: Place) -> Delivery:
    """Return the delivery that lacks metadata, so that nothing was packed or sent."""
    return Delivery(
        0,
        0,
        place.name or place.host,
        DeliveryState.HELD,
        error="; ".join(f"{problem.where}: {problem.what}" for problem in problems),
        hold=HoldKind.METADATA,
    )


class Watch:
    """Tells how a delivery goes on, with the time since it began, and remembers how far it came."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._began_s = clock()
        self.bar = Bar("uploading")
        self.latest: Delivery | None = None

    def changed(self, delivery: Delivery) -> None:
        """Tell of a new status."""
        self.bar.end()
        self.latest = delivery
        if delivery.state is DeliveryState.UNCONFIRMED or delivery.remote_id is None:
            self.say(f"{delivery.state}: {printable(delivery.error or '')}")
        elif delivery.state is DeliveryState.UPLOADED:
            self.say(f"uploaded, its token is {printable(delivery.remote_id, 60)}")
        else:
            self.say(printable(delivery.remote_status or "", 60))

    def trouble(self, sentence: str, wait_s: float) -> None:
        """Tell of an error that is tried again."""
        self.bar.end()
        self.say(f"{printable(sentence)}; again in {show_duration(wait_s)}")

    def say(self, text: str) -> None:
        """Tell a line with the time."""
        tell(f"{show_duration(self._clock() - self._began_s):>10}  {text}")


def _deliver(
    client: Client,
    place: Place,
    delivery: Delivery,
    archive: Archive,
    metadata: Metadata,
    until: frozenset[DeliveryState],
    watch: Watch,
    *,
    submit_anything: bool = False,
) -> Delivery:
    from depositd.destinations.proteindiffraction import ProteinDiffraction
    from depositd.engine.unrecorded import Patience, Tools, deliver_unrecorded

    existing: Any = getattr(place.settings, "existing", "hold")
    destination = ProteinDiffraction(
        delivery.destination,
        client,
        existing=existing,
        submit_anything=submit_anything,
        # one delivery shares its looks with no other: patience says how often
        poll_every_s=1.0,
        confirm_within_s=2 * place.poll_s,
    )
    watch.latest = delivery
    tools = Tools(
        clock=partial(datetime.now, UTC),
        sleep=time.sleep,
        chance=random.random,
        progress=watch.bar,
        changed=watch.changed,
        trouble=watch.trouble,
    )
    with watch.bar:
        return deliver_unrecorded(
            destination, delivery, archive, metadata, tools, patience=Patience(poll_s=place.poll_s), until=until
        )
