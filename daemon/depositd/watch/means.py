"""The sentences that say by which means a source is watched, and what an operator should see of it."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from dataclasses import dataclass

from depositd.units import printable, show_count
from depositd.watch.inotify import WatchLimit
from depositd.watch.mounts import WITHOUT_EVENTS, sends_events


@dataclass(frozen=True, slots=True)
class State:
    """How a source is watched; ``hears`` is False while only sweeps find everything."""

    means: str
    problem: str | None = None
    hears: bool = False


WELL = State("events and sweeps", hears=True)


def deaf(retry: str) -> State:
    """Return the state after two silences; ``retry`` says how often it is tried again."""
    return State(
        "sweeps alone: the watcher fell silent twice",
        "the watcher of file system events fell silent twice, new files are found by sweeps alone;"
        f" it is tried again every {retry}: if this stays, restart depositd and report its log",
    )


def paused(rate_per_s: float) -> State:
    """Return the state while events come too fast."""
    return State(f"sweeps for now: {rate_per_s:,.0f} events a second; events again when it is calmer")


def unwatched(held: int, directories: int) -> State:
    """Return the state where directories have no watch for no reason that we know."""
    return State(f"sweeps alone: {held:,} of {show_count(directories, 'directory', 'directories')} watched")


def why_without_events(file_system: str) -> str:
    """Say why the events of a file system are not relied on."""
    if file_system in WITHOUT_EVENTS:
        return f"{file_system} does not tell what other machines write"
    return f"whether {printable(file_system)} tells what other machines write is not known"


def mixed(below: Mapping[str, str]) -> State | None:
    """Return how a root is watched in which other file systems are mounted, None where they all send events."""
    for point, file_system in below.items():
        if not sends_events(file_system):
            where = printable(point)
            return State(f"events and sweeps, sweeps alone below {where}: {why_without_events(file_system)}")
    return None


def cannot_be_had(error: Exception, limit: WatchLimit | None) -> State:
    """Return the state where no observer can be started."""
    why = printable((error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__)
    means = f"sweeps alone: events cannot be had ({why})"
    remedies = {
        errno.ENOSPC: "" if limit is None else limit.remedy,
        errno.EMFILE: "sysctl fs.inotify.max_user_instances=512, or a higher limit of open files (ulimit -n)",
    }
    remedy = remedies.get(error.errno or 0) if isinstance(error, OSError) else None
    return State(
        means, f"events cannot be had ({why}), new files are found by sweeps alone: {remedy}" if remedy else None
    )


def limited(held: int | None, directories: int, limit: WatchLimit | None) -> State:
    """Return the state where the kernel grants no more watches."""
    all_of_them = show_count(directories, "directory", "directories")
    if held is None or held >= directories:
        found = f"no more than {all_of_them} can be watched"
    else:
        found = f"{held:,} of {all_of_them} could be watched"
    if limit is None:
        return State(f"sweeps alone: {found}", f"{found}; what is beyond is found by sweeps alone")
    set_to = f"{limit.name} is {limit.watches:,}"
    return State(
        f"sweeps alone: {found} ({set_to}; raise it with sysctl)",
        f"{found} ({set_to}, for all programs of this user together);"
        f" what is beyond is found by sweeps alone: {limit.remedy}",
    )
