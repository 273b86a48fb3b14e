"""What becomes known only months later frees a dataset, and what a server refused is replaced, by the command line."""

import csv
import io
import json

import pytest
from beamline_support import Beamline, write_series

from depositd.sandbox import running

RULE = """
  - name: px
    watch: {data}/px
    format: {format}
    settle: 1s
    metadata: {{set: {{{values}}}}}
    deliver: [{{to: irrmc, approve: {approve}}}]
"""


@pytest.fixture
def sandbox():
    with running(pace_s=0.1) as box:
        yield box


def beamline_of(tmp_path, sandbox, **keys):
    line = Beamline(tmp_path, sandbox)
    (line.data / "px").mkdir()
    line.configure(RULE.format(data=line.data, **{"format": "frames", "values": "", "approve": "manual", **keys}))
    return line


def until_idle(line, status):
    ended = line.run("run", "--until-idle")
    assert ended.returncode == status, ended.stderr


def test_a_table_frees_many_at_once_and_each_is_published_once(tmp_path, sandbox):
    line = beamline_of(tmp_path, sandbox)
    for seed, name in enumerate(("lyso_1", "lyso_2", "thau_1")):
        write_series(line.data / "px", name, 4, seed=seed)
    until_idle(line, 3)
    assert not sandbox.uploads
    shown = line.run("status", "--held").stdout
    assert "3 deliveries held" in shown
    assert shown.count("pdb_code: is missing") == 3

    rows = list(csv.DictReader(io.StringIO(line.run("status", "--held", "--csv").stdout)))
    codes = {"lyso_1": "1abc", "thau_1": "9ZZZ"}
    out = io.StringIO()
    writer = csv.DictWriter(out, rows[0].keys(), delimiter=";")
    writer.writeheader()
    writer.writerows({**row, "pdb_code": codes.get(row["name"], "")} for row in rows)
    table = line.directory / "deposits.csv"

    table.write_text(out.getvalue().replace("9ZZZ", "ZZZZ"))
    refused = line.run("release", "--from", str(table))
    assert refused.returncode == 1
    assert "'ZZZZ' is no PDB code" in refused.stderr
    assert "nothing was changed" in refused.stderr
    assert line.delivery_state("lyso_1", "irrmc") == "held"

    table.write_text(out.getvalue())
    freed = line.run("release", "--from", str(table))
    assert freed.returncode == 0, freed.stderr
    assert "2 deliveries freed, 1 row not filled in yet" in freed.stderr
    until_idle(line, 3)
    assert [line.delivery_state(name, "irrmc") for name in ("lyso_1", "lyso_2", "thau_1")] == [
        "delivered",
        "held",
        "delivered",
    ]
    assert sorted(one.metadata["pdb_code"] for one in sandbox.submissions) == ["1ABC", "9ZZZ"]
    again = line.run("release", "--from", str(table))
    assert again.returncode == 0
    assert "2 left as they are" in again.stderr

    # a sidecar that appears later does as well; approval is a word of its own
    (line.data / "px" / "lyso_2.deposit.yaml").write_text("pdb_code: 2XYZ\n")
    until_idle(line, 3)
    assert "waits for your approval" in line.deliveries("lyso_2")["irrmc"]["error"]
    assert line.run("release", str(line.dataset("lyso_2")["id"])).returncode == 0
    until_idle(line, 0)
    assert len(sandbox.submissions) == 3


def test_a_wrong_value_is_refused_when_it_is_given(tmp_path, sandbox):
    line = beamline_of(tmp_path, sandbox)
    write_series(line.data / "px", "lyso_1", 4)
    until_idle(line, 3)
    for wrong, told in (("pdb_code=ABCD", "is no PDB code"), ("pdb_cod=1ABC", "pdb_code?")):
        refused = line.run("release", "1", "--set", wrong)
        assert refused.returncode == 1
        assert told in refused.stderr
    still = line.run("release", "1", "--set", "project_title=Lysozyme at 100 K")
    assert still.returncode == 0
    assert "held: metadata: pdb_code: is missing, and so are project_authors and equipment_other" in still.stdout
    usage = line.run("release", "--from", "x.csv", "1")
    assert usage.returncode == 2


def test_refused_data_are_replaced_by_their_correction_and_published(tmp_path, sandbox):
    line = beamline_of(tmp_path, sandbox, format="directory", values="pdb_code: 1ABC", approve="auto")
    dataset = line.data / "px" / "lyso"
    dataset.mkdir()
    (dataset / "notes.txt").write_text("the images are still on the other disk\n")
    until_idle(line, 3)
    failed = line.dataset("lyso")["deliveries"][0]
    assert (failed["state"], failed["remote_status"]) == ("failed", "error_no_data")
    assert "retry" in failed["hint"]
    assert "--replace" in failed["hint"]

    write_series(dataset, "lyso", 3)
    # found while nobody sends: the operator's word comes before the daemon's own delivery of the new generation
    line.configure(RULE.format(data=line.data, format="directory", values="pdb_code: 1ABC", approve="manual"))
    until_idle(line, 3)
    assert [one["generation"] for one in line.status()["datasets"]] == [1, 2]
    replaced = line.run("retry", "1", "--replace", "--json")
    assert replaced.returncode == 0, replaced.stderr
    assert json.loads(replaced.stdout)["deliveries"][0]["dataset"] == 2
    until_idle(line, 0)
    states = [(one["generation"], one["deliveries"][0]["state"]) for one in line.status()["datasets"]]
    assert states == [(1, "skipped"), (2, "delivered")]
    assert [one.inspection.problem for one in sandbox.uploads] == [None]
    assert sandbox.requests["DELETE /api/v1/submissions/{token}/".replace("{token}", failed["remote_id"])] == 1
