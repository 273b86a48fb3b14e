"""What ``check`` looks at: each function gives findings about one thing and changes nothing."""

from __future__ import annotations

import enum
import importlib.util
import os
import shutil
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from depositd import io_priority, portable
from depositd.cli import journals
from depositd.cli.failing import SECRETS
from depositd.config import AnyDestination, Config, DirectorySettings, NotifyTarget, SecretSource, ServerSettings
from depositd.engine.gentleness import Gentleness
from depositd.engine.watching import sources
from depositd.errors import ConfigError, DepositdError
from depositd.journal import refuse_network_file_system
from depositd.notify import INSTALL, is_installed, wrong_with
from depositd.service.lock import running_pid
from depositd.service.news import name_of, read_url
from depositd.systemd import register_secret
from depositd.units import printable, show_count, show_duration, show_size
from depositd.watch.inotify import WatchLimit, instance_limit, watch_limit
from depositd.watch.mounts import WITHOUT_EVENTS, file_system_of, file_systems_below, sends_events

FEWEST_WATCHES = 8_192
"""Where the directories were not counted to the end, a limit of the kernel below this is warned of."""
COUNT_FOR_S = 5.0
"""How long directories are counted."""
WAL_FIXED_IN = ((3, 44, 6), (3, 50, 7), (3, 51, 3))
"""The releases of SQLite that mend the reset of the write-ahead log; later patches of those series have it too."""


