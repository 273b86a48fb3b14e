"""``run``: the daemon, in the foreground."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd.cli import journals
from depositd.cli.options import ConfigOption, config_path
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.engine.recovering import Recovery
    from depositd.service.daemon import Daemon
    from depositd.web import Server


LONGEST_OPENING_S = 3600.0


def run(
    config: ConfigOption = None,
    until_idle: Annotated[
        bool,
        typer.Option(
            "--until-idle", help="End once nothing grows and no delivery can make progress; 3 where some need you."
        ),
    ] = False,
    log_level: Annotated[str, typer.Option(metavar="debug|info|warning|error", help="What the log shows.")] = "info",
    log_format: Annotated[
        str, typer.Option(metavar="auto|json|console|plain", help="auto: JSON to journald, otherwise text.")
    ] = "auto",
) -> None:
    """Watch, archive and deliver, until told to stop."""
    from depositd.config import load_config
    from depositd.systemd import LogMode, capture_strays, configure_logging

    if log_format not in list(LogMode):
        raise typer.BadParameter(f"{printable(log_format)} is none ({', '.join(LogMode)})", param_hint="--log-format")
    path = config_path(config)
    settings = load_config(path)
    try:
        configure_logging(LogMode(log_format), log_level)
    except ValueError as error:
        raise typer.BadParameter(printable(str(error)), param_hint="--log-level") from None
    capture_strays()
    raise typer.Exit(_run(settings, path, until_idle=until_idle))


def _run(config: Config, path: Path, *, until_idle: bool) -> int:
    from depositd.config import load_config
    from depositd.engine.recovering import open_or_recover
    from depositd.journal import Ballast
    from depositd.service.daemon import Daemon, Options
    from depositd.service.lock import StateLock
    from depositd.systemd import find_supervisor

    journals.make_state_dir(config)
    # the lock comes first: a second daemon must not even open the journal
    lock = StateLock(config.state_dir)
    supervisor = find_supervisor()
    # a large one on a slow disk is read for minutes to be proven, and several times where another takes its place
    supervisor.notify(status="opening the journal", extend_timeout_s=LONGEST_OPENING_S)
    try:
        journal, recovery = open_or_recover(config, datetime.now(UTC), Ballast(config.state_dir))
        try:
            if recovery is not None:
                _say_recovered(recovery)
            options = Options(until_idle=until_idle, reload=partial(load_config, path))
            daemon = Daemon(config, journal, supervisor, options)
            daemon.handle_signals()
            page = _serve(config, daemon)
            try:
                return daemon.run()
            finally:
                if page is not None:
                    page.stop()
        finally:
            journal.close()
    finally:
        lock.release()


def _say_recovered(recovery: Recovery) -> None:
    from depositd.systemd import get_logger

    log = get_logger("depositd")
    first, *others = recovery.sentences
    log.error(first, hint=recovery.journal.hint)
    for sentence in others:
        log.warning(sentence)


def _serve(config: Config, daemon: Daemon) -> Server | None:
    """Serve the status page; a port that is taken is said, and does not keep data from being delivered."""
    if config.web is None:
        return None
    from depositd.systemd import get_logger
    from depositd.web import serve_in_background

    log = get_logger("depositd")
    try:
        page = serve_in_background(config.web.host, config.web.port, daemon.status, lambda: daemon.healthy)
    except DepositdError as error:
        log.error("the status page cannot be served", reason=str(error), hint=error.hint)
        return None
    log.info("status page", address=page.url)
    return page
