"""The log: to stderr, as JSON lines, colours or plain text, without secrets and without control characters.

Every event passes the same few processors whatever its rendering: level, logger, time, traceback, redaction,
escaping, bounds.  Libraries log through :mod:`logging`; their records come in at WARNING and are bounded per
place in the code, so that one noisy place cannot fill a disk.  A log line that cannot be written is dropped:
logging never ends the daemon.
"""

from __future__ import annotations

import contextlib
import enum
import faulthandler
import json
import logging
import os
import sys
import threading
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, FilteringBoundLogger, Processor, WrappedLogger

from depositd.systemd.libraries import LibraryHandler, silence_watchdog_warnings
from depositd.systemd.redaction import clean_event

_PRIORITIES = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}


class LogMode(enum.StrEnum):
    """How events are rendered; ``auto`` decides by where stderr leads."""

    AUTO = "auto"
    JSON = "json"
    CONSOLE = "console"
    PLAIN = "plain"


def get_logger(name: str) -> FilteringBoundLogger:
    """Return the logger of a module: ``log.warning("sentence", key=value)``."""
    logger: FilteringBoundLogger = structlog.get_logger(name)
    return logger


def configure_logging(
    mode: LogMode = LogMode.AUTO,
    level: str = "info",
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Send all events from ``level`` on to ``stream`` (stderr), and libraries' from WARNING on.

    Raises ValueError for a level other than debug, info, warning, error or critical.  Calling it again
    replaces the former configuration.
    """
    if level not in _PRIORITIES:
        raise ValueError(f"{level!r} is not a log level ({', '.join(_PRIORITIES)})")
    target = sys.stderr if stream is None else stream
    to_journal = leads_to_journal(target, environ)
    chosen = choose_mode(mode, to_journal=to_journal, is_terminal=target.isatty(), environ=environ)
    structlog.configure(
        processors=processors(chosen, to_journal=to_journal),
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=_LineWriterFactory(target),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.setLevel(logging.WARNING)
    for handler in [handler for handler in root.handlers if isinstance(handler, LibraryHandler)]:
        root.removeHandler(handler)
    root.addHandler(LibraryHandler(get_logger))
    silence_watchdog_warnings()


def capture_strays() -> None:
    """Bring uncaught exceptions of all threads and Python's warnings into the log, redacted, and what a signal ended.

    For a process of our own only: the hooks are the interpreter's.
    """
    log = get_logger("depositd")

    def uncaught(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt):
            sys.__excepthook__(kind, error, trace)
        else:
            log.critical("uncaught exception", exc_info=(kind, error, trace))

    def uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
        if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
            name = args.thread.name if args.thread else "?"
            log.critical(
                "uncaught exception in a thread",
                thread=name,
                exc_info=(args.exc_type, args.exc_value, args.exc_traceback),
            )

    sys.excepthook = uncaught
    threading.excepthook = uncaught_in_thread
    logging.captureWarnings(capture=True)
    # where each thread stood when systemd's watchdog ended us (SIGABRT), or a library crashed: places, no values
    with contextlib.suppress(OSError, ValueError):  # a stream that is no file
        faulthandler.enable()


def choose_mode(mode: LogMode, *, to_journal: bool, is_terminal: bool, environ: Mapping[str, str]) -> LogMode:
    """Return the mode that ``auto`` stands for: JSON to the journal, colours on a terminal, otherwise plain text."""
    if mode is not LogMode.AUTO:
        return mode
    if to_journal:
        return LogMode.JSON
    colourless = bool(environ.get("NO_COLOR")) or environ.get("TERM") == "dumb"
    return LogMode.CONSOLE if is_terminal and not colourless else LogMode.PLAIN


def leads_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """True where ``stream`` is the socket to journald that ``$JOURNAL_STREAM`` names, and not only inherited it."""
    wanted = environ.get("JOURNAL_STREAM", "")
    if not wanted:
        return False
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return wanted == f"{status.st_dev}:{status.st_ino}"


def processors(mode: LogMode, *, to_journal: bool) -> list[Processor]:
    """Return what an event passes on its way to one line of text."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        _add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        clean_event,
    ]
    if mode is LogMode.JSON:
        return [*shared, _JsonLine(priority_prefix=to_journal)]
    console = structlog.dev.ConsoleRenderer(
        colors=mode is LogMode.CONSOLE,
        sort_keys=False,
        pad_event_to=0,
        exception_formatter=structlog.dev.plain_traceback,
    )
    return [*shared, _indent_tracebacks, console]


def _add_logger_name(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event.setdefault("logger", getattr(logger, "name", "depositd"))
    return event


def _indent_tracebacks(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    # An exception's message may hold lines that look like log lines; indented, they cannot pass for one.
    for key in ("exception", "stack"):
        if key in event:
            event[key] = "\n".join("    " + line for line in event[key].split("\n"))
    return event


class _JsonLine:
    """Renders an event as one line of JSON; journald reads the level from an sd-daemon(3) prefix."""

    def __init__(self, *, priority_prefix: bool) -> None:
        self._priority_prefix = priority_prefix

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> str:
        first = {key: event.pop(key) for key in ("timestamp", "level", "logger", "event") if key in event}
        line = json.dumps({**first, **event}, ensure_ascii=False)
        return f"<{_PRIORITIES.get(first.get('level', ''), 6)}>{line}" if self._priority_prefix else line


class _LineWriter:
    """Writes whole lines; one that cannot be written (disk full, reader gone) is dropped."""

    def __init__(self, name: str, stream: TextIO, lock: threading.Lock) -> None:
        self.name = name
        self._stream = stream
        self._lock = lock

    def msg(self, line: str) -> None:
        """Write one event."""
        try:
            with self._lock:
                self._stream.write(line + "\n")
                self._stream.flush()
        except (OSError, ValueError):
            return

    log = debug = info = warning = warn = error = critical = fatal = exception = failure = err = msg


class _LineWriterFactory:
    """Makes the writers of one configuration, which share a stream and its lock."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def __call__(self, *names: str) -> _LineWriter:
        return _LineWriter(names[0] if names else "depositd", self._stream, self._lock)
