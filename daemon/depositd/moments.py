"""Named moments between which a crash must make no difference.

The code says that it has come to one; nobody listens, save a test that ends the process there (``tests/campaign``).  A
new side effect gets a moment of its own, and the campaign tries it from then on.
"""

from __future__ import annotations

import enum
from collections.abc import Callable


class Moment(enum.StrEnum):
    """What has just been done, in the words of the campaign's reports."""

    # the journal: the detail is the event as it stands in the history
    RECORDING = "an event is written, and not yet true"
    RECORDED = "a transaction is durable"
    # the spool: the detail is the path
    PART_OPENED = "the unfinished archive is there, and empty"
    PART_WRITTEN = "some of the archive is written"
    FRAME_NOTED = "a proven frame is noted beside the archive"
    PART_SEALED = "the archive is durable under its unfinished name"
    PART_NAMED = "the archive has its name, which is not yet durable"
    PART_PUBLISHED = "the archive is in the spool, and the journal does not know"
    ARCHIVE_REMOVED = "an archive is removed, and the journal does not know"
    # a server: the detail is the method and the path of the request
    REQUEST_BEGINS = "a request is about to be sent"
    BODY_BEGUN = "some of a body is handed to the network, and not all"
    BODY_SENT = "the last block of a body is handed to the network"
    ANSWER_BEGUN = "the server has answered, and nothing of its body is read"
    ANSWER_READ = "the answer is read"
    # a copy into a directory: the detail is the path
    COPY_WRITTEN = "a copy is written"
    COPY_SEALED = "a copy is durable under its hidden name"
    COPY_LINKED = "a copy has its name beside its hidden one"
    COPY_NAMED = "a copy has its name, which is not yet durable"


Listener = Callable[[Moment, str], None]
_listener: Listener | None = None


def listen(listener: Listener | None) -> None:
    """Have every moment told to ``listener``, in the thread that comes to it; None ends that."""
    global _listener  # noqa: PLW0603 - one process has one life, and that is what is ended
    _listener = listener


def reached(moment: Moment, detail: str = "") -> None:
    """Say that the process has come to a moment."""
    if _listener is not None:
        _listener(moment, detail)
