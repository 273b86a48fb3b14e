"""File system events: they only say where to look sooner.

Whatever goes wrong here costs time, never a dataset: the handler does nothing but put a directory into a set,
and the sweep finds what events did not tell.  That a source is no longer heard is noticed all the same:

- inotify's queue overflowed, or watchdog stumbled: a sweep (:mod:`depositd.watch.inotify_observer`)
- a thread of watchdog died or hangs, the sentinel has no echo: a new observer and a sweep; again within ten minutes,
  sweeps alone and an alarm, until a later try has an echo (:mod:`depositd.watch.listening`)
- the kernel grants no more watches: sweeps, and the figures
- events come faster than they are worth: sweeps for a while (:mod:`depositd.watch.pace`)
- something below the root is mounted from elsewhere: sweeps, events for the rest
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from depositd.units import show_duration
from depositd.watch.inotify import WatchLimit, watch_limit
from depositd.watch.listening import Listener, Listening
from depositd.watch.means import WELL, State, cannot_be_had, deaf, limited, mixed, paused, unwatched, why_without_events
from depositd.watch.mounts import file_systems_below, sends_events
from depositd.watch.pace import Pace, Tempo

MOST_DIRECTORIES = 10_000
"""More changed directories than this in one go, and a sweep of everything is cheaper."""
SENTINEL_EVERY_S = 30.0
ECHO_WITHIN_S = 10.0
RETRY_EVERY_S = 600.0
"""How soon events are tried again after they could not be had; two silences within this time are one too many."""
COUNT_EVERY_S = 60.0
COUNT_PER_DIRECTORY_S = 0.003
"""To count the watches costs about 6 µs a directory; it may take a five-hundredth of the time."""
FEWEST_MISSING = 2
MISSING_SHARE = 0.02
"""Directories come and go while they are counted: so many without a watch mean nothing."""

_DEAF = deaf(show_duration(RETRY_EVERY_S))


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


class Watching(Protocol):
    """A source's events; ``means`` is the sentence that ``status`` shows."""

    @property
    def means(self) -> str:
        """By which means the source is watched."""

    @property
    def problem(self) -> str | None:
        """A sentence that an operator should see, None if all is well."""

    @property
    def hears(self) -> bool:
        """False while only sweeps find everything, so that they should come more often."""

    def pulse(self, now_s: float, directories: int) -> bool:
        """Do what is due; return True if a sweep is needed now, because events were lost.

        To be called every few seconds; ``now_s`` is monotonic, ``directories`` the number that the last sweep walked.
        """

    def stop(self) -> None:
        """End it."""


