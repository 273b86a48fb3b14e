"""Which runs are meant, and whether what was asked came true."""

from __future__ import annotations

import pytest

from depositd.cli.pqc_data import names_of
from depositd.cli.pqc_runs import MADE_TRUE, Run, change, chosen_by_key, chosen_by_name, runs_of, unmoved
from depositd.errors import DepositdError

RUNS = [Run("rf1", "a", False, True), Run("rf2", "b", True, False), Run("rf12", "a", False, True)]
OLDER = [Run(None, "a", None, None)]


class Server:
    """A server that does what it is asked, or only says that it did."""

    def __init__(self, *, heeds=True, with_keys=True):
        self.heeds = heeds
        self.with_keys = with_keys
        self.flagged = [False, False]
        self.asked = []

    def qc_data(self, project, pipeline, *, data_range, columns):
        table = {"RawFile": ["a", "b"], "Flagged": list(self.flagged), "Use Downstream": [1, None]}
        return {**table, "RunKey": ["rf1", "rf2"]} if self.with_keys else table

    def rawfile(self, action, project, pipeline, **chosen):
        self.asked.append((action, chosen))
        if self.heeds:
            self.flagged = [action == "flag", self.flagged[1]]
        return {}


def test_runs_are_read_with_what_the_server_tells_of_them():
    table = {"RawFile": ["a", "b"], "RunKey": ["rf1", None], "Flagged": [0, "x"]}
    assert runs_of(table) == [Run("rf1", "a", False, None), Run(None, "b", None, None)]


def test_runs_are_chosen_by_key_each_once():
    assert chosen_by_key(RUNS, ["rf2", "rf1", "rf2"]) == [RUNS[1], RUNS[0]]


def test_unknown_keys_are_named_with_the_nearest():
    with pytest.raises(DepositdError, match="no processed run rf3, x among the 3 runs") as raised:
        chosen_by_key(RUNS, ["rf1", "rf3", "x"])
    assert "rf1" in raised.value.hint


def test_an_older_server_without_keys_says_how_else():
    with pytest.raises(DepositdError, match="no run keys") as raised:
        chosen_by_key(OLDER, ["rf1"])
    assert "--raw-files" in raised.value.hint


def test_runs_are_chosen_by_name_with_or_without_the_suffix():
    assert chosen_by_name(RUNS, ["A.raw"]) == [RUNS[0], RUNS[2]]
    with pytest.raises(DepositdError, match="no processed raw file c "):
        chosen_by_name(RUNS, ["a", "c"])


def test_what_was_asked_is_read_back():
    server = Server()
    answer, runs = change(server, ("p", "q"), "flag", ["rf1"], [], 10)
    assert (answer, server.asked) == ({}, [("flag", {"run_keys": ["rf1"]})])
    assert runs == [Run("rf1", "a", True, True)]
    assert unmoved("flag", runs) == []


def test_a_server_that_only_says_so_is_found_out():
    _answer, runs = change(Server(heeds=False), ("p", "q"), "flag", ["rf1"], [], 10)
    assert unmoved("flag", runs) == runs


def test_nothing_is_asked_for_an_unknown_run():
    server = Server()
    with pytest.raises(DepositdError):
        change(server, ("p", "q"), "reject", ["rf1", "rf9"], [], 10)
    assert server.asked == []


def test_a_name_is_sent_as_both_generations_know_it():
    server = Server(with_keys=False)
    change(server, ("p", "q"), "flag", [], ["a"], 10)
    assert server.asked == [("flag", {"raw_files": ["a", "a.raw"]})]


@pytest.mark.parametrize("action", MADE_TRUE)
def test_what_the_server_does_not_tell_is_no_failure(action):
    assert unmoved(action, OLDER) == []


def test_names_are_taken_apart_and_may_be_repeated():
    assert names_of(["a,b", " c ", "", "d,"]) == ["a", "b", "c", "d"]
    assert names_of(None) == []
