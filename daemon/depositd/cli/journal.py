"""``journal check|backup|export|restore|rebuild``: care for the journal."""

from __future__ import annotations

import json as json_module
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from depositd import portable
from depositd.cli import journals
from depositd.cli.failing import FAILED
from depositd.cli.options import ConfigOption, JsonOption, load
from depositd.cli.output import say, say_json
from depositd.errors import DepositdError
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.engine.recovering import Recovery
    from depositd.journal import Journal

commands = typer.Typer(no_args_is_help=True, rich_markup_mode=None, pretty_exceptions_enable=False)


@commands.callback()
def journal(config: ConfigOption = None) -> None:
    """Check, back up, export, restore or rebuild the journal."""


@commands.command()
def check(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Check the journal's integrity, and that no row contradicts another; exit status 1 where it is unsound."""
    from depositd.journal.invariants import contradictions

    with _existing(config) as (opened, path):
        problems = opened.database.problems() or contradictions(opened.database)
    if json:
        say_json({"path": str(path), "sound": not problems, "problems": problems})
    elif problems:
        for problem in problems:
            say(printable(problem))
    else:
        say(f"{printable(str(path))} is sound")
    if problems:
        raise typer.Exit(FAILED)


@commands.command()
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The copy; it must not exist yet.")],
    config: ConfigOption = None,
) -> None:
    """Copy the journal while it is in use."""
    with _existing(config) as (opened, _path):
        portable.private_from_now_on()  # the copy is as private as the journal
        opened.database.backup(file)
    say(f"copied to {printable(str(file))}")


@commands.command()
def export(config: ConfigOption = None) -> None:
    """Write every dataset with its history and the manifest of its archive as JSON Lines, one dataset a line."""
    with journals.reading(load(config)) as opened:
        for dataset in opened.view.everything() if opened else ():
            say(json_module.dumps(dataset, ensure_ascii=True))


@commands.command()
def restore(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="The backup; without it the newest that is sound.")
    ] = None,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Put a backup in the journal's place; what is not known since is asked for before anything is sent."""
    from depositd.engine.recovering import newest_backup, recover

    settings = load(config)
    if file is not None and not file.is_file():
        raise DepositdError(f"there is no file {printable(str(file))}", hint="name a backup of the journal")
    with _stopped(settings):
        made_of = newest_backup(settings).path if file is None else file.absolute()
        _say_recovery(recover(settings, "the journal was restored by hand", _now(), made_of=made_of), json)


@commands.command()
def rebuild(config: ConfigOption = None, json: JsonOption = False) -> None:
    """Begin a new journal: each dataset that is there is looked for at its destinations before it is sent."""
    from depositd.engine.recovering import recover

    settings = load(config)
    with _stopped(settings):
        _say_recovery(recover(settings, "the journal was begun anew by hand", _now(), anew=True), json)


def _now() -> datetime:
    return datetime.now(UTC)


@contextmanager
def _stopped(config: Config) -> Iterator[None]:
    """Keep the daemon from running meanwhile; raises LockedError where it runs."""
    from depositd.service.lock import StateLock

    journals.make_state_dir(config)
    journals.require_owner(config.state_dir)
    lock = StateLock(config.state_dir)
    try:
        yield
    except OSError as error:
        raise DepositdError(
            f"the journal's files cannot be moved: {error.strerror or error}",
            hint=f"is this the user who runs depositd, and is there space in {printable(str(config.state_dir))}?",
        ) from error
    finally:
        lock.release()


def _say_recovery(recovery: Recovery, as_json: bool) -> None:
    done = recovery.journal
    if as_json:
        survivors = recovery.survivors
        say_json(
            {
                "set_aside": None if done.set_aside is None else str(done.set_aside),
                "made_of": None if done.made_of is None else str(done.made_of),
                "asked": done.asked,
                "spool_set_aside": None if survivors is None else survivors.directory,
                "sentences": recovery.sentences,
                "hint": done.hint,
            }
        )
        return
    for sentence in (*recovery.sentences, done.hint):
        say(sentence)


@contextmanager
def _existing(config: Path | None) -> Iterator[tuple[Journal, Path]]:
    settings = load(config)
    with journals.reading(settings) as opened:
        if opened is None:
            raise DepositdError(
                f"there is no journal in {printable(str(settings.state_dir))} yet",
                hint="depositd run makes it; is this the right config?",
            )
        yield opened, opened.database.path
