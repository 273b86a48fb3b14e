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
from depositd.cli.plans import planned
from depositd.errors import DepositdError
from depositd.model import Delivery, DeliveryState
from depositd.units import printable

if TYPE_CHECKING:
    from depositd.config import Config
    from depositd.engine.words import Spoken
    from depositd.journal import Journal

    Speak = Callable[[Journal, int, str | None, datetime], Spoken]

Ids = Annotated[list[int], typer.Argument(metavar="ID…", min=1, help="The datasets' numbers, as in status.")]
OptionalIds = Annotated[
    list[int] | None, typer.Argument(metavar="ID…", min=1, show_default=False, help="The datasets' numbers.")
]


@dataclass(slots=True)
class _Heard:
    """What a word did to some datasets: the deliveries that followed, what was refused, and where none followed."""

    followed: list[Delivery] = field(default_factory=list)
    refused: list[tuple[int, DepositdError]] = field(default_factory=list)
    failed: set[int] = field(default_factory=set)


def retry(
    ids: Ids,
    config: ConfigOption = None,
    to: ToOption = None,
    json: JsonOption = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="First delete what the server refused, then send the corrected archive.")
    ] = False,
) -> None:
    """Try deliveries again at once, failed ones as well."""
    from depositd.engine import words

    _command("retry", ids, config, to, json, words.replace_refused if replace else _plain("retry"))


def hold(ids: Ids, config: ConfigOption = None, to: ToOption = None, json: JsonOption = False) -> None:
    """Keep deliveries back until they are released."""
    _command("hold", ids, config, to, json, _plain("hold"))


def release(
    ids: OptionalIds = None,
    config: ConfigOption = None,
    to: ToOption = None,
    values: SetOption = None,
    table: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="CSV",
            show_default=False,
            help="A table with a row for each dataset: columns dataset (or name, or path), pdb_code and the like.",
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Approve deliveries, or send them although they are held.

    depositd status --held --csv writes the table that --from takes, with the cells to be filled in.
    """
    given = assignments(values)
    if table is not None:
        if ids or given or to:
            raise typer.BadParameter(
                "the table names the datasets, destinations and values (it stands alone)", param_hint="--from"
            )
        _release_from(table, config, json)
        return
    if not ids:
        raise typer.BadParameter("no dataset is named (ID…, or --from deposits.csv)", param_hint="ID…")
    from depositd.engine import words

    settings = load(config)
    with planned(settings) as plan:

        def speak(journal: Journal, dataset_id: int, to: str | None, now: datetime) -> Spoken:
            return words.release(plan, journal, dataset_id, to, given, now)

        _command("release", ids, config, to, json, speak)


def skip(ids: Ids, config: ConfigOption = None, to: ToOption = None, json: JsonOption = False) -> None:
    """Leave deliveries for good; release brings one back."""
    _command("skip", ids, config, to, json, _plain("skip"))


def _plain(word: str) -> Speak:
    def speak(journal: Journal, dataset_id: int, to: str | None, now: datetime) -> Spoken:
        from depositd.engine import words

        return words.speak(journal, word, dataset_id, to, {}, now)

    return speak


def _command(word: str, ids: Sequence[int], config: Path | None, to: str | None, as_json: bool, speak: Speak) -> None:
    settings = load(config)
    heard = _Heard()
    with journals.writing(settings) as journal:
        for dataset_id in dict.fromkeys(ids):
            _speak(journal, heard, dataset_id, to, speak)
    if as_json:
        say_json(_json(heard))
    else:
        _tell(heard)
        if word in ("retry", "release"):
            _tell_whether_running(settings, heard.followed)
    if heard.failed:
        raise typer.Exit(FAILED)


def _tell_whether_running(settings: Config, freed: Sequence[Delivery]) -> None:
    from depositd.service.lock import running_pid

    if running_pid(settings.state_dir) is None and any(one.state is not DeliveryState.HELD for one in freed):
        tell("depositd is not running: this takes effect when it is started")


def _release_from(table: Path, config: Path | None, as_json: bool) -> None:
    from depositd.engine.deposits import WrongTable, apply_table, read_table, summary

    settings = load(config)
    shown = printable(str(table))
    with planned(settings) as plan, journals.writing(settings) as journal:
        if journal is None:
            raise DepositdError("nothing is recorded yet, so that no row can be about a dataset")
        try:
            applied = apply_table(plan, journal, read_table(table.read_bytes()), datetime.now(UTC))
        except WrongTable as error:
            for problem in error.problems:
                tell(f"{shown}: {printable(problem)}")
            tell(f"hint: {error.hint}")
            raise typer.Exit(FAILED) from None
    heard = _Heard(followed=[*applied.freed, *applied.still_held])
    if as_json:
        say_json({**_json(heard), "settled": applied.settled, "blank": applied.blank})
        return
    _tell(heard)
    tell(f"{shown}: {summary(applied)}")
    _tell_whether_running(settings, applied.freed)


def _speak(journal: Journal | None, heard: _Heard, dataset_id: int, to: str | None, speak: Speak) -> None:
    from depositd.engine.words import NoSuchDelivery, WrongValues

    if journal is None:
        heard.refused.append((dataset_id, DepositdError(f"there is no dataset {dataset_id}: nothing is recorded yet")))
        heard.failed.add(dataset_id)
        return
    try:
        spoken = speak(journal, dataset_id, to, datetime.now(UTC))
    except (NoSuchDelivery, WrongValues) as error:
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