@dataclass(frozen=True, slots=True)
class SweepsAlone:
    """No events; ``means`` says why."""

    means: str
    problem: str | None = None
    hears: bool = False

    def pulse(self, now_s: float, directories: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Nothing is due."""
        return False

    def stop(self) -> None:
        """Nothing to end."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What events need of the outside: how to listen, and what the kernel tells."""

    listen: Callable[[str, Callable[[str], None]], Listening] = Listener
    below: Callable[[str], Mapping[str, str]] = file_systems_below
    limit: Callable[[], WatchLimit | None] = watch_limit


class Events:
    """The events of one root, as long as they can be heard; never raises."""

    def __init__(self, root: str, changed: ChangedDirectories, surroundings: Surroundings | None = None) -> None:
        self._root = root
        self._changed = changed
        self._outside = surroundings or Surroundings()
        self._listener: Listening | None = None
        self._pace = Pace()
        # why there is no listener, or not yet one that is trusted; too few watches; other file systems below
        self._away: State | None = None
        self._short: State | None = None
        self._mixed = mixed(self._outside.below(root))
        self._again_s = 0.0
        self._silent_s: float | None = None
        self._asked_s: float | None = None
        self._late = 0
        self._lost = 0
        self._counted: tuple[float, int] | None = None
        self._renewed_s: float | None = None
        self._listen()

    @property
    def means(self) -> str:
        """By which means the source is watched."""
        return self._state.means

    @property
    def problem(self) -> str | None:
        """A sentence that an operator should see, None if all is well."""
        return self._state.problem

    @property
    def hears(self) -> bool:
        """False while only sweeps find everything."""
        return self._state.hears

    @property
    def _state(self) -> State:
        return self._away or self._short or self._mixed or WELL

    def pulse(self, now_s: float, directories: int) -> bool:
        """Do what is due; return True if a sweep is needed now, because events were lost."""
        try:
            return self._turn(now_s, directories)
        except Exception:  # noqa: BLE001 - whatever fails inside watchdog, the source is swept and listened to anew
            return self._fell_silent(now_s)

    def stop(self) -> None:
        """End the observer's threads."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.close()

    # --- listening ----------------------------------------------------------------------------------------------

    def _turn(self, now_s: float, directories: int) -> bool:
        if self._listener is None:
            return now_s >= self._again_s and self._try_again(now_s)
        if self._is_silent(self._listener, now_s):
            return self._fell_silent(now_s)
        lost = self._listener.lost != self._lost
        if lost:
            self._lost = self._listener.lost
            self._counted = None  # directories may have been missed as well
        tempo = self._pace.look(self._listener.events, now_s)
        if tempo is Tempo.BUSY:
            self._pause(now_s, directories)
            return lost
        if tempo is Tempo.CALM and self._away is not None and self._away is not _DEAF:
            # only now: to sweep for every short look whether it is still busy would cost more than events
            self._away = None
            lost = True
        if lost or not self._is_count_due(now_s, directories):
            return lost
        return self._count(self._listener, now_s, directories)

    def _listen(self, *, after_pause: bool = False) -> bool:
        """Start a listener; return whether there is one."""
        self.stop()
        self._asked_s, self._late = None, 0
        self._lost = 0
        self._pace.restart(after_pause=after_pause)
        try:
            self._listener = self._outside.listen(self._root, self._changed.add)
        except Exception as error:  # noqa: BLE001 - without events there are sweeps, whatever the reason
            self._away = cannot_be_had(error, self._outside.limit())
        return self._listener is not None

    def _try_again(self, now_s: float) -> bool:
        was_paused = self._pace.is_paused
        self._again_s = now_s + RETRY_EVERY_S
        if not self._listen(after_pause=was_paused) or was_paused:
            return False
        if self._away is not _DEAF:
            self._away = None
        return True

    def _pause(self, now_s: float, directories: int) -> None:
        self.stop()
        self._again_s = now_s + self._pace.pause(directories)
        self._away = paused(self._pace.rate_per_s)

    # --- the sentinel -------------------------------------------------------------------------------------------

    def _is_silent(self, listener: Listening, now_s: float) -> bool:
        if not listener.is_alive():
            return True
        if self._asked_s is None:
            return self._ask(listener, now_s)
        if listener.has_answered():
            if self._away is _DEAF:
                self._away = None
            return now_s - self._asked_s >= SENTINEL_EVERY_S and self._ask(listener, now_s)
        if now_s - self._asked_s >= ECHO_WITHIN_S:
            # one pulse more: where the whole process stood still, the reader has had no time either
            self._late += 1
        return self._late > 1

    def _ask(self, listener: Listening, now_s: float) -> bool:
        """Touch the sentinel; return True where it is gone, and with it all proof."""
        self._asked_s, self._late = now_s, 0
        try:
            listener.ask()
        except FileNotFoundError:
            return True
        except OSError:
            self._asked_s = None  # a full disk proves nothing; the next pulse asks again
        return False

    def _fell_silent(self, now_s: float) -> bool:
        """Listen anew, or give up for a while; a sweep is needed in any case."""
        again = self._silent_s is not None and now_s - self._silent_s < RETRY_EVERY_S
        if again or self._away is _DEAF:
            self.stop()
            self._away = _DEAF
        else:
            self._listen()
        self._silent_s = now_s
        self._again_s = now_s + RETRY_EVERY_S
        return True

    # --- the watches --------------------------------------------------------------------------------------------

    def _is_count_due(self, now_s: float, directories: int) -> bool:
        if directories == 0:
            return False  # nothing has been swept yet
        if self._counted is None:
            return True
        at_s, counted = self._counted
        return now_s - at_s >= max(COUNT_EVERY_S, counted * COUNT_PER_DIRECTORY_S)

    def _count(self, listener: Listening, now_s: float, directories: int) -> bool:
        """Compare the watches with the directories; return True if a sweep is needed since all were made anew."""
        self._counted = (now_s, directories)
        self._mixed = mixed(self._outside.below(self._root))
        held = listener.watches()
        if not listener.has_room():
            self._short = limited(held, directories, self._outside.limit())
            self._renewed_s = None
            return False
        if held is None or held >= directories - max(FEWEST_MISSING, int(directories * MISSING_SHARE)):
            self._short = None
            return False
        if self._renewed_s is None or now_s - self._renewed_s >= RETRY_EVERY_S:
            # a directory was missed, or many have been removed since the sweep: the next count tells
            self._renewed_s = now_s
            self._again_s = now_s + RETRY_EVERY_S
            self._counted = None
            return self._listen()
        self._short = unwatched(held, directories)
        return False


def watch(root: str, file_system: str | None, changed: ChangedDirectories) -> Watching:
    """Start to watch a root by events where its file system sends them; never raises for what it cannot do."""
    if not sends_events(file_system):
        return SweepsAlone(f"sweeps alone: {why_without_events(str(file_system))}")
    return Events(root, changed)
