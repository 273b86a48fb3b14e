"""Results of runs: which run is whose, what is read of it, and how it is marked."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from urllib.parse import parse_qsl

import pytest
from http_support import CANARY, FakeServer, Reply, lost
from hypothesis import given
from hypothesis import strategies as st

from depositd.destinations.base import AwaitedRun, MeasuredRun, RunAction
from depositd.destinations.proteomicsqc import Client, ProteomicsQC
from depositd.destinations.proteomicsqc.matching import assigned
from depositd.destinations.proteomicsqc.records import QcRun, qc_runs
from depositd.errors import AuthError, Rejected, Unavailable

UUID = "0a1b2c3d-0000-4000-8000-000000000001"
PROJECTS = "POST /api/projects"
PIPELINES = "POST /api/pipelines"
QC = "POST /api/qc-data"
RAWFILE = "POST /api/rawfile"


def awaited(delivery_id, keys=(), *, name="hela.raw", run_key=None, **baseline) -> AwaitedRun:
    noted = {"keys": None if keys is None else list(keys), "unkeyed": 0, "others": 0, "rows": None, **baseline}
    return AwaitedRun(delivery_id, name, noted, run_key)


def runs(*keys: str | None, stem: str = "hela") -> list[QcRun]:
    return [QcRun(row, stem, key, None) for row, key in enumerate(keys)]


def told(sent, shown, taken=()) -> dict[int, str | None]:
    return {number: run.key for number, run in assigned(sent, shown, frozenset(taken)).items()}


# --- which run is whose ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "keys", "taken", "found"),
    [
        # one delivery
        ([awaited(1)], ["rf4"], [], {1: "rf4"}),
        ([awaited(1)], [], [], {}),
        ([awaited(1, ["rf4"])], ["rf4"], [], {}),
        ([awaited(1, ["rf4"])], ["rf10", "rf4"], [], {1: "rf10"}),
        ([awaited(1)], ["rf4", "rf5"], [], {}),  # somebody sent that name by hand
        ([awaited(1)], ["rf4"], ["rf4"], {}),
        # a key that is known is enough, and it is never replaced by another
        ([awaited(1, run_key="rf4")], ["rf3", "rf4", "rf5"], [], {1: "rf4"}),
        ([awaited(1, run_key="rf9")], ["rf3"], [], {}),
        ([awaited(1, run_key="rf4"), awaited(2)], ["rf4", "rf5"], [], {1: "rf4", 2: "rf5"}),
        # several of one name, in the order of sending
        ([awaited(1), awaited(2, delivered_before=1)], ["rf5", "rf4"], [], {1: "rf4", 2: "rf5"}),
        ([awaited(1), awaited(2, delivered_before=1)], ["rf4"], [], {}),
        ([awaited(1), awaited(2, delivered_before=1)], ["rf4", "rf5", "rf6"], [], {}),
        ([awaited(1), awaited(2, ["rf4"], delivered_before=1)], ["rf4"], [], {1: "rf4"}),
        ([awaited(1), awaited(2, ["rf4"], delivered_before=1)], ["rf4", "rf5"], [], {1: "rf4", 2: "rf5"}),
        # what was delivered before may be shown only now
        ([awaited(1, delivered_before=1)], ["rf4"], [], {}),
        ([awaited(1, delivered_before=1)], ["rf4", "rf5"], [], {1: "rf5"}),
        ([awaited(1, delivered_before=1)], ["rf4", "rf5"], ["rf4"], {1: "rf5"}),
        ([awaited(1, ["rf4"], delivered_before=1)], ["rf4", "rf5"], ["rf4"], {1: "rf5"}),
        ([awaited(1, ["rf4"], delivered_before=2)], ["rf4", "rf5"], ["rf4"], {}),
        # where the page was seen, it says how many were there and not yet shown
        ([awaited(1, ["rf4"], rows=1, delivered_before=5)], ["rf4", "rf5"], [], {1: "rf5"}),
        ([awaited(1, ["rf4"], rows=2)], ["rf4", "rf6"], [], {}),
        ([awaited(1, ["rf4"], rows=2)], ["rf4", "rf5", "rf6"], [], {1: "rf6"}),
        ([awaited(1, ["rf4"], rows=2)], ["rf3", "rf4", "rf6"], [], {1: "rf6"}),
        ([awaited(1, ["rf4"], rows=2, others=1)], ["rf4", "rf6"], [], {1: "rf6"}),
        # a baseline that nobody could note
        ([awaited(1, None)], ["rf4"], [], {}),
        ([awaited(1, None, rows=0)], ["rf4"], [], {1: "rf4"}),
        ([awaited(1, None, rows=1)], ["rf4"], [], {}),
        ([awaited(1, None), awaited(2, delivered_before=1)], ["rf4", "rf5"], [], {2: "rf5"}),
        ([awaited(1), awaited(2, None, delivered_before=1)], ["rf4", "rf5"], [], {1: "rf4", 2: "rf5"}),
        # a server that has learnt to give keys gives them to its old runs, too
        ([awaited(1, unkeyed=1)], ["rf4"], [], {}),
        ([awaited(1, unkeyed=1)], ["rf4", "rf5"], [], {1: "rf5"}),
        ([awaited(1)], ["rf4", None], [], {}),
        # keys that are in no order
        ([awaited(1)], ["4f1c-a"], [], {}),
    ],
)
def test_a_run_is_assigned_only_where_it_is_ours_for_sure(sent, keys, taken, found):
    assert told(sent, runs(*keys), taken) == found


def test_names_are_compared_as_the_server_keeps_them():
    shown = [QcRun(0, "a_b", "rf4", None), QcRun(1, "other", "rf5", None)]
    assert told([awaited(1, name="A b.raw")], shown) == {1: "rf4"}
    # two names that the server keeps as one are one name
    both = [awaited(1, name="a b.raw"), awaited(2, name="a_b.raw", delivered_before=1)]
    assert told(both, [QcRun(0, "a_b", "rf4", None)]) == {}
    assert told(both, [QcRun(0, "a_b", "rf4", None), QcRun(1, "a_b", "rf5", None)]) == {1: "rf4", 2: "rf5"}


@pytest.mark.parametrize(
    ("sent", "shown", "found"),
    [
        ([awaited(1)], 1, {1: None}),
        ([awaited(1)], 0, {}),
        ([awaited(1)], 2, {}),
        ([awaited(1, unkeyed=1)], 1, {}),
        ([awaited(1, rows=1)], 1, {}),
        ([awaited(1, None)], 1, {}),
        ([awaited(1, None, rows=0)], 1, {1: None}),
        ([awaited(1), awaited(2)], 1, {}),
    ],
)
def test_an_older_server_has_a_name_once(sent, shown, found):
    assert told(sent, runs(*[None] * shown)) == found


@given(st.integers(min_value=0), st.booleans())
def test_whenever_it_is_looked_no_run_is_ever_given_to_another_delivery(seed, with_page):
    """Files of one name are sent, processed and looked for in any order; strangers were there before the first."""
    chance = random.Random(seed)
    strangers = chance.randrange(3) if with_page else 0
    arrived_keys = [f"rf{7 + number}" for number in range(strangers)]
    shown: set[str] = {key for key in arrived_keys if chance.random() < 0.5}
    truth: dict[int, str] = {}
    sent: list[AwaitedRun] = []
    known: dict[int, str] = {}
    for _ in range(chance.randrange(3, 25)):
        what = chance.random()
        if what < 0.3:
            number = len(sent) + 1
            rows = len(arrived_keys) if with_page else None
            sent.append(awaited(number, sorted(shown), rows=rows, delivered_before=len(truth)))
            truth[number] = f"rf{7 + len(arrived_keys)}"
            arrived_keys.append(truth[number])
        elif what < 0.7 and (waiting := sorted(set(arrived_keys) - shown)):
            shown.add(chance.choice(waiting))
        else:
            keyed = [replace(one, run_key=known.get(one.delivery_id)) for one in sent]
            listed = sorted(shown, key=lambda _: chance.random())
            # those that were found are sometimes asked for again, and sometimes known as taken
            asked = [one for one in keyed if one.run_key is None or chance.random() < 0.5]
            found = told(asked, runs(*listed), known.values())
            assert all(truth[number] == key for number, key in found.items())
            known |= found
    # once all are shown, as many as can be are told
    if set(arrived_keys) == shown:
        found = told([one for one in sent if one.delivery_id not in known], runs(*sorted(shown)), known.values())
        assert {**known, **found} == truth


# --- what is read ----------------------------------------------------------------------------------------

TABLE = {
    "RawFile": ["hela", "other", "HeLa"],
    "RunKey": ["rf4", "rf5", "rf6"],
    "Uploader": ["you@lab.edu"] * 3,
    "Flagged": [False, True, True],
    "Use Downstream": [None, True, False],
    "N_peptides": [None, 9000, 480],
    "NaN": [math.nan, math.inf, ""],
    "absent": "",
}


def server_with(table=TABLE, *, uuid: str | None = UUID) -> FakeServer:
    server = FakeServer().on(PROJECTS, Reply(201, [{"pk": 1, "slug": "demo", "name": "Demo", "description": ""}]))
    server.on(PIPELINES, Reply(201, [{"slug": "tmt", "name": "TMT", **({"uuid": uuid} if uuid else {})}]))
    server.on(QC, table if isinstance(table, Reply) else Reply(200, table))
    return server.on(RAWFILE, Reply(200, {"status": "success"}))


def measures(server: FakeServer, **config):
    options = config or {"project": "demo", "pipeline": "tmt", "pid": UUID}
    return ProteomicsQC("qc", Client("https://qc.example/", token=CANARY, adapter=server), **options).measures


def test_the_results_of_all_are_asked_for_once():
    server = server_with()
    sent = [awaited(1, ["rf4"], delivered_before=0), awaited(2, name="other.raw"), awaited(3, name="new.raw")]
    found = measures(server).measured(sent, ["N_peptides", "absent", "NaN", "never"], frozenset())
    assert found == [
        MeasuredRun(1, "HeLa", "rf6", {"N_peptides": 480, "NaN": None}, flagged=True, rejected=True),
        MeasuredRun(2, "other", "rf5", {"N_peptides": 9000, "NaN": None}, flagged=True, rejected=False),
    ]
    assert server.count(QC) == 1
    asked = server.last(QC).json
    assert (asked["project"], asked["pipeline"], asked["data_range"]) == ("demo", "tmt", 1000)
    columns = ["RawFile", "RunKey", "Uploader", "Flagged", "Use Downstream", "N_peptides", "absent", "NaN", "never"]
    assert asked["columns"] == columns


def test_what_is_not_known_yet_is_none():
    [run] = measures(server_with()).measured([awaited(1, run_key="rf4")], ["N_peptides", "NaN"], frozenset())
    assert run == MeasuredRun(1, "hela", "rf4", {"N_peptides": None, "NaN": None}, flagged=False, rejected=None)


def test_an_older_server_without_keys_is_asked_by_name():
    table = {"RawFile": ["hela"], "RunKey": "", "Uploader": "", "N_peptides": [480]}
    [run] = measures(server_with(table, uuid=None)).measured([awaited(1)], ["N_peptides"], frozenset())
    assert run == MeasuredRun(1, "hela", None, {"N_peptides": 480}, flagged=None, rejected=None)


def test_runs_of_somebody_else_are_not_ours():
    server = server_with({**TABLE, "Uploader": ["they@lab.edu"] * 3})
    server.on("GET /", Reply(200, b'<input name="csrfmiddlewaretoken" value="t">'))
    server.on("POST /", Reply(302, b"", {"Location": "/"}, ["sessionid=abc; Path=/"]))
    client = Client("https://qc.example/", username="you@lab.edu", password="pass word", adapter=server)
    one = ProteomicsQC("qc", client, project="demo", pipeline="tmt")
    assert one.measures.measured([awaited(1, ["rf4"])], [], frozenset()) == []


def test_nothing_awaited_costs_no_request():
    server = server_with()
    assert measures(server).measured([], ["N_peptides"], frozenset()) == []
    assert not server.seen


@pytest.mark.parametrize("uuid", [UUID, None])
def test_a_500_says_that_nothing_is_processed_on_the_older_server_alone(uuid):
    one = measures(server_with(Reply(500, b"<title>Server Error</title>"), uuid=uuid))
    if uuid is None:
        assert one.measured([awaited(1)], [], frozenset()) == []
    else:
        with pytest.raises(Unavailable):
            one.measured([awaited(1)], [], frozenset())


@pytest.mark.parametrize("reply", [Reply(502, b"<html>"), Reply(200, b"<form>log in</form>"), lost(), Reply(429)])
def test_a_server_that_is_away_is_unavailable(reply):
    with pytest.raises(Unavailable):
        measures(server_with(reply)).measured([awaited(1)], [], frozenset())


def test_a_token_that_is_refused_is_an_auth_error():
    server = server_with().on(PROJECTS, Reply(403, {"detail": "Invalid token."}))
    with pytest.raises(AuthError):
        measures(server).measured([awaited(1)], [], frozenset())


def test_a_pipeline_that_we_may_not_see_is_rejected_and_pauses_nothing():
    reply = Reply(403, {"detail": "Missing permissions for requested pipeline."})
    with pytest.raises(Rejected, match="knows us, but does not let us see the results of demo/tmt") as caught:
        measures(server_with(reply)).measured([awaited(1)], [], frozenset())
    assert "Missing permissions" in str(caught.value)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"project": "demo", "pipeline": "tmx"}, "shows us no pipeline 'tmx'"),
        ({"pid": "0a1b2c3d-0000-4000-8000-00000000000f"}, "does not show us the pipeline with pid 0a1b2c3d"),
        ({"pid": "nonsense"}, "is not a UUID"),
    ],
)
def test_a_pipeline_that_cannot_be_asked_about_is_rejected(config, words):
    for call in (
        lambda one: one.measured([awaited(1)], [], frozenset()),
        lambda one: one.mark(MeasuredRun(1, "hela", "rf4"), RunAction.FLAG),
    ):
        with pytest.raises(Rejected, match=words) as caught:
            call(measures(server_with(), **config))
        assert "config" in caught.value.hint


# --- marking ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("action", "key"),
    [(RunAction.FLAG, "rf6"), (RunAction.UNFLAG, "rf4"), (RunAction.ACCEPT, "rf5"), (RunAction.REJECT, "rf6")],
)
def test_a_run_is_marked_by_its_key_and_read_back(action, key):
    server = server_with()
    measures(server).mark(MeasuredRun(1, "hela", key), action)
    fields = [("project", "demo"), ("pipeline", "tmt"), ("run_keys", key), ("action", str(action))]
    assert parse_qsl(server.last(RAWFILE).body.decode()) == fields
    assert server.seen[-1].path == "/api/qc-data"


def test_a_run_without_a_key_is_marked_by_the_names_that_its_file_may_have():
    """The older server compares the file's name, and qc-data shows it without its suffix."""
    server = server_with({"RawFile": ["hela"], "Flagged": [1], "RunKey": ""}, uuid=None)
    measures(server).mark(MeasuredRun(1, "hela", None), RunAction.FLAG)
    sent = parse_qsl(server.last(RAWFILE).body.decode())
    assert [value for name, value in sent if name == "raw_files"] == ["hela", "hela.raw", "hela.RAW"]


