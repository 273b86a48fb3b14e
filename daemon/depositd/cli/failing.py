"""Errors as a person reads them, and the exit status that goes with them (contract, "Commands")."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from depositd.errors import ConfigError, DepositdError
from depositd.secrecy import Secrets
from depositd.units import printable

SECRETS = Secrets("[redacted]")
"""What commands by hand have sent to servers: a traceback must not show it."""

FAILED = 1
USAGE = 2
NEEDS_OPERATOR = 3
INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The lines for stderr and the exit status."""

    lines: tuple[str, ...]
    status: int


def failure_of(error: DepositdError | OSError) -> Failure:
    """Return how an error is told: one sentence and a hint; a config's errors line by line, as they are."""
    if isinstance(error, ConfigError):
        return Failure((*error.problems, *_hint_lines(error.hint)), USAGE)
    if isinstance(error, DepositdError):
        return Failure((f"depositd: {printable(str(error))}", *_hint_lines(error.hint)), FAILED)
    place = f": {printable(os.fsdecode(error.filename))}" if isinstance(error.filename, str | bytes) else ""
    # Python's own sentence is in args where strerror is missing (FileExistsError with a message of ours)
    return Failure((f"depositd: {printable(error.strerror or str(error))}{place}",), FAILED)


def _hint_lines(hint: str) -> tuple[str, ...]:
    return (f"hint: {printable(hint)}",) if hint else ()


def tell_bug(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Write a traceback as the interpreter would, but for secrets (``sys.excepthook``)."""
    sys.stderr.write(SECRETS.redact("".join(traceback.format_exception(kind, error, trace))))


def run_app(app: Callable[[], object]) -> int:
    """Run a command line, tell what went wrong, and return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        # a name that the terminal's encoding lacks must not end the command
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        status = _status_of(app)
        sys.stdout.flush()
    except BrokenPipeError:
        # whoever read has seen enough (`| head`); the interpreter's own flush at exit must not complain either
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return status


def _status_of(app: Callable[[], object]) -> int:
    try:
        app()
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else FAILED if end.code else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (DepositdError, OSError) as error:
        failure = failure_of(error)
        with contextlib.suppress(BrokenPipeError):
            sys.stderr.write("".join(f"{line}\n" for line in failure.lines))
        return failure.status
    return 0
