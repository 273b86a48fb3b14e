"""What is held, to be read and to be filled in."""

import csv
import io
from datetime import UTC, datetime

from depositd.cli.held import MANY_AT_ONCE, held_lines, held_table

NOW = datetime(2026, 11, 21, 3, tzinfo=UTC)


def delivery(state="held", hold="metadata", error="metadata: pdb_code: is missing", to="irrmc"):
    hint = "depositd release 1 --set pdb_code=…"
    return {"id": 1, "destination": to, "state": state, "hold": hold, "error": error, "hint": hint}


def view_of(*datasets):
    return {
        "datasets": [
            {"id": number, "name": name, "completed_at": "2026-10-11T03:00:00Z", "deliveries": deliveries}
            for number, (name, deliveries) in enumerate(datasets, 1)
        ],
        "sources": [],
    }


def text(view):
    return "\n".join(line.plain for line in held_lines(view, NOW))


def test_nothing_held_is_said():
    assert text(view_of(("lyso_1", [delivery("delivered")]))) == "nothing is held"


def test_what_is_missing_stands_below_each_held_delivery_with_what_frees_it():
    shown = text(view_of(("lyso_1", [delivery(), delivery("delivered", None, None, "vault")])))
    assert shown.splitlines() == [
        "1 delivery held",
        "  1  lyso_1  to irrmc  complete since 41 d",
        "     metadata: pdb_code: is missing",
        "         → depositd release 1 --set pdb_code=…",
        "",
        MANY_AT_ONCE,
    ]


def test_a_table_is_offered_only_where_it_would_free_something():
    assert MANY_AT_ONCE not in text(view_of(("lyso_1", [delivery(hold="incomplete")])))


def test_names_from_disk_are_shown_harmless():
    shown = text(view_of(("evil\x1b[31m", [delivery(error="a\x07b")])))
    assert "\x1b" not in shown
    assert "\x07" not in shown


def test_the_table_has_a_row_for_what_it_can_free_with_cells_to_be_filled_in():
    rows = list(
        csv.DictReader(
            io.StringIO(
                held_table(
                    view_of(
                        ("lyso_1", [delivery(), delivery(to="vault", state="delivered")]),
                        ('a, "b"', [delivery(hold="approval")]),
                        ("gapped", [delivery(hold="incomplete")]),
                    )
                )
            )
        )
    )
    assert [(row["dataset"], row["name"], row["destination"], row["pdb_code"]) for row in rows] == [
        ("1", "lyso_1", "irrmc", ""),
        ("2", 'a, "b"', "irrmc", ""),
    ]