def by_name_alone(column: str, before: object, after: object, *, uploader="you@lab.edu") -> FakeServer:
    """A server that shows keys, and changes what is chosen by name alone."""
    table = {"RawFile": ["hela", "b"], "RunKey": ["rf4", "rf5"], "Uploader": [uploader] * 2}
    server = server_with(uuid=None)
    return server.on(QC, *(Reply(200, {**table, column: [value, None]}) for value in (before, after)))


@pytest.mark.parametrize(
    ("action", "column", "before", "after"),
    [
        (RunAction.FLAG, "Flagged", False, True),
        (RunAction.UNFLAG, "Flagged", 1, 0),
        (RunAction.ACCEPT, "Use Downstream", None, True),
        (RunAction.REJECT, "Use Downstream", None, False),
    ],
)
def test_a_server_that_ignores_keys_is_told_by_name_and_read_back_again(action, column, before, after):
    server = by_name_alone(column, before, after)
    measures(server).mark(MeasuredRun(1, "hela", "rf4"), action)
    assert (server.count(RAWFILE), server.count(QC)) == (2, 2)
    sent = parse_qsl(server.last(RAWFILE).body.decode())
    assert sent[2:] == [("raw_files", name) for name in ("hela", "hela.raw", "hela.RAW")] + [("action", str(action))]


