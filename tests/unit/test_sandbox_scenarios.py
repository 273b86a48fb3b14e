from __future__ import annotations

import pytest

from depositd.sandbox import Fault, Options
from depositd.sandbox.overview import overview_page
from depositd.sandbox.scenarios import SCENARIOS, with_scenarios


def test_every_scenario_says_what_to_expect_and_changes_something():
    for name, scenario in SCENARIOS.items():
        assert "  Expect: " in scenario.sentence
        assert with_scenarios(Options(), [name]) != Options()


def test_scenarios_add_up():
    options = with_scenarios(Options(faults=(Fault("/a", "500"),)), ["lost-answer", "older-server", "mismatch"])

    assert [fault.kind for fault in options.faults] == ["500", "commit-then-drop", "commit-then-drop"]
    assert (options.pqc_mode, options.detect_pdb_id) == ("older", "9XYZ")


def test_an_unknown_scenario_is_refused_with_those_that_there_are():
    with pytest.raises(ValueError) as refused:
        with_scenarios(Options(), ["lost"])

    assert "no scenario 'lost' (one of lost-answer," in str(refused.value)


def test_the_page_shows_hostile_names_as_text():
    upload = {
        "original_filename": "<script>\x1b[31m.tar",
        "status": "uploaded",
        "pdbid": None,
        "md5hash": "d4",
        "token": "t",
    }
    state = {"uploads": [upload], "runs": [], "requests": {"GET /<b>": 3}}

    page = overview_page(state, {"armed": [], "kinds": {"500": "It fails."}})

    assert "&lt;script&gt;" in page
    assert "GET /&lt;b&gt;" in page
    assert "<script>" not in page
    assert "\x1b" not in page
    assert "It fails." in page
