"""Errors, typed by what happens next, each with a hint for the operator.

::

    DepositdError
    ├── ConfigError          the config is wrong; nothing starts, exit 2
    ├── IllegalTransition    a step that the table in states.py does not know: a bug, or a word that comes too late
    ├── LockedError          another daemon owns the state directory; exit 1
    ├── JournalError         the journal cannot be used: too new, on a network file system, its disk full
    │   └── JournalLost      it is damaged, empty, gone or older than it was; a backup can take its place
    ├── SourceChanged        a file changed while it was read; the dataset grows again
    ├── SourceUnreadable     a file or directory cannot be read; it is named and looked at again
    ├── ContentCorrupt       a file's content contradicts its own checksum; the dataset is corrupt
    ├── ArchiveInvalid       a packed dataset is not what was written; it is thrown away and built again
    ├── SpoolFull            too little space to archive; waits and goes on by itself
    ├── NoPicture            no picture of a dataset can be made, and why
    └── RemoteError          a destination did not do as asked
        ├── AuthError        our credentials are refused; the destination pauses
        ├── Unavailable      nothing was stored; try again later
        ├── Unconfirmed      it may have been stored; ask before sending again
        ├── Conflict         it is there already; adopt it
        ├── NotFound         it is not there
        └── Rejected         it will never be taken as it is; an operator must act
"""

from __future__ import annotations


class DepositdError(Exception):
    """The base of all errors that depositd raises on purpose.

    ``str(error)`` is one sentence that says what happened; ``hint`` says what can be done about it.
    """

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(DepositdError):
    """The config is wrong; ``problems`` holds one printable line for each error."""

    def __init__(self, problems: list[str], *, hint: str = "") -> None:
        super().__init__("\n".join(problems), hint=hint)
        self.problems = problems


class IllegalTransition(DepositdError):
    """A state does not know an event."""


class LockedError(DepositdError):
    """Another daemon owns the state directory."""


class JournalError(DepositdError):
    """The journal cannot be used; ``made_room`` where its disk was full and the same step can be recorded now."""

    made_room = False


class JournalLost(JournalError):
    """The journal is damaged, empty, gone, or (``is_sound``) whole but without facts that it had."""

    def __init__(self, message: str, *, hint: str = "", is_sound: bool = False) -> None:
        super().__init__(message, hint=hint)
        self.is_sound = is_sound


class SourceChanged(DepositdError):
    """A file changed, vanished or was replaced while it was read."""


class SourceUnreadable(DepositdError):
    """A file or directory of a source cannot be read."""


class ContentCorrupt(DepositdError):
    """A file's content contradicts the checksum that it carries."""


class ArchiveInvalid(DepositdError):
    """A packed dataset differs from what was written."""


class SpoolFull(DepositdError):
    """The spool's floor of free space would be broken."""


class NoPicture(DepositdError):
    """No picture of a dataset can be made."""


class RemoteError(DepositdError):
    """A destination did not do as asked.

    ``status`` is the HTTP status where there was one; ``body`` is the server's own sentence, cut to
    1,000 characters and never shown raw.
    """

    def __init__(self, message: str, *, hint: str = "", status: int | None = None, body: str = "") -> None:
        super().__init__(message, hint=hint)
        self.status = status
        self.body = body


class AuthError(RemoteError):
    """The credentials are refused (401, 403 without a session, a login page)."""


class Unavailable(RemoteError):
    """The destination cannot be reached or is overloaded, and nothing was stored.

    ``retry_after_s`` is the server's own wish, None where it has none.
    """

    def __init__(
        self,
        message: str,
        *,
        hint: str = "",
        status: int | None = None,
        body: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message, hint=hint, status=status, body=body)
        self.retry_after_s = retry_after_s


class Unconfirmed(RemoteError):
    """The answer was lost after the request may have been acted on."""


class Conflict(RemoteError):
    """The destination has it already (409)."""


class NotFound(RemoteError):
    """The destination does not know what was asked for (404)."""


class Rejected(RemoteError):
    """The destination refuses it for good (400, 413, 415, 422 …)."""