def test_a_server_that_heeds_neither_key_nor_name_is_tried_again():
    server = by_name_alone("Flagged", False, False)
    with pytest.raises(Unavailable, match=r"flag of run rf4 \(hela\) .*but shows Flagged: False"):
        measures(server).mark(MeasuredRun(1, "hela", "rf4"), RunAction.FLAG)
    assert server.count(RAWFILE) == 2


def test_a_run_that_somebody_else_uploaded_is_not_named():
    """A file of ours that is not processed yet may have the same name."""
    server = by_name_alone("Flagged", False, True, uploader="they@lab.edu")
    server.on("GET /", Reply(200, b'<input name="csrfmiddlewaretoken" value="t">'))
    server.on("POST /", Reply(302, b"", {"Location": "/"}, ["sessionid=abc; Path=/"]))
    client = Client("https://qc.example/", username="you@lab.edu", password="pass word", adapter=server)
    one = ProteomicsQC("qc", client, project="demo", pipeline="tmt", pid=UUID)
    with pytest.raises(Unavailable, match="but shows Flagged: False"):
        one.measures.mark(MeasuredRun(1, "hela", "rf4"), RunAction.FLAG)
    assert server.count(RAWFILE) == 1


def test_a_name_of_several_runs_is_never_used_in_place_of_a_key():
    server = server_with()
    with pytest.raises(Unavailable):
        measures(server).mark(MeasuredRun(1, "hela", "rf4"), RunAction.FLAG)
    assert server.count(RAWFILE) == 1


