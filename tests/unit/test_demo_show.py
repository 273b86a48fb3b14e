"""The demo's pictures and lines."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from depositd.cli.demo_proof import Proof
from depositd.cli.demo_show import Narrator, conclusion, final_picture, picture
from depositd.cli.demo_stage import Instruments, acts

ACTS = acts(Path("/demo"))


def dataset(name: str, state="growing", *, deliveries=(), **values: Any) -> dict[str, Any]:
    return {
        "id": 1,
        "name": name,
        "state": state,
        "verdict": "growing",
        "evidence": ["12 of 48 frames", "last write 0.1 s ago"],
        "files": 12,
        "frames": {"present": 12, "expected": 48, "missing": []},
        "archive": None,
        "deliveries": list(deliveries),
        **values,
    }


def delivery(state: str, remote_status=None, error=None) -> dict[str, Any]:
    return {"id": 7, "destination": "irrmc", "state": state, "remote_status": remote_status, "error": error}


def status(*datasets: dict[str, Any], transfers=()) -> dict[str, Any]:
    return {"datasets": list(datasets), "transfers": list(transfers)}


def drawn(what: Any, width: int) -> str:
    console = Console(file=StringIO(), width=width)
    console.print(what)
    text = console.file.getvalue()
    assert max(len(line) for line in text.splitlines()) <= width
    return text


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_the_table_shows_what_matters_in_any_width(width):
    transfer = {
        "subject": "delivery 7",
        "activity": "sending to irrmc",
        "done_bytes": 500_000,
        "total_bytes": 2_000_000,
    }
    now = status(dataset("lyso_1", deliveries=[delivery("waiting")]), transfers=[transfer])
    text = drawn(picture(ACTS, Instruments(ACTS, {"lyso_1": 13}), now, 7.4, width), width)
    (row, bar) = (line for line in text.splitlines() if "lyso_1" in line)
    assert "12 frames" in row
    assert "growing" in row
    assert "waiting → irrmc" in row
    assert ("13 of 48 frames" in row) == (width >= 100)
    assert "500 kB of 2.00 MB" in bar


def test_a_dataset_that_is_not_found_yet_has_a_row():
    text = drawn(picture(ACTS, Instruments(ACTS), status(), 0.0, 120), 120)
    assert all(act.name in text for act in ACTS)


def test_each_change_is_said_once():
    narrator, instruments = Narrator(), Instruments(ACTS)

    def said(*datasets: dict[str, Any]) -> list[str]:
        return list(narrator.lines(ACTS, instruments, status(*datasets)))

    assert said() == []
    instruments.written["lyso_1"] = 0
    assert said() == ["lyso_1: the Pilatus begins to write"]
    growing = dataset("lyso_1", deliveries=[delivery("waiting")])
    assert said(growing) == ["lyso_1: found while it grows"]
    assert said(growing | {"files": 13}) == []
    lost = dataset("lyso_1", "complete", deliveries=[delivery("unconfirmed", error="the answer was lost")])
    assert said(lost) == [
        "lyso_1: complete: 12 of 48 frames; last write 0.1 s ago",
        "lyso_1: delivery to irrmc is unconfirmed: the answer was lost",
    ]
    assert said(lost) == []


def test_a_servers_words_cannot_harm_the_terminal():
    hostile = dataset("lyso_1", "complete", deliveries=[delivery("failed", "\x1b[2J", "\x1b]0;owned\x07")])
    lines = list(Narrator().lines(ACTS, Instruments(ACTS), status(hostile)))
    assert not any("\x1b" in line or "\x07" in line for line in lines)
    assert "\x1b" not in drawn(picture(ACTS, Instruments(ACTS), status(hostile), 0.0, 120), 120)


def test_the_final_table_holds_its_sentences_at_80_columns():
    proofs = [Proof(act, ok=True, sentence=f"proof of {act.name}") for act in ACTS]
    text = drawn(final_picture(proofs, status(), 22.4), 80)
    assert all(f"proof of {act.name}" in text for act in ACTS)
    assert "22 s" in text


def test_the_conclusion_counts_what_arrived():
    (sentence,) = conclusion([Proof(act, ok=True, sentence="") for act in ACTS])
    assert "5 datasets" in str(sentence)
    assert "4 of them arrived" in str(sentence)


def test_one_line_that_is_wrong_is_all_that_is_said():
    proofs = [Proof(act, act.name != "hela_07", "the server has 2 runs of it, not one") for act in ACTS]
    assert [str(line) for line in conclusion(proofs)] == [
        "Not as it should be: hela_07: the server has 2 runs of it, not one"
    ]
