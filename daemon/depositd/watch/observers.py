"""The observer of the system that we run on: inotify with a reader of our own, elsewhere watchdog's.

Those of Windows (ReadDirectoryChangesW) and macOS (FSEvents) tell nobody what they lose, and each root has a reader of
its own: that the sentinel is heard proves less of it than on Linux.  The sweeps find what they do not tell.
"""

from __future__ import annotations

from typing import Protocol

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers.api import BaseObserver, ObservedWatch
from watchdog.utils import platform


class Observer(Protocol):
    """What a listener needs of an observer."""

    @property
    def lost(self) -> int:
        """How many times something was not heard so far, as far as it can know."""

    def is_whole(self) -> bool:
        """Say whether all of its threads live."""

    def watches(self) -> int | None:
        """Return how many watches the kernel holds for it, None where that cannot be told."""

    def start(self) -> None:
        """Start its threads; raises OSError."""

    def stop(self) -> None:
        """Ask its threads to end."""

    def schedule(
        self,
        event_handler: FileSystemEventHandler,
        path: str,
        *,
        recursive: bool = False,
        event_filter: list[type[FileSystemEvent]] | None = None,
    ) -> ObservedWatch:
        """Watch a directory; raises OSError."""

    def unschedule(self, watch: ObservedWatch) -> None:
        """End a watch."""


class WatchdogObserver:
    """The observer that watchdog has for this system, as it is."""

    lost = 0

    def __init__(self) -> None:
        from watchdog.observers import Observer as OfThisSystem

        self._observer: BaseObserver = OfThisSystem()
        self.start = self._observer.start
        self.stop = self._observer.stop
        self.schedule = self._observer.schedule
        self.unschedule = self._observer.unschedule

    def is_whole(self) -> bool:
        """Say whether the dispatcher and every emitter live."""
        return all(thread.is_alive() for thread in (self._observer, *self._observer.emitters))

    def watches(self) -> int | None:
        """Return None: nobody counts them."""
        return None


def observer_of_this_system() -> Observer:
    """Return a new observer, not started; raises OSError where the kernel grants none."""
    if not platform.is_linux():
        return WatchdogObserver()
    from depositd.watch.inotify_observer import InotifyObserver

    return InotifyObserver()