@pytest.mark.parametrize(
    ("run", "action", "words"),
    [
        (MeasuredRun(1, "hela", "rf4"), RunAction.FLAG, r"flag of run rf4 \(hela\) .*but shows Flagged: False"),
        (MeasuredRun(1, "hela", "rf4"), RunAction.ACCEPT, "but shows Use Downstream: None"),
        (MeasuredRun(1, "hela", "rf99"), RunAction.REJECT, "but shows no such run"),
        (MeasuredRun(1, "hela", None), RunAction.FLAG, "but shows no such run"),
        (MeasuredRun(1, "gone", None), RunAction.FLAG, "but shows no such run"),
    ],
)
def test_a_change_that_does_not_show_is_tried_again(run, action, words):
    with pytest.raises(Unavailable, match=words) as caught:
        measures(server_with()).mark(run, action)
    assert f"{action} it on the pipeline's page" in caught.value.hint


def test_what_the_server_says_besides_is_told():
    server = server_with().on(RAWFILE, Reply(200, {"status": "Missing permissions"}))
    with pytest.raises(Unavailable, match=r"with success \(Missing permissions\), but shows"):
        measures(server).mark(MeasuredRun(1, "hela", "rf4"), RunAction.FLAG)


@pytest.mark.parametrize("action", list(RunAction))
def test_a_server_that_does_not_show_marks_is_believed(action):
    table = {"RawFile": ["hela"], "RunKey": "", "Flagged": "", "Use Downstream": ""}
    server = server_with(table, uuid=None)
    measures(server).mark(MeasuredRun(1, "hela", None), action)
    assert server.count(RAWFILE) == 1


def test_a_run_that_is_not_ours_to_change_is_rejected_and_pauses_nothing():
    server = server_with().on(RAWFILE, Reply(403, {"detail": "You do not have permission to perform this action."}))
    with pytest.raises(Rejected, match=r"does not let us reject run rf4 \(hela\)"):
        measures(server).mark(MeasuredRun(1, "hela", "rf4"), RunAction.REJECT)


def test_rows_keep_their_place():
    assert [(run.row, run.stem, run.key) for run in qc_runs(TABLE)] == [
        (0, "hela", "rf4"),
        (1, "other", "rf5"),
        (2, "HeLa", "rf6"),
    ]
