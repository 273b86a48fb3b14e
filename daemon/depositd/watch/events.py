"""File system events: they only say where to look sooner.

Whatever goes wrong here costs time, never a dataset: the handler does nothing but put a directory into a set,
and the sweep finds what events did not tell.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileModifiedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer

from depositd.watch.mounts import WITHOUT_EVENTS

# opening and closing after reading are left out: our own probes would wake us
_CHANGES: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileModifiedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirModifiedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]

MOST_DIRECTORIES = 10_000
"""More changed directories than this in one go, and a sweep of everything is cheaper."""


class ChangedDirectories:
    """Directories (absolute) where something happened since they were last taken; safe between threads."""

    def __init__(self, wake: threading.Event) -> None:
        self._lock = threading.Lock()
        self._found: set[str] = set()
        self._overflown = False
        self._wake = wake

    def add(self, directory: str) -> None:
        """Note a directory and wake whoever looks."""
        with self._lock:
            if len(self._found) >= MOST_DIRECTORIES:
                self._overflown = True
            else:
                self._found.add(directory)
        self._wake.set()

    def take(self) -> tuple[set[str], bool]:
        """Return and forget the directories, and whether there were too many to name."""
        with self._lock:
            found, overflown = self._found, self._overflown
            self._found, self._overflown = set(), False
        return found, overflown


class _Handler(FileSystemEventHandler):
    def __init__(self, changed: ChangedDirectories) -> None:
        self._changed = changed

    def on_any_event(self, event: FileSystemEvent) -> None:
        for path in (event.src_path, event.dest_path):
            if path:
                text = os.fsdecode(path)
                self._changed.add(os.path.dirname(text))
                if event.is_directory:
                    self._changed.add(text)


class Watching(Protocol):
    """A source's events; ``means`` is the sentence that ``status`` shows."""

    @property
    def means(self) -> str:
        """By which means the source is watched."""

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class SweepsAlone:
    """No events; ``means`` says why."""

    means: str

    def stop(self) -> None:
        """Nothing to end."""


class Events:
    """A watchdog observer on one root."""

    means = "events and sweeps"

    def __init__(self, root: str, changed: ChangedDirectories) -> None:
        self._observer = Observer()
        self._observer.schedule(_Handler(changed), root, recursive=True, event_filter=_CHANGES)
        self._observer.start()

    def stop(self) -> None:
        """End the observer's threads."""
        self._observer.stop()
        self._observer.join(5.0)


def watch(root: str, file_system: str | None, changed: ChangedDirectories) -> Watching:
    """Start to watch a root by events where its file system sends them; never raises for what it cannot do."""
    if file_system in WITHOUT_EVENTS:
        return SweepsAlone(f"sweeps alone: {file_system} does not tell what other machines write")
    try:
        return Events(root, changed)
    except OSError as error:
        return SweepsAlone(f"sweeps alone: events cannot be had ({error.strerror or error})")
