"""``pqc upload``: raw files to a pipeline, each asked for before it is sent, and none ever sent again by itself."""

from __future__ import annotations

import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from depositd.cli.failing import FAILED, NEEDS_OPERATOR, failure_of
from depositd.cli.output import tell
from depositd.cli.tables import Column
from depositd.cli.transfers import Bar
from depositd.errors import ArchiveInvalid, DepositdError, NotFound, Rejected, Unconfirmed
from depositd.units import printable, show_count

if TYPE_CHECKING:
    from depositd.destinations.proteomicsqc import Client
    from depositd.destinations.proteomicsqc.records import RawUpload
    from depositd.destinations.proteomicsqc.target import Target

UPLOAD_COLUMNS = (Column("FILE"), Column("KEPT AS"), Column("PIPELINE", right=True))


@dataclass(slots=True)
class Uploaded:
    """What came of some files."""

    answers: list[tuple[str, RawUpload]] = field(default_factory=list)
    refused: int = 0
    unconfirmed: int = 0

    @property
    def status(self) -> int:
        """The exit status."""
        return NEEDS_OPERATOR if self.unconfirmed else FAILED if self.refused else 0

    @property
    def rows(self) -> list[list[Any]]:
        """A row for each file that was taken, as :data:`UPLOAD_COLUMNS` has it."""
        return [[path, answer.orig_file, answer.pipeline] for path, answer in self.answers]


def check_files(paths: Sequence[str]) -> None:
    """Raise DepositdError for what is no regular file with something in it, before anything is sent."""
    for path in paths:
        shown = printable(path)
        try:
            status = os.stat(path)
        except OSError as error:
            raise DepositdError(f"{shown} cannot be read: {error.strerror}", hint="nothing was sent") from None
        if not stat.S_ISREG(status.st_mode):
            raise DepositdError(f"{shown} is no regular file", hint="ProteomicsQC takes single .raw files")
        if not status.st_size:
            raise DepositdError(f"{shown} is empty", hint="nothing was sent")


def upload_files(client: Client, target: Target, paths: Sequence[str], uploaded: Uploaded, *, again: bool) -> None:
    """Send files one after the other; what becomes of each is told and noted in ``uploaded``.

    Raises RemoteError where the next file would fare no better (credentials, a server that is away).
    """
    from depositd.destinations.proteomicsqc.records import stem_of

    there = runs_there(client, target)
    if there is None:
        tell("which runs are there already cannot be asked; nothing keeps a name from being sent twice")
        there = {}
    for path in paths:
        stem = stem_of(os.path.basename(path))
        if stem in there and not again:
            uploaded.refused += 1
            tell(f"{printable(path)} was not sent: the pipeline has {printable(there[stem], 80)} already")
            worse = "would fail on this older server" if target.older else "would make a second run of it"
            tell(f"hint: sending it again {worse}; --again sends it all the same")
            continue
        there[stem] = "a run of that name, which we have just sent,"
        _send(client, target, path, uploaded)


def _send(client: Client, target: Target, path: str, uploaded: Uploaded) -> None:
    from depositd.destinations.proteomicsqc.target import is_other_pipeline

    try:
        with Bar(os.path.basename(path)) as bar:
            answer = client.upload_raw(path, pid=target.pid, on_progress=bar)
    except Unconfirmed as error:
        uploaded.unconfirmed += 1
        tell(f"{printable(path)} is unconfirmed: {printable(str(error))}")
        tell("hint: look for its run on the pipeline's page, or later with pqc qc-data; only if there is none: --again")
        return
    except (Rejected, NotFound, ArchiveInvalid) as error:
        uploaded.refused += 1
        error.hint = error.hint.replace(", then retry", "")
        if isinstance(error, ArchiveInvalid):
            error.hint = "is it still being written? send it when it is finished"
        for line in failure_of(error).lines:
            tell(line)
        return
    uploaded.answers.append((path, answer))
    if is_other_pipeline(answer.pipeline, target):
        uploaded.refused += 1
        ours = target.number if isinstance(answer.pipeline, int) else printable(target.pid)
        tell(f"{printable(path)}: the server put it into pipeline {printable(str(answer.pipeline))}, not {ours}")


def runs_there(client: Client, target: Target) -> dict[str, str] | None:
    """Return the runs that a pipeline shows, by the stem of their names; None where it shows none of its lists."""
    from depositd.destinations.proteomicsqc.lists import Lists
    from depositd.destinations.proteomicsqc.records import stem_of

    lists = Lists.ask(client, target)
    if lists == Lists():
        return None
    if lists.page is None:
        tell("note: with a token alone, runs that are not processed yet cannot be seen")
    found = {stem_of(run.name): f"{run.name} ({run.status or 'no status'})" for run in lists.page or ()}
    for run in lists.processed or ():
        found[stem_of(run.stem)] = f"a run of {run.stem}" + (f" ({run.key})" if run.key else "")
    return found


def summary(uploaded: Uploaded) -> str:
    """Return how many files were taken, refused and left in doubt."""
    told = [f"{show_count(len(uploaded.answers), 'file')} uploaded"]
    told += [f"{uploaded.refused} not"] if uploaded.refused else []
    told += [f"{uploaded.unconfirmed} unconfirmed"] if uploaded.unconfirmed else []
    return ", ".join(told)
