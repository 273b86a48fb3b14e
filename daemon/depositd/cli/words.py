"""``retry``, ``hold``, ``release`` and ``skip``: the operator's word on a dataset's deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from depositd.cli import journals
from depositd.cli.failing import FAILED, failure_of
from depositd.cli.options import ConfigOption, JsonOption, SetOption, ToOption, assignments, load
from depositd.cli.output import say, say_json, tell
from depositd.errors import DepositdError
from depositd.model import Delivery, Metadata
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.journal import Journal

Ids = Annotated[list[int], typer.Argument(metavar="ID…", min=1, help="The datasets' numbers, as in status.")]


@dataclass(slots=True)
class _Heard:
    """What a word did to some datasets: the deliveries that followed, what was refused, and where none followed."""

    followed: list[Delivery] = field(default_factory=list)
    refused: list[tuple[int, DepositdError]] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)


def retry(ids: Ids, config: ConfigOption = None, to: ToOption = None, json: JsonOption = False) -> None:
    """Try deliveries again at once, failed ones as well."""
    _command("retry", ids, config, to, {}, json)


def hold(ids: Ids, config: ConfigOption = None, to: ToOption = None, json: JsonOption = False) -> None:
    """Keep deliveries back until they are released."""
    _command("hold", ids, config, to, {}, json)


def release(
    ids: Ids, config: ConfigOption = None, to: ToOption = None, values: SetOption = None, json: JsonOption = False
) -> None:
    """Approve deliveries, or send them although they are held."""
    _command("release", ids, config, to, assignments(values), json)


def skip(ids: Ids, config: ConfigOption = None, to: ToOption = None, json: JsonOption = False) -> None:
    """Leave deliveries for good; release brings one back."""
    _command("skip", ids, config, to, {}, json)


COMMANDS: Sequence[Callable[..., None]] = (retry, hold, release, skip)


def _command(
    word: str, ids: Sequence[int], config: Path | None, to: str | None, values: Metadata, as_json: bool
) -> None:
    from depositd.service.lock import running_pid

    settings = load(config)
    heard = _Heard()
    with journals.writing(settings) as journal:
        for dataset_id in dict.fromkeys(ids):
            _speak(journal, heard, word, dataset_id, to, values)
    if as_json:
        say_json(_json(heard))
    else:
        _tell(heard)
        if heard.followed and word in ("retry", "release") and running_pid(settings.state_dir) is None:
            tell("depositd is not running: this takes effect when it is started")
    if heard.failed:
        raise typer.Exit(FAILED)


def _speak(
    journal: Journal | None, heard: _Heard, word: str, dataset_id: int, to: str | None, values: Metadata
) -> None:
    from depositd.engine.words import NoSuchDelivery, speak

    if journal is None:
        heard.refused.append((dataset_id, DepositdError(f"there is no dataset {dataset_id}: nothing is recorded yet")))
        heard.failed.add(dataset_id)
        return
    try:
        spoken = speak(journal, word, dataset_id, to, values, datetime.now(UTC))
    except NoSuchDelivery as error:
        heard.refused.append((dataset_id, error))
        heard.failed.add(dataset_id)
        return
    heard.followed += spoken.followed
    heard.refused += [(dataset_id, error) for error in spoken.refused]
    if not spoken.followed:
        heard.failed.add(dataset_id)


def _tell(heard: _Heard) -> None:
    for delivery in heard.followed:
        reason = f": {printable(delivery.error)}" if delivery.error else ""
        say(f"dataset {delivery.dataset_id} to {printable(delivery.destination)}: {delivery.state}{reason}")
    for dataset_id, error in heard.refused:
        # where the word helped another delivery of the dataset, this one is merely left as it is
        lines = failure_of(error).lines if dataset_id in heard.failed else (printable(str(error)),)
        for text in lines:
            tell(text)


def _json(heard: _Heard) -> dict[str, Any]:
    return {
        "deliveries": [
            {
                "id": delivery.id,
                "dataset": delivery.dataset_id,
                "destination": delivery.destination,
                "state": delivery.state,
                "error": delivery.error,
                "hint": delivery.hint,
            }
            for delivery in heard.followed
        ],
        "refused": [
            {"dataset": dataset_id, "error": str(error), "hint": error.hint or None}
            for dataset_id, error in heard.refused
        ],
    }
