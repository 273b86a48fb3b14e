"""``submit``: one dataset by hand, outside any rule."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depositd.cli import journals
from depositd.cli.failing import FAILED, INTERRUPTED, NEEDS_OPERATOR
from depositd.cli.options import ConfigOption, JsonOption, SetOption, assignments, load
from depositd.cli.output import Advance, progress, say_json, say_lines, tell
from depositd.cli.plans import planned
from depositd.model import DeliveryState, Metadata
from depositd.portable import slashed
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.engine.by_hand import ByHand
    from depositd.journal import Journal, Standing

POLL_S = 0.5
_OVER = frozenset({DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.SKIPPED, DeliveryState.HELD})
"""Where a delivery stays by itself.  An unconfirmed one moves on: the server is asked."""


def submit(
    path: Annotated[str, typer.Argument(metavar="PATH", help="The dataset: a file, a directory, or one of its files.")],
    to: Annotated[str, typer.Option("--to", metavar="DESTINATION", help="A destination of the config.")],
    config: ConfigOption = None,
    values: SetOption = None,
    wait: Annotated[bool, typer.Option("--wait", help="Wait for its end; 3 where it needs you then.")] = False,
    json: JsonOption = False,
) -> None:
    """Deliver one dataset by hand; it ends the way a watched one does."""
    from depositd.service.lock import running_pid

    settings = load(config)
    metadata = assignments(values)
    if to not in settings.destinations:
        known = ", ".join(settings.destinations)
        raise typer.BadParameter(f"the config has no destination {printable(to)} (it has: {known})", param_hint="--to")
    with journals.working(settings) as journal:
        submitted = _record(settings, journal, path, to, metadata)
        dataset_id, delivery_id = submitted.record.id, submitted.delivery.id
        running = running_pid(settings.state_dir) is not None
        tell(f"recorded as dataset {dataset_id} ({printable(submitted.record.name)})")
        status = 0
        if wait:
            follow = _follow_daemon if running else _deliver_here
            status = follow(settings, journal, delivery_id)
        elif not running:
            tell("depositd is not running: it is sent when that is started (or now, with --wait)")
        _report(journal, dataset_id, delivery_id, json)
    if status:
        raise typer.Exit(status)


def _record(config: Config, journal: Journal, path: str, to: str, metadata: Metadata) -> ByHand:
    from depositd.engine.by_hand import record_by_hand

    with planned(config) as plan:
        return record_by_hand(
            plan,
            journal,
            slashed(os.path.abspath(path)),
            to,
            metadata,
            clock=partial(datetime.now, UTC),
            sleep=time.sleep,
            waiting=lambda sentence: tell(f"waiting: {printable(sentence)}"),
        )


def _report(journal: Journal, dataset_id: int, delivery_id: int, as_json: bool) -> None:
    from depositd.cli.dataset_text import delivery_lines

    shown = journal.view.show(dataset_id)
    assert shown is not None
    if as_json:
        say_json(shown)
        return
    mine = [delivery for delivery in shown["deliveries"] if delivery["id"] == delivery_id]
    for delivery in mine:
        say_lines(delivery_lines(delivery, datetime.now(UTC)))


def _follow_daemon(config: Config, journal: Journal, delivery_id: int) -> int:
    """Wait while the running daemon delivers it; return the exit status."""
    from depositd.service.lock import running_pid

    def over(standing: Standing) -> bool:
        delivery = standing.delivery
        return delivery.state in _OVER or delivery.destination in journal.surroundings.refusing()

    def alive() -> bool:
        return running_pid(config.state_dir) is not None

    follow(journal, delivery_id, over, alive, time.sleep)
    return _exit_status(journal, delivery_id, stopped=not alive())


def _deliver_here(config: Config, journal: Journal, delivery_id: int) -> int:
    """Deliver it with a daemon of our own that does nothing else; return the exit status."""
    from depositd.service.daemon import Daemon, Options
    from depositd.systemd import NoSupervisor, configure_logging

    configure_logging(level="warning")
    with _locked(config):
        daemon = Daemon(config, journal, NoSupervisor(), Options(until_idle=True, only=frozenset({delivery_id})))
        worker = threading.Thread(target=daemon.run, name="daemon")
        worker.start()
        try:
            follow(journal, delivery_id, lambda _standing: False, worker.is_alive, time.sleep)
        except KeyboardInterrupt:
            tell("stopped: it goes on when depositd runs, or with depositd submit once more")
            raise typer.Exit(INTERRUPTED) from None
        finally:
            daemon.stop()
            worker.join()
    return _exit_status(journal, delivery_id, stopped=False)


def follow(
    journal: Journal,
    delivery_id: int,
    over: Callable[[Standing], bool],
    alive: Callable[[], bool],
    sleep: Callable[[float], None],
) -> None:
    """Show how a delivery goes on until it is over, or nobody works on it any more."""
    with progress("submitting", in_bytes=True) as advance:
        while alive():
            standing = journal.deliveries.get(delivery_id)
            assert standing is not None
            _show_transfer(journal, standing, advance)
            if over(standing):
                return
            sleep(POLL_S)


def _show_transfer(journal: Journal, standing: Standing, advance: Advance) -> None:
    subjects = (f"dataset {standing.delivery.dataset_id}", f"delivery {standing.delivery.id}")
    for transfer in journal.surroundings.transfers():
        if transfer.subject in subjects:
            advance(transfer.done_bytes, transfer.total_bytes)


def _exit_status(journal: Journal, delivery_id: int, *, stopped: bool) -> int:
    standing = journal.deliveries.get(delivery_id)
    assert standing is not None
    if standing.delivery.state is DeliveryState.DELIVERED:
        return 0
    if stopped and standing.delivery.state not in _OVER:
        tell("depositd has ended meanwhile: it goes on when that is started again")
        return FAILED
    return NEEDS_OPERATOR


@contextmanager
def _locked(config: Config) -> Iterator[Any]:
    from depositd.service.lock import StateLock

    lock = StateLock(config.state_dir)
    try:
        yield lock
    finally:
        lock.release()
