"""The demo's pictures: a table while it happens, lines where there is no terminal, and the final table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from depositd.cli.demo_proof import Proof
from depositd.cli.demo_stage import Act, Ending, Instruments
from depositd.units import printable, show_count, show_duration, show_size

_STYLES = {
    "growing": "cyan",
    "complete": "green",
    "archived": "green",
    "incomplete": "yellow",
    "delivered": "bold green",
    "held": "yellow",
    "failed": "bold red",
    "unconfirmed": "bold red",
}

Status = Mapping[str, Any]


NARROW = 100
"""Below this many columns of the terminal the least telling columns are left out."""


def picture(
    acts: Sequence[Act], instruments: Instruments, status: Status, elapsed_s: float, width: int
) -> RenderableType:
    """Return the table of what is going on, with the transfers below it, for a terminal of ``width`` columns."""
    title = f"depositd demo, {elapsed_s:.0f} s"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    columns = [(heading, least) for heading, least, narrow in _COLUMNS if narrow or width >= NARROW]
    for heading, least in columns:
        table.add_column(heading, no_wrap=True, min_width=least)
    for act in acts:
        dataset = dataset_of(act, status)
        cells: dict[str, str | Text] = {
            "instrument": act.instrument,
            "dataset": act.name,
            "written": _written(act, instruments),
            "seen": _seen(dataset),
            "dataset is": _styled(dataset["state"]) if dataset else "",
            "archive": show_size(dataset["archive"]["bytes"]) if dataset and dataset["archive"] else "",
            "delivery": _delivery(dataset),
            "the server says": _remote(dataset),
        }
        table.add_row(*(cells[heading] for heading, _ in columns))
    return Group(table, *_transfers(status))


_COLUMNS = (
    ("instrument", 10, False),
    ("dataset", 9, True),
    ("written", 17, False),
    ("seen", 10, True),
    ("dataset is", 10, True),
    ("archive", 7, False),
    ("delivery", 19, True),
    ("the server says", 15, True),
)
"""Headings with the least width, so that the table stands still, and whether they are shown where it is narrow."""


def dataset_of(act: Act, status: Status) -> Mapping[str, Any] | None:
    """Return what the journal says of an acquisition, None where it knows none."""
    return next((dataset for dataset in status["datasets"] if dataset["name"] == act.name), None)


class Narrator:
    """Says in lines what changed since it was asked last."""

    def __init__(self) -> None:
        self._said: dict[str, str] = {}

    def lines(self, acts: Sequence[Act], instruments: Instruments, status: Status) -> Iterator[str]:
        """Yield a sentence for each change."""
        for act in acts:
            for subject, sentence in _facts(act, instruments, dataset_of(act, status)):
                if self._said.get(subject) != sentence:
                    self._said[subject] = sentence
                    yield f"{act.name}: {sentence}"


def _facts(act: Act, instruments: Instruments, dataset: Mapping[str, Any] | None) -> Iterator[tuple[str, str]]:
    """Yield what is true of an acquisition and what it is about, so that a change can be told."""
    if act.name in instruments.written:
        yield f"{act.name} begun", f"the {act.instrument} begins to write"
    if instruments.ended(act):
        yield f"{act.name} ended", f"the {act.instrument} ends after {_written(act, instruments)}"
    if dataset is None:
        return
    yield f"{act.name} state", _state_sentence(dataset)
    for delivery in dataset["deliveries"] if dataset["state"] != "growing" else []:
        remote = f", there it is {printable(delivery['remote_status'], 60)}" if delivery["remote_status"] else ""
        reason = f": {printable(delivery['error'], 300)}" if delivery["error"] else ""
        sentence = f"delivery to {delivery['destination']} is {delivery['state']}{remote}{reason}"
        yield f"{act.name} {delivery['destination']}", sentence


def _state_sentence(dataset: Mapping[str, Any]) -> str:
    state = str(dataset["state"])
    if state == "growing":
        return "found while it grows"
    if state == "archived" and dataset["archive"]:
        return f"archived as {printable(dataset['archive']['name'])}, {show_size(dataset['archive']['bytes'])}"
    evidence = "; ".join(dataset["evidence"][:2])
    return f"{state}: {printable(evidence, 200)}"


def final_picture(proofs: Sequence[Proof], status: Status, elapsed_s: float) -> RenderableType:
    """Return the table at the end, and the sentence that says what was proven."""
    title = f"depositd demo, {show_duration(round(elapsed_s))}"
    table = Table(box=box.ROUNDED, title=title, title_justify="left", show_lines=True, expand=True)
    for heading in ("", "dataset", "delivery"):
        table.add_column(heading, no_wrap=True)
    table.add_column("found, and what is there now by the receiver's own word", ratio=1)
    for proof in proofs:
        dataset = dataset_of(proof.act, status)
        table.add_row(
            Text("✔", "bold green") if proof.ok else Text("✘", "bold red"),
            Text.assemble((proof.act.name, "bold"), "\n", (proof.act.instrument, "dim")),
            _delivery(dataset, "\n→ "),
            Text.assemble(_found(dataset), "\n", proof.sentence),
        )
    return Group(table, *conclusion(proofs))


def conclusion(proofs: Sequence[Proof]) -> list[Text]:
    """Return the closing sentence, or one for each line that is not as it should be."""
    wrong = [proof for proof in proofs if not proof.ok]
    if wrong:
        return [Text(f"Not as it should be: {proof.act.name}: {proof.sentence}", "bold red") for proof in wrong]
    arrived = sum(proof.act.ending is not Ending.HELD for proof in proofs)
    sentence = (
        f"Proven: {len(proofs)} datasets were found while they grew. {arrived} of them arrived, each exactly once and "
        "byte for byte as it was written. The one whose acquisition was aborted is held, and nothing of it was sent."
    )
    return [Text(sentence, "bold")]


def _found(dataset: Mapping[str, Any] | None) -> Text:
    if dataset is None:
        return Text("never", "bold red")
    verdict = str(dataset["verdict"])
    counted = f", {printable(dataset['evidence'][0], 40)}" if dataset["evidence"] else ""
    return Text(f"{verdict}{counted}", "green" if verdict == "complete" else "yellow")


def _seen(dataset: Mapping[str, Any] | None) -> str:
    if dataset is None:
        return ""
    frames = dataset["frames"]
    return show_count(frames["present"], "frame") if frames else show_count(dataset["files"], "file")


def _written(act: Act, instruments: Instruments) -> str:
    return f"{instruments.written.get(act.name, 0)} of {act.plan.frames} {act.noun}"


def _delivery(dataset: Mapping[str, Any] | None, arrow: str = " → ") -> Text:
    deliveries = dataset["deliveries"] if dataset else []
    shown = [_styled(delivery["state"]).append(f"{arrow}{delivery['destination']}") for delivery in deliveries]
    return Text("\n").join(shown)


def _remote(dataset: Mapping[str, Any] | None) -> str:
    said = [delivery["remote_status"] for delivery in dataset["deliveries"]] if dataset else []
    return ", ".join(printable(status, 40) for status in said if status)


def _transfers(status: Status) -> Iterator[RenderableType]:
    names = {f"dataset {dataset['id']}": dataset["name"] for dataset in status["datasets"]}
    for dataset in status["datasets"]:
        names |= {f"delivery {delivery['id']}": dataset["name"] for delivery in dataset["deliveries"]}
    for transfer in status["transfers"]:
        name = printable(names.get(transfer["subject"], ""))
        done, total = transfer["done_bytes"], transfer["total_bytes"]
        grid = Table.grid(padding=(0, 1))
        grid.add_row(
            f"  {name:<9}",
            printable(transfer["activity"], 60),
            ProgressBar(total=max(total, 1), completed=done, width=40),
            f"{show_size(done)} of {show_size(total)}",
        )
        yield grid


def _styled(state: str) -> Text:
    return Text(state, _STYLES.get(state, ""))
