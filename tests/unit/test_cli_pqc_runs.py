"""Which runs are meant, and whether what was asked came true."""

from __future__ import annotations

import pytest

from depositd.cli.pqc_data import names_of
from depositd.cli.pqc_runs import ACTIONS, change, chosen_by_key, chosen_by_name, rows_of, unchanged
from depositd.destinations.base import RunAction
from depositd.destinations.proteomicsqc.records import QcRun
from depositd.errors import DepositdError

RUNS = [QcRun(0, "a", "rf1", None), QcRun(1, "b", "rf2", None), QcRun(2, "a", "rf12", None)]
WITHOUT_KEYS = [QcRun(0, "a", None, None)]


class Server:
    """A server that does what it is asked by keys and names, by names alone, or that only says so."""

    username = None

    def __init__(self, *stems, heeds=("run_keys", "raw_files"), with_keys=True):
        self.stems = stems or ("a", "b")
        self.heeds = heeds
        self.with_keys = with_keys
        self.flagged = [False for _ in self.stems]
        self.asked = []
        self.ranges = []

    @property
    def keys(self):
        return [f"rf{number}" for number, _ in enumerate(self.stems, 1)]

    def qc_data(self, project, pipeline, *, data_range, columns):
        self.ranges.append(data_range)
        table = {"RawFile": self.stems, "RunKey": self.keys if self.with_keys else None, "Flagged": self.flagged}
        return {name: list(table[name])[-data_range:] for name in columns if table.get(name)}

    def rawfile(self, action, project, pipeline, **chosen):
        chosen = {name: values for name, values in chosen.items() if values}
        self.asked.append((action, chosen))
        for how in self.heeds:
            for number, own in enumerate({"run_keys": self.keys, "raw_files": self.stems}[how]):
                if own in chosen.get(how, ()):
                    self.flagged[number] = action == "flag"
        return {}


def do(server, keys=(), names=(), *, action="flag", data_range=None):
    return change(server, ("p", "q"), action, list(keys), list(names), data_range)


def test_the_words_are_those_that_the_server_knows():
    assert list(ACTIONS) == list(RunAction)


def test_runs_are_chosen_by_key_each_once():
    assert chosen_by_key(RUNS, ["rf2", "rf1", "rf2"]) == [RUNS[1], RUNS[0]]


def test_unknown_keys_are_named_with_the_nearest():
    with pytest.raises(DepositdError, match="no processed run rf3, x among the 3 runs") as raised:
        chosen_by_key(RUNS, ["rf1", "rf3", "x"])
    assert "rf1" in raised.value.hint


def test_a_server_without_keys_says_how_else():
    with pytest.raises(DepositdError, match="no run keys") as raised:
        chosen_by_key(WITHOUT_KEYS, ["rf1"])
    assert "--raw-files" in raised.value.hint


def test_runs_are_chosen_by_name_with_or_without_the_suffix():
    assert chosen_by_name(RUNS, ["A.raw"]) == [RUNS[0], RUNS[2]]
    with pytest.raises(DepositdError, match="no processed raw file c "):
        chosen_by_name(RUNS, ["a", "c"])


def test_what_was_asked_is_read_back():
    server = Server()
    marked = do(server, ["rf1"])
    assert (marked.answer, server.asked) == ({}, [("flag", {"run_keys": ["rf1"]})])
    assert rows_of(marked) == [["rf1", "a", True, None]]
    assert unchanged(marked, ["rf1"]) == []
    assert server.ranges == [1000, 1000]


def test_a_server_that_heeds_names_alone_is_told_by_name():
    server = Server(heeds=["raw_files"])
    marked = do(server, ["rf2"])
    assert server.asked == [
        ("flag", {"run_keys": ["rf2"]}),
        ("flag", {"raw_files": ["b", "b.raw", "b.RAW"]}),
    ]
    assert (server.flagged, unchanged(marked, ["rf2"])) == ([False, True], [])


def test_a_name_of_several_runs_is_not_taken_for_one_of_them():
    server = Server("a", "b", "A", heeds=["raw_files"])
    marked = do(server, ["rf1", "rf2"])
    assert server.asked[1:] == [("flag", {"raw_files": ["b", "b.raw", "b.RAW"]})]
    assert unchanged(marked, ["rf1", "rf2"]) == ["rf1"]


def test_a_name_is_looked_for_further_back_than_was_asked_before_it_is_used():
    server = Server("b", "a", "b", heeds=["raw_files"])
    marked = do(server, ["rf3"], data_range=1)
    assert (unchanged(marked, ["rf3"]), server.flagged, len(server.asked)) == (["rf3"], [False] * 3, 1)
    assert server.ranges == [1, 1, 1000]


def test_a_server_that_only_says_so_is_found_out():
    assert unchanged(do(Server(heeds=[]), ["rf1"]), ["rf1"]) == ["rf1"]
    assert unchanged(do(Server(heeds=[]), names=["a"]), []) == ["rf1"]


def test_a_run_that_is_shown_no_more_is_no_success():
    marked = do(Server(), ["rf1"])
    assert unchanged(marked, ["rf1", "rf9"]) == ["rf9"]


def test_nothing_is_asked_for_an_unknown_run():
    server = Server()
    with pytest.raises(DepositdError):
        do(server, ["rf1", "rf9"], action="reject")
    assert server.asked == []


def test_a_name_is_sent_as_every_generation_knows_it():
    server = Server(with_keys=False)
    assert rows_of(do(server, names=["a"])) == [[None, "a", True, None]]
    assert server.asked == [("flag", {"raw_files": ["a", "a.raw", "a.RAW"]})]


@pytest.mark.parametrize("action", ["accept", "reject"])
def test_what_the_server_has_no_column_for_is_no_failure(action):
    server = Server(heeds=[])
    assert unchanged(do(server, ["rf1"], action=action), ["rf1"]) == []
    assert len(server.asked) == 1


def test_names_are_taken_apart_and_may_be_repeated():
    assert names_of(["a,b", " c ", "", "d,"]) == ["a", "b", "c", "d"]
    assert names_of(None) == []
