"""Brings what libraries log into our log, and keeps the noisy ones within bounds."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable
from typing import Any

from structlog.typing import FilteringBoundLogger


def silence_watchdog_warnings() -> None:
    """Ignore watchdog's RuntimeWarnings: 600 new directories gave 48 MB of them, and each stayed in memory.

    They say that a callback was registered twice, which does no harm (faults: what a busy source does to the log).
    """
    warnings.filterwarnings("ignore", category=RuntimeWarning, module=r"watchdog\.")


class LibraryHandler(logging.Handler):
    """Brings the records of libraries into our log, at most ``burst`` per place in the code and ``window_s`` seconds.

    What was left out is counted in the first record that gets through again.
    """

    def __init__(
        self,
        logger_of: Callable[[str], FilteringBoundLogger],
        *,
        burst: int = 10,
        window_s: float = 60.0,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(logging.WARNING)
        self._logger_of = logger_of
        self._burst = burst
        self._window_s = window_s
        self._monotonic = monotonic
        self._windows: dict[tuple[str, str, int], _Window] = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Pass one record on, or count it; never raises."""
        try:
            left_out = self._left_out(record)
            if left_out is None:
                return
            details: dict[str, Any] = {"exc_info": record.exc_info} if record.exc_info else {}
            if left_out:
                details["left_out"] = left_out
            self._logger_of(record.name).log(record.levelno, _message(record), **details)
        except Exception:  # noqa: BLE001 - a library's broken record must not end the library's caller
            return

    def _left_out(self, record: logging.LogRecord) -> int | None:
        """Return how many records were left out before this one, None where this one is left out too."""
        place = (record.name, record.pathname, record.lineno)
        now = self._monotonic()
        window = self._windows.get(place)
        if window is None or now - window.began >= self._window_s:
            self._windows[place] = _Window(began=now)
            return window.left_out if window else 0
        window.passed += 1
        if window.passed > self._burst:
            window.left_out += 1
            return None
        return 0


class _Window:
    """How many records of one place passed since ``began`` (monotonic seconds), and how many did not."""

    __slots__ = ("began", "left_out", "passed")

    def __init__(self, began: float) -> None:
        self.began = began
        self.passed = 1
        self.left_out = 0


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):
        return str(record.msg)