class Level(enum.StrEnum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``check``."""

    level: Level
    subject: str
    sentence: str
    hint: str = ""


def ok(subject: str, sentence: str, hint: str = "") -> Finding:
    """Return a finding of what is as it should be."""
    return Finding(Level.OK, subject, sentence, hint)


def warning(subject: str, sentence: str, hint: str = "") -> Finding:
    """Return a finding of what works and can be better."""
    return Finding(Level.WARNING, subject, sentence, hint)


def problem(subject: str, sentence: str, hint: str = "") -> Finding:
    """Return a finding of what keeps depositd from working."""
    return Finding(Level.PROBLEM, subject, sentence, hint)


def all_findings(config: Config, *, online: bool) -> Iterator[Finding]:
    """Give every finding, as it is found."""
    yield _config(config)
    roots = list(sources(config.rules))
    for root in roots:
        yield source(root, file_system_of(root), file_systems_below(root))
    yield from overlaps(roots)
    yield from _gentle(config)
    yield from _inotify(roots)
    yield from _state_dir(config)
    yield from _spool(config)
    yield from _journal(config)
    yield sqlite_version(sqlite3.sqlite_version_info)
    yield _systemd_python()
    for name, settings in config.destinations.items():
        yield from _destination(name, settings, os.environ, online=online)
    for number, target in enumerate(config.notify):
        yield from _notify(name_of(number, target), target, os.environ, online=online)
    if config.web is not None:
        yield web(config.web.host, config.web.port)


def _config(config: Config) -> Finding:
    user = portable.current_user()
    rules, reached = show_count(len(config.rules), "rule"), show_count(len(config.destinations), "destination")
    hint = "root may read everything: check as the user who runs the daemon, too" if portable.user_id() == 0 else ""
    return ok("config", f"{config.source_file}: {rules}, {reached}, checked as user {user}", hint)


# --- sources ----------------------------------------------------------------------------------------------------------


def source(root: str, file_system: str | None, below: Mapping[str, str]) -> Finding:
    """Check one watched directory; ``below`` are the file systems mounted in it, by their mount points."""
    subject = f"source {root}"
    if not os.path.lexists(root):
        return problem(subject, "does not exist", "make or mount it; depositd takes it up when it is there")
    if not os.path.isdir(root):
        return problem(subject, "is not a directory", "name a directory in watch")
    if not os.access(root, os.R_OK | os.X_OK):
        return problem(subject, "cannot be read by this user", "give the user who runs depositd the right to read it")
    with os.scandir(root) as entries:
        empty = next(iter(entries), None) is None
    told = f"on {file_system or 'an unknown file system'}, {watched_by(file_system, below)}"
    told += ", a mount point" if os.path.ismount(root) else ""
    return ok(subject, f"{told}, empty at the moment" if empty else told)


def watched_by(file_system: str | None, below: Mapping[str, str]) -> str:
    """Say by which means a source is watched."""
    if not sends_events(file_system):
        known = file_system in WITHOUT_EVENTS
        return "watched by sweeps alone, it " + (
            "does not tell what other machines write" if known else "is not known to tell what other machines write"
        )
    deaf = [f"{point} ({kind})" for point, kind in below.items() if not sends_events(kind)]
    if deaf:
        return f"watched by events and sweeps, by sweeps alone below {', '.join(deaf)}"
    return "watched by events and sweeps"


def overlaps(roots: list[str]) -> Iterator[Finding]:
    """Warn of watched directories that lie in each other."""
    real = {root: os.path.realpath(root) for root in roots}
    for inner in roots:
        for outer in roots:
            inside = real[inner] != real[outer] and portable.lies_in(real[inner], real[outer])
            same = inner > outer and real[inner] == real[outer]
            if inner != outer and (inside or same):
                yield warning(
                    f"source {inner}",
                    f"{'lies in' if inside else 'is the same directory as'} {outer}, which is watched as well:"
                    " the same files are looked at twice, by the rules of both",
                    "watch the outer one alone, with include in its rules, or exclude the inner one there",
                )


def _gentle(config: Config) -> Iterator[Finding]:
    gentleness = Gentleness(config.rules)
    limits = {root: gentleness.limit_of(root) for root in sources(config.rules)}
    with io_priority.idle() as is_idle:
        pass
    for root, limit in limits.items():
        if limit is not None:
            yield gentle(root, limit.rate_bytes_per_s, file_system_of(root), is_idle=is_idle)


def gentle(root: str, rate_bytes_per_s: float, file_system: str | None, *, is_idle: bool) -> Finding:
    """Say how gently a source is read, and whether idle I/O priority is possible and of use there."""
    subject, limit = f"source {root}", f"read no faster than {show_size(rate_bytes_per_s)} a second"
    if not is_idle:
        hint = "Linux on a 64-bit processor has it; a system call filter must let ioprio_set through"
        return warning(subject, f"{limit}, but not at idle I/O priority, which is not possible here", hint)
    if file_system in WITHOUT_EVENTS:
        return ok(subject, f"{limit}; at idle I/O priority too, of which a file server ({file_system}) does not hear")
    return ok(subject, f"{limit} and at idle I/O priority")


def _inotify(roots: list[str]) -> Iterator[Finding]:
    with_events = [root for root in roots if os.path.isdir(root) and sends_events(file_system_of(root))]
    limit, instances = watch_limit(), instance_limit()
    if limit is None or instances is None or not with_events:
        return
    deadline_s = time.monotonic() + COUNT_FOR_S
    directories, counted_all = 0, True
    for root in with_events:
        count, ended = count_directories(root, limit.watches + 1, lambda: time.monotonic() > deadline_s)
        directories += count
        counted_all &= ended
    yield inotify(limit, instances, len(with_events), directories, counted_all=counted_all)


def inotify(limit: WatchLimit, instances: int, roots: int, directories: int, *, counted_all: bool) -> Finding:
    """Compare the kernel's limits with what is to be watched; ``directories`` is a lower bound if not counted all."""
    subject = "inotify"
    counted = f"{'' if counted_all else 'at least '}{show_count(directories, 'directory', 'directories')} to watch"
    if instances < roots:
        return problem(
            subject,
            f"max_user_instances is {instances:,}, and {show_count(roots, 'source')} need one each",
            "sysctl fs.inotify.max_user_instances=512, and in /etc/sysctl.d to keep it",
        )
    # each source watches a directory of its own as well, by which it notices that it is no longer told anything
    if directories + 2 * roots > limit.watches or (not counted_all and limit.watches < FEWEST_WATCHES):
        return warning(
            subject,
            f"{counted}, and {limit.name} is {limit.watches:,} for all programs of one user:"
            " what is beyond it is found by sweeps alone",
            limit.remedy,
        )
    return ok(subject, f"{counted}, {limit.name} is {limit.watches:,}, max_user_instances {instances:,}")


def count_directories(root: str, most: int, late: Callable[[], bool]) -> tuple[int, bool]:
    """Return how many directories there are from ``root`` down, and whether all were counted; follows no links."""
    count = 0
    for _path, _directories, _files in os.walk(root):
        count += 1
        if count >= most or late():
            return count, False
    return count, True


# --- our own directories ----------------------------------------------------------------------------------------------


def writable(subject: str, directory: Path) -> Finding | None:
    """Return a problem where a directory cannot be written or made, None where it can."""
    if directory.is_dir():
        if os.access(directory, os.R_OK | os.W_OK | os.X_OK):
            return None
        return problem(subject, f"{directory} cannot be written by this user", "give it to the user who runs depositd")
    if os.path.lexists(directory):
        return problem(subject, f"{directory} is not a directory", "name a directory in the config")
    above = nearest(directory)
    if os.access(above, os.W_OK | os.X_OK):
        return None
    return problem(
        subject,
        f"{directory} does not exist, and this user may not make it in {above}",
        "make it and give it to the user who runs depositd",
    )


def nearest(directory: Path) -> Path:
    """Return a directory, or the nearest one above it that exists."""
    return next(path for path in (directory, *directory.parents) if path.is_dir())


def _state_dir(config: Config) -> Iterator[Finding]:
    file_system = file_system_of(str(config.state_dir))
    wrong = writable("state_dir", config.state_dir)
    if wrong is not None:
        yield wrong
        return
    try:
        refuse_network_file_system(config.state_dir, file_system)
    except DepositdError as error:
        yield problem("state_dir", str(error), error.hint)
        return
    made = "" if config.state_dir.is_dir() else ", made at the first run"
    yield ok("state_dir", f"{config.state_dir} is writable, on {file_system or 'an unknown file system'}{made}")


def _spool(config: Config) -> Iterator[Finding]:
    spool = config.spool
    wrong = writable("spool", spool.path)
    if wrong is not None:
        yield wrong
        return
    yield room("spool", spool.path, shutil.disk_usage(nearest(spool.path)).free, spool.min_free_bytes)
    file_system = file_system_of(str(spool.path))
    if file_system in WITHOUT_EVENTS:
        yield warning("spool", f"{spool.path} lies on a network file system ({file_system})", "a local disk is faster")


def room(subject: str, path: Path, free_bytes: int, least_bytes: int) -> Finding:
    """Compare the free space with the floor that is left free in any case."""
    told = f"{path} has {show_size(free_bytes)} free, {show_size(least_bytes)} of them are kept free"
    if free_bytes <= least_bytes:
        return problem(subject, f"{told}: nothing can be archived", "make space, or lower spool.min_free")
    return ok(subject, told)


def _journal(config: Config) -> Iterator[Finding]:
    try:
        with journals.reading(config) as journal:
            count = None if journal is None else journal.view.count()
        pid = running_pid(config.state_dir)
    except DepositdError as error:
        yield problem("journal", str(error), error.hint)
        return
    yield ok("journal", "not there yet" if count is None else f"{show_count(count, 'current dataset')}")
    yield ok("daemon", f"running (pid {pid})" if pid else "running" if pid == 0 else "not running")


# --- programs ---------------------------------------------------------------------------------------------------------


def sqlite_version(version: tuple[int, ...]) -> Finding:
    """Say whether this SQLite can damage a journal that several processes write (sqlite.org, 3.51.3)."""
    text = ".".join(str(number) for number in version)
    mended = any(version[:2] == fixed[:2] and version >= fixed for fixed in WAL_FIXED_IN) or version > WAL_FIXED_IN[-1]
    if mended:
        return ok("SQLite", text)
    return warning(
        "SQLite",
        f"{text} has a rare fault in its write-ahead log when several processes write at the same moment",
        "3.51.3 (or 3.50.7, 3.44.6) is free of it; depositd keeps its writes short, and depositd journal backup helps",
    )


def _systemd_python() -> Finding:
    if importlib.util.find_spec("systemd") is not None:
        return ok("systemd-python", "installed")
    return ok("systemd-python", "not installed; a small sender of our own tells systemd how depositd is")


# --- destinations -----------------------------------------------------------------------------------------------------


def _destination(name: str, settings: AnyDestination, environ: Mapping[str, str], *, online: bool) -> Iterator[Finding]:
    subject = f"destination {name}"
    readable = True
    if isinstance(settings, ServerSettings):
        for kind, secret in (("token", settings.token), ("password", settings.password)):
            if secret is not None:
                finding = credential(subject, kind, secret, environ)
                readable &= finding.level is Level.OK
                yield finding
        if settings.ca_file is not None and not os.access(settings.ca_file, os.R_OK):
            readable = False
            yield problem(subject, f"ca_file {settings.ca_file} cannot be read", "name a readable file")
        if settings.proxy is not None:
            yield ok(subject, f"everything to {settings.url} goes through the proxy {settings.proxy}")
    if isinstance(settings, DirectorySettings) or (online and readable):
        yield _who_we_are(subject, name, settings)


def credential(subject: str, kind: str, secret: SecretSource, environ: Mapping[str, str]) -> Finding:
    """Check that a secret can be read and is private; it is never shown."""
    where = f"{kind} from {secret.kind} {secret.name}"
    try:
        secret.read(environ)
    except ConfigError as error:
        given_to_service = (secret.kind == "env" and secret.name not in environ) or (
            secret.kind == "credential" and "CREDENTIALS_DIRECTORY" not in environ
        )
        if given_to_service:
            return warning(subject, f"{where}: only the service has it, so it cannot be checked here", error.hint)
        return problem(subject, str(error), error.hint)
    return ok(subject, f"{where} is readable{' and private' if secret.kind == 'file' else ''}")


def _who_we_are(subject: str, name: str, settings: AnyDestination) -> Finding:
    from depositd import destinations

    began_s = time.monotonic()
    try:
        destination = destinations.build(name, settings, on_secret=SECRETS.add)
        try:
            sentence = destination.whoami()
        finally:
            destination.close()
    except DepositdError as error:
        return problem(subject, str(error), error.hint)
    took = time.monotonic() - began_s
    return ok(subject, f"{sentence} (answered in {show_duration(took)})" if took >= 1 else sentence)


def _notify(subject: str, target: NotifyTarget, environ: Mapping[str, str], *, online: bool) -> Iterator[Finding]:
    """Check that somebody can be told; nothing is sent, and the URL is never shown."""
    if not is_installed():
        yield problem(subject, "needs Apprise, which is not installed: depositd does not start", INSTALL)
        return
    finding = credential(subject, "url", target.url, environ)
    yield finding
    if online and finding.level is Level.OK:
        wrong = wrong_with(read_url(target, environ, register_secret))
        if wrong is None:
            yield ok(subject, "Apprise can read the URL; nothing was sent")
        else:
            yield problem(subject, wrong, "see https://appriseit.com/services/")


def web(host: str, port: int) -> Finding:
    """Warn of a status page that others can reach: it has no login."""
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if host in ("localhost", "::1") or host.startswith("127."):
        return ok("web", f"listens on {shown}")
    return warning(
        "web",
        f"listens on {printable(shown)}, where others may reach it: it has no login",
        "listen on 127.0.0.1 and reach it through ssh -L, or put a proxy with a login in front",
    )
