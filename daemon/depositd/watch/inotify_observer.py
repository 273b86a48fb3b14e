"""watchdog's observer with a reader that survives its own mistakes and counts what it lost.

watchdog 7.1 empties its queues when inotify's overflows, logs a line and tells nobody; and an exception while it
handles one event ends its reader for good, which directories that are made, renamed and removed quickly bring about
(``KeyError`` in ``InotifyWatchGroup._remove_watch_internally``, within two seconds).
"""

from __future__ import annotations

import logging
import warnings

from watchdog.observers.api import BaseObserver
from watchdog.observers.inotify import InotifyEmitter
from watchdog.observers.inotify_c import InotifyEvent, InotifyFD

from depositd.watch.inotify import watches_held


class Reader(InotifyFD):
    """Reads events from the kernel; ``lost`` counts the times when something was not heard."""

    def __init__(self) -> None:
        super().__init__()
        self.lost = 0

    def handle_event(self, event: InotifyEvent) -> None:
        """Pass one event on; never raises."""
        if event.is_queue_overflow:
            self.lost += 1
        try:
            super().handle_event(event)
        except Exception:  # noqa: BLE001 - one event that was not understood costs a sweep, not all that follow
            self.lost += 1

    def watches(self) -> int | None:
        """Return how many watches the kernel holds for it, None where that cannot be told."""
        return watches_held(self._inotify_fd)


class InotifyObserver(BaseObserver):
    """As watchdog's own of that name, with our reader; ``stop`` gives the descriptor back whatever else fails."""

    def __init__(self) -> None:
        _silence()
        self.reader = Reader()
        self.reader.start()
        super().__init__(InotifyEmitter, inotify_fd=self.reader)

    @property
    def lost(self) -> int:
        """How many times something was not heard so far."""
        return self.reader.lost

    def watches(self) -> int | None:
        """Return how many watches the kernel holds for it, None where that cannot be told."""
        return self.reader.watches()

    def is_whole(self) -> bool:
        """Say whether the dispatcher, the reader and every emitter live."""
        return all(thread.is_alive() for thread in (self, self.reader, *self.emitters))

    def on_thread_stop(self) -> None:
        """Give the watches and the descriptor back."""
        try:
            super().on_thread_stop()
        finally:
            self.reader.stop()
            self.reader.join()


def _silence() -> None:
    """Ignore a warning and a log line of watchdog's; as often as one likes.

    That a directory was registered twice does no harm, but 600 new directories gave 48 MB of that warning, and
    where warnings are errors it keeps directories from being watched.  So it stands before any other filter.
    The log line, an error, tells that we stopped an observer while events came.
    """
    warnings.filterwarnings("ignore", message="Callback with id", category=RuntimeWarning, module=r"watchdog\.")
    logging.getLogger("watchdog.observers.inotify").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return "when the thread is inactive" not in str(record.msg)
