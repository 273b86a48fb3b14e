"""The step that archives what is closed of a dataset while the rest of it is still being acquired.

It records nothing: whatever it leaves in the spool is looked at with suspicion when the dataset has ended, and what is
of no use then is packed anew.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from depositd import formats
from depositd.archive import Followed, PackTools, Workshop, dataset_directory, follow
from depositd.engine.interrupt import Interrupted
from depositd.engine.packing import pack_plan, upload_rate, wanted_packings
from depositd.engine.planning import Plan
from depositd.errors import DepositdError
from depositd.journal import Journal
from depositd.model import DatasetState, FileStat, Frames, Packing

FOLLOW_BYTES = 64 << 20
"""What came since the last step is worth another one."""
FOLLOW_SHARE = 32
"""And as much as this part of what is packed: each step looks through the log of all frames before."""
FOLLOW_LEAST_BYTES = 8 << 20
"""Also less than that, once it has waited so long that most likely the end is near."""
FOLLOW_LEAST_AFTER_S = 5.0
FOLLOW_LEAST_PER_S = 8 << 30
"""Where more is packed it waits a second longer for each time this many bytes."""


def follow_dataset(
    plan: Plan,
    journal: Journal,
    dataset_id: int,
    files: tuple[FileStat, ...],
    *,
    progress: Callable[[int, int], None],
    now: datetime,
    workshop: Workshop,
    say: Callable[[str], None] = lambda _sentence: None,
) -> Followed | None:
    """Archive the closed files of a growing dataset; None where it is not to be followed (any more).

    What goes wrong is no news: it is met again, and said, when the dataset has ended.  Here it is a loss: of a corrupt
    file, or in a full spool, all that was packed before is thrown away, and the next step would do it all over.
    """
    record = journal.datasets.get(dataset_id)
    if record is None or record.state is not DatasetState.GROWING:
        return None
    if not plan.archive_rules(record.rule).follow or Packing.ARCHIVE not in wanted_packings(plan, journal, record):
        return None
    tools = PackTools(
        content_check=formats.FORMATS[record.format].content_check,
        progress=progress,
        workshop=workshop,
        upload_rate_bytes_per_s=upload_rate(plan, journal, record, now),
        say=say,
        expected_bytes=expected_bytes(sum(file.size_bytes for file in files), len(files), record.frames),
    )
    try:
        planned = pack_plan(plan, journal, record, files, Packing.ARCHIVE)
        return follow(planned, dataset_directory(str(plan.config.spool.path), record.id), tools)
    except Interrupted:
        return None
    except (DepositdError, OSError, ValueError):
        return Followed(lost_bytes=sum(file.size_bytes for file in files))


def expected_bytes(closed_bytes: int, closed: int, frames: Frames | None) -> int:
    """Return about how large a dataset becomes of which so many files are closed, as far as its frames tell."""
    if frames is None or not frames.expected or not frames.present or not closed:
        return closed_bytes
    # of files with many frames each, those that are there tell what a frame takes
    return max(closed_bytes, round(closed_bytes / max(closed, frames.present) * frames.expected))


def is_worth_a_step(new_bytes: int, waited_s: float, packed_bytes: int) -> bool:
    """Say whether so many bytes, of which the oldest have waited for so long, are worth another step."""
    if new_bytes >= max(FOLLOW_BYTES, packed_bytes // FOLLOW_SHARE):
        return True
    return new_bytes >= FOLLOW_LEAST_BYTES and waited_s >= FOLLOW_LEAST_AFTER_S + packed_bytes / FOLLOW_LEAST_PER_S
