"""One observer on one root, and whether it can still hear.

A thread that lives may hang, and watchdog's ``is_alive()`` stays true when its reader has died.  So each observer
also watches a sentinel, a private temporary directory in which a file is made now and then.  All watches of one
observer share one inotify descriptor, one reader and one dispatcher: an echo proves these three, and that nothing
from before it waits in the kernel's queue.  It does not prove that the root's own emitter lives, a thread of its own
(:meth:`Listener.is_alive` asks), nor that each directory has a watch (:meth:`Listener.watches` counts).
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
import threading
from collections.abc import Callable
from typing import Protocol

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)

from depositd.portable import slashed
from depositd.watch.observers import Observer, observer_of_this_system

CLOSE_WITHIN_S = 5.0
"""An observer that does not end within this time is left behind: its threads are daemons."""

# What grows is looked at every few seconds anyway, and a close event is missing for a third of the files that are
# written just after their directory: changes and closes would double the work and tell nothing new.
_CHANGES: list[type[FileSystemEvent]] = [
    FileCreatedEvent,
    FileClosedEvent,  # after writing: what is changed in place shows nowhere else but in a thorough sweep
    FileMovedEvent,
    FileDeletedEvent,
    DirCreatedEvent,
    DirMovedEvent,
    DirDeletedEvent,
]


class Listening(Protocol):
    """What :class:`~depositd.watch.events.Events` needs of a listener."""

    @property
    def events(self) -> int:
        """How many events came so far."""

    @property
    def lost(self) -> int:
        """How many times something was not heard or could not be noted so far."""

    def is_alive(self) -> bool:
        """Say whether all of its threads live."""

    def ask(self) -> None:
        """Touch the sentinel; raises OSError."""

    def has_answered(self) -> bool:
        """Say whether the last touch was heard."""

    def watches(self) -> int | None:
        """Return how many watches it holds below the root, the root included; None where that cannot be told."""

    def has_room(self) -> bool:
        """Say whether the kernel grants one more watch."""

    def close(self) -> None:
        """End it; returns within some seconds in any case."""


class _Handler(FileSystemEventHandler):
    """Notes where something happened; an exception here would end watchdog's dispatcher."""

    def __init__(self, add: Callable[[str], None]) -> None:
        self._add = add
        self.events = 0
        self.lost = 0

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event, in watchdog's thread."""
        self.events += 1
        try:
            for path in (event.src_path, event.dest_path):
                if path:
                    text = slashed(os.fsdecode(path))
                    self._add(os.path.dirname(text))
                    if event.is_directory:
                        self._add(text)
        except Exception:  # noqa: BLE001 - what could not be noted is swept
            self.lost += 1


class _Echoes(FileSystemEventHandler):
    def __init__(self) -> None:
        self.heard = ""

    def dispatch(self, event: FileSystemEvent) -> None:
        """Take one event, in watchdog's thread."""
        self.heard = os.path.basename(os.fsdecode(event.src_path))


class Listener:
    """Hears what happens below ``root`` and gives the directories to ``add``; raises OSError if it cannot.

    The sentinel lies in a new directory below ``private``, or where temporary files lie.
    """

    def __init__(
        self,
        root: str,
        add: Callable[[str], None],
        private: str | None = None,
        observer: Callable[[], Observer] = observer_of_this_system,
    ) -> None:
        self._handler = _Handler(add)
        self._echoes = _Echoes()
        self._asked = 0
        self._private = _private_directory(private)
        self._sentinel = os.path.join(self._private, "sentinel")
        self._spare = os.path.join(self._private, "spare")
        try:
            os.mkdir(self._sentinel)
            os.mkdir(self._spare)
            self._observer = observer()
        except BaseException:
            shutil.rmtree(self._private, ignore_errors=True)
            raise
        try:
            self._observer.start()
            # first, so that it has its watch where the root's directories use up all that there are
            self._observer.schedule(self._echoes, self._sentinel, event_filter=[FileCreatedEvent])
            self._observer.schedule(self._handler, root, recursive=True, event_filter=_CHANGES)
        except BaseException:
            self.close()
            raise

    @property
    def events(self) -> int:
        """How many events came so far."""
        return self._handler.events

    @property
    def lost(self) -> int:
        """How many times something was not heard or could not be noted so far."""
        return self._observer.lost + self._handler.lost

    def is_alive(self) -> bool:
        """Say whether the reader, the emitters and the dispatcher live."""
        return self._observer.is_whole()

    def ask(self) -> None:
        """Make a file in the sentinel and remove it; raises OSError."""
        self._asked += 1
        path = os.path.join(self._sentinel, str(self._asked))
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        os.unlink(path)

    def has_answered(self) -> bool:
        """Say whether the last touch was heard."""
        return self._echoes.heard == str(self._asked)

    def watches(self) -> int | None:
        """Return how many watches it holds below the root, the root included; None where that cannot be told."""
        held = self._observer.watches()
        return None if held is None else held - 1  # the sentinel's

    def has_room(self) -> bool:
        """Say whether the kernel grants one more watch: watchdog keeps to itself that it was refused."""
        try:
            watch = self._observer.schedule(self._echoes, self._spare, event_filter=[FileCreatedEvent])
        except OSError as error:
            return error.errno != errno.ENOSPC
        self._observer.unschedule(watch)
        return True

    def close(self) -> None:
        """End the observer, from a thread that may hang: watchdog waits for its own without end."""
        closer = threading.Thread(target=self._close, name="closes a watcher", daemon=True)
        with contextlib.suppress(RuntimeError):  # no thread can be had: then the old ones are the least trouble
            closer.start()
            closer.join(CLOSE_WITHIN_S)

    def _close(self) -> None:
        with contextlib.suppress(Exception):  # watchdog's bookkeeping: what is left behind is a thread that waits
            self._observer.stop()
        shutil.rmtree(self._private, ignore_errors=True)


def _private_directory(above: str | None) -> str:
    try:
        return tempfile.mkdtemp(prefix="depositd-sentinel-", dir=above)
    except OSError as error:
        where = above or "the directory of temporary files"
        raise OSError(error.errno, f"no sentinel can be made in {where}: {error.strerror}") from error
